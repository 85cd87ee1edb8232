"""Pictures that continue each other at their edges are named whatever they are called; others are not."""

from itertools import product

import cv2
import numpy as np
import pytest

from checking import doctor
from preparing.canvas import NUCLEUS
from preparing.sample import make_field
from tests.doctor_folders import TEST, TRAIN, complaints, store


@pytest.fixture(scope="module")
def fields():
    """Six synthetic fields with masks: uint8 (768, 768)."""
    made = [make_field(slide, 0, size=768, seed=3) for slide in range(6)]
    return [(image.reshape(768, 768), np.where(mask == NUCLEUS, 255, 0).astype(np.uint8)) for image, mask in made]


def as_it_was(tile):
    return tile


def noisy_jpeg(tile):
    noisy = np.clip(tile + np.random.default_rng(0).normal(0, 4, tile.shape), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)


def stretched(tile):
    low, high = np.percentile(tile, (0.5, 99.5))
    return np.clip((tile - low) * 255.0 / (high - low), 0, 255).astype(np.uint8)


def cut(folder, fields, part_of, shared=0, change=as_it_was):
    """Tiles of 256 px under names that say nothing; part_of(field, row, column) gives the part, None leaves it out."""
    names = np.random.default_rng(1).permutation(1000)
    for number, (image, mask) in enumerate(fields):
        starts = range(0, 768 - 255, 256 - shared)
        for i, j in product(range(len(starts)), repeat=2):
            if part := part_of(number, i, j):
                name, rest = names[len(fields) * (10 * i + j) + number], np.s_[starts[i] :, starts[j] :]
                store(folder / part / "Images" / f"a{name}.png", change(image[rest][:256, :256]))
                store(folder / part / "Masks" / f"a{name}.png", mask[rest][:256, :256])


def told(folder, thorough=True):
    found = complaints(doctor.examine(folder, thorough=thorough, quiet=True))
    return {finding.kind for finding in found if "continue each other" in finding.text}


@pytest.mark.parametrize("change", [as_it_was, noisy_jpeg, stretched])
@pytest.mark.parametrize("shared", [0, 12])
def test_tiles_in_training_and_test_are_leaks(tmp_path, fields, shared, change):
    cut(tmp_path, fields, lambda field, i, j: TEST if (i + j) % 3 == 0 else TRAIN, shared, change)
    assert "leakage" in told(tmp_path, thorough=False)


def test_tiles_to_train_on_can_be_parted(tmp_path, fields):
    cut(tmp_path, fields, lambda field, i, j: TRAIN if field < 4 else TEST)
    assert told(tmp_path) == {"continuing fields"}


@pytest.mark.parametrize("change", [as_it_was, noisy_jpeg])
def test_tiles_that_do_not_touch_are_no_fault(tmp_path, fields, change):
    cut(tmp_path, fields, lambda field, i, j: (TRAIN, TEST)[field % 2] if i != 1 and j != 1 else None, 0, change)
    assert not told(tmp_path, thorough=False)


def test_frames_and_flat_borders_that_all_share_are_no_fault(tmp_path, fields):
    for number, (image, mask) in enumerate(fields):
        framed = image[:512, :512].copy()
        framed[:6] = framed[-6:] = framed[:, :6] = framed[:, -6:] = 20
        framed[-40:, 30:200:20] = 250  # a scale of one microscope
        part = (TRAIN, TEST)[number % 2]
        store(tmp_path / part / "Images" / f"a{number}.png", framed)
        store(tmp_path / part / "Masks" / f"a{number}.png", mask[:512, :512])
    assert not told(tmp_path, thorough=False)


def test_one_field_cut_in_two(tmp_path, fields):
    image, mask = fields[0]
    for part, rows in ((TRAIN, np.s_[:384]), (TEST, np.s_[384:])):
        store(tmp_path / part / "Images" / f"{len(part)}.png", image[rows])
        store(tmp_path / part / "Masks" / f"{len(part)}.png", mask[rows])
    assert told(tmp_path, thorough=False) == {"leakage"}
