"""Touching cells are divided, holes filled, specks left out; an image in bands gives the cells of the whole."""

from unittest.mock import patch

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measuring.cells import (
    BELIEVED,
    MIN_AREA_PX,
    MIN_AREA_UM2,
    find_cells,
    hole_sizes,
    join_cytoplasm,
    separate,
    smallest_area_px,
)
from measuring.cells import whole_components as blocks_of
from measuring.whole_cells import upper


def discs(shape, *places):
    """A mask with a disc at each (row, column, radius)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.any([(rows - r) ** 2 + (columns - c) ** 2 <= radius**2 for r, c, radius in places], axis=0)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_touching_nuclei_are_divided_at_any_size(scale):
    mask = discs((30 * scale, 60 * scale), (15 * scale, 18 * scale, 10 * scale), (15 * scale, 36 * scale, 10 * scale))
    labels = separate(mask)
    np.testing.assert_array_equal(labels > 0, mask)
    assert labels.max() == 2
    assert labels[15 * scale, 18 * scale] == 1 and labels[15 * scale, 36 * scale] == 2
    assert abs((labels == 1).sum() - (labels == 2).sum()) <= 25 * scale  # the middle column goes to one of them


def test_long_rough_and_cut_nuclei_stay_whole():
    ellipse = cv2.ellipse(np.zeros((60, 60), np.uint8), (30, 30), (24, 9), 30, 0, 360, 1, -1) > 0
    assert separate(ellipse).max() == 1
    rough = discs((60, 60), (30, 30, 15))
    rough[14, 28:31] = rough[30, 46] = True
    assert separate(rough).max() == 1
    assert separate(discs((60, 60), (0, 30, 15))).max() == 1


def test_the_neck_decides():
    mask = discs((40, 60), (20, 20, 10), (20, 36, 10))  # the neck is 2·√(10² − 8²) = 12 of 20 pixels wide
    assert separate(mask, neck=0.5).max() == 1 and separate(mask, neck=0.7).max() == 2


def two_bumps():
    """A rectangle of 24×48 pixels, and a probability with a peak in each half of it: 0.71 between them."""
    rows, columns = np.mgrid[:40, :60]
    mask = np.zeros((40, 60), np.uint8)
    mask[8:32, 6:54] = 1
    return mask, np.maximum(*(0.95 - 0.02 * np.hypot(rows - 20, columns - column) for column in (18, 42)))


def test_a_small_object_is_divided_where_it_falls_apart_at_a_higher_threshold():
    mask, probability = two_bumps()
    probability = probability[..., np.newaxis]
    assert len(find_cells(mask, min_area_px=120)) == 1, "a rectangle has no neck"
    found = find_cells(mask, min_area_px=120, probability=probability)
    assert len(found) == 2
    np.testing.assert_array_equal(found.labels > 0, mask > 0)
    left, right = found.labels[8:32, 6:29], found.labels[8:32, 32:54]
    assert (left == 1).all() and (right == 2).all()
    assert len(find_cells(mask, min_area_px=110, probability=probability)) == 1, "of 1152 pixels, not a small one"
    assert len(find_cells(mask, min_area_px=400, probability=probability)) == 1, "the parts would be too small"


def test_an_even_probability_and_small_peaks_divide_nothing():
    mask, _ = two_bumps()
    even = np.full((*mask.shape, 1), 0.8)
    assert len(find_cells(mask, min_area_px=120, probability=even)) == 1
    even[20, 18:30] = even[20, 36:48] = 0.95  # 12 pixels each
    assert len(find_cells(mask, min_area_px=120, probability=even)) == 1
    # noise finds no parts where the smallest cell is small
    noise = np.random.default_rng(0).uniform(0.6, 0.9, (*mask.shape, 1))
    assert len(find_cells(mask[:, :20], min_area_px=2, probability=noise[:, :20])) == 1


def test_the_answer_that_keeps_objects_apart_tells_where_to_divide():
    mask, peaks = two_bumps()
    even = np.full(mask.shape, 0.8)
    found = find_cells(mask, 1, 120, np.stack([even, peaks], -1))
    assert len(found) == 2 and (found.labels > 0).sum() == mask.sum()
    assert len(find_cells(mask, 1, 120, np.stack([even, even], -1))) == 1


@given(means=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_objects_that_the_network_hardly_believes_are_left_out(means):
    mask, probability = np.zeros((12, 90), np.uint8), np.zeros((12, 90, 2))
    for number, mean in enumerate(means):
        box = np.s_[2:10, 15 * number + 2 : 15 * number + 10]
        mask[box], probability[box] = 1, mean
    kept = [round(255 * mean) >= 255 * BELIEVED for mean in means]
    for channels in (1, 2):
        found = find_cells(mask, 1, 4, probability[..., :channels])
        assert len(found) == sum(kept)
        places = [found.labels[5, 15 * number + 5] for number in range(len(means))]
        assert places == np.where(kept, np.cumsum(kept), 0).tolist()
    assert len(find_cells(mask, 1, 4)) == len(means)


def test_of_several_classes_each_is_divided_by_its_own_probability():
    mask, peaks = two_bumps()
    mask = np.where(mask > 0, np.uint8(2), np.uint8(1))
    probability = np.stack([np.zeros(mask.shape), 1 - peaks, peaks], -1)
    found = find_cells(mask, 3, 120, probability)
    assert len(found) == 2 and set(np.unique(upper(found.whole, found.labels))) == {1, 2}
    even = np.stack([np.zeros(mask.shape), 1 - peaks, np.full(mask.shape, 0.8)], -1)
    assert len(find_cells(mask, 3, 120, even)) == 1


def test_small_holes_are_filled_and_small_objects_left_out():
    mask = discs((40, 80), (20, 20, 12), (20, 60, 12), (3, 40, 2))
    mask[20, 18:22] = False  # 4 pixels
    mask[15:25, 55:65] = False  # 100
    labels = separate(mask, min_area_px=20, neck=0)
    assert labels.max() == 2 and labels[20, 20] == 1 and labels[20, 60] == 0 and labels[3, 40] == 0
    assert separate(mask, min_area_px=5, neck=0).max() == 3


def test_sizes_of_holes_by_hand():
    mask = np.array([[1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0]], bool)
    expected = np.zeros(mask.shape, int)
    expected[1, 1:3] = 2  # what reaches the border is no hole
    np.testing.assert_array_equal(hole_sizes(mask), expected)


def test_each_nucleus_has_its_cytoplasm():
    mask = np.zeros((9, 24), np.uint8)
    mask[1:8, 1:21] = 1
    mask[3:6, 3:6] = mask[3:6, 15:18] = 2
    mask[4, 23] = 1  # without a nucleus
    found = find_cells(mask, classes=3, min_area_px=4)
    assert len(found) == 2 and found.classes.tolist() == [2, 2]
    np.testing.assert_array_equal(found.labels > 0, mask == 2)
    whole = upper(found.whole, found.labels)
    assert whole[4, 23] == 0 and (whole[:, :21] > 0).sum() == 7 * 20
    assert (whole[3:6, 3:6] == 1).all() and (whole[3:6, 15:18] == 2).all()
    # columns 6 to 14 lie between the nuclei: the one in the middle, 10, may go to either
    assert set(whole[4, 6:10]) == {1} and set(whole[4, 11:15]) == {2}


def test_classes_have_objects_of_their_own():
    mask = np.zeros((10, 30), np.uint8)
    mask[1:9, 1:9], mask[1:9, 9:17], mask[1:9, 20:28] = 1, 3, 1
    found = find_cells(mask, classes=4)
    assert found.classes.tolist() == [1, 1, 3] and found.whole is None
    np.testing.assert_array_equal(found.labels > 0, mask > 0)


def test_an_empty_image_has_no_cells():
    for classes in (1, 3, 4):
        assert len(find_cells(np.zeros((5, 6), np.uint8), classes)) == 0
    assert list(blocks_of([(np.zeros((3, 4), np.uint8),)] * 2)) == []


def test_the_smallest_area_in_pixels_and_micrometres():
    assert smallest_area_px() == MIN_AREA_PX and smallest_area_px(None, 7) == 7
    assert smallest_area_px(0.5) == MIN_AREA_UM2 / 0.25 and smallest_area_px(0.5, 10) == 40


def same_up_to_numbers(one, other):
    pairs = np.unique(np.stack([one[one > 0], other[one > 0]]), axis=1)
    return ((one > 0) == (other > 0)).all() and all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


@settings(max_examples=60)
@given(data=st.data(), classes=st.sampled_from([1, 3, 4]), seed=st.integers(0, 999))
def test_bands_give_the_cells_of_the_whole(data, classes, seed):
    """Random blobs with holes, islands in holes and contacts, cut at random rows."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 70, 2)
    noise = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), rng.uniform(0.8, 3))
    steps = np.linspace(data.draw(st.floats(0.2, 0.8)), 0.95, max(1, classes - 1))
    mask = np.digitize(noise, np.quantile(noise, steps)).astype(np.uint8)
    min_area = data.draw(st.integers(1, 30))
    cuts = sorted(data.draw(st.sets(st.integers(1, int(height) - 1), max_size=12)))
    channels = classes + (classes == 1 and data.draw(st.booleans()))  # with the answer that keeps objects apart
    probability = np.stack([0.3 + 0.7 * cv2.GaussianBlur(noise, (0, 0), 1 + i) for i in range(channels)], -1)
    bands = zip(np.split(mask, cuts), np.split(probability, cuts), strict=True)

    whole = find_cells(mask, classes, min_area, probability, image=probability[..., -1:])
    labels, bodies, count = np.zeros(mask.shape, np.int32), [], 0
    with patch("measuring.cells.TALL_PX", data.draw(st.sampled_from([4, 512]))):
        blocks = list(blocks_of(bands, data.draw(st.sampled_from([min_area, 4096]))))
    for (row, column), block, extra in blocks:
        rows = np.s_[row : row + len(block), column : column + block.shape[1]]
        np.testing.assert_array_equal(extra[block > 0], probability[rows][block > 0])
        found = find_cells(block, classes, min_area, extra, image=extra[..., -1:])
        assert not labels[rows][found.labels > 0].any(), "a cell in two blocks"
        labels[rows][found.labels > 0] = found.labels[found.labels > 0] + count
        bodies += [cell.moved(row, column) for cell in found.whole or ()]
        count += len(found)
    assert count == len(whole) and same_up_to_numbers(labels, whole.labels)
    in_order = [sorted((*cell[:2], cell.pixels.tolist()) for cell in cells) for cells in (bodies, whole.whole or ())]
    assert in_order[0] == in_order[1]


def test_bands_keep_no_more_rows_than_the_tallest_component_needs():
    mask = np.zeros((1000, 20), np.uint8)
    mask[::20, 5:9] = 1
    heights = [len(block) for _, block in blocks_of((band,) for band in np.split(mask, 100))]
    assert sum(heights) >= 50 and max(heights) <= 20


def test_cytoplasm_without_any_nucleus_is_no_cell():
    assert join_cytoplasm(np.zeros((4, 4), np.int32), np.ones((4, 4), bool)) == ()
