"""The networks: a U-Net for cells, the classic network of the older code, saving and loading.

U-Net: Ronneberger, Fischer, Brox, MICCAI 2015 (https://arxiv.org/abs/1505.04597). Everything here is `keras` and
`keras.ops`, so the TensorFlow, JAX and PyTorch backends all run it. Optimiser and loss are in train.py.
"""

import json
import math
import os
import zipfile
from numbers import Integral, Real
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from convolutions import NormalizedConv2D, UpsampledConv2D
from images import LUMINANCE, InputError, settle

CARD = "unet_card.json"  # extra member of the .keras file; Keras itself ignores it
NORMALIZATIONS = ("batch", "group", "none")
UPSAMPLINGS = ("nearest", "transposed")
SAMPLINGS = (8, 4, 4)  # of the first levels: batch statistics from every n-th row and column; deeper, from all


# --- sizes ------------------------------------------------------------------------------------------------------------


def padded_size(size_px, depth=4):
    """The next multiple of 2**depth that is not below `size_px`: `padded_size(250, 4)` is 256."""
    step = 2**depth
    return max(1, -(-size_px // step)) * step


def check_input_size(height, width, depth=4):
    """Raise InputError unless an image of (height, width) px passes `depth` halvings without a remainder."""
    wanted = padded_size(height, depth), padded_size(width, depth)
    if (height, width) != wanted:
        raise InputError(
            f"Received an input of {height}x{width} px, expected height and width divisible by {2**depth} "
            f"(depth {depth}): pad it to {wanted[0]}x{wanted[1]} px and crop the output."
        )


# --- the U-Net --------------------------------------------------------------------------------------------------------


def conv_block(x, filters, normalization, name, sampling=1):
    """Two times 3x3 convolution, ReLU. (batch, H, W, any) -> (batch, H, W, filters).

    Batch normalisation follows the second convolution alone: after both, a step takes a seventh longer, and in the same
    seconds a training learns no more (`benchmarks/README.md`). Group normalisation follows both.
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
        keras.Model: (batch, H, W, channels) float32 -> (batch, H, W, classes) float32 probabilities. Its layer
        `head` gives the same before the activation (logits).

    Example:
        >>> model = unet(channels=3, classes=1, filters=16)
        >>> model(numpy.zeros((1, 64, 96, 3), "float32")).shape
        (1, 64, 96, 1)
    """
    for argument, value in (("channels", channels), ("classes", classes), ("filters", filters), ("depth", depth)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise InputError(f"`{argument}` must be a whole number of at least 1. Received: {value!r}.")
    for argument, value, known in (
        ("normalization", normalization, NORMALIZATIONS),
        ("upsampling", upsampling, UPSAMPLINGS),
    ):
        if value not in known:
            raise InputError(f"`{argument}` must be one of {', '.join(known)}. Received: {value!r}.")
    if not isinstance(dropout, Real) or not 0 <= dropout < 1:
        raise InputError(f"`dropout` must be a number from 0 up to, not including, 1. Received: {dropout!r}.")
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
    model = keras.Model(inputs, outputs, name="unet")
    head = model.get_layer("head")
    head.kernel.assign(_balanced(keras.ops.convert_to_numpy(head.kernel)))
    if bias is not None:
        head.bias.assign(bias)
    return model


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
        raise InputError(
            f"`prior` must be {'one share' if classes == 1 else f'{classes} shares'} of the pixels between 0 and 1, "
            f"neither included. Received: {prior!r}. Pass prior=None to do without."
        )
    return [math.log(p / (1 - p)) for p in shares] if classes == 1 else [math.log(p) for p in shares]


# --- starting from trained weights ------------------------------------------------------------------------------------


def transfer(source, target):
    """Copy the weights of one U-Net into another, layer by layer, where they mean the same.

    Between grey and colour the first convolution is converted: a colour image then gives what its luminance gave (ITU-R
    BT.601, as `images.to_channels` makes grey). Batch normalisation that the target does not have is multiplied into
    kernel and bias. A head for another number of classes is not copied.

    Args:
        source, target: keras.Model, as `unet` makes them; `target` is changed.

    Returns:
        list of str: the names of the layers of `target` that hold weights and kept their own.

    Raises:
        InputError: where the networks differ in more than channels and classes; `target` is then as it was.
    """
    named = {layer.name: layer for layer in source.layers if layer.weights}
    fitting, kept = [], []
    for layer in target.layers:
        if not layer.weights:
            continue
        weights = _weights(named[layer.name], layer) if layer.name in named else []
        if layer.name == "enc1_conv1" and weights:
            weights[0] = _to_channels(weights[0], layer.kernel.shape[2])
        shapes = [tuple(w.shape) for w in layer.weights]
        if [w.shape for w in weights] == shapes:
            fitting.append((layer, weights))
        elif layer.name == "head" and weights:
            kept.append(layer.name)
        else:
            received = [w.shape for w in weights] or "no such layer"
            raise InputError(
                f"The starting weights do not fit: layer {layer.name} has {received}, expected {shapes}. Train with "
                "the --filters that they were trained with, or start from none."
            )
    for layer, weights in fitting:
        layer.set_weights(weights)
    return kept


def _weights(source, target):
    """The weights of a layer as another of its name may hold them: a list of ndarrays."""
    if isinstance(source, NormalizedConv2D) and not isinstance(target, NormalizedConv2D):
        return list(source.folded())
    return source.get_weights()


def _to_channels(kernel, channels):
    """The kernel (rows, columns, 1 or 3, filters) of a first convolution for another number of image channels."""
    if kernel.shape[2] == channels:
        return kernel
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    return kernel * LUMINANCE[:, None]


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
        keras.Model: (batch, H, W, channels) float32 in 0..1 -> (batch, H, W, 1) float32 probabilities.
    """
    height, width, channels = input_shape
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
    return keras.Model(inputs, outputs, name="classic_unet")


# --- how much it computes ---------------------------------------------------------------------------------------------


def count_multiply_adds(model, height, width, training=False):
    """Multiply-adds of all convolutions in one forward pass over one (height, width) image.

    Twice this number is the usual FLOP count; a training step costs about three times a forward pass. With `training`
    the convolutions that only serve the statistics of batch normalisation are counted too, and it is a float.
    """
    convolutions = [x for x in model.layers if isinstance(x, (layers.Conv2D, layers.Conv2DTranspose))]
    # a transposed convolution multiplies once per input pixel, the others once per output pixel
    ends = [x.input if isinstance(x, layers.Conv2DTranspose) else x.output for x in convolutions]
    image = keras.KerasTensor((1, height, width, model.input_shape[-1]))
    shapes = [end.shape for end in keras.Model(model.input, ends).compute_output_spec(image)]
    counts = [h * w * math.prod(x.kernel.shape) for x, (_, h, w, _) in zip(convolutions, shapes, strict=True)]
    if training:
        sampled = [(count, getattr(x, "sampling", 1)) for x, count in zip(convolutions, counts, strict=True)]
        counts += [count / sampling**2 for count, sampling in sampled if sampling > 1]
    return sum(counts)


# --- how far it sees --------------------------------------------------------------------------------------------------


def receptive_reach(model):
    """Pixels, in rows or columns, by which another pixel may be away and still decide about one.

    Each layer is asked for its `kernel_size`, `pool_size`, `strides` and `size`, whatever its type; a layer without
    them passes on pixel by pixel. A normalisation over the image, such as GroupNormalization, reaches everywhere, which
    is not counted. Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.
    """
    reach, step = {}, {}  # by tensor: the way to the image, and how many pixels of the image lie between two values
    for tensor in model.inputs:
        reach[id(tensor)], step[id(tensor)] = 0, 1
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        far, gap = max(reach[id(x)] for x in inputs), max(step[id(x)] for x in inputs)
        window = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1, 1)))[0]
        stride = getattr(layer, "strides", (1, 1))[0]
        if isinstance(layer, UpsampledConv2D):
            gap //= 2
            far += 2 * gap  # one by the upsampling, one by the kernel of 2
        elif isinstance(layer, layers.Conv2DTranspose) or hasattr(layer, "size"):
            gap //= stride if hasattr(layer, "kernel_size") else layer.size[0]
            far += gap * (window - 1 if hasattr(layer, "kernel_size") else layer.size[0] - 1)
        else:
            far += gap * ((window - 1) if stride > 1 else window // 2)
            gap *= stride
        reach[id(layer.output)], step[id(layer.output)] = far, gap
    return reach[id(model.outputs[0])]


# --- files ------------------------------------------------------------------------------------------------------------


def in_float32(model):
    """`model`, or where a layer of it computes in another format, a copy with the same weights that does not."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    twin = model.__class__.from_config(config)  # without the optimiser
    twin.set_weights(model.get_weights())
    return twin


def save(model, path, card):
    """Write `model` and its `card` as one `.keras` file: under a temporary name first, then renamed.

    The network in the file computes in float32, whatever `model` trained in, so that it predicts alike everywhere.

    Args:
        model: keras.Model.
        path: str or Path ending in `.keras`.
        card: dict that JSON can hold: what a later prediction must know (classes, channels, normalisation, tile_px,
            threshold ...).
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"A model file's name must end in .keras. Received: {path.name}.")
    text = json.dumps(card, indent=2)  # before anything is written: it may raise
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.keras")
    try:
        in_float32(model).save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(CARD, text)
        settle(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path):
    """Read a model file.

    Args:
        path: str or Path. `.keras`: a whole model. `.h5`, `.hdf5`: weights, or a whole model, saved by a network of
            the classic lineage; its weights go into `classic_unet` by layer order. Nothing in the file is executed,
            but a `.keras` file describes its own network, so open only those of people you trust.

    Returns:
        (keras.Model, dict): the model, not compiled, and the card that `save` stored, {} for a stranger's file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no model file {path}: train one first, or correct the path.")
    if path.suffix in (".h5", ".hdf5"):
        return _load_classic(path)
    if path.suffix != ".keras":
        raise InputError(f"A model file's name must end in .keras, .h5 or .hdf5. Received: {path.name}.")
    try:
        with zipfile.ZipFile(path) as archive:
            card = json.loads(archive.read(CARD)) if CARD in archive.namelist() else {}
        return keras.saving.load_model(path, compile=False, safe_mode=True), card
    except Exception as error:  # whatever a damaged archive makes zipfile, h5py, json or Keras raise
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path} cannot be read as a Keras model ({type(error).__name__}: {reason}): copy or train it again."
        ) from error


def _load_classic(path):
    """An .h5 or .hdf5 file of the classic lineage -> (classic_unet with its weights, card)."""
    try:
        with h5py.File(path) as file:
            found = _layer_weights(file)
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be read as an HDF5 weight file ({reason}): copy it again.") from error
    convolutions = 24
    if len(found) != convolutions or found[0][1][0].ndim != 4:
        raise InputError(
            f"{path} holds {len(found)} layers with weights, expected the {convolutions} convolutions of the classic "
            "U-Net: rebuild the network it was trained with and save that as a .keras file."
        )
    channels, filters = found[0][1][0].shape[2:]
    model = classic_unet((None, None, channels), filters=filters)
    for (name, weights), target in zip(found, [x for x in model.layers if x.weights], strict=True):
        received, expected = [w.shape for w in weights], [tuple(w.shape) for w in target.weights]
        if received != expected:
            raise InputError(
                f"{path}: layer {name} has weights of shape {received}, expected {expected} ({target.name} of the "
                "classic U-Net): rebuild the network it was trained with and save that as a .keras file."
            )
        target.set_weights(weights)
    card = {
        "classic": True,
        "classes": 1,
        "channels": channels,
        "filters": filters,
        "depth": 4,
        "normalisation": "divide by 255",
        "tile_px": 256,
        "threshold": 0.5,
    }
    return model, card


def _layer_weights(file):
    """The weights in an open Keras HDF5 file, layer by layer in layer order: [(name, [ndarray, ...]), ...]."""
    found = []
    if "layers" in file:  # Keras 3: layers/conv2d/vars/0, layers/conv2d_1/vars/0 ..., numbered in layer order
        for name, layer in sorted(file["layers"].items(), key=lambda item: (len(item[0]), item[0])):
            if len(layer.get("vars", ())):
                found.append((name, [layer["vars"][i][()] for i in sorted(layer["vars"], key=int)]))
        return found
    group = file.get("model_weights", file)  # Keras 1 and 2; a whole model keeps its weights one level down
    names = []
    for key in sorted((k for k in group.attrs if k.startswith("layer_names")), key=lambda k: (len(k), k)):
        names += [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[key]]
    for name in names:
        weights = [w.decode() if isinstance(w, bytes) else str(w) for w in group[name].attrs["weight_names"]]
        if weights:
            found.append((name, [group[name][w][()] for w in weights]))
    return found
