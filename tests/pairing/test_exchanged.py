"""Images and masks that were exchanged are told by their pixels, and true pairs of any kind are not taken for them."""

import numpy as np
import pytest

import main
from pairing.exchanged import are_exchanged
from reading.images import write, write_png
from tests.helpers import listing

RNG = np.random.default_rng(7)
ROWS, COLUMNS = np.mgrid[0:96, 0:96]
DISCS = [(20, 20, 9), (60, 30, 12), (40, 70, 8), (80, 80, 10)]


def labels():
    found = np.zeros((96, 96), np.uint8)
    for number, (row, column, radius) in enumerate(DISCS, 1):
        found[np.hypot(ROWS - row, COLUMNS - column) < radius] = number
    return found


def smooth(picture, times=8):
    """As a blurred photograph is: neighbours are close, and often equal."""
    for _ in range(times):
        picture = (np.roll(picture, 1, 0) + np.roll(picture, 1, 1) + np.roll(picture, -1, 1) + picture) / 4
    return picture.astype(np.uint8)


MARKED = labels() > 0
PICTURES = {
    "bright field": np.clip(200 - 90 * MARKED + RNG.normal(0, 8, MARKED.shape), 0, 255).astype(np.uint8),
    "fluorescence": smooth(np.where(MARKED, 90 + 40 * np.sin(ROWS / 3) * np.cos(COLUMNS / 4), 0)),
    "colour": np.stack([RNG.integers(90, 250, MARKED.shape, np.uint8)] * 2 + [MARKED * np.uint8(99)], -1),
    "16 bits": (RNG.integers(300, 4000, MARKED.shape) + 9000 * MARKED).astype(np.uint16),
}
MASKS = {
    "0 and 255": MARKED * np.uint8(255),
    "0 and 1": MARKED.astype(np.uint8),
    "classes": labels() % 3,
    "objects": labels().astype(np.uint16) * 40,
    "colours": np.stack([labels() * np.uint8(60), MARKED * np.uint8(9), 255 - labels()], -1),
    "soft edges": smooth(MARKED * 255.0, 1),
}


def in_channels(array):
    return array if array.ndim == 3 else array[..., np.newaxis]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_and_masks_are_told_apart(picture, mask):
    picture, mask = in_channels(PICTURES[picture]), in_channels(MASKS[mask])
    assert are_exchanged(mask, picture) and not are_exchanged(picture, mask)
    assert not are_exchanged(picture, picture) and not are_exchanged(mask, mask)


def folder_of(folder, picture, mask, count=5):
    for number in range(count):
        suffix = "tif" if picture.dtype == np.uint16 or picture.ndim == 3 else "png"
        write(folder / "Images" / f"a{number}.{suffix}", np.roll(picture, 5 * number, 0))
        write(folder / "Masks" / f"a{number}.png", np.roll(mask, 5 * number, 0))
    return folder


@pytest.mark.parametrize("picture", PICTURES)
def test_exchanged_folders_are_refused_before_anything_is_cut(tmp_path, capsys, picture):
    source = folder_of(tmp_path / "mine", PICTURES[picture], MASKS["0 and 255"])
    assert main.main(["prepare", "--source", str(source), "--data", str(tmp_path / "right")]) == 0
    (source / "Images").rename(source / "kept")
    (source / "Masks").rename(source / "Images")
    (source / "kept").rename(source / "Masks")
    before = listing(tmp_path)
    assert main.main(["prepare", "--source", str(source), "--data", str(tmp_path / "wrong")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "looks like a mask" in line and "Exchange the two" in line
    assert listing(tmp_path) == before


def test_pictures_in_both_folders_are_refused(tmp_path, capsys):
    source = folder_of(tmp_path / "mine", PICTURES["bright field"], PICTURES["bright field"])
    assert main.main(["prepare", "--source", str(source), "--data", str(tmp_path / "data")]) == 2
    assert "the many values of a photograph" in capsys.readouterr().err and not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["prepare", "check", "train"])
def test_a_foreground_that_almost_no_mask_holds_is_refused(tmp_path, capsys, command):
    data = tmp_path / "data"
    source = folder_of(tmp_path / "mine" if command == "prepare" else data / "Train data",
                       PICTURES["bright field"], MASKS["0 and 255"], 8)  # fmt: skip
    odd = MASKS["0 and 255"].copy()
    odd[5:12, 5:12] = 1
    write_png(source / "Masks" / "a3.png", odd)
    odd[5:12, 5:12], odd[5, 5] = 0, 1
    write_png(source / "Masks" / "a4.png", odd)
    before = listing(tmp_path)
    options = ["--source", str(source)] if command == "prepare" else []
    assert main.main([command, "--data", str(data), *options, "--foreground", "1"]) == 2
    said = capsys.readouterr()
    assert "1 of 8 masks" in said.out + said.err and "a3.png" in said.out + said.err
    (data / "check.png").unlink(missing_ok=True)
    assert listing(tmp_path) == before


def test_a_foreground_that_all_drawn_masks_hold_is_taken_also_among_empty_ones(tmp_path):
    source = folder_of(tmp_path / "mine", PICTURES["bright field"], np.zeros((96, 96), np.uint8), 40)
    for number in range(3):
        write_png(source / "Masks" / f"a{number}.png", MASKS["classes"])
    options = ["--source", str(source), "--data", str(tmp_path / "data"), "--foreground", "2"]
    assert main.main(["prepare", *options]) == 0
