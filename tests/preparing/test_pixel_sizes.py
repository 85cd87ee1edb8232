"""What files state of the size of their pixels is kept: in fields.csv, and in what is cut out of them."""

import csv

import cv2
import numpy as np
import pytest
import tifffile

from pairing.magnification import common_scale
from pairing.pairs import find_pairs
from preparing import tiles
from preparing.field_table import note_mask, read_fields
from preparing.prepare import prepare_fields
from reading import images
from reading.images import lossless_suffix, write_png
from reading.pixel_size import um_per_px


def make_source(folder, stated=(0.25, 0.5, 0.25)):
    """Fields of so many µm per pixel, None: not stated, with a disc each."""
    (folder / "Images").mkdir(parents=True)
    for number, um in enumerate(stated):
        mask = cv2.circle(np.zeros((60, 90), np.uint8), (40, 30), 12, 255, -1)
        sides = {"resolution": (1e4 / um,) * 2, "resolutionunit": "CENTIMETER"} if um else {}
        tifffile.imwrite(folder / "Images" / f"s{number}.tif", 200 - mask // 2 + np.uint8(number), **sides)
        write_png(folder / "Masks" / f"s{number}.png", mask)
    return folder


def learnt(data):
    """µm per pixel of what is learnt, and how many pictures are scaled."""
    middle, scales, _ = common_scale(find_pairs(data / "Train data"))
    return middle and round(middle, 6), len(scales)


@pytest.mark.parametrize("tile", [None, 32])
def test_fields_and_tiles_state_the_size_that_their_source_states(tmp_path, tile):
    data = tmp_path / "data"
    done = prepare_fields(data, make_source(tmp_path / "raw"), quiet=True, tile_px=tile, test_share=0)
    for row in done.rows:
        (um,) = {0.5} if row.file.startswith("s1") else {0.25}
        assert float(row.um_per_px) == um
        assert um_per_px(data / "Train data" / "Images" / row.file) == pytest.approx(um)
    assert learnt(data) == (0.25, 1 if tile is None else 6)
    assert prepare_fields(data, tmp_path / "raw", quiet=True).written == 0


def test_tiles_of_what_states_nothing_are_png_as_ever(tmp_path):
    done = prepare_fields(tmp_path / "data", make_source(tmp_path / "raw", [None]), quiet=True, tile_px=32)
    assert {(row.file[-4:], row.um_per_px) for row in done.rows} == {(".png", "")}


def test_a_folder_of_an_earlier_version_is_read_as_it_is_and_gets_the_sizes_when_prepared_again(tmp_path, monkeypatch):
    data, source = tmp_path / "data", make_source(tmp_path / "raw")
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "um_per_px", lambda path: None)
        prepare_fields(data, source, quiet=True, tile_px=32, test_share=0)
    rows = list(csv.DictReader((data / "fields.csv").read_text(encoding="utf-8").splitlines()))
    with (data / "fields.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [name for name in rows[0] if name != "um_per_px"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    before = {path.stem: images.read(path) for path in (data / "Train data/Images").iterdir()}
    assert {row.um_per_px for row in read_fields(data)} == {""} and learnt(data) == (None, 0)
    masks = {path.name: path.read_bytes() for path in (data / "Train data/Masks").iterdir()}
    prepare_fields(data, source, quiet=True)
    after = {path.stem: images.read(path) for path in (data / "Train data/Images").iterdir()}
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    assert masks == {path.name: path.read_bytes() for path in (data / "Train data/Masks").iterdir()}
    assert learnt(data) == (0.25, 6) and {row.um_per_px for row in read_fields(data)} == {"0.25", "0.5"}


def test_a_picture_that_comes_by_correct_is_noted_with_its_size(tmp_path):
    source = make_source(tmp_path / "raw", [0.5])
    (tmp_path / "data/Train data/Images").mkdir(parents=True)
    (source / "Images/s0.tif").rename(tmp_path / "data/Train data/Images/s0.tif")
    note_mask(tmp_path / "data", "train", "s0.tif", "s0.png", "s0")
    assert [row.um_per_px for row in read_fields(tmp_path / "data")] == ["0.5"]


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1), (np.float32, 1)])
def test_a_size_is_kept_with_the_pixels(tmp_path, dtype, channels):
    image = (np.random.default_rng(0).random((9, 7, channels)) * 200).astype(dtype)
    path = tmp_path / f"a{lossless_suffix(image, 0.2345678)}"
    images.write(path, image, um_per_px=0.2345678)
    assert um_per_px(path) == pytest.approx(0.2345678, rel=1e-6)
    np.testing.assert_array_equal(images.read(path), image)
