"""Pairs by exact name or one convention; splits by whole groups."""

import json
import os
import unicodedata

import numpy as np
import pytest
import roifile
from hypothesis import given
from hypothesis import strategies as st

from pairing import outlines
from pairing.groups import grouped_by, groups_of, split_by_group, with_tile_table
from pairing.masks import MaskCoding, read_mask_of
from pairing.pairs import Pair, find_pairing, find_pairs
from pairing.qupath_geojson import write_geojson
from pairing.survey import survey
from reading.files import InputError
from reading.images import write_png


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
        (["A.png", "a.bmp"], ["A.png", "a.png"], r"A\.png and a\.bmp differ in upper and lower case alone"),
        (["ö.png", "o\u0308.bmp"], ["ö.png"], "share one name"),
        (["a.tif", "a.ome.tif"], ["a.png"], "share one name"),
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
        (["a.ome.tif", "b.OME.TIF"], ["a.tif", "b.png"]),
        (["a.tif", "b.png"], ["a.ome.tif", "b.ome.tiff"]),
        (["a.ome.tif", "b.tif"], ["a_mask.ome.tif", "b_mask.png"]),
        (["a.ome.tif", "b.ome.tif"], ["a.ome_mask.png", "b.ome_mask.png"]),  # by tools that know one ending
        (["a.ome.tif", "b.ome.tif"], ["a.ome_nuclei.tif", "b.ome_nuclei.tif"]),
        (["a.ome.tif", "b.ome.tif"], ["a.ome.png", "b.png"]),
        (["image_1.ome.tif", "image_2.ome.tif"], ["mask_1.ome.tif", "mask_2.ome.tif"]),
    ],
)
def test_the_two_endings_of_ome_tiff_are_one(tmp_path, image_names, mask_names):
    put(tmp_path / "Images", *image_names)
    put(tmp_path / "Masks", *mask_names)
    found = find_pairs(tmp_path)
    assert [pair.image.name for pair in found] == image_names and [pair.mask.name for pair in found] == mask_names
    assert not any("ome" in pair.stem.lower() for pair in found)


def test_outlines_of_ome_tiffs(tmp_path):
    put(tmp_path / "Images", "a.ome.tif", "b.ome.tif", "c.ome.tif")
    (tmp_path / "Masks").mkdir()
    names = ["a.ome.tif.geojson", "b.ome.geojson", "c.geojson"]  # QuPath's, and two of people
    for name in names:
        write_geojson(tmp_path / "Masks" / name, [])
    assert [pair.mask.name for pair in find_pairs(tmp_path)] == names


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
        (["a", "b_nuclei_1"], ["a_nuclei", "b_nuclei_1_nuclei"]),  # a word of no list
        (["img1", "img10"], ["img1_binary", "img10_binary"]),
        (["a", "ab"], ["a_marked_1", "ab_marked_1"]),
        (["x", "y"], ["lbl_x", "lbl_y"]),
        (["1", "2"], ["1cells", "2cells"]),
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
        (["img1", "img10"], ["img10", "img100"], r"no mask for img1\.png"),
        (["a", "b"], ["a_01", "b_01"], r"no mask for a\.png, b\.png"),
        (["a", "b"], ["a_nuclei", "b_cells"], r"no mask for a\.png, b\.png"),
        (["a", "b"], ["acells", "bcells"], r"no mask for a\.png, b\.png"),
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


def layout(folder, kind):
    """(the folder to name, words of the message) of one mistaken layout."""
    names = ("a.png", "b.png")
    if kind == "sets":
        for sub in ("train/images", "train/masks", "test/images", "test/masks"):
            put(folder / sub, *names)
        return folder, f"several sets of images with masks .test, train.*such as {folder / 'test'}"
    if kind == "too high":
        for name in ("id1", "id2"):
            put(folder / "x" / "stage1_train" / name / "images", f"{name}.png")
            put(folder / "x" / "stage1_train" / name / "masks", "1.png", "2.png")
        return folder / "x", f"Name this one instead: {folder / 'x' / 'stage1_train'}"
    if kind == "one set too high":
        put(folder / "mine" / "Images", *names)
        put(folder / "mine" / "Masks", *names)
        return folder, f"such as {folder / 'mine'}"
    if kind == "too low":
        put(folder / "Images", *names)
        put(folder / "Masks", *names)
        return folder / "Images", f"one of the two folders Images and Masks.*instead: {folder.resolve()}"
    if kind == "subfolders":
        put(folder / "Images" / "patient1", *names)
        put(folder / "Masks" / "patient1", *names)
        return folder, "subfolders .patient1. are not read"
    if kind == "names of masks":
        put(folder / "Images", *names)
        put(folder / "Umrisse", *names)
        return folder, "other folders .Umrisse. .*expected one of masks, "
    put(folder / "Bilder", *names)
    put(folder / "Umrisse", *names)
    return folder, "among Bilder, Umrisse; expected one of images, .*and for masks masks, "


@pytest.mark.parametrize(
    "kind", ["sets", "too high", "one set too high", "too low", "subfolders", "names of masks", "names"]
)
def test_a_mistaken_layout_is_answered_with_what_to_name(tmp_path, kind):
    folder, words = layout(tmp_path, kind)
    with pytest.raises(InputError, match=words) as error:
        find_pairs(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [("Originals", "Ground Truth"), ("imagesTr", "labelsTr"), ("images", "ground_truth")])
def test_other_names_of_the_two_folders(tmp_path, names):
    put(tmp_path / names[0], "a_0000.png", "b_0000.png")
    put(tmp_path / names[1], "a.png", "b.png")
    assert len(find_pairs(tmp_path)) == 2


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
        again.check({0: 1, outlines.name_value("Nucleus"): 5})
    assert "foreground: everything but 0" in facts.coding().explanation
    with pytest.raises(InputError, match=r"3 values or colours, 0, cytoplasm, nucleus; expected 5"):
        facts.coding(classes=5)


@pytest.mark.parametrize(("by", "groups"), [(r"^([^_]+)_", ["s1", "s1", "s2"]), (r"s\d+_\w", ["s1_a", "s1_b", "s2_a"])])
def test_groups_by_a_name_pattern(by, groups):
    made = [Pair(stem, None, None, stem) for stem in ("s1_a", "s1_b", "s2_a")]
    assert [pair.group for pair in grouped_by(made, by)] == groups


@pytest.mark.parametrize("text", ["file,group\na.png,x\nb,y\nother,z\n", "\ufeffgroup;file\r\nx;a.png\r\ny;b\r\n"])
def test_groups_by_a_table(tmp_path, text):
    put(tmp_path / "Images", "a.png", "b.png")
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8", newline="")
    assert [pair.group for pair in grouped_by(find_pairs(tmp_path, "optional"), tmp_path / "groups.csv")] == ["x", "y"]


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
        grouped_by(find_pairs(tmp_path, "optional"), by)


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
        ("B12-7 [x=512,y=0,w=512,h=512]", "B12-7"),
        ("B12-7.svs [d=2.5,x=512,y=-4,w=512,h=512,z=0,t=1]", "B12-7.svs"),
        ("B12-7_(1.00,512,0,512,512)", "B12-7"),
        ("101B_[11473, 7377, 11976, 7880]", "101B"),
        ("scan4-X300-Y0_level2", "scan4"),
        ("patch_node_4_x_3328_y_21792", "patch_node_4"),
        ("DX1_xmin45_ymin25_MPP-0.25", "DX1"),
        ("scan4_tile_x_00512_y_00001", "scan4"),
        ("scan4_col2_row17", "scan4"),
        ("scan4_R3C4.ome", "scan4"),
        ("scan4 tile (12)", "scan4"),
        ("x0_y512", "unnamed slide"),
        ("plate1_r03c04f05p01-ch1", "plate1_r03c04"),
        ("r03c04", "r03c04"),
        ("lux4_ray5", "lux4_ray5"),
        ("smear_40x_12", "smear_40x_12"),
        ("smear (12)", "smear (12)"),
        ("scan4_1024_512", "scan4_1024_512"),
    ],
)
def test_the_group_is_what_a_tile_was_cut_from(stem, group):
    assert groups_of([stem]) == [group]


def named(pattern, rows, columns):
    return [pattern.format(row, column) for row in rows for column in columns]


@pytest.mark.parametrize(
    "pattern", ["scan4_{}_{}", "TCGA-18-DX1-{}-{}.ome", "scan4_{}x{}", "scan4_{}_{}_300", "2_7 {} {} 300 300"]
)
@pytest.mark.parametrize("start", [0, 417])
def test_tiles_that_lie_on_a_grid_of_pixels_are_of_one_slide(pattern, start):
    stems = named(pattern, range(start, 3000, 300), range(0, 1200, 300))
    some = [stem for number, stem in enumerate(stems) if number % 3]
    assert len(set(groups_of([*some, "cell_017"]))) == 2


def test_tiles_of_several_slides_with_their_ends_or_indices():
    ends = [f"s{slide}_{x}_{y}_{x + 256}_{y + 256}" for slide in (1, 2) for x in (0, 256) for y in (0, 256)]
    assert groups_of(ends) == ["s1"] * 4 + ["s2"] * 4
    indices = [f"s{slide}_{row:04d}_{column:04d}" for slide in (1, 2) for row in range(3) for column in range(4)]
    assert groups_of(indices) == ["s1"] * 12 + ["s2"] * 12


@pytest.mark.parametrize(
    "stems",
    [
        named("2024_{:02d}_{:02d}", range(1, 13), range(1, 29)),
        named("smear-{:02d}-{:02d}-2024", range(1, 29), (5, 6)),
        named("patient_{}_{}", range(9), range(13)),
        named("{}_{}", range(4), range(4)),
        named("treated_{}_{}", range(1, 4), range(1, 6)),
        named("A-14-22549AB-{}-{:03d}", (40, 100, 200, 400), range(1, 20)),
        named("case_{:04d}_{:04d}", range(40), [0]),
        ["scan_20240512_143001", "scan_20240512_143122", "scan_20240513_090112", "scan_20240514_093300"],
        [f"cell_{number:03d}" for number in range(40)],
    ],
)
def test_numbers_that_are_no_places_make_no_groups(stems):
    assert groups_of(stems) == stems


@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    share=st.just(0.0) | st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_no_group_is_on_both_sides(groups, share, seed):
    made = [Pair(f"{i}", None, None, f"g{group}") for i, group in enumerate(groups)]
    training, validation = split_by_group(made, share, seed)
    assert sorted(p.stem for p in training + validation) == sorted(p.stem for p in made)
    assert not {p.group for p in training} & {p.group for p in validation}
    assert training and bool(validation) == (len(set(groups)) > 1 and share > 0)
    assert split_by_group(made[::-1], share, seed)[1] == validation[::-1]


def test_tiles_keep_the_groups_that_prepare_recorded(tmp_path):
    made = [Pair(stem, tmp_path / f"{stem}.png", None, stem) for stem in ("a", "b", "mine")]
    assert with_tile_table(made, tmp_path) == made
    (tmp_path / "tiles.csv").write_text("file,group\na.png,patient1\nb.png,patient1\n", encoding="utf-8")
    assert [pair.group for pair in with_tile_table(made, tmp_path)] == ["patient1", "patient1", "mine"]
