"""Model files: written in one piece, read whole or not at all, and their weights brought into another network."""

import json
import os
import zipfile
from pathlib import Path

import h5py
import keras

from model import NormalizedConv2D, UNet, classic_unet
from reading.files import InputError, counted, settle
from reading.intensity import LUMINANCE
from weights.metadata import MEMBER, parse

# --- starting from trained weights ------------------------------------------------------------------------------------


def transfer(source, target):
    """Copy the weights of one U-Net into another, layer by layer, where they mean the same.

    Between grey and colour the first convolution is converted: a colour image then gives what its luminance gave (ITU-R
    BT.601, as `intensity.to_channels` makes grey). Batch normalisation that the target does not have is multiplied into
    kernel and bias. A head for another number of classes is not copied. The answer that keeps objects apart
    (`model.with_apart`) begins as the first one where the source has none.

    Args:
        source, target: keras.Model, as `unet` makes them; `target` is changed.

    Returns:
        list of str: the names of the layers of `target` that hold weights and kept their own.

    Raises:
        InputError: where the networks differ in more than channels and classes; `target` is then as it was.
    """
    named = {layer.name: layer for layer in source.layers if layer.weights}
    if "apart_head" not in named and "head" in named:
        named["apart_head"] = named["head"]
    fitting, kept = [], []
    for layer in target.layers:
        if not layer.weights or (layer.name == "apart_conv" and layer.name not in named):
            continue
        weights = _weights(named[layer.name], layer) if layer.name in named else []
        if layer.name == "enc1_conv1" and weights:
            weights[0] = _to_channels(weights[0], layer.kernel.shape[2])
        shapes = [tuple(w.shape) for w in layer.weights]
        if [w.shape for w in weights] == shapes:
            fitting.append((layer, weights))
        elif layer.name in ("head", "apart_head") and weights:
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


def save(model, path, metadata):
    """Write `model` and its `metadata` as one `.keras` file: under a temporary name first, then renamed.

    The network in the file computes in float32, whatever `model` trained in, so that it predicts alike everywhere.

    Args:
        model: keras.Model.
        path: str or Path ending in `.keras`.
        metadata: dict that JSON can hold: what a later prediction must know (classes, channels, normalisation, crop_px,
            threshold ...).
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"A model file's name must end in .keras. Received: {path.name}.")
    text = json.dumps(metadata, indent=2)  # before anything is written: it may raise
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.keras")
    try:
        in_float32(model).save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(MEMBER, text)
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
        (keras.Model, dict): the model, not compiled, and the metadata that `save` stored, {} for a stranger's file.
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
            found = parse(archive.read(MEMBER)) if MEMBER in archive.namelist() else {}
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged archive makes zipfile, h5py, json or Keras raise
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path} cannot be read as a Keras model ({type(error).__name__}: {reason}): copy or train it again."
        ) from error
    if model.name == "unet" and not isinstance(model, UNet):  # written before there was the class
        model = UNet(model.inputs, model.outputs, name=model.name)
    return model, found


def _load_classic(path):
    """An .h5 or .hdf5 file of the classic lineage -> (classic_unet with its weights, metadata)."""
    try:
        with h5py.File(path) as file:
            found = _layer_weights(file)
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be read as an HDF5 weight file ({reason}): copy it again.") from error
    convolutions = 24
    if len(found) != convolutions or found[0][1][0].ndim != 4:
        raise InputError(
            f"{path} holds {counted(len(found), 'layer')} with weights, expected the {convolutions} convolutions of "
            "the classic U-Net: rebuild the network it was trained with and save that as a .keras file."
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
    metadata = {
        "classic": True,
        "classes": 1,
        "channels": channels,
        "filters": filters,
        "depth": 4,
        "normalisation": "divide by 255",
        "crop_px": 256,
        "threshold": 0.5,
    }
    return model, metadata


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
