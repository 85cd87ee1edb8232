"""Counts with an interval, and per square millimetre, also without the cells at the edge."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measuring.cell_files import CellWriter
from measuring.counting import Tally, chance_of_own, expected, interval

CONFIDENCES = st.lists(st.floats(0.3, 1), min_size=1, max_size=60).map(np.array)


@settings(max_examples=60)
@given(one=CONFIDENCES, other=CONFIDENCES)
def test_an_interval_holds_what_is_expected_and_images_together_lie_in_the_sum_of_theirs(one, other):
    (low, high), (low_2, high_2), (low_all, high_all) = (interval(some) for some in ([one], [other], [one, other]))
    assert 0 <= low <= expected(one)[0] <= high
    assert low + low_2 - 1 <= low_all and high_all <= high + high_2 + 1
    assert interval([one[::-1]]) == (low, high) == interval([one, np.zeros(0)])


def test_doubtful_cells_count_less_and_make_the_interval_wider():
    sure, unsure = np.full(50, 0.97), np.full(50, 0.65)
    assert expected(sure)[0] > 50 > expected(unsure)[0]
    ratios = [high / low for low, high in (interval([sure]), interval([unsure]))]
    assert ratios[0] < ratios[1]
    assert (np.diff(chance_of_own(np.linspace(0, 1, 20))) > 0).all()


def test_where_no_cell_was_found_nothing_is_known_of_those_missed():
    assert interval([np.zeros(0)]) is None and interval([]) is None


def test_without_the_cells_at_the_edge_the_density_is_that_of_an_endless_field():
    rng, side, cells = np.random.default_rng(0), 100, 40_000
    top, left = rng.integers(-100, 200, (2, cells))
    sizes = rng.integers(5, 45, (cells, 2))
    bottom, right = top + sizes[:, 0], left + sizes[:, 1]
    seen = (bottom > 0) & (right > 0) & (top < side) & (left < side)
    inside = (top > 0) & (left > 0) & (bottom < side) & (right < side)
    tally = Tally(1000, 1, (side, side), inner=True, sizes=[sizes[inside][:50], sizes[inside][50:]])
    density = cells / 300**2  # of one pixel, that is of one mm² here
    assert inside.sum() / tally.area_mm2() == pytest.approx(density, rel=0.04)
    assert inside.sum() / side**2 < 0.7 * density and seen.sum() / side**2 > 1.4 * density


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_table_of_counts(tmp_path, classes, exclude):
    mask = np.zeros((60, 80), np.uint8)
    mask[0:10, 20:30] = mask[30:40, 20:30] = mask[30:40, 50:70] = 1 if classes == 1 else 2
    probability = np.full((60, 80, 1), 0.9) if classes == 1 else np.eye(3)[mask]
    writer = CellWriter(tmp_path, um_per_px=0.5, exclude_edges=exclude)
    for name in ("a.png", "b.png"):
        writer.add(name, np.zeros((60, 80, 1), np.uint8), mask, probability)
    writer.add("empty.png", np.zeros((60, 80, 1), np.uint8), 0 * mask, 0 * probability)
    writer.finish()
    with (tmp_path / "cell_counts.csv").open(newline="", encoding="utf-8") as file:
        one, _, empty = csv.DictReader(file)
    cells = 3 - exclude
    assert one["cells"] == str(cells) and float(one["cells_per_mm2"]) == pytest.approx(
        cells / float(one["area_mm2"]), rel=1e-4
    )
    places = [1 / (49 * 69), 1 / (49 * 59)]
    pixels = 2 / sum(places) if exclude else 60 * 80
    assert float(one["area_mm2"]) == pytest.approx(pixels * 0.25e-6, rel=1e-4)
    if classes == 1:
        limits = interval([np.full(cells, 0.9)])
        assert (int(one["cells_low"]), int(one["cells_high"])) == limits
        assert float(one["cells_per_mm2_high"]) == pytest.approx(limits[1] / float(one["area_mm2"]), rel=1e-4)
    else:
        assert one["cells_low"] == one["cells_per_mm2_high"] == "", "not measured for several classes"
    assert empty["cells"] == "0" == empty["cells_per_mm2"] and empty["cells_low"] == ""
    assert float(empty["area_mm2"]) == pytest.approx(60 * 80 * 0.25e-6)
    said = "\n".join(writer.summary())
    assert f"{2 * cells} cells, one a row" in said and ("95 % interval" in said) == (classes == 1)
    assert ("; per mm² 1,670, " in said) == (classes == 1 and not exclude)


def test_without_the_size_of_a_pixel_there_is_no_area(tmp_path):
    writer, mask = CellWriter(tmp_path), np.ones((20, 20), np.uint8)
    writer.add("a.png", np.zeros((20, 20, 1), np.uint8), mask, np.full((20, 20, 1), 0.9))
    writer.finish()
    with (tmp_path / "cell_counts.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["area_mm2"] == row["cells_per_mm2"] == "" and row["cells_low"] and "mm²" not in writer.summary()[1]
