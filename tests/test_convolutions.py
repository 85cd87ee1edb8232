"""The layers against Keras' own convolution, batch normalisation and upsampling."""

import keras
import numpy as np
import pytest

from model import EPSILON, MOMENTUM, NormalizedConv2D, UpsampledConv2D

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


@pytest.mark.parametrize(
    ("sampling", "size"), [(2, (32, 24)), (4, (32, 24)), (8, (32, 24)), (4, (30, 21)), (4, (3, 5))]
)
def test_statistics_are_those_of_every_nth_row_and_column(sampling, size):
    """Rows and columns between are never looked at: with statistics of theirs alone the answer would be another."""
    ours, _ = pair(sampling, shape=(None, None, 3))
    layer = ours.layers[0]
    x = image(2, *size, 3)
    plain = numpy_of(keras.ops.conv(x, layer.kernel, padding="same"))
    strided = numpy_of(keras.ops.conv(x, layer.kernel, strides=sampling, padding="same"))
    assert strided.shape == (2, *(-(-n // sampling) for n in size), 4)
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


@pytest.mark.parametrize("size", [(8, 8), (5, 3), (1, 1)])
def test_upsampled_convolution_is_upsampling_and_convolution(size):
    ours = keras.Sequential([keras.Input((None, None, 3)), UpsampledConv2D(4)])
    theirs = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.UpSampling2D(2, interpolation="nearest"),
            keras.layers.Conv2D(4, 2, padding="same"),
        ]
    )
    weights = [RNG.normal(size=w.shape).astype("float32") for w in theirs.get_weights()]
    x, y = image(2, *size, 3), image(2, 2 * size[0], 2 * size[1], 4)
    assert ours.output_shape == theirs.output_shape and ours.count_params() == theirs.count_params()
    for model in (ours, theirs):
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
        for _ in range(3):
            model.train_on_batch(x, y)
    np.testing.assert_allclose(numpy_of(ours(x)), numpy_of(theirs(x)), rtol=1e-4, atol=1e-4)
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(numpy_of(one), numpy_of(other), rtol=1e-4, atol=1e-5, err_msg=one.path)


def test_upsampled_convolution_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), UpsampledConv2D(4)])
    model.save(tmp_path / "layer.keras")
    x = image(1, 6, 4, 3)
    np.testing.assert_array_equal(numpy_of(keras.saving.load_model(tmp_path / "layer.keras")(x)), numpy_of(model(x)))
