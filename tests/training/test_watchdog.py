"""The watchdog: dead networks are found within steps and started again once; healthy ones are left in peace."""

import math

import keras
import numpy as np
import pytest

import model as networks
from predicting.predictor import Predictor
from reading.files import InputError
from reading.images import read_mask, write_png
from tests.helpers import UNTAUGHT, make_folder
from training import callbacks, fitting, train, watchdog
from training.run import Run
from training.settings import Settings

SHORT = UNTAUGHT | {"crop_px": 32, "steps": 25, "epochs": 1}


def dead_network(*_, **__):
    """The classic network with its 2-filter ReLU dead by construction: no input outweighs a bias of −1000."""
    network = networks.classic_unet((32, 32, 1), filters=2)
    network.get_layer("dec1_conv3").bias.assign([-1000.0, -1000.0])
    return network


def with_dead_end(*args, **options):
    """A network whose head sees zeros only."""
    network = networks.unet(*args, **options)
    network.get_layer("dec1_conv2").beta.assign(np.full(4, -1000.0))
    return network


def with_dead_bottleneck(*args, **options):
    """A network that can learn through its first levels, whose deepest level is dead."""
    network = networks.unet(*args, **options)
    network.get_layer("bottleneck_conv2").beta.assign(np.full(16, -1000.0))
    return network


def with_a_head_against(*args, **options):
    """A network that can only lower its first answer, since no feature of its head speaks for foreground."""
    network = networks.unet(*args, **options)
    kernel = network.get_layer("head").kernel
    kernel.assign(-keras.ops.abs(kernel))
    return network


def draw(monkeypatch, maker):
    """Let the next training use this maker of networks, which may ask `networks.unet` for a healthy one."""
    healthy = networks.unet

    def unet(*args, **options):
        with monkeypatch.context() as inner:
            inner.setattr(networks, "unet", healthy)
            return maker(*args, **options)

    monkeypatch.setattr(fitting.networks, "unet", unet)


# ----------------------------------------------------------------------------------------------------- what is measured


def test_vitals_by_hand():
    masks = np.array([1, 1, 0, 0], np.uint8).reshape(1, 2, 2, 1)
    vitals = watchdog.vitals_of(np.array([0.9, 0.7, 0.3, 0.1]).reshape(1, 2, 2, 1), masks)
    # (0.9 + 0.7)/2 − (0.3 + 0.1)/2 = 0.6, for the background's probability just as much
    assert vitals.contrast == pytest.approx(0.6)
    assert vitals.baseline == pytest.approx(math.log(2))
    assert vitals.entropy == pytest.approx(-(2 * math.log(0.9) + 2 * math.log(0.7)) / 4)
    assert not vitals.constant and not vitals.at_baseline


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.8])
def test_always_answering_the_shares_is_constant_and_at_the_baseline(classes, share):
    masks = np.zeros((2, 10, 10, 1), np.uint8)
    masks.reshape(-1)[: int(200 * share)] = 1
    masks[-1, -1, -1] = classes - 1
    shares = np.bincount(masks.ravel(), minlength=max(2, classes))[: max(2, classes)] / masks.size
    answer = shares[1:] if classes == 1 else shares
    vitals = watchdog.vitals_of(np.broadcast_to(answer, (*masks.shape[:3], answer.size)), masks)
    assert vitals.constant and vitals.at_baseline
    assert vitals.contrast == pytest.approx(0) and vitals.entropy == pytest.approx(vitals.baseline)


def test_an_answer_that_is_sure_and_right_but_for_one_pixel_is_not_constant():
    masks = np.zeros((1, 64, 64, 1), np.uint8)
    masks[0, 5, 5] = 1
    assert not watchdog.vitals_of(masks * 0.9, masks).constant


def test_masks_of_one_class_judge_nothing():
    vitals = watchdog.vitals_of(np.full((1, 4, 4, 1), 0.2), np.zeros((1, 4, 4, 1), np.uint8))
    assert math.isnan(vitals.contrast) and not vitals.at_baseline and not vitals.constant


def test_the_untrained_network_is_not_dead_although_it_starts_at_the_share_of_foreground():
    image = np.random.default_rng(0).random((1, 64, 64, 1), "float32")
    mask = np.zeros((1, 64, 64, 1), np.uint8)
    mask[:, :8, :8] = 1
    for normalization in networks.NORMALIZATIONS:
        keras.utils.set_random_seed(0)
        network = networks.unet(prior=0.01, normalization=normalization)
        probe, names = watchdog.make_probe(network)
        with keras.StatelessScope():
            probability, *tops = probe(image, training=True)
        vitals = watchdog.vitals_of(keras.ops.convert_to_numpy(probability), mask)
        assert (
            not vitals.constant
            and len(tops) == len(names) == 18
            and all(float(keras.ops.convert_to_numpy(top)) > 0 for top in tops)
        )
        assert float(np.mean(keras.ops.convert_to_numpy(probability))) < 0.1


def test_a_look_changes_nothing():
    network = networks.unet(filters=2, depth=2, dropout=0.5)
    before = [keras.ops.convert_to_numpy(w).copy() for w in network.variables]
    dog = watchdog.Watchdog(
        np.random.default_rng(0).random((1, 16, 16, 1), "float32"),
        np.eye(16, dtype=np.uint8)[None, ..., None],
        1,
        100,
        int,
        int,
    )
    dog.set_model(network)
    dog.on_train_begin()
    first, again = dog._measure(training=True)[0], dog._measure(training=True)[0]
    assert first == again
    assert all(np.array_equal(keras.ops.convert_to_numpy(w), b) for w, b in zip(network.variables, before, strict=True))


# ------------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize(("classes", "loss"), [(1, "bce"), (1, "dice_bce"), (3, "dice_bce")])
def test_healthy_trainings_are_left_in_peace(tmp_path, classes, loss, capsys):
    folder = make_folder(tmp_path, classes=classes)
    card = train.train(Run(folder, folder / "run", Settings(**UNTAUGHT, classes=classes, loss=loss)))
    assert card["restarts"] == [] and card["watchdog"] == []
    assert "watchdog" not in capsys.readouterr().out


def test_an_epoch_that_ends_long_after_the_last_look_is_left_in_peace(tmp_path):
    folder = make_folder(tmp_path)
    settings = Settings(**UNTAUGHT | {"steps": 135, "batch": 2, "depth": 1})
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["restarts"] == [] and card["watchdog"] == []  # looked at after 100 steps and after 150


def test_little_foreground_is_no_reason_to_bark(tmp_path):
    folder = make_folder(tmp_path, size=128)  # discs of 6 to 10 px radius: about 1 % of the pixels
    card = train.train(Run(folder, folder / "run", Settings(**UNTAUGHT | {"steps": 60, "epochs": 1})), quiet=True)
    assert card["restarts"] == [] and card["watchdog"] == []


@pytest.mark.parametrize("maker", [dead_network, with_dead_end])
def test_a_dead_start_ends_in_one_line_and_leaves_no_grey_model(tmp_path, monkeypatch, maker):
    folder = make_folder(tmp_path)
    draw(monkeypatch, maker)
    says = "came to nothing: after step 20 .*one value to every pixel.*only zeros.*likely.*another seed"
    with pytest.raises(InputError, match=says) as error:
        train.train(Run(folder, folder / "run", Settings(**SHORT)), quiet=True)
    assert "\n" not in str(error.value)
    assert not (folder / "run").exists()


def test_a_dead_layer_is_said(tmp_path, monkeypatch, capsys):
    folder = make_folder(tmp_path)
    draw(monkeypatch, with_dead_bottleneck)
    card = train.train(Run(folder, folder / "run", Settings(**SHORT)))
    assert ["bottleneck_conv2_relu gives only zeros" in line for line in card["watchdog"]] == [True]
    assert card["watchdog"][0] in capsys.readouterr().out


def test_a_huge_learning_rate_ends_in_one_line(tmp_path):
    folder = make_folder(tmp_path)
    settings = Settings(**SHORT | {"learning_rate": 1e30, "normalization": "none"})
    with pytest.raises(InputError, match="came to nothing.*likely a learning rate that is too high"):
        train.train(Run(folder, folder / "run", settings), quiet=True)


def test_a_network_that_breaks_later_leaves_its_best_epoch(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)

    class Poison(callbacks.KeepBest):
        def on_train_batch_end(self, batch, logs=None):
            if self.best_epoch == 2 and batch == 3:
                self.model.get_layer("head").bias.assign([math.nan])

    monkeypatch.setattr(fitting, "KeepBest", Poison)
    settings = Settings(**UNTAUGHT | {"steps": 30, "epochs": 4})
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["best_epoch"] == 2 and card["restarts"] == []
    [line] = card["watchdog"]
    assert "after step 65 the loss is nan" in line and "with the network of epoch 2" in line
    with open(folder / "run" / "history.csv") as file:
        assert len(file.readlines()) == 3  # the head and the two whole epochs
    probability = Predictor(folder / "run" / "model.keras").probability(np.zeros((32, 32, 1), np.uint8))
    assert np.isfinite(probability).all()


def test_a_network_that_breaks_early_in_a_long_training_leaves_its_best_epoch(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)

    class Poison(callbacks.KeepBest):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.get_layer("head").bias.assign([math.nan])

    monkeypatch.setattr(fitting, "KeepBest", Poison)
    settings = Settings(**UNTAUGHT | {"steps": 30, "epochs": 60})  # step 61 is in the first tenth of 1,800
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["best_epoch"] in (1, 2) and "Training ends here" in card["watchdog"][-1]


def test_a_standstill_without_any_foreground_is_said(tmp_path, monkeypatch):
    folder = make_folder(tmp_path, size=128)
    settings = Settings(**UNTAUGHT | {"steps": 60, "epochs": 1, "learning_rate": 1e-3})
    draw(monkeypatch, with_a_head_against)
    monkeypatch.setattr(watchdog, "SHARP", 0)  # else that would be noticed first, in a network as small as this
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    [line] = card["watchdog"]
    assert line.startswith("after step 60 it found no pixel of the foreground in a whole epoch")


def test_a_class_that_was_never_found_is_said(tmp_path):
    folder, rng = make_folder(tmp_path), np.random.default_rng(0)
    for path in (folder / "Train data" / "Masks").iterdir():
        disc = read_mask(path) > 0
        write_png(path, disc + (disc & (rng.random(disc.shape) < 0.05)).astype(np.uint8))  # looks like the rest of it
    settings = Settings(**UNTAUGHT | {"classes": 3, "loss": "bce"})
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["restarts"] == []
    [line] = card["watchdog"]
    assert line.startswith("after step 60 it found no pixel of class 2 in the last epoch; likely a class that is rare")


def test_masks_that_are_not_the_images_leave_the_loss_at_the_baseline(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        for kind, picture in (
            ("Images", rng.integers(0, 256, (48, 48))),
            ("Masks", 255 * (rng.random((48, 48)) < 0.3)),
        ):
            write_png(tmp_path / "Train data" / kind / f"{i}.png", picture.astype(np.uint8))
    settings = Settings(**SHORT | {"steps": 100, "learning_rate": 1e-3})
    card = train.train(Run(tmp_path, tmp_path / "run", settings), quiet=True)
    [line] = card["watchdog"]
    assert "always answering" in line and "do not belong to their images" in line


def test_empty_masks_in_batch_after_batch_are_said(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)
    crop = train.TrainingBatches.crop

    def empty_from_the_fifth_batch_on(self, epoch, index):
        image, mask = crop(self, epoch, index)
        return image, mask * np.uint8(index < 5 * self.batch)

    monkeypatch.setattr(train.TrainingBatches, "crop", empty_from_the_fifth_batch_on)
    card = train.train(Run(folder, folder / "run", Settings(**SHORT | {"steps": 40})), quiet=True)
    assert card["restarts"] == []
    [line] = [line for line in card["watchdog"] if "no foreground" in line]
    assert "after step 40 no foreground in the masks of 35 batches in a row" in line and "--foreground" in line
