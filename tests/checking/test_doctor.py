"""The data doctor: it names the fault and the file in damaged copies of a good folder, and nothing in good ones."""

import shutil

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from checking import doctor
from preparing.sample import write_sample
from reading.files import InputError
from reading.images import read, read_mask
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

# ------------------------------------------------------------------------------------------------------ good folders


def brightfield(image):
    """Dark cells on a bright ground, in colour."""
    return np.stack([grey(1 - 0.75 * image), grey(1 - 0.9 * image), grey(1 - 0.5 * image)], -1)


def soft(labels):
    return cv2.GaussianBlur(binary(labels), (0, 0), 0.8)


def class_ids(labels):
    return np.where(labels > 0, 1 + labels % 2, 0).astype(np.uint8)


def tiles(folder):
    """Overlapping tiles of large fields, some without a cell, the fields kept apart."""
    for part, fields in ((TRAIN, range(3)), (TEST, range(3, 5))):
        for field in fields:
            image, labels = make_scene(40 + field, 384, cells=20)
            image[:130, :130], labels[:130, :130] = 0.1 + 0.02 * np.random.default_rng(field).random((130, 130)), 0
            for row in range(0, 257, 64):
                name, cut = f"slide{field}_tile_{row}_0.png", np.s_[row : row + 128, :128]
                store(folder / part / "Images" / name, grey(image[cut]))
                store(folder / part / "Masks" / name, binary(labels[cut]))
    return folder


def without_test_masks(folder):
    shutil.rmtree(fill(folder, grey, binary) / TEST / "Masks")
    return folder


def jpeg_images(folder):
    fill(folder, grey, binary)
    for path in list(folder.glob("*/Images/*.png")):
        store(path.with_suffix(".jpg"), read(path)[..., 0], quality=85)
        path.unlink()
    return folder


def litter(folder):
    """What operating systems and people leave beside images."""
    fill(folder, grey, binary)
    for name in (".DS_Store", "Thumbs.db", "._cell0.png", "notes.txt", "stage positions.csv"):
        (folder / TRAIN / "Images" / name).write_bytes(b"litter")
    return folder


GOOD = {
    "fluorescence": lambda f: fill(f, grey, binary),
    "brightfield in colour": lambda f: fill(f, brightfield, binary),
    "16-bit": lambda f: fill(f, lambda i: np.rint(i * 65000).astype(np.uint16), binary, suffix="tif"),
    "12 bits in 16": lambda f: fill(f, lambda i: np.rint(i * 4000).astype(np.uint16), binary, suffix="tif"),
    "floating point": lambda f: fill(f, lambda i: i.astype(np.float32), binary, suffix="tif"),
    "0 and 1": lambda f: fill(f, grey, lambda m: (m > 0).astype(np.uint8)),
    "class ids": lambda f: fill(f, grey, class_ids),
    "labels of cells": lambda f: fill(f, grey, lambda m: m.astype(np.uint16)),
    "soft edges": lambda f: fill(f, grey, soft),
    "two images": lambda f: fill(f, grey, binary, train=2, test=0),
    "small images": lambda f: fill(f, grey, binary, size=40),
    "overlapping tiles": tiles,
    "no test masks": without_test_masks,
    "JPEG images": jpeg_images,
    "litter": litter,
    "sample": lambda f: write_sample(f, size=512, train=(3, 2), test=(1, 2)),
    "sample in colour": lambda f: write_sample(f, size=512, train=(3, 2), test=(1, 2), colour=True, classes=3),
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_named_on_good_folders(tmp_path, name):
    GOOD[name](tmp_path)
    diagnosis = doctor.examine(tmp_path, quiet=True)
    assert complaints(diagnosis) == []
    diagnosis.refuse()


def test_nothing_is_named_on_a_good_folder_of_classes(tmp_path):
    fill(tmp_path, grey, class_ids)
    assert complaints(doctor.examine(tmp_path, classes=3, quiet=True)) == []


def test_nothing_is_named_on_real_single_cells(tmp_path, real_data):
    for number, picture in enumerate(sorted((real_data / "herlev" / "Images").iterdir())):
        part = tmp_path / (TEST if number % 4 == 3 else TRAIN)
        for kind in ("Images", "Masks"):
            (part / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, part / "Images")
        shutil.copy(real_data / "herlev" / "Masks" / f"{picture.stem}.png", part / "Masks")
    for classes, foreground in ((1, None), (1, (2,)), (3, None)):
        assert complaints(doctor.examine(tmp_path, classes, foreground, quiet=True)) == []


def test_the_real_fields_are_good_but_for_some_that_truly_belong_together(tmp_path, real_data):
    """EDF007, to train on, and EDF010, to test, show 606×760 pixels of one place; EDF000 to EDF003 are one row."""
    rows = (real_data / "cervix_cc0" / "index.csv").read_text().split()[1:]
    for field, source, split, _ in (row.split(",") for row in rows):
        folder = real_data / "cervix_cc0" / "stage1_train" / source
        (image,) = (folder / "images").iterdir()
        part = tmp_path / (TRAIN if split == "train" else TEST)
        store(part / "Images" / f"{field}.png", read(image)[..., 0])
        nuclei = np.max([read_mask(path) for path in (folder / "masks").iterdir()], 0)
        store(part / "Masks" / f"{field}.png", np.where(nuclei > 0, 255, 0).astype(np.uint8))
    leak, row = complaints(doctor.examine(tmp_path, quiet=True))
    assert leak.kind == "leakage" and leak.severity == "warning"
    assert leak.files == ("Test data/Images/EDF010.png = Train data/Images/EDF007.png",)
    assert row.kind == "continuing fields" and row.severity == "warning"
    assert row.files == tuple(f"Train data/Images/EDF00{n}.png = Train data/Images/EDF00{n + 1}.png" for n in range(3))


# --------------------------------------------------------------------------------------------------- damaged copies


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("good"), grey, binary)


def pair_of(folder, name, array, stored_mask, part=TEST):
    store(folder / part / "Images" / f"{name}.png", np.ascontiguousarray(array))
    store(folder / part / "Masks" / f"{name}.png", np.ascontiguousarray(stored_mask))


def leak(function, part=TEST, name="other"):
    """A further pair, made from the picture of a training image: function(array) of both image and mask."""

    def spoil(folder):
        picture, stored = (np.array(Image.open(path(folder))) for path in (image, mask))
        pair_of(folder, name, function(picture), function(stored), part)

    return spoil


def tiles_in_both(part=TEST, names=("field_a", "field_b")):
    """Two overlapping cuts of one large field under different names."""

    def spoil(folder):
        picture, labels = make_scene(77, 256, 30)
        for name, cut, where in ((names[0], np.s_[:160, :160], TRAIN), (names[1], np.s_[70:230, 60:220], part)):
            pair_of(folder, name, grey(picture[cut]), binary(labels[cut]), where)

    return spoil


def tile_of_a_field(folder):
    picture, labels = make_scene(78, 320, 40)
    pair_of(folder, "whole", grey(picture), binary(labels), TRAIN)
    pair_of(folder, "piece", grey(picture)[100:228, 90:218], binary(labels)[100:228, 90:218], TEST)


def same_slide(folder):
    for part, name, seed in ((TRAIN, "slideA_field1", 80), (TEST, "slideA_field2", 81), (TRAIN, "slideB_field1", 82)):
        picture, labels = make_scene(seed)
        pair_of(folder, name, grey(picture), binary(labels), part)


def saved_again(folder):
    """The test folder holds a training image as a JPEG of low quality, brighter."""
    picture = np.array(Image.open(image(folder)))
    store(folder / TEST / "Images" / "again.jpg", np.clip(picture * 1.2 + 10, 0, 255).astype(np.uint8), quality=50)


def swap_one(folder):
    first, second = image(folder).read_bytes(), mask(folder).read_bytes()
    image(folder).write_bytes(second)
    mask(folder).write_bytes(first)


def swap_all(folder):
    (folder / TRAIN / "Images").rename(folder / TRAIN / "aside")
    (folder / TRAIN / "Masks").rename(folder / TRAIN / "Images")
    (folder / TRAIN / "aside").rename(folder / TRAIN / "Masks")


def some_masks(function, names, part=TRAIN):
    def spoil(folder):
        for name in names:
            change(mask, function, name, part)(folder)

    return spoil


def exchange_masks(folder):
    first, second = mask(folder), mask(folder, "cell5")
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def leaked_as_jpeg(folder):
    """A training image as a JPEG among the tests, with its mask as it was."""
    store(folder / TEST / "Images" / "other.jpg", np.array(Image.open(image(folder))), quality=70)
    shutil.copy(mask(folder), mask(folder, "other", TEST))


def one_slide_among_other_names(folder):
    for path_of in (image, mask):
        path_of(folder).rename(path_of(folder, "p1_field1"))
        path_of(folder, "cell9", TEST).rename(path_of(folder, "p1_field2", TEST))


def one_slide_by_the_numbers_of_both(folder):
    """Tiles that only both folders together show to lie on a grid."""
    for path_of in (image, mask):
        for number in (0, 1, 2):
            path_of(folder, f"cell{number}").rename(path_of(folder, f"p1_{640 * number}_{640 * number}"))
        path_of(folder, "cell9", TEST).rename(path_of(folder, "p1_0_640", TEST))


def deep(folder):
    path = image(folder)
    tifffile.imwrite(path.with_suffix(".tif"), np.array(Image.open(path)).astype(np.uint16) * 257)
    path.unlink()


def in_subfolder(folder):
    picture, _ = make_scene(90)
    store(folder / TRAIN / "Images" / "more" / "cell90.png", grey(picture))


def slide_beside(folder):
    (folder / TRAIN / "Images" / "slide.czi").write_bytes(b"ZISRAWFILE")


def coloured(pixels):
    return np.stack([pixels, pixels // 2, 255 - pixels], -1)


def jpeg_mask(folder):
    store(mask(folder).with_suffix(".jpg"), np.array(Image.open(mask(folder))), quality=60)
    mask(folder).unlink()


def probabilities(folder):
    array = np.array(Image.open(mask(folder))).astype(np.float32) / 300
    tifffile.imwrite(mask(folder).with_suffix(".tif"), array)
    mask(folder).unlink()


# What was done to a good folder: (the damage, the kind that must be named, the file that must be named with it).
FAULTS = {
    "an empty image file": (cut_short(image, 0), "unreadable image", "Train data/Images/cell3.png"),
    "an image cut short": (cut_short(image, 0.6), "unreadable image", "Train data/Images/cell3.png"),
    "text named .png": (lambda f: image(f).write_text("no image"), "unreadable image", "Train data/Images/cell3.png"),
    "a test image cut short": (cut_short(image, 0.5, TEST, "cell9"), "unreadable image", "Test data/Images/cell9.png"),
    "a mask cut short": (cut_short(mask, 0.7), "unreadable mask", "Train data/Masks/cell3.png"),
    "an empty mask file": (cut_short(mask, 0), "unreadable mask", "Train data/Masks/cell3.png"),
    "a test mask cut short": (cut_short(mask, 0.5, TEST, "cell9"), "unreadable mask", "Test data/Masks/cell9.png"),
    "a mask gone": (lambda f: mask(f).unlink(), "missing mask", "Train data/Images/cell3.png"),
    "a mask misspelt": (lambda f: mask(f).rename(mask(f, "cel3")), "missing mask", "Train data/Images/cell3.png"),
    "all masks gone": (lambda f: shutil.rmtree(f / TRAIN / "Masks"), "missing mask", "Train data/Images/cell3.png"),
    "an image gone": (lambda f: image(f).unlink(), "orphan mask", "Train data/Masks/cell3.png"),
    "a look-alike": (lambda f: mask(f).rename(mask(f, "cell30")), "orphan mask", "Train data/Masks/cell30.png"),
    "a mask of no test image": (lambda f: image(f, "cell9", TEST).unlink(), "orphan mask", "Test data/Masks/cell9.png"),
    "two images of one name": (lambda f: shutil.copy(image(f), image(f).with_suffix(".bmp")), "duplicate name",
        "Train data/Images/cell3.bmp"),
    "two masks of one name": (lambda f: shutil.copy(mask(f), mask(f).with_suffix(".tif")), "duplicate name",
        "Train data/Masks/cell3.tif"),
    "no training image": (lambda f: shutil.rmtree(f / TRAIN), "no images", ""),
    "a mask of half the size": (change(mask, half), "size mismatch", "Train data/Masks/cell3.png"),
    "a mask cropped by a row": (change(mask, lambda m: m[1:]), "size mismatch", "Train data/Masks/cell3.png"),
    "a test mask of another size": (change(mask, half, "cell9", TEST), "size mismatch", "Test data/Masks/cell9.png"),
    "one mask of 0 and 1": (change(mask, lambda m: m // 255), "mixed mask encodings", "Train data/Masks/cell3.png"),
    "one mask of 0 and 128": (change(mask, lambda m: m // 2), "mixed mask encodings", "Train data/Masks/cell3.png"),
    "a test mask of 0 and 1": (change(mask, lambda m: m // 255, "cell9", TEST), "mixed mask encodings",
        "Test data/Masks/cell9.png"),
    "a mask of fractions": (probabilities, "mask encoding", "Train data/Masks/cell3.tif"),
    "a mask in colour": (change(mask, lambda m: np.stack([m, m // 2, 0 * m], -1)), "mixed mask encodings",
        "Train data/Masks/cell3.png"),
    "one JPEG mask": (jpeg_mask, "mixed mask encodings", "Train data/Masks/cell3.jpg"),
    "one inverted mask": (change(mask, lambda m: 255 - m), "inverted mask", "Train data/Masks/cell3.png"),
    "an inverted test mask": (change(mask, lambda m: 255 - m, "cell9", TEST), "inverted mask",
        "Test data/Masks/cell9.png"),
    "all test masks inverted": (every_mask(lambda m: 255 - m, TEST), "opposite test masks",
        "Test data/Masks/cell9.png"),
    "all training masks inverted": (every_mask(lambda m: 255 - m), "opposite test masks", "Test data/Masks/cell9.png"),
    "half of the training masks inverted": (some_masks(lambda m: 255 - m, ["cell0", "cell1", "cell2", "cell3"]),
        "inverted mask", "Train data/Masks/cell3.png"),
    "five of eight training masks inverted": (some_masks(lambda m: 255 - m, [f"cell{i}" for i in range(5)]),
        "inverted mask", "Train data/Masks/cell3.png"),
    "a mirrored mask": (change(mask, lambda m: m[:, ::-1]), "mask does not fit", "Train data/Masks/cell3.png"),
    "a turned mask": (change(mask, lambda m: m.T), "mask does not fit", "Train data/Masks/cell3.png"),
    "a shifted mask": (change(mask, lambda m: np.roll(m, 40, 0)), "mask does not fit", "Train data/Masks/cell3.png"),
    "a mirrored test mask": (change(mask, lambda m: m[::-1], "cell9", TEST), "mask does not fit",
        "Test data/Masks/cell9.png"),
    "two masks exchanged": (exchange_masks, "mask does not fit", "Train data/Masks/cell5.png"),
    "an empty mask": (change(mask, np.zeros_like), "empty mask", "Train data/Masks/cell3.png"),
    "an empty test mask": (change(mask, np.zeros_like, "cell9", TEST), "empty mask", "Test data/Masks/cell9.png"),
    "a full mask": (change(mask, lambda m: np.full_like(m, 255)), "full mask", "Train data/Masks/cell3.png"),
    "all masks empty": (every_mask(np.zeros_like), "no foreground", "Train data/Masks/cell3.png"),
    "all masks full": (every_mask(lambda m: np.full_like(m, 255)), "no background", "Train data/Masks/cell3.png"),
    "the image as its mask": (lambda f: shutil.copy(image(f), mask(f)), "mask is a picture",
        "Train data/Masks/cell3.png"),
    "a colour picture as mask": (lambda f: store(mask(f), coloured(np.array(Image.open(image(f))))),
        "mask is a picture", "Train data/Masks/cell3.png"),
    "the mask as its image": (lambda f: shutil.copy(mask(f), image(f)), "picture is a mask",
        "Train data/Images/cell3.png"),
    "one pair exchanged": (swap_one, "swapped Images and Masks", "Train data/Images/cell3.png"),
    "folders exchanged": (swap_all, "swapped Images and Masks", "Train data/Images/cell3.png"),
    "hardly any foreground": (every_mask(lambda m: np.where(np.arange(m.size).reshape(m.shape) == 9, 255, 0)
        .astype(np.uint8)), "class imbalance", "Train data/Masks/cell3.png"),
    "a black image": (change(image, np.zeros_like), "constant image", "Train data/Images/cell3.png"),
    "a white image": (change(image, lambda p: np.full_like(p, 255)), "constant image", "Train data/Images/cell3.png"),
    "a grey test image": (change(image, lambda p: np.full_like(p, 99), "cell9", TEST), "constant image",
        "Test data/Images/cell9.png"),
    "an underexposed image": (change(image, lambda p: p // 25), "exposure", "Train data/Images/cell3.png"),
    "an overexposed image": (change(image, lambda p: np.clip(p * 9.0, 0, 255).astype(np.uint8)), "exposure",
        "Train data/Images/cell3.png"),
    "a negative": (change(image, lambda p: 255 - p), "exposure", "Train data/Images/cell3.png"),
    "a flat image": (change(image, lambda p: 100 + p // 30), "exposure", "Train data/Images/cell3.png"),
    "one 16-bit image": (deep, "bit depth", "Train data/Images/cell3.tif"),
    "one colour image": (change(image, coloured), "colour and grey mixed", "Train data/Images/cell3.png"),
    "an image of 9 by 9 pixels": (
        lambda f: pair_of(f, "speck", grey(make_scene(3)[0])[:9, :9], 255 * np.eye(9, dtype=np.uint8), TRAIN),
        "tiny image", "Train data/Images/speck.png"),
    "an image twice": (copy_file((TRAIN, "Images", "cell3.png"), (TRAIN, "Images", "cell5.png")), "duplicate image",
        "Train data/Images/cell3.png = Train data/Images/cell5.png"),
    "a mask copied to another": (copy_file((TRAIN, "Masks", "cell3.png"), (TRAIN, "Masks", "cell5.png")),
        "duplicate mask", "Train data/Masks/cell3.png = Train data/Masks/cell5.png"),
    "a mirrored copy": (leak(lambda a: a[:, ::-1], TRAIN), "near duplicate", "Train data/Images/other.png"),
    "a copy of half the size": (leak(half, TRAIN), "near duplicate", "Train data/Images/other.png"),
    "overlapping training fields": (tiles_in_both(TRAIN), "overlapping fields", "Train data/Images/field_b.png"),
    "a training image as test": (leak(lambda a: a), "leakage", "Test data/Images/other.png"),
    "a turned training image": (leak(np.rot90), "leakage", "Test data/Images/other.png"),
    "a training image saved again": (saved_again, "leakage", "Test data/Images/again.jpg"),
    "a training pair saved as JPEG": (leaked_as_jpeg, "leakage", "Test data/Images/other.jpg"),
    "a shifted training image": (leak(lambda a: a[20:, 30:]), "leakage", "Test data/Images/other.png"),
    "overlapping fields in test": (tiles_in_both(), "leakage", "Test data/Images/field_b.png"),
    "a tile of a training field": (tile_of_a_field, "leakage", "Test data/Images/piece.png"),
    "one slide in both": (same_slide, "leakage", "Test data/Images/slideA_field2.png"),
    "one slide in both, other names beside": (one_slide_among_other_names, "leakage", "Test data/Images/p1_field2.png"),
    "one slide in both by its coordinates": (one_slide_by_the_numbers_of_both, "leakage",
        "Test data/Images/p1_0_640.png"),
    "a test mask missing": (lambda f: mask(f, "cell9", TEST).unlink(), "missing test mask",
        "Test data/Images/cell9.png"),
    "images in a subfolder": (in_subfolder, "file not read", "Train data/Images/more/cell90.png"),
    "a slide beside the images": (slide_beside, "file not read", "Train data/Images/slide.czi"),
}  # fmt: skip
FATAL = {
    "no images", "swapped Images and Masks", "unreadable image", "unreadable mask", "missing mask", "duplicate name",
    "opposite test masks", "size mismatch", "no foreground", "no background", "mask is a picture", "mask encoding",
}  # fmt: skip


ALONGSIDE = {  # what is true beside the fault itself
    "all training masks inverted": ["masks turned over"],
    "a mask misspelt": ["orphan mask"],
    "a look-alike": ["missing mask"],
    "hardly any foreground": ["duplicate mask"],
    "a training image saved again": ["missing test mask"],
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_with_its_file(tmp_path, good, name):
    spoil, kind, file = FAULTS[name]
    folder = tmp_path / "data"
    shutil.copytree(good, folder)
    spoil(folder)
    diagnosis = doctor.examine(folder, quiet=True)
    found = [finding for finding in complaints(diagnosis) if finding.kind == kind]
    assert found, f"{kind} is not among {[(f.kind, f.files) for f in diagnosis.findings]}"
    named = [part for finding in found for listed in finding.files for part in (listed, *listed.split(" = "))]
    assert file in named or not file
    # one fault, one finding: nothing else is accused
    assert {f.kind for f in complaints(diagnosis)} <= {kind, *ALONGSIDE.get(name, ())}
    if kind in FATAL:
        with pytest.raises(InputError) as error:
            doctor.examine(folder, thorough=False, quiet=True).refuse()
        assert "\n" not in str(error.value)


def test_a_white_ground_is_named_where_no_other_image_has_one(tmp_path):
    folder = fill(tmp_path / "grey", lambda i: grey(0.8 - 0.4 * i), binary)
    change(image, lambda p: np.clip(p.astype(int) + 90, 0, 255).astype(np.uint8))(folder)
    (finding,) = complaints(doctor.examine(folder, quiet=True))
    assert (finding.kind, finding.files) == ("exposure", ("Train data/Images/cell3.png",))
    white = fill(tmp_path / "white", lambda i: grey(np.minimum(1.1 - 0.6 * i, 1)), binary)
    assert complaints(doctor.examine(white, quiet=True)) == []


def cut_fields(folder, dark=None):
    """Six fields of three tiles each, as `prepare` records them: one of cells, two with a sliver of one."""
    rows = ["file,group,low,high"]
    for field in range(6):
        picture, labels = make_scene(field)
        lamp = 0.1 if field == dark else 1
        ground = np.full((128, 128), 0.05) + 0.002 * np.random.default_rng(field).random((128, 128))
        sliver, part = ground.copy(), np.zeros_like(labels)
        sliver[:6], part[:6] = 0.08, 1
        for tile, (pixels, cells) in enumerate([(picture, labels), (sliver, part), (sliver[::-1], part[::-1])]):
            pixels = pixels + 0.02 * np.random.default_rng(10 * field + tile).random(pixels.shape)
            pair_of(folder, f"field{field}_tile_{tile}", grey(lamp * pixels), binary(cells), TRAIN)
            low, high = np.quantile(grey(lamp * picture), (0.001, 0.999))
            rows.append(f"field{field}_tile_{tile}.png,field{field},{low},{high}")
    (folder / "tiles.csv").write_text("\n".join(rows))
    return folder


def test_tiles_are_exposed_as_their_field_is(tmp_path):
    def exposed(folder):
        found = complaints(doctor.examine(folder, thorough=False, quiet=True))
        return [file for finding in found if finding.kind == "exposure" for file in finding.files]

    folder = cut_fields(tmp_path / "good")
    assert exposed(folder) == []
    (folder / "tiles.csv").unlink()  # as images of their own, nearly empty and full ones do differ
    assert len(exposed(folder)) > 5
    folder = cut_fields(tmp_path / "dark", dark=2)
    assert exposed(folder) == [f"Train data/Images/field2_tile_{tile}.png" for tile in range(3)]


def test_each_fault_is_told_once(tmp_path, good, capsys):
    import main

    folder = tmp_path / "data"
    shutil.copytree(good, folder)
    cut_short(image, 0.6)(folder)
    mask(folder, "cell5").unlink()
    assert main.main(["check", "--data", str(folder)]) == 2
    told = capsys.readouterr()
    assert told.out.count("cell3.png") == 1 and told.out.count("cell5.png") == 1
    assert told.err.splitlines()[-1] == (
        "error: 2 kinds of fault above would spoil a training; expected none. Mend them and run check again."
    )
    with pytest.raises(InputError) as error:  # a training says all in its one line
        doctor.examine(folder, thorough=False, quiet=True).refuse()
    assert str(error.value).count("cell3.png") == 1 and "truncated" in str(error.value)
