"""Training: settings → samples → network → run folder with model.keras, settings.json, history.csv and scores.json.

A run folder is written once: a name that exists is refused, never reused.
"""

import csv
import os
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices are not about the user's data

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

import images
import model as networks
from calibration import THRESHOLDS, best_threshold, confusion_at, threshold_counts
from data import PairedImageDataGenerator, Samples, TrainingBatches, ValidationBatches
from images import InputError
from losses import LOSSES, Dice, IoU, make_loss, make_schedule
from metrics import confusion_counts, scorecard
from otsu import foreground_is_dark
from pairs import find_pairing, recorded, split_by_group
from scale import choose_fit
from start import fingerprint, start_from
from survey import survey
from watchdog import DeadNetwork, Watchdog, choose_crop

SMALLEST_EPOCH = 220  # steps; fewer teach too little where there are few images
NEW_DRAW = 2**31  # added to the seed of a training that starts again: a draw that no --seed gives
OTSU_IMAGES = 20  # so many tell whether the cells are dark or bright


@dataclass
class Settings:
    """Everything that decides a run; stored in its run card.

    augmentation holds keyword arguments of `data.PairedImageDataGenerator`.
    """

    seed: int = 0
    epochs: int = 5
    steps: int | None = None  # steps an epoch; None: as many as see every pixel about once, 220 at least
    batch: int = 4
    tile_px: int = 256
    classes: int = 1
    foreground: tuple | None = None
    filters: int = 8
    depth: int = 4
    normalization: str = "batch"
    upsampling: str = "nearest"
    dropout: float = 0.0
    loss: str = "bce"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.2
    init: str = "auto"  # a model file to start from, "none", or "auto": see `start.start_from`
    workers: int = 2
    augmentation: dict = field(
        default_factory=lambda: {
            "rotation_range": 180,
            "zoom_range": (0.8, 1.25),
            "horizontal_flip": True,
            "vertical_flip": True,
            "brightness_range": (0.8, 1.2),
            "fill_mode": "reflect",
        }
    )


# ---------------------------------------------------------------------------------------------------------- training


def train(data_dir, run_dir, settings=None, quiet=False, found=None, callbacks=()):
    """Train on `data_dir`/Train data and write `run_dir`.

    Parameters
    ----------
    data_dir, run_dir : paths; `run_dir` must not exist, or be an empty folder.
    settings : Settings.
    quiet : bool, no progress bars (errors still raise).
    found : (`pairs.Pairing`, `survey.Survey`) of `Train data` where the doctor has read all of it just now
        (`doctor.Diagnosis.training`); None reads it here.

    callbacks : further `keras.callbacks.Callback`s, called after the project's own.

    Returns the run card, a dictionary. Raises `InputError` before any training where the data or the settings are
    wrong.
    """
    settings = settings or Settings()
    run_dir = Path(run_dir)
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise InputError(f"{run_dir}: this run exists already; expected a new name. Choose another --run NAME.")
    if settings.loss not in LOSSES:
        raise InputError(f"loss {settings.loss!r} is unknown; expected one of {', '.join(LOSSES)}.")
    started = time.time()
    say = (lambda text: None) if quiet else tqdm.write  # above the progress bar, where there is one

    pairing, seen = found or _read(data_dir, quiet)
    pairs = pairing.pairs
    if not pairing.plain:
        say(pairing.explanation)
    coding = seen.coding(settings.classes, settings.foreground)
    for line in (coding.explanation, *seen.notes(coding)):
        say(line)
    training, validation = split_by_group(pairs, settings.validation_share, settings.seed)
    fit = choose_fit(seen.sizes, settings.tile_px)
    channels = 3 if seen.colour else 1
    shape = {"coding": coding, "channels": channels, "tile_px": settings.tile_px, "fit": fit}
    samples, held_out = Samples(training, **shape), Samples(validation, **shape)
    batches = TrainingBatches(
        samples,
        PairedImageDataGenerator(**settings.augmentation),
        settings.tile_px,
        settings.batch,
        steps=1,
        seed=settings.seed,
        workers=settings.workers,
    )
    batches.steps = settings.steps or max(SMALLEST_EPOCH, -(-batches.tiles // settings.batch))
    checks = ValidationBatches(held_out, settings.tile_px, settings.batch) if validation else None
    say(
        f"{len(training)} images to train on, {len(validation)} held out to validate; "
        f"{'colour' if channels == 3 else 'grey'}, foreground {batches.foreground_share:.1%} of the pixels; "
        + (f"small images, each scaled to fill {settings.tile_px} px" if fit else "images at their own scale")
    )

    card = {
        "classes": settings.classes,
        "channels": channels,
        "depth": settings.depth,
        "tile_px": settings.tile_px,
        "fit": fit,
        "normalisation": "percentiles",
        "threshold": 0.5,
        "masks": asdict(coding),
        "settings": asdict(settings),
        "training": [pair.stem for pair in training],
        "validation": [pair.stem for pair in validation],
    }
    if settings.classes == 1:  # for the baseline that `evaluate` sets beside the scores
        known = held_out if validation else samples
        shown = (known[i] for i in range(min(OTSU_IMAGES, len(known))))
        card["dark_foreground"] = foreground_is_dark((sample.image, sample.mask) for sample in shown)
    crop, restarts = choose_crop(batches), []
    for seed in (settings.seed, settings.seed + NEW_DRAW):
        network, dice = _new_network(settings, channels, batches, seed)
        if not restarts:
            start = start_from(settings.init, network, lambda: _fingerprints(samples, held_out))
            say(start)
        run_dir.mkdir(parents=True, exist_ok=True)
        keeper = KeepBest(run_dir / "model.keras", card, has_validation=checks is not None)
        steps = settings.epochs * batches.steps
        watchdog = Watchdog(*crop, steps, dice.foreground, say, restart=not restarts)
        try:
            network.fit(
                batches,
                validation_data=checks,
                epochs=settings.epochs,
                shuffle=False,  # the batches shuffle by themselves, from their own seed
                verbose=0,
                callbacks=[watchdog, keeper, *([] if quiet else [ProgressBar(settings.epochs)]), *callbacks],
            )
            break
        except DeadNetwork as death:
            if not death.at_start:
                watchdog.tell_stop(death, f"Training ends here, with the network of epoch {keeper.best_epoch}.")
                break
            if restarts:
                keeper.path.unlink(missing_ok=True)  # of an epoch of a few steps: as dead as what followed
                run_dir.rmdir()
                raise InputError(
                    f"training failed twice, the second time from another draw of the first weights: {death.line}"
                ) from death
            say(f"watchdog: {death.line} Training starts again from another draw of the first weights.")
            restarts.append({"reason": death.line, "step": death.step, "seed": seed + NEW_DRAW})
            batches.epoch = 0
    history = network.history.history

    card |= {
        "best_epoch": keeper.best_epoch,
        "scores": {key: values[keeper.best_epoch - 1] for key, values in history.items()},
        "start": start,
        "restarts": restarts,
        "watchdog": watchdog.lines,
        "seconds": round(time.time() - started, 1),
        "training_tflop": _tflop(network, settings, batches.steps),
        "parameters": network.count_params(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "numpy": np.__version__,
        },
        "platform": platform.platform(),
    }
    if checks is not None:
        best, _ = networks.load(run_dir / "model.keras")
        scores = validation_scores(best, checks, validation, settings.classes)
        images.write_json(run_dir / "scores.json", scores)
        card["threshold"] = scores["threshold"]
        networks.save(best, run_dir / "model.keras", card)  # the threshold is known only now
    images.write_json(run_dir / "settings.json", card)
    _write_history(run_dir / "history.csv", history)
    return card


def _new_network(settings, channels, batches, seed):
    """An untrained network from the draw `seed`, compiled, and its Dice metric."""
    keras.utils.set_random_seed(seed)
    network = networks.unet(
        channels,
        settings.classes,
        filters=settings.filters,
        depth=settings.depth,
        normalization=settings.normalization,
        dropout=settings.dropout,
        upsampling=settings.upsampling,
        prior=_prior(batches, settings.classes),
    )
    dice = Dice(settings.classes)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            make_schedule(settings.learning_rate, settings.epochs * batches.steps), weight_decay=settings.weight_decay
        ),
        loss=make_loss(settings.loss, settings.classes),
        weighted_metrics=[_accuracy(settings.classes), dice, IoU(settings.classes)],
        jit_compile=False,  # XLA trains this network at half the speed on a CPU
    )
    return network, dice


def _read(data_dir, quiet):
    """(pairing, survey) of `Train data`, every file of it read once."""
    pairing = find_pairing(Path(data_dir) / "Train data")
    pairing = replace(pairing, pairs=recorded(pairing.pairs, data_dir))
    return pairing, survey(pairing.pairs, quiet)


def _fingerprints(*parts):
    return (fingerprint(samples[i].image) for samples in parts for i in range(len(samples)))


def validation_scores(network, checks, pairs, classes):
    """The scorecard of the validation images (see `metrics.scorecard`), from the tiles that validation counts.

    Of a binary network the threshold is the one that `best_threshold` chooses on these pixels, so the scores may be a
    little better than those of new images; of classes the most probable one counts.

    Parameters: network, keras.Model; checks, the ValidationBatches of `pairs`; classes, as in `Settings`.
    """
    shape = (len(THRESHOLDS) + 1, 2) if classes == 1 else (classes - 1, 4)
    counts = np.zeros((len(pairs), *shape), np.int64)
    places = iter(checks.places)
    for batch, truths, weights in checks:
        probabilities = ops.convert_to_numpy(network.predict_on_batch(batch))
        for probability, truth, weight in zip(probabilities, truths, weights, strict=True):
            inside = np.s_[: int(weight[:, 0].sum()), : int(weight[0].sum())]  # without the padding
            probability, truth = probability[inside], truth[..., 0][inside]
            counts[next(places)[0]] += (
                threshold_counts(probability[..., 0], truth)
                if classes == 1
                else confusion_counts(truth, probability.argmax(-1), classes)
            )
    threshold = 0.5
    if classes == 1:
        threshold = best_threshold(counts)
        counts = [[confusion_at(of_image, threshold)] for of_image in counts]
    return scorecard([pair.stem for pair in pairs], counts, threshold, classes)


def _prior(batches, classes):
    """What the untrained network should predict: the shares of the classes, none quite 0 or 1.

    It then starts from the loss of a good guess instead of spending its first steps on finding that most pixels are
    background (Lin et al., ICCV 2017, section 4.1).
    """
    if classes == 1:
        return float(np.clip(batches.foreground_share, 1e-3, 1 - 1e-3))
    shares = np.maximum(batches.class_shares[:classes], 1e-3)
    return (shares / shares.sum()).tolist()


def _accuracy(classes):
    kind = keras.metrics.BinaryAccuracy if classes == 1 else keras.metrics.SparseCategoricalAccuracy
    return kind(name="accuracy")


def _tflop(network, settings, steps):
    """10^12 operations of the whole training: one forward and two backward passes, 2 operations a multiply-add."""
    multiply_adds = networks.count_multiply_adds(network, settings.tile_px, settings.tile_px, training=True)
    return round(6 * multiply_adds * settings.batch * steps * settings.epochs / 1e12, 2)


def _write_history(path, history):
    with images.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*history.values(), strict=True), start=1))


class KeepBest(keras.callbacks.Callback):
    """Saves the model after each epoch whose validation Dice is the best so far (the last one without validation)."""

    def __init__(self, path, card, has_validation):
        super().__init__()
        self.path, self.card, self.has_validation = path, card, has_validation
        self.best, self.best_epoch = -1.0, 0

    def on_epoch_end(self, epoch, logs=None):
        score = logs["val_dice"] if self.has_validation else float(epoch)
        if score > self.best:
            self.best, self.best_epoch = score, epoch + 1
            networks.save(self.model, self.path, self.card)


class ProgressBar(keras.callbacks.Callback):
    """One bar an epoch, then one line with the epoch's scores."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.time()
        self.bar = tqdm(
            total=self.params["steps"],
            desc=f"epoch {epoch + 1}/{self.epochs}",
            unit="step",
            leave=False,
            mininterval=1,
            disable=None,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        if batch % 10 == 0:
            self.bar.set_postfix_str(f"loss {logs['loss']:.4f}, Dice {logs['dice']:.3f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.time() - self.started
        self.bar.close()
        line = f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.4f}, Dice {logs['dice']:.3f}"
        if "val_dice" in logs:
            line += (
                f"; validation Dice {logs['val_dice']:.3f}, IoU {logs['val_iou']:.3f}, "
                f"pixel accuracy {logs['val_accuracy']:.3f}"
            )
        print(f"{line} ({seconds:.0f} s)")
