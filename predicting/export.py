"""A trained model for other programs, and for a faster start of this one: ONNX, checked against Keras."""

import json
from pathlib import Path

import keras
import numpy as np
import onnx

from predicting import engine
from predicting.onnx_graph import make_graph
from reading.files import InputError, replacing, sha256
from weights.files import load

LARGEST_DIFFERENCE = 1e-4  # between the probabilities of the export and of Keras
OF_GROUPS = 2e-3  # with group normalisation, where Keras itself is off by 0.0002 in each layer


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
    metadata = {"classes": network.output_shape[-1], "channels": network.input_shape[-1]} | metadata
    try:
        graph = make_graph(network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for key, value in {engine.METADATA: json.dumps(metadata), engine.SOURCE: sha256(path)}.items():
        graph.metadata_props.add(key=key, value=value)
    with replacing(target) as temporary:
        onnx.save(graph, temporary)
        difference = _difference(network, engine.open_network(temporary)[0], metadata["channels"])
        grouped = any(isinstance(layer, keras.layers.GroupNormalization) for layer in network.layers)
        limit = OF_GROUPS if grouped else LARGEST_DIFFERENCE
        if not difference <= limit:  # nor NaN
            raise InputError(
                f"{path}: its ONNX version gives probabilities that differ by up to {difference:.2g}; expected at most "
                f"{limit}. Predict with the .keras file."
            )
    return difference


def _difference(network, predict, channels):
    rng = np.random.default_rng(0)
    largest = 0.0
    for size, grain in (((64, 96), 1), ((256, 256), 16)):
        coarse = rng.random((1, size[0] // grain, size[1] // grain, channels), np.float32)
        tiles = coarse.repeat(grain, 1).repeat(grain, 2)
        largest = np.maximum(largest, np.abs(network.predict_on_batch(tiles) - predict(tiles)).max())  # NaN stays
    return float(largest)
