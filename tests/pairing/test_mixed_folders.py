"""A folder whose masks come from several programs: each file's objects are counted by what that file tells."""

import json
import zipfile

import numpy as np
import pytest
import roifile
import tifffile

from pairing.objects import true_objects
from pairing.pairs import find_pairs
from pairing.survey import survey
from preparing.prepare import prepare_fields
from reading import images
from reading.files import NUMBERED
from reading.images import write_png
from tests.preparing.test_prepare import draw, rectangle

PLACES = [(5 + 20 * (i // 4), 5 + 12 * (i % 4)) for i in range(12)]  # rows of four cells that touch
SIZE = 70, 90


def labels(count):
    mask = np.zeros(SIZE, np.uint16)
    for number, (row, column) in enumerate(PLACES[:count], 1):
        mask[row : row + 12, column : column + 12] = number
    return mask


def corners(row, column):
    return [[column, row], [column + 12, row], [column + 12, row + 12], [column, row + 12]]


def qupath(path, count):
    draw(path.with_suffix(".geojson"), *(rectangle(row, column, 12, 12) for row, column in PLACES[:count]))


def labelme(path, count):
    shapes = [{"label": "nucleus", "shape_type": "polygon", "points": corners(*place)} for place in PLACES[:count]]
    value = {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "a.png"}
    path.with_suffix(".json").write_text(json.dumps(value))


def fiji(path, count):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for number, place in enumerate(PLACES[:count]):
            roi = roifile.ImagejRoi.frompoints(np.array(corners(*place)))
            archive.writestr(f"{number}.roi", roi.tobytes())


def napari(path, count):
    tifffile.imwrite(path.with_suffix(".tif"), labels(count))


def corrected(path, count):
    images.write_png(path.with_suffix(".png"), labels(count), NUMBERED)


def one_value(path, count):
    write_png(path.with_suffix(".png"), np.uint8(255) * (labels(count) > 0))


def counts_in(folder):
    """The number of objects of each picture of a folder, and by what they are told apart."""
    pairs = find_pairs(folder)
    found = survey(pairs, quiet=True)
    coding, counted = found.coding(), {}
    for pair in pairs:
        stored = images.read_mask(pair.mask) if pair.mask.suffix in (".png", ".tif") else None
        foreground = labels(12) * 0 + (labels(len(PLACES)) > 0) if stored is None else stored > 0
        made, told = true_objects(pair, foreground, coding, found.drawn(), stored)
        counted[pair.stem] = len(np.unique(made[made > 0])), told
    return counted


@pytest.mark.parametrize(
    "programs",
    [
        [qupath, qupath, fiji, labelme, napari], [qupath, labelme], [qupath, labelme, fiji, corrected],
        [one_value, qupath, napari, labelme], [one_value, napari, corrected],
    ],
)  # fmt: skip
def test_each_file_is_counted_by_what_it_tells(tmp_path, programs):
    rng, counts, source = np.random.default_rng(3), {}, tmp_path / "mine"
    (source / "Masks").mkdir(parents=True)
    for number, program in enumerate(programs):
        picture = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        write_png(source / "Images" / f"f{number}.png", picture)
        counts[f"f{number}"] = (12 - number, program)
        program(source / "Masks" / f"f{number}.png", 12 - number)
    found = counts_in(source)
    for stem, (count, program) in counts.items():
        assert found[stem][0] == (3 if program is one_value else count), (stem, program.__name__)
    prepare_fields(tmp_path / "data", source, quiet=True, test_share=0)
    assert counts_in(tmp_path / "data" / "Train data") == found, "as of the pictures given whole"


def test_a_mask_of_one_value_among_label_images_is_counted_by_its_regions(tmp_path):
    one = np.uint16(1) * (labels(9) > 0)  # 1 is a number of the others too
    for name, mask in (("a", labels(12)), ("b", labels(12) + np.uint16(12) * (labels(12) > 0)), ("c", one)):
        write_png(tmp_path / "Images" / f"{name}.png", np.zeros(SIZE, np.uint8))
        write_png(tmp_path / "Masks" / f"{name}.png", mask)
    assert counts_in(tmp_path) == {"a": (12, "labels"), "b": (12, "labels"), "c": (3, "components")}
