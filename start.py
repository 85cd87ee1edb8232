"""Where a training starts: from trained weights where they fit, else from nothing.

The repository ships weights (weights/README.md says what they were trained on and how well they do).
"""

import hashlib
from pathlib import Path

from images import InputError

WEIGHTS = Path(__file__).resolve().parent / "weights"
PAP_SMEAR = WEIGHTS / "pap_smear.keras"


def fingerprint(picture):
    """A few characters that tell pictures apart, from an ndarray of pixels: equal for equal pixels alone."""
    return hashlib.blake2b(picture.tobytes(), digest_size=8, key=f"{picture.shape}{picture.dtype}".encode()).hexdigest()


def start_from(init, network, pictures):
    """Put the weights that a training starts from into `network`, a keras.Model not trained yet.

    Parameters
    ----------
    init : path of a model file; "none" for nothing; "auto" for the shipped weights where they fit the network and were
        not trained on the very pictures at hand: validation would then measure what was learnt by heart.
    pictures : function giving the `fingerprint`s of all pictures at hand, asked only where needed.

    Returns one line for people. Raises `InputError` where a file that was named cannot be read or does not fit.
    """
    import model as networks  # only now: `predict` asks for the path alone, before Keras loads

    if init == "none":
        return "starting from nothing (--init none)"
    if init != "auto":
        networks.transfer(networks.load(init)[0], network)
        return f"starting from {init}"
    if not PAP_SMEAR.is_file():
        return f"starting from nothing: {PAP_SMEAR} is not there"
    source, card = networks.load(PAP_SMEAR)
    if set(card["trained_on"]) & set(pictures()):
        return f"starting from nothing: {PAP_SMEAR.name} was trained on some of these very pictures"
    try:
        networks.transfer(source, network)
    except InputError:
        return f"starting from nothing: {PAP_SMEAR.name} is a network of another shape"
    return f"starting from {PAP_SMEAR.name}, trained on Pap smears (--init none starts from nothing)"
