"""Pictures among the masks, and masks among the pictures, told by the pixels.

A photograph is restless: most pixels differ from their neighbour. A mask has few values, or plain areas.
"""

import numpy as np

from pairing.annotations import is_outlines
from reading import images
from reading.files import InputError

ROWS = 64  # so many, spread evenly, tell enough
FEW_VALUES, MANY_VALUES = 4, 16


def looks_like_picture(mask):
    """True for what is a photograph by itself: integers (height, width) of a stored mask."""
    if mask.shape[1] < 2:
        return False
    differ = (mask[:, 1:] != mask[:, :-1]).mean()
    return bool(differ > 0.4 and len(np.unique(_rows(mask))) > MANY_VALUES)


def are_exchanged(image, mask):
    """Whether an image looks like a mask and its mask like a picture: both (height, width[, channels])."""
    distinct, restless = _look(image)
    if distinct < 2 or not (distinct <= FEW_VALUES or restless < 0.2 or _two_tones(image)):
        return False
    distinct, restless = _look(mask)
    return distinct > MANY_VALUES and restless > 0.3


def refuse_exchanged(pair, image, stored=None):
    """Raise `InputError` where the picture of a pair is in the mask's place, with the mask in its own or without.

    image : of the pair, (height, width, channels). stored : its mask, (height, width); None where it cannot be read as
        one.
    """
    if pair.mask.is_dir() or is_outlines(pair.mask):
        return
    if stored is None:
        try:
            stored = images.read(pair.mask)
        except InputError:
            return
    if are_exchanged(image, stored):
        raise InputError(
            f"{pair.image} looks like a mask, and {pair.mask} like a picture; expected the pictures in Images and the "
            "masks in Masks. Exchange the two."
        )
    lossy = pair.mask.suffix.lower() in (".jpg", ".jpeg")  # colours of a drawing have many values there
    if stored.ndim == 2 and not lossy and looks_like_picture(stored):
        raise InputError(
            f"{pair.mask}: the many values of a photograph; expected a mask, with one value for each class or object. "
            "Put the mask there instead."
        )


def _rows(array):
    return array[:: max(1, len(array) // ROWS)]


def _look(array):
    """(distinct values, share of neighbours that differ where not both are the commonest value)."""
    rows = _rows(array)
    if rows.ndim == 3:  # colours as one number
        rows = rows.astype(np.float64) @ (2.0 ** (16 * np.arange(rows.shape[2])))
    values, counts = np.unique(rows, return_counts=True)
    left, right = rows[:, :-1], rows[:, 1:]
    counted = (left != values[counts.argmax()]) | (right != values[counts.argmax()])
    return len(values), float((left != right)[counted].mean()) if counted.any() else 0.0


def _two_tones(image):
    """True for black and white with blurred or compressed edges."""
    if image.dtype != np.uint8:
        return False
    black, white = (image <= 8).mean(), (image >= 247).mean()
    return bool(black + white > 0.9 and min(black, white) > 0)
