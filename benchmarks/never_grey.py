"""How many short trainings end grey: ours on three sets of images, and the classic recipe on the sample.

    python benchmarks/never_grey.py sample                           the synthetic sample
    python benchmarks/never_grey.py cervix FOLDER                    FOLDERs as for benchmarks/real_data.py
    python benchmarks/never_grey.py herlev FOLDER
    python benchmarks/never_grey.py classic                          the classic recipe, on the sample

Each seed is one training of 60 steps on the training images, then all test images are predicted. A training is

    flat         where in at least half of the test images the probability differs by less than 0.05 between the pixels
                 of its 0.1st and of its 99.9th percentile: one grey value, whatever the image shows;
    at baseline  where its Dice over all test pixels, at threshold 0.5, is not above that of a mask that shows nothing:
                 all background (0) or all foreground (2s / (1 + s), s the share of foreground), whichever is higher;
    grey         where it is either.

Ours: default options, from nothing (no shipped weights), but for one epoch of 60 steps of 4 crops of 256×256.

Classic: `model.classic_unet` (31 million parameters), Adam 1e-4, binary cross-entropy, grey values divided by 255, no
starting bias, batches of 2. A step costs it ten times as much as ours, so its crops are 128×128, the same random
crops as ours otherwise, half of them centred on nuclei; it takes 60 steps too, and so more seconds than ours. It is
tested on the central 256×256 pixels of each test field. "dead" is said where its 2-filter ReLU layer gives only zeros.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from real_data import write_cervix, write_herlev  # puts the repository on the path

import model as networks
from data import Examples, PairedImageDataGenerator, TrainingBatches
from pairing import pairs
from pairing.masks import read_mask_of
from pairing.survey import survey
from predicting.predictor import Predictor
from preparing.sample import write_sample
from reading import images
from scoring import metrics
from training import train, watchdog
from training.run import Run
from training.settings import Settings
from weights.files import save

FLAT = 0.05
CLASSIC_TILE_PX, CLASSIC_BATCH, CLASSIC_TEST_PX = 128, 2, 256
FOREGROUND = {"herlev": (2,)}


class PlainSamples(Examples):
    """Examples whose grey values are only divided by 255."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return replace(sample, low=np.zeros_like(sample.low), high=np.full_like(sample.high, 255))


def train_ours(data, name, seed, steps, folder):
    """A short training with our defaults; returns the model file and what the watchdog did, in words."""
    settings = Settings(seed=seed, epochs=1, steps=steps, foreground=FOREGROUND.get(name), init="none")
    card = train.train(Run(data, folder / "run", settings), quiet=True)
    return folder / "run" / "model.keras", [restart["reason"] for restart in card["restarts"]] + card["watchdog"]


def train_classic(data, name, seed, steps, folder):
    """A short training by the classic recipe; returns the model file and whether its narrowest layer is dead."""
    found = pairs.find_pairs(data / "Train data")
    shape = {"coding": survey(found).coding(), "channels": 1, "crop_px": CLASSIC_TILE_PX, "fit": False}
    generator = PairedImageDataGenerator(**Settings().augmentation)
    batches = TrainingBatches(PlainSamples(found, **shape), generator, CLASSIC_TILE_PX, CLASSIC_BATCH, steps, seed, 2)
    keras.utils.set_random_seed(seed)
    network = networks.classic_unet((None, None, 1))
    network.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", jit_compile=False)
    network.fit(batches, shuffle=False, verbose=0)
    probe, layers = watchdog.make_probe(network)
    _, *tops = probe.predict_on_batch(batches[0][0])
    card = {"classes": 1, "channels": 1, "crop_px": CLASSIC_TEST_PX, "fit": False, "normalisation": "divide by 255"}
    save(network, folder / "model.keras", card)
    return folder / "model.keras", [f"dead: {layer}" for layer, top in zip(layers, tops, strict=True) if top <= 0]


def judge(model_file, data, name, centre_px=None):
    """Spread of each test image's probabilities, Dice over all test pixels, Dice of a mask that shows nothing."""
    predictor = Predictor(model_file)
    tests = pairs.find_pairs(data / "Test data")
    coding = survey(tests).coding(1, FOREGROUND.get(name))
    spreads, counts = [], np.zeros((1, 4), np.int64)
    for pair in tests:
        image = images.read(pair.image)
        mask = coding.decode(read_mask_of(pair, image.shape[:2]))
        if centre_px:
            top, left = ((length - centre_px) // 2 for length in mask.shape)
            image, mask = (array[top : top + centre_px, left : left + centre_px] for array in (image, mask))
        probability = predictor.probability(image)
        low, high = np.quantile(probability, [0.001, 0.999])
        spreads.append(high - low)
        counts += metrics.confusion_counts(mask, predictor.mask(probability), 1)
    tp, fp, fn, tn = counts[0]
    share = (tp + fn) / (tp + fp + fn + tn)
    return spreads, metrics.scores_from_counts(counts[0])["dice"], 2 * share / (1 + share)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("sample", "cervix", "herlev", "classic"))
    parser.add_argument("folder", type=Path, nargs="?", help="of the real images")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    if (args.folder is None) == (args.set in ("cervix", "herlev")):
        parser.error("cervix and herlev need a FOLDER, sample and classic take none")
    classic = args.set == "classic"
    print(f"{args.set}, {args.steps} steps", flush=True)
    print(f"{'seed':>6}{'spread':>8}{'Dice':>8}{'trivial':>9}{'seconds':>9}", flush=True)
    flat_ones, baseline_ones, grey_ones = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        {"cervix": write_cervix, "herlev": write_herlev}.get(args.set, lambda _, to: write_sample(to))(
            args.folder, data
        )
        for seed in args.seeds:
            started = time.time()
            with tempfile.TemporaryDirectory() as run:
                fit = train_classic if classic else train_ours
                model_file, notes = fit(data, args.set, seed, args.steps, Path(run))
                seconds = time.time() - started
                spreads, dice, trivial = judge(model_file, data, args.set, CLASSIC_TEST_PX if classic else None)
            flat, at_baseline = np.mean(np.array(spreads) < FLAT) >= 0.5, dice <= trivial
            verdicts = [word for word, true in (("flat", flat), ("at baseline", at_baseline)) if true]
            for seeds, true in ((flat_ones, flat), (baseline_ones, at_baseline), (grey_ones, flat or at_baseline)):
                seeds += [seed] * bool(true)
            row = f"{seed:6}{np.median(spreads):8.3f}{dice:8.3f}{trivial:9.3f}{seconds:9.0f}"
            print(f"{row}  {'; '.join(verdicts + notes)}", flush=True)
            keras.utils.clear_session()
    print(
        f"{len(grey_ones)} of {len(args.seeds)} grey: {len(flat_ones)} flat, {len(baseline_ones)} at baseline "
        "(spread: median over the test images; trivial: Dice of a mask that shows nothing)"
    )


if __name__ == "__main__":
    main()
