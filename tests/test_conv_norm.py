"""The layer against Keras' own convolution and batch normalisation."""

import keras
import numpy as np
import pytest

from conv_norm import EPSILON, MOMENTUM, NormalizedConv2D

RNG = np.random.default_rng(0)


def image(*shape):
    return RNG.normal(1, 2, shape).astype("float32")


def pair(sampling=1, shape=(16, 16, 3), filters=4):
    """The layer, and Keras' two layers with the same weights, as models."""
    ours = keras.Sequential([keras.Input(shape), NormalizedConv2D(filters, 3, sampling, padding="same")])
    theirs = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON),
        ]
    )
    kernel, *vectors = ours.get_weights()
    weights = [kernel, *(RNG.uniform(0.5, 2, v.shape).astype("float32") for v in vectors)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("sampling", [1, 2, 8])
def test_predicts_like_convolution_and_batch_normalisation(sampling):
    ours, theirs = pair(sampling)
    x = image(2, 16, 16, 3)
    np.testing.assert_allclose(numpy_of(ours(x)), numpy_of(theirs(x)), rtol=1e-4, atol=1e-4)


def test_trains_like_convolution_and_batch_normalisation():
    ours, theirs = pair()
    x, y = image(2, 16, 16, 3), image(2, 16, 16, 4)
    for model in (ours, theirs):
        model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
        for _ in range(3):
            model.train_on_batch(x, y)
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(numpy_of(one), numpy_of(other), rtol=1e-3, atol=1e-4, err_msg=one.path)


@pytest.mark.parametrize("sampling", [2, 4])
def test_statistics_are_those_of_every_nth_row_and_column(sampling):
    """Rows and columns between are never looked at: with statistics of theirs alone the answer would be another."""
    ours, _ = pair(sampling, shape=(None, None, 3))
    layer = ours.layers[0]
    x = image(2, 32, 24, 3)
    plain = numpy_of(keras.ops.conv(x, layer.kernel, padding="same"))
    strided = numpy_of(keras.ops.conv(x, layer.kernel, strides=sampling, padding="same"))
    assert strided.shape == (2, 32 / sampling, 24 / sampling, 4)
    mean, variance = strided.mean((0, 1, 2)), strided.var((0, 1, 2))
    before = [v.copy() for v in ours.get_weights()]
    expected = (plain - mean) / np.sqrt(variance + EPSILON) * before[1] + before[2]
    np.testing.assert_allclose(numpy_of(ours(x, training=True)), expected, rtol=1e-3, atol=1e-3)
    after = ours.get_weights()
    np.testing.assert_allclose(after[3], MOMENTUM * before[3] + (1 - MOMENTUM) * mean, rtol=1e-4)
    np.testing.assert_allclose(after[4], MOMENTUM * before[4] + (1 - MOMENTUM) * variance, rtol=1e-4)


def test_a_sample_stands_for_the_whole():
    """On noise without structure the statistics of one position in 16 are those of all, but for chance."""
    ours, theirs = pair(4, shape=(None, None, 1))
    x = image(4, 128, 128, 1)
    np.testing.assert_allclose(numpy_of(ours(x, training=True)), numpy_of(theirs(x, training=True)), atol=0.35)


def test_survives_saving(tmp_path):
    ours, _ = pair(4)
    ours.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    assert loaded.layers[0].sampling == 4
    x = image(1, 16, 16, 3)
    np.testing.assert_array_equal(numpy_of(loaded(x)), numpy_of(ours(x)))


def test_half_precision_keeps_the_statistics_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = NormalizedConv2D(4, 3, 2, padding="same")
        output = layer(image(1, 16, 16, 3), training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(v.dtype) for v in layer.weights} == {"float32"}
