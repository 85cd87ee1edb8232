"""A Keras network as an ONNX graph, laid out so that a processor computes it fast.

ONNX Runtime keeps feature maps in blocks of 16 channels, one processor vector. A layer of 8 filters leaves half of each
block empty in its input and its output, so that three of four multiplications are by zeros, and the first level of the
U-Net, at the full size of the image, has 8 filters. There, two neighbouring columns become one with twice the channels
("packed"), and the kernels are rearranged to compute the same sums: a convolution of 16 channels by half as many
columns (space-to-depth along one axis; Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016,
arXiv:1609.07009, rearranges kernels the same way).
"""

from dataclasses import dataclass, replace

import keras
import numpy as np
import onnx
from keras import layers
from onnx import helper, numpy_helper

from reading.files import InputError

OPSET, IR_VERSION = 17, 8  # what readers of 2022 and later understand
PACKED_FILTERS = 8  # networks whose first level has no more of them are packed


class UnknownLayerError(InputError):
    """The network has a layer, or an activation within it, that is not one of `unet` or `classic_unet`."""


def make_graph(network):
    """`network` as an ONNX model.

    network : keras.Model of one input and one output, of the layers that `model.unet` and `model.classic_unet` use.

    Returns onnx.ModelProto. Its input `image` is float32 (n, height, width, channels), its output `probability`
    float32 (n, height, width, classes); height and width are multiples of what the network halves them by, 16 by
    default, at least of 2. Raises `UnknownLayerError` for other layers, `InputError` for what gives no probabilities.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise InputError(
            f"the network has {len(network.inputs)} inputs and {len(network.outputs)} outputs; expected one of each. "
            "Predict with the .keras file."
        )
    return _Writer(network).model()


@dataclass(frozen=True)
class _Map:
    """A feature map in the graph, (n, channels, rows, columns).

    groups : channels of each of the maps that were joined into it. halvings : how often the image was halved before.
    packed : each column holds two of the image, for each of `groups` first the channels of the left one. doubled : each
    row and column stands for two; columns of a map that is to be packed are then left as they are.
    """

    name: str
    groups: tuple
    halvings: int = 0
    packed: bool = False
    doubled: bool = False


class _Writer:
    def __init__(self, network):
        self.network, self.nodes, self.constants = network, [], []
        whole = any(isinstance(x, layers.GroupNormalization) for x in network.layers)  # it looks at all columns at once
        first = next((x for x in network.layers if x.name == "enc1_conv1"), None)
        self.packs = network.name == "unet" and not whole and first is not None and first.filters <= PACKED_FILTERS

    def model(self):
        channels, classes = self.network.input_shape[-1], self.network.output_shape[-1]
        maps = {id(self.network.inputs[0]): self._image(channels)}
        for layer in self.network.layers:
            if isinstance(layer, layers.InputLayer):
                continue
            tensors = layer.input if isinstance(layer.input, list) else [layer.input]
            given = [maps.get(id(tensor)) for tensor in tensors]
            if None in given:  # of a layer that is used more than once
                raise self._unknown(layer)
            maps[id(layer.output)] = self._write(layer, given)
        ends = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "height", "width", count])
            for name, count in (("image", channels), ("probability", classes))
        ]
        end = maps.get(id(self.network.outputs[0]))
        if end is None or end.name != "probability":
            raise InputError(
                "the network does not end in a sigmoid or softmax; expected probabilities, as `unet` gives."
            )
        graph = helper.make_graph(self.nodes, self.network.name, ends[:1], ends[1:], self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="unet")
        onnx.checker.check_model(model)
        return model

    # ------------------------------------------------------------------------------------------------------- the layers

    def _write(self, layer, given):
        """The nodes of one layer; its output."""
        x, name = given[0], layer.name
        match layer:
            case layers.Conv2DTranspose() if layer.kernel_size == layer.strides == (2, 2) and layer.use_bias:
                return self._activated(layer, self._transposed(x, layer))
            case _ if type(layer).__name__ == "UpsampledConv2D":  # the network's own layers, known without model.py
                upsampled = self._upsampled(x, f"{name}_upsampled")
                return self._activated(layer, self._convolution(upsampled, *_folded(layer), name))
            case layers.Conv2D() if layer.strides == layer.dilation_rate == (1, 1) and _keeps_size(layer):
                return self._activated(layer, self._convolution(x, *_folded(layer), name))
            case layers.ReLU() if layer.max_value is None and not layer.negative_slope and not layer.threshold:
                return replace(x, name=self._node("Relu", [x.name], name))
            case layers.Activation():
                return self._activated(layer, x)
            case layers.MaxPooling2D() if layer.pool_size == layer.strides == (2, 2):
                return self._pooled(x, name)
            case layers.UpSampling2D() if layer.size == (2, 2) and layer.interpolation == "nearest":
                return self._upsampled(x, name)
            case layers.Concatenate() if layer.axis in (-1, 3):
                groups = sum((part.groups for part in given), ())
                return replace(x, name=self._node("Concat", [part.name for part in given], name, axis=1), groups=groups)
            case layers.Dropout():
                return x  # does nothing in prediction
            case layers.GroupNormalization() if layer.scale and layer.center:
                return replace(x, name=self._normalised(x.name, layer))
        raise self._unknown(layer)

    def _unknown(self, layer):
        return UnknownLayerError(
            f"layer {layer.name} ({type(layer).__name__}) cannot be written as ONNX; expected the layers of `unet` or "
            "`classic_unet` as they are in model.py. Predict with the .keras file."
        )

    def _image(self, channels):
        name = "image"
        if self.packs:
            name = self._node("Reshape", [name, self._constant("pairs_shape", [0, 0, -1, 2 * channels])], "pairs")
        return _Map(self._node("Transpose", [name], "channels_first", perm=[0, 3, 1, 2]), (channels,), 0, self.packs)

    def _convolution(self, x, kernel, bias, name):
        """Kernel (rows, columns, channels, filters) over `x`, at its full size where it is `doubled`."""
        rows, columns, _, filters = kernel.shape
        left, right = (columns - 1) // 2, columns // 2
        packs = x.packed or (x.doubled and self.packs and x.halvings == 0)
        if packs:
            kernel, left, right = _packed_kernel(kernel, x)
            bias = np.tile(bias, 2)
        padding = [(rows - 1) // 2, left, rows // 2, right]
        weights = self._constant(f"{name}_kernel", kernel.transpose(3, 2, 0, 1)), self._constant(f"{name}_bias", bias)
        made = self._node("Conv", [x.name, *weights], f"{name}_convolved", kernel_shape=kernel.shape[:2], pads=padding)
        return _Map(made, (filters,), x.halvings, packs)

    def _transposed(self, x, layer):
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in (layer.kernel, layer.bias))
        kernel = kernel.transpose(3, 2, 0, 1)  # (rows, columns, filters, channels) → (channels, filters, rows, columns)
        packs = self.packs and x.halvings == 1
        if packs:  # one column of input makes one of output, which holds two
            kernel, bias = np.concatenate([kernel[..., :1], kernel[..., 1:]], 1), np.tile(bias, 2)
        weights = self._constant(f"{layer.name}_kernel", kernel), self._constant(f"{layer.name}_bias", bias)
        shape = kernel.shape[2:]
        made = self._node("ConvTranspose", [x.name, *weights], layer.name, kernel_shape=shape, strides=shape)
        return _Map(made, (layer.filters,), x.halvings - 1, packs)

    def _pooled(self, x, name):
        size = [2, 1 if x.packed else 2]
        pooled = self._node("MaxPool", [x.name], name, kernel_shape=size, strides=size)
        made = _Map(pooled, (sum(x.groups),), x.halvings + 1)
        if not x.packed:
            return made
        # The larger of the columns a and b is a + max(b − a, 0): by two 1×1 convolutions, which keep the blocks whole.
        # a is not negative, since it comes from a ReLU.
        one = np.eye(sum(x.groups))
        apart = np.block([[one, -one], [0 * one, one]])[np.newaxis, np.newaxis]
        both = self._convolution(made, apart, np.zeros(2 * len(one)), f"{name}_difference")
        both = replace(both, name=self._node("Relu", [both.name], f"{name}_difference_relu"))
        together = np.concatenate([one, one])[np.newaxis, np.newaxis]
        return self._convolution(both, together, np.zeros(len(one)), f"{name}_larger")

    def _upsampled(self, x, name):
        halvings = x.halvings - 1
        scales = self._constant(f"{name}_scales", [1.0, 1.0, 2.0, 1.0 if self.packs and halvings == 0 else 2.0])
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return replace(
            x, name=self._node("Resize", [x.name, "", scales], name, **nearest), halvings=halvings, doubled=True
        )

    def _normalised(self, name, layer):
        """Keras' GroupNormalization: each group of channels over all its pixels."""
        shape = self._node("Shape", [name], f"{layer.name}_shape")
        groups = self._constant(f"{layer.name}_groups", [0, layer.groups, -1])
        name = self._node("Reshape", [name, groups], f"{layer.name}_grouped")
        plain = [self._constant(f"{layer.name}_{k}", np.full(layer.groups, k)) for k in (1.0, 0.0)]
        name = self._node("InstanceNormalization", [name, *plain], f"{layer.name}_standard", epsilon=layer.epsilon)
        name = self._node("Reshape", [name, shape], f"{layer.name}_channels")
        for op, weight in (("Mul", layer.gamma), ("Add", layer.beta)):
            values = keras.ops.convert_to_numpy(weight).reshape(-1, 1, 1)
            name = self._node(op, [name, self._constant(f"{layer.name}_{op}_by", values)], f"{layer.name}_{op}")
        return name

    def _activated(self, layer, x):
        kind = layer.activation.__name__
        if kind == "linear":
            return x
        if kind == "relu":
            return replace(x, name=self._node("Relu", [x.name], f"{layer.name}_relu"))
        if kind not in ("sigmoid", "softmax") or layer.output is not self.network.outputs[0]:
            raise UnknownLayerError(
                f"layer {layer.name} has the activation {kind} and cannot be written as ONNX; expected relu within the "
                "network, sigmoid or softmax at its end. Predict with the .keras file."
            )
        name = self._node("Transpose", [x.name], "channels_last", perm=[0, 2, 3, 1])
        if x.packed:
            if len(x.groups) > 1:  # answers of one channel each: bring those of a column together
                by_group = self._constant("answers_shape", [0, 0, -1, len(x.groups), 2])
                name = self._node("Reshape", [name, by_group], "by_answer")
                name = self._node("Transpose", [name], "by_column", perm=[0, 1, 2, 4, 3])
            shape = self._constant("columns_shape", [0, 0, -1, sum(x.groups)])
            name = self._node("Reshape", [name, shape], "columns")
        return replace(x, name=self._node(kind.capitalize(), [name], "probability"), packed=False)

    # -------------------------------------------------------------------------------------------------------- the graph

    def _node(self, op, inputs, name, **attributes):
        """Add a node of one output, of the node's name; returns it."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name, values):
        values = np.asarray(values)
        values = values.astype(np.int64 if values.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _keeps_size(layer):
    return layer.groups == 1 and (layer.padding == "same" or layer.kernel_size == (1, 1))


def _folded(layer):
    """Kernel and bias of a convolution in prediction, float32 ndarrays, with its normalisation multiplied in."""
    if hasattr(layer, "folded"):
        return layer.folded()
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    return kernel, keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(layer.filters, np.float32)


def _packed_kernel(kernel, x):
    """A kernel for pairs of columns: it, and by how many pairs it reaches to the left and to the right.

    kernel : (rows, columns, channels, filters), over single columns. x : its input, `packed` or `doubled`.
    """
    rows, columns, channels, filters = kernel.shape
    reach = (columns - 1) // 2
    first, last = -reach // 2, (columns - reach) // 2
    packed = np.zeros((rows, last - first + 1, channels * (1 if x.doubled else 2), 2 * filters), np.float32)
    for side in (0, 1):  # of the pair that is computed
        for offset in range(columns):
            pair, column = divmod(side + offset - reach, 2)
            start = 0
            for count in x.groups:
                begin = start if x.doubled else 2 * start + column * count
                into = packed[:, pair - first, begin : begin + count, side * filters : (side + 1) * filters]
                into += kernel[:, offset, start : start + count]
                start += count
    return packed, -first, last
