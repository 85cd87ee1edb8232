"""Grey values become network input by one rule, which stretches what is there, and nothing that is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from reading import intensity

ROWS, COLUMNS = np.mgrid[:300, :400]
SMALL = 2**10


def field(level=210.0, noise=1.5, discs=(), depth=120, seed=0, shape=(300, 400)):
    """A field of float64 (height, width, 1): a level with noise, and dark discs (row, column, radius)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = level + np.random.default_rng(seed).normal(0, noise, shape)
    for row, column, radius in discs:
        image[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] -= depth
    return image[..., np.newaxis]


def stored(image, dtype=np.uint8, factor=1):
    return (image.clip(0, 255).round() * factor).astype(dtype)


def seen(image, dark=True):
    return intensity.normalise(image, *intensity.intensity_range(image, dark=dark))


MANY = [(row, column, 12) for row in range(30, 300, 60) for column in range(30, 400, 60)]
DEPTHS = {"8-bit": (np.uint8, 1), "16-bit": (np.uint16, 257), "dark 12-in-16-bit": (np.uint16, 16),
          "upper 12 of 16 bits": (np.uint16, 256), "float": (np.float32, 1 / 255)}  # fmt: skip


@pytest.mark.parametrize("discs", [MANY, MANY[:1], ()], ids=["many cells", "one", "none"])
@pytest.mark.parametrize("noise", [0.0, 1.5, 8.0])
@pytest.mark.parametrize("dark", [True, False, None])
def test_one_specimen_is_one_network_input_at_any_bit_depth(discs, noise, dark):
    scene = stored(field(noise=noise, discs=discs)).astype(float)
    inputs = [seen(stored(scene, *kind), dark) for kind in DEPTHS.values()]
    for other in inputs[1:]:
        np.testing.assert_allclose(other, inputs[0], atol=1e-4)


@given(
    st_numpy.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3)),
        elements=st.integers(0, 255),
    )
)
def test_the_span_is_that_of_numpys_percentiles_or_the_least_or_more(image):
    low, high = np.percentile(image, (0.1, 99.9), axis=(0, 1))
    spread = intensity.spread_of(image)
    enough = high - low >= spread.least
    np.testing.assert_allclose(np.array(spread.low)[enough], low[enough], rtol=1e-6)
    np.testing.assert_allclose(np.array(spread.high)[enough], high[enough], rtol=1e-6)
    for dark in (True, False, None):
        found = intensity.to_range(spread, dark)
        assert (found[1] - found[0] >= np.maximum(high - low, spread.least) * (1 - 1e-5)).all()
        assert np.isfinite(intensity.normalise(image, *found)).all()


def test_cells_that_cover_percents_are_stretched_between_percentiles():
    image = stored(field(discs=MANY))
    spread = intensity.spread_of(image)
    assert spread.has_contrast()
    np.testing.assert_allclose([spread.low, spread.high], np.percentile(image, (0.1, 99.9), axis=(0, 1)))
    assert seen(image).min() == 0 and seen(image).max() == 1


SHADED = field() - 20 * ((ROWS / 150 - 1) ** 2 + (COLUMNS / 200 - 1) ** 2)[..., np.newaxis] / 2
EMPTY = {
    "white": field(255, 0), "grey": field(99, 0), "two values": field(200, 0) + (field(0, 1) > 0.5),
    "dark, two values": field(0, 0) + (field(0, 1) > 0.5), "noise": field(noise=3), "much noise": field(noise=8),
    "dark noise": field(2, 1.4), "shading": SHADED,
}  # fmt: skip


@pytest.mark.parametrize("kind", DEPTHS)
@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_field_is_not_stretched(name, kind):
    """It looks like the ground beside cells: near white where cells are dark, near black where they are bright."""
    image = stored(EMPTY[name], *DEPTHS[kind])
    assert not intensity.spread_of(image).has_contrast()
    dark, bright = seen(image, dark=True), seen(image, dark=False)
    assert dark.std() < 0.12 and np.allclose(dark.std(), bright.std(), atol=1e-3)
    assert np.median(dark) > 0.65 and np.median(bright) < 0.35


@pytest.mark.parametrize("cell", [-1, 1], ids=["dark", "bright"])
@pytest.mark.parametrize("noise", [0.5, 3.0, 8.0])
def test_one_small_nucleus_in_megapixels_is_seen_in_full(cell, noise):
    shape, bare = (2000, 2500), 128.0
    image = stored(field(bare, noise, [(700, 901, 6)], -90 * cell, shape=shape))
    spread, (low, high) = intensity.spread_of(image), intensity.intensity_range(image, dark=cell < 0)
    assert spread.has_contrast()
    ground, nucleus = (
        intensity.normalise(np.full((1, 1, 1), bare + part), low, high).item() for part in (0, 90 * cell)
    )
    assert abs(ground - nucleus) > 0.7


def test_hot_pixels_decide_nothing():
    image = field(noise=3)
    hot = image.copy()
    hot.reshape(-1)[:: 120000 // 60] = 255
    found, clean = (intensity.intensity_range(stored(given)) for given in (hot, image))
    np.testing.assert_allclose(found, clean, atol=1)


def test_bright_dirt_does_not_hide_what_is_beside_it():
    image = 300 + np.random.default_rng(0).normal(0, 10, (600, 600, 1))
    image[50:54, 50:54] = 60000
    image[300:312, 300:312] += 150
    assert np.ptp(seen(image.round().astype(np.uint16), dark=False)[290:320, 290:320]) > 0.2


def test_a_tile_of_colour_is_normalised_as_its_field_also_in_grey():
    rng = np.random.default_rng(0)
    colour = stored(field(discs=MANY) * [0.9, 0.6, 0.8]) + rng.integers(0, 2, (300, 400, 3), np.uint8)
    known = intensity.spread_of(colour)
    grey = intensity.to_channels(colour, 1)
    np.testing.assert_allclose(intensity.intensity_range(grey, known), intensity.intensity_range(grey), atol=2)
    for found, expected in zip(intensity.intensity_range(colour[:50, :50], known[:2]), known, strict=False):
        np.testing.assert_allclose(found, expected)  # tables of earlier versions: no floor


def test_noise_is_measured_between_edges():
    for noise in (0.0, 2.0, 6.0):
        image = field(noise=noise, discs=MANY) + ROWS[..., np.newaxis] / 10
        found = intensity.noise_of(*intensity.sampled(image, 1))
        assert found == pytest.approx(noise, rel=0.1, abs=0.1)
