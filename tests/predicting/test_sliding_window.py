"""Tiles must equal the whole: no pixel is lost, none is counted twice, no edge shows."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import model as networks
from model import UpsampledConv2D
from predicting.predictor import Predictor
from predicting.sliding_window import (
    GRID_PX,
    OVERLAP_PX,
    WINDOW_PX,
    Layout,
    average_flips,
    predict_bands,
    predict_in_windows,
    window_starts,
    window_weights,
)
from weights.files import save
from weights.start import PAP_SMEAR

NOTHING = np.zeros(2, np.float32)


def receptive_reach(model):
    """Pixels, in rows or columns, by which another pixel may be away and still decide about one.

    Each layer is asked for its `kernel_size`, `pool_size`, `strides` and `size`, whatever its type; a layer without
    them passes on pixel by pixel. A normalisation over the image, such as GroupNormalization, reaches everywhere, which
    is not counted. Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.
    """
    reach, step = {}, {}  # by tensor: the way to the image, and how many pixels of the image lie between two values
    for tensor in model.inputs:
        reach[id(tensor)], step[id(tensor)] = 0, 1
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        far, gap = max(reach[id(x)] for x in inputs), max(step[id(x)] for x in inputs)
        window = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1, 1)))[0]
        stride = getattr(layer, "strides", (1, 1))[0]
        if isinstance(layer, UpsampledConv2D):
            gap //= 2
            far += 2 * gap  # one by the upsampling, one by the kernel of 2
        elif isinstance(layer, layers.Conv2DTranspose) or hasattr(layer, "size"):
            gap //= stride if hasattr(layer, "kernel_size") else layer.size[0]
            far += gap * (window - 1 if hasattr(layer, "kernel_size") else layer.size[0] - 1)
        else:
            far += gap * ((window - 1) if stride > 1 else window // 2)
            gap *= stride
        reach[id(layer.output)], step[id(layer.output)] = far, gap
    return reach[id(model.outputs[0])]


@given(length=st.integers(1, 20000), overlap=st.integers(0, 20), more=st.integers(0, 40))
def test_windows_cover_overlap_and_keep_to_the_pooling_grid(length, overlap, more):
    window, overlap = (3 * overlap + more + 1) * GRID_PX, overlap * GRID_PX
    starts, size = window_starts(length, window, overlap)
    assert size <= window and size % GRID_PX == 0 and all(start % GRID_PX == 0 for start in starts)
    assert starts[0] == 0 and length <= starts[-1] + size < length + GRID_PX * len(starts)
    assert starts[-1] < length
    assert {b - a for a, b in zip(starts, starts[1:], strict=False)} <= {size - overlap}
    assert len(starts) == 1 or size >= 2 * overlap  # no pixel in three windows
    assert len(starts) == 1 or (len(starts) - 1) * (window - overlap) + overlap < length  # fewer would not do


def test_a_deeper_network_predicts_images_of_several_windows(tmp_path):
    path = tmp_path / "model.keras"
    save(networks.unet(filters=1, depth=5), path, {"depth": 5})
    image = np.random.default_rng(0).integers(0, 256, (1040, 70, 1), np.uint8)  # windows of 624 px do not halve 5 times
    assert Predictor(path).probability(image).shape == (1040, 70, 1)


def test_weights_sum_to_one_and_leave_out_the_edges():
    weights = window_weights(3, 600, OVERLAP_PX)
    total = np.zeros(2 * (600 - OVERLAP_PX) + 600)
    for number, line in enumerate(weights):
        total[number * (600 - OVERLAP_PX) :][:600] += line
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (weights[1, :80] == 0).all() and (weights[1, -80:] == 0).all() and np.abs(np.diff(weights[1])).max() < 0.06


@settings(max_examples=40)
@given(height=st.integers(1, 150), width=st.integers(1, 150), overlap=st.sampled_from([0, 16]))
def test_cutting_and_blending_is_the_identity(height, width, overlap):
    image = np.random.default_rng(height * 151 + width).random((height, width, 2)).astype(np.float32)
    result = predict_in_windows(lambda tiles: tiles, image, NOTHING, Layout(48, overlap, smallest=32))
    np.testing.assert_allclose(result, image, atol=1e-6)


def test_bands_may_start_anywhere_and_skip_background():
    image = np.random.default_rng(0).random((300, 200, 2)).astype(np.float32)

    def read(row, column, height, width):
        return image[row : row + height, column : column + width] if column else None

    def bands(first):
        return list(predict_bands(lambda x: x, read, 300, 200, NOTHING + 7, Layout(96, 32), first))

    every = bands(0)
    assert len(every) > 3
    whole = np.concatenate([band for _, band in every])
    np.testing.assert_allclose(whole[:, -60:], image[:, -60:], atol=1e-6)
    np.testing.assert_allclose(whole[:, :60], 7, atol=1e-5)
    for first in range(1, len(every)):
        for (row, band), (again, other) in zip(every[first:], bands(first), strict=True):
            assert row == again
            np.testing.assert_array_equal(band, other)


def test_an_error_while_reading_is_raised():
    def read(*_):
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        next(predict_bands(None, read, 10, 10, NOTHING, Layout()))


@pytest.fixture(scope="module")
def shipped():
    return Predictor(PAP_SMEAR)


def test_a_pixel_is_decided_by_no_other_beyond_the_reach():
    network = networks.unet(filters=2, depth=2, normalization="none")
    reach = receptive_reach(network)
    # two 3×3 layers at 1, 2, 4, 2 and 1 px: 2 + 4 + 8 + 4 + 2; pooling 1 + 2, upsampling 2 + 1, its 2×2 layers 2 + 1
    assert reach == 29
    for weights in network.weights:
        weights.assign(np.abs(weights))  # no ReLU hides anything
    logits = keras.Model(network.input, network.get_layer("head").output)
    image = np.full((1, 96, 96, 1), 0.5, np.float32)
    touched = image.copy()
    touched[0, 48, 48] = 1
    change = np.abs(logits.predict_on_batch(touched) - logits.predict_on_batch(image))[0, ..., 0] > 0
    rows = np.flatnonzero(change.any(1))
    assert 20 <= max(48 - rows[0], rows[-1] - 48) <= reach


def test_neighbours_share_what_the_default_network_needs():
    assert receptive_reach(networks.unet()) == 137
    assert WINDOW_PX >= 3 * OVERLAP_PX


@pytest.mark.parametrize("kind", ["constant", "periodic"])
def test_no_seams(shipped, kind):
    rows, columns = np.mgrid[:608, :640]  # two windows of 400 and of 416 fill it without padding
    image = np.full((608, 640, 1), 0.7, np.float32)
    if kind == "periodic":  # dark discs every 48 px
        image[(rows % 48 - 24) ** 2 + (columns % 48 - 24) ** 2 < 60] = 0.1
    whole = predict_in_windows(shipped.predict_window, image, shipped.background, Layout())
    assert (whole.max() > 0.5) == (kind == "periodic")
    np.testing.assert_allclose(
        predict_in_windows(shipped.predict_window, image, shipped.background, Layout(576)), whole, atol=1e-3
    )


def test_flips_are_averaged_where_they_belong():
    tiles = np.random.default_rng(0).random((2, 8, 6, 1)).astype(np.float32)
    np.testing.assert_allclose(average_flips(lambda x: x)(tiles), tiles, atol=1e-6)
    ramp = np.arange(6, dtype=np.float32).reshape(1, 1, 6, 1)
    np.testing.assert_allclose(average_flips(lambda x: x + ramp)(tiles), tiles + 2.5, atol=1e-6)  # mean of 0 … 5
