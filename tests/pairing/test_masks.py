"""What mask values mean is decided over the whole folder, and said."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pairing.masks import MaskCoding, mask_coding, read_mask_of
from pairing.objects import true_objects
from pairing.pairs import find_pairs
from pairing.shades import COLOUR
from pairing.survey import survey
from reading.files import InputError
from reading.images import write_png


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
CELLS = np.hypot(ROWS % 21 - 10, COLUMNS % 21 - 10) < 7  # nine of them
LEVELS = CELL.astype(np.uint8) + CORE
ROUND = np.clip(0.5 + (18.2 - np.hypot(ROWS - 30, COLUMNS - 34)) / 4, 0, 1)  # smoothed over 4 pixels
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


def coarse(path, array):
    Image.fromarray(array).save(path, quality=75, subsampling=2)


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
    "JPEG colours on white": ({"suffix": ".jpg", "save": jpeg}, coloured((255, 255, 255), (255, 0, 0), (0, 0, 255))),
    "JPEG, one colour": ({"suffix": ".jpg", "save": jpeg}, coloured((0, 0, 0), (255, 0, 0), (255, 0, 0))),
    "JPEG, coarse colour": ({"suffix": ".jpg", "save": coarse}, coloured((0, 0, 0), (255, 0, 0), (255, 0, 0))),
    "anti-aliased colour": ({}, np.rint(ROUND[..., np.newaxis] * (255, 0, 0)).astype(np.uint8)),
    "−1 and 0": ({"suffix": ".tif", "save": tifffile.imwrite}, CELL.astype(np.int16) - 1),
    "0 and −1": ({"suffix": ".tif", "save": tifffile.imwrite}, -CELL.astype(np.int16)),
    "objects from 0, −1 around": ({"suffix": ".tif", "save": tifffile.imwrite}, LEVELS.astype(np.int16) - 1),
    "alpha channel only": ({}, np.dstack([np.zeros((64, 64, 3), np.uint8), np.uint8(255) * CELL])),
    "alpha channel of white": ({}, np.dstack([np.full((64, 64, 3), 255, np.uint8), np.uint8(255) * CELL])),
    "1 and 2": ({}, np.uint8(1) + CELL),
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


BLACK_ON_WHITE = {
    "255 around": ({}, np.uint8(255) * ~CELLS),
    "1-bit": ({}, ~CELLS),
    "JPEG": ({"suffix": ".jpg", "save": jpeg}, np.uint8(255) * ~CELLS),
    "anti-aliased": ({}, cv2.GaussianBlur(np.uint8(255) * ~CELLS, (0, 0), 0.7)),
    "inverting LUT": ({"suffix": ".tif", "save": inverting}, np.uint8(255) * CELLS),
    "1 cell, 2 around": ({}, np.uint8(2) - CELLS),
    "red around white": ({}, np.array([(255, 0, 0), (255, 255, 255)], np.uint8)[CELLS.astype(int)]),
}


@pytest.mark.parametrize("case", BLACK_ON_WHITE)
def test_a_sea_around_many_pieces_is_the_background_and_this_is_said_with_the_remedy(tmp_path, case):
    keywords, array = BLACK_ON_WHITE[case]
    facts = survey(store(tmp_path, array, np.roll(array, 3, axis=0), **keywords))
    coding = facts.coding()
    decoded = coding.decode(read_mask_of(find_pairs(tmp_path)[0], (64, 64)))
    assert (decoded != CELLS).sum() <= (40 if "JPEG" in case else 0)
    (note,) = facts.notes(coding)
    assert "taken for the background" in note and "--foreground" in note


GAPS = np.min(np.stack([np.abs((ROWS + COLUMNS) % 16 - 8), np.abs((ROWS - COLUMNS) % 16 - 8)]), axis=0) < 2
HOLES = (np.abs(ROWS % 16 - 8) + 2) * (np.abs(COLUMNS % 16 - 8) + 2) < 20  # with sharp corners, as between round cells
FILLING = {"cells between gaps": ~GAPS, "a sheet of cells with gaps": ~HOLES, "lines around cells": GAPS,
    "tissue": COLUMNS < 50, "one cell that fills the field": np.hypot(ROWS - 30, COLUMNS - 34) < 38,
    "with three holes": ~(CELLS & (ROWS < 20))}  # fmt: skip


@pytest.mark.parametrize("case", FILLING)
def test_what_fills_the_field_is_not_turned_over(tmp_path, case):
    truth = FILLING[case]
    for name, array in {
        "255": np.uint8(255) * truth,
        "1": np.uint8(1) * truth,
        **({} if "three" in case else {"2": np.uint8(1) + truth}),  # where no mask holds 0, three holes are enough
        "red": np.array([(0, 0, 0), (255, 0, 0)], np.uint8)[truth.astype(int)],
    }.items():
        (pair, *_) = found = store(tmp_path / name, array, np.roll(array, 3, axis=0))
        coding = survey(found).coding()
        np.testing.assert_array_equal(coding.decode(read_mask_of(pair, (64, 64))), truth, name)
    found = store(tmp_path / "soft", *[cv2.GaussianBlur(np.uint8(255) * truth, (0, 0), 0.4)] * 2)
    assert (survey(found).coding().decode(read_mask_of(found[0], (64, 64))) != truth).mean() < 0.03


def test_where_the_drawing_leaves_it_open_the_numbers_decide_and_this_is_said(tmp_path):
    for index, array in enumerate((np.uint8(255) * ~CELL, np.uint8(255) * ~HOLES, np.uint8(2) - (COLUMNS < 50))):
        facts = survey(store(tmp_path / str(index), array, np.roll(array, 3, axis=0)))
        (note,) = facts.notes(facts.coding())
        assert note.startswith("warning: m0.png, m1.png") and f"--foreground {index // 2}" in note
        assert not facts.notes(facts.coding(foreground=(index // 2,)))


def test_one_mask_of_the_opposite_meaning_is_named(tmp_path):
    cells = np.uint8(255) * CELLS
    for index, array in enumerate((cells, np.uint8(255) * ~GAPS)):
        facts = survey(store(tmp_path / str(index), array, array, 255 - array, array))
        note = facts.notes(facts.coding())[0]
        assert note.startswith("warning: m2.png: 255 lies around separate pieces here")


def test_the_user_has_the_last_word(tmp_path):
    found = store(tmp_path, np.uint8(255) * ~CELLS)
    facts = survey(found)
    for value, expected in ((255, ~CELLS), (0, CELLS)):
        coding = facts.coding(foreground=(value,))
        np.testing.assert_array_equal(coding.decode(read_mask_of(found[0], (64, 64))), expected)
        assert not facts.notes(coding)
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
        ((np.uint8(255) * CELL, LEVELS), 3),
        ((np.uint8(255) * CELL, np.uint8(1) * CELL), 2),
        ((np.uint8(255) * ~CELL, LEVELS), 1),
        ((np.uint8(255) * CELL, np.array([0, 1, 255], np.uint8)[LEVELS]), 1),  # 255 may mean "ignore" in the second
        ((np.rint(255 * SMOOTH).astype(np.uint8), np.uint8(1) * CELL), 1),
        ((coloured((0, 0, 0), (255, 0, 0), (0, 0, 255)), LEVELS), 1),
    ],
)
def test_encodings_that_contradict_each_other_are_refused_by_name(tmp_path, arrays, classes):
    with pytest.raises(InputError, match=r"different encodings.*m[01]\.png.*m[01]\.png.*--foreground"):
        survey(store(tmp_path, *arrays)).coding(classes)


def test_labels_outlines_and_0_255_in_one_folder_all_mean_above_0(tmp_path):
    found = store(tmp_path, np.uint8(255) * CELL, np.where(CELL, 1 + ROWS // 6, 0).astype(np.uint8), CELL)
    found[2].mask.unlink()
    square = {"type": "Polygon", "coordinates": [[[8, 8], [24, 8], [24, 24], [8, 24], [8, 8]]]}
    for name in ("", "Tumor"):
        kind = {"classification": {"name": name}} if name else {}
        text = json.dumps([{"type": "Feature", "geometry": square, "properties": kind}])
        found[2].mask.with_suffix(".geojson").write_text(text)
        pairs = find_pairs(tmp_path)
        coding = survey(pairs).coding()
        assert "stored in different ways" in coding.explanation and "m1.png" in coding.explanation
        drawn = (ROWS >= 8) & (ROWS < 24) & (COLUMNS >= 8) & (COLUMNS < 24)
        for pair, truth in zip(pairs, (CELL, CELL, drawn), strict=True):
            np.testing.assert_array_equal(coding.decode(read_mask_of(pair, (64, 64))), truth)


def grid_of_cells(colours):
    """Squares of 6×6 pixels in a grid of 8×8, each of its own colour on the first one: RGB (128, 128, 3) and truth."""
    rows, columns = np.mgrid[:128, :128]
    inside = (rows % 8 > 0) & (rows % 8 < 7) & (columns % 8 > 0) & (columns % 8 < 7)
    number = np.where(inside, 1 + rows // 8 * 16 + columns // 8, 0)
    return colours[number], inside


@pytest.mark.parametrize("around", [0, 255])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_colour_for_each_cell(tmp_path, around, suffix):
    colours = np.random.default_rng(1).integers(40, 216, (257, 3)).astype(np.uint8)
    colours[0] = around
    array, truth = grid_of_cells(colours)
    for index in range(2):
        put(tmp_path / "Images", f"m{index}.png", size=(128, 128))
        (tmp_path / "Masks").mkdir(exist_ok=True)
        Image.fromarray(array).save(tmp_path / "Masks" / f"m{index}{suffix}", quality=95, subsampling=0)
    facts = survey(find_pairs(tmp_path))
    coding = facts.coding()
    decoded = coding.decode(read_mask_of(find_pairs(tmp_path)[0], (128, 128)))
    assert (decoded != truth).mean() <= (0.03 if suffix == ".jpg" else 0)
    assert f"everything but {around}" in coding.explanation
    if suffix == ".png":
        new = COLOUR | 0x123456  # a colour of none of these cells, as further images have it
        np.testing.assert_array_equal(coding.decode(np.array([[new, around]])), [[1, 0]])
        red, green, blue = colours[1].tolist()
        chosen = facts.coding(foreground=(f"#{red:02X}{green:02x}{blue:02x}",))
        assert chosen.decode(read_mask_of(find_pairs(tmp_path)[0], (128, 128))).sum() == 36
        with pytest.raises(InputError, match="257 values or colours"):
            facts.coding(classes=3)


def outlined(folder):
    """An image with a Tumor and a Stroma outline of 10×10 and 20×10 pixels."""
    put(folder / "Images", "a.png", size=(64, 64))
    features = []
    for name, left, width in (("Tumor", 4, 10), ("Stroma", 30, 20)):
        ring = [[left, 4], [left + width, 4], [left + width, 14], [left, 14], [left, 4]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        properties = {"classification": {"name": name}}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    (folder / "Masks").mkdir()
    (folder / "Masks" / "a.geojson").write_text(json.dumps(features))
    return find_pairs(folder)


def test_foreground_by_the_name_of_an_outline_class(tmp_path):
    (pair,) = outlined(tmp_path)
    facts = survey([pair])
    for chosen, pixels in ((("Tumor",), 100), (("stroma",), 200), (("Tumor", "Stroma"), 300)):
        coding = facts.coding(foreground=chosen)
        again = MaskCoding(**json.loads(json.dumps(vars(coding))))  # as a model's card keeps it
        assert again.decode(read_mask_of(pair, (64, 64))).sum() == pixels
    assert "foreground: Tumor, Stroma" in coding.explanation
    for chosen, named in ((("Tumr",), "Tumr"), (("Tumor", "Strom"), "Strom"), (("#ff0000",), "#ff0000"), ((7,), "7")):
        with pytest.raises(InputError, match=f"values 0, Stroma, Tumor; none is --foreground {named}. Choose"):
            facts.coding(foreground=chosen)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_foreground_by_colour(tmp_path, suffix):
    array = coloured((0, 0, 0), (0, 255, 0), (255, 0, 0))
    (pair,) = store(tmp_path, array, suffix=suffix, save=jpeg if suffix == ".jpg" else None)
    facts = survey([pair])
    for chosen, truth in (("#ff0000", CORE), ("#00FF00", CELL & ~CORE)):
        coding = facts.coding(foreground=(chosen,))
        assert (coding.decode(read_mask_of(pair, (64, 64))) != truth).sum() <= (60 if suffix == ".jpg" else 0)
    for unknown in ("#0000ff", "#ff", "red"):
        with pytest.raises(InputError, match=f"none is --foreground {unknown}"):
            facts.coding(foreground=(unknown,))


def test_small_numbers_in_jpeg_files_are_refused(tmp_path):
    (pair,) = store(tmp_path, np.uint8(1) * CELL, suffix=".jpg", save=jpeg)
    for keywords in ({}, {"foreground": (1,)}, {"classes": 2}):
        with pytest.raises(InputError, match=r"JPEG.*m0\.jpg.*PNG"):
            survey([pair]).coding(**keywords)


def test_values_below_0_without_a_background_are_not_called_empty():
    with pytest.raises(InputError, match="values -1, 0, none above 0.*--foreground -1"):
        mask_coding({-1: 10, 0: 10})


@pytest.mark.parametrize("ids", [[1], [1, 2], [1, 2, 3, 4, 5]])
def test_255_beside_class_ids_may_mean_ignore(ids):
    coding = mask_coding({0: 100, 255: 20} | dict.fromkeys(ids, 10))
    assert coding.decode(np.array([[0, *ids, 255]])).tolist() == [[0, *[1] * len(ids), 1]]
    assert coding.explanation.endswith("255 too; if it means 'ignore': --ignore 255")


def test_instance_labels_that_end_at_255_are_no_soft_edges():
    coding = mask_coding({0: 100_000} | {value: 100 for value in range(1, 256)})
    assert coding.decode(np.array([[0, 1, 127, 255]])).tolist() == [[0, 1, 1, 1]]


def test_colours_without_a_common_background_are_refused():
    red, blue = COLOUR | 0xFF0000, COLOUR | 0x0000FF
    with pytest.raises(InputError, match=r"#0000ff, #ff0000, none black"):
        mask_coding({red: 10, blue: 10})


def numbered_in(colours, tmp_path, blur=0):
    """(coding, survey, the first pair, its mask) of two masks of a grid of cells, coloured by their number."""
    array, truth = (part.repeat(4, 0).repeat(4, 1) for part in grid_of_cells(colours))
    array = cv2.GaussianBlur(array, (0, 0), blur) if blur else array
    for index in range(2):
        put(tmp_path / "Images", f"m{index}.png", size=truth.shape)
        (tmp_path / "Masks").mkdir(exist_ok=True)
        Image.fromarray(array).save(tmp_path / "Masks" / f"m{index}.png")
    pairs = find_pairs(tmp_path)
    found = survey(pairs)
    return found.coding(), found, pairs[0], truth


def colours_of(kind):
    numbers = np.arange(257)
    if kind == "red alone":
        return np.stack([numbers % 256, 0 * numbers, 0 * numbers], -1).astype(np.uint8)
    if kind == "red and green bytes":  # as COCO's panoptic pictures
        return np.stack([7 * numbers % 256, 7 * numbers // 256, 0 * numbers], -1).astype(np.uint8)
    colours = np.random.default_rng(2).integers(40, 216, (257, 3)).astype(np.uint8)
    colours[0] = 255 if kind == "random on white" else 0
    return colours


@pytest.mark.parametrize("kind", ["red alone", "red and green bytes", "random", "random on white", "edges"])
def test_colours_that_number_objects_tell_them_apart(tmp_path, kind):
    coding, found, pair, truth = numbered_in(colours_of(kind), tmp_path, blur=0.4 if kind == "edges" else 0)
    stored = read_mask_of(pair, truth.shape)
    foreground = coding.decode(stored)
    labels, source = true_objects(pair, foreground, coding, found.drawn(), stored)
    cells = 256 - (kind == "red alone")  # 256 is 0 there
    assert source == "labels" and len(np.unique(labels)) == 1 + cells and labels.max() < 2**24
    if kind != "edges":
        np.testing.assert_array_equal(foreground > 0, truth if kind != "red alone" else stored > 0)


def test_edges_between_few_colours_are_no_objects(tmp_path):
    few = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    colours = few[np.where(np.arange(257) > 0, 1 + np.arange(257) % 3, 0)]
    coding, found, pair, truth = numbered_in(colours, tmp_path, blur=0.6)
    assert len(found.mask_values) > 16 > len(found.drawn())
    foreground = coding.decode(read_mask_of(pair, truth.shape))
    assert true_objects(pair, foreground, coding, found.drawn())[1] == "components"


RINGS = {width: (np.hypot(ROWS - 30, COLUMNS - 34) < 18) & (np.hypot(ROWS - 30, COLUMNS - 34) >= 18 - width)
    for width in (1, 2, 12)}  # fmt: skip


@pytest.mark.parametrize(
    ("array", "named"),
    [(np.uint8(255) * RINGS[1], True), (np.uint8(255) * RINGS[2], True), (np.uint8(255) * ~RINGS[1], True),
     (np.where(RINGS[1], 1 + (COLUMNS > 34), 0).astype(np.uint8), True), (np.uint8(255) * RINGS[12], False),
     (np.uint8(255) * CELL, False), (np.uint8(255) * ((ROWS % 9 < 3) & (COLUMNS % 9 < 3)), False),
     (np.uint8(255) * ~GAPS, False)],
)  # fmt: skip
def test_contours_in_place_of_filled_cells_are_named(tmp_path, array, named):
    facts = survey(store(tmp_path, array, np.roll(array, 3, axis=0)))
    notes = [note for note in facts.notes(facts.coding()) if "Fill Holes" in note]
    assert len(notes) == named and all("m0.png, m1.png" in note for note in notes)


def test_what_becomes_of_two_channels_is_said(tmp_path):
    found = store(tmp_path, np.uint8(255) * CELL, np.uint8(255) * CELL)
    tifffile.imwrite(tmp_path / "Images" / "m1.tif", np.uint16([ROWS, COLUMNS]), imagej=True, metadata={"axes": "CYX"})
    found[1].image.unlink()
    facts = survey(find_pairs(tmp_path))
    (note,) = facts.notes(facts.coding())
    assert note.startswith("m1.tif: two channels") and "red and the green" in note
