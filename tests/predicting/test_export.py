"""The export computes what Keras computes, stands for its own model alone, and whatever is wrong with it is no loss."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import main
import model as networks
from predicting import engine
from predicting.export import LARGEST_DIFFERENCE, export_onnx
from predicting.onnx_graph import make_graph
from predicting.predictor import Predictor
from predicting.quantize import quantize
from preparing.sample import write_sample
from reading import images
from reading.files import InputError, sha256
from weights.files import save
from weights.start import PAP_SMEAR

ROOT = Path(engine.__file__).parents[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model file with its export beside it."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    network = networks.unet(3, 3, filters=2, depth=2)
    save(network, path, {"classes": 3, "channels": 3, "crop_px": 32, "threshold": 0.4})
    assert export_onnx(path, path.with_suffix(".onnx")) <= LARGEST_DIFFERENCE
    return path


def test_the_export_predicts_what_keras_predicts(exported):
    image = np.random.default_rng(0).integers(0, 256, (70, 45, 3), np.uint8)
    by_keras, card = engine._open_keras(exported)
    by_onnx, copy = engine.open_network(exported.with_suffix(".onnx"))
    assert card == copy
    tiles = image[np.newaxis, :64, :32] / np.float32(255)
    np.testing.assert_allclose(by_onnx(tiles), by_keras(tiles), atol=1e-5)
    first, second = (Predictor(exported.with_suffix(suffix)) for suffix in (".keras", ".onnx"))
    assert first.metadata == second.metadata and second.threshold == 0.4
    np.testing.assert_array_equal(first.probability(image), second.probability(image))  # one and the same engine


def scramble(network, rng):
    """Random weights in every place, the statistics of normalisation among them.

    Kernels are drawn so that values stay of one size from layer to layer: logits of hundreds have no digits to compare.
    """
    for weight in network.weights:
        size = np.sqrt(2 / np.prod(weight.shape[:-1])) if len(weight.shape) == 4 else 0.2
        drawn = rng.uniform(0.5, 2, weight.shape) if "variance" in weight.path else rng.normal(0, size, weight.shape)
        weight.assign(drawn.astype("float32"))


def assert_same(network, image):
    session = onnxruntime.InferenceSession(make_graph(network).SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probability"], {"image": image})
    expected = keras.ops.convert_to_numpy(network(image))  # one by one: to compile each network takes far longer
    np.testing.assert_allclose(found, expected, atol=1e-4)


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 3]),
    classes=st.integers(1, 4),
    filters=st.sampled_from([1, 2, 8, 12]),  # up to 8 the columns are packed in pairs
    depth=st.integers(1, 3),
    normalization=st.sampled_from(networks.NORMALIZATIONS),
    upsampling=st.sampled_from(networks.UPSAMPLINGS),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    apart=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_network_gives_the_same_by_onnx(seed, channels, classes, filters, depth, rows, columns, apart, **kinds):
    rng = np.random.default_rng(seed)
    network = networks.unet(channels, classes, filters=filters, depth=depth, dropout=0.5, **kinds)
    network = networks.with_apart(network) if apart and classes == 1 else network
    scramble(network, rng)
    assert_same(network, rng.random((2, rows * 2**depth, columns * 2**depth, channels), np.float32))
    keras.utils.clear_session()


def test_the_classic_network_gives_the_same_by_onnx():
    rng = np.random.default_rng(0)
    network = networks.classic_unet((None, None, 3), filters=4)
    scramble(network, rng)
    assert_same(network, rng.random((1, 32, 48, 3), np.float32))


@pytest.mark.parametrize(
    "layer, said",
    [
        (keras.layers.LayerNormalization(name="mine"), r"layer mine \(LayerNormalization\)"),
        (keras.layers.Conv2D(1, 3, strides=2, padding="same", name="mine"), r"layer mine \(Conv2D\)"),
        (keras.layers.Conv2D(1, 1, activation="tanh", name="mine"), "layer mine has the activation tanh"),
        (keras.layers.ReLU(name="mine"), "does not end in a sigmoid or softmax"),
    ],
)
def test_a_network_of_other_layers_is_refused_in_one_line(layer, said, tmp_path):
    given = keras.Input((None, None, 1))
    path = tmp_path / "model.keras"
    save(keras.Model(given, layer(given)), path, {})
    with pytest.raises(InputError, match=said) as error:
        export_onnx(path, tmp_path / "model.onnx")
    assert "\n" not in str(error.value) and not (tmp_path / "model.onnx").exists()


def shared_layer(given):
    layer = keras.layers.Conv2D(1, 1, activation="sigmoid", name="mine")
    return keras.layers.Concatenate()([layer(given), layer(given)])


STRANGERS = {
    "two outputs": lambda given: [keras.layers.ReLU()(given), keras.layers.ReLU()(given)],
    "a layer used twice": shared_layer,
    "no scale": lambda given: keras.layers.GroupNormalization(1, scale=False)(given),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_strangers_network_is_refused_in_one_line(kind, tmp_path):
    given = keras.Input((None, None, 2))
    save(keras.Model(given, STRANGERS[kind](given), name="unet"), tmp_path / "model.keras", {"classes": 1})
    with pytest.raises(InputError, match="cannot be written as ONNX|expected one of each") as error:
        export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx")
    assert "\n" not in str(error.value) and not (tmp_path / "model.onnx").exists()


def strange_blocks(given):
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(given)
    x = keras.layers.LeakyReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.SeparableConv2D(4, 3, padding="same", activation="elu")(x)
    x = keras.layers.Add()([x, keras.layers.DepthwiseConv2D(3, padding="same")(x)])
    x = keras.layers.Conv2DTranspose(4, 4, strides=4, padding="same")(x)
    return keras.layers.Softmax()(keras.layers.Conv2D(3, 1)(x))


FOREIGN = {
    "a model in it": lambda given: keras.Sequential([keras.layers.Conv2D(1, 1, activation="sigmoid")])(given),
    "no bias": lambda given: keras.layers.Conv2DTranspose(1, 2, 2, use_bias=False, activation="sigmoid")(given),
    "many layers": strange_blocks,
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("shape", [(None, None, 2), (48, 80, 2)])
def test_other_layers_are_written_by_keras(kind, shape, tmp_path):
    path, given = tmp_path / "model.keras", keras.Input(shape)
    network = keras.Model(given, FOREIGN[kind](given))
    scramble(network, np.random.default_rng(0))
    save(network, path, {"threshold": 0.3})
    assert export_onnx(path, path.with_suffix(".onnx")) < 1e-5
    image = np.random.default_rng(1).random((3, 48, 80, 2), np.float32)
    predict, metadata = engine.open_network(path.with_suffix(".onnx"))
    np.testing.assert_allclose(predict(image), network.predict_on_batch(image), atol=1e-5)
    assert metadata == {"classes": network.output_shape[-1], "channels": 2, "threshold": 0.3}
    session = onnxruntime.InferenceSession(path.with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    assert [end.name for end in (*session.get_inputs(), *session.get_outputs())] == ["image", "probability"]


UNWRITABLE = {  # and what stands in the way
    "no Erfc in tf2onnx": lambda given: keras.layers.Conv2D(2, 3, padding="same", activation="gelu")(given),
    "a compiled function in Keras": lambda given: keras.layers.Conv2D(2, 3, padding="same", groups=2)(given),
    "no bilinear of unknown size in Keras": lambda given: keras.layers.UpSampling2D(interpolation="bilinear")(given),
}


@pytest.mark.parametrize("reason", UNWRITABLE)
def test_what_keras_cannot_write_either_is_one_line(reason, tmp_path, capfd):
    given = keras.Input((None, None, 2))
    save(keras.Model(given, keras.layers.Softmax()(UNWRITABLE[reason](given))), tmp_path / "model.keras", {})
    with pytest.raises(InputError, match="cannot be written as ONNX.*Keras' own export: ") as error:
        export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx")
    assert "\n" not in str(error.value) and not (tmp_path / "model.onnx").exists()
    assert "not supported" not in "".join(capfd.readouterr())


def test_what_onnx_runtime_refuses_is_one_line(exported, tmp_path, monkeypatch):
    def refuse(path):
        raise InputError("a temporary file") from RuntimeError("negative\npads")

    monkeypatch.setattr("predicting.export.engine.open_network", refuse)
    with pytest.raises(InputError, match=r"model.keras: ONNX Runtime refuses .*\(negative pads\)"):
        export_onnx(exported, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_without_tf2onnx_its_name_is_said(tmp_path, monkeypatch):
    from keras.src.utils.module_utils import tf2onnx

    monkeypatch.setattr(tf2onnx, "module", None)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    given = keras.Input((None, None, 2))
    save(keras.Model(given, FOREIGN["no bias"](given)), tmp_path / "model.keras", {})
    with pytest.raises(InputError, match="cannot be written as ONNX.*pip install tf2onnx"):
        export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx")


@pytest.mark.parametrize("metadata", [{}, {"depth": 6}])
def test_a_deep_network_is_written_and_predicts(metadata, tmp_path):
    """Also one that says nothing of its depth, as one that was made without this program's training."""
    path = tmp_path / "model.keras"
    save(networks.unet(filters=1, depth=6), path, metadata | {"crop_px": 64})
    image = np.random.default_rng(0).integers(0, 256, (70, 300, 1), np.uint8)
    by_keras = Predictor(path).probability(image)
    assert export_onnx(path, path.with_suffix(".onnx")) < 1e-4
    np.testing.assert_allclose(Predictor(path.with_suffix(".onnx")).probability(image), by_keras, atol=1e-4)


def test_windows_of_a_very_deep_network_start_on_its_grid(tmp_path):
    path = tmp_path / "model.keras"
    save(networks.unet(filters=1, depth=7), path, {})
    layout = Predictor(path).layout
    starts, size = layout.starts(3000)
    assert len(starts) > 2 and all(n % 128 == 0 for n in (*starts, size, layout.overlap))


def test_a_network_of_fixed_size_is_written(tmp_path):
    save(networks.classic_unet((48, 80, 1), filters=1), tmp_path / "model.keras", {})
    assert export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx") < 1e-4


def test_a_sequential_network_is_written(tmp_path):
    layers = [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3, padding="same", activation="softmax")]
    save(keras.Sequential(layers), tmp_path / "model.keras", {})
    assert export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx") < 1e-5


def test_a_group_normalised_network_of_the_usual_size_is_written(tmp_path):
    keras.utils.set_random_seed(0)
    save(networks.unet(normalization="group"), tmp_path / "model.keras", {})
    assert export_onnx(tmp_path / "model.keras", tmp_path / "model.onnx") < 2e-3


def test_an_export_without_numbers_is_refused(exported, tmp_path, monkeypatch):
    nowhere = (lambda tiles: np.full((*tiles.shape[:3], 3), np.nan, np.float32)), {}
    monkeypatch.setattr("predicting.export.engine.open_network", lambda path: nowhere)
    with pytest.raises(InputError, match="differ by up to nan"):
        export_onnx(exported, tmp_path / "a.onnx")


def test_an_export_is_not_exported_again(exported, tmp_path):
    with pytest.raises(InputError, match="is an export already"):
        export_onnx(exported.with_suffix(".onnx"), tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def sample_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, test=(1, 1), size=512)
    return folder


def test_eight_bits_predict_nearly_the_same(sample_data, tmp_path):
    exact, small = PAP_SMEAR.with_suffix(".onnx"), tmp_path / "small.onnx"
    found = quantize(exact, small, sample_data)
    assert small.stat().st_size < exact.stat().st_size / 3
    assert (
        found.images == 8
        and found.kind == "other"
        and found.exact_dice > 0.85
        and abs(found.dice - found.exact_dice) < 0.01
    )
    image = images.read(sorted((sample_data / "Test data" / "Images").iterdir())[0])
    first, second = Predictor(exact), Predictor(small)
    assert first.metadata == second.metadata
    difference = np.abs(first.probability(image) - second.probability(image))
    assert 0 < difference.max() < 0.5 and difference.mean() < 0.005
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_eight_bits_of_a_small_model_by_the_command_line(exported, tmp_path, capsys):
    masks = tmp_path / "Train data" / "Masks"
    rng = np.random.default_rng(0)
    for stem in ("a", "b"):
        images.write_png(masks.with_name("Images") / f"{stem}.png", rng.integers(0, 256, (20, 70, 3), np.uint8))
        images.write_png(masks / f"{stem}.png", rng.integers(0, 3, (20, 70), np.uint8))
    path = tmp_path / "model.keras"
    path.write_bytes(exported.read_bytes())
    assert main.main(["export", "--model", str(path), "--format", "int8", "--data", str(tmp_path)]) == 0
    assert re.search(r"model_int8.onnx written: Dice 0\.\d+ where .* \(2 other images\)", capsys.readouterr().out)
    assert Predictor(tmp_path / "model_int8.onnx").classes == 3


def test_eight_bits_without_images_are_one_line(exported, tmp_path):
    with pytest.raises(InputError, match="Train data"):
        quantize(exported.with_suffix(".onnx"), tmp_path / "a.onnx", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_export_of_another_model_is_not_used(exported, tmp_path):
    path = tmp_path / "model.keras"
    save(networks.unet(1, 1, filters=2, depth=2), path, {})
    path.with_suffix(".onnx").write_bytes(exported.with_suffix(".onnx").read_bytes())
    assert engine.open_network(path)[1]["channels"] == 1
    path.with_suffix(".onnx").write_bytes(b"torn")
    assert engine.open_network(path)[1]["channels"] == 1
    with pytest.raises(InputError, match=r"model\.onnx cannot be read") as error:
        engine.open_network(path.with_suffix(".onnx"))
    assert "\n" not in str(error.value)


def test_an_export_that_differs_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("predicting.export.LARGEST_DIFFERENCE", -1)
    with pytest.raises(InputError, match="differ by up to"):
        export_onnx(exported, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_the_shipped_weights_predict_without_keras():
    assert engine._open_onnx(PAP_SMEAR.with_suffix(".onnx"), sha256(PAP_SMEAR))
    code = f"import sys; from predicting.predictor import Predictor; Predictor({str(PAP_SMEAR)!r})"
    check = "; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code + check], cwd=ROOT, env={"PATH": ""}).returncode == 0
