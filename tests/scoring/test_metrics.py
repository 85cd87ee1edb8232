"""Hand arithmetic, laws, and a second implementation by counting in plain loops."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reading.files import InputError
from scoring import metrics


def pairs_of_masks(classes):
    """Two random masks of one shape, class ids 0 ... max(1, classes - 1)."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)
    top = max(1, classes - 1)
    return shapes.flatmap(lambda s: st.tuples(*[hnp.arrays(np.uint8, s, elements=st.integers(0, top))] * 2))


def test_counts_and_scores_by_hand():
    #             predicted 1   predicted 0
    # truth 1      tp = 3        fn = 1
    # truth 0      fp = 2        tn = 4
    truth = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    prediction = np.array([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0]])
    counts = metrics.confusion_counts(truth, prediction)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[3, 2, 1, 4]]
    assert metrics.scores_from_counts(counts[0]) == {
        "dice": 6 / 9,  # 2*3 / (2*3 + 2 + 1)
        "iou": 3 / 6,  # 3 / (3 + 2 + 1)
        "accuracy": 7 / 10,
        "precision": 3 / 5,
        "recall": 3 / 4,
    }


@pytest.mark.parametrize(
    ("counts", "dice", "iou", "accuracy", "precision", "recall"),
    [
        ((0, 0, 0, 9), 1, 1, 1, 1, 1),  # an empty mask predicted empty
        ((0, 0, 0, 0), 1, 1, 1, 1, 1),  # no pixels at all
        ((0, 3, 0, 6), 0, 0, 6 / 9, 0, 0),  # something found in an empty mask
        ((0, 0, 3, 6), 0, 0, 6 / 9, 0, 0),  # nothing found of a cell
        ((9, 0, 0, 0), 1, 1, 1, 1, 1),  # all foreground, all found
    ],
)
def test_empty_cases(counts, dice, iou, accuracy, precision, recall):
    expected = {"dice": dice, "iou": iou, "accuracy": accuracy, "precision": precision, "recall": recall}
    assert metrics.scores_from_counts(counts) == expected


def test_foreground_is_anything_above_zero():
    truth = np.array([[0, 255], [255, 0]], np.uint8)
    assert metrics.confusion_counts(truth, truth > 0).tolist() == [[2, 0, 0, 2]]
    assert metrics.confusion_counts(truth, truth // 255).tolist() == [[2, 0, 0, 2]]


def test_three_classes_by_hand():
    #            predicted 0  1  2
    # truth 0              2  1  0
    # truth 1              0  3  1
    # truth 2              1  0  2
    truth = np.array([[0, 0, 0, 1, 1], [1, 1, 2, 2, 2]])
    prediction = np.array([[0, 0, 1, 1, 1], [1, 2, 0, 2, 2]])
    counts = metrics.confusion_counts(truth, prediction, classes=3)
    assert counts.tolist() == [[3, 1, 1, 5], [2, 1, 1, 6]]
    card = metrics.score_summary(["a"], [counts], threshold=None, classes=3)
    assert card["classes"]["1"]["dice"] == 6 / 8
    assert card["classes"]["2"]["dice"] == 4 / 6
    assert card["dice"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert card["accuracy"] == pytest.approx((8 / 10 + 8 / 10) / 2)


def test_score_summary_by_hand():
    counts = [[[3, 2, 1, 4]], [[0, 0, 0, 10]]]
    card = metrics.score_summary(["a.png", "b.png"], counts, threshold=0.5)
    # summed: tp 3, fp 2, fn 1, tn 14; all background: tp 0, fp 0, fn 4, tn 16
    total = {"dice": 6 / 9, "iou": 3 / 6, "accuracy": 17 / 20, "precision": 3 / 5, "recall": 3 / 4}
    first = {"dice": 6 / 9, "iou": 3 / 6, "accuracy": 7 / 10, "precision": 3 / 5, "recall": 3 / 4}
    assert metrics.score_summary(["a.png"], counts[:1], threshold=0.5)["interval_95"] is None  # one image tells nothing
    # two images drawn from two: the first twice in 1 of 4 draws, each once in 2, the second twice in 1; so 2.5 % and
    # 97.5 % of the draws lie at the scores of either alone
    limits = card.pop("interval_95")
    assert limits == {name: [pytest.approx(first[name]), 1] for name in first}
    mean = {name: pytest.approx((first[name] + 1) / 2) for name in first}
    assert card == {
        **total,
        "mean_per_image": mean,
        "threshold": 0.5,
        "images": [{"name": "a.png", **first}, {"name": "b.png", **dict.fromkeys(first, 1.0)}],
        "baseline": {"dice": 0, "iou": 0, "accuracy": 16 / 20, "precision": 0, "recall": 0},
    }
    assert json.loads(json.dumps(card)) == card


def test_the_interval_covers_what_it_should():
    """Of 200 test sets from one source, about 95 % of the intervals hold the score of the source."""
    rng = np.random.default_rng(0)
    source = rng.integers(50, 150, (5000, 1, 4))
    true = metrics.scores_from_counts(source.sum(axis=0)[0])["dice"]
    limits = [metrics.pooled_scores(rng.choice(source, 30))["interval_95"]["dice"] for _ in range(200)]
    assert 0.89 <= np.mean([low <= true <= high for low, high in limits]) <= 0.99


def test_resampling_by_hand():
    # two images of 1 and 3: sums 2, 4, 4, 6, equally often
    sums = metrics.resampled_sums(np.array([1, 3]))
    values, counts = np.unique(sums, return_counts=True)
    assert values.tolist() == [2, 4, 6] and sums.shape == (metrics.RESAMPLES,)
    np.testing.assert_allclose(counts / metrics.RESAMPLES, [0.25, 0.5, 0.25], atol=0.04)
    np.testing.assert_array_equal(sums, metrics.resampled_sums(np.array([1, 3])))
    np.testing.assert_array_equal(metrics.resampled_sums(np.full((7, 2), 3)), np.full((metrics.RESAMPLES, 2), 21))


@given(pairs_of_masks(1))
def test_agrees_with_scikit_learn(masks):
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

    truth, prediction = (mask.ravel() for mask in masks)
    if not (truth.any() or prediction.any()):  # there it says 0 or 1 as one asks; here 1
        return
    scores = metrics.scores_from_counts(metrics.confusion_counts(*masks)[0])
    others = {"dice": f1_score, "iou": jaccard_score, "precision": precision_score, "recall": recall_score}
    for name, function in others.items():
        assert scores[name] == pytest.approx(function(truth, prediction, zero_division=0))
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, prediction))


@given(pairs_of_masks(1))
def test_agrees_with_counting_in_loops(masks):
    tp = fp = fn = tn = 0
    for t, p in zip(masks[0].ravel().tolist(), masks[1].ravel().tolist(), strict=True):
        tp += t and p
        fp += p and not t
        fn += t and not p
        tn += not t and not p
    assert metrics.confusion_counts(*masks).tolist() == [[tp, fp, fn, tn]]


@given(pairs_of_masks(4))
def test_a_class_counts_as_foreground_against_the_others(masks):
    truth, prediction = masks
    counts = metrics.confusion_counts(truth, prediction, classes=4)
    assert counts.shape == (3, 4)
    for k in (1, 2, 3):
        assert counts[k - 1].tolist() == metrics.confusion_counts(truth == k, prediction == k)[0].tolist()


@given(pairs_of_masks(4), st.sampled_from([1, 4]))
def test_counts_sum_to_the_pixels(masks, classes):
    assert set(metrics.confusion_counts(*masks, classes).sum(axis=1)) == {masks[0].size}


@given(pairs_of_masks(1))
def test_laws_of_the_scores(masks):
    truth, prediction = masks
    scores = metrics.scores_from_counts(metrics.confusion_counts(truth, prediction)[0])
    swapped = metrics.scores_from_counts(metrics.confusion_counts(prediction, truth)[0])
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["dice"] == pytest.approx(2 * scores["iou"] / (1 + scores["iou"]))
    precision, recall = scores["precision"], scores["recall"]
    if precision + recall:
        assert scores["dice"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert swapped == {**scores, "precision": recall, "recall": precision}
    assert set(metrics.scores_from_counts(metrics.confusion_counts(truth, truth)[0]).values()) == {1.0}


@given(st.lists(pairs_of_masks(3), min_size=1, max_size=4), st.sampled_from([1, 3]), st.randoms())
def test_laws_of_the_score_summary(images, classes, random):
    names = [str(i) for i in range(len(images))]
    counts = [metrics.confusion_counts(*masks, classes) for masks in images]
    card = metrics.score_summary(names, counts, 0.5, classes)

    order = random.sample(range(len(images)), len(images))
    shuffled = metrics.score_summary([names[i] for i in order], [counts[i] for i in order], 0.5, classes)
    assert shuffled.pop("images") == [card["images"][i] for i in order]
    assert shuffled == {key: value for key, value in card.items() if key != "images"}

    nothing = [metrics.confusion_counts(truth, np.zeros_like(truth), classes) for truth, _ in images]
    empty = metrics.score_summary(names, nothing, 0.5, classes)
    assert card["baseline"] == {score: empty[score] for score in metrics.SCORES}

    # one image made of all pixels scores as the images together
    joined = [np.concatenate([masks[i].ravel() for masks in images])[None] for i in (0, 1)]
    whole = metrics.score_summary(["whole"], [metrics.confusion_counts(*joined, classes)], 0.5, classes)
    assert all(whole[score] == card[score] for score in metrics.SCORES)

    if len(images) > 1:
        for score, (low, high) in card["interval_95"].items():
            values = [image[score] for image in card["images"]]
            assert 0 <= low <= high <= 1 and (len(set(values)) > 1 or classes > 1 or low == pytest.approx(high))
    for score in metrics.SCORES:
        mean = np.mean([image[score] for image in card["images"]])
        assert card["mean_per_image"][score] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("truth", "prediction", "classes", "says"),
    [
        (np.zeros((4, 4), int), np.zeros((4, 5), int), 1, r"\(4, 4\).*\(4, 5\)"),
        (np.zeros((4, 4, 1), int), np.zeros((4, 4, 1), int), 1, "channel axis"),
        (np.zeros((4, 4), int), np.zeros((4, 4), np.float32), 1, "float32.*threshold"),
        (np.full((4, 4), 255), np.zeros((4, 4), int), 3, "255.*from 0 to 2"),
        (np.full((4, 4), -1), np.zeros((4, 4), int), 3, "-1.*from 0 to 2"),
    ],
)
def test_wrong_masks_are_refused_in_one_line(truth, prediction, classes, says):
    with pytest.raises(InputError, match=says) as error:
        metrics.confusion_counts(truth, prediction, classes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "counts", "classes"),
    [([], [], 1), (["a", "b"], [[[1, 0, 0, 0]]], 1), (["a"], [[[1, 0, 0, 0]]], 3)],
)
def test_wrong_counts_are_refused(names, counts, classes):
    with pytest.raises(InputError, match="expected"):
        metrics.score_summary(names, counts, 0.5, classes)


def test_imports_no_framework():
    code = "import sys, scoring.metrics; print(sorted({'keras', 'tensorflow', 'scipy', 'skimage'} & set(sys.modules)))"
    folder = Path(metrics.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_images_of_one_slide_are_drawn_together():
    counts = np.random.default_rng(0).integers(1, 99, (5, 2, 4))
    slides = ["b", "a", "a", "b", "c"]
    joined = np.stack([counts[[1, 2]].sum(0), counts[[0, 3]].sum(0), counts[4]])
    np.testing.assert_array_equal(metrics.resampled_sums(counts, slides=slides), metrics.resampled_sums(joined))
    card = metrics.score_summary(list("vwxyz"), counts, 0.5, 3, slides)
    assert card["slides"] == 3 and [image["slide"] for image in card["images"]] == slides
    assert (
        card["interval_95"]
        == metrics.pooled_scores(joined)["interval_95"]
        != metrics.pooled_scores(counts)["interval_95"]
    )
    assert (
        metrics.score_summary(list("vwxyz"), counts, 0.5, 3, list("vwxyz"))["interval_95"]
        == (metrics.pooled_scores(counts)["interval_95"])
    )
    assert metrics.cautions(card) == [
        "the intervals draw whole slides, 3, since images of one are alike",
        "with 3 slides only, scores on other slides may lie further off than the intervals say",
    ]


def test_one_slide_has_no_intervals_however_many_its_images():
    counts = np.random.default_rng(0).integers(1, 99, (12, 1, 4))
    card = metrics.score_summary([str(i) for i in range(12)], counts, 0.5, slides=["s"] * 12)
    assert card["interval_95"] is None and card["slides"] == 1
    assert metrics.cautions(card) == [
        "no intervals: the 12 images are of one slide, which tells nothing of the spread between slides"
    ]
