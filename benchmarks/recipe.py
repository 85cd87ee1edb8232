"""What each default of training is worth: validation Dice with one thing changed at a time.

    python benchmarks/recipe.py cervix FOLDER                 FOLDERs as for benchmarks/real_data.py
    python benchmarks/recipe.py herlev FOLDER --only defaults "Dice added to the loss"

Each row is a training of 5 epochs of about --steps steps on the training images, from nothing unless it says otherwise.
Half of the training images are held out to validate, another half with each seed; test images are never read. Variants
whose step costs more or less take fewer or more steps, so that all rows cost about the same TFLOP.
"""

import argparse
import csv
import os
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from real_data import SETS  # puts the repository on the path

import data as pipeline
from training import fitting, train
from training.run import Run
from training.settings import FLOAT32, Settings

AUGMENTATION = Settings().augmentation


class AveragedWeights(keras.callbacks.Callback):
    """Validates with an exponential average of the weights, running statistics included."""

    def __init__(self, momentum):
        super().__init__()
        self.momentum, self.average = momentum, None

    def on_train_batch_end(self, batch, logs=None):
        weights = self.model.get_weights()
        if self.average is None:
            self.average = weights
        for average, weight in zip(self.average, weights, strict=True):
            average += (1 - self.momentum) * (weight - average)

    def on_test_begin(self, logs=None):
        self.own = self.model.get_weights()
        self.model.set_weights(self.average)

    def on_test_end(self, logs=None):
        self.model.set_weights(self.own)


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """The peak of the usual schedule from the first step to the last."""

    def __init__(self, peak, steps):
        self.peak = peak

    def __call__(self, step):
        return self.peak

    def get_config(self):
        return {"peak": self.peak, "steps": None}


def without_warmup(peak, steps):
    return keras.optimizers.schedules.CosineDecay(peak, steps)


def augmented(**changes):
    return {"augmentation": AUGMENTATION | changes}


VARIANTS = {  # name: what it changes in `settings.Settings`, and how many times the steps it takes
    "defaults": ({}, 1),
    "16 filters, a quarter of the steps": ({"filters": 16}, 1 / 4),
    "16 filters, crops of 128": ({"filters": 16, "crop_px": 128}, 1),
    "6 filters, more steps": ({"filters": 6}, 16 / 9),
    "crops of 128, four times the steps": ({"crop_px": 128}, 4),
    "depth 3": ({"depth": 3}, 5 / 4),
    "depth 5": ({"depth": 5}, 5 / 6),
    "group normalisation": ({"normalization": "group"}, 1),
    "no normalisation": ({"normalization": "none"}, 1),
    "transposed convolutions upsample": ({"upsampling": "transposed"}, 1),
    "dropout 0.3": ({"dropout": 0.3}, 1),
    "cross-entropy alone": ({"loss": "bce"}, 1),  # of three classes; of one it is the default
    "Dice added to the loss": ({"loss": "dice_bce"}, 1),  # the default of three classes
    "learning rate 1e-3": ({"learning_rate": 1e-3}, 1),
    "learning rate 6e-3": ({"learning_rate": 6e-3}, 1),
    "learning rate 1e-2": ({"learning_rate": 1e-2}, 1),
    "weight decay 1e-2": ({"weight_decay": 1e-2}, 1),
    "batches of 8, half the steps": ({"batch": 8}, 1 / 2),
    "batches of 2, twice the steps": ({"batch": 2}, 2),
    "flips alone": ({"augmentation": {"horizontal_flip": True, "vertical_flip": True, "fill_mode": "reflect"}}, 1),
    "no augmentation": ({"augmentation": {"fill_mode": "reflect"}}, 1),
    "brightness 0.5 to 1.5": (augmented(brightness_range=(0.5, 1.5)), 1),
    "zoom 0.6 to 1.6": (augmented(zoom_range=(0.6, 1.6)), 1),
    "elastic, up to 10 px": (augmented(elastic_range=10), 1),
    "averaged weights, 0.99": ({}, 1),
    "learning rate constant": ({}, 1),
    "no warm-up": ({}, 1),
    "crops anywhere": ({}, 1),
    "float32": ({"precision": FLOAT32}, 1),
    "from the shipped weights": ({"init": "auto"}, 1),
}


PATCHES = {  # what no setting changes: module, name, value
    "learning rate constant": (fitting, "make_schedule", Constant),
    "no warm-up": (fitting, "make_schedule", without_warmup),
    "crops anywhere": (pipeline, "RARE_FOREGROUND", 0),
}


def validate(data, name, seed, steps, foreground, classes):
    """(Best validation Dice, TFLOP, seconds) of one training."""
    changes, share = VARIANTS[name]
    settings = Settings(
        seed=seed,
        steps=round(steps * share),
        init="none",
        foreground=foreground,
        classes=classes,
        validation_share=0.5,
    )
    callbacks = [AveragedWeights(0.99)] if name.startswith("averaged") else []
    started = time.time()
    patch = mock.patch.object(*PATCHES[name]) if name in PATCHES else nullcontext()
    with tempfile.TemporaryDirectory() as folder, patch:
        run = Path(folder) / "run"
        card = train.train(Run(data, run, replace(settings, **changes)), quiet=True, callbacks=callbacks)
        with open(run / "history.csv", newline="", encoding="utf-8") as file:
            dice = max(float(row["val_dice"]) for row in csv.DictReader(file))
    keras.utils.clear_session()
    return dice, card["training_tflop"], time.time() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=110, help="steps an epoch (default: 110, half of the usual)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    heads = "".join(f"{title:>8}" for title in (*(f"seed {seed}" for seed in args.seeds), "mean", "TFLOP"))
    print(f"{'':36}{heads}{'seconds':>9}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        options = SETS[args.set](args.folder, data)
        classes, foreground = (3, None) if "--classes" in options else (1, (2,) if options else None)
        for name in args.only:
            found = [validate(data, name, seed, args.steps, foreground, classes) for seed in args.seeds]
            dice, tflop, seconds = (np.array(column) for column in zip(*found, strict=True))
            row = "".join(f"{score:8.3f}" for score in (*dice, dice.mean()))
            print(f"{name:36}{row}{tflop.mean():8.1f}{seconds.mean():9.0f}", flush=True)


if __name__ == "__main__":
    main()
