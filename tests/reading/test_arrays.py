"""Arrays of a program's own: what is plain is taken, the rest is one line that says what to do."""

import numpy as np
import pytest

from reading.arrays import as_image, as_mask
from reading.files import InputError


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i2", "u4", "i8", "f2", "f8", ">u2", ">f4"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 3), (1, 1)])
def test_pictures_of_any_numbers_are_taken(shape, dtype):
    given = (np.arange(np.prod(shape)).reshape(shape) % 2 * 100).astype(dtype)
    image = as_image(given)
    assert image.shape == (*shape[:2], shape[2] if len(shape) == 3 else 1)
    assert image.dtype in (np.uint8, np.uint16, np.float32) and image.flags.c_contiguous
    np.testing.assert_array_equal(image.ravel(), given.ravel() * (255 if dtype == "?" else 1))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((6, 9, 4), np.uint8), r"\(6, 9, 4\) received; .*transparency out: image\[..., :3\]"),
        (np.zeros((6, 9, 2)), "Choose the channels"),
        (np.zeros((3, 60, 90)), "numpy.moveaxis"),
        (np.zeros((1, 6, 9, 1)), r"batch\[0\]"),
        (np.zeros((0, 9)), "that has pixels"),
        (np.zeros(9), "that shape"),
        (np.full((6, 9), np.nan), "not numbers.*finite"),
        (np.full((6, 9), np.inf, np.float32), "not numbers.*finite"),
        (np.zeros((6, 9), complex), "complex"),
        (np.zeros((6, 9), object), "object"),
        ([[0, 1], [1, 0]], r"list received; expected a NumPy array.*numpy.asarray"),
        (None, "NoneType received"),
    ],
)
def test_other_things_are_refused_in_one_line(given, says):
    with pytest.raises(InputError, match=says) as error:
        as_image(given, "picture 3")
    assert str(error.value).startswith("picture 3: ") and "; expected " in str(error.value)
    assert "\n" not in str(error.value)


def test_masks_are_whole_numbers_of_the_image_s_size():
    for given in (np.eye(4, dtype=bool), np.eye(4)[..., None] * 70_000, np.eye(4, dtype=np.uint64)):
        mask = as_mask(given, (4, 4, 3))
        assert mask.shape == (4, 4) and mask.dtype.kind in "ui" and mask[0, 0] == given.max()
    for wrong in (np.eye(5), np.zeros((4, 4, 3)), np.eye(4) / 2, [[1]]):
        with pytest.raises(InputError, match="^mask 2: .*expected "):
            as_mask(wrong, (4, 4, 3), "mask 2")
