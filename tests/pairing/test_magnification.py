"""Training pictures whose files state different magnifications are brought to one."""

import cv2
import numpy as np
import pytest
import tifffile

from pairing.examples import Examples
from pairing.magnification import common_scale
from pairing.masks import MaskCoding
from pairing.objects import areas_of, sizes
from pairing.pairs import Pair
from reading.files import InputError
from reading.images import write_png


def write(folder, stated):
    """Discs of 10 µm in pictures of so many µm per pixel (None: not stated), as `pairs.Pair`s."""
    pairs = []
    for number, um in enumerate(stated):
        size = round(100 / (um or 1))
        mask = cv2.circle(np.zeros((size, size), np.uint8), (size // 2, size // 2), round(5 / (um or 1)), 255, -1)
        sides = {"resolution": (1e4 / um,) * 2, "resolutionunit": "CENTIMETER"} if um else {}
        tifffile.imwrite(folder / f"{number}.tif", 200 - mask // 2, **sides)
        write_png(folder / f"{number}.png", mask)
        pairs.append(Pair(str(number), folder / f"{number}.tif", folder / f"{number}.png", str(number)))
    return pairs


def test_pictures_are_learnt_at_the_middle_size_of_their_pixels(tmp_path):
    pairs = write(tmp_path, [0.25, 0.5, 0.5, 1])
    um, scales, line = common_scale(pairs)
    assert um == 0.5 and scales == {pairs[0].image: 0.5, pairs[3].image: 2}
    assert "0.25 to 1 µm per pixel: 2 of 4 are brought to 0.5" in line
    examples = Examples(pairs, MaskCoding(None, 1, 1, ""), 1, 64, False, {0: 1, 255: 1})
    examples.scales = scales
    for index in range(4):
        assert examples[index].mask.shape == examples[index].image.shape[:2] == (200, 200)
        assert sizes(examples.areas[index])["typical_px"] == pytest.approx(20, abs=2)


def test_what_is_not_known_changes_nothing(tmp_path):
    assert common_scale(write(tmp_path, [None, None])) == (None, {}, None)
    assert common_scale(write(tmp_path, [0.25, 0.252])) == (0.252, {}, None)
    um, scales, line = common_scale(write(tmp_path, [0.25, 1, None]))
    assert um is None and not scales and line.startswith("2 of 3 pictures state the size of their pixels, from 0.25 to")
    assert common_scale(write(tmp_path, [0.25, 1]), stated=0.3) == (0.3, {}, None)
    with pytest.raises(InputError, match=r"states 9 µm per pixel, others 0.25; expected .*[.] Correct"):
        common_scale(write(tmp_path, [0.25, 0.25, 9]))


def test_the_typical_size_is_neither_that_of_specks_nor_of_what_the_border_cuts():
    labels = np.zeros((200, 200), np.int32)
    for number, column in enumerate(range(20, 200, 40), start=1):
        cv2.circle(labels, (column, 100), 10, number, -1)
    labels[::6, ::6][labels[::6, ::6] == 0] = 1  # specks, of a number that another piece has
    labels[170:, 150:] = 9
    assert sizes(areas_of(labels))["typical_px"] == pytest.approx(20, abs=1)
    assert sizes([]) is None
