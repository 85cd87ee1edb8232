"""Dice over seconds: our defaults and the classic recipe, given the same seconds of training, in one run.

    python benchmarks/time_to_dice.py                       on the synthetic sample; draws img/time_to_dice.png
    python benchmarks/time_to_dice.py cervix FOLDER         FOLDERs as for benchmarks/real_data.py; draws nothing

Ours trains first, with default options and from nothing; the classic recipe then gets the seconds that this took:
`model.classic_unet` (31 million parameters), Adam 1e-4, binary cross-entropy, grey values divided by 255, batches of 4
crops of 256×256 pixels, drawn and augmented like ours. The clock stands still while a network is tested. During
training the central 256×256 pixels of each test field are tested, at the end the whole fields.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from never_grey import PlainSamples, judge  # puts the repository on the path
from real_data import ROOT, write_cervix

import model as networks
from data import PairedImageDataGenerator, TrainingBatches
from pairing import pairs
from pairing.survey import survey
from preparing.sample import write_sample
from reading.files import replacing
from training import train
from training.run import Run
from training.settings import Settings
from weights.files import save

LOOK_SECONDS = (5, 10, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400, 500, 700, 1000)
CENTRE_PX = 256
CLASSIC = {"classes": 1, "channels": 1, "crop_px": 256, "fit": False, "normalisation": "divide by 255"}
OURS = {"classes": 1, "channels": 1, "crop_px": 256, "fit": False, "normalisation": "percentiles"}


class Clock(keras.callbacks.Callback):
    """Seconds of training and the Dice reached: after the first step past each of `LOOK_SECONDS`, and at the end.

    budget : seconds after which training stops; None where it ends by itself.
    """

    def __init__(self, data, name, card, folder, budget=None):
        super().__init__()
        self.data, self.name, self.card, self.file, self.budget = data, name, card, folder / "look.keras", budget
        self.steps, self.paused, self.rows, self.looks = 0, 0.0, [(0.0, 0.0)], list(LOOK_SECONDS)

    def on_train_begin(self, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        seconds = self.seconds()
        if self.budget and seconds >= self.budget:
            self.model.stop_training = True
        elif self.looks and seconds >= self.looks[0]:
            self.looks = [at for at in self.looks if at > seconds]
            self.look(seconds)

    def on_train_end(self, logs=None):
        self.look(self.seconds())

    def seconds(self):
        return time.perf_counter() - self.started - self.paused

    def look(self, seconds, centre_px=CENTRE_PX):
        before = time.perf_counter()
        save(self.model, self.file, self.card)
        dice = judge(self.file, self.data, self.name, centre_px)[1]
        if centre_px:
            self.rows.append((seconds, dice))
            print(f"{seconds:8.0f} s{self.steps:7} steps   Dice {dice:.3f}", flush=True)
        self.paused += time.perf_counter() - before
        return dice


def run_ours(data, name, seed, folder):
    clock = Clock(data, name, OURS, folder)
    train.train(Run(data, folder / "run", Settings(seed=seed, init="none")), quiet=True, callbacks=[clock])
    final = judge(folder / "run" / "model.keras", data, name)[1]  # the epoch that validation chose
    return clock, final


def run_classic(data, name, seed, folder, budget):
    found = pairs.find_pairs(data / "Train data")
    samples = PlainSamples(found, coding=survey(found, quiet=True).coding(), channels=1, crop_px=256, fit=False)
    generator = PairedImageDataGenerator(**Settings().augmentation)
    batches = TrainingBatches(samples, generator, 256, 4, 10**6, seed, 2)
    keras.utils.set_random_seed(seed)
    network = networks.classic_unet((None, None, 1))
    network.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", jit_compile=False)
    clock = Clock(data, name, CLASSIC, folder, budget)
    network.fit(batches, shuffle=False, verbose=0, callbacks=[clock])
    return clock, clock.look(0, centre_px=None)


def draw(curves, path):
    """Dice over seconds, a line for each of `curves`: {title: [(seconds, Dice)]}."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for (title, rows), colour in zip(curves.items(), ("#0072b2", "#d55e00"), strict=True):
        seconds, dice = zip(*rows, strict=True)
        axis.plot(seconds, dice, "o-", color=colour, label=title, clip_on=False, zorder=3)
    axis.set(xlabel="seconds of training", ylabel="Dice on test images", ylim=(0, 1))
    axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#dddddd")
    axis.legend(frameon=False, loc="center right")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("sample", "cervix"), nargs="?", default="sample")
    parser.add_argument("folder", type=Path, nargs="?", help="of the real images")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = folder / "data"
        if args.set == "cervix":
            write_cervix(args.folder, data)
        else:
            write_sample(data)
        print("ours", flush=True)
        ours, our_dice = run_ours(data, args.set, args.seed, folder)
        budget = ours.rows[-1][0]
        print("classic", flush=True)
        classic, classic_dice = run_classic(data, args.set, args.seed, folder, budget)
    print(f"\n{'':10}{'steps':>8}{'seconds':>9}{'Dice, whole test fields':>26}")
    for title, clock, dice in (("ours", ours, our_dice), ("classic", classic, classic_dice)):
        print(f"{title:10}{clock.steps:8}{clock.rows[-1][0]:9.0f}{dice:26.3f}")
    if args.set == "sample":
        draw({"this repository": ours.rows, "the classic recipe": classic.rows}, ROOT / "img" / "time_to_dice.png")


if __name__ == "__main__":
    main()
