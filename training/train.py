"""Training: settings → examples → network → run folder with model.keras, settings.json, history.csv and scores.json.

A run folder is written once: a name that exists is refused, never reused, unless its run goes on (`resume`).
"""

import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

import model as networks
from data import Examples, PairedImageDataGenerator, TrainingBatches, ValidationBatches
from pairing.groups import split_by_group, with_tile_table
from pairing.pairs import find_pairing
from pairing.survey import survey
from reading.files import InputError, fingerprint
from reading.resize import choose_fit
from scoring.baseline import foreground_is_dark
from training import precision, run_card, run_folder
from training.callbacks import KeepBest, ProgressBar
from training.fitting import Fitting
from training.losses import LOSSES, Accuracy, Dice, IoU, make_loss, make_schedule
from training.settings import Settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices are not about the user's data
# oneDNN's buffers for the gradients of the kernels are kept, not allocated for each step anew (benchmarks/README.md)
os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "0")

OTSU_IMAGES = 20  # so many tell whether the cells are dark or bright


# ---------------------------------------------------------------------------------------------------------- training


def train(
    data_dir, run_dir, settings=None, quiet=False, found=None, callbacks=(), *,
    resume=False, minutes=None, started=None, like=None,
):  # fmt: skip
    """Train on `data_dir`/Train data and write `run_dir`.

    Parameters
    ----------
    data_dir, run_dir : paths; `run_dir` must not exist, or be an empty folder.
    settings : Settings.
    quiet : bool, no progress bars (errors still raise).
    found : (`pairs.Pairing`, `survey.Survey`) of `Train data` where the doctor has read all of it just now
        (`doctor.Diagnosis.training`); None reads it here.
    callbacks : further `keras.callbacks.Callback`s, called after the project's own.
    resume : bool, go on with the unfinished run in `run_dir` after its last finished epoch; `settings` are then its
        stored ones (`run_card.settings_of`). It ends in the weights that it would have had without the stop.
    minutes : float, for the whole training, counted from `started`: epochs and steps are then chosen to fill them.
    started : `time.time()` when the user's command began; None: now.
    like : the card of a run that this one repeats; what cannot be the same is said.

    Returns the run card, a dictionary. Raises `InputError` before any training where the data or the settings are
    wrong, and later where the disk is full, memory runs out with batches of one, or the network died twice.
    """
    settings = settings or Settings()
    run_dir = Path(run_dir)
    if not resume:
        run_folder.refuse_taken(run_dir)
    if settings.loss == "auto":
        settings = replace(settings, loss="bce" if settings.classes <= 2 else "dice_bce")
    if settings.loss not in LOSSES:
        raise InputError(f"loss {settings.loss!r} is unknown; expected one of {', '.join(LOSSES)}.")
    started = started or time.time()
    if settings.precision == "auto":
        settings = replace(settings, precision=precision.fastest())
    say = (lambda text: None) if quiet else tqdm.write  # above the progress bar, where there is one

    if settings.precision == precision.MIXED:
        slow = precision.fastest() != precision.MIXED
        say(f"layers compute in bfloat16, {'as the run did, slowly here' if slow else 'the faster way here'}")
    pairing, seen = found or _read(data_dir, quiet)
    pairs = pairing.pairs
    if not pairing.plain:
        say(pairing.explanation)
    coding = seen.coding(settings.classes, settings.foreground)
    for line in (coding.explanation, *seen.notes(coding)):
        say(line)
    training, validation = split_by_group(pairs, settings.validation_share, settings.seed)
    fit = choose_fit(seen.sizes, settings.crop_px)
    channels = 3 if seen.colour else 1
    shape = {"coding": coding, "channels": channels, "crop_px": settings.crop_px, "fit": fit}
    examples = Examples(training, **shape, mask_values=seen.mask_values)
    held_out = Examples(validation, **shape)
    batches = TrainingBatches(
        examples,
        PairedImageDataGenerator(**settings.augmentation),
        settings.crop_px,
        settings.batch,
        steps=1,
        seed=settings.seed,
        workers=settings.workers,
    )
    checks = ValidationBatches(held_out, settings.crop_px, settings.batch) if validation else None
    say(
        f"{len(training)} images to train on, {len(validation)} held out to validate; "
        f"{'colour' if channels == 3 else 'grey'}, foreground {batches.foreground_share:.1%} of the pixels"
        f"{', rare, so half of the crops lie around it' if batches.centred and not fit else ''}; "
        + (f"small images, each scaled to fill {settings.crop_px} px" if fit else "images at their own scale")
    )
    if batches.seams:
        say(
            f"the masks number their objects: where two touch, the seam ({batches.seams:.1%} of the foreground) is "
            "learnt as background, to keep them apart; validation and scores count it as foreground"
        )

    card = {
        "classes": settings.classes,
        "channels": channels,
        "depth": settings.depth,
        "crop_px": settings.crop_px,
        "fit": fit,
        "normalisation": "percentiles",
        "threshold": 0.5,
        "masks": asdict(coding),
        "training": [pair.stem for pair in training],
        "validation": [pair.stem for pair in validation],
    }
    if settings.classes == 1:  # for the baseline that `evaluate` sets beside the scores
        known = held_out if validation else examples
        shown = (known[i] for i in range(min(OTSU_IMAGES, len(known))))
        card["dark_foreground"] = foreground_is_dark((example.image, example.mask) for example in shown)

    def make_network(settings, seed):
        return new_network(settings, channels, batches, seed)

    with run_folder.alone(run_dir), run_folder.plain_disk_errors(run_dir):
        if not resume:
            run_folder.refuse_taken(run_dir)  # by a process that was quicker
        record = run_card.start(run_dir, data_dir, pairs, keras.backend.backend(), resume, say)
        record |= {"init_sha256": run_card.hash_init(settings.init), "minutes": record.get("minutes", minutes)}
        for line in run_card.differences(like, record) if like else ():
            say(f"not as then: {line}")
        fitting = Fitting(run_dir, settings, batches, checks, card, record, say, started, make_network, KeepBest)
        if minutes and not resume:
            fitting.choose_steps(minutes)
        if settings.classes > 2:
            say(
                f"{settings.classes} classes take longer to learn: loss {settings.loss}, {batches.steps} steps an epoch"
            )
        fitting.fit(
            lambda: _fingerprints(examples, held_out), resume, [*([] if quiet else [ProgressBar()]), *callbacks]
        )
        return fitting.finish(validation)


def new_network(settings, channels, batches, seed):
    """An untrained network from the draw `seed`, compiled, and its Dice metric."""
    keras.utils.set_random_seed(seed)
    with precision.layers_in(settings.precision):
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
        weighted_metrics=[Accuracy(dice), dice, IoU(dice)],
        jit_compile=False,  # XLA trains this network at half the speed on a CPU
    )
    network.optimizer.build(network.trainable_variables)  # else TensorFlow traces the first step twice, for seconds
    return network, dice


def _read(data_dir, quiet):
    """(pairing, survey) of `Train data`, every file of it read once."""
    pairing = find_pairing(Path(data_dir) / "Train data")
    pairing = replace(pairing, pairs=with_tile_table(pairing.pairs, data_dir))
    return pairing, survey(pairing.pairs, quiet)


def _fingerprints(*parts):
    return (fingerprint(examples[i].image) for examples in parts for i in range(len(examples)))


def _prior(batches, classes):
    """What the untrained network should predict: the shares of the classes, none quite 0 or 1.

    It then starts from the loss of a good guess instead of spending its first steps on finding that most pixels are
    background (Lin et al., ICCV 2017, section 4.1).
    """
    if classes == 1:
        return float(np.clip(batches.foreground_share, 1e-3, 1 - 1e-3))
    shares = np.maximum(batches.class_shares[:classes], 1e-3)
    return (shares / shares.sum()).tolist()
