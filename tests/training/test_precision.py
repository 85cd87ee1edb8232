"""The number format of training: by what the processor can do, and never in a model file."""

import keras
import numpy as np
import pytest

import model as networks
from training import precision
from training.losses import make_loss
from training.precision import FLOAT32, MIXED
from weights.files import in_float32, load, save


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """A function that sets what the processor says of itself; no graphics card."""

    def says(text):
        monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
        (tmp_path / "cpuinfo").write_text(text)

    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [])
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    return says


NEW, OLD = "model name\t: Z80\nflags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n", "flags\t\t: fpu avx2 avx512f\n"


def test_bfloat16_is_taken_where_the_processor_has_instructions_for_it(processor):
    processor(NEW)
    assert precision.fastest() == (MIXED if keras.backend.backend() == "tensorflow" else FLOAT32)
    processor(OLD)
    assert precision.fastest() == FLOAT32
    processor("Features\t: fp asimd\n")  # an ARM processor
    assert precision.fastest() == FLOAT32


def test_where_it_was_not_tried_it_is_float32(processor, monkeypatch, tmp_path):
    processor(NEW)
    with monkeypatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        assert precision.fastest() == FLOAT32
    with monkeypatch.context() as patch:
        patch.setattr(keras.distribution, "list_devices", lambda kind: ["gpu:0"])
        assert precision.fastest() == FLOAT32
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "none")  # another system
    assert precision.fastest() == FLOAT32


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
    drawn = [rng.uniform(0.1, 1, weight.shape) for weight in network.get_weights()]
    # kernels that keep the size of what passes through: otherwise every probability is 0 or 1, and which one is chance
    network.set_weights([
        rng.normal(0, np.sqrt(2 / np.prod(values.shape[:-1])), values.shape) if values.ndim == 4 else values
        for values in drawn
    ])  # fmt: skip
    save(network, tmp_path / "model.keras", {})
    stored, _ = load(tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}
    for here, there in zip(network.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(here, there)
    image = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    # 8 bits of precision, through six convolutions
    np.testing.assert_allclose(network(image), stored(image), atol=0.03)


def test_a_network_in_float32_is_stored_as_it_is():
    network = networks.unet(filters=2, depth=1)
    assert in_float32(network) is network
