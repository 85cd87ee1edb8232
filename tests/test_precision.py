"""The number format of training: chosen by what is faster, and never in a model file."""

import keras
import numpy as np
import pytest

import model as networks
import precision
from losses import make_loss
from precision import FLOAT32, MIXED


@pytest.fixture
def seconds(monkeypatch):
    """A function that sets the seconds of a convolution, by format."""

    def set_seconds(**by_dtype):
        def measured(dtype):
            if by_dtype[dtype] is None:
                raise RuntimeError("no such convolution here")
            return by_dtype[dtype]

        monkeypatch.setattr(precision, "_seconds", measured)
        precision.fastest.cache_clear()

    yield set_seconds
    precision.fastest.cache_clear()


def test_bfloat16_is_taken_only_where_it_is_clearly_faster(seconds):
    seconds(float32=2.0, bfloat16=1.0)
    assert precision.fastest() == MIXED
    seconds(float32=1.1, bfloat16=1.0)
    assert precision.fastest() == FLOAT32
    seconds(float32=1.0, bfloat16=4.0)
    assert precision.fastest() == FLOAT32


def test_where_bfloat16_cannot_be_computed_it_is_float32(seconds):
    seconds(float32=1.0, bfloat16=None)
    assert precision.fastest() == FLOAT32


def test_the_choice_is_measured():
    assert precision.fastest() in (FLOAT32, MIXED)
    assert 0 < precision._seconds("float32") < 10


def test_layers_compute_in_what_was_chosen_and_others_in_what_they_did():
    with precision.layers_in(MIXED):
        within = networks.unet(filters=2, depth=1)
    after = networks.unet(filters=2, depth=1)
    assert within.get_layer("enc1_conv1").compute_dtype == "bfloat16"
    assert within.get_layer("enc1_conv1").variable_dtype == "float32"
    assert within.get_layer("head").compute_dtype == within.get_layer("probability").compute_dtype == "float32"
    assert {layer.compute_dtype for layer in after.layers} == {"float32"}


def test_an_error_within_leaves_the_format_as_it_was():
    with pytest.raises(KeyError), precision.layers_in(MIXED):
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"


def test_a_file_holds_a_float32_network_with_the_same_weights(tmp_path):
    with precision.layers_in(MIXED):
        network = networks.unet(3, 3, filters=2, depth=2, dropout=0.2)
    network.compile("adam", make_loss("bce", 3))
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in network.get_weights()])
    networks.save(network, tmp_path / "model.keras", {})
    stored, _ = networks.load(tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}
    for here, there in zip(network.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(here, there)
    image = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    # 8 bits of precision, through six convolutions
    np.testing.assert_allclose(network(image), stored(image), atol=0.03)


def test_a_network_in_float32_is_stored_as_it_is():
    network = networks.unet(filters=2, depth=1)
    assert networks.in_float32(network) is network
