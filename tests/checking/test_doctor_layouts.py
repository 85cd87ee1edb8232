"""The data doctor on real-looking fields and on folders of other layouts: fault and file are named there too."""

import json
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from checking import doctor
from preparing.sample import write_sample
from reading import decoding
from reading.files import InputError
from tests.doctor_folders import (
    TEST,
    TRAIN,
    binary,
    change,
    complaints,
    copy_file,
    cut_short,
    every_mask,
    fill,
    grey,
    half,
    image,
    make_scene,
    mask,
    store,
)

# ----------------------------------------------------------------------------------------------- real-looking fields

FIELD, OTHER, TESTED = "slide00_field1", "slide02_field0", "slide03_field0"


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Six fields of three slides to train on and two fields of another slide to test."""
    folder = tmp_path_factory.mktemp("fields")
    write_sample(folder, size=384, train=(3, 2), test=(1, 2))
    return folder


def saved_again(folder):
    """A training field among the tests, as a JPEG that is a little brighter."""
    picture = np.array(Image.open(image(folder, FIELD)))
    brighter = np.clip(picture * 1.1 + 8, 0, 255).astype(np.uint8)
    store(folder / TEST / "Images" / "slide09_field0.jpg", brighter, quality=60)


def part_of(where, name="slide09_field0"):
    """A part of a training field under the name of another slide, with its mask."""

    def spoil(folder):
        for path_of in (image, mask):
            pixels = np.array(Image.open(path_of(folder, FIELD)))
            store(path_of(folder, name, where), np.ascontiguousarray(pixels[90:330, 60:340]))

    return spoil


def mirrored(folder):
    for path_of in (image, mask):
        store(path_of(folder, OTHER), np.array(Image.open(path_of(folder, FIELD)))[:, ::-1].copy())


def same_slide(folder):
    for path_of in (image, mask):
        path_of(folder, TESTED, TEST).rename(path_of(folder, "slide00_field7", TEST))


def in_16_bits(folder):
    pixels = np.array(Image.open(image(folder, FIELD))).astype(np.uint16) * 257
    tifffile.imwrite(image(folder, FIELD).with_suffix(".tif"), pixels)
    image(folder, FIELD).unlink()


def exchanged(folder):
    first, second = image(folder, FIELD).read_bytes(), mask(folder, FIELD).read_bytes()
    image(folder, FIELD).write_bytes(second)
    mask(folder, FIELD).write_bytes(first)


def in_jpeg_cut_short(folder):
    path = image(folder, FIELD).with_suffix(".jpg")
    store(path, np.array(Image.open(image(folder, FIELD))), quality=90)
    path.write_bytes(path.read_bytes()[:-4000])
    image(folder, FIELD).unlink()


def of_field(path_of, function, name=FIELD, part=TRAIN):
    return change(path_of, function, name, part)


IMAGE, MASK = f"{TRAIN}/Images/{FIELD}.png", f"{TRAIN}/Masks/{FIELD}.png"
TEST_IMAGE, TEST_MASK = f"{TEST}/Images/{TESTED}.png", f"{TEST}/Masks/{TESTED}.png"
FIELD_FAULTS = {
    "a field cut short": (cut_short(image, 0.7, name=FIELD), "unreadable image", IMAGE),
    "a JPEG cut short": (in_jpeg_cut_short, "unreadable image", f"{TRAIN}/Images/{FIELD}.jpg"),
    "a mask cut short": (cut_short(mask, 0.5, name=FIELD), "unreadable mask", MASK),
    "a test field cut short": (cut_short(image, 0.5, TEST, TESTED), "unreadable image", TEST_IMAGE),
    "a mask gone": (lambda f: mask(f, FIELD).unlink(), "missing mask", IMAGE),
    "an image gone": (lambda f: image(f, FIELD).unlink(), "orphan mask", MASK),
    "a mask of half the size": (of_field(mask, half), "size mismatch", MASK),
    "a test mask of half the size": (of_field(mask, half, TESTED, TEST), "size mismatch", TEST_MASK),
    "a mask of 0 and 1": (of_field(mask, lambda m: m // 255), "mixed mask encodings", MASK),
    "an inverted mask": (of_field(mask, lambda m: 255 - m), "inverted mask", MASK),
    "an empty mask": (of_field(mask, np.zeros_like), "empty mask", MASK),
    "a full test mask": (of_field(mask, lambda m: np.full_like(m, 255), TESTED, TEST), "full mask", TEST_MASK),
    "all masks empty": (every_mask(np.zeros_like), "no foreground", MASK),
    "an image and its mask exchanged": (exchanged, "swapped Images and Masks", IMAGE),
    "the field as its mask": (lambda f: shutil.copy(image(f, FIELD), mask(f, FIELD)), "mask is a picture", MASK),
    "a lamp that was off": (of_field(image, lambda p: p // 12), "exposure", IMAGE),
    "a lamp too bright": (of_field(image, lambda p: np.clip(p * 6.0, 0, 255).astype(np.uint8)), "exposure", IMAGE),
    "a closed shutter": (of_field(image, np.zeros_like), "constant image", IMAGE),
    "a field in 16 bits": (in_16_bits, "bit depth", f"{TRAIN}/Images/{FIELD}.tif"),
    "a tinted field": (
        of_field(image, lambda p: np.stack([p, p // 2 + 90, p], -1)), "colour and grey mixed", IMAGE),
    "a field twice": (
        copy_file((TRAIN, "Images", f"{FIELD}.png"), (TRAIN, "Images", f"{OTHER}.png")), "duplicate image",
        f"{IMAGE} = {TRAIN}/Images/{OTHER}.png"),
    "a mask copied to another field": (
        copy_file((TRAIN, "Masks", f"{FIELD}.png"), (TRAIN, "Masks", f"{OTHER}.png")), "duplicate mask",
        f"{MASK} = {TRAIN}/Masks/{OTHER}.png"),
    "a field mirrored under another name": (mirrored, "near duplicate", f"{TRAIN}/Images/{OTHER}.png"),
    "a part of a field among the training": (
        part_of(TRAIN), "overlapping fields", f"{TRAIN}/Images/slide09_field0.png"),
    "a part of a field among the tests": (part_of(TEST), "leakage", f"{TEST}/Images/slide09_field0.png"),
    "a field saved again among the tests": (saved_again, "leakage", f"{TEST}/Images/slide09_field0.jpg"),
    "a slide in training and test": (same_slide, "leakage", f"{TEST}/Images/slide00_field7.png"),
}  # fmt: skip
ALONGSIDE = {"a field saved again among the tests": ["missing test mask"], "a field twice": ["duplicate mask"]}


def diagnose(good, folder, spoil):
    shutil.copytree(good, folder)
    spoil(folder)
    return doctor.examine(folder, quiet=True)


def named_with(diagnosis, kind):
    """The files of all findings of a kind, those of `a = b` also one by one."""
    found = [finding for finding in complaints(diagnosis) if finding.kind == kind]
    assert found, f"{kind} is not among {[(f.kind, f.files) for f in diagnosis.findings]}"
    return [part for finding in found for listed in finding.files for part in (listed, *listed.split(" = "))]


@pytest.mark.parametrize("name", FIELD_FAULTS)
def test_each_fault_of_a_real_looking_field_is_named_with_its_file(tmp_path, fields, name):
    spoil, kind, file = FIELD_FAULTS[name]
    diagnosis = diagnose(fields, tmp_path / "data", spoil)
    assert file in named_with(diagnosis, kind)
    assert {f.kind for f in complaints(diagnosis)} <= {kind, *ALONGSIDE.get(name, ())}


def test_the_real_looking_fields_themselves_are_good(fields):
    assert complaints(doctor.examine(fields, quiet=True)) == []


# ----------------------------------------------------------------------------------------------------- other layouts


def by_words(folder):
    """Images and masks of one folder, told apart by a word: cell3.png, cell3_mask.png."""
    for part in (TRAIN, TEST):
        for path in list((folder / part / "Masks").iterdir()):
            path.rename(folder / part / f"{path.stem}_mask.png")
        for path in list((folder / part / "Images").iterdir()):
            path.rename(folder / part / path.name)
        (folder / part / "Images").rmdir()
        (folder / part / "Masks").rmdir()
    return folder


def by_masks_of_words(folder):
    """Masks in a folder of their own with a word more: Images/cell3.png, Masks/cell3_mask.png."""
    for path in list(folder.glob("*/Masks/*.png")):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    return folder


def one_file_an_object(folder):
    """The layout of the Data Science Bowl 2018: cell3/images/cell3.png, cell3/masks/1.png, 2.png …"""
    for part in (TRAIN, TEST):
        for path in list((folder / part / "Images").iterdir()):
            target = folder / part / path.stem
            labels = make_scene(int(path.stem.removeprefix("cell")))[1]
            for number in np.unique(labels[labels > 0]):
                store(target / "masks" / f"{number}.png", np.uint8(255) * (labels == number))
            (target / "images").mkdir()
            path.rename(target / "images" / path.name)
        shutil.rmtree(folder / part / "Images")
        shutil.rmtree(folder / part / "Masks")
    return folder


def outlines(folder):
    """Masks drawn in LabelMe, one polygon a cell: Masks/cell3.json."""
    for path in list(folder.glob("*/Masks/*.png")):
        labels = make_scene(int(path.stem.removeprefix("cell")))[1]
        shapes = []
        for number in np.unique(labels[labels > 0]):
            cell = np.uint8(labels == number)
            found, _ = cv2.findContours(cell, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            points = max(found, key=len)[:, 0].tolist()
            if len(points) > 4:
                shapes.append({"label": "nucleus", "points": points, "shape_type": "polygon"})
        drawn = {"shapes": shapes, "imageHeight": 128, "imageWidth": 128, "imagePath": f"{path.stem}.png"}
        path.with_suffix(".json").write_text(json.dumps(drawn))
        path.unlink()
    return folder


def of_several_tools(folder):
    """Of most pictures outlines, of classes as each tool names them; of every third a label image."""
    outlines(folder)
    for number, path in enumerate(sorted(folder.glob("*/Masks/*.json"))):
        if number % 3 == 0:
            tifffile.imwrite(path.with_suffix(".tif"), make_scene(int(path.stem.removeprefix("cell")))[1])
            path.unlink()
        elif number % 3 == 1:
            path.write_text(path.read_text().replace("nucleus", "Nucleus"))
    return folder


LAYOUTS = {
    "words": by_words, "masks of words": by_masks_of_words, "one file an object": one_file_an_object,
    "outlines": outlines, "several tools": of_several_tools,
}  # fmt: skip


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    return {name: make(fill(tmp_path_factory.mktemp("good"), grey, binary)) for name, make in LAYOUTS.items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_nothing_is_named_on_good_folders_of_any_layout(layouts, name):
    diagnosis = doctor.examine(layouts[name], quiet=True)
    assert complaints(diagnosis) == []
    assert "8 images, 8 with masks" in diagnosis.summary[0] and "as in cell0" in diagnosis.summary[0]


def shorten(name):
    def spoil(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def remove(name):
    return lambda f: shutil.rmtree(f / name) if (f / name).is_dir() else (f / name).unlink()


def copy(source, target):
    return lambda f: (shutil.copytree if (f / source).is_dir() else shutil.copy)(f / source, f / target)


def rewrite(name, function):
    def spoil(folder):
        store(folder / name, np.ascontiguousarray(function(np.array(Image.open(folder / name)))))

    return spoil


def redraw(name, function):
    def spoil(folder):
        drawn = json.loads((folder / name).read_text())
        function(drawn)
        (folder / name).write_text(json.dumps(drawn))

    return spoil


def move_outline(drawn):
    drawn["shapes"][0]["points"] = [[x + 500, y] for x, y in drawn["shapes"][0]["points"]]


def leak_objects(folder):
    shutil.copytree(folder / TRAIN / "cell3", folder / TEST / "other")
    (folder / TEST / "other" / "images" / "cell3.png").rename(folder / TEST / "other" / "images" / "other.png")


# (layout, damage, the kind that must be named, what must be named with it: a file of the finding, or in its text)
LAYOUT_FAULTS = {
    "an image cut short": ("words", shorten(f"{TRAIN}/cell3.png"), "unreadable image", f"{TRAIN}/cell3.png"),
    "a mask cut short": ("words", shorten(f"{TRAIN}/cell3_mask.png"), "unreadable mask", f"{TRAIN}/cell3_mask.png"),
    "a mask gone": ("words", remove(f"{TRAIN}/cell3_mask.png"), "missing mask", f"{TRAIN}/cell3.png"),
    "a mask of half the size": (
        "words", rewrite(f"{TRAIN}/cell3_mask.png", half), "size mismatch", f"{TRAIN}/cell3_mask.png"),
    "a training image as test": ("words", lambda f: [
        copy(f"{TRAIN}/cell3{end}.png", f"{TEST}/other{end}.png")(f) for end in ("", "_mask")
    ], "leakage", f"{TEST}/other.png"),
    "an empty mask": (
        "masks of words", rewrite(f"{TRAIN}/Masks/cell3_mask.png", np.zeros_like), "empty mask",
        f"{TRAIN}/Masks/cell3_mask.png"),
    "a mask of another name": (
        "masks of words", lambda f: (f / TRAIN / "Masks/cell3_mask.png").rename(f / TRAIN / "Masks/cel3_mask.png"),
        "orphan mask", f"{TRAIN}/Masks/cel3_mask.png"),
    "an inverted mask": (
        "masks of words", rewrite(f"{TEST}/Masks/cell9_mask.png", lambda m: 255 - m), "inverted mask",
        f"{TEST}/Masks/cell9_mask.png"),
    "an object cut short": (
        "one file an object", shorten(f"{TRAIN}/cell3/masks/2.png"), "unreadable mask", f"{TRAIN}/cell3/masks/2.png"),
    "an object of half the size": (
        "one file an object", rewrite(f"{TRAIN}/cell3/masks/2.png", half), "size mismatch",
        f"{TRAIN}/cell3/masks/2.png"),
    "a picture among the objects": (
        "one file an object", copy(f"{TRAIN}/cell3/images/cell3.png", f"{TRAIN}/cell3/masks/12.png"),
        "mask is a picture", f"{TRAIN}/cell3/masks"),
    "an image of objects cut short": (
        "one file an object", shorten(f"{TRAIN}/cell3/images/cell3.png"), "unreadable image",
        f"{TRAIN}/cell3/images/cell3.png"),
    "all objects of an image gone": (
        "one file an object", remove(f"{TRAIN}/cell3/masks"), "missing mask", f"{TRAIN}/cell3/images/cell3.png"),
    "the image of some objects gone": (
        "one file an object", remove(f"{TRAIN}/cell3/images/cell3.png"), "pairing", "cell3"),
    "objects in training and test": ("one file an object", leak_objects, "leakage", f"{TEST}/other/images/other.png"),
    "outlines cut short": ("outlines", shorten(f"{TRAIN}/Masks/cell3.json"), "unreadable mask",
        f"{TRAIN}/Masks/cell3.json"),
    "outlines gone": ("outlines", remove(f"{TRAIN}/Masks/cell3.json"), "missing mask", f"{TRAIN}/Images/cell3.png"),
    "outlines of a larger image": (
        "outlines", redraw(f"{TRAIN}/Masks/cell3.json", lambda d: d.update(imageHeight=512, imageWidth=512)),
        "size mismatch", f"{TRAIN}/Masks/cell3.json"),
    "an outline outside": (
        "outlines", redraw(f"{TRAIN}/Masks/cell3.json", move_outline), "size mismatch", f"{TRAIN}/Masks/cell3.json"),
    "nothing drawn": (
        "outlines", redraw(f"{TRAIN}/Masks/cell3.json", lambda d: d["shapes"].clear()), "empty mask",
        f"{TRAIN}/Masks/cell3.json"),
    "outlines of another image": (
        "outlines", copy(f"{TRAIN}/Masks/cell3.json", f"{TRAIN}/Masks/cell5.json"), "duplicate mask",
        f"{TRAIN}/Masks/cell3.json = {TRAIN}/Masks/cell5.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUT_FAULTS)
def test_each_fault_of_other_layouts_is_named_with_its_file(tmp_path, layouts, name):
    layout, spoil, kind, named = LAYOUT_FAULTS[name]
    diagnosis = diagnose(layouts[layout], tmp_path / "data", spoil)
    said = [*named_with(diagnosis, kind), *(f.text for f in diagnosis.findings if f.kind == kind)]
    assert any(named == text or (named in text and kind == "pairing") for text in said), said
    alongside = {"a mask of another name": {"missing mask"}}
    assert {f.kind for f in complaints(diagnosis)} <= {kind} | alongside.get(name, set())


# --------------------------------------------------------------------------------------------------------- remedies


def test_the_remedy_is_that_of_the_reader_and_each_has_its_own_finding(tmp_path, monkeypatch):
    folder = fill(tmp_path, grey, binary)
    store(image(folder), np.zeros((200, 300), np.uint8))
    store(image(folder, "cell4"), np.zeros((201, 300), np.uint8))
    cut_short(image, 0.5, name="cell5")(folder)
    image(folder, "cell6").unlink()
    tifffile.imwrite(image(folder, "cell6").with_suffix(".tif"), np.zeros((5, 128, 128), np.uint8))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 50_000)
    diagnosis = doctor.examine(folder, quiet=True)
    found = {finding.files: finding for finding in diagnosis.findings if finding.kind == "unreadable image"}
    names = [f"{TRAIN}/Images/{name}" for name in ("cell3.png", "cell4.png", "cell5.png", "cell6.tif")]
    assert set(found) == {(names[0], names[1]), (names[2],), (names[3],)}
    large, cut, pages = found[names[0], names[1]], found[names[2],], found[names[3],]
    assert "200×300 pixels" in large.text and "--max-megapixels" in large.remedy
    assert "Export or download it again" in cut.remedy and "--max-megapixels" not in cut.remedy
    assert "5 pages" in pages.text and "Save the plane to segment" in pages.remedy
    for finding in found.values():
        assert "take it out" in finding.remedy and str(tmp_path) not in finding.text
    with pytest.raises(InputError) as error:
        diagnosis.refuse()
    assert "\n" not in str(error.value) and "--max-megapixels" in str(error.value)


def test_what_cannot_be_paired_or_understood_keeps_its_remedy_too(tmp_path):
    linked, unclear = fill(tmp_path / "linked", grey, binary), fill(tmp_path / "unclear", grey, binary)
    (linked / TRAIN / "Images" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (finding,) = complaints(doctor.examine(linked, quiet=True))
    assert finding.kind == "pairing" and "gone.png" in finding.text and "Mend the link" in finding.remedy
    (finding,) = complaints(doctor.examine(unclear, foreground=(7,), quiet=True))
    assert finding.kind == "mask encoding" and "none is --foreground 7" in finding.text
    assert finding.remedy == "Choose among the values they hold."


# --------------------------------------------------------------------------------------------- what training is given


@pytest.mark.parametrize("name", [*LAYOUTS, "fields"])
def test_training_is_given_what_it_would_have_found_itself(request, layouts, name):
    from pairing import pairs
    from pairing.survey import survey

    folder = request.getfixturevalue("fields") if name == "fields" else layouts[name]
    read = doctor.examine(folder, thorough=False, quiet=True).training
    pairing, seen = read.pairing, read.survey
    assert pairing == pairs.find_pairing(folder / TRAIN)
    own = survey(pairing.pairs, quiet=True)
    assert (seen.sizes, seen.colour, seen.mask_values) == (own.sizes, own.colour, own.mask_values)
    assert seen.coding() == own.coding() and seen.notes(seen.coding()) == own.notes(own.coding())
    for one, other in zip(seen.masks, own.masks, strict=True):
        assert (one.path, one.border, one.names) == (other.path, other.border, other.names)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.counts, other.counts)


@pytest.mark.parametrize("path_of", [image, mask])
def test_training_is_given_nothing_where_something_cannot_be_read(tmp_path, path_of):
    folder = fill(tmp_path, grey, binary)
    cut_short(path_of, 0.5)(folder)
    assert doctor.examine(folder, thorough=False, quiet=True).training is None
    path_of(folder).unlink()
    assert doctor.examine(folder, thorough=False, quiet=True).training is None


def test_the_groups_of_tiles_reach_the_training(tmp_path):
    folder = fill(tmp_path, grey, binary)
    rows = [f"cell{number}.png,slide{number // 4}" for number in range(8)]
    (folder / "tiles.csv").write_text("\n".join(["file,group", *rows]))
    pairing = doctor.examine(folder, thorough=False, quiet=True).training.pairing
    assert [pair.group for pair in pairing.pairs] == ["slide0"] * 4 + ["slide1"] * 4
    (folder / "tiles.csv").write_text("file,group\ncell0.png,a\ncell0.png,b\n")
    diagnosis = doctor.examine(folder, thorough=False, quiet=True)
    assert diagnosis.training is None and [f.kind for f in complaints(diagnosis)] == ["pairing"]
    assert "cell0.png is in groups a and b" in diagnosis.findings[0].text
