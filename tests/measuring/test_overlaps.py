"""Cells that overlap are whole: outlines and measurements share pixels, and nothing changes where none overlap."""

import numpy as np
import pytest

from measuring.cells import find_cells


def disc(shape, row, column, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def smear(size, *cells, density=0.4, light=230, colour=False):
    """Translucent discs (row, column, radius), each with a nucleus: picture, mask of three classes, the true cells."""
    whole = [disc(size, *cell) for cell in cells]
    nuclei = [disc(size, row, column, radius / 5) for row, column, radius in cells]
    dark = density * np.sum(whole, 0) + np.any(nuclei, 0)
    mask = np.any(whole, 0).astype(np.uint8)
    mask[np.any(nuclei, 0)] = 2
    image = np.rint(light * np.exp(-dark)).astype(np.uint8)[..., np.newaxis]
    return np.repeat(image, 3, 2) if colour else image, mask, whole


def on_canvas(cell, size):
    pixels = np.zeros(size, bool)
    pixels[cell.place()] = cell.pixels
    return pixels


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


TWO = ((60, 55, 40), (60, 105, 40))  # 17 % of each is shared


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_two_discs_that_overlap_come_back_whole(times, colour):
    size = (120 * times, 160 * times)
    image, mask, true = smear(size, *np.multiply(TWO, times), colour=colour)
    found = find_cells(mask, 3, image=image)
    assert len(found) == 2
    for cell, one in zip(found.whole, true, strict=True):
        assert dice(on_canvas(cell, size), one) > 0.97
    parted = find_cells(mask, 3)
    assert dice(on_canvas(parted.whole[0], size), true[0]) < 0.95


def test_where_the_shared_part_is_not_darker_cells_are_parted_as_without_a_picture():
    image, mask, _ = smear((120, 160), *TWO)
    image[mask == 1] = 150
    found, parted = find_cells(mask, 3, image=image), find_cells(mask, 3)
    for one, other in zip(found.whole, parted.whole, strict=True):
        assert one[:2] == other[:2]
        np.testing.assert_array_equal(one.pixels, other.pixels)
