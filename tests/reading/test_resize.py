"""Single cells are scaled to fill a tile, fields are not; resampling invents no class."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reading.resize import choose_fit, fitted_size, resize


def test_single_cell_crops_are_fitted_and_fields_are_not():
    assert choose_fit([(43, 41), (200, 180), (300, 100)], 256)
    assert not choose_fit([(1024, 1024), (43, 41)], 256)
    assert not choose_fit([(256, 256)], 256)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_fitted_size_fills_the_tile(height, width):
    fitted = fitted_size(height, width, 256)
    assert max(fitted) == 256 and min(fitted) >= 1
    assert abs(fitted[0] * width - fitted[1] * height) <= 0.5 * max(height, width) or min(fitted) == 1


@given(data=st.data())
def test_resizing_a_mask_invents_no_class(data):
    size, new = (data.draw(st.tuples(st.integers(1, 50), st.integers(1, 50))) for _ in range(2))
    mask = np.random.default_rng(0).choice([0, 2, 5], size).astype(np.uint8)
    resized = resize(mask, *new, nearest=True)
    assert resized.shape == new and set(np.unique(resized)) <= {0, 2, 5}
