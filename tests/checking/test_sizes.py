"""Pictures whose objects have another size than the rest are named, unless what their files state explains it."""

import cv2
import numpy as np
import pytest
import tifffile

from checking import doctor
from reading.images import write_png

SIDE, ACROSS_UM = 100, 8  # of a field and of its cells, in micrometres


def write(folder, stated, true=None, cells=25, part="Train data"):
    """Fields of so many µm per pixel (`true`), each with `cells` round ones; None: not stated in the file."""
    rng = np.random.default_rng(len(part))
    for number, (said, um) in enumerate(zip(stated, true or stated, strict=True)):
        px = 1 / (um or 0.25)
        mask = np.zeros((round(SIDE * px),) * 2, np.uint8)
        for place in np.argwhere(np.ones((5, 5)))[:cells]:
            cv2.circle(mask, (*(int((n + 0.5) * 20 * px) for n in place),), round(rng.uniform(3.6, 4.4) * px), 255, -1)
        picture = (200 - mask // 2.0 + rng.normal(0, 3, mask.shape)).astype(np.uint8)
        sides = {"resolution": (1e4 / said,) * 2, "resolutionunit": "CENTIMETER"} if said else {}
        (folder / part / "Images").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / part / "Images" / f"{part[:2]}{number}.tif", picture, **sides)
        write_png(folder / part / "Masks" / f"{part[:2]}{number}.png", mask)
    return folder


def found(folder):
    kinds = "object sizes", "sizes of pixels"
    return {one.kind: one for one in doctor.examine(folder, quiet=True).findings if one.kind in kinds}


def test_one_magnification_is_no_fault(tmp_path):
    assert not found(write(tmp_path, [None, None, 0.25, 0.25]))


def test_pictures_of_another_magnification_are_named_with_what_to_do(tmp_path):
    one = found(write(tmp_path, [None] * 5, [0.25, 0.25, 0.125, 0.25, 0.25]))["object sizes"]
    assert one.files == ("Train data/Images/Tr2.tif",)
    assert "6" in one.text and "the rest 3" in one.text and "size of their pixels" in one.remedy
    write(tmp_path / "half", [None] * 4, [0.25, 0.25, 0.125, 0.125])
    assert len(found(tmp_path / "half")["object sizes"].files) == 2


def test_test_pictures_are_compared_with_what_is_learnt(tmp_path):
    write(tmp_path, [None] * 3, [0.25] * 3)
    one = found(write(tmp_path, [None], [0.125], part="Test data"))["object sizes"]
    assert one.files == ("Test data/Images/Te0.tif",) and "--diameter" in one.remedy


def test_what_all_files_state_explains_the_difference(tmp_path):
    write(tmp_path, [0.25, 0.125, 0.25, 0.25])
    assert not found(write(tmp_path, [0.125], part="Test data"))
    one = found(write(tmp_path / "wrong", [0.25, 0.25, 0.25, 0.125], [0.25] * 4))["object sizes"]
    assert one.files == ("Train data/Images/Tr3.tif",) and "as the files state it" in one.text


def test_sizes_that_only_some_state_or_that_cannot_be_are_said(tmp_path):
    one = found(write(tmp_path, [0.25, 0.125, None]))["sizes of pixels"]
    assert one.text.startswith("2 of 3 pictures state") and "--um-per-px" in one.remedy
    one = found(write(tmp_path / "b", [0.25, 0.25, 9], [0.25] * 3))["sizes of pixels"]
    assert one.severity == "fatal" and "states 9 µm per pixel" in one.text and "--um-per-px" in one.remedy


@pytest.mark.parametrize(("cells", "um", "said"), [(9, 0.08, False), (10, 0.15, False), (10, 0.08, True)])
def test_few_objects_say_little_and_very_few_nothing(tmp_path, cells, um, said):
    write(tmp_path, [None] * 3, [0.25] * 3)
    assert bool(found(write(tmp_path, [None], [um], cells, "Test data"))) == said
