"""A trained model for other programs, and for a faster start of this one: ONNX, checked against Keras.

Networks of the layers in model.py are written by `onnx_graph`, laid out for speed; all others by Keras' own export.
"""

import json
import logging
import math
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx

from predicting import engine
from predicting.onnx_graph import UnknownLayerError, make_graph
from reading.files import InputError, replacing, sha256
from weights.files import load

LARGEST_DIFFERENCE = 1e-4  # between the probabilities of the export and of Keras
OF_GROUPS = 2e-3  # with group normalisation, where Keras itself is off by 0.0002 in each layer
HALVINGS = 5  # images that the two are compared on are multiples of 2**5; of more, for a deeper network


def export_onnx(path, target):
    """Write the network of the model file `path` as ONNX to `target`, with its metadata as metadata.

    Input `image`, float32 (batch, height, width, channels), height and width multiples of 2**depth, normalised as
    `intensity.normalise` does; output `probability`, float32 (batch, height, width, classes).

    Returns the largest difference of a probability between the two, on noise and on smooth images.
    Raises `InputError` where that is too large, or the network cannot be converted; then nothing is written.
    """
    path, target = Path(path), Path(target)
    if path.suffix == ".onnx":
        raise InputError(f"{path} is an export already; expected the .keras file that it was made from.")
    network, metadata = load(path)
    metadata = engine.facts_of(network) | metadata
    try:
        graph = _graph(network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for key, value in {engine.METADATA: json.dumps(metadata), engine.SOURCE: sha256(path)}.items():
        graph.metadata_props.add(key=key, value=value)
    with replacing(target) as temporary:
        onnx.save(graph, temporary)
        try:
            predict, _ = engine.open_network(temporary)
        except InputError as error:
            reason = " ".join(str(error.__cause__).split())[:150]
            raise InputError(
                f"{path}: ONNX Runtime refuses its ONNX version ({reason}). Use the .keras file."
            ) from error
        difference = _difference(network, predict, metadata.get("depth", 0))
        grouped = any(isinstance(layer, keras.layers.GroupNormalization) for layer in network.layers)
        limit = OF_GROUPS if grouped else LARGEST_DIFFERENCE
        if not difference <= limit:  # nor NaN
            raise InputError(
                f"{path}: its ONNX version gives probabilities that differ by up to {difference:.2g}; expected at most "
                f"{limit}. Predict with the .keras file."
            )
    return difference


def _graph(network):
    """`network` as onnx.ModelProto: the fast graph where its layers allow it, else Keras' own."""
    try:
        return make_graph(network)
    except UnknownLayerError as refusal:
        if not _gives_probabilities(network):
            raise
        try:
            return _graph_by_keras(network)
        except Exception as error:  # tf2onnx is missing, or whatever it and TensorFlow make of an unusual layer
            reason = " ".join(str(error).split())[:150] or type(error).__name__
            raise InputError(f"{refusal} (Keras' own export: {reason})") from error


def _gives_probabilities(network):
    """True where the last layer is a sigmoid or a softmax, which no comparison of numbers could tell."""
    last = network
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    return isinstance(last, keras.layers.Softmax) or activation in ("sigmoid", "softmax")


def _graph_by_keras(network):
    """`network` by `Model.export`, which takes any layer; of TensorFlow's operations, tf2onnx makes those of ONNX."""
    given = [keras.InputSpec(shape=network.input_shape, dtype="float32", name="image")]
    log = logging.getLogger("tf2onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it cannot convert, the checker below reports
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy 2, at names that tf2onnx still knows
            path = Path(folder) / "model.onnx"
            network.export(path, format="onnx", verbose=False, input_signature=given)
            model = onnx.load(path)
    finally:
        log.setLevel(level)
    (end,) = model.graph.output
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["probability" if name == end.name else name for name in names]
    end.name = "probability"
    onnx.checker.check_model(model)
    return model


def _difference(network, predict, depth):
    """The largest difference between the probabilities of `network` and of `predict`, on two made-up images."""
    rng = np.random.default_rng(0)
    step = 2 ** max(depth, HALVINGS)
    _, *fixed, channels = network.input_shape  # None, where the network takes any size
    largest = 0.0
    for sides, grain in (((2 * step, 3 * step), 1), ((max(256, step),) * 2, 16)):
        height, width = (known or side for known, side in zip(fixed, sides, strict=True))
        coarse = rng.random((1, math.ceil(height / grain), math.ceil(width / grain), channels), np.float32)
        image = coarse.repeat(grain, 1).repeat(grain, 2)[:, :height, :width]
        largest = np.maximum(largest, np.abs(network.predict_on_batch(image) - predict(image)).max())  # NaN stays
    return float(largest)
