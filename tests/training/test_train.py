"""Training on small made-up folders: it learns, it repeats, it keeps the best, it leaves a whole run folder."""

import csv
import io
import json
import re
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from tqdm import tqdm

from data import IGNORED, MERGED, SEAM
from pairing.objects import components, seams
from predicting.predictor import Predictor
from reading.files import InputError
from reading.images import read, write_png
from scoring import calibration
from scoring.metrics import confusion_counts, scores_from_counts
from tests.helpers import QUICK, UNTAUGHT, make_folder, process_state
from training import callbacks, losses, precision, run_card, train
from training.precision import MIXED
from training.run import Run
from training.settings import LOSSES, Settings
from weights.files import load


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("data"))
    card = train.train(Run(folder, folder / "run", Settings(**UNTAUGHT)), quiet=True)
    return folder, card


def test_it_learns_discs(trained):
    folder, card = trained
    assert card["scores"]["val_dice"] > 0.9
    predictor = Predictor(folder / "run" / "model.keras")
    image = np.full((64, 64, 1), 200, np.uint8)
    image[20:36, 24:40] = 130
    mask = predictor.mask(predictor.probability(image))
    assert mask[28, 32] == 1 and mask[4:10, 4:10].sum() == 0


def test_the_run_folder_holds_what_the_contract_names(trained):
    folder, card = trained
    assert {"model.keras", "settings.json", "history.csv", "scores.json"} == {
        path.name for path in (folder / "run").iterdir()
    }
    assert json.loads((folder / "run" / "settings.json").read_text()) == json.loads(json.dumps(card))
    with open(folder / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"val_dice", "val_iou", "val_accuracy", "dice", "iou", "accuracy", "loss"} <= set(rows[0])
    assert float(rows[card["best_epoch"] - 1]["val_dice"]) == max(float(row["val_dice"]) for row in rows)


def test_the_run_s_scores_are_those_of_its_best_epoch(trained):
    folder, card = trained
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores["threshold"] == 0.5  # one image is held out; on this threshold Keras counts, too
    assert scores["dice"] == pytest.approx(card["scores"]["val_dice"], abs=1e-5)
    assert scores["accuracy"] == pytest.approx(card["scores"]["val_accuracy"], abs=1e-5)
    assert sorted(image["name"] for image in scores["images"]) == sorted(card["validation"])
    assert scores["baseline"]["dice"] == 0


def test_the_threshold_chosen_on_validation_is_the_model_s(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "best_threshold", lambda counts: 0.37)
    folder = make_folder(tmp_path)
    card = train.train(Run(folder, folder / "run", Settings(**QUICK)), quiet=True)
    scores = json.loads((folder / "run" / "scores.json").read_text())
    stored = json.loads((folder / "run" / "settings.json").read_text())
    predictor = Predictor(folder / "run" / "model.keras")
    assert scores["threshold"] == card["threshold"] == stored["threshold"] == predictor.threshold == 0.37
    assert predictor.metadata["dark_foreground"] is card["dark_foreground"] is True  # the discs of `make_folder`


def test_a_training_in_bfloat16_leaves_a_float32_model(tmp_path):
    if precision.fastest() != MIXED:
        pytest.skip("this machine has no fast bfloat16")
    folder = make_folder(tmp_path)
    settings = Settings(**UNTAUGHT | {"epochs": 1, "precision": "auto"})
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["settings"]["precision"] == MIXED and card["finished"]
    stored, _ = load(folder / "run" / "model.keras")
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores["dice"] == pytest.approx(card["scores"]["val_dice"], abs=0.03)  # 8 bits of precision


def test_no_group_is_trained_on_and_validated_on(trained):
    _, card = trained
    assert card["training"] and card["validation"] and not set(card["training"]) & set(card["validation"])


def test_one_seed_gives_one_result_and_another_seed_another(tmp_path):
    folder = make_folder(tmp_path)

    def weights(name, seed):
        before = process_state()
        train.train(Run(folder, folder / name, Settings(**QUICK, seed=seed)), quiet=True)
        assert process_state() == before
        return load(folder / name / "model.keras")[0].get_weights()

    first, again, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert any(not np.array_equal(x, y) for x, y in zip(first, other, strict=True))


def test_three_classes_in_colour(tmp_path):
    folder = make_folder(tmp_path, classes=3, colour=True)
    settings = Settings(**UNTAUGHT | {"epochs": 3}, classes=3, loss="dice_bce")
    card = train.train(Run(folder, folder / "run", settings), quiet=True)
    assert card["channels"] == 3 and card["scores"]["val_dice"] > 0.7


def test_a_single_image_trains_without_validation(tmp_path):
    folder = make_folder(tmp_path, count=1)
    card = train.train(Run(folder, folder / "run", Settings(**QUICK | {"epochs": 2})), quiet=True)
    assert card["validation"] == [] and card["best_epoch"] == 2 and card["threshold"] == 0.5


def test_an_existing_run_is_never_overwritten(trained):
    folder, _ = trained
    before = (folder / "run" / "model.keras").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        train.train(Run(folder, folder / "run", Settings(**UNTAUGHT)), quiet=True)
    assert (folder / "run" / "model.keras").read_bytes() == before


def test_a_training_that_was_stopped_in_its_first_epoch_goes_on_from_its_start(tmp_path, monkeypatch):
    folder, settings = make_folder(tmp_path), Settings(**QUICK)
    monkeypatch.setattr(callbacks.KeepBest, "on_epoch_end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train.train(Run(folder, folder / "run", settings), quiet=True)
    monkeypatch.undo()
    with pytest.raises(InputError, match="--resume --run run"):
        train.train(Run(folder, folder / "run", settings), quiet=True)
    assert train.train(Run(folder, folder / "run", settings, resume=True), quiet=True)["best_epoch"] == 1


def test_wrong_data_leave_no_run_folder(tmp_path):
    with pytest.raises(InputError):
        train.train(Run(tmp_path, tmp_path / "run", Settings(**UNTAUGHT)), quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("classes", [1, 3])
def test_metrics_count_as_metrics_py_does(classes):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, max(2, classes), (2, 8, 9, 1)).astype(np.uint8)
    probability = rng.dirichlet(np.ones(classes), (2, 8, 9)) if classes > 1 else rng.random((2, 8, 9, 1))
    weight = np.ones((2, 8, 9), np.float32)
    weight[1, 5:] = 0  # padding
    dice = losses.Dice(classes)
    iou, accuracy = losses.IoU(dice), losses.Accuracy(dice)
    for i in range(2):  # in two batches: counts add up
        for metric in (accuracy, dice, iou):
            metric.update_state(truth[i : i + 1], probability[i : i + 1].astype(np.float32), weight[i : i + 1])
    predicted = probability.argmax(-1) if classes > 1 else (probability[..., 0] >= 0.5).astype(int)
    counts = sum(confusion_counts(truth[i, :rows, :, 0], predicted[i, :rows], classes) for i, rows in ((0, 8), (1, 5)))
    expected = [scores_from_counts(row) for row in counts]
    assert float(dice.result()) == pytest.approx(np.mean([s["dice"] for s in expected]), abs=1e-6)
    assert float(iou.result()) == pytest.approx(np.mean([s["iou"] for s in expected]), abs=1e-6)
    right = np.concatenate([truth[0, :8, :, 0] == predicted[0], truth[1, :5, :, 0] == predicted[1, :5]])
    assert float(accuracy.result()) == pytest.approx(right.mean(), abs=1e-6)
    dice.reset_state()
    assert float(dice.result()) == float(iou.result()) == 1  # nothing to find and nothing found
    dice.update_state(truth, probability.astype(np.float32))  # without weights, all pixels count
    right = truth[..., 0] == predicted
    assert float(accuracy.result()) == pytest.approx(right.mean(), abs=1e-6)


def squares(truth, probability):
    return keras.ops.square(truth - probability)


KERAS_LOSSES = [
    "dice", "binary_focal_crossentropy", keras.losses.Tversky(alpha=0.3, beta=0.7), keras.losses.dice,
    keras.losses.SparseCategoricalCrossentropy(), squares,
]  # fmt: skip


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(
    "loss", [*LOSSES, *KERAS_LOSSES], ids=lambda loss: losses.loss_name(loss) + "_" * callable(loss)
)
def test_ignored_pixels_have_no_part_in_loss_and_metrics(loss, classes):
    if classes == 1 and "Sparse" in losses.loss_name(loss):
        return
    rng = np.random.default_rng(0)
    truth = rng.integers(0, max(2, classes), (1, 8, 8, 1)).astype(np.uint8)
    probability = rng.dirichlet(np.ones(3), (1, 8, 8)) if classes > 1 else rng.random((1, 8, 8, 1))
    probability, known = probability.astype(np.float32), rng.random((8, 8)) < 0.4
    masked = np.where(known[None, ..., None], truth, np.uint8(IGNORED))
    alone = truth[:, known][:, None], probability[:, known][:, None]  # the known pixels as an image of their own
    found = ops.mean(losses.make_loss(loss, classes, ignoring=True)(masked, probability))
    assert float(found) == pytest.approx(float(ops.mean(losses.make_loss(loss, classes)(*alone))), rel=1e-5)
    whole = [losses.make_loss(loss, classes, ignoring)(truth, probability) for ignoring in (False, True)]
    np.testing.assert_allclose(*map(ops.convert_to_numpy, whole), rtol=1e-6)  # nothing ignored
    dice, other = losses.Dice(classes, ignoring=True), losses.Dice(classes)
    dice.update_state(masked, probability, np.ones((1, 8, 8), np.float32))
    other.update_state(*alone)
    for metric in (losses.Dice.result, losses.Dice.share_right):
        assert float(metric(dice)) == pytest.approx(float(metric(other)))
    nothing = losses.make_loss(loss, classes, ignoring=True)(np.full_like(truth, IGNORED), probability)
    assert not ops.convert_to_numpy(nothing).any()


def test_soft_dice_by_hand():
    truth = np.array([1, 1, 0, 0], np.float32).reshape(1, 2, 2, 1)
    probability = np.array([1, 0.5, 0.5, 0], np.float32).reshape(1, 2, 2, 1)
    # both = 1.5, sums = 2 and 2: 1 − (3 + 1) / (4 + 1)
    assert float(losses.soft_dice_loss(truth, probability)) == pytest.approx(0.2)
    assert float(losses.soft_dice_loss(truth * 0, probability * 0)) == pytest.approx(0)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_a_right_answer_costs_less_than_a_wrong_one(name, classes):
    truth = np.array([[[[0], [1]], [[1], [0]]]], np.uint8)
    sure = np.where(truth == 1, 0.98, 0.02).astype(np.float32)
    if classes > 1:
        sure = np.concatenate([1 - sure - 0.01, sure, np.full_like(sure, 0.01)], -1)
    loss = losses.make_loss(name, classes)
    wrong = sure[:, ::-1]
    assert float(ops.mean(loss(truth, sure))) < 0.3 < float(ops.mean(loss(truth, wrong)))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("loss", KERAS_LOSSES, ids=lambda loss: losses.loss_name(loss) + "_" * callable(loss))
def test_losses_of_keras_and_of_one_s_own(loss, classes):
    if classes == 1 and "Sparse" in losses.loss_name(loss):
        with pytest.raises(InputError, match="tells classes apart.*2 classes or more"):
            losses.make_loss(loss, classes)
        return
    truth = np.random.default_rng(0).integers(0, max(2, classes), (2, 8, 8, 1)).astype(np.uint8)
    right = np.float32(truth if classes == 1 else np.eye(3)[truth[..., 0]])
    values = [losses.make_loss(loss, classes)(truth, 0.98 * answer + 0.01) for answer in (right, 1 - right)]
    good, bad = (keras.ops.convert_to_numpy(value) for value in values)
    assert good.shape == bad.shape == (2, 8, 8) and good.mean() < bad.mean()
    stored = json.loads(json.dumps(losses.stored_loss(loss)))
    if loss is squares:
        with pytest.raises(InputError, match="loss squares is code of one's own.*Settings"):
            losses.make_loss(stored, classes)
    else:
        again = losses.make_loss(stored, classes)(truth, 0.98 * right + 0.01)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(again), good)


@pytest.mark.parametrize("wrong", ["focal", 5, {"module": "os", "class_name": "system", "config": {}}])
def test_a_loss_that_there_is_not_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="is unknown; expected bce, dice_bce, .*keras.losses"):
        train.train(Run(tmp_path, tmp_path / "run", Settings(loss=wrong)))
    with pytest.raises(InputError, match="from_logits=True; expected False"):
        losses.make_loss(keras.losses.BinaryCrossentropy(from_logits=True), 1)


def test_a_run_card_holds_a_loss_of_keras_to_the_letter(tmp_path):
    folder = make_folder(tmp_path)
    settings = Settings(**QUICK, loss=KERAS_LOSSES[2])
    train.train(Run(folder, folder / "run", settings), quiet=True)
    card = run_card.read_card(folder / "run" / "settings.json")
    again, lines = run_card.settings_of(card)
    assert not lines and keras.losses.deserialize(again.loss).get_config() == KERAS_LOSSES[2].get_config()
    assert card["finished"] and settings.loss is KERAS_LOSSES[2]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("ignoring", [False, True])
def test_a_seam_is_foreground_and_in_the_second_answer_background_of_more_weight(name, ignoring):
    truth = np.array([1, 0, SEAM], np.uint8).reshape(1, 1, 3, 1)
    first, second = (np.array(values, np.float32).reshape(1, 1, 3, 1) for values in ([0.9, 0.2, 0.7], [0.8, 0.1, 0.3]))
    entropy = -np.log([0.9, 0.8, 0.7])
    # Dice of 1.6 of two true pixels against 1.8 predicted ones, each side with one added
    expected = entropy + (1 - (2 * 1.6 + 1) / (2 + 1.8 + 1) if name == "dice_bce" else 0)
    loss = losses.make_loss(name, 1, ignoring)
    np.testing.assert_allclose(ops.convert_to_numpy(loss(truth, first))[0, 0], expected, rtol=1e-5)
    apart = -np.log([0.8, 0.9, 0.7]) * [1, 1, losses.SEAM_WEIGHT]
    both = ops.convert_to_numpy(loss(truth, np.concatenate([first, second], -1)))
    np.testing.assert_allclose(both[0, 0], expected + apart, rtol=1e-5)


def test_images_that_number_nothing_have_no_part_in_the_second_answer():
    truth = np.array([[[1, SEAM, 0, 1]], [[MERGED, 0, 0, MERGED]]], np.uint8)[..., None]
    answers = np.random.default_rng(0).uniform(0.1, 0.9, (2, 1, 4, 2)).astype(np.float32)
    loss = losses.make_loss("bce", 1)
    both, first = (ops.convert_to_numpy(loss(truth, answers[..., :k])) for k in (2, 1))
    alone, alone_first = (ops.convert_to_numpy(loss(truth[:1], answers[:1, ..., :k])) for k in (2, 1))
    np.testing.assert_allclose(both[1], first[1], rtol=1e-5)
    np.testing.assert_allclose((both - first).mean(), (alone - alone_first).mean(), rtol=1e-5)
    np.testing.assert_allclose(loss(truth[1:], answers[1:]), first[1:], rtol=1e-5)
    np.testing.assert_allclose(first[1, 0, 0], -np.log(answers[1, 0, 0, 0]), rtol=1e-5)  # to the mask it is foreground


def test_scores_are_of_the_first_answer():
    truth = np.array([1, 0, SEAM, IGNORED], np.uint8).reshape(1, 1, 4, 1)
    answers = np.array([[0.9, 0.0], [0.2, 0.9], [0.7, 0.1], [0.8, 0.8]], np.float32).reshape(1, 1, 4, 2)
    dice = losses.Dice(1, ignoring=True)
    dice.update_state(truth, answers)
    assert float(dice.result()) == 1 and float(losses.Accuracy(dice).result()) == 1


def touching_discs(folder, labelled):
    """Pairs of discs that touch along a side, their number in the masks or not; six pairs an image."""
    for i in range(6):
        labels = np.zeros((96, 96), np.uint8)
        rng = np.random.default_rng(i)
        for number, row in enumerate(range(8, 96, 16), start=1):
            column = rng.integers(10, 74)
            rows, columns = np.mgrid[0:96, 0:96]
            for side in (0, 1):
                near = (rows - row) ** 2 + (columns - column - 12 * side) ** 2 <= 36
                labels[near & (labels == 0)] = 2 * number - side
        image = np.where(labels > 0, 140, 200) - 40 * seams(labels) + rng.normal(0, 5, labels.shape)
        write_png(folder / "Train data" / "Images" / f"{i}.png", np.clip(image, 0, 255).astype(np.uint8))
        mask = np.where(labels > 0, labels + 20 * i, 0) if labelled else 255 * (labels > 0)
        write_png(folder / "Train data" / "Masks" / f"{i}.png", mask.astype(np.uint8))
    return folder


def test_numbered_objects_that_touch_are_learnt_apart(tmp_path, capsys):
    found = []
    for labelled in (True, False):
        folder = touching_discs(tmp_path / str(labelled), labelled)
        card = train.train(Run(folder, folder / "run", Settings(**UNTAUGHT | {"filters": 8, "steps": 120})))
        assert ("where two touch" in capsys.readouterr().out) == labelled
        assert card["scores"]["val_dice"] > 0.75  # of the whole discs
        predictor = Predictor(folder / "run" / "model.keras")
        answers = predictor.probability(read(folder / "Train data" / "Images" / "0.png"))
        assert predictor.answers == answers.shape[2] == 1 + labelled
        areas = np.bincount(components(answers[..., -1] >= 0.5).ravel())[1:]
        found.append(np.count_nonzero(areas > 10))  # a disc has 113 pixels; a speck of one pixel is no object
    assert found == [12, 6]


def test_the_schedule_warms_up_and_ends_at_zero():
    schedule = losses.make_schedule(1e-2, 100)
    rates = [float(schedule(step)) for step in range(101)]
    assert np.argmax(rates) == 10 and rates[10] == pytest.approx(1e-2)
    assert rates[0] < 1e-3 and rates[100] == pytest.approx(0, abs=1e-6)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize(("classes", "loss", "steps"), [(1, "bce", 250), (3, "dice_bce", 500)])
def test_several_classes_take_the_dice_loss_and_twice_the_steps(tmp_path, monkeypatch, classes, loss, steps):
    seen = []
    monkeypatch.setattr(
        train.Fitting, "fit", lambda self, *_: seen.append((self.run.settings.loss, self.batches.steps))
    )
    monkeypatch.setattr(train.Fitting, "finish", lambda self: {})
    settings = Settings(classes=classes, crop_px=32, init="none")
    train.train(Run(make_folder(tmp_path, classes=classes), tmp_path / "run", settings), quiet=True)
    assert seen == [(loss, steps)]


def test_settings_and_command_line_name_the_same_defaults():
    import main

    help_text = {action.dest: action.help for action in main.command_line()._actions}
    for name in ("epochs", "batch", "filters", "seed"):
        assert f"(default: {getattr(Settings(), name)})" in help_text[name]


def test_the_step_that_compiles_counts_for_no_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    now, shown = [0.0], Terminal()
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(callbacks, "tqdm", partial(tqdm, file=shown))
    bar = callbacks.ProgressBar()
    bar.set_params({"steps": 100, "epochs": 1})
    bar.on_epoch_begin(0)
    now[0] = 300.0  # of compiling
    for step in range(20):
        bar.on_train_batch_end(step, {"loss": 1.0, "dice": 0.5})
        now[0] += 2
    bar.bar.close()
    left = [60 * int(m) + int(s) for m, s in re.findall(r"<(\d+):(\d+)", shown.getvalue())]
    assert len(left) >= 15 and all(100 <= seconds <= 220 for seconds in left[3:]) and max(left) <= 220
