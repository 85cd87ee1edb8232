"""Where a training starts: from trained weights where they fit, else from nothing.

The repository ships weights (weights/README.md says what they were trained on and how well they do).
"""

import os
from pathlib import Path

from reading.files import InputError, sha256
from weights.model_files import NETWORKS, model_file

WEIGHTS = Path(__file__).resolve().parent
PAP_SMEAR = WEIGHTS / "pap_smear.keras"
SAMPLE = WEIGHTS / "sample.keras"
TRAINED_ON = {PAP_SMEAR.name: "Pap smears", SAMPLE.name: "synthetic Pap smears"}


def start_from(init, network, pictures):
    """Put the weights that a training starts from into `network`, a keras.Model not trained yet.

    Parameters
    ----------
    init : path of a model file or a run folder; "none" for nothing; "auto" for the first of the shipped weights,
        `PAP_SMEAR`, then `SAMPLE`, that fits the network and was not trained on the very pictures at hand: validation
        would then measure what was learnt by heart.
    pictures : function giving the pictures at hand, images of shape (height, width, channels), asked only for "auto".

    Returns (one line for people, the path of the weights, None for nothing, and the names of the layers that kept what
    they had, as `files.transfer` gives them). Raises `InputError` where a file that was named cannot be read or does
    not fit.
    """
    from weights.files import load, transfer  # only now: `predict` asks for the path alone, before Keras loads
    from weights.known_pictures import any_known

    if init == "none":
        return "starting from nothing (--init none)", None, []
    if init != "auto":
        path = model_file(init, NETWORKS)
        return f"starting from {init}", path, transfer(load(path)[0], network)
    why_not = "no weights are shipped with this copy"
    for path in (PAP_SMEAR, SAMPLE):
        if not path.is_file():
            continue
        source, metadata = load(path)
        if any_known(pictures(), metadata["trained_on"]):
            why_not = f"{path.name} was trained on some of these very pictures, or parts of them"
            continue
        try:
            kept = transfer(source, network)
        except InputError:
            why_not = f"{path.name} is a network of another shape"
            continue
        line = f"starting from {path.name}, trained on {TRAINED_ON[path.name]} (--init none starts from nothing)"
        return line, path, kept
    return f"starting from nothing: {why_not}", None, []


def noted(path):
    """What a run card keeps of the weights that a training started from, to `find` them by; None of none."""
    return path and {"path": os.path.abspath(path), "sha256": sha256(path)}


def find(note):
    """The path of the weights of a note, unchanged; the shipped ones also in another copy of the program. Else None."""
    for path in (Path(note["path"]), PAP_SMEAR, SAMPLE):
        if path.is_file() and sha256(path) == note["sha256"]:
            return path
    return None
