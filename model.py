"""The networks: a U-Net for cells, and the classic network of the older code.

U-Net: Ronneberger, Fischer, Brox, MICCAI 2015 (https://arxiv.org/abs/1505.04597). This file needs Keras and NumPy alone
and can be copied out as it is. Optimiser, loss and metrics are in training/, model files in weights/.
"""

import math
from numbers import Integral, Real

import keras
import numpy as np
from keras import layers, ops

NORMALIZATIONS = ("batch", "group", "none")
UPSAMPLINGS = ("nearest", "transposed")
SAMPLINGS = (8, 4, 4)  # of the first levels: batch statistics from every n-th row and column; deeper, from all
MOMENTUM = 0.9  # of the running statistics: a training of a thousand steps forgets its beginning in time
EPSILON = 1e-3


# --- sizes ------------------------------------------------------------------------------------------------------------


def padded_size(size_px, depth=4):
    """The next multiple of 2**depth that is not below `size_px`: `padded_size(250, 4)` is 256."""
    step = 2**depth
    return max(1, -(-size_px // step)) * step


def check_input_size(height, width, depth=4):
    """Raise ValueError unless an image of (height, width) px passes `depth` halvings without a remainder."""
    wanted = padded_size(height, depth), padded_size(width, depth)
    if (height, width) != wanted:
        raise ValueError(
            f"Received an input of {height}x{width} px, expected height and width divisible by {2**depth} "
            f"(depth {depth}): pad it to {wanted[0]}x{wanted[1]} px and crop the output."
        )


# --- the U-Net --------------------------------------------------------------------------------------------------------


def conv_block(x, filters, normalization, name, sampling=1):
    """Two times 3x3 convolution, ReLU. (batch, H, W, any) -> (batch, H, W, filters).

    Batch normalisation follows the second convolution alone: after both, a step takes a seventh longer, and in the same
    seconds a training learns no more (`benchmarks/README.md`). Group normalisation follows both. sampling: of
    `NormalizedConv2D`.
    """
    for i in (1, 2):
        conv = f"{name}_conv{i}"
        options = {"padding": "same", "kernel_initializer": "he_normal", "name": conv}
        if normalization == "batch" and i == 2:
            x = NormalizedConv2D(filters, 3, sampling, **options)(x)
        else:
            x = layers.Conv2D(filters, 3, use_bias=normalization != "group", **options)(x)
        if normalization == "group":
            x = layers.GroupNormalization(_groups(filters), name=f"{conv}_norm")(x)
        x = layers.ReLU(name=f"{conv}_relu")(x)
    return x


def up_block(x, filters, upsampling, name):
    """Double height and width. (batch, H, W, any) -> (batch, 2H, 2W, filters)."""
    if upsampling == "transposed":
        return layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal", name=f"{name}_up")(x)
    return UpsampledConv2D(filters, kernel_initializer="he_normal", name=f"{name}_up_conv")(x)


def unet(
    channels=1, classes=1, *, filters=8, depth=4, normalization="batch", dropout=0.0, upsampling="nearest", prior=None
):
    """A U-Net for images of any height and width divisible by 2**depth.

    Args:
        channels: int, channels of the input image: 1 (grey) or 3 (colour).
        classes: int, 1 for foreground against background (sigmoid), K >= 2 for K classes, background
            included (softmax).
        filters: int, filters of the first level; they double at each level.
        depth: int, number of times the image is halved.
        normalization: "batch" (after the second convolution of each block), "group" (after both, for batches of one or
            two images) or "none".
        dropout: float in [0, 1), applied at the deepest two levels only.
        upsampling: "nearest" (then a 2x2 convolution) or "transposed" (2x2 transposed convolution).
        prior: None, or the share of the pixels that the untrained network should predict: a float, the
            foreground's, when classes is 1; a sequence of K floats, one per class, else. It sets the head's bias.

    Returns:
        UNet, a keras.Model: (batch, H, W, channels) float32 -> (batch, H, W, classes) float32 probabilities. Its layer
        `head` gives the same before the activation (logits). Layers with `trainable = False` keep all that they hold,
        running statistics included.

    Example:
        >>> model = unet(channels=3, classes=1, filters=16)
        >>> model(numpy.zeros((1, 64, 96, 3), "float32")).shape
        (1, 64, 96, 1)
    """
    _check_whole(channels=channels, classes=classes, filters=filters, depth=depth)
    for argument, value, known in (
        ("normalization", normalization, NORMALIZATIONS),
        ("upsampling", upsampling, UPSAMPLINGS),
    ):
        if value not in known:
            raise ValueError(f"`{argument}` must be one of {', '.join(known)}. Received: {value!r}.")
    if not isinstance(dropout, Real) or not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be a number from 0 up to, not including, 1. Received: {dropout!r}.")
    bias = None if prior is None else _head_bias(prior, classes)

    x = inputs = keras.Input((None, None, channels), name="image")
    skips = []
    samplings = dict(enumerate(SAMPLINGS, start=1))
    for level in range(1, depth + 1):
        x = conv_block(x, filters * 2 ** (level - 1), normalization, f"enc{level}", samplings.get(level, 1))
        if dropout and level == depth:
            x = layers.Dropout(dropout, name=f"enc{level}_dropout")(x)
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"enc{level}_pool")(x)

    x = conv_block(x, filters * 2**depth, normalization, "bottleneck")
    if dropout:
        x = layers.Dropout(dropout, name="bottleneck_dropout")(x)

    for level in range(depth, 0, -1):
        x = up_block(x, filters * 2 ** (level - 1), upsampling, f"dec{level}")
        x = layers.Concatenate(name=f"dec{level}_concat")([skips.pop(), x])
        x = conv_block(x, filters * 2 ** (level - 1), normalization, f"dec{level}", samplings.get(level, 1))

    # float32 also where the rest computes in bfloat16: a sigmoid near 0 or 1 needs the digits
    x = layers.Conv2D(classes, 1, kernel_initializer="he_normal", dtype="float32", name="head")(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    outputs = layers.Activation(activation, dtype="float32", name="probability")(x)
    model = UNet(inputs, outputs, name="unet")
    head = model.get_layer("head")
    head.kernel.assign(_balanced(keras.ops.convert_to_numpy(head.kernel)))
    if bias is not None:
        head.bias.assign(bias)
    return model


def with_apart(network):
    """The same U-Net of one class with a second answer: the probability of foreground where no two objects touch.

    Args:
        network: keras.Model as `unet` makes it, with classes=1; its layers become those of the new one.

    Returns:
        UNet, a keras.Model: (batch, H, W, channels) float32 -> (batch, H, W, 2) float32, the probability of foreground
        and the second answer, which comes from the same features by a 3x3 convolution of its own. Untrained it is the
        first one.
    """
    head = network.get_layer("head")
    if head.filters != 1:
        raise ValueError(f"Received a network of {head.filters} classes, expected one of 1.")
    filters = head.input.shape[-1]
    own = layers.Conv2D(filters, 3, padding="same", name="apart_conv")
    apart = layers.Conv2D(1, 1, dtype="float32", name="apart_head")
    x = layers.ReLU(name="apart_conv_relu")(own(head.input))
    x = layers.Concatenate(dtype="float32", name="answers")([head.output, apart(x)])
    outputs = layers.Activation("sigmoid", dtype="float32", name="probability")(x)
    kernel = np.zeros((3, 3, filters, filters), np.float32)
    kernel[1, 1] = np.eye(filters)  # the features are not negative, so that they pass the ReLU as they are
    own.kernel.assign(kernel)
    apart.set_weights(head.get_weights())
    return UNet(network.input, outputs, name="unet")


def _check_whole(**arguments):
    for argument, value in arguments.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{argument}` must be a whole number of at least 1. Received: {value!r}.")


def _balanced(kernel):
    """The head's kernel (1, 1, features, classes) with every second feature for a class, the others against it.

    Features are never negative. One draw in a hundred of 8 random weights has hardly a positive one: the network could
    then only lower its first answer, and stayed there for hundreds of steps (`benchmarks/README.md`).
    """
    signs = 1 - 2 * (np.indices(kernel.shape[2:]).sum(0) % 2)
    return np.abs(kernel) * signs


def _groups(filters):
    """Groups for GroupNormalization: the largest divisor of `filters`, at most 8, that leaves 4 channels a group."""
    return max((g for g in range(1, 9) if filters % g == 0 and filters // g >= 4), default=1)


def _head_bias(prior, classes):
    """Bias with which a head of zero input predicts `prior`: the logit of a share, or the log of each class's."""
    shares = [prior] if isinstance(prior, Real) else list(prior)
    if len(shares) != classes or not all(isinstance(p, Real) and 0 < p < 1 for p in shares):
        raise ValueError(
            f"`prior` must be {'one share' if classes == 1 else f'{classes} shares'} of the pixels between 0 and 1, "
            f"neither included. Received: {prior!r}. Pass prior=None to do without."
        )
    return [math.log(p / (1 - p)) for p in shares] if classes == 1 else [math.log(p) for p in shares]


@keras.saving.register_keras_serializable("unet")
class UNet(keras.Model):
    """A `keras.Model` that says which images it takes, where Keras would name two tensors somewhere inside.

    Called with, fitted to or predicting images (batch, H, W, channels), or (batch, H, W) if grey, it raises ValueError
    unless the channels are those of its input, and H and W divisible by two for each of its poolings.
    """

    def __call__(self, inputs, *args, **kwargs):
        shape, channels = getattr(inputs, "shape", None), self.inputs[0].shape[-1]
        if shape is not None:
            shape = (*shape, 1) if len(shape) == 3 and channels == 1 and shape[-1] not in (1, 3) else tuple(shape)
            if len(shape) != 4 or shape[3] not in (channels, None):
                raise ValueError(
                    f"Received an input of shape {shape}, expected (batch, height, width, {channels}). A single image "
                    "becomes a batch of one by image[numpy.newaxis]."
                )
            if None not in shape[1:3]:  # of symbols, and of batches whose sizes differ
                check_input_size(*shape[1:3], sum(isinstance(layer, layers.MaxPooling2D) for layer in self.layers))
        return super().__call__(inputs, *args, **kwargs)


# --- the classic network ----------------------------------------------------------------------------------------------


def classic_unet(input_shape=(256, 256, 1), *, filters=64):
    """The network that most Keras U-Net code of 2015-2019 trained, layer by layer, so that its weights still work.

    Two 3x3 ReLU convolutions a level, dropout 0.5 on the deepest two levels, nearest upsampling with a 2x2 ReLU
    convolution, a 2-filter 3x3 ReLU layer, a 1x1 sigmoid: 31,031,685 parameters for 256x256x1. For new training
    take `unet`: the 2-filter ReLU layer in front of the sigmoid can die, and then every image comes out all grey.

    Args:
        input_shape: (height, width, channels); height and width divisible by 16, or None for any such size.
        filters: int, filters of the first level, 64 in the original.

    Returns:
        UNet, a keras.Model: (batch, H, W, channels) float32 in 0..1 -> (batch, H, W, 1) float32 probabilities.
    """
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels). Received: {input_shape!r}.")
    height, width, channels = input_shape
    sides = {name: side for name, side in (("height", height), ("width", width)) if side is not None}
    _check_whole(**sides, channels=channels, filters=filters)
    check_input_size(height or 16, width or 16, depth=4)

    def conv(x, n, size, name):
        return layers.Conv2D(n, size, padding="same", activation="relu", kernel_initializer="he_normal", name=name)(x)

    x = inputs = keras.Input((height, width, channels), name="image")
    skips = []
    for level in range(1, 6):
        name = f"enc{level}" if level < 5 else "bottleneck"
        for i in (1, 2):
            x = conv(x, filters * 2 ** (level - 1), 3, f"{name}_conv{i}")
        if level >= 4:
            x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
        if level < 5:
            skips.append(x)
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)

    for level in range(4, 0, -1):
        n = filters * 2 ** (level - 1)
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"dec{level}_up")(x)
        x = conv(x, n, 2, f"dec{level}_up_conv")
        x = layers.Concatenate(axis=3, name=f"dec{level}_concat")([skips.pop(), x])
        for i in (1, 2):
            x = conv(x, n, 3, f"dec{level}_conv{i}")

    x = conv(x, 2, 3, "dec1_conv3")
    outputs = layers.Conv2D(1, 1, activation="sigmoid", name="probability")(x)
    return UNet(inputs, outputs, name="classic_unet")


# Along one axis, [tap at the small size, which of the two pixels, tap at the large size]: the first pixel meets one and
# the same twice. Then along both: (4 taps at the small size × 4 pixels, 4 taps at the large size).
_ALONG = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 1]]], np.float32)
PARTS = np.einsum("par,qbs->pqabrs", _ALONG, _ALONG).reshape(16, 4)


@keras.saving.register_keras_serializable("unet")
class NormalizedConv2D(layers.Conv2D):
    """`Conv2D` without bias, then batch normalisation (Ioffe & Szegedy, ICML 2015) over batch, rows and columns.

    (batch, H, W, any) -> (batch, H, W, filters). In training the statistics are those of the batch, in prediction their
    running averages; with `trainable = False` in training too, and the averages stay, as of Keras' layer. Convolves
    with unit strides.

    Args:
        filters, kernel_size: as for `Conv2D`, whose other arguments are taken too.
        sampling: int n, the statistics of a training step come from every n-th row and column of the output; 1: from
            all of them, which is plain batch normalisation. Keras' own layer would take 1 % of a step less there, and
            every file, export and transfer would know two kinds of normalised convolution. With plain layers on all
            levels a step takes a third longer (`benchmarks/README.md`).
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
        if not (training and self.trainable):
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
    filters, computes the same, and its wider feature maps suit a processor's vectors better: a training step of the
    default network takes 6 % less processor time than with the two layers (`benchmarks/README.md`).

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
