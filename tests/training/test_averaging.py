"""A trained network and the one it started from: their mean, and which of them a run keeps."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import model
from tests.helpers import SMALL, make_folder
from training import averaging, run_card, train
from training.run import Run
from training.settings import Settings
from weights.files import load


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs in one folder: `start`, and on from it, of one seed, `alone` (as trained) and `mean`; the cards of these."""
    folder = make_folder(tmp_path_factory.mktemp("data"))
    train.train(Run(folder, folder / "start", Settings(**SMALL | {"steps": 10, "epochs": 1})), quiet=True)
    cards = {}
    for name, answer in (("alone", False), ("mean", True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(averaging, "is_better", lambda *_, answer=answer: answer)
            cards[name] = train.train(Run(folder, folder / name, on_from_start(folder)), quiet=True)
    return folder, cards


def on_from_start(folder):
    return Settings(**SMALL | {"steps": 4}, init=str(folder / "start"))


def weights(path):
    return load(path / "model.keras")[0].get_weights()


class Batches:
    """Noise of a known mean in place of pictures."""

    def __getitem__(self, index):
        noise = np.random.default_rng([self.epoch, index]).normal(0.5, 0.2, (4, 32, 32, 1))
        return noise.astype(np.float32), np.zeros((4, 32, 32, 1), np.uint8)


def by_layer(network):
    return {layer.name: layer.get_weights() for layer in network.layers}


def network(seed, normalization="batch"):
    keras.utils.set_random_seed(seed)
    return model.unet(filters=4, depth=2, normalization=normalization)


def test_the_mean_of_two_networks_without_normalisation_is_that_of_their_weights():
    one, other = (network(seed, "none") for seed in (0, 1))
    expected = [(a + b) / 2 for a, b in zip(one.get_weights(), other.get_weights(), strict=True)]
    averaging.take_mean(one, by_layer(other), Batches())
    for found, mean in zip(one.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, mean)


def test_layers_that_the_start_lacked_keep_what_they_learnt():
    one, other = (network(seed, "none") for seed in (0, 1))
    learnt, start = one.get_layer("head").get_weights(), by_layer(other)
    del start["head"]
    averaging.take_mean(one, start, Batches())
    for found, before in zip(one.get_layer("head").get_weights(), learnt, strict=True):
        np.testing.assert_array_equal(found, before)
    averaged = one.get_layer("bottleneck_conv1").get_weights()[0]
    assert not np.array_equal(averaged, network(0, "none").get_layer("bottleneck_conv1").get_weights()[0])


def test_the_mean_of_two_networks_sees_pictures_as_it_did_in_training():
    """With the mean of the statistics too, it would answer otherwise."""
    one, other = (network(seed) for seed in (0, 1))
    batches = Batches()
    batches.epoch = 7  # of a training that has come far
    averaging.take_mean(one, by_layer(other), batches)
    assert batches.epoch == 7
    again = network(0)
    averaging.take_mean(again, by_layer(other), Batches())
    for found, same in zip(one.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(found, same)
    layer = one.get_layer("enc1_conv2")
    images = np.concatenate([batches[index][0] for index in range(8)])
    before = keras.Model(one.input, one.get_layer("enc1_conv1_relu").output)(images)
    found = keras.ops.convert_to_numpy(layer.convolution_op(before, layer.kernel))
    of_batches = 1 - model.MOMENTUM**averaging.BATCHES  # the rest is of the averaged ones, 0 and 1 here
    mean, variance = of_batches * found.mean((0, 1, 2)), of_batches * found.var((0, 1, 2)) + (1 - of_batches)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=0.25 * found.std())
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=0.25)


@pytest.mark.parametrize(
    ("trained", "mean", "validated", "kept"),
    [(0.8, 0.81, True, True), (0.8, 0.79, True, False), (0.8, 0.76, False, True), (0.8, 0.74, False, False)],
)
def test_which_one_is_better(trained, mean, validated, kept):
    assert averaging.is_better(trained, mean, validated) == kept


def test_a_run_keeps_the_mean_or_what_was_trained(runs):
    folder, cards = runs
    assert not cards["alone"]["mean_with_start"]["kept"] and cards["mean"]["mean_with_start"]["kept"]
    start, alone, mean = (load(folder / name / "model.keras")[0] for name in ("start", "alone", "mean"))
    for layer in mean.layers:  # all that is learnt; statistics are found anew
        for found, one, other in zip(
            *(network.get_layer(layer.name).trainable_weights for network in (mean, start, alone)), strict=True
        ):
            np.testing.assert_allclose(found, (one + other) / 2, atol=1e-6)


def test_both_are_compared_on_what_was_held_out(runs):
    folder, cards = runs
    compared = cards["mean"]["mean_with_start"]
    assert compared | {"kept": False} == cards["alone"]["mean_with_start"] and compared["validated"]
    for name, of in (("alone", "trained"), ("mean", "mean")):
        assert cards[name]["scores"]["val_dice"] == pytest.approx(compared[of], abs=1e-4)
        scores = json.loads((folder / name / "scores.json").read_text())
        assert scores["dice"] == pytest.approx(compared[of], abs=1e-4)


def test_a_run_from_nothing_has_no_start_to_be_compared_with(runs):
    folder, _ = runs
    _, metadata = load(folder / "start" / "model.keras")
    assert "val_loss" in metadata["scores"] and "mean_with_start" not in metadata


def test_where_nothing_is_held_out_both_are_compared_on_what_was_learnt(runs, tmp_path, capsys):
    folder, _ = runs
    settings = replace(on_from_start(folder), validation_share=0, epochs=1)
    card = train.train(Run(folder, tmp_path / "run", settings))
    compared = card["mean_with_start"]
    assert not compared["validated"] and compared["kept"] == (compared["mean"] >= compared["trained"] - 0.05)
    assert ("kept: the mean of the trained weights" in capsys.readouterr().out) == compared["kept"]


@pytest.mark.parametrize("when", ["between two epochs", "on its last lines"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(runs, tmp_path, monkeypatch, when):
    folder, cards = runs
    monkeypatch.setattr(averaging, "is_better", lambda *_: True)

    def stop(*_):
        raise KeyboardInterrupt

    late = when == "on its last lines"
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: stop() if epoch and not late else None)
    run = Run(folder, tmp_path / "run", on_from_start(folder))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if late:
            patch.setattr(run_card, "write_history", stop)
        train.train(run, quiet=True, callbacks=[callback])
    card = train.train(replace(run, resume=True), quiet=True)
    assert card["mean_with_start"] == cards["mean"]["mean_with_start"] and card["scores"] == cards["mean"]["scores"]
    ends = weights(folder / "mean"), weights(tmp_path / "run")
    assert all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))
