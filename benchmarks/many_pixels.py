"""Whether a training step waits for its data where the pixels do not fit into memory: 10 and 100 large colour fields.

    python benchmarks/many_pixels.py [--fields 10 100] [--size 2048] [--steps 40] [--rounds 3]

One network is fitted to both, in turn, with the default settings. What is kept in memory has room for some 22 fields of
2048×2048 in colour; the others lie decoded on the disk.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np

from data import Examples, PairedImageDataGenerator, TrainingBatches
from pairing.pairs import find_pairs
from pairing.survey import survey
from reading.images import write_png
from reading.pixel_store import PixelStore
from training import fitting, precision
from training.settings import Settings


def write_fields(folder, count, size):
    """Fields of violet discs on noise, and their masks."""
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((size, size), np.uint8)
        for row, column in rng.integers(0, size, (size // 8, 2)).tolist():
            cv2.circle(mask, (column, row), 12, 255, -1)
        image = rng.integers(215, 235, (size, size, 3), np.uint8) - (mask[..., np.newaxis] > 0) * np.uint8(
            [90, 120, 40]
        )
        write_png(folder / "Images" / f"field{number:03}.png", image)
        write_png(folder / "Masks" / f"field{number:03}.png", mask)


def make_batches(folder, settings, steps):
    """The batches of a folder as `training.train` makes them, and their store."""
    pairs, store = find_pairs(folder), PixelStore(folder)
    coding = survey(pairs, quiet=True).coding()
    examples = Examples(pairs, coding, 3, settings.crop_px, fit=False, store=store)
    generator = PairedImageDataGenerator(**settings.augmentation)
    batches = TrainingBatches(
        examples, generator, settings.crop_px, settings.batch, steps, settings.seed, settings.workers
    )
    return batches, store


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, nargs=2, default=[10, 100])
    parser.add_argument("--size", type=int, default=2048, help="pixels (default: 2048)")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    settings, made = Settings(precision=precision.fastest(), loss="bce"), {}
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        for count in args.fields:
            own = Path(folder) / str(count)
            write_fields(own, count, args.size)
            began = time.perf_counter()
            made[count], store = make_batches(own, settings, args.steps)
            ready = time.perf_counter() - began
            print(f"{count} fields: ready after {ready:.0f} s, {store.bytes / 1e9:.1f} GB on the disk", flush=True)
        network, _ = fitting.new_network(settings, 3, made[args.fields[0]])
        seconds = {count: [] for count in made}
        for turn in range(args.rounds + 1):
            for count, batches in made.items():
                began = time.perf_counter()
                network.fit(batches, epochs=1, shuffle=False, verbose=0)
                if turn:  # the first one compiles
                    seconds[count].append((time.perf_counter() - began) / args.steps)
    few, many = (float(np.median(seconds[count])) for count in args.fields)
    print(f"a step: {1000 * few:.0f} ms with {args.fields[0]} fields, {1000 * many:.0f} ms with {args.fields[1]}")
    print(f"{many / few - 1:+.1%}")


if __name__ == "__main__":
    main()
