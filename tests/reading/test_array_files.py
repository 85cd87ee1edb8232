"""NumPy's .npy files, as images and as label arrays; Python objects in them are never opened."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pairing.masks import read_mask_of
from pairing.pairs import Pair
from pairing.shades import COLOUR
from reading import images
from reading.files import InputError

KINDS = ["?", "u1", "<u2", ">u2", "<u4", "i1", "<i4", ">i8", "<f4", ">f8"]
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(st.data())
def test_a_label_array_comes_back_with_its_numbers(tmp_path_factory, data):
    dtype, shape = np.dtype(data.draw(st.sampled_from(KINDS))), data.draw(SHAPES)
    highest = 1 if dtype.kind == "b" else 100
    labels = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, highest))).astype(dtype)
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    for stored in (labels, labels[..., np.newaxis], np.asfortranarray(labels)):
        np.save(path, stored)
        mask = images.read_mask(path)
        assert mask.dtype.kind in "ui" and mask.dtype.isnative and images.size(path) == shape
        np.testing.assert_array_equal(mask, labels.astype(int))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_an_array_is_an_image_too(tmp_path, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    image = images.read(tmp_path / "a.npy")
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, array.reshape(5, 7, -1))


def test_colours_in_an_array_are_colours(tmp_path):
    drawn = np.zeros((6, 6, 3), np.uint8)
    drawn[2:4] = 255, 0, 0
    np.save(tmp_path / "a.npy", drawn)
    mask = read_mask_of(Pair("a", tmp_path / "a.png", tmp_path / "a.npy", "a"), (6, 6))
    assert mask[2, 0] == COLOUR | 255 << 16 and mask[0, 0] == 0


class Shout:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("name", ["a_seg.npy", "b.npy"])
def test_python_objects_are_not_opened(tmp_path, name):
    np.save(tmp_path / name, {"masks": Shout()}, allow_pickle=True)
    with pytest.raises(InputError, match="Python objects .*; expected an array of numbers.*PNG or TIFF from Cellpose"):
        images.read_mask(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(Shout()))
    with pytest.raises(InputError, match="Python objects"):
        images.read(tmp_path / name)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((4, 5, 6)), r"array of shape \(4, 5, 6\)"),
        (np.zeros(4), r"array of shape \(4,\)"),
        (np.zeros((0, 4)), r"array of shape \(0, 4\)"),
        (np.zeros((3, 4), complex), "type complex128; expected numbers"),
        (np.full((3, 4), "cell"), "expected numbers"),
    ],
)
def test_other_arrays_are_refused_in_one_line(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    for read in (images.read, images.read_mask, images.size):
        with pytest.raises(InputError, match=message) as refused:
            read(tmp_path / "a.npy")
        assert "\n" not in str(refused.value)


def test_fractions_and_half_files_are_no_masks(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 4), 0.5))
    with pytest.raises(InputError, match="fractional values"):
        images.read_mask(tmp_path / "a.npy")
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-20])
    with pytest.raises(InputError, match="damaged or unsupported"):
        images.read_mask(tmp_path / "a.npy")
