"""A picture of another magnification is the same in parts as in one piece, and its probabilities come back to size."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading.resize import Rescaled


def smooth(height, width, seed=0):
    image = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width), np.float32), (0, 0), 4)
    return ((image - image.min()) / (image.max() - image.min()))[..., np.newaxis]


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1 / 16, 0.4, 1.3, 2, 5]), st.integers(5, 60))
@settings(max_examples=40)
def test_bands_come_back_as_the_whole_does(height, width, scale, band):
    image = np.random.default_rng(0).random((height, width, 2), np.float32)
    frame = Rescaled(height, width, scale)
    seen = frame.reader(lambda row, column, tall, wide: image[row : row + tall, column : column + wide])
    tall, wide = frame.seen_height, frame.seen_width
    whole = seen(0, 0, tall, wide)
    np.testing.assert_allclose(seen(tall // 2, 0, tall - tall // 2, wide), whole[tall // 2 :], atol=1e-4)
    rows = list(range(0, tall, max(band, 40)))
    bands = [(row, whole[row : row + max(band, 40)]) for row in rows]
    ((_, at_once),) = frame.back([(0, whole)], [0])
    assert at_once.shape == image.shape
    for first in range(len(rows)):
        parts = list(frame.back(bands[max(0, first - 1) :], rows, first))
        assert [row for row, _ in parts] == frame.starts(rows)[first:]
        np.testing.assert_allclose(np.concatenate([part for _, part in parts]), at_once[parts[0][0] :], atol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.4, 2.0])
def test_there_and_back_is_nearly_the_same_in_the_same_place(scale):
    image = smooth(121, 83)
    frame = Rescaled(121, 83, scale)
    seen = frame.reader(lambda row, column, tall, wide: image[row : row + tall, column : column + wide])
    ((_, back),) = frame.back([(0, seen(0, 0, frame.seen_height, frame.seen_width))], [0])
    assert np.abs(back - image).max() < 0.02
