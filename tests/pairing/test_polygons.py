"""Polygons of label images: valid, exactly the pixels, whatever the shape."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import MultiPolygon, Polygon

from pairing.outlines import Shape, filled
from pairing.polygons import polygonise

label_images = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 1, 7]))
)


def rasterised(objects, shape):
    labels = np.zeros(shape, np.int32)
    for number, parts in objects.items():
        place, pixels = filled(Shape("", tuple(ring for part in parts for ring in part)), shape)
        labels[place][pixels] = number
    return labels


@settings(max_examples=300)
@given(label_images)
def test_polygons_give_back_the_pixels_and_are_valid(labels):
    objects = polygonise(labels)
    np.testing.assert_array_equal(rasterised(objects, labels.shape), labels)
    for number, parts in objects.items():
        shape = MultiPolygon([(part[0], part[1:]) for part in parts])
        assert shape.is_valid and shape.area == (labels == number).sum()
        for part in parts:
            assert Polygon(part[0]).exterior.is_ccw  # in shapely's eyes, whose y runs upwards: clockwise on a screen
            assert not any(Polygon(hole).exterior.is_ccw for hole in part[1:])


def test_a_pixel_a_hole_and_a_corner_touch_by_hand():
    # 3 × 3 with a hole, and one more pixel that touches it by a corner
    labels = np.array([[5, 5, 5, 0], [5, 0, 5, 0], [5, 5, 5, 0], [0, 0, 0, 5]])
    ((outline, hole), (pixel,)) = polygonise(labels)[5]
    assert {tuple(corner) for corner in outline.tolist()} == {(0, 0), (3, 0), (3, 3), (0, 3)}
    assert {tuple(corner) for corner in hole.tolist()} == {(1, 1), (2, 1), (2, 2), (1, 2)}
    assert {tuple(corner) for corner in pixel.tolist()} == {(3, 3), (4, 3), (4, 4), (3, 4)}


def test_nothing_has_no_outlines():
    assert polygonise(np.zeros((3, 4), int)) == {}
