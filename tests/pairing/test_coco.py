"""One COCO file holds the masks of a whole folder, as CVAT, Roboflow and Label Studio write it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pairing.coco_json import decode_runs
from pairing.masks import read_mask_of, read_stored_mask_of
from pairing.objects import numbered_objects
from pairing.outlines import name_value
from pairing.pairs import find_pairing
from pairing.survey import read_folder, survey
from preparing.prepare import prepare_fields
from reading import images
from reading.files import InputError

SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]  # x, y: columns 2 to 5, rows 1 to 3


def runs_of(mask):
    """Runs of a mask, down the columns, outside first."""
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [2]])
    turns = np.flatnonzero(np.diff(flat))
    return np.diff([0, *turns]).tolist()


def text_of(counts):
    """Run lengths as `rleToString` of cocoapi's maskApi.c writes them."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            code, value = value & 31, value >> 5
            more = value != -1 if code & 16 else value != 0
            text += chr((code | 32 * more) + 48)
    return text


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)), st.booleans())
def test_masks_in_runs(mask, packed):
    counts = runs_of(mask)
    row, column, pixels = decode_runs({"size": list(mask.shape), "counts": text_of(counts) if packed else counts})
    found = np.zeros_like(mask)
    found[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    np.testing.assert_array_equal(found, mask)


def test_a_packed_mask_of_cocoapi():
    row, column, pixels = decode_runs({"size": [9, 10], "counts": "61X13mN000`0"})  # 6 1 40 4 5 4 5 4 21
    assert (row, column) == (2, 0) and pixels.sum() == 13


@pytest.mark.parametrize("counts", [[3, 4], [100, -90, 70], [], "61X1"])
def test_runs_that_do_not_fill_the_size_are_refused(counts):
    with pytest.raises(ValueError, match="do not add up"):
        decode_runs({"size": [8, 10], "counts": counts})


def coco(names, drawn, categories=("cell",), size=(8, 10)):
    """drawn: (place among `names`, place among `categories`, segmentation)."""
    return {
        "images": [
            {"id": 7 + i, "file_name": name, "height": size[0], "width": size[1]} for i, name in enumerate(names)
        ],
        "categories": [{"id": i, "name": name, "supercategory": "none"} for i, name in enumerate(categories)],
        "annotations": [
            {"id": i, "image_id": 7 + image, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
            for i, (image, category, segmentation) in enumerate(drawn)
        ],
    }


def put(folder, *names, size=(8, 10)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        images.write_png(folder / name, np.full(size, number, np.uint8))


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "listed"),
    [
        ("Masks/instances_default.json", ["a b.png", "c.png"]),
        ("annotations/instances_train.json", ["train/a b.png", "train/c.png"]),
        ("Images/_annotations.coco.json", ["a%20b.png", "c.png"]),
        ("result.json", ["images/0a1b2c3d-a_b.png", "images\\9f8e7d6c-c.png"]),
        ("result.json", ["/data/local-files/?d=set/a%20b.png", "http://host/data/c.png"]),
        ("Masks/coco.json", ["a-b_png.rf.0123456789abcdef.jpg", "c_jpg.rf.0123456789abcdef.jpg"]),
        ("Masks/coco.json", ["a b.tif", "C.PNG"]),
    ],
)
def test_images_are_found_by_the_names_in_it(tmp_path, place, listed):
    put(tmp_path / "Images", "a b.png", "c.png")
    write(tmp_path / place, coco(listed, [(0, 0, [SQUARE])]))
    found = find_pairing(tmp_path)
    assert [pair.stem for pair in found.pairs] == ["a b", "c"] and "COCO" in found.explanation
    masks = [read_mask_of(pair, (8, 10)) for pair in found.pairs]
    assert [np.count_nonzero(mask) for mask in masks] == [12, 0], "an image without outlines has an empty mask"
    assert masks[0].max() == name_value("cell")


def test_polygons_runs_and_boxes(tmp_path):
    mask = np.zeros((8, 10), bool)
    mask[5:8, 1:4] = True
    mask[6, 2] = False
    drawn = [
        (0, 1, [SQUARE, [4, 1, 9, 1, 9, 3, 4, 3]]),  # overlapping parts of one object
        (0, 2, {"size": [8, 10], "counts": runs_of(mask)}),
        (1, 2, {"size": [8, 10], "counts": text_of(runs_of(mask))}),
        (1, 1, []),
        (2, 2, [7, 5, 9, 5, 9, 8, 7, 8]),  # not in a list of polygons
    ]
    value = coco(["a.png", "b.png", "c.png"], drawn, categories=("none", "cytoplasm", "nucleus"))
    value["annotations"][3]["bbox"] = [1, 1, 3, 3]
    put(tmp_path / "Images", "a.png", "b.png", "c.png")
    write(tmp_path / "Masks/x.json", value)
    stored = [read_stored_mask_of(pair, (8, 10)) for pair in find_pairing(tmp_path).pairs]
    first = np.zeros((8, 10), int)
    first[1:4, 2:6] = first[1:3, 4:9] = name_value("cytoplasm")
    first[mask] = name_value("nucleus")
    np.testing.assert_array_equal(stored[0].values, first)
    assert stored[0].names == {name_value(name): name for name in ("cytoplasm", "nucleus")}
    np.testing.assert_array_equal(stored[1].values > 0, mask)
    assert stored[1].left_out == {"without an outline (box)": 1}
    assert np.count_nonzero(stored[2].values) == 6


def test_each_outline_is_one_object(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    beside = [6, 1, 9, 1, 9, 4, 6, 4]
    write(tmp_path / "Masks/coco.json", coco(["a.png", "b.png"], [(0, 0, [SQUARE]), (0, 0, [beside])]))
    pairs = find_pairing(tmp_path).pairs
    found = survey(pairs, quiet=True)
    coding = found.coding()
    mask = coding.decode(read_mask_of(pairs[0], (8, 10)))
    labels, source = numbered_objects(pairs[0], mask, coding, found.mask_values)
    assert source == "outlines" and len(np.unique(labels[labels > 0])) == 2


def test_a_file_an_image_that_lists_them_all(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    value = coco(["a.png", "b.png"], [(0, 0, [SQUARE]), (1, 0, [[0, 0, 1, 0, 1, 1, 0, 1]])])
    for name in ("a.json", "b.json"):
        write(tmp_path / "Masks" / name, value)
    masks = [read_mask_of(pair, (8, 10)) for pair in find_pairing(tmp_path).pairs]
    assert [np.count_nonzero(mask) for mask in masks] == [12, 1]


def test_one_file_beside_masks_of_the_others(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    write(tmp_path / "Masks/coco.json", coco(["a.png", "x.png"], [(0, 0, [SQUARE])]))
    put(tmp_path / "Masks", "b.png")
    found = find_pairing(tmp_path)
    assert [pair.mask.name for pair in found.pairs] == ["a.png", "b.png"] and "x.png" in found.explanation


def test_equal_names_in_folders_are_told_by_the_folder(tmp_path):
    put(tmp_path / "set2/Images", "a.png")
    value = coco(["set1/Images/a.png", "set2/Images/a.png"], [(0, 0, [SQUARE])])
    write(tmp_path / "set2/Masks/coco.json", value)
    (pair,) = find_pairing(tmp_path / "set2").pairs
    assert not read_mask_of(pair, (8, 10)).any()
    for other in ("set3/Images/a.png", "Images/set2/a.png", "a.png"):
        value["images"][1]["file_name"] = other
        write(tmp_path / "set2/Masks/coco.json", value)
        with pytest.raises(InputError, match="2 entries"):
            find_pairing(tmp_path / "set2")


def several(folder):
    write(folder / "Masks/one.json", coco(["a.png", "b.png"], []))
    write(folder / "Masks/two.json", coco(["b.png"], []))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: write(folder / "Masks/x.json", coco(["a.png"], [])), "b.png not listed"),
        (lambda folder: write(folder / "Masks/x.json", coco(["1/a.png", "2/a.png", "b.png"], [])), "2 entries"),
        (several, "b.png listed in more than one"),
        (lambda folder: write(folder / "Masks/x.json", {"images": [{"id": 1}], "annotations": []}), "not a readable"),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path, make, said):
    put(tmp_path / "Images", "a.png", "b.png")
    make(tmp_path)
    with pytest.raises(InputError, match=said) as error:
        find_pairing(tmp_path)
    assert "\n" not in str(error.value)


def test_outlines_of_another_size_and_unlisted_images(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    write(tmp_path / "Masks/x.json", coco(["a.png"], [(0, 0, [SQUARE])], size=(16, 20)))
    pairs = find_pairing(tmp_path, "optional").pairs
    assert [pair.mask is None for pair in pairs] == [False, True]
    with pytest.raises(InputError, match="16×20 pixels, but the image has 8×10"):
        read_mask_of(pairs[0], (8, 10))


def test_prepare_gives_each_picture_a_file_of_its_own(tmp_path):
    put(tmp_path / "raw/Images", "a.png", "b.png", "c.png")
    drawn = [(i, 0, {"size": [8, 10], "counts": runs_of(np.eye(8, 10, i) > 0)}) for i in range(3)]
    write(tmp_path / "raw/Masks/x.json", coco([f"{name}.png" for name in "abc"], drawn))
    prepare_fields(tmp_path / "data", tmp_path / "raw", quiet=True)
    assert sorted(path.name for path in (tmp_path / "data/Raw data/Masks").iterdir()) == [
        "a.geojson", "b.geojson", "c.geojson",
    ]  # fmt: skip
    assert prepare_fields(tmp_path / "data", tmp_path / "raw", quiet=True).written == 0
    for part in ("Train data", "Test data"):
        for pair in read_folder(tmp_path / "data" / part, tmp_path / "data", quiet=True).pairing.pairs:
            expected = np.eye(8, 10, "abc".index(pair.stem)) > 0
            np.testing.assert_array_equal(read_mask_of(pair, (8, 10)) > 0, expected)


def test_one_image_with_the_file_of_its_folder(tmp_path):
    put(tmp_path, "a.png", "b.png")
    write(tmp_path / "x.json", coco(["a.png", "b.png"], [(1, 0, [SQUARE])]))
    done = prepare_fields(tmp_path / "data", tmp_path / "b.png", tmp_path / "x.json", quiet=True)
    (piece,) = done.pieces
    assert (piece.foreground, piece.pixels) == (12, 80)
