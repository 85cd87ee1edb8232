"""What is written for other programs, read back by the libraries that own the formats and by our own reader."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import shape

from main import main
from measuring.cell_files import CellWriter, draw, features, write_geojson, write_labels, write_rois
from measuring.cells import Cells, find_cells
from measuring.measurements import measure
from measuring.whole_cells import polygonise_whole, upper
from pairing.annotations import read_annotation, read_drawing, read_shapes
from pairing.outlines import rasterise as outline_mask
from pairing.polygons import polygonise
from predicting.evaluate import evaluate_folder
from predicting.folder import Wanted, predict_files, predict_paths
from predicting.record import read_record
from reading import images
from reading.files import InputError, sha256
from tests.helpers import ByBrightness


def scattered(seed, classes=1):
    """Cells of odd shapes, with holes and corners that touch, and their measurements."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, max(2, classes), (12, 15)).astype(np.uint8)
    cells = find_cells(mask, classes, min_area_px=1)
    probability = rng.random((12, 15, classes))
    return cells, measure(cells, rng.integers(0, 256, (12, 15, 3), np.uint8), probability)


def outlined(cells):
    return None if cells.whole is None else polygonise_whole(cells.whole, cells.labels.shape)


def truth(cells, classes):
    """Class ids of what belongs to a cell."""
    ids = np.r_[0, cells.classes][cells.labels]
    return np.where((upper(cells.whole, cells.labels) > 0) & (ids == 0), 1, ids) if classes == 3 else ids


@pytest.mark.parametrize("classes", [1, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_our_reader_gives_back_the_masks(tmp_path, classes, seed):
    cells, table = scattered(seed, classes)
    outlines = polygonise(cells.labels)
    whole = outlined(cells)
    write_rois(tmp_path / "a.zip", cells, outlines, whole)
    write_geojson(tmp_path / "a.geojson", features(cells, table, outlines, whole))
    for name in ("a.zip", "a.geojson"):
        mask, names, *_ = read_annotation(tmp_path / name, cells.labels.shape)
        if name == "a.geojson" and classes == 3:
            values = {name: value for value, name in names.items()}
            mask = (mask == values["cell"]) + 2 * (mask == values["nucleus"])
        np.testing.assert_array_equal(mask > 0 if classes == 1 else mask, truth(cells, classes))


def objects_in(shapes, size):
    """The pixels of each object of one class, as sets of places."""
    return {np.flatnonzero(outline_mask([shape], size)).tobytes() for shape in shapes}


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), classes=st.sampled_from([1, 2, 3, 4]), side=st.sampled_from([12, 40]))
def test_annotations_come_back_as_the_cells_they_are_whatever_their_order(tmp_path_factory, seed, classes, side):
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, max(2, classes), (side, side)).astype(np.uint8)
    mask[cv2.GaussianBlur(rng.random(mask.shape), (0, 0), 2) < 0.5] = 0  # some alone, some in the holes of others
    cells = find_cells(mask, classes, min_area_px=1)
    table = measure(cells, np.zeros((side, side, 1), np.uint8), np.ones((side, side, classes)))
    whole = outlined(cells)
    made = list(features(cells, table, polygonise(cells.labels), whole, role="annotation"))
    assert {feature["properties"]["objectType"] for feature in made} <= {"annotation"}
    assert not any("nucleusGeometry" in feature for feature in made)
    path = tmp_path_factory.mktemp("annotations") / "a.geojson"
    write_geojson(path, [made[i] for i in rng.permutation(len(made))])  # QuPath saves them in an order of its own
    names = {1: ["cell"], 3: ["nucleus"]}.get(classes, [str(n) for n in range(1, classes)])
    found = read_drawing(path)
    assert not found.left_out and not found.regions
    shapes = [shape for shape in found.shapes if shape.name in names or (classes == 2 and shape.name == "cell")]
    expected = {np.flatnonzero(cells.labels == n).tobytes() for n in range(1, len(cells) + 1)}
    assert objects_in(shapes, mask.shape) == expected and len(shapes) == len(cells)
    if classes == 3:
        held, names, *_ = read_annotation(path, mask.shape)
        values = {name: value for value, name in names.items()}
        seen = (held == values.get("cell", -1)) + 2 * (held == values.get("nucleus", -1))
        np.testing.assert_array_equal(seen, truth(cells, 3))


def test_a_nucleus_lies_on_the_cell_that_fills_its_hole(tmp_path):
    nucleus = np.zeros((9, 9), np.uint8)
    nucleus[1:8, 1:8], nucleus[3:6, 3:6] = 2, 1
    cells = find_cells(nucleus, 3, min_area_px=1)
    table = measure(cells, np.zeros((9, 9, 1), np.uint8), np.ones((9, 9, 3)))
    made = list(features(cells, table, polygonise(cells.labels), outlined(cells), role="annotation"))
    for order in (made, made[::-1]):
        write_geojson(tmp_path / "a.geojson", order)
        mask, names, *_ = read_annotation(tmp_path / "a.geojson", (9, 9))
        assert [names[mask[1, 1]], names[mask[4, 4]]] == ["nucleus", "cell"]
    assert ["measurements" in feature["properties"] for feature in made] == [False, True] * len(cells)  # of the nucleus


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_geojson_holds_valid_polygons_of_the_cells_areas_and_their_measurements(tmp_path_factory, seed):
    cells, table = scattered(seed)
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    write_geojson(path, features(cells, table, polygonise(cells.labels)))
    collection = json.loads(path.read_text(encoding="utf-8"))
    assert collection["type"] == "FeatureCollection" and len(collection["features"]) == len(cells)
    for feature, area, confidence in zip(collection["features"], table["area_px"], table["confidence"], strict=True):
        assert feature["type"] == "Feature" and feature["properties"]["objectType"] == "detection"
        polygon = shape(feature["geometry"])
        assert polygon.is_valid and polygon.area == area
        classification = feature["properties"]["classification"]
        assert classification["name"] == "cell" and all(0 <= value <= 255 for value in classification["color"])
        assert feature["properties"]["measurements"]["confidence"] == confidence
        assert "cell" not in feature["properties"]["measurements"]


def test_cells_with_cytoplasm_hold_their_nucleus_as_in_qupath(tmp_path):
    mask = np.ones((20, 30), np.uint8)
    mask[5:12, 5:12] = 2
    cells = find_cells(mask, 3)
    table = measure(cells, np.zeros((20, 30, 1), np.uint8), np.ones((20, 30, 3)))
    (feature,) = features(cells, table, polygonise(cells.labels), outlined(cells), corner=(100, 0))
    assert feature["properties"]["objectType"] == "cell"
    assert shape(feature["geometry"]).bounds == (0, 100, 30, 120)
    assert shape(feature["nucleusGeometry"]).bounds == (5, 105, 12, 112)
    assert feature["properties"]["measurements"]["nucleus_cytoplasm_ratio"] == 49 / (600 - 49)
    bare = find_cells(np.where(mask == 1, 0, mask), 3)
    table = measure(bare, np.zeros((20, 30, 1), np.uint8), np.ones((20, 30, 3)))
    write_geojson(
        tmp_path / "a.geojson",
        features(bare, table, polygonise(bare.labels), outlined(bare)),
    )
    assert "nucleus_cytoplasm_ratio" not in (tmp_path / "a.geojson").read_text()  # JSON knows no NaN


@pytest.mark.parametrize("seed", range(5))
def test_roifile_reads_the_outlines(tmp_path, seed):
    cells, _ = scattered(seed)
    outlines = polygonise(cells.labels)
    assert write_rois(tmp_path / "a.zip", cells, outlines)
    rois = roifile.roiread(tmp_path / "a.zip")
    assert [roi.name for roi in rois] == [f"{number:05}" for number in outlines]
    for roi, parts in zip(rois, outlines.values(), strict=True):
        rings = [ring for part in parts for ring in part]
        assert roi.composite == (len(rings) > 1)
        for ring, read in zip(rings, roi.coordinates(multi=True), strict=True):
            np.testing.assert_array_equal(read[: len(ring)], ring)
        corners = np.concatenate(rings)
        assert [roi.left, roi.top, roi.right, roi.bottom] == [*corners.min(0), *corners.max(0)]


def test_an_image_too_large_for_imagej_rois_gets_none(tmp_path):
    labels = np.zeros((1, 40000), np.int32)
    labels[0, -5:] = 1
    assert not write_rois(tmp_path / "a.zip", Cells(labels, np.ones(1, np.uint8)), polygonise(labels))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count, suffix, dtype", [(65535, ".png", np.uint16), (65536, ".tif", np.uint32)])
def test_label_images_hold_every_number(tmp_path, count, suffix, dtype):
    (tmp_path / "a_labels.png").touch()
    (tmp_path / "a_labels.tif").touch()
    labels = np.arange(count + 1, dtype=np.int32).reshape(1, -1)
    path = write_labels(tmp_path / "a", "_labels", labels)
    assert [file.name for file in tmp_path.iterdir()] == [f"a_labels{suffix}"]
    read = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)
    np.testing.assert_array_equal(images.read_mask(path), labels)


def test_outlines_are_drawn_inside_each_cell():
    labels = np.zeros((9, 12), np.int32)
    labels[2:7, 1:6], labels[2:7, 6:11] = 1, 2
    grey = np.full((9, 12, 1), 90, np.uint8)
    grey[0, 0] = 200
    drawn = (draw(grey, Cells(labels, np.ones(2, np.uint8))) != draw(grey, find_cells(labels * 0 > 0))).any(-1)
    inner = np.zeros_like(drawn)
    inner[3:6, 2:5] = inner[3:6, 7:10] = True
    np.testing.assert_array_equal(drawn, (labels > 0) & ~inner)


@pytest.fixture
def smears(tmp_path):
    """Two touching cells; nothing; and two cells in a TIFF that states 0.5 µm a pixel, with a comma in its name."""
    rows, columns = np.mgrid[:40, :60]
    two = ((rows - 20) ** 2 + (np.minimum(abs(columns - 20), abs(columns - 37))) ** 2 <= 81) * np.uint8(255)
    images.write_png(tmp_path / "in" / "a.png", two)
    images.write_png(tmp_path / "in" / "b.png", 0 * two)
    tifffile.imwrite(tmp_path / "in" / "c, d.tif", two, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    return sorted((tmp_path / "in").iterdir())


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_images_together(tmp_path, smears):
    out = tmp_path / "out"
    writer = CellWriter(out)
    predict_files(ByBrightness(), smears, out, cells=writer)
    assert writer.total() == 4
    rows = read_csv(out / "cells.csv")
    assert [(row["image"], row["cell"]) for row in rows] == [(name, n) for name in ("a.png", "c, d.tif") for n in "12"]
    assert float(rows[2]["area_um2"]) == float(rows[0]["area_px"]) / 4
    assert rows[0]["area_um2"] == "" and rows[2]["area_px"] == ""
    counts = [[row[name] for name in ("image", "cells", "um_per_px")] for row in read_csv(out / "cell_counts.csv")]
    assert counts == [["a.png", "2", ""], ["b.png", "0", ""], ["c, d.tif", "2", "0.5"]]
    for stem, count in {"a": 2, "b": 0, "c, d": 2}.items():
        labels = images.read_mask(out / f"{stem}_labels.png")
        np.testing.assert_array_equal(labels > 0, images.read_mask(out / f"{stem}_predict.png") > 0)
        assert labels.max() == count == len(json.loads((out / f"{stem}.geojson").read_text())["features"])
        assert len(read_shapes(out / f"{stem}_rois.zip")[0]) == count
        assert images.read(out / f"{stem}_overlay.png").shape == (40, 60, 3)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_the_record_tells_what_of_the_cells_is_as_it_was_written(tmp_path, smears, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    predict_files(ByBrightness(), [Path("in", "a.png")], out, cells=CellWriter(out))
    predict_files(ByBrightness(), [Path("in", "b.png")], out)
    listed = read_record(out).listed
    assert listed["a_predict.png"]["image_path"] == str(smears[0])
    names = ("a_labels.png", "a.geojson", "a_rois.zip")
    assert listed["a_predict.png"]["cell_files"] == {name: sha256(out / name) for name in names}
    assert listed["b_predict.png"]["cell_files"] == {} and listed["b_predict.png"]["image_path"] == str(smears[1])


def test_cells_that_somebody_corrected_are_not_overwritten(tmp_path, smears):
    out, wanted = tmp_path / "out", Wanted(cells=True)
    predict_paths(ByBrightness, smears, out, wanted)
    corrected = out / "a.geojson"
    corrected.write_text(corrected.read_text().replace("cell", "nucleus"))
    before = corrected.read_bytes()
    with pytest.raises(InputError, match=r"a\.geojson: corrected since.*prepare --corrected"):
        predict_paths(ByBrightness, smears, out, wanted)
    predict_paths(ByBrightness, smears, out, Wanted())  # which writes masks alone
    assert corrected.read_bytes() == before
    corrected.write_text('{"type": "FeatureCollection", "features": []}')  # another program saved it anew
    with pytest.raises(InputError, match=r"a\.geojson: would be overwritten"):
        predict_paths(ByBrightness, smears, out, wanted)


def test_three_classes_give_cells_with_nuclei(tmp_path):
    field = np.zeros((40, 60), np.uint8)
    field[5:35, 5:55] = 100
    field[15:22, 12:19] = field[15:22, 40:47] = 200
    images.write_png(tmp_path / "a.png", field)
    predict_files(ByBrightness(3), [tmp_path / "a.png"], tmp_path / "out", cells=CellWriter(tmp_path / "out"))
    rows = read_csv(tmp_path / "out" / "cells.csv")
    areas = [float(row["cytoplasm_area_px"]) for row in rows]
    assert [row["area_px"] for row in rows] == ["49", "49"] and sum(areas) == 30 * 50 - 98
    assert float(rows[0]["nucleus_cytoplasm_ratio"]) == pytest.approx(49 / areas[0], rel=1e-5)
    whole = images.read_mask(tmp_path / "out" / "a_cell_labels.png")
    assert set(np.unique(whole)) == {0, 1, 2} and (whole > 0).sum() == 30 * 50


def kinds(folder):
    """What the outlines of `a.geojson` are in QuPath."""
    return set(re.findall('"objectType": "([a-z]+)"', (folder / "a.geojson").read_text()))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("qupath, kind", [(None, "annotation"), ("annotations", "annotation"), ("detections", None)])
def test_cells_of_pictures_can_be_reshaped_in_qupath_unless_it_is_told_otherwise(tmp_path, classes, qupath, kind):
    image = np.zeros((40, 40, 1), np.uint8)
    image[5:30, 5:30] = 100 if classes == 3 else 200
    image[10:20, 10:20] = 200
    images.write_png(tmp_path / "a.png", image[..., 0])
    predict_files(ByBrightness(classes), [tmp_path / "a.png"], tmp_path, cells=CellWriter(tmp_path, qupath=qupath))
    assert kinds(tmp_path) == {kind or ("detection" if classes == 1 else "cell")}


@pytest.mark.parametrize("classes", [1, 3])
def test_an_image_in_bands_gives_the_cells_and_numbers_of_the_whole(tmp_path, classes):
    rng = np.random.default_rng(classes)
    field = cv2.GaussianBlur(rng.random((90, 70)).astype(np.float32), (0, 0), 3)
    ranks = field.ravel().argsort().argsort().reshape(90, 70, 1)  # as many pixels of each grey value
    field = (ranks * 256 // ranks.size).astype(np.uint8)
    predictor = ByBrightness(classes)
    probability = predictor.probability(field)
    bands = [
        (predictor.mask(p), f, p)
        for f, p in zip(*(np.split(a, [9, 40, 41]) for a in (field, probability)), strict=True)
    ]
    whole = CellWriter(tmp_path / "whole", um_per_px=0.5, qupath="detections")
    banded = CellWriter(tmp_path / "banded", um_per_px=0.5)
    whole.add("a.png", field, predictor.mask(probability), probability)
    assert banded.add_bands("a.png", bands, classes) == whole.total() > 3
    for writer in (whole, banded):
        writer.finish()
    one, other = (
        sorted([row[name] for name in row if name != "cell"] for row in read_csv(tmp_path / name / "cells.csv"))
        for name in ("whole", "banded")
    )
    assert one == other
    assert kinds(tmp_path / "banded") == {"detection" if classes == 1 else "cell"}
    polygons = [
        {str(feature["geometry"]) for feature in json.loads((tmp_path / name / "a.geojson").read_text())["features"]}
        for name in ("whole", "banded")
    ]
    assert len(polygons[0]) == whole.total() == len(polygons[1])
    names = [f["properties"]["name"] for f in json.loads((tmp_path / "banded/a.geojson").read_text())["features"]]
    assert names == [row["cell"] for row in read_csv(tmp_path / "banded/cells.csv")]


def test_bands_without_a_cell_are_counted(tmp_path):
    writer = CellWriter(tmp_path)
    empty = np.zeros((5, 6), np.uint8)
    assert writer.add_bands("a.svs", [(empty, empty[..., np.newaxis], empty[..., np.newaxis] / 1.0)] * 2, 1) == 0
    writer.finish()
    (row,) = read_csv(tmp_path / "cell_counts.csv")
    assert row["image"] == "a.svs" and row["cells"] == "0" and row["um_per_px"] == ""


def test_a_size_and_a_smallest_area_that_are_given_count(tmp_path, smears):
    writer = CellWriter(tmp_path / "out", um_per_px=0.1, min_area=6)  # the two have 500 pixels, 5 µm²
    predict_files(ByBrightness(), smears, tmp_path / "out", cells=writer)
    assert writer.total() == 0
    writer = CellWriter(tmp_path / "out", um_per_px=0.1, min_area=2)
    predict_files(ByBrightness(), smears, tmp_path / "out", cells=writer)
    assert writer.total() == 4 and {row["um_per_px"] for row in read_csv(tmp_path / "out" / "cell_counts.csv")} == {
        "0.1"
    }


def test_one_bad_image_does_not_keep_the_others_from_their_table(tmp_path, smears):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        predict_files(
            ByBrightness(), [tmp_path / "bad.png", *smears], tmp_path / "out", cells=CellWriter(tmp_path / "out")
        )
    assert len(read_csv(tmp_path / "out" / "cells.csv")) == 4


def test_evaluate_counts_the_separate_cells(tmp_path, smears):
    truth = images.read_mask(smears[0]) // 255
    truth[:, 29:] *= 2
    (tmp_path / "Images").mkdir()
    smears[0].rename(tmp_path / "Images" / "a.png")
    for number in (1, 2):
        images.write_png(tmp_path / "Masks" / "a" / f"{number}.png", np.uint8(255) * (truth == number))
    out = tmp_path / "out"
    for cells, f1 in ((None, 0), (CellWriter(out), 1)):  # two touching cells are one component
        predict_files(ByBrightness(), [tmp_path / "Images" / "a.png"], out, cells=cells)
        card = evaluate_folder(tmp_path, out)
        assert card["objects"]["f1"] == f1 and card["objects"]["truth"] == "files" and card["dice"] == 1
    (out / "a_labels.png").unlink()
    with pytest.raises(InputError, match="no label image of a"):
        evaluate_folder(tmp_path, out)


@pytest.mark.parametrize("option", ["--um-per-px", "--min-area", "--max-area"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "half"])
def test_sizes_that_are_none_are_refused(capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--cells", f"{option}={value}"])
    assert stop.value.code == 2 and "expected a number above 0" in capsys.readouterr().err


def test_predict_counts_the_cells_of_an_image(tmp_path, smears, capsys, monkeypatch):
    monkeypatch.setattr("predicting.predictor.Predictor", lambda model, **seeing: ByBrightness())
    assert main(["predict", str(smears[0]), "--out", str(tmp_path / "out"), "--cells", "--um-per-px", "0.5"]) == 0
    assert f"2 cells, one a row: {tmp_path / 'out' / 'cells.csv'}" in capsys.readouterr().out
    assert "area_um2" in (tmp_path / "out" / "cells.csv").read_text()
