"""Nuclei that crowd together: does a network that was told which pixels are of which nucleus keep them apart?

    python benchmarks/crowded.py                fluorescent nuclei, grey
    python benchmarks/crowded.py --colour       stained ones, colour

Synthetic fields, nine to train on and three to test, of which nine in ten nuclei touch another. The same training from
nothing twice: with masks that number the nuclei, and with the same masks without numbers. Printed are the Dice of the
mask and, at an IoU above 0.5, the F1 of its connected regions and of the cells that `--cells` finds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cells import pooled
from main import quiet_start
from preparing.canvas import blob, fill, smooth, texture
from reading import images

SIZE_PX, NUCLEI = 512, 170
TRAINING, TEST = 9, 3


def make_field(seed, colour):
    """One field: uint8 (512, 512), or (512, 512, 3) stained, and its nuclei, int32 (512, 512), 0 on background."""
    rng = np.random.default_rng((seed, 20))
    labels, density = np.zeros((SIZE_PX, SIZE_PX), np.int32), np.zeros((SIZE_PX, SIZE_PX), np.float32)
    placed = []  # (row, column, radius)
    for _ in range(6 * NUCLEI):
        radius = rng.uniform(8, 16)
        row, column = rng.uniform(0, SIZE_PX, 2)
        if placed and rng.random() < 0.85:  # beside an earlier one, pushed into it a little
            row, column, beside = placed[rng.integers(len(placed))]
            turn, gap = rng.uniform(0, 2 * np.pi), (radius + beside) * rng.uniform(0.85, 1)
            row, column = row + gap * np.sin(turn), column + gap * np.cos(turn)
        near = any(np.hypot(row - y, column - x) < 0.8 * (radius + r) for y, x, r in placed)
        if len(placed) < NUCLEI and not near and min(row, column) >= 0 and max(row, column) < SIZE_PX:
            placed.append((row, column, radius))
            add(labels, density, rng, *placed[-1])
    glow = np.repeat(np.repeat(rng.standard_normal((4, 4)), SIZE_PX // 4, 0), SIZE_PX // 4, 1).astype(np.float32)
    density = smooth(density, 1.6)[..., np.newaxis]
    if colour:
        image = 235 * np.exp(-density * np.float32([1.1, 1.3, 0.5])) + 3 * smooth(glow, 40)[..., np.newaxis]
    else:
        image = (20 + 150 * density[..., 0] + 8 * smooth(glow, 40))[..., np.newaxis]
    image = image + rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8).squeeze(), labels


def add(labels, density, rng, row, column, radius):
    """One nucleus, on top of nothing: pixels that another has stay with it."""
    half = int(2 * radius) + 6
    outline = blob(rng, radius, elongation=1 + abs(rng.normal(0, 0.3)), roughness=0.06)
    cover = (
        fill(outline, half) * rng.uniform(0.35, 1) * np.clip(1 + 0.25 * texture(rng, (2 * half, 2 * half), 4), 0.3, 2)
    )
    top, left = int(row) - half, int(column) - half
    here = np.s_[max(0, -top) : SIZE_PX - top, max(0, -left) : SIZE_PX - left]
    there = np.s_[max(0, top) : top + 2 * half, max(0, left) : left + 2 * half]
    own = (fill(outline, half)[here] >= 0.5) & (labels[there] == 0)
    labels[there][own] = labels.max() + 1
    density[there][own] += cover[here][own]


def write_folder(folder, colour, numbered):
    """The training fields as a data folder."""
    for seed in range(TRAINING):
        image, labels = make_field(seed, colour)
        mask = labels.astype(np.uint16) if numbered else np.uint8(255) * (labels > 0)
        images.write_png(folder / "Train data" / "Images" / f"{seed}.png", image)
        images.write_png(folder / "Train data" / "Masks" / f"{seed}.png", mask)


def predicted(model, colour):
    """(true labels, probability, predicted mask) of each test field."""
    from predicting.predictor import Predictor

    predictor = Predictor(model)
    for seed in range(TRAINING, TRAINING + TEST):
        image, labels = make_field(seed, colour)
        probability = predictor.probability(image)
        yield labels, probability, predictor.mask(probability)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=60, help="an epoch, of 5")
    args = parser.parse_args()
    with quiet_start():
        from training.run import Run
        from training.settings import Settings
        from training.train import train
    for seed in args.seeds:
        for numbered in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                write_folder(folder, args.colour, numbered)
                settings = Settings(seed=seed, steps=args.steps, init="none")
                card = train(Run(folder, folder / "run", settings), quiet=True)
                dice, ways = pooled(predicted(folder / "run" / "model.keras", args.colour))
            regions, found = ways["regions"], ways["cells"]
            print(
                f"seed {seed}, {'numbered' if numbered else 'merged  '} masks, {card['seconds']:.0f} s: "
                f"Dice {dice:.3f}, F1 of regions {regions['f1']:.3f}, of cells {found['f1']:.3f} "
                f"({found['predicted']} found, {found['true']} true)",
                flush=True,
            )


if __name__ == "__main__":
    main()
