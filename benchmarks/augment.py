"""Augmented pairs of image and mask per second: ours beside two stock `ImageDataGenerator`s, zipped.

python benchmarks/augment.py [--rounds 5] [--size 256]

Both draw rotation, zoom, flips and brightness as training does by default, on the same images of random noise; noise
costs what pictures cost. Ours draws once for image and mask, composes one matrix and resamples with OpenCV; the stock
generators run one after the other, seeded alike, as in the older code. The rounds alternate, and the median counts.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from data import PairedImageDataGenerator
from training.settings import Settings

PAIRS, BATCH = 256, 8
AUGMENTATION = Settings().augmentation


def stock(images, masks):
    """Seconds that the zipped generators take for one pass over the pairs."""
    of_masks = {name: value for name, value in AUGMENTATION.items() if name != "brightness_range"}
    flows = [
        ImageDataGenerator(**options).flow(array, batch_size=BATCH, seed=0)
        for options, array in ((AUGMENTATION, images), (of_masks, masks))
    ]
    started = time.perf_counter()
    for _ in range(len(images) // BATCH):
        next(flows[0])
        next(flows[1])
    return time.perf_counter() - started


def ours(images, masks, threads):
    generator = PairedImageDataGenerator(**AUGMENTATION)
    flat = masks[..., 0]

    def batch(first):
        return [generator.random_pair(images[i], flat[i], i) for i in range(first, first + BATCH)]

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        for _ in pool.map(batch, range(0, len(images), BATCH)):
            pass
        return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="pixels (default: 256)")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'pairs a second':24}{'stock':>8}{'1 thread':>10}{'ratio':>7}{'2 threads':>11}{'ratio':>7}")
    for title, channels in (("grey", 1), ("colour", 3)):
        images = rng.integers(0, 256, (PAIRS, args.size, args.size, channels), np.uint8)
        masks = rng.integers(0, 2, (PAIRS, args.size, args.size, 1), np.uint8)
        seconds = [
            (stock(images, masks), ours(images, masks, 1), ours(images, masks, 2)) for _ in range(args.rounds + 1)
        ][1:]  # the first round warms up
        base, one, two = np.median(seconds, axis=0)
        ratios = np.median([(s / o, s / t) for s, o, t in seconds], axis=0)
        print(
            f"{f'{title}, {args.size}×{args.size}':24}{PAIRS / base:8.0f}{PAIRS / one:10.0f}{ratios[0]:7.1f}"
            f"{PAIRS / two:11.0f}{ratios[1]:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
