"""How near a training step comes to what the processor can do, and whether the model waits for its data.

    python benchmarks/train_step.py [--rounds 5] [--steps 250]

The limit: a step in float32 cannot take less than 6 × the multiply-adds of the network's convolutions (one forward and
two backward passes, 2 operations each) over the rate at which the same machine, in the same run, multiplies float32
matrices. Beside it stand the default step, in the number format that training takes here (`training/precision.py`), the
same in float32, without normalisation, with upsampling by Keras' own two layers, whole steps of a training with its
augmented crops, and the same network in plain PyTorch (float32) where that is installed. The rounds alternate, and
medians count.

The network waits where a step could begin and its batch is not made yet; that is counted apart. Making the batches
takes time from the steps in any case, since both share the cores.

A step is the share of an epoch, of as many steps as training's shortest: what Keras takes to begin and to end one
(tenths of a second, stopping the threads that make the batches) is part of it.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE": "0"}  # the second as training does

# ruff: noqa: E402
import cv2
import keras
import numpy as np

import model as networks
from data import Examples, PairedImageDataGenerator, TrainingBatches
from pairing import pairs
from pairing.survey import survey
from preparing.sample import write_sample
from training import budget, fitting, precision
from training.settings import FLOAT32, Settings

cv2.setNumThreads(1)  # as training does
MATRIX = 2048
TORCH_STEPS = 20  # a round; nothing is begun or ended around them
READY = "a step, its batch ready"


class Repeated(keras.utils.PyDataset):
    """One batch again and again: no data to wait for."""

    def __init__(self, batch, steps):
        super().__init__(workers=2)  # as training does; see `data.ValidationBatches`
        self.batch, self.steps = batch, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return self.batch


def matrix_rate():
    """Operations a second of float32 matrix products, the best of some."""
    a, b = (keras.random.normal((MATRIX, MATRIX), seed=seed) for seed in (0, 1))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        keras.ops.convert_to_numpy(keras.ops.matmul(a, b)[:1, :1])
        seconds.append(time.perf_counter() - started)
    return 2 * MATRIX**3 / min(seconds)


class Noted(TrainingBatches):
    """Training's batches, that note when each was made."""

    def __init__(self, *args):
        super().__init__(*args)
        self.made = {}

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.made[index] = time.perf_counter()
        return batch


class Steps(keras.callbacks.Callback):
    """Notes when each step could begin."""

    def on_train_begin(self, logs=None):
        self.begun = {}

    def on_train_batch_begin(self, batch, logs=None):
        self.begun[batch] = time.perf_counter()

    def waited(self, batches):
        """Seconds that steps waited for batches of a `Noted`."""
        return sum(max(0.0, batches.made[step] - begun) for step, begun in self.begun.items())


def fitted(network, batches, steps, *callbacks):
    """Seconds a step of `network.fit`."""
    started = time.perf_counter()
    network.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
    return (time.perf_counter() - started) / steps


def sample_batches(folder, settings, steps):
    write_sample(folder, train=(2, 1), test=(1, 1))
    found = pairs.find_pairs(Path(folder) / "Train data")
    shape = {"channels": 1, "crop_px": settings.crop_px, "fit": False}
    samples = Examples(found, coding=survey(found, quiet=True).coding(), **shape)
    generator = PairedImageDataGenerator(**settings.augmentation)
    return Noted(samples, generator, settings.crop_px, settings.batch, steps, settings.seed, settings.workers)


def plain_up_block(x, filters, upsampling, name):
    """`model.up_block` by the two layers that `UpsampledConv2D` joins."""
    x = keras.layers.UpSampling2D(2, name=f"{name}_up")(x)
    return keras.layers.Conv2D(filters, 2, padding="same", kernel_initializer="he_normal", name=f"{name}_up_conv")(x)


def torch_step(batch, filters, depth):
    """A function that takes one step of the same network in plain PyTorch, channels last, on a batch of ours."""
    import torch
    from torch import nn

    def block(before, after):
        second = [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), *second)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [filters * 2**level for level in range(depth + 1)]
            self.down = nn.ModuleList(block(n, m) for n, m in zip([1, *widths], widths, strict=False))
            self.up = nn.ModuleList(nn.Conv2d(2 * n, n, 2) for n in widths[:-1])
            self.merge = nn.ModuleList(block(2 * n, n) for n in widths[:-1])
            self.head = nn.Conv2d(filters, 1, 1)

        def forward(self, x):
            skips = []
            for level, down in enumerate(self.down):
                x = down(x if level == 0 else nn.functional.max_pool2d(x, 2))
                skips.append(x)
            for level in range(depth - 1, -1, -1):
                x = nn.functional.pad(nn.functional.interpolate(x, scale_factor=2), (0, 1, 0, 1))
                x = self.merge[level](torch.cat([skips[level], self.up[level](x)], 1))
            return self.head(x)

    network = UNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loss = nn.BCEWithLogitsLoss()
    image, mask = (torch.from_numpy(np.moveaxis(array, -1, 1).astype("float32")) for array in batch)
    image, mask = (array.to(memory_format=torch.channels_last) for array in (image, mask))

    def step():
        optimizer.zero_grad()
        loss(network(image), mask).backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    length = {"type": int, "default": fitting.SMALLEST_EPOCH}
    parser.add_argument("--steps", **length, help="of each kind in a round (default: %(default)s)")
    args = parser.parse_args()
    settings = Settings(precision=precision.fastest(), loss="bce")
    with tempfile.TemporaryDirectory() as folder:
        batches = sample_batches(folder, settings, args.steps)
        batch = batches[0]
        repeated = Repeated(batch, args.steps)
        networks_of = {
            title: fitting.new_network(replace(settings, **changes), 1, batches)[0]
            for title, changes in (
                (READY, {}),
                ("the same in float32", {"precision": FLOAT32}),
                ("the same without normalisation", {"normalization": "none"}),
            )
        }
        with mock.patch.object(networks, "up_block", plain_up_block):
            networks_of["the same, plain upsampling"] = fitting.new_network(settings, 1, batches)[0]
        network = networks_of[READY]
        multiply_adds = budget.count_multiply_adds(network, settings.crop_px, settings.crop_px)
        operations = 6 * multiply_adds * settings.batch
        kinds = {title: partial(fitted, of_title, repeated, args.steps) for title, of_title in networks_of.items()}
        steps, waits = Steps(), []

        def with_crops():
            batches.made = {}
            seconds = fitted(network, batches, args.steps, steps)
            waits.append(steps.waited(batches) / (seconds * args.steps))
            return seconds

        kinds["a step with augmented crops"] = with_crops
        try:
            step = torch_step(batch, settings.filters, settings.depth)
        except ImportError:
            pass
        else:

            def in_torch():
                started = time.perf_counter()
                for _ in range(TORCH_STEPS):
                    step()
                return (time.perf_counter() - started) / TORCH_STEPS

            kinds["the same network in PyTorch"] = in_torch
        for run in kinds.values():
            run()  # compiles, and warms up
        waits.clear()
        rates, seconds = [], {title: [] for title in kinds}
        for _ in range(args.rounds):
            rates.append(matrix_rate())
            for title, run in kinds.items():
                seconds[title].append(run())
    limit = operations / np.median(rates)
    print(f"layers compute in {settings.precision}")
    print(f"{np.median(rates) / 1e9:.0f} GFLOP/s in float32 matrix products; a step of {operations / 1e9:.1f} GFLOP")
    print(f"{'':34}{'ms':>8}{'of the limit':>14}")
    print(f"{'the limit':34}{1000 * limit:8.0f}{1:14.2f}")
    for title, values in seconds.items():
        share = np.median([operations / rate / value for rate, value in zip(rates, values, strict=True)])
        print(f"{title:34}{1000 * np.median(values):8.0f}{share:14.2f}")
    print(f"waiting for data: {np.median(waits):.2%} of the time of the steps with augmented crops")


if __name__ == "__main__":
    main()
