"""What mask values mean is decided over the whole folder, and said."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from images import InputError, write_png
from masks import COLOUR, MaskCoding, mask_coding, read_mask_of
from pairs import find_pairs
from survey import survey


def put(folder, *names, value=0, size=(8, 8)):
    for name in names:
        write_png(folder / name, np.full(size, value, np.uint8))


@pytest.mark.parametrize(
    ("stored", "keywords", "foreground"),
    [
        ([0, 255], {}, [255]),
        ([0, 1], {}, [1]),
        ([0, 1, 2], {}, [1, 2]),
        ([0, 1, 2], {"foreground": (2,)}, [2]),
        ([0, 128, 255], {"foreground": (128, 255)}, [128, 255]),
        ([0, 3, 700], {}, [3, 700]),  # instance labels
    ],
)
def test_the_meaning_of_mask_values(stored, keywords, foreground):
    coding = mask_coding({value: 10 for value in stored}, **keywords)
    decoded = coding.decode(np.array([stored]))
    np.testing.assert_array_equal(decoded[0], [value in foreground for value in stored])


def test_soft_edges_are_cut_in_the_middle():
    coding = mask_coding({0: 900, 3: 2, 127: 3, 128: 3, 252: 2, 255: 90})
    np.testing.assert_array_equal(coding.decode(np.array([[0, 3, 127, 128, 252, 255]])), [[0, 0, 0, 1, 1, 1]])


def test_class_ids_stay_as_they_are():
    coding = mask_coding({0: 1, 1: 1, 2: 1}, classes=3)
    np.testing.assert_array_equal(coding.decode(np.array([[0, 1, 2]])), [[0, 1, 2]])


@pytest.mark.parametrize(
    ("values", "keywords", "named"),
    [
        ([0], {}, "empty"),
        ([0, 1, 2], {"classes": 2}, "class ids 0 to 1"),
        ([0, 255], {"classes": 3}, "class ids 0 to 2"),
        ([0, 1], {"foreground": (2,)}, "none is --foreground 2"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, keywords, named):
    with pytest.raises(InputError, match=named):
        mask_coding({value: 5 for value in values}, **keywords)


def test_the_survey_names_a_mask_of_another_size_and_counts_the_rest(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png", "c.png")
    put(tmp_path / "Masks", "a.png")
    put(tmp_path / "Masks", "b.png", size=(8, 9))
    (tmp_path / "Masks" / "c.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"b\.png.*8×9.*8×8.*1 more"):
        survey(find_pairs(tmp_path), quiet=True)


# Masks of whole folders. Each case draws a disc with a core on a 64×64 picture and stores it in one way.

ROWS, COLUMNS = np.mgrid[:64, :64]
CELL = np.hypot(ROWS - 30, COLUMNS - 34) < 18.2
CORE = np.hypot(ROWS - 30, COLUMNS - 34) < 8
LEVELS = CELL.astype(np.uint8) + CORE
SMOOTH = np.clip(18.7 - np.hypot(ROWS - 30, COLUMNS - 34), 0, 1)  # anti-aliased


def store(folder, *arrays, suffix=".png", save=None):
    """Masks m0, m1, … with black images beside them; their pairs."""
    for index, array in enumerate(arrays):
        put(folder / "Images", f"m{index}.png", size=(64, 64))
        path = folder / "Masks" / f"m{index}{suffix}"
        path.parent.mkdir(exist_ok=True)
        save(path, array) if save else Image.fromarray(array).save(path)
    return find_pairs(folder)


def palette_png(path, array):
    image = Image.fromarray(array).convert("P")
    image.putdata(array.ravel().tolist())
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    image.save(path)


def coloured(*colours):
    return np.array(colours, np.uint8)[LEVELS]


def jpeg(path, array):
    Image.fromarray(array).save(path, quality=85, subsampling=0)


def inverting(path, array):
    tifffile.imwrite(path, array, photometric="miniswhite")


BINARY = {
    "0/255": ({}, np.uint8(255) * CELL),
    "0/1": ({}, np.uint8(1) * CELL),
    "1-bit": ({}, CELL),
    "1-bit TIFF": ({"suffix": ".tif"}, CELL),
    "class ids": ({}, LEVELS),
    "0/128/255": ({}, np.array([0, 128, 255], np.uint8)[LEVELS]),
    "16-bit labels": ({"suffix": ".tif"}, np.array([0, 7, 1200], np.uint16)[LEVELS]),
    "palette": ({"save": palette_png}, LEVELS),
    "colours on black": ({}, coloured((0, 0, 0), (255, 0, 0), (0, 0, 255))),
    "colours on white": ({}, coloured((255, 255, 255), (255, 0, 0), (0, 0, 255))),
    "anti-aliased": ({}, np.rint(255 * SMOOTH).astype(np.uint8)),
    "JPEG": ({"suffix": ".jpg", "save": jpeg}, np.uint8(255) * CELL),
    "JPEG 0/128/255": ({"suffix": ".jpg", "save": jpeg}, np.array([0, 128, 255], np.uint8)[LEVELS]),
    "JPEG colours": ({"suffix": ".jpg", "save": jpeg}, coloured((0, 0, 0), (255, 0, 0), (0, 255, 0))),
    "inverted": ({}, np.uint8(255) * ~CELL),
    "inverted 1-bit": ({}, ~CELL),
    "inverted JPEG": ({"suffix": ".jpg", "save": jpeg}, np.uint8(255) * ~CELL),
    "1 and 2": ({}, np.uint8(1) + CELL),
    "inverting LUT, black cells": ({"suffix": ".tif", "save": inverting}, np.uint8(255) * CELL),
    "inverting LUT, white cells": ({"suffix": ".tif", "save": inverting}, np.uint8(255) * ~CELL),
}


@pytest.mark.parametrize("case", BINARY)
def test_masks_as_they_come_are_understood_from_the_whole_folder(tmp_path, case):
    keywords, array = BINARY[case]
    found = store(tmp_path, array, np.roll(array, 5, axis=0), **keywords)
    facts = survey(found)
    coding = facts.coding()
    decoded = coding.decode(read_mask_of(found[0], (64, 64)))
    assert (decoded != CELL).sum() <= (10 if "JPEG" in case else 0)
    assert "foreground: " in coding.explanation and not facts.notes(coding)
    again = MaskCoding(**json.loads(json.dumps(vars(coding))))
    np.testing.assert_array_equal(again.decode(read_mask_of(found[0], (64, 64))), decoded)


CLASSES = {
    "class ids": ({}, LEVELS),
    "0/128/255": ({}, np.array([0, 128, 255], np.uint8)[LEVELS]),
    "palette": ({"save": palette_png}, LEVELS),
    "colours on black": ({}, coloured((0, 0, 0), (0, 0, 255), (255, 0, 0))),
    "colours on white": ({}, coloured((255, 255, 255), (0, 0, 255), (255, 0, 0))),
    "white among colours": ({}, coloured((0, 0, 0), (255, 255, 255), (0, 0, 255))),
    "JPEG colours": ({"suffix": ".jpg", "save": jpeg}, coloured((0, 0, 0), (0, 0, 255), (0, 255, 0))),
    "JPEG 0/128/255": ({"suffix": ".jpg", "save": jpeg}, np.array([0, 128, 255], np.uint8)[LEVELS]),
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes_in_order_of_value_after_the_background(tmp_path, case):
    keywords, array = CLASSES[case]
    found = store(tmp_path, array, np.roll(array, 5, axis=0), **keywords)
    coding = survey(found).coding(classes=3)
    decoded = coding.decode(read_mask_of(found[0], (64, 64)))
    wrong = decoded != LEVELS
    assert wrong.sum() <= (60 if "JPEG" in case else 0)  # a blend of classes 0 and 2 may look like class 1
    coding.check(survey(found).mask_values)


def test_the_user_has_the_last_word(tmp_path):
    found = store(tmp_path, np.uint8(255) * ~CELL)
    facts = survey(found)
    assert "--foreground 255" in facts.coding().explanation  # the line says how to disagree
    for value, expected in ((255, ~CELL), (0, CELL)):
        coding = facts.coding(foreground=(value,))
        np.testing.assert_array_equal(coding.decode(read_mask_of(found[0], (64, 64))), expected)
    found = store(tmp_path / "jpeg", np.uint8(255) * CELL, suffix=".jpg", save=jpeg)
    for value, expected in ((255, CELL), (0, ~CELL)):
        coding = survey(found).coding(foreground=(value,))
        assert (coding.decode(read_mask_of(found[0], (64, 64))) != expected).sum() <= 10


def test_large_cells_in_a_few_masks_do_not_turn_the_folder_round(tmp_path):
    facts = survey(store(tmp_path, *[np.uint8(255) * CELL] * 3, np.uint8(255) * ~CELL))
    coding = facts.coding()
    assert coding.explanation == "mask values 0, 255; foreground: above 0"
    assert facts.notes(coding) == [
        "1 of 4 masks with foreground along the border and in most of the area, perhaps inverted: m3.png"
    ]


def test_masks_that_are_empty_or_full_are_named(tmp_path):
    cell, full = np.uint8(255) * CELL, np.full((64, 64), 255, np.uint8)
    facts = survey(store(tmp_path, cell, full, np.uint8(0) * cell, np.uint8(0) * cell))
    assert facts.notes(facts.coding()) == [
        "2 of 4 masks without any foreground: m2.png, m3.png",
        "1 of 4 masks with foreground everywhere: m1.png",
    ]
    with pytest.raises(InputError, match="all masks are full"):
        survey(store(tmp_path / "full", full)).coding()


def test_two_ways_of_storing_the_same_are_both_read(tmp_path):
    found = store(tmp_path, np.uint8(255) * CELL, np.uint8(1) * CELL)
    coding = survey(found).coding()
    assert "0/1 in m1.png; 0/255 in m0.png" in coding.explanation
    for pair in found:
        np.testing.assert_array_equal(coding.decode(read_mask_of(pair, (64, 64))), CELL)


@pytest.mark.parametrize(
    ("arrays", "classes"),
    [
        ((np.uint8(255) * CELL, LEVELS), 1),
        ((np.uint8(255) * CELL, np.uint8(1) * CELL), 2),
        ((np.rint(255 * SMOOTH).astype(np.uint8), np.uint8(1) * CELL), 1),
        ((coloured((0, 0, 0), (255, 0, 0), (0, 0, 255)), LEVELS), 1),
    ],
)
def test_encodings_that_contradict_each_other_are_refused_by_name(tmp_path, arrays, classes):
    with pytest.raises(InputError, match=r"different encodings.*m[01]\.png.*m[01]\.png.*--foreground"):
        survey(store(tmp_path, *arrays)).coding(classes)


def test_instance_labels_that_end_at_255_are_no_soft_edges():
    coding = mask_coding({0: 100_000} | {value: 100 for value in range(1, 256)})
    assert coding.decode(np.array([[0, 1, 127, 255]])).tolist() == [[0, 1, 1, 1]]


def test_colours_without_a_common_background_are_refused():
    red, blue = COLOUR | 0xFF0000, COLOUR | 0x0000FF
    with pytest.raises(InputError, match=r"#0000ff, #ff0000, none black"):
        mask_coding({red: 10, blue: 10})
