"""Whether a picture is one that weights were trained on, although it was tinted, compressed, scaled or cut out.

Of each training picture a model file keeps a sketch: where it is brighter or darker than its surroundings, in three
steps and in cells of `CELL_PX` pixels. Colour, exposure, noise and JPEG hardly change that, and no picture can be made
from it.
"""

import base64
import zlib

import cv2
import numpy as np

from reading import intensity

CELL_PX = 8
ZOOMS = (1, 2, 0.5)  # of parts of a picture; whole ones are found at any size
LIKE = 0.75  # correlation of sketches: 0.95 or more for the same field, 0.85 for a part of it, 0.1 to 0.7 for others
SMALLEST = 26  # cells a side; less of a picture looks like a part of many
MARGIN = 2  # cells at the border, which know only half of their surroundings
MOST = 100  # pictures of a folder that are worth a look: where it takes more to find a known one, few are


def sketch(image, size=None):
    """The sketch of an image of shape (height, width, channels), scaled to `size` (height, width) px if given.

    Returns an int8 array of -1 (darker than the surroundings), 0 and 1, one value a cell.
    """
    grey = intensity.to_channels(image, 1)[..., 0].astype(np.float32)
    rows, columns = (max(1, round(length / CELL_PX)) for length in size or grey.shape)
    small = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    detail = cv2.GaussianBlur(small, (0, 0), 0.7) - cv2.GaussianBlur(small, (0, 0), 3)
    # What counts as detail is decided near by, so that a part has the sketch that it has in the whole.
    limit = 0.5 * np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), 8) + 0.2 * detail.var())
    return (detail > limit).astype(np.int8) - (detail < -limit)


def remember(image):
    """What a model file keeps of a picture that it was trained on: `size` in px and the packed `sketch`."""
    drawn = sketch(image)
    bits = np.packbits([drawn > 0, drawn < 0]).tobytes()
    return {"size": list(image.shape[:2]), "sketch": base64.b64encode(zlib.compress(bits, 9)).decode("ascii")}


def _recall(kept):
    """(size, sketch) of what `remember` gave."""
    rows, columns = (max(1, round(length / CELL_PX)) for length in kept["size"])
    bits = np.frombuffer(zlib.decompress(base64.b64decode(kept["sketch"])), np.uint8)
    bright, dark = np.unpackbits(bits, count=2 * rows * columns).reshape(2, rows, columns).astype(np.float32)
    return tuple(kept["size"]), bright - dark


def any_known(pictures, trained_on):
    """True where one of `pictures`, images in any order, shows all or a part of one that was trained on.

    Parts are found from 240 pixels on, at their own scale, half or twice that.

    trained_on : list of what `remember` gave.
    """
    known = [_recall(kept) for kept in trained_on]
    return any(_is_known(image, known) for image in pictures)


def _is_known(image, known):
    height, width = image.shape[:2]
    sizes = {(round(height * zoom), round(width * zoom)) for zoom in ZOOMS}
    sizes |= {size for size, _ in known if abs(size[0] * width / (size[1] * height) - 1) < 0.03}
    for size in sizes:
        if min(size) < CELL_PX * (SMALLEST + 2 * MARGIN) or all(np.greater(size, other).any() for other, _ in known):
            continue
        part = sketch(image, size)[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
        if any(_shows(drawn, part) for _, drawn in known):
            return True
    return False


def _shows(drawn, part):
    """True where a sketch shows `part` somewhere, everywhere in it and not by one large cell alone."""
    if not part.any() or (np.array(part.shape) > drawn.shape).any():
        return False
    likeness = cv2.matchTemplate(drawn, part, cv2.TM_CCORR_NORMED)
    if likeness.max() < LIKE:
        return False
    row, column = np.unravel_index(likeness.argmax(), likeness.shape)
    found = drawn[row : row + part.shape[0], column : column + part.shape[1]]
    both, one, other = (
        cv2.resize(product, (5, 5), interpolation=cv2.INTER_AREA) for product in (part * found, part**2, found**2)
    )
    weight = np.sqrt(one * other)
    alike = (both > 0.4 * weight) & (weight > 0.03)
    return bool(alike.sum() >= 8 and weight.sum() ** 2 / (weight**2).sum() > 8)
