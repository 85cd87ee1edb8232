"""Cells at the edge and cells that are too large: left out everywhere, the same in bands, and of nothing else."""

import csv
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from main import main
from measuring.cell_files import CellWriter
from measuring.cells import Cells
from measuring.selection import choose, touch_edge
from measuring.whole_cells import parted_cells
from pairing.annotations import read_shapes
from predicting.evaluate import evaluate_folder
from predicting.folder import Wanted, predict_paths
from preparing.corrected import prepare_corrected
from reading import images
from reading.files import NOT_KNOWN, InputError
from tests.helpers import ByBrightness


@pytest.fixture
def picture(tmp_path):
    """64×80 pixels: one cell of 100 pixels at the left edge, one alone, and one of 400 pixels."""
    field = np.zeros((64, 80), np.uint8)
    field[5:15, 0:10] = field[5:15, 30:40] = field[30:50, 40:60] = 255
    images.write_png(tmp_path / "Images" / "a.png", field)
    return tmp_path / "Images" / "a.png"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("options", "areas", "said"),
    [
        ({"cells": True}, [100, 100, 400], {"touching_edge": "1", "too_large": "0"}),
        ({"exclude_edges": True}, [100, 400], {"touching_edge": "1", "too_large": "0"}),
        ({"max_area": 399}, [100, 100], {"touching_edge": "1", "too_large": "1"}),
        ({"max_area": 400}, [100, 100, 400], {"touching_edge": "1", "too_large": "0"}),
        ({"max_area": 25, "um_per_px": 0.5, "exclude_edges": True}, [25], {"touching_edge": "1", "too_large": "1"}),
    ],
)
def test_what_is_left_out_is_in_no_file(picture, tmp_path, options, areas, said):
    out = tmp_path / "out"
    predict_paths(ByBrightness, [picture], out, Wanted(**options))
    table, (counts,) = rows(out / "cells.csv"), rows(out / "cell_counts.csv")
    area = "area_um2" if "um_per_px" in options else "area_px"
    assert [float(row[area]) for row in table] == areas and counts["cells"] == str(len(areas))
    assert {name: counts[name] for name in said} == said
    at_edge = [int(row["touches_edge"]) for row in table]
    assert at_edge == ([0] * len(areas) if "exclude_edges" in options else [1] + [0] * (len(areas) - 1))
    labels = images.read_mask(out / "a_labels.png")
    assert np.unique(labels).tolist() == list(range(len(areas) + 1)), "numbered without gaps"
    assert len(json.loads((out / "a.geojson").read_text())["features"]) == len(areas)
    assert len(read_shapes(out / "a_rois.zip")[0]) == len(areas)
    outlined = (np.ptp(images.read(out / "a_overlay.png").astype(int), axis=-1) > 0) & (labels == 0)
    assert not outlined.any()
    assert (images.read_mask(out / "a_predict.png") > 0).sum() == 600, "the mask stays whole"


def test_what_was_left_out_is_said(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("predicting.predictor.Predictor", lambda model, **seeing: ByBrightness())
    command = ["predict", str(picture), "--out", str(tmp_path / "out")]
    assert main([*command, "--exclude-edges", "--max-area", "399"]) == 0
    said = capsys.readouterr().out
    assert "1 cell, one a row" in said and "left out: 1 cell at the edges" in said and "1 cell larger than" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_area": 19}, "smallest cell has 20 pixels .--min-area, the default"),
        ({"max_area": 1.5, "um_per_px": 0.5}, "smallest cell has 2 µm²"),
        ({"max_area": 50, "min_area": 60}, "smallest cell has 60 pixels .--min-area.; expected more"),
    ],
)
def test_a_largest_size_below_the_smallest_is_refused_before_anything(picture, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        predict_paths(ByBrightness, [picture], tmp_path / "out", Wanted(**options))
    assert not (tmp_path / "out").exists()


def test_the_smallest_size_is_of_what_the_network_sees(picture, tmp_path):
    predictor = ByBrightness()
    predictor.scale = lambda um_per_px=None, reduced=1: 0.5  # of the 20 pixels that it sees, the picture has 80
    with pytest.raises(InputError, match="--max-area 60 .* smallest cell has 80 pixels"):
        predict_paths(lambda: predictor, [picture], tmp_path / "out", Wanted(max_area=60))
    assert not (tmp_path / "out").exists()


def test_a_cell_touches_the_edge_by_its_cytoplasm_too():
    nuclei, whole = np.zeros((2, 9, 20), np.int32)
    nuclei[4, 4], nuclei[4, 12] = 1, 2
    whole[2:7, 0:8], whole[2:7, 9:15] = 1, 2
    cells = Cells(nuclei, np.full(2, 2, np.uint8), tuple(parted_cells(whole).values()))
    edge = touch_edge(cells, (0, 0), whole.shape)
    assert edge.tolist() == [True, False]
    assert touch_edge(cells, (30, 10), (38, 99)).tolist() == [False] * 2, "of a block inside"
    assert touch_edge(cells, (30, 5), (99, 20)).tolist() == [False, True]
    kept = choose(cells, ~edge)
    assert len(kept) == 1 == len(kept.whole) == kept.labels[4, 12] and kept.whole[0][:2] == (2, 9)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), classes=st.sampled_from([1, 3, 4]), seed=st.integers(0, 999))
def test_bands_leave_out_the_cells_that_the_whole_leaves_out(tmp_path_factory, data, classes, seed):
    folder = tmp_path_factory.mktemp("bands")
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(20, 60, 2))
    field = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 2)
    field = (field.ravel().argsort().argsort() * 256 // field.size).astype(np.uint8).reshape(height, width, 1)
    cuts = sorted(data.draw(st.sets(st.integers(1, height - 1), max_size=5)))
    exclude, largest = data.draw(st.booleans()), data.draw(st.sampled_from([None, 40, 100]))
    predictor = ByBrightness(classes)
    probability = predictor.probability(field // 4 * 5 // 4 if classes == 4 else field)
    parts = [np.split(array, cuts) for array in (predictor.mask(probability), field, probability)]
    found = []
    for name in ("whole", "bands"):
        writer = CellWriter(folder / name, None, 5, largest, exclude, "detections")
        if name == "whole":
            writer.add("a.png", field, predictor.mask(probability), probability)
        else:
            writer.add_bands("a.png", zip(*parts, strict=True), classes)
        writer.finish()
        table = rows(folder / name / "cells.csv")
        (counts,) = rows(folder / name / "cell_counts.csv")
        found.append((sorted([row[key] for key in row if key != "cell"] for row in table), counts))
    assert found[0] == found[1]


def numbered_truth(folder, field):
    """True masks, a file a cell."""
    _, labels = cv2.connectedComponents((field > 0).astype(np.uint8))
    for number in range(1, labels.max() + 1):
        images.write_png(folder / "Masks" / "a" / f"{number}.png", np.uint8(255) * (labels == number))


@pytest.mark.parametrize(
    ("options", "true"), [({"cells": True}, 3), ({"exclude_edges": True}, 2), ({"max_area": 399}, 2)]
)
def test_evaluate_leaves_the_same_out_of_the_truth(picture, tmp_path, capsys, options, true):
    numbered_truth(tmp_path, images.read_mask(picture))
    predict_paths(ByBrightness, [picture], tmp_path / "out", Wanted(**options))
    scores = evaluate_folder(tmp_path, tmp_path / "out")
    assert scores["objects"]["f1"] == 1 == scores["dice"] and scores["objects"]["true"] == true
    assert ("as they were predicted" in capsys.readouterr().out) == (true < 3)


@pytest.mark.parametrize("options", [{"cells": True}, {"exclude_edges": True, "max_area": 399}])
def test_cells_that_were_left_out_are_not_learnt_as_background(picture, tmp_path, options):
    masks = tmp_path / "out"
    predict_paths(ByBrightness, [picture], masks, Wanted(**options))
    labels = images.read_mask(masks / "a_labels.png").copy()
    labels[5:15, 30:40] = 0  # no cell, says a person
    labels[60:63, 70:75] = 9
    images.write_png(masks / "a_labels.png", labels)
    lines = prepare_corrected(tmp_path / "data", masks)
    (mask,) = (tmp_path / "data" / "Train data" / "Masks").iterdir()
    learnt, left = images.read_mask(mask), "cells" not in options

    assert (learnt[5:15, 30:40] == 0).all(), "what was deleted is background"
    assert (learnt[5:15, :10] == NOT_KNOWN).all() == (learnt[30:50, 40:60] == NOT_KNOWN).all() == left
    assert any("left out of the cells" in line for line in lines) == left
