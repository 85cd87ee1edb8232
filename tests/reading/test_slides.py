"""Slides give their pixels region by region, the same as the file holds; what cannot be read is one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import slides
from reading.files import InputError
from reading.slides import Slide, is_slide, open_slide
from tests.slide_files import make_slide


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "noise.tif"
    return path, make_slide(path)


@settings(max_examples=40, deadline=None)
@given(row=st.integers(-90, 330), column=st.integers(-90, 430), size=st.tuples(st.integers(1, 99), st.integers(1, 99)))
def test_a_region_is_what_the_file_holds_and_white_outside(noise, row, column, size):
    path, full = noise
    wide = np.pad(full, ((100, 200), (100, 200), (0, 0)), constant_values=255)
    with open_slide(path) as slide:
        assert (slide.height, slide.width) == full.shape[:2]
        region = slide.read_region(row, column, *size)
    assert region.dtype == np.uint8
    np.testing.assert_array_equal(region, wide[100 + row :, 100 + column :][: size[0], : size[1]])


def test_a_large_region_is_decoded_in_bands(noise, monkeypatch):
    path, full = noise
    monkeypatch.setattr(slides, "BAND_PIXELS", 1000)  # two rows of 400 pixels
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read_region(0, 0, *full.shape[:2]), full)


class Framed:
    """A slide of which the scanner photographed a part, as .mrxs files state it."""

    dimensions = (400, 300)

    def __init__(self, opened, **properties):
        self.read_region = opened.read_region
        self.properties = {f"openslide.{name.replace('_', '-')}": str(value) for name, value in properties.items()}


def test_coordinates_start_where_the_scanner_did(noise):
    path, full = noise
    opened = openslide.OpenSlide(path)
    slide = Slide(path, Framed(opened, bounds_x=30, bounds_y=20, bounds_width=200, bounds_height=100))
    assert (slide.height, slide.width) == (100, 200)
    np.testing.assert_array_equal(slide.read_region(5, 7, 10, 12), full[25:35, 37:49])


def test_micrometres_per_pixel(tmp_path, noise):
    make_slide(tmp_path / "a.tif", resolution=(20000, 40000))  # pixels a centimetre: 0.5 and 0.25 µm
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.mpp == pytest.approx(0.375)
    make_slide(tmp_path / "b.tif", resolution=(72 / 2.54, 72 / 2.54))  # what nobody measured
    with open_slide(tmp_path / "b.tif") as slide:
        assert slide.mpp is None
    opened = openslide.OpenSlide(noise[0])
    for stated in ({}, {"mpp_x": 0.5}, {"mpp_x": 0, "mpp_y": 0}):
        assert Slide("a", Framed(opened, **stated)).mpp is None


def test_which_files_are_slides(tmp_path):
    make_slide(tmp_path / "pyramid.tif")
    make_slide(tmp_path / "tiled.tif", levels=1)
    make_slide(tmp_path / "deep.tif", dtype=np.uint16)  # OpenSlide would cut it to 8 bits
    tifffile.imwrite(tmp_path / "plain.tiff", np.zeros((20, 30), np.uint8))
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    for name, expected in {
        "pyramid.tif": True, "tiled.tif": False, "deep.tif": False, "plain.tiff": False, "broken.tif": False,
        "missing.tif": False, "a.SVS": True, "a.mrxs": True, "a.png": False, "a": False,
    }.items():  # fmt: skip
        assert is_slide(tmp_path / name) == expected, name


def test_a_real_slide(real_data):
    path = real_data / "slides" / "cmu-1-small-region.svs"
    assert is_slide(path) and is_slide(real_data / "slides" / "boxes.tiff")
    with open_slide(path) as slide:
        assert (slide.height, slide.width, slide.mpp) == (2967, 2220, 0.499)
        region = slide.read_region(2960, 2210, 20, 20)
        assert (region[7:] == 255).all() and (region[:, 10:] == 255).all() and region[:7, :10].std() > 1
        expected = tifffile.imread(path)[2960:, 2210:]  # the decoders of JPEG round differently
        assert np.abs(region[:7, :10].astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("broken.svs", "not a slide that OpenSlide reads, or cut short"),
        ("unopenable.tiff", "Unsupported TIFF compression"),
        ("unreadable.svs", "damaged or unsupported slide"),
    ],
)
def test_broken_slides_are_one_line(real_data, name, named):
    with pytest.raises(InputError, match=named) as error, open_slide(real_data / "slides" / name) as slide:
        slide.read_region(0, 0, slide.height, slide.width)
    assert "\n" not in str(error.value) and name in str(error.value)


@pytest.mark.parametrize("kind", ["missing", "empty", "cut short", "text"])
def test_what_is_no_slide_is_one_line(tmp_path, noise, kind):
    path = tmp_path / "a.svs"
    if kind == "cut short":
        shutil.copy(noise[0], path)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind != "missing":
        path.write_bytes(b"not a slide\n" if kind == "text" else b"")
    with pytest.raises(InputError, match="a.svs: ") as error, open_slide(path) as slide:
        slide.read_region(0, 0, slide.height, slide.width)
    assert "\n" not in str(error.value)


def test_openslide_is_loaded_only_for_slides():
    code = "import sys, preparing.fields as f; f.slides.is_slide('a.png'); sys.exit('openslide' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(slides.__file__).parents[1]).returncode == 0
