"""What was drawn around cells is no cell; a cell with its nuclei is one."""

import json

import numpy as np
import pytest
import roifile

from checking.doctor import examine
from pairing.annotations import read_drawing
from pairing.containers import split_containers
from pairing.outlines import ANNOTATION, DETECTION, make_shape
from pairing.pairs import find_pairs
from pairing.survey import survey
from reading.files import InputError
from reading.images import write_png


def circle(x, y, radius, name="", role=""):
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return make_shape(name, [[np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)]], role)


def rectangle(x, y, width, height, name="", role=""):
    return make_shape(name, [[[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]]], role)


def cells(count, name="", role="", radius=9):
    """Circles in a grid around (200, 200)."""
    return [circle(130 + 20 * (i % 8), 130 + 20 * (i // 8), radius, name, role) for i in range(count)]


def with_nuclei(count, name="", inner="", number=1, size=5):
    """Cells in a row, each with so many nuclei."""
    found = []
    for i in range(count):
        found.append(circle(60 * i, 0, 25, name))
        found += [circle(60 * i + 12 * (j - number // 2), 0, size, inner) for j in range(number)]
    return found


@pytest.mark.parametrize("count", [1, 2, 6, 40])
@pytest.mark.parametrize(
    ("around", "inner"),
    [
        (circle(200, 200, 150, role=ANNOTATION), {"role": DETECTION}),
        (circle(200, 200, 150, "Tumor", ANNOTATION), {"name": "Tumor", "role": DETECTION}),
        (circle(200, 200, 150, "Tissue", ANNOTATION), {"name": "Nucleus", "role": ANNOTATION}),
        (rectangle(20, 20, 400, 300), {}),
        (rectangle(20, 20, 400, 300, "field of view"), {"name": "cell"}),
    ],
    ids=["detections in an annotation", "of one class", "called tissue", "rectangle", "field of view"],
)
def test_a_container_is_told_by_tool_name_or_form(around, inner, count):
    drawn = [*cells(count, **inner), around]
    objects, containers = split_containers(drawn)
    assert objects == drawn[:-1] and containers == [around]


@pytest.mark.parametrize(
    "drawn",
    [
        [circle(200, 200, 190), *cells(3, radius=5)],
        [circle(200, 200, 150), *cells(40, name="Lymphocyte")],
        [circle(200, 200, 150, "Schnitt"), *cells(30, "Lymphocyte")],
        [circle(200, 200, 150, "Tumor"), *cells(4, "Lymphocyte")],
        [circle(200, 200, 150, "cell"), *cells(12, "cell")],  # the class that QuPath gives to all that is drawn
        [circle(0, 0, 90), *cells(16)[:8], circle(200, 150, 110)],
    ],
    ids=["few and small", "unnamed", "another class", "a tissue", "of one class", "beside others"],
)
def test_a_container_holds_many_small_ones(drawn):
    objects, containers = split_containers(drawn)
    assert {id(shape) for shape in containers} <= {id(shape) for shape in drawn if shape.area() > 2000}
    assert any(shape is drawn[0] or shape is drawn[-1] for shape in containers)
    assert len(objects) + len(containers) == len(drawn)


@pytest.mark.parametrize(
    "drawn",
    [
        with_nuclei(1),
        with_nuclei(9),
        with_nuclei(9, "cell", "nucleus"),
        with_nuclei(1, number=2),
        with_nuclei(6, "Zelle", "Kern", number=3),
        with_nuclei(5, "nucleus", "focus", number=12, size=1.5),
        [circle(200, 200, 100, "osteoclast"), *cells(18, "nucleus")],
        [circle(200, 200, 60), *cells(4), *with_nuclei(12)],
        [rectangle(x, 0, 50, 50, "LSIL") for x in (0, 60, 120)] + [circle(x, 25, 9, "n") for x in (25, 85, 145)],
        [circle(200, 200, 100, role=DETECTION), *cells(20, role=DETECTION)],
        cells(30),
    ],
)  # fmt: skip
def test_cells_with_what_is_in_them_stay(drawn):
    assert split_containers(drawn) == (drawn, [])


def test_a_piece_without_cells_is_told_by_the_others():
    pieces = [circle(200, 200, 150, "Stroma"), circle(700, 200, 100, "Stroma")]
    drawn = [*pieces, *cells(40, "Lymphocyte")]
    assert split_containers(drawn)[1] == pieces


def write(path, shapes):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [shape.rings[0].tolist()]},
            "properties": {"classification": {"name": shape.name}} if shape.name else {},
        }
        for shape in shapes
    ]
    path.write_text(json.dumps(features))


@pytest.mark.parametrize(("around", "inner"), [("", ""), ("Epithel", "Zelle"), ("cell", "cell")])
def test_a_sparse_picture_is_told_by_the_others_of_its_folder(tmp_path, around, inner):
    counts = [24, 0, 1, 30, 2, 16, 8]
    for number, count in enumerate(counts):
        write(tmp_path / f"{number}.geojson", [circle(200, 200, 170, around), *cells(count, inner)])
    found = [read_drawing(tmp_path / f"{number}.geojson") for number in range(len(counts))]
    assert [len(drawing.shapes) for drawing in found] == counts
    assert all(sum(drawing.left_out.values()) == 1 for drawing in found)


def test_one_giant_cell_does_not_make_containers_of_the_others(tmp_path):
    write(tmp_path / "giant.geojson", [circle(200, 200, 95), *cells(14)])
    for number in range(4):
        write(tmp_path / f"{number}.geojson", with_nuclei(2 + number) + [circle(900, 900, 80), circle(900, 900, 20)])
    kept = [len(read_drawing(tmp_path / f"{number}.geojson").shapes) for number in range(4)]
    assert kept == [6, 8, 10, 12]


def test_check_and_survey_name_what_is_left_out(tmp_path):
    folder = tmp_path / "Train data"
    for number in range(5):
        (folder / "Images").mkdir(parents=True, exist_ok=True)
        write_png(
            folder / f"Images/p{number}.png", np.random.default_rng(number).integers(0, 255, (400, 400), np.uint8)
        )
        rois = [roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=9, top=5, right=390, bottom=380, version=227)]
        rois += [roifile.ImagejRoi.frompoints(shape.rings[0]) for shape in cells(1 + 4 * number)]
        (folder / "Masks").mkdir(exist_ok=True)
        roifile.roiwrite(folder / f"Masks/p{number}.zip", rois, mode="w")
    (finding,) = [one for one in examine(tmp_path, quiet=True).findings if one.kind == "shapes left out"]
    assert len(finding.files) == 5 and finding.text.startswith("5 shapes around many others.")
    found = survey(find_pairs(folder), quiet=True)
    assert any("5 shapes around many others, in p0.zip" in line for line in found.notes(found.coding()))
    assert max(mask.counts[-1] / mask.counts.sum() for mask in found.masks) < 0.1


def test_masks_of_nothing_but_containers_are_said_to_be_full(tmp_path):
    for folder in ("Images", "Masks"):
        (tmp_path / "Train data" / folder).mkdir(parents=True)
    for number in range(3):
        write_png(tmp_path / f"Train data/Images/p{number}.png", np.full((40, 40), number, np.uint8))
        write(tmp_path / f"Train data/Masks/p{number}.geojson", [rectangle(0, 0, 40, 40)])
    with pytest.raises(InputError, match="not the tissue or the field around them"):
        survey(find_pairs(tmp_path / "Train data"), quiet=True).coding()
    assert "not of the tissue" in next(one.remedy for one in examine(tmp_path).findings if one.kind == "no background")
