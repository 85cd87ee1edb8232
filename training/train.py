"""Training: a run → examples and batches → a fitted network in the run's folder.

A run folder is written once: a name that exists is refused, never reused, unless its run goes on.
"""

import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices are not about the user's data

import cv2
import keras
import numpy as np
from tqdm import tqdm

from data import IGNORED, Examples, PairedImageDataGenerator, TrainingBatches, ValidationBatches
from pairing.groups import split_by_group
from pairing.magnification import common_scale
from pairing.objects import sizes
from pairing.pairs import TEST, TRAIN
from pairing.survey import read_folder
from reading import intensity
from reading.files import counted, environment
from reading.pixel_store import PixelStore
from reading.resize import choose_fit
from scoring.baseline import foreground_is_dark
from training import precision, run_card, run_folder
from training.callbacks import ProgressBar
from training.fitting import Fitting, seeded
from training.losses import loss_name, make_loss
from training.settings import MIXED

# oneDNN's buffers for the gradients of the kernels are kept, not allocated for each step anew (benchmarks/README.md)
KEPT_BUFFERS = {"TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE": "0"}
OTSU_IMAGES = 20  # so many tell whether the cells are dark or bright


@dataclass
class TrainingData:
    """What a network is fitted to.

    training, validation : lists of `pairs.Pair`. examples, held_out : `data.Examples` of them; `held_out` is None where
        nothing is held out. batches, checks : `data.TrainingBatches` of the first, `data.ValidationBatches` of the
        second or None. channels : of the images, 1 or 3. dark : whether the foreground is darker than the background.
    """

    training: list
    validation: list
    examples: Examples
    held_out: Examples | None
    batches: TrainingBatches
    checks: ValidationBatches | None
    channels: int
    dark: bool


def train(run, quiet=False, found=None, callbacks=()):
    """Train on `Train data` of the run's data folder and write the run's folder.

    Parameters
    ----------
    run : `run.Run`.
    quiet : bool, no progress bars and no lines (errors still raise).
    found : `survey.FolderRead` of `Train data` where the doctor has read all of it just now
        (`doctor.Diagnosis.training`); None reads it here.
    callbacks : further `keras.callbacks.Callback`s, called after the project's own.

    Returns the run card, a dictionary. Raises `InputError` before any training where the data or the settings are
    wrong, and later where the disk is full, memory runs out with batches of one, or the network is dead.
    """
    if not run.resume:
        run_folder.refuse_taken(run.folder)
    run.settings = settings = _decided(run.settings)
    say = (lambda text: None) if quiet else tqdm.write  # above the progress bar, where there is one
    if settings.precision == MIXED:
        slow = precision.fastest() != MIXED
        say(f"layers compute in bfloat16, {'as the run did, slowly here' if slow else 'the faster way here'}")
    if learnt := run_folder.learnt_test_pictures(settings.init, run.data / TEST / "Images"):
        say(learnt)
    found = found or read_folder(run.data / TRAIN, run.data, quiet, settings.ignore)
    if not found.pairing.plain:
        say(found.pairing.explanation)
    coding = found.survey.coding(settings.classes, settings.foreground)
    for line in (coding.explanation, *found.survey.notes(coding)):
        say(line)
    fit = choose_fit(found.survey.sizes, settings.crop_px)
    store = PixelStore(run.folder.parent)  # on the disk of the runs, which has to have room anyway
    um_per_px, scales, line = common_scale([] if fit else found.pairing.pairs, settings.um_per_px)
    if line:
        say(line)
    data = _training_data(found, coding, fit, settings, store, scales)
    _tell_about(data, found.survey, fit, settings, say)
    _tell_about_disk(store, say)
    metadata = _metadata(data, coding, fit, settings) | {"um_per_px": None if fit else um_per_px}
    with (
        run_folder.alone(run.folder),
        run_folder.plain_disk_errors(run.folder),
        environment(**KEPT_BUFFERS),
        opencv_in_one_thread(),
        seeded(settings.seed),
    ):
        if not run.resume:
            run_folder.refuse_taken(run.folder)  # by a process that was quicker
        card = run_card.begin(run, found, keras.backend.backend(), say)
        fitting = Fitting(run, data, metadata, card, say)
        if run.minutes and not run.resume:
            fitting.choose_steps()
        if settings.classes > 2:
            steps = f"{counted(data.batches.steps, 'step')} an epoch"
            say(f"{settings.classes} classes take longer to learn: loss {loss_name(settings.loss)}, {steps}")
        fitting.fit([*([] if quiet else [ProgressBar()]), *callbacks])
        return fitting.finish()


@contextmanager
def opencv_in_one_thread():
    """Within, work is parallel across examples, in worker threads; OpenCV's own would fight the network's."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _decided(settings):
    """The settings with every "auto" but that of the starting weights decided."""
    if settings.loss == "auto":
        settings = replace(settings, loss="bce" if settings.classes <= 2 else "dice_bce")
    make_loss(settings.loss, settings.classes)  # which refuses what is none
    return replace(settings, precision=precision.fastest()) if settings.precision == "auto" else settings


def _training_data(found, coding, fit, settings, store, scales):
    """The `TrainingData` of a `survey.FolderRead`; scales : of `magnification.common_scale`."""
    training, validation = split_by_group(found.pairing.pairs, settings.validation_share, settings.seed)
    channels = 3 if found.survey.colour else 1
    dark = _is_dark(validation or training, coding, found.contents)
    shape = {"coding": coding, "channels": channels, "crop_px": settings.crop_px, "fit": fit, "store": store}
    examples = Examples(training, **shape, mask_values=found.survey.drawn(), contents=found.contents)
    held_out = Examples(validation, **shape, contents=found.contents) if validation else None
    for parts in filter(None, (examples, held_out)):
        parts.dark, parts.scales = dark, scales
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
    return TrainingData(training, validation, examples, held_out, batches, checks, channels, dark)


def _is_dark(pairs, coding, contents):
    """Whether the foreground of some pairs is darker than the background (`baseline.foreground_is_dark`)."""
    images = ((contents.image(pair), pair) for pair in pairs[:OTSU_IMAGES])
    masks = ((image, coding.class_ids(contents.mask(pair, image.shape[:2]))) for image, pair in images)
    return foreground_is_dark((image, mask, mask == IGNORED) for image, mask in masks)


def _tell_about(data, survey, fit, settings, say):
    """Lines on what the network is trained on."""
    batches = data.batches
    say(
        f"{counted(len(data.training), 'image')} to train on, {len(data.validation)} held out to validate; "
        f"{'colour' if survey.colour else 'grey'}, foreground {batches.foreground_share:.1%} of the "
        f"{'known ' * batches.ignoring}pixels"
        f"{', rare, so half of the crops lie around it' if batches.centred and not fit else ''}; "
        + (f"small images, each scaled to fill {settings.crop_px} px" if fit else "images at their own scale")
    )
    if batches.seams:
        some = (
            f" but {len(batches.merged)} of {len(data.training)}, which have no part in this" if batches.merged else ""
        )
        say(
            f"the masks number their objects{some}: where two touch ({batches.seams:.1%} of the foreground) is learnt "
            "too, as a second answer, which keeps them apart when cells are counted"
        )


def _tell_about_disk(store, say):
    """Lines on pixels that memory has no room for."""
    if store.bytes:
        say(
            f"{store.bytes / 1e9:.1f} GB of decoded pixels, more than is kept in memory, lie in {store.folder} until "
            "the training ends"
        )
    if store.lacking:
        say(
            f"the disk of {store.folder} has no room for {store.lacking / 1e9:.1f} GB of decoded pixels, so files are "
            "read again for each crop, which can take several times as long; free some, or choose another disk with "
            "--runs DIR"
        )


def _metadata(data, coding, fit, settings):
    """What the model file says of itself (`weights.metadata`)."""
    return {
        "classes": settings.classes,
        "channels": data.channels,
        "depth": settings.depth,
        "crop_px": settings.crop_px,
        "fit": fit,
        "normalisation": intensity.RULE,
        "objects": None if fit else sizes(np.concatenate(list(data.examples.areas.values()))),
        "dark_foreground": data.dark,  # for the rule's floor, and for the baseline that `evaluate` sets beside scores
        "threshold": 0.5,
        "apart": bool(data.batches.seams > 0),
        "masks": asdict(coding),
        "training": [pair.stem for pair in data.training],
        "validation": [pair.stem for pair in data.validation],
    }
