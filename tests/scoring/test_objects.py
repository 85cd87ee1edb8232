"""Objects and outlines: by hand, by laws, and against SciPy and scikit-image where they compute the same."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pairing.masks import MaskCoding
from pairing.objects import components, seams, touching, true_objects
from pairing.pairs import Pair
from reading.files import InputError
from reading.images import write_png
from scoring import objects

SHAPE = st.shared(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), key="shape")
MASKS = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 1))
LABELS_SUFFIX = hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 4))


def test_corners_join_an_object():
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    labels = components(mask)
    assert labels[0, 0] == labels[1, 1] != labels[2, 3] and labels.max() == 2


@given(MASKS)
def test_components_are_scipy_s(mask):
    from scipy import ndimage

    ours, theirs = components(mask), ndimage.label(mask, np.ones((3, 3)))[0]
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))  # one to one
    assert ((ours > 0) == (mask > 0)).all()


def test_seams_by_hand():
    labels = np.array([[1, 1, 0, 2, 2], [1, 1, 3, 2, 2], [1, 1, 0, 0, 0], [0, 0, 0, 9, 9]])
    expected = np.array([[0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(touching(labels), expected)
    assert not seams(labels).any(), "object 3 would vanish, and without it none touch"
    labels[1, 2] = 0
    labels[0, 2] = 1
    expected = np.zeros(labels.shape, bool)
    expected[0, 2:4] = expected[1, 3] = True
    np.testing.assert_array_equal(seams(labels), expected)


def test_objects_too_thin_to_be_set_apart_have_no_seams():
    labels = np.zeros((20, 30), np.int32)
    labels[2:5, 2:5], labels[2:5, 5:8] = 1, 2  # 3×3 side by side: a third each
    labels[8:18, 2:12], labels[8:18, 12] = 3, 4  # a strip of one pixel at a large one
    found = seams(labels)
    assert (found[2:5, 4:6]).all() and found.sum() == 6


def test_a_soft_edge_is_no_seam():
    rows, columns = np.mgrid[0:40, 0:40]
    for top in (100, 60000):
        soft = np.clip((12 - np.hypot(rows - 20, columns - 20)) / 6, 0, 1) * top
        assert not seams(np.rint(soft).astype(np.int32)).any()


@given(LABELS_SUFFIX)
def test_without_what_touches_no_two_objects_touch(labels):
    seams = touching(labels)
    apart = np.where(seams, 0, labels)
    assert not seams[labels == 0].any()
    for component in range(1, components(apart).max() + 1):
        assert len(np.unique(apart[components(apart) == component])) == 1
    for row, column in zip(*np.nonzero(seams), strict=True):  # no pixel more than that takes
        around = labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert ((around > 0) & (around != labels[row, column])).any()


def test_matching_by_hand():
    # true 1: 4 px, predicted 7: 3 of them and no other, IoU 3/4: found
    # true 2: 2 px, predicted 8: 1 of them, IoU 1/2, not above it: missed, and 8 invented
    # predicted 9: nothing there, invented
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 0]])
    prediction = np.array([[7, 7, 7, 0, 0, 0, 8, 0, 9]])
    assert objects.match_objects(truth, prediction).tolist() == [1, 2, 1, 0]
    assert objects.match_objects(truth, prediction, overlap=0.7).tolist() == [1, 2, 1, 0], "3/4 is above it"
    assert objects.match_objects(truth, prediction, overlap=0.75).tolist() == [0, 3, 2, 0], "and not above this"
    # two halves of one object: neither holds more than half of it
    assert objects.match_objects(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])).tolist() == [0, 2, 1, 0]


def test_object_scores_by_hand():
    # image 1: tp 1, fp 2, fn 1 (true 2, predicted 3); image 2: tp 3, fp 0, fn 2 (true 5, predicted 3)
    scores = objects.object_scores([[[1, 2, 1, 0]], [[3, 0, 2, 0]]])
    limits = scores.pop("interval_95")
    assert scores == {
        "f1": pytest.approx(8 / 13),  # 2*4 / (2*4 + 2 + 3)
        "ap": pytest.approx(4 / 9),  # 4 / (4 + 2 + 3)
        "true": 7,
        "predicted": 6,
        "count_error": -1,
        "mean_count_error": 1.5,  # (|+1| + |-2|) / 2
    }
    assert limits == {"f1": pytest.approx([2 / 5, 6 / 8]), "ap": pytest.approx([1 / 4, 3 / 5])}
    # two classes: the means of F1 1 and 0, of AP 1 and 0; one object of class 2 missed
    classes = objects.object_scores([[[2, 0, 0, 0], [0, 0, 1, 0]]])
    assert (classes["f1"], classes["ap"], classes["true"], classes["predicted"]) == (0.5, 0.5, 3, 2)
    assert classes["mean_count_error"] == 1 and classes["interval_95"] is None
    assert json.loads(json.dumps(classes)) == classes


def test_empty_images_of_objects():
    empty, full = np.zeros((3, 4), int), np.ones((3, 4), int)

    def f1(truth, prediction):
        return objects.object_scores([[objects.match_objects(truth, prediction)]])["f1"]

    assert (f1(empty, empty), f1(empty, full), f1(full, empty), f1(full, full)) == (1, 0, 0, 1)


@given(LABELS_SUFFIX, LABELS_SUFFIX)
def test_laws_of_matching(truth, prediction):
    tp, fp, fn, _ = objects.match_objects(truth, prediction).tolist()
    assert objects.match_objects(prediction, truth).tolist() == [tp, fn, fp, 0]
    assert tp + fn == len(set(truth[truth > 0].tolist())) and tp + fp == len(set(prediction[prediction > 0].tolist()))
    # numbers are names: another numbering, with gaps, changes nothing
    renamed = np.array([0, 40, 3, 70000, 1])[prediction]
    assert objects.match_objects(truth, renamed).tolist() == [tp, fp, fn, 0]
    # against every pair in plain loops
    count = 0
    for t in set(truth[truth > 0].tolist()):
        for p in set(prediction[prediction > 0].tolist()):
            count += ((truth == t) & (prediction == p)).sum() * 2 > ((truth == t) | (prediction == p)).sum()
    assert tp == count


@given(MASKS, MASKS)
def test_perfect_only_where_each_object_has_its_own(truth, prediction):
    one, other = components(truth), components(prediction)
    scores = objects.object_scores([[objects.match_objects(one, other)]])
    assert 0 <= scores["ap"] <= scores["f1"] <= 1
    assert (scores["f1"] == 1) == (scores["ap"] == 1)
    if (truth == prediction).all():
        assert scores["f1"] == 1
    if scores["f1"] == 1:
        assert scores["count_error"] == 0 and one.max() == other.max()


def test_different_sizes_are_refused():
    with pytest.raises(InputError, match=r"\(2, 2\).*\(2, 3\)"):
        objects.match_objects(np.zeros((2, 2), int), np.zeros((2, 3), int))


# ---------------------------------------------------------------------------------------------------------- boundaries


def test_outline_by_hand():
    mask = np.zeros((5, 5), int)
    mask[1:4, 1:4] = 1
    expected = mask > 0
    expected[2, 2] = False
    np.testing.assert_array_equal(objects.border_pixels(mask), expected)
    np.testing.assert_array_equal(objects.border_pixels(np.ones((3, 3))), [[1, 1, 1], [1, 0, 1], [1, 1, 1]])


@given(MASKS)
def test_outline_is_what_erosion_takes_away(mask):
    from scipy import ndimage

    np.testing.assert_array_equal(objects.border_pixels(mask), (mask > 0) & ~ndimage.binary_erosion(mask))


def test_hd95_by_hand():
    # a line of 10 pixels and the same 3 pixels lower: every distance is 3
    truth, prediction = np.zeros((2, 12, 12), int)
    truth[2, 1:11], prediction[5, 1:11] = 1, 1
    assert objects.hausdorff(truth, prediction) == 3
    # 41 true pixels in a line; predicted the same and one 5 below. To the truth: 41 distances of 0 and one of 5, whose
    # 95th percentile is 0; of 2 pixels, 0 and 5, it is 0.95 * 5
    line, speck = np.zeros((2, 8, 41), int)
    line[1], speck[1], speck[6, 20] = 1, 1, 1
    assert objects.hausdorff(line, speck) == 0 and objects.hausdorff(line, speck, 100) == 5
    assert objects.hausdorff(line[:, 20:21], speck[:, 20:21]) == pytest.approx(4.75)


def test_hd95_of_empty_masks():
    empty, full = np.zeros((3, 4)), np.ones((3, 4))
    assert objects.hausdorff(empty, empty) == 0 == objects.hausdorff(full, full)
    assert objects.hausdorff(empty, full) == objects.hausdorff(full, empty) == 5  # the diagonal of 3 and 4


@given(MASKS, MASKS)
def test_the_100th_percentile_is_scikit_image_s_hausdorff_distance(truth, prediction):
    from skimage.metrics import hausdorff_distance

    if truth.any() and prediction.any():
        theirs = hausdorff_distance(objects.border_pixels(truth), objects.border_pixels(prediction))
        assert objects.hausdorff(truth, prediction, 100) == pytest.approx(theirs, abs=1e-5)


@given(MASKS, MASKS)
def test_hd95_agrees_with_scipy_s_distances(truth, prediction):
    from scipy import ndimage

    if truth.any() and prediction.any():
        one, other = objects.border_pixels(truth), objects.border_pixels(prediction)
        far = [np.percentile(ndimage.distance_transform_edt(~b)[a], 95) for a, b in ((one, other), (other, one))]
        assert objects.hausdorff(truth, prediction) == pytest.approx(max(far), abs=1e-5)


@given(MASKS, MASKS)
def test_laws_of_hd95(truth, prediction):
    distance = objects.hausdorff(truth, prediction)
    assert 0 <= distance <= np.hypot(*truth.shape) and distance == objects.hausdorff(prediction, truth)
    assert objects.hausdorff(truth, truth) == 0
    assert objects.hausdorff(np.pad(truth, 3), np.pad(prediction, 3)) == pytest.approx(distance) or not (
        truth.any() and prediction.any()
    )


def test_boundary_scores_by_hand():
    scores = objects.boundary_scores([[1.0, 3.0], [4.0, 8.0]])  # means over the classes: 2 and 6
    assert scores["hd95_px"] == 4 and scores["interval_95"] == [2, 6]
    assert objects.boundary_scores([[2.0]]) == {"hd95_px": 2, "interval_95": None}


# ----------------------------------------------------------------------------------------------------- the true objects

ABOVE_ZERO = MaskCoding(None, 1, 1, "")
TOUCHING = np.array([[1, 1, 2, 2, 0, 3]], np.uint8)  # three objects, two components


def pair_of(mask):
    return Pair("a", mask.with_name("a.png"), mask, "a")


def objects_of(path, coding=ABOVE_ZERO, values=(0, 255), foreground=TOUCHING > 0):
    return true_objects(pair_of(path), foreground, coding, dict.fromkeys(values, 1))


def test_numbers_of_a_label_image_are_objects(tmp_path):
    write_png(tmp_path / "m.png", TOUCHING.astype(np.uint16) * 1000)
    labels, source = objects_of(tmp_path / "m.png", values=range(100))
    assert source == "labels" and len(np.unique(labels[labels > 0])) == 3
    np.testing.assert_array_equal(labels > 0, TOUCHING > 0)


@pytest.mark.parametrize(
    ("coding", "values"),
    [
        (ABOVE_ZERO, (0, 1, 2, 3)),  # these may be classes
        (MaskCoding(None, 128, 1, "", soft=False), range(256)),  # smoothed edges
        (MaskCoding((1, 2, 3), 0, 1, ""), range(100)),  # chosen with --foreground
        (MaskCoding(None, 0, 4, ""), range(4)),
    ],
)
def test_numbers_that_may_mean_something_else_are_not(tmp_path, coding, values):
    write_png(tmp_path / "m.png", TOUCHING)
    labels, source = objects_of(tmp_path / "m.png", coding, values)
    assert source == "components" and labels.max() == 2


def test_one_file_is_one_object(tmp_path):
    for number in (1, 2, 3):
        write_png(tmp_path / "m" / f"{number}.png", np.uint8(255) * (number == TOUCHING))
    labels, source = objects_of(tmp_path / "m")
    assert source == "files"
    np.testing.assert_array_equal(labels, TOUCHING)


def test_one_outline_is_one_object(tmp_path):
    def box(left, right):
        return {"label": "nucleus", "shape_type": "rectangle", "points": [[left, 0], [right, 1]]}

    shapes = {"shapes": [box(0, 2), box(2, 4), box(5, 6)], "imageHeight": 1, "imageWidth": 6}
    (tmp_path / "m.json").write_text(json.dumps(shapes))
    labels, source = objects_of(tmp_path / "m.json", values=(0, 2**30))
    assert source == "outlines" and len(np.unique(labels[labels > 0])) == 3
    np.testing.assert_array_equal(labels > 0, TOUCHING > 0)
    # by other programs, the folder's other files have other classes, or none
    assert objects_of(tmp_path / "m.json", values=(0, 1, 2**30))[1] == "outlines"
    # of several classes in one file, a cell's outline holds its nucleus': then components
    shapes["shapes"].append(box(0, 1) | {"label": "cell"})
    (tmp_path / "m.json").write_text(json.dumps(shapes))
    assert objects_of(tmp_path / "m.json", values=(0, 2**30, 2**30 + 1))[1] == "components"


def test_fields_of_a_hundred_nuclei_take_well_under_a_second_each():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:1024, :1024]
    truth = ((rows % 100 - 50) ** 2 + (columns % 100 - 50) ** 2 < 300) & (rows < 1000) & (columns < 1000)
    prediction = truth ^ (rng.random(truth.shape) < 0.001)
    started = time.process_time()
    counts = objects.match_objects(components(truth), components(prediction))
    distance = objects.hausdorff(truth, prediction)
    assert time.process_time() - started < 1
    assert counts[0] == 100 and counts[1] > 500 and distance > 10  # the specks count as objects


def test_distances_of_images_of_one_slide_are_drawn_together():
    scores = objects.boundary_scores([[1.0], [3.0], [8.0]], ["a", "a", "b"])
    assert scores == {"hd95_px": 4, "interval_95": [2, 8]}  # the means of either slide alone
    assert objects.boundary_scores([[1.0], [3.0]], ["a", "a"])["interval_95"] is None
    assert objects.object_scores([[[1, 2, 1, 0]], [[3, 0, 2, 0]]], ["a", "a"])["interval_95"] is None
