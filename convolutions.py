"""Convolutions of the U-Net joined with what stands beside them, which is the same and takes less time.

Batch normalisation reads and writes every feature map several times in each step, and on a processor that costs as much
as the convolutions do. But a convolution is linear: normalising its output is the same as convolving with a scaled
kernel and adding a constant. All that the scale and the constant need are means and variances, and these can be
estimated from every n-th row and column of the output, which is cheap to compute on its own.

And convolving what nearest-neighbour upsampling has repeated is convolving before it with other kernels.
"""

import keras
import numpy as np
from keras import layers, ops

MOMENTUM = 0.9  # of the running statistics: a training of a thousand steps forgets its beginning in time
EPSILON = 1e-3

# Along one axis, [tap at the small size, which of the two pixels, tap at the large size]: the first pixel meets one and
# the same twice. Then along both: (4 taps at the small size × 4 pixels, 4 taps at the large size).
_ALONG = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 1]]], np.float32)
PARTS = np.einsum("par,qbs->pqabrs", _ALONG, _ALONG).reshape(16, 4)


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
        return self._convolve(inputs, *self._affine(*self._statistics(self._sample(inputs))))

    def _sample(self, inputs):
        """The plain convolution at every n-th row and column: (…, filters)."""
        n, (rows, columns) = self.sampling, self.kernel_size
        _, height, width, channels = ops.shape(inputs)
        apart = isinstance(height, int) and isinstance(width, int) and not (height % n or width % n)
        if not apart or max(rows, columns) > n:
            return ops.conv(inputs, self.kernel, strides=n, padding=self.padding)
        # Windows that lie apart, as a product of matrices: a third of the time of a convolution with strides. Sliced in
        # few dimensions, since the gradient of a slice is slow in many.
        bands = ops.reshape(inputs, (-1, n, width // n, n * channels))
        windows = ops.slice(bands, (0, 0, 0, 0), (ops.shape(bands)[0], rows, width // n, columns * channels))
        windows = ops.reshape(ops.transpose(windows, (0, 2, 1, 3)), (-1, rows * columns * channels))
        return ops.matmul(windows, ops.reshape(self.kernel, (-1, self.filters)))

    def _statistics(self, outputs):
        """Mean and variance of each filter, float32 (filters,); the running averages follow them."""
        outputs = ops.cast(outputs, "float32")
        found = ops.moments(outputs, tuple(range(len(outputs.shape) - 1)))
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


@keras.saving.register_keras_serializable("unet")
class UpsampledConv2D(layers.Conv2D):
    """`UpSampling2D(2)` by repetition, then `Conv2D` with a kernel of 2x2 and padding "same", as one layer.

    (batch, H, W, any) -> (batch, 2H, 2W, filters). Of the four pixels that one becomes, each sees another part of the
    kernel, summed where it would meet one pixel twice. So a single convolution at the small size, with four times the
    filters, computes the same, and its wider feature maps suit a processor's vectors better.

    Args:
        filters: as for `Conv2D`, whose arguments for activation, bias, initializers, regularizers and constraints are
            taken too; those that shape the convolution are not.
    """

    def __init__(self, filters, **kwargs):
        fixed = {"kernel_size": 2, "strides": 1, "padding": "same", "dilation_rate": 1, "groups": 1}
        super().__init__(filters, **{**kwargs, **fixed, "data_format": "channels_last"})

    def call(self, inputs):
        channels = inputs.shape[-1]
        kernel = ops.reshape(ops.cast(self.kernel, "float32"), (4, -1))
        kernel = ops.reshape(ops.matmul(PARTS, kernel), (2, 2, 2, 2, channels, self.filters))
        kernel = ops.reshape(ops.transpose(kernel, (0, 1, 4, 2, 3, 5)), (2, 2, channels, 4 * self.filters))
        outputs = ops.conv(inputs, ops.cast(kernel, inputs.dtype), padding="same")
        _, height, width, _ = ops.shape(inputs)
        outputs = ops.reshape(outputs, (-1, height, width, 2, 2, self.filters))
        outputs = ops.reshape(ops.transpose(outputs, (0, 1, 3, 2, 4, 5)), (-1, 2 * height, 2 * width, self.filters))
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, height and 2 * height, width and 2 * width, self.filters
