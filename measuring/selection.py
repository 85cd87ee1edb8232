"""Which of the cells found are kept: not those that the image's edge cuts, nor those too large to be one.

The smallest size is `cells.smallest_area_px`'s, since holes and divisions hang on it too.
"""

from dataclasses import replace
from itertools import compress

import numpy as np

from measuring.cells import smallest_area_px
from reading.files import InputError


def largest_area_px(um_per_px=None, max_area=None):
    """The area in pixels above which a cell is left out, infinite where none is.

    max_area : in µm² where `um_per_px`, the micrometres per pixel, is known, else in pixels; None: no limit.
    """
    if max_area is None:
        return np.inf
    return max_area if um_per_px is None else max_area / um_per_px**2


def refuse_none_between(known, min_area, max_area, name, scale):
    """Raise `InputError` where no cell can be as large as the smallest and as small as the largest asked for.

    known : whether the size of a pixel of the picture called `name` is; min_area : as it was given, or None for the
    default; max_area : as it was given; scale : how many times as large the network sees the picture.
    """
    smallest = smallest_area_px(1 if known else None, min_area, scale)  # in µm² where known: of pixels of 1 µm
    if max_area < smallest:
        unit = "µm²" if known else "pixels"
        chosen = "" if min_area is not None else ", the default"
        raise InputError(
            f"--max-area {max_area:g} received for {name}, whose smallest cell has {smallest:g} {unit} (--min-area"
            f"{chosen}); expected more than that. Give both in {unit}."
        )


def _boxes(cells):
    """First row, first column, and those after the last, of each cell with its cytoplasm: int64 (n, 4)."""
    from scipy.ndimage import find_objects

    places = find_objects(cells.labels) if cells.whole is None else [cell.place() for cell in cells.whole]
    found = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in places]
    return np.array(found, np.int64).reshape(-1, 4)


def box_sizes(cells):
    """Height and width in pixels of the box around each cell, with its cytoplasm: int64 (n, 2)."""
    boxes = _boxes(cells)
    return boxes[:, 2:] - boxes[:, :2]


def areas(labels):
    """The number of pixels of each object, 1 … n: int64 (n,)."""
    return np.bincount(labels[labels > 0], minlength=1)[1:]


def touch_edge(cells, corner, extent):
    """Which cells have a pixel in the first or last row or column of their image: bool (n,).

    With three classes the cell is the nucleus with its cytoplasm.

    cells : `cells.Cells`, of a block; corner : its first row and column in the image; extent : that one's height and
        width.
    """
    top, left, bottom, right = _boxes(cells).T
    row, column = corner
    return (top + row == 0) | (left + column == 0) | (bottom + row == extent[0]) | (right + column == extent[1])


def choose(cells, kept):
    """The `Cells` where `kept`, bool (n,), is true, in the same order and numbered from 1."""
    numbers = np.zeros(len(cells) + 1, np.int32)
    numbers[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1)
    whole = None if cells.whole is None else tuple(compress(cells.whole, kept))
    return replace(cells, labels=numbers[cells.labels], classes=cells.classes[kept], whole=whole)
