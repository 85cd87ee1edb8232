"""A convolution and its batch normalisation as one layer, which spares memory the passes that make it slow.

Batch normalisation reads and writes every feature map several times in each step, and on a processor that costs as much
as the convolutions do. But a convolution is linear: normalising its output is the same as convolving with a scaled
kernel and adding a constant. All that the scale and the constant need are means and variances, and these can be
estimated from every n-th row and column of the output, which is cheap to compute on its own.
"""

import keras
from keras import layers, ops

MOMENTUM = 0.9  # of the running statistics: a training of a thousand steps forgets its beginning in time
EPSILON = 1e-3


@keras.saving.register_keras_serializable("unet")
class NormalizedConv2D(layers.Conv2D):
    """`Conv2D` without bias, then batch normalisation (Ioffe & Szegedy, ICML 2015) over batch, rows and columns.

    (batch, H, W, any) -> (batch, H, W, filters). In training the statistics are those of the batch, in prediction their
    running averages. Convolves with unit strides.

    Args:
        filters, kernel_size: as for `Conv2D`, whose other arguments are taken too.
        sampling: int n, the statistics of a training step come from every n-th row and column of the output; 1: from
            all of them, which is plain batch normalisation.
    """

    def __init__(self, filters, kernel_size, sampling=1, **kwargs):
        super().__init__(filters, kernel_size, **{**kwargs, "use_bias": False})
        self.sampling = sampling

    def build(self, input_shape):
        super().build(input_shape)

        def per_filter(name, initializer, trainable):
            return self.add_weight(
                name=name, shape=(self.filters,), initializer=initializer, trainable=trainable, autocast=False
            )

        self.gamma = per_filter("gamma", "ones", True)
        self.beta = per_filter("beta", "zeros", True)
        self.moving_mean = per_filter("moving_mean", "zeros", False)
        self.moving_variance = per_filter("moving_variance", "ones", False)

    def call(self, inputs, training=None):
        if not training:
            return self._convolve(inputs, *self._affine(self.moving_mean, self.moving_variance))
        if self.sampling == 1:
            outputs = self.convolution_op(inputs, self.kernel)
            scale, shift = (ops.cast(x, outputs.dtype) for x in self._affine(*self._statistics(outputs)))
            return outputs * scale + shift
        seen = ops.conv(inputs, self.kernel, strides=self.sampling, padding=self.padding)
        return self._convolve(inputs, *self._affine(*self._statistics(seen)))

    def _statistics(self, outputs):
        """Mean and variance of each filter, float32 (filters,); the running averages follow them."""
        found = ops.moments(ops.cast(outputs, "float32"), (0, 1, 2))
        for average, value in zip((self.moving_mean, self.moving_variance), found, strict=True):
            average.assign(MOMENTUM * average + (1 - MOMENTUM) * ops.stop_gradient(value))
        return found

    def _affine(self, mean, variance):
        """What normalising multiplies by and adds, float32 (filters,)."""
        scale = self.gamma * ops.rsqrt(variance + EPSILON)
        return scale, self.beta - mean * scale

    def _convolve(self, inputs, scale, shift):
        # in bfloat16 Keras hands out the kernel rounded; scaled in float32 it is rounded once more, not twice
        kernel = ops.cast(self.kernel, "float32") * scale
        return self.convolution_op(inputs, ops.cast(kernel, inputs.dtype)) + ops.cast(shift, inputs.dtype)

    def folded(self):
        """Kernel (rows, columns, channels, filters) and bias (filters,) of the convolution that prediction computes.

        float32 ndarrays; the bias is all that the normalisation adds.
        """
        scale, shift = self._affine(self.moving_mean, self.moving_variance)
        return ops.convert_to_numpy(ops.cast(self.kernel, "float32") * scale), ops.convert_to_numpy(shift)

    # `Conv2D` would store its kernel and bias alone
    def save_own_variables(self, store):
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        layers.Layer.load_own_variables(self, store)

    def get_config(self):
        return {**super().get_config(), "sampling": self.sampling}
