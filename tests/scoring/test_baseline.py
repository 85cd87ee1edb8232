"""Otsu's threshold as a baseline: scikit-image's threshold, either side, any bit depth."""

import numpy as np
import pytest

from reading.intensity import intensity_range, normalise
from scoring.baseline import foreground_is_dark, otsu_mask


def discs(dark, seed=0):
    """A noisy image with one bright or dark disc: (image, mask)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :80]
    mask = (np.hypot(rows - 30, columns - 40) < 15).astype(np.uint8)
    image = 120 + (-60.0 if dark else 60.0) * mask + rng.normal(0, 5, mask.shape)
    return image.astype(np.uint8)[..., np.newaxis], mask


@pytest.mark.parametrize("dark", [True, False])
def test_it_finds_a_disc_on_its_side(dark):
    image, mask = discs(dark)
    nothing = np.zeros_like(mask, bool)
    assert foreground_is_dark([(image, mask, nothing), (*discs(dark, seed=1), nothing)]) == dark
    turned, wrong = 255 - image, nothing.copy()
    wrong[:, 40:] = True
    half = np.where(wrong[..., np.newaxis], turned, image)  # what is ignored does not decide
    assert foreground_is_dark([(half, mask, wrong)]) == dark
    np.testing.assert_array_equal(otsu_mask(image, dark), mask)
    np.testing.assert_array_equal(otsu_mask(image, not dark), 1 - mask)


def test_the_threshold_is_scikit_image_s():
    from skimage.filters import threshold_otsu

    image = np.random.default_rng(0).normal(100, 30, (64, 64, 1)).clip(0, 255).astype(np.uint8)
    grey = np.rint(normalise(image, *intensity_range(image)) * 255).astype(np.uint8)[..., 0]
    np.testing.assert_array_equal(otsu_mask(image, dark=False), grey > threshold_otsu(grey))


def test_bit_depth_and_colour_change_nothing():
    image, mask = discs(dark=True)
    np.testing.assert_array_equal(otsu_mask(image.astype(np.uint16) * 16, dark=True), mask)
    np.testing.assert_array_equal(otsu_mask(np.repeat(image, 3, axis=2), dark=True), mask)


@pytest.mark.parametrize("dark", [True, False])
def test_an_image_of_one_value_holds_nothing(dark):
    assert not otsu_mask(np.full((5, 6, 1), 77, np.uint8), dark).any()
