"""Stacks of planes as one picture: `--stack`, for TIFFs as microscopes, ImageJ and Python write them."""

import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import main
from pairing.masks import read_mask_of
from pairing.pairs import Pair
from preparing.told import stack_of
from reading import images, stacks
from reading.files import InputError
from tests.helpers import listing

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 200, (5, 30, 22), np.uint8)
COLOUR = RNG.integers(0, 200, (5, 30, 22, 3), np.uint8)


def saved_by_pillow(path, planes):
    first, *rest = map(Image.fromarray, planes)
    first.save(path, save_all=True, append_images=rest, compression="tiff_lzw")


# name: (writes the file, the planes in it (planes, height, width[, channels]))
STACKS = {
    "OME": (lambda path: tifffile.imwrite(path, GREY, metadata={"axes": "ZYX"}, ome=True), GREY),
    "ImageJ": (lambda path: tifffile.imwrite(path, GREY, imagej=True, metadata={"axes": "ZYX"}), GREY),
    "pages of Pillow": (lambda path: saved_by_pillow(path, GREY), GREY),
    "pages without a word": (lambda path: tifffile.imwrite(path, GREY, metadata=None), GREY),
    "one page for all": (lambda path: tifffile.imwrite(path, GREY, truncate=True), GREY),
    "one volume in tiles": (
        lambda path: tifffile.imwrite(path, GREY, volumetric=True, tile=(16, 16, 16), compression="zlib"), GREY,
    ),
    "colour": (lambda path: saved_by_pillow(path, COLOUR), COLOUR),
    "colour in planes": (
        lambda path: tifffile.imwrite(
            path, COLOUR.transpose(0, 3, 1, 2), photometric="rgb", planarconfig="separate", compression="zlib"
        ),
        COLOUR,
    ),
    "channels first": (
        lambda path: tifffile.imwrite(path, COLOUR.transpose(3, 0, 1, 2), metadata={"axes": "CZYX"}, ome=True), COLOUR,
    ),
    "channels within, 16-bit": (
        lambda path: tifffile.imwrite(
            path, COLOUR.transpose(0, 3, 1, 2).astype(np.uint16) * 9, imagej=True, metadata={"axes": "ZCYX"}
        ),
        COLOUR.astype(np.uint16) * 9,
    ),
    "white is zero": (lambda path: tifffile.imwrite(path, GREY, photometric="miniswhite"), 255 - GREY),
    "float": (lambda path: tifffile.imwrite(path, GREY / np.float32(7)), GREY / np.float32(7)),
}  # fmt: skip


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_becomes_the_picture_that_was_asked_for(tmp_path, kind):
    write, planes = STACKS[kind]
    write(tmp_path / "a.tif")
    mean = planes.mean(0, dtype=np.float64)
    expected = {
        "min": planes.min(0), "max": planes.max(0), 1: planes[0], 5: planes[4],
        "mean": mean if planes.dtype.kind == "f" else np.rint(mean),
    }  # fmt: skip
    for how, picture in expected.items():
        with stacks.as_one(how):
            image = images.read(tmp_path / "a.tif")
            assert images.planes(tmp_path / "a.tif") == 5 and images.size(tmp_path / "a.tif") == (30, 22)
        assert image.dtype == planes.dtype
        np.testing.assert_allclose(image, picture.reshape(image.shape), rtol=1e-6)
    assert stacks.HOW is None
    with pytest.raises(InputError, match="expected one picture.*--stack focus"):
        images.read(tmp_path / "a.tif")


def blurred_scene():
    """(planes, sharp): discs at five depths, each sharp in its own plane alone, and the picture with all of them sharp.

    uint8 (5, 160, 160) and (160, 160).
    """
    rng = np.random.default_rng(2)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (160, 160)), (0, 0), 1.2) * 30
    rows, columns = np.mgrid[:160, :160]
    planes, sharp = np.full((5, 160, 160), 210.0), np.full((160, 160), 210.0)
    for number, (row, column) in enumerate((i, j) for i in (30, 80, 130) for j in (30, 80, 130)):
        disc = np.where((rows - row) ** 2 + (columns - column) ** 2 < 100, texture - 110, 0)
        sharp += disc
        for depth in range(5):
            away = 2.5 * abs(depth - number % 5)
            planes[depth] += cv2.GaussianBlur(disc, (0, 0), away) if away else disc
    planes += rng.normal(0, 2, planes.shape)
    return np.clip(planes, 0, 255).astype(np.uint8), sharp


def test_focus_takes_each_cell_from_the_plane_that_shows_it_sharply():
    planes, sharp = blurred_scene()
    cells = sharp < 200

    def error(picture):
        return np.abs(picture - sharp)[cells].mean()

    best_of_one = min(map(error, planes))
    assert error(stacks.join(planes, "focus")) < 4 < best_of_one / 3


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.sampled_from(["uint8", "uint16", "float32"]))
def test_each_pixel_of_focus_is_that_of_a_plane(height, width, count, dtype):
    planes = np.random.default_rng(height).integers(0, 250, (count, height, width, 3)).astype(dtype)
    joined = stacks.join(planes, "focus")
    assert joined.dtype == planes.dtype and (planes == joined).all(-1).any(0).all()


@pytest.mark.parametrize("how", ["focus", "min", "max", "mean", 7])
def test_memory_does_not_grow_with_the_planes(how):
    class Planes:
        def __init__(self, count):
            self.count = count

        def __len__(self):
            return self.count

        def __getitem__(self, number):
            return np.full((300, 300), number, np.uint16)

    def peak(count):
        tracemalloc.start()
        stacks.join(Planes(count), how)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40) < peak(10) + 2 * 300 * 300 * 2


@pytest.mark.parametrize(
    "axes, how, message",
    [
        ("ZYX", 9, "--stack 9, but it has 5 z planes; expected a number from 1 to 5"),
        ("TYX", None, "5 time points .*name its number with --stack N"),
        ("TYX", "focus", "5 time points with --stack focus.*expected a number"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, axes, how, message):
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, metadata={"axes": axes})
    with stacks.as_one(how), pytest.raises(InputError, match=message):
        images.read(tmp_path / "a.tif")


def test_of_a_time_series_one_moment_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, metadata={"axes": "TYX"})
    with stacks.as_one(3):
        np.testing.assert_array_equal(images.read(tmp_path / "a.tif")[..., 0], GREY[2])


def test_masks_that_are_stacks(tmp_path):
    labels = np.zeros((5, 30, 22), np.uint16)
    labels[2, 5:9, 5:9] = 7
    tifffile.imwrite(tmp_path / "image.tif", GREY, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "mask.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    saved_by_pillow(tmp_path / "objects.tif", GREY[:3])  # a page an object
    pair = Pair("image", tmp_path / "image.tif", tmp_path / "mask.tif", "image")
    with stacks.as_one(3):
        np.testing.assert_array_equal(read_mask_of(pair, (30, 22)), labels[2])
        other = Pair("image", tmp_path / "image.tif", tmp_path / "objects.tif", "image")
        with pytest.raises(InputError, match="a mask of 3 planes for an image of 5"):
            read_mask_of(other, (30, 22))
    for how in (None, "focus", "max"):
        with stacks.as_one(how), pytest.raises(InputError, match="a mask of 5 z planes"):
            read_mask_of(pair, (30, 22))


def make_stacks(folder):
    for kind in ("Images", "Masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(5):
        planes, sharp = blurred_scene()
        planes = np.roll(planes, number * 7, axis=2)
        tifffile.imwrite(folder / "Images" / f"f{number}.ome.tif", planes, metadata={"axes": "ZYX"})
        np.save(folder / "Masks" / f"f{number}.npy", np.roll(sharp < 200, number * 7, axis=1))
    return folder


def test_prepare_remembers_how(tmp_path, capsys):
    source, data = make_stacks(tmp_path / "mine"), tmp_path / "data"
    command = ["prepare", "--source", str(source), "--data", str(data)]
    assert main.main(command) == 2 and not data.exists()
    assert "--stack focus" in capsys.readouterr().err
    assert main.main([*command, "--stack", "focus"]) == 0
    before = listing(data)
    field = next((data / "Train data/Images").iterdir())
    assert field.read_bytes() == (source / "Images" / field.name).read_bytes()
    assert main.main(command) == 0 and listing(data) == before  # as it was told
    assert stack_of(data) == "focus" and stack_of(data, 2) == 2
    assert main.main(["check", "--data", str(data)]) == 0
    assert main.main([*command, "--stack", "max"]) == 0 and stack_of(data) == "max"
    assert "--stack focus before, max now" in capsys.readouterr().out


def test_an_option_that_means_nothing_is_one_line(capsys):
    with pytest.raises(SystemExit):
        main.main(["check", "--stack", "0"])
    assert "expected focus, min, max, mean or a plane's number from 1" in capsys.readouterr().err
