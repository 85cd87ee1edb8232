"""A trained model for other programs, and for a faster start of this one: ONNX, checked against Keras."""

import json
import logging
import warnings
from pathlib import Path

import keras
import numpy as np

import engine
import images
import model as networks
from images import InputError

LARGEST_DIFFERENCE = 1e-4  # between the probabilities of the export and of Keras


def export_onnx(path, target):
    """Write the network of the model file `path` as ONNX to `target`, with its card as metadata.

    Input `image`, float32 (batch, height, width, channels), height and width multiples of 16, normalised as
    `images.normalise` does; output the probabilities, float32 (batch, height, width, classes).

    Returns the largest difference of a probability between the two, on noise and on smooth images.
    Raises `InputError` where that is above `LARGEST_DIFFERENCE`, or the network cannot be converted; then nothing is
    written.
    """
    import onnx

    path, target = Path(path), Path(target)
    network, card = networks.load(path)
    card = {"classes": network.output_shape[-1], "channels": network.input_shape[-1]} | card
    signature = [keras.InputSpec(shape=(None, None, None, card["channels"]), dtype="float32", name="image")]
    with images.replacing(target) as temporary:
        try:
            with warnings.catch_warnings():  # tf2onnx's remarks on NumPy
                warnings.simplefilter("ignore")
                logging.getLogger("tf2onnx").setLevel(logging.ERROR)
                network.export(temporary, format="onnx", verbose=False, input_signature=signature)
        except (ImportError, NotImplementedError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(
                f"{path} cannot be written as ONNX ({type(error).__name__}: {reason}); expected the TensorFlow backend "
                "and the packages of requirements.txt. Predict with the .keras file."
            ) from error
        exported = onnx.load(temporary)
        for key, value in {engine.CARD: json.dumps(card), engine.SOURCE: engine.fingerprint(path)}.items():
            exported.metadata_props.add(key=key, value=value)
        onnx.save(exported, temporary)
        difference = _difference(network, engine.open_network(temporary)[0], card["channels"])
        if difference > LARGEST_DIFFERENCE:
            raise InputError(
                f"{path}: its ONNX version gives probabilities that differ by up to {difference:.2g}; expected at most "
                f"{LARGEST_DIFFERENCE}. Predict with the .keras file."
            )
    return difference


def _difference(network, predict, channels):
    rng = np.random.default_rng(0)
    largest = 0.0
    for size, grain in (((64, 96), 1), ((256, 256), 16)):
        coarse = rng.random((1, size[0] // grain, size[1] // grain, channels), np.float32)
        tiles = coarse.repeat(grain, 1).repeat(grain, 2)
        largest = max(largest, float(np.abs(network.predict_on_batch(tiles) - predict(tiles)).max()))
    return largest
