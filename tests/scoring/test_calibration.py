"""Histograms of probability against truth: by hand, and laws."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reading import intensity
from reading.images import read
from scoring import calibration
from scoring.metrics import confusion_counts, scores_from_counts

SHAPE = st.shared(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), key="shape")
PROBABILITIES = hnp.arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
MASKS = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 1))


def test_the_best_threshold_by_hand():
    # foreground at 0.3, 0.6, 0.9, background at 0.1, 0.2, 0.7. From 0.3 down to above 0.2 all three are found with one
    # false: Dice 6/7; from 0.9 down to above 0.7 one of three: 2/4. The one nearest to 0.5 of 0.21 … 0.30 is taken.
    probability = np.array([[0.3, 0.6, 0.9, 0.1, 0.2, 0.7]], np.float32)
    counts = calibration.threshold_counts(probability, np.array([[1, 1, 1, 0, 0, 0]]))
    assert calibration.best_threshold([counts, counts]) == 0.3
    assert calibration.best_threshold([counts]) == 0.5  # one image tells nothing of others
    assert calibration.confusion_at(counts, 0.3).tolist() == [3, 1, 0, 2]
    assert calibration.confusion_at(counts, 0.8).tolist() == [1, 0, 2, 3]


def test_images_that_disagree_leave_it_at_a_half():
    # a wants 0.21 … 0.35 (foreground at 0.35, background at 0.2), b 0.61 … 0.8. Together 0.35 has Dice 4/5, 0.5 has
    # 2/4; but of a draw of b and b 0.35 and 0.5 have the same. A third image like a does not settle that, thirty do.
    truth = np.array([[1, 0]])
    a, b = (calibration.threshold_counts(np.array([p], np.float32), truth) for p in ((0.35, 0.2), (0.8, 0.6)))
    assert calibration.best_threshold([a, b]) == calibration.best_threshold([a, b, a]) == 0.5
    assert calibration.best_threshold([a] * 30 + [b]) == 0.35


@pytest.mark.parametrize("truth", [0, 1])
def test_without_a_choice_it_is_a_half(truth):
    # one probability for all: nothing is found from above it on, all from below, and empty truth is best not found
    counts = calibration.threshold_counts(np.full((4, 4), 0.5 * truth, np.float32), np.full((4, 4), truth))
    assert calibration.best_threshold([counts, counts]) == 0.5
    assert calibration.best_threshold(np.zeros((2, 100, 2), int)) == 0.5  # no pixels at all


@given(PROBABILITIES, MASKS, st.sampled_from(calibration.THRESHOLDS.tolist()))
def test_counts_are_those_of_thresholding(probability, truth, threshold):
    counts = calibration.confusion_at(calibration.threshold_counts(probability, truth), threshold)
    np.testing.assert_array_equal(counts, confusion_counts(truth, probability >= threshold)[0])


@given(PROBABILITIES, MASKS)
def test_no_threshold_is_better_than_the_best(probability, truth):
    def dice(threshold):
        return scores_from_counts(confusion_counts(truth, probability >= threshold)[0])["dice"]

    best = calibration.best_threshold([calibration.threshold_counts(probability, truth)] * 2)
    assert dice(best) == max(dice(threshold) for threshold in calibration.THRESHOLDS.tolist())


def reliability_of(probability, truth):
    steps = intensity.to_8_bits(np.asarray(probability, np.float32))
    return calibration.reliability(calibration.step_counts(steps, np.asarray(truth)))


def test_reliability_by_hand():
    # 0.2 (step 51) said of four pixels of which one is foreground, 1 said of two of which one is:
    # (4 * |0.2 - 0.25| + 2 * |1 - 0.5|) / 6
    found = reliability_of([[0.2] * 4 + [1] * 2], [[1, 0, 0, 0, 1, 0]])
    assert found["expected_error"] == pytest.approx((4 * 0.05 + 2 * 0.5) / 6)
    held = [b for b in found["bins"] if b["pixels"]]
    assert held == [
        {"from": 0.2, "to": 0.25, "pixels": 4, "foreground": 1, "mean_probability": pytest.approx(0.2),
         "foreground_share": 0.25},
        {"from": 0.95, "to": 1, "pixels": 2, "foreground": 1, "mean_probability": 1, "foreground_share": 0.5},
    ]  # fmt: skip
    assert len(found["bins"]) == 20 and found["bins"][0]["foreground_share"] is None
    assert json.loads(json.dumps(found)) == found


def test_right_probabilities_have_no_error_and_boastful_ones_have():
    rng = np.random.default_rng(0)
    probability = rng.random((500, 500))
    truth = rng.random((500, 500)) < probability
    assert reliability_of(probability, truth)["expected_error"] < 0.01
    assert reliability_of(np.round(probability), truth)["expected_error"] == pytest.approx(0.25, abs=0.01)
    assert reliability_of(truth, truth)["expected_error"] == 0


@given(PROBABILITIES, MASKS)
def test_laws_of_reliability(probability, truth):
    found = reliability_of(probability, truth)
    assert 0 <= found["expected_error"] <= 1
    assert sum(b["pixels"] for b in found["bins"]) == truth.size
    assert sum(b["foreground"] for b in found["bins"]) == truth.sum()
    for b in found["bins"]:
        if b["pixels"]:
            assert b["from"] - 1e-9 <= b["mean_probability"] <= b["to"] + 1e-9


def test_the_figure_is_written(tmp_path):
    calibration.draw_reliability(reliability_of([[0.1, 0.9, 0.9]], [[0, 1, 1]]), tmp_path / "c.png")
    assert read(tmp_path / "c.png").std() > 0
