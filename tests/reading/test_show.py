"""Pictures for people have the colours of the specimen."""

import numpy as np
import pytest

from reading.show import display, overlay

VIOLET = np.array([150, 90, 190])


def smear(shape=(80, 90)):
    """Violet cells on a pale ground with a little noise: float64 (height, width, 3)."""
    image = np.full((*shape, 3), (228.0, 222.0, 232.0))
    image[20:50, 30:60] = VIOLET
    return image + np.random.default_rng(0).normal(0, 1, image.shape)


def test_eight_bits_are_shown_as_they_are():
    for image in (smear(), smear()[..., :1]):
        stored = image.round().astype(np.uint8)
        np.testing.assert_array_equal(display(stored), stored)


@pytest.mark.parametrize("dtype, factor", [(np.uint8, 0.2), (np.uint16, 16), (np.uint16, 257), (np.float32, 1 / 255)])
def test_other_exposures_keep_the_order_and_nearly_the_share_of_the_colours(dtype, factor):
    shown = display((smear() * factor).round(6).astype(dtype))
    assert shown.dtype == np.uint8 and shown.max() >= 250
    red, green, blue = shown[22:48, 32:58].mean((0, 1))
    assert green < red < blue
    pale = shown[:15].mean((0, 1))
    assert pale.min() > 225 and np.ptp(pale) < 20  # no channel is stretched by itself


@pytest.mark.parametrize("white", [255, 4095, 65535, 1.0, 230])
def test_the_overlay_of_an_empty_bright_field_is_white_and_of_a_dark_one_black(white):
    dtype = np.float32 if white == 1.0 else np.uint8 if white <= 255 else np.uint16
    for channels in (1, 3):
        field = np.full((40, 50, channels), white, dtype)
        assert overlay(field, np.zeros((40, 50))).min() >= (230 if white == 230 else 255)
        assert overlay(field * 0, np.zeros((40, 50))).max() == 0


def test_noise_in_a_dark_field_is_not_stretched_to_white():
    noise = np.random.default_rng(0).poisson(2, (200, 200, 1))
    for stored in (noise.astype(np.uint8), noise.astype(np.uint16)):
        assert np.median(display(stored)) < 60
