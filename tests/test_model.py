"""The U-Net over all its options, the classic network against an independent one, files that must not load."""

import ast
import itertools
import json
import math
import os
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model as networks
from reading.files import InputError
from training import budget
from weights.files import _layer_weights, load, save, transfer
from weights.start import PAP_SMEAR

RNG = np.random.default_rng(0)
HDF5_WANTED = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
MATRIX = list(itertools.product(networks.NORMALIZATIONS, networks.UPSAMPLINGS, (1, 3), (1, 3)))


def images(*shape):
    return RNG.random(shape, "float32")


def predict(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def randomise(model):
    """Weights with which every layer of a network without normalisation counts: no dead ReLU, no bias of zero."""
    for weight in model.trainable_weights:
        fan_in = math.prod(weight.shape[:-1])
        low, high = (0, 2 / fan_in) if len(weight.shape) == 4 else (-0.05, 0.05)
        weight.assign(RNG.uniform(low, high, weight.shape))
    return model


# --- unet -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("normalization", "upsampling", "channels", "classes"), MATRIX)
def test_forward_backward_save_load(normalization, upsampling, channels, classes, tmp_path):
    model = networks.unet(
        channels, classes, filters=2, depth=2, normalization=normalization, upsampling=upsampling, dropout=0.1
    )
    x = images(2, 16, 16, channels)
    y = predict(model, x)
    assert y.shape == (2, 16, 16, classes)
    assert y.dtype == np.float32
    assert y.min() >= 0 and y.max() <= 1
    if classes > 1:
        np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-5)
    assert predict(model, images(1, 20, 8, channels)).shape == (1, 20, 8, classes)

    before = [keras.ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    loss = "binary_crossentropy" if classes == 1 else "categorical_crossentropy"
    truth = np.eye(max(2, classes), classes, dtype="float32")[RNG.integers(0, max(2, classes), (2, 16, 16))]
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=keras.backend.backend() == "tensorflow")
    assert np.isfinite(model.train_on_batch(x, truth))
    changed = [(keras.ops.convert_to_numpy(w) != b).any() for w, b in zip(model.trainable_weights, before, strict=True)]
    assert sum(changed) >= 0.9 * len(changed)  # a dead ReLU of two filters may hold one back

    card = {"classes": classes, "channels": channels, "scale": "größe", "threshold": 0.5}
    save(model, tmp_path / "model.keras", card)
    loaded, loaded_card = load(tmp_path / "model.keras")
    assert loaded_card == card
    assert not loaded.compiled
    np.testing.assert_allclose(predict(loaded, x), predict(model, x), atol=1e-6)


def test_layer_names_are_stable():
    names = [layer.name for layer in networks.unet(filters=2, depth=2, dropout=0.1).layers]

    def block(level):
        return [f"{level}_conv{i}{part}" for i in (1, 2) for part in ("", "_relu")]

    assert names == [
        "image",
        *block("enc1"), "enc1_pool",
        *block("enc2"), "enc2_dropout", "enc2_pool",
        *block("bottleneck"), "bottleneck_dropout",
        "dec2_up_conv", "dec2_concat", *block("dec2"),
        "dec1_up_conv", "dec1_concat", *block("dec1"),
        "head", "probability",
    ]  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_filters_double_and_size_halves_at_each_level(depth):
    model = networks.unet(filters=4, depth=depth)
    assert model.get_layer("bottleneck_conv2").filters == 4 * 2**depth
    for level in range(1, depth + 1):
        for part in ("enc", "dec"):
            assert model.get_layer(f"{part}{level}_conv2").filters == 4 * 2 ** (level - 1)
    bottleneck = keras.Model(model.input, model.get_layer("bottleneck_conv2").output)
    assert predict(bottleneck, images(1, 16, 24, 1)).shape == (1, 16 / 2**depth, 24 / 2**depth, 4 * 2**depth)


def test_the_head_is_linear():
    model = randomise(networks.unet(filters=2, depth=1, normalization="none"))
    head = model.get_layer("head")
    assert head.activation is keras.activations.linear
    assert head.kernel_size == (1, 1)
    assert head.input is model.get_layer("dec1_conv2_relu").output  # the block's own ReLU, with all its filters
    assert model.get_layer("probability").input is head.output
    head.bias.assign([-1.0])
    x = images(1, 8, 8, 1)
    logits = predict(keras.Model(model.input, head.output), x)
    assert logits.min() < 0  # nothing cuts the negative side off
    np.testing.assert_allclose(predict(model, x), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_dropout_only_at_the_deepest_two_levels():
    model = networks.unet(filters=2, depth=3, dropout=0.25)
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.name for layer in dropouts] == ["enc3_dropout", "bottleneck_dropout"]
    assert {layer.rate for layer in dropouts} == {0.25}


def test_half_precision_keeps_the_head_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = networks.unet(filters=2, depth=1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("enc1_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("head").compute_dtype == model.get_layer("probability").compute_dtype == "float32"
    assert predict(model, images(1, 8, 8, 1)).dtype == np.float32


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_half_of_the_features_speak_for_each_class_whatever_the_draw(classes, seed):
    keras.utils.set_random_seed(seed)
    kernel = keras.ops.convert_to_numpy(networks.unet(classes=classes, depth=1).get_layer("head").kernel)[0, 0]
    assert ((kernel > 0).sum(0) == 4).all() and ((kernel < 0).sum(0) == 4).all()


@pytest.mark.parametrize(("classes", "prior"), [(1, 0.07), (3, [0.7, 0.2, 0.1])])
def test_prior_is_what_the_head_starts_from(classes, prior):
    model = networks.unet(classes=classes, filters=2, depth=1, prior=prior)
    np.testing.assert_allclose(predict(model, np.zeros((1, 4, 4, 1)))[0, 0, 0], prior, atol=1e-6)


@pytest.mark.parametrize("filters", [1, 2, 6, 7, 8, 12, 16, 30, 64, 100])
def test_any_filter_count_has_groups(filters):
    groups = networks._groups(filters)
    assert filters % groups == 0
    assert groups == 1 or filters // groups >= 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"classes": -1},
        {"classes": True},
        {"filters": 1.5},
        {"depth": 0},
        {"dropout": 1},
        {"dropout": "much"},
        {"normalization": "instance"},
        {"upsampling": "bicubic"},
        {"prior": 0.0},
        {"prior": [0.5, 0.5]},
        {"classes": 3, "prior": 0.1},
    ],
)
def test_wrong_arguments_are_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match=f"`{list(wrong)[-1]}` must be .*Received: ") as error:
        networks.unet(**wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [((250, 256), "input_shape"), ("256", "input_shape"), ((0, 16, 1), "height"), ((16, 16, 0), "channels")],
)
def test_wrong_shapes_of_the_classic_network_are_refused_in_one_line(wrong, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        networks.classic_unet(wrong, filters=1)


# --- sizes and counts -------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 6))
def test_padded_size_is_the_next_multiple(size, depth):
    padded = networks.padded_size(size, depth)
    assert padded % 2**depth == 0
    assert size <= padded < size + 2**depth
    assert networks.padded_size(padded, depth) == padded
    networks.check_input_size(padded, padded, depth)


def test_a_wrong_size_names_the_right_one():
    with pytest.raises(ValueError, match="250x300 px.*divisible by 16.*256x304 px"):
        networks.check_input_size(250, 300, depth=4)


@pytest.mark.parametrize("method", ["call", "predict", "fit", "loaded"])
def test_a_network_refuses_what_does_not_pass_through_it(method, tmp_path):
    network = networks.unet(3, filters=1, depth=3, normalization="none")
    network.compile("sgd", "mse")
    if method == "loaded":
        save(network, tmp_path / "model.keras", {})
        network, _ = load(tmp_path / "model.keras")
    do = {"predict": lambda x: network.predict(x, verbose=0), "fit": lambda x: network.fit(x, x[..., :1], verbose=0)}
    do = do.get(method, network)
    with pytest.raises(ValueError, match="20x24 px, expected .* divisible by 8 .* 24x24 px") as size:
        do(images(1, 20, 24, 3))
    says = r"shape \((1|None), 24, 24, 1\), expected \(batch, height, width, 3\)"
    with pytest.raises(ValueError, match=says) as channels:
        do(images(1, 24, 24, 1))
    assert not any("\n" in str(error.value) for error in (size, channels))
    if method == "call":
        with pytest.raises(ValueError, match=r"shape \(24, 24, 3\).*image\[numpy.newaxis\]"):
            network(images(24, 24, 3))
        assert network(images(1, 16, 24, 3)).shape == (1, 16, 24, 1)
        assert network(keras.Input((None, None, 3))).shape == (None, None, None, 1)


def test_the_shipped_weights_say_what_size_they_take():
    network, _ = load(PAP_SMEAR)
    with pytest.raises(ValueError, match="250x250 px.* 256x256 px"):
        network(images(1, 250, 250, network.inputs[0].shape[-1]))


# --- fine-tuning ------------------------------------------------------------------------------------------------------


def weights_of(model):
    return {layer.name: [weight.copy() for weight in layer.get_weights()] for layer in model.layers}


def changed(model, before):
    """Names of the layers of which a weight, or a running average, is another than before."""
    pairs = [(layer.name, zip(before[layer.name], layer.get_weights(), strict=True)) for layer in model.layers]
    return {name for name, both in pairs if any((a != b).any() for a, b in both)}


@pytest.mark.parametrize("loaded", [False, True])
def test_frozen_layers_keep_their_running_statistics(loaded, tmp_path):
    model = networks.unet(filters=4, depth=1)
    x, y = images(4, 16, 16, 1), (images(4, 16, 16, 1) > 0.5).astype("float32")
    model.compile("adam", "binary_crossentropy")
    frozen = {layer.name for layer in model.layers[:-9] if layer.weights}
    for layer in model.layers[:-9]:
        layer.trainable = False
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    model.compile("adam", "binary_crossentropy")
    before = weights_of(model)
    model.fit(x, y, batch_size=2, verbose=0)
    model(x, training=True)
    assert {"enc1_conv2", "bottleneck_conv2"} <= frozen
    assert not changed(model, before) & frozen
    assert {"dec1_conv2", "head"} <= changed(model, before)

    for layer in model.layers:  # thawed, the statistics move again
        layer.trainable = True
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, batch_size=2, verbose=0)
    assert {"enc1_conv2", "bottleneck_conv2"} <= changed(model, before)


def test_a_frozen_network_computes_in_training_what_it_predicts():
    model = networks.unet(filters=2, depth=1)
    model.trainable = False
    x = images(2, 16, 16, 1)
    before = weights_of(model)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x, training=True)), predict(model, x))
    assert not changed(model, before)


@pytest.mark.parametrize(("upsampling", "up"), [("nearest", 64 * 4 * 4 * 2), ("transposed", 16 * 4 * 4 * 2)])
def test_multiply_adds_by_hand(upsampling, up):
    model = networks.unet(filters=2, depth=1, upsampling=upsampling)
    encoder = 64 * 9 * (1 * 2 + 2 * 2)  # 8x8 outputs, 3x3 kernels, filters in x out
    bottleneck = 16 * 9 * (2 * 4 + 4 * 4)
    decoder = 64 * 9 * (4 * 2 + 2 * 2) + 64 * 2 * 1
    assert budget.count_multiply_adds(model, 8, 8) == encoder + bottleneck + up + decoder
    assert budget.count_multiply_adds(model, 16, 24) == 6 * (encoder + bottleneck + up + decoder)
    sampled = 64 * 9 * (2 * 2 + 2 * 2) / 8**2  # the first level's statistics, every 8th row and column
    assert budget.count_multiply_adds(model, 8, 8, training=True) == encoder + bottleneck + up + decoder + sampled


# --- the classic network ----------------------------------------------------------------------------------------------


def lineage(keras2, size, channels, width):
    """The old network as old scripts write it, in Keras 2, with Keras' automatic layer names."""
    k = keras2.layers

    def conv(n, kernel, x):
        return k.Conv2D(n, kernel, activation="relu", padding="same", kernel_initializer="he_normal")(x)

    inputs = k.Input((size, size, channels))
    conv1 = conv(width, 3, conv(width, 3, inputs))
    conv2 = conv(2 * width, 3, conv(2 * width, 3, k.MaxPooling2D((2, 2))(conv1)))
    conv3 = conv(4 * width, 3, conv(4 * width, 3, k.MaxPooling2D((2, 2))(conv2)))
    drop4 = k.Dropout(0.5)(conv(8 * width, 3, conv(8 * width, 3, k.MaxPooling2D((2, 2))(conv3))))
    drop5 = k.Dropout(0.5)(conv(16 * width, 3, conv(16 * width, 3, k.MaxPooling2D((2, 2))(drop4))))
    merge6 = k.concatenate([drop4, conv(8 * width, 2, k.UpSampling2D((2, 2))(drop5))], axis=3)
    conv6 = conv(8 * width, 3, conv(8 * width, 3, merge6))
    merge7 = k.concatenate([conv3, conv(4 * width, 2, k.UpSampling2D((2, 2))(conv6))], axis=3)
    conv7 = conv(4 * width, 3, conv(4 * width, 3, merge7))
    merge8 = k.concatenate([conv2, conv(2 * width, 2, k.UpSampling2D((2, 2))(conv7))], axis=3)
    conv8 = conv(2 * width, 3, conv(2 * width, 3, merge8))
    merge9 = k.concatenate([conv1, conv(width, 2, k.UpSampling2D((2, 2))(conv8))], axis=3)
    conv9 = conv(2, 3, conv(width, 3, conv(width, 3, merge9)))
    return keras2.Model(inputs, k.Conv2D(1, 1, activation="sigmoid")(conv9))


def check_lineage(tmp_path, size, channels, width):
    import tf_keras as keras2  # Keras 2, in which networks of the lineage were written

    old = lineage(keras2, size, channels, width)
    for weight in old.trainable_weights:
        if len(weight.shape) == 1:
            weight.assign(RNG.uniform(0, 0.1, weight.shape))  # biases start at 0 and would hide a mistake
    x = images(2, size, size, channels)
    expected = old.predict(x, verbose=0)
    assert np.ptp(expected) > 1e-3  # not the all-grey answer
    old.compile("adam", "binary_crossentropy")
    old.save_weights(tmp_path / "weights.h5")
    old.save(tmp_path / "whole.hdf5")
    for name in ("weights.h5", "whole.hdf5"):
        model, card = load(tmp_path / name)
        np.testing.assert_allclose(predict(model, x), expected, atol=1e-5)
        assert (card["classic"], card["classes"], card["channels"]) == (True, 1, channels)
        assert card["normalisation"] == "divide by 255"
        assert json.loads(json.dumps(card)) == card
        del model


@HDF5_WANTED
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_the_lineage_predict_the_same(channels, tmp_path):
    check_lineage(tmp_path, size=32, channels=channels, width=4)


@HDF5_WANTED
@pytest.mark.slow
def test_weights_of_the_lineage_at_full_width_predict_the_same(tmp_path):
    check_lineage(tmp_path, size=32, channels=1, width=64)


def test_classic_unet_is_the_one_of_old():
    model = networks.classic_unet()
    assert model.count_params() == 31_031_685
    assert model.input_shape == (None, 256, 256, 1)
    assert model.output_shape == (None, 256, 256, 1)
    assert model.get_layer("dec1_conv3").filters == 2
    assert [x.name for x in model.layers if isinstance(x, keras.layers.Dropout)] == [
        "enc4_dropout",
        "bottleneck_dropout",
    ]


@HDF5_WANTED
@pytest.mark.parametrize("name", ["old.weights.h5", "old.h5"])
def test_the_lineage_saved_by_keras_3_loads_too(name, tmp_path):
    old = randomise(networks.classic_unet((16, 32, 3), filters=2))
    (old.save_weights if name == "old.weights.h5" else old.save)(tmp_path / name)
    loaded, _ = load(tmp_path / name)
    x = images(1, 16, 32, 3)
    assert np.ptp(predict(old, x)) > 1e-4
    np.testing.assert_allclose(predict(loaded, x), predict(old, x), atol=1e-6)


def test_layer_names_in_chunks_keep_their_order(tmp_path):
    """Keras splits a long list of names over the attributes layer_names0, layer_names1 ... layer_names10."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        names = [f"conv{i}" for i in range(12)]
        for i, name in enumerate(names):
            file.attrs[f"layer_names{i}"] = [name.encode()]
            file.create_group(name).attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            file[name][f"{name}/kernel:0"] = np.full((1,), i)
        found = _layer_weights(file)
    assert [name for name, _ in found] == names
    assert [int(weights[0][0]) for _, weights in found] == list(range(12))


@HDF5_WANTED
def test_another_architecture_is_refused_in_one_line(tmp_path):
    networks.unet(filters=2, depth=2).save(tmp_path / "other.h5")
    with pytest.raises(InputError, match=r"other.h5 holds \d+ layers with weights, expected the 24") as error:
        load(tmp_path / "other.h5")
    assert "\n" not in str(error.value)

    # as many layers, other shapes: 24 convolutions in a row
    x = inputs = keras.Input((16, 16, 1))
    for _ in range(24):
        x = keras.layers.Conv2D(2, 3, padding="same")(x)
    keras.Model(inputs, x).save_weights(tmp_path / "row.weights.h5")
    says = r"layer conv2d_2 has weights of shape \[\(3, 3, 2, 2\), \(2,\)\], expected \[\(3, 3, 2, 4\), \(4,\)\]"
    with pytest.raises(InputError, match=says) as error:
        load(tmp_path / "row.weights.h5")
    assert "\n" not in str(error.value)


# --- files ------------------------------------------------------------------------------------------------------------


def test_one_file_carries_model_and_card(tmp_path):
    model = randomise(networks.unet(filters=2, depth=1, normalization="none"))
    save(model, tmp_path / "model.keras", {"crop_px": 256})
    assert os.listdir(tmp_path) == ["model.keras"]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("unet_card.json")) == {"crop_px": 256}
    x = images(1, 8, 8, 1)
    plain = keras.saving.load_model(tmp_path / "model.keras")  # Keras alone reads it as well
    np.testing.assert_allclose(predict(plain, x), predict(model, x), atol=1e-6)


def test_a_strangers_file_has_an_empty_card(tmp_path):
    networks.unet(filters=2, depth=1).save(tmp_path / "model.keras")
    model, card = load(str(tmp_path / "model.keras"))
    assert model.output_shape == (None, None, None, 1)
    assert card == {}


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = networks.unet(filters=2, depth=1)
    save(model, tmp_path / "model.keras", {"epoch": 1})
    old = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(TypeError):
        save(model, tmp_path / "model.keras", {"epoch": object()})

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("weights.files.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save(model, tmp_path / "model.keras", {"epoch": 2})
    assert os.listdir(tmp_path) == ["model.keras"]
    assert (tmp_path / "model.keras").read_bytes() == old


def test_files_that_cannot_load_say_so_in_one_line(tmp_path):
    save(networks.unet(filters=2, depth=1), tmp_path / "good.keras", {})
    good = (tmp_path / "good.keras").read_bytes()
    networks.classic_unet((None, None, 1), filters=1).save_weights(tmp_path / "good.weights.h5")
    weights = (tmp_path / "good.weights.h5").read_bytes()
    with h5py.File(tmp_path / "names.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]  # and no such group
    for name, content in {
        "half.keras": good[: len(good) // 2],
        "text.keras": b"a model",
        "empty.keras": b"",
        "half.h5": weights[: len(weights) // 2],
        "text.hdf5": b"weights",
        "model.pt": good,
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("half.keras", "text.keras", "empty.keras", "half.h5", "text.hdf5", "model.pt", "names.h5"):
        with pytest.raises(InputError, match=re.escape(name)) as error:
            load(tmp_path / name)
        assert "\n" not in str(error.value)
    for missing in (tmp_path / "none.keras", tmp_path / "none.h5", tmp_path):
        with pytest.raises(InputError, match="no model file"):
            load(missing)
    with pytest.raises(InputError, match=r"end in \.keras"):
        save(networks.unet(filters=1, depth=1), tmp_path / "model.h5", {})


def test_code_in_a_file_is_not_run(tmp_path):
    inputs = keras.Input((None, None, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "code.keras")
    with pytest.raises(InputError, match="code.keras cannot be read") as error:
        load(tmp_path / "code.keras")
    assert "\n" not in str(error.value)


# --- the source -------------------------------------------------------------------------------------------------------


def test_model_code_names_no_backend():
    with open(networks.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= {
        "convolutions",
        "h5py",
        "images",
        "json",
        "keras",
        "math",
        "numbers",
        "numpy",
        "os",
        "pathlib",
        "zipfile",
    }


# --- starting from trained weights ------------------------------------------------------------------------------------


def trained(channels=1, classes=1, **options):
    """A small network whose every weight is drawn at random, running statistics too."""
    network, rng = networks.unet(channels, classes, filters=2, depth=1, **options), np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 1, w.shape).astype("float32") for w in network.get_weights()])
    return network


def test_a_network_of_the_same_kind_becomes_the_same():
    source, target = trained(), networks.unet(1, 1, filters=2, depth=1)
    assert transfer(source, target) == []
    image = np.random.default_rng(1).random((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(target(image), source(image))


def test_a_grey_network_sees_a_grey_picture_stored_in_colour_alike():
    source, target = trained(), networks.unet(3, 1, filters=2, depth=1)
    assert transfer(source, target) == []
    image = np.random.default_rng(1).random((1, 8, 8, 1), "float32")
    np.testing.assert_allclose(target(np.repeat(image, 3, -1)), source(image), atol=1e-5)
    back = networks.unet(1, 1, filters=2, depth=1)
    transfer(target, back)
    np.testing.assert_allclose(back(image), source(image), atol=1e-5)


def test_normalisation_that_the_target_lacks_is_multiplied_in():
    source, target = trained(), networks.unet(1, 1, filters=2, depth=1, normalization="none")
    assert transfer(source, target) == []
    image = np.random.default_rng(1).random((1, 8, 8, 1), "float32")
    np.testing.assert_allclose(target(image), source(image, training=False), atol=1e-6)


def test_a_head_for_other_classes_keeps_its_start():
    source, target = trained(), networks.unet(1, 3, filters=2, depth=1, prior=[0.8, 0.1, 0.1])
    before = [w.copy() for w in target.get_layer("head").get_weights()]
    assert transfer(source, target) == ["head"]
    for now, then in zip(target.get_layer("head").get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(target.get_layer("enc1_conv2").kernel, source.get_layer("enc1_conv2").kernel)


@pytest.mark.parametrize("other", [{"filters": 4, "depth": 1}, {"filters": 2, "depth": 2}])
def test_weights_of_another_network_are_refused(other):
    with pytest.raises(InputError, match="do not fit: layer"):
        transfer(trained(), networks.unet(1, 1, **other))
