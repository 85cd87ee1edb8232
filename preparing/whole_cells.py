"""The true whole cells of the sample's fields: squamous cells that overlap, each with all of its cytoplasm."""

import numpy as np

from preparing.canvas import MARGIN
from preparing.sample import draw_field


def make_whole_cells(slide, field, *, size=1024, seed=0, colour=False):
    """The field of `sample.make_field` with its true squamous cells, each whole where it overlaps others.

    Args: as there.

    Returns:
        image, classes: as there.
        cells: of each cell whose nucleus lies in the field, (row, column, bool (height, width)): the box around what of
            it, cytoplasm and nucleus, lies in the field, and its pixels there. Leukocytes are none of them.
        layers: uint8 (size, size), how many squamous cells lie on a pixel, also those without a nucleus in the field.
    """
    image, canvas = draw_field(slide, field, size, seed, colour)
    cells, layers = [], np.zeros((size, size), np.uint8)
    for (rows, columns), pixels, nucleus in canvas.bodies:
        top, left = rows.start - MARGIN, columns.start - MARGIN
        pixels = pixels[max(0, -top) : max(0, size - top), max(0, -left) : max(0, size - left)]
        filled_rows, filled_columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if not len(filled_rows):
            continue
        pixels = pixels[filled_rows[0] : filled_rows[-1] + 1, filled_columns[0] : filled_columns[-1] + 1]
        row, column = int(max(0, top) + filled_rows[0]), int(max(0, left) + filled_columns[0])
        layers[row : row + pixels.shape[0], column : column + pixels.shape[1]] += pixels
        if nucleus is not None and all(0 <= place < size for place in nucleus):
            cells.append((row, column, pixels))
    return image, canvas.classes[MARGIN:-MARGIN, MARGIN:-MARGIN].copy(), cells, layers
