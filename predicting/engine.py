"""The network of a model file as a function: by ONNX Runtime where `export` has written one, else by Keras.

ONNX Runtime starts in a fifth of a second, where Keras and TensorFlow take four, and computes the same.
"""

import shutil
from pathlib import Path

import numpy as np

from reading.files import InputError, sha256
from reading.machine import cores
from weights.metadata import parse

METADATA = "card"  # entries of an ONNX file's own metadata: what prediction must know,
SOURCE = "sha256"  # and of which model file it is the export


def open_network(path):
    """The network of `path`, a .keras, .onnx, .h5 or .hdf5 file.

    The export beside a .keras file, of the same name, stands for it as long as it was made from it. Where there is an
    NVIDIA graphics card, which Keras uses, the .keras file itself is taken.

    Returns (predict, metadata): a function from float32 (n, height, width, channels) to probabilities, float32 (n,
    height, width, classes), and the dictionary that `weights.files.save` stored, completed by `classes` and `channels`.
    Raises `InputError` where there is no such file, or it is damaged.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return _open_onnx(path)
    if path.suffix == ".keras" and path.is_file() and not shutil.which("nvidia-smi"):
        try:
            return _open_onnx(path.with_suffix(".onnx"), sha256(path))
        except (InputError, ImportError):
            pass  # there is none, it is of another network or damaged, or ONNX Runtime is missing: Keras can do it
    return _open_keras(path)


def _open_onnx(path, source=None):
    import onnxruntime

    if not path.is_file():
        raise InputError(f"There is no model file {path}: train one first, or correct the path.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the processor alone
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map
        metadata = parse(facts[METADATA])
    except Exception as error:  # ONNX Runtime has an error class for each of its status codes
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path} cannot be read as an export of this program ({type(error).__name__}: {reason}): make it again "
            "with: python main.py export --model FILE --format onnx"
        ) from error
    if source not in (None, facts.get(SOURCE)):
        raise InputError(f"{path} was not made from the model file beside it: export it again.")
    (given,) = session.get_inputs()
    (result,) = session.get_outputs()
    return (lambda windows: session.run([result.name], {given.name: windows})[0]), metadata


def _open_keras(path):
    from weights.files import load  # Keras takes seconds to import: only when it is needed

    network, metadata = load(path)
    metadata = facts_of(network) | metadata
    return (lambda windows: np.asarray(network.predict_on_batch(windows))), metadata


def facts_of(network):
    """What can be seen of a keras.Model that prediction must know: a dictionary of `classes`, `channels`, `depth`."""
    halvings = sum(type(layer).__name__ == "MaxPooling2D" for layer in network.layers)
    facts = {"classes": network.output_shape[-1], "channels": network.input_shape[-1]}
    return facts | ({"depth": halvings} if halvings else {})  # 0: hidden in models within
