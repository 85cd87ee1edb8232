"""Pairs by exact name, splits by whole groups, mask values by the whole folder."""

import json
import os
import unicodedata

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pairs
from images import InputError, write_png
from pairs import (
    COLOUR,
    MaskCoding,
    Pair,
    choose_fit,
    find_pairing,
    find_pairs,
    fitted_size,
    group_by,
    group_of,
    mask_coding,
    read_mask_of,
    recorded_groups,
    resize,
    split_by_group,
    survey,
)


def put(folder, *names, value=0, size=(8, 8)):
    for name in names:
        write_png(folder / name, np.full(size, value, np.uint8))


def test_pairs_are_found_by_exact_stem(tmp_path):
    put(tmp_path / "Images", "img1.png", "img10.png", "Zelle ä 3.PNG")
    put(tmp_path / "Masks", "img10.png", "img1.png", "Zelle ä 3.png")
    found = find_pairs(tmp_path)
    assert [(p.image.stem, p.mask.stem) for p in found] == [(p.stem, p.stem) for p in found]
    assert [p.stem for p in found] == ["Zelle ä 3", "img1", "img10"]


@pytest.mark.parametrize(
    ("image_names", "mask_names", "named"),
    [
        ([], [], "no images found"),
        (["a.png", "b.png"], ["a.png"], r"no mask for b\.png"),
        (["a.png"], ["a.png", "c.png"], r"no image for mask c\.png"),
        (["a.png", "a.bmp"], ["a.png"], "share one name"),
        (["img1.png"], ["img10.png"], r"no mask for img1\.png"),
    ],
)
def test_faults_of_a_folder_are_named(tmp_path, image_names, mask_names, named):
    (tmp_path / "Images").mkdir()
    put(tmp_path / "Images", *image_names)
    put(tmp_path / "Masks", *mask_names)
    with pytest.raises(InputError, match=named):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("image_names", "mask_names"),
    [
        (["a", "b c"], ["a_mask", "b c_mask"]),
        (["a", "b"], ["mask_a", "mask_b"]),
        (["a", "b"], ["a-Labels", "b-Labels"]),
        (["1", "10"], ["1_GT", "10_GT"]),
        (["image_1", "image_10"], ["mask_1", "mask_10"]),
        (["img1", "img10"], ["mask1", "mask10"]),
        (["a_0000", "b_0000"], ["a", "b"]),  # nnU-Net
        (["a_image", "b_image"], ["a_ground-truth", "b_ground-truth"]),
        (["149", "150"], ["149-d", "150-d"]),  # Herlev
        (["a_mask", "b_mask"], ["a_mask", "b_mask"]),
        (["A1", "b1"], ["a1", "B1"]),
    ],
)
def test_a_convention_that_fits_the_whole_folder_is_used_and_said(tmp_path, image_names, mask_names):
    put(tmp_path / "Images", *(f"{name}.tif" for name in image_names))
    put(tmp_path / "Masks", *(f"{name}.png" for name in mask_names))
    found = find_pairing(tmp_path)
    assert [(p.image.stem, p.mask.stem) for p in found.pairs] == list(zip(image_names, mask_names, strict=True))
    assert [p.stem for p in found.pairs] == image_names  # what predictions are named after
    assert f"{image_names[0]}.tif ↔ {mask_names[0]}.png" in found.explanation
    mixed = set(image_names).isdisjoint(mask_names) and any("mask" in name for name in mask_names)
    if mixed:  # the same names in one folder
        put(tmp_path / "one", *(f"{name}.png" for name in (*image_names, *mask_names)))
        assert [(p.image.stem, p.mask.stem) for p in find_pairs(tmp_path / "one")] == [
            (p.image.stem, p.mask.stem) for p in found.pairs
        ]


@pytest.mark.parametrize(
    ("image_names", "mask_names", "named"),
    [
        (["a", "b"], ["a_mask", "b_label"], r"no mask for b\.png .*as in a\.png ↔ a_mask\.png.*b_label\.png"),
        (["img1", "img10"], ["img1_mask", "img11_mask"], r"no mask for img10\.png.*img11_mask"),
        (["a", "b"], ["a", "b_mask"], r"no mask for b\.png"),
        (["1"], ["01"], r"no mask for 1\.png"),
        (["a"], ["a_mask", "b_mask"], r"no image for mask b_mask\.png"),
        (["a", "image_a"], ["mask_a"], r"no mask for"),
    ],
)
def test_a_convention_that_fits_a_part_only_is_not_used(tmp_path, image_names, mask_names, named):
    put(tmp_path / "Images", *(f"{name}.png" for name in image_names))
    put(tmp_path / "Masks", *(f"{name}.png" for name in mask_names))
    with pytest.raises(InputError, match=named):
        find_pairs(tmp_path)


def test_a_mask_without_an_image_is_named_where_masks_are_optional_too(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    put(tmp_path / "Masks", "a.png", "c.png")
    with pytest.raises(InputError, match=r"no image for mask c\.png"):
        find_pairs(tmp_path, masks="optional")
    assert [p.mask for p in find_pairing(put_images(tmp_path / "new", "a.png"), "optional").pairs] == [None]


def put_images(folder, *names):
    put(folder / "Images", *names)
    return folder


def test_one_folder_of_images_whose_masks_cannot_be_told_is_refused(tmp_path):
    put(tmp_path, "a.png", "b.png")
    with pytest.raises(InputError, match="cannot be told apart by name"):
        find_pairs(tmp_path)


def test_unicode_hidden_files_links_and_long_names(tmp_path):
    long = "n" * 200
    put(tmp_path / "Images", f"{unicodedata.normalize('NFC', 'Ä b')}.PNG", f"{long}.png")
    put(tmp_path / "Masks", f"{unicodedata.normalize('NFD', 'Ä b')}.png")
    put(tmp_path, "elsewhere.png")
    (tmp_path / "Masks" / f"{long}.png").symlink_to(tmp_path / "elsewhere.png")
    for name in (".DS_Store", "Thumbs.db", f"._{long}.png"):
        (tmp_path / "Masks" / name).write_bytes(b"x")
    assert len(find_pairs(tmp_path)) == 2
    put(tmp_path / "Images", f"{unicodedata.normalize('NFD', 'Ä b')}.png")
    with pytest.raises(InputError, match="share one name"):  # one name to people, two files to the disk
        find_pairs(tmp_path)


def test_a_link_to_nothing_is_named(tmp_path):
    put(tmp_path / "Images", "a.png")
    put(tmp_path / "Masks", "a.png")
    os.symlink("gone.png", tmp_path / "Images" / "b.png")
    with pytest.raises(InputError, match=r"b\.png: a link to gone\.png"):
        find_pairs(tmp_path)


def test_one_file_an_object_in_a_folder_an_image(tmp_path):
    for name, columns in (("id1", (0, 3)), ("id2", (5,))):
        put(tmp_path / name / "images", f"{name}.png")
        for column in columns:
            mask = np.zeros((8, 8), np.uint8)
            mask[2:4, column : column + 2] = 255
            write_png(tmp_path / name / "masks" / f"object{column}.png", mask)
    found = find_pairing(tmp_path)
    assert "id1: images ↔ masks" in found.explanation
    merged = read_mask_of(found.pairs[0], (8, 8))
    assert merged[2].tolist() == [255, 255, 0, 255, 255, 0, 0, 0] and merged.sum() == 8 * 255
    coding = survey(found.pairs).coding()
    assert coding.decode(merged).sum() == 8
    put(tmp_path / "id2" / "masks", "odd.png", size=(8, 9))
    with pytest.raises(InputError, match=r"odd\.png: mask of 8×9"):
        survey(find_pairs(tmp_path))
    put(tmp_path / "id3" / "images", "id3.png")
    with pytest.raises(InputError, match="no masks in id3"):
        find_pairs(tmp_path)
    put(tmp_path / "id4" / "masks", "object.png")
    with pytest.raises(InputError, match="no image in id4"):
        find_pairs(tmp_path, masks="optional")


def test_the_real_set_of_one_file_an_object(real_data):
    found = find_pairing(real_data / "cervix_cc0" / "stage1_train")
    assert len(found.pairs) == 16
    mask = read_mask_of(found.pairs[0], (1024, 1024))
    assert set(np.unique(mask)) == {0, 255} and 0.005 < (mask > 0).mean() < 0.2


def outline(points, label=""):
    return {"label": label, "points": points, "shape_type": "polygon"}


def test_outlines_are_masks_like_any_other(tmp_path):
    put(tmp_path / "Images", "a.png", "b.bmp", "c.png")
    box = [(1, 1), (4, 1), (4, 3), (1, 3)]
    (tmp_path / "Masks").mkdir()
    (tmp_path / "Masks" / "a.json").write_text(json.dumps({"shapes": [outline(box, "cell")]}))
    geometry = {"type": "Polygon", "coordinates": [[*box, box[0]]]}
    (tmp_path / "Masks" / "b.bmp.geojson").write_text(json.dumps({"type": "Feature", "geometry": geometry}))
    roifile.roiwrite(tmp_path / "Masks" / "c.zip", [roifile.ImagejRoi.frompoints(box)])
    found = find_pairs(tmp_path)
    coding = survey(found).coding()
    for pair in found:
        decoded = coding.decode(read_mask_of(pair, (8, 8)))
        assert decoded[1:3, 1:4].all() and decoded.sum() == 6


def test_outlines_beside_the_images_and_their_classes(tmp_path):
    put(tmp_path, "a.png", "b.png")
    whole, part = [(0, 0), (7, 0), (7, 7), (0, 7)], [(2, 2), (4, 2), (4, 4), (2, 4)]
    for name, shapes in (("a", [outline(part, "nucleus"), outline(whole, "cytoplasm")]), ("b", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"shapes": shapes}))
    found = find_pairs(tmp_path)
    facts = survey(found)
    coding = facts.coding(classes=3)
    assert coding.explanation == "classes: 0 = 0, 1 = cytoplasm, 2 = nucleus"
    assert coding.decode(read_mask_of(found[0], (8, 8)))[3].tolist() == [1, 1, 2, 2, 1, 1, 1, 0]
    again = MaskCoding(**json.loads(json.dumps(vars(coding))))  # the run card's way
    np.testing.assert_array_equal(again.decode(read_mask_of(found[0], (8, 8)))[3], [1, 1, 2, 2, 1, 1, 1, 0])
    with pytest.raises(InputError, match="unknown values"):
        again.check({0: 1, pairs.annotations.name_value("Nucleus"): 5})
    assert "foreground: everything but 0" in facts.coding().explanation
    with pytest.raises(InputError, match=r"3 values or colours, 0, cytoplasm, nucleus; expected 5"):
        facts.coding(classes=5)


@pytest.mark.parametrize(("by", "groups"), [(r"^([^_]+)_", ["s1", "s1", "s2"]), (r"s\d+_\w", ["s1_a", "s1_b", "s2_a"])])
def test_groups_by_a_name_pattern(by, groups):
    made = [Pair(stem, None, None, stem) for stem in ("s1_a", "s1_b", "s2_a")]
    assert [pair.group for pair in group_by(made, by)] == groups


@pytest.mark.parametrize("text", ["file,group\na.png,x\nb,y\nother,z\n", "\ufeffgroup;file\r\nx;a.png\r\ny;b\r\n"])
def test_groups_by_a_table(tmp_path, text):
    put(tmp_path / "Images", "a.png", "b.png")
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8", newline="")
    assert [pair.group for pair in group_by(find_pairs(tmp_path, "optional"), tmp_path / "groups.csv")] == ["x", "y"]


@pytest.mark.parametrize(
    ("by", "text", "named"),
    [
        ("(", None, "not a regular expression"),
        (r"slide\d", None, r"no group for a\.png, b\.png"),
        ("missing.csv", None, "no such file"),
        ("g.csv", "name,slide\na,1\n", "expected file and group"),
        ("g.csv", "file,group\na,1\n", r"no group for b\.png"),
        ("g.csv", "file,group\na,1\na,2\nb,1\n", "a is in groups 1 and 2"),
    ],
)
def test_groups_that_are_not_given_are_named(tmp_path, monkeypatch, by, text, named):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "Images", "a.png", "b.png")
    if text:
        (tmp_path / by).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=named):
        group_by(find_pairs(tmp_path, "optional"), by)


def test_an_image_without_a_mask_is_fine_where_masks_are_optional(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    put(tmp_path / "Masks", "a.png")
    assert [p.mask is None for p in find_pairs(tmp_path, masks="optional")] == [False, True]


@pytest.mark.parametrize(
    ("stem", "group"),
    [
        ("slide03_field2", "slide03"),
        ("EDF000_tile_03_04", "EDF000"),
        ("case7-roi2", "case7"),
        ("carcinoma_in_situ_001", "carcinoma_in_situ_001"),
        ("field_01", "field_01"),
        ("img1", "img1"),
    ],
)
def test_the_group_is_what_a_tile_was_cut_from(stem, group):
    assert group_of(stem) == group


@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_no_group_is_on_both_sides(groups, share, seed):
    made = [Pair(f"{i}", None, None, f"g{group}") for i, group in enumerate(groups)]
    training, validation = split_by_group(made, share, seed)
    assert sorted(p.stem for p in training + validation) == sorted(p.stem for p in made)
    assert not {p.group for p in training} & {p.group for p in validation}
    assert training and (validation or len(set(groups)) == 1)
    assert split_by_group(made[::-1], share, seed)[1] == validation[::-1]


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


def test_a_test_image_that_is_trained_on_is_found_by_content_not_by_name(tmp_path):
    train, test = tmp_path / "Train data", tmp_path / "Test data"
    put(train / "Images", "0.png", value=1)
    put(train / "Images", "1.png", value=2)
    put(test / "Images", "0.png", value=3)  # numbered alike, another picture
    put(test / "Images", "renamed.png", value=2)
    found = pairs.shared_images(find_pairs(train, "optional"), find_pairs(test, "optional"))
    assert found == ["renamed.png"]


def test_single_cell_crops_are_fitted_and_fields_are_not():
    assert choose_fit([(43, 41), (200, 180), (300, 100)], 256)
    assert not choose_fit([(1024, 1024), (43, 41)], 256)
    assert not choose_fit([(256, 256)], 256)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_fitted_size_fills_the_tile(height, width):
    fitted = fitted_size(height, width, 256)
    assert max(fitted) == 256 and min(fitted) >= 1
    assert abs(fitted[0] * width - fitted[1] * height) <= 0.5 * max(height, width) or min(fitted) == 1


@given(data=st.data())
def test_resizing_a_mask_invents_no_class(data):
    size, new = (data.draw(st.tuples(st.integers(1, 50), st.integers(1, 50))) for _ in range(2))
    mask = np.random.default_rng(0).choice([0, 2, 5], size).astype(np.uint8)
    resized = resize(mask, *new, nearest=True)
    assert resized.shape == new and set(np.unique(resized)) <= {0, 2, 5}


def test_tiles_keep_the_groups_that_prepare_recorded(tmp_path):
    made = [Pair(stem, tmp_path / f"{stem}.png", None, stem) for stem in ("a", "b", "mine")]
    assert recorded_groups(made, tmp_path) == made
    (tmp_path / "tiles.csv").write_text("file,group\na.png,patient1\nb.png,patient1\n", encoding="utf-8")
    assert [pair.group for pair in recorded_groups(made, tmp_path)] == ["patient1", "patient1", "mine"]
