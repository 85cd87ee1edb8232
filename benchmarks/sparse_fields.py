"""How many cells are found in fields with few nuclei, or none, where there is little to stretch grey values by.

    python benchmarks/sparse_fields.py                     512 to 2048 px, 0 to 50 nuclei, noise of 0 to 8 grey levels
    python benchmarks/sparse_fields.py --sizes 4096        larger ones

Bright fields with slight shading and pieces of dust, and nuclei 12 to 24 px across that take 33 to 70 % of the light,
with soft edges and sharp ones; grey and colour, 8 and 16 bits by turns (12 bits in the lower ones of 16, too). Right is
a count within 1 or 10 % of the truth, and none where there is none. The shipped weights were trained on fields of this
kind too, of other seeds (`make_weights.py`).
"""

import argparse
import sys
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from main import quiet_start
from measuring import cells
from predicting.predictor import Predictor
from preparing.canvas import smooth
from weights.start import PAP_SMEAR

NUCLEI = (0, 1, 2, 5, 10, 20, 50)
NOISE = (0, 1, 2, 4, 8)  # standard deviations, grey levels of 255
STAIN = np.array([0.75, 1.2, 0.6], np.float32)  # optical densities of a violet nucleus in red, green and blue
APART_PX = 40  # between centres
EDGES = (0.8, 0, 1.6)  # px of blur, by turns
KINDS = {
    "grey, 8 bits": (1, np.uint8, 1), "colour, 8 bits": (3, np.uint8, 1), "grey, 12 in 16 bits": (1, np.uint16, 16),
    "grey, 16 bits": (1, np.uint16, 257), "colour, 16 bits": (3, np.uint16, 257),
}  # fmt: skip


def make_field(rng, size, nuclei, noise, channels=1, dtype=np.uint8, factor=1, edge=0.8, specks=0):
    """A bright field with nuclei apart from each other, 255 · `factor` white.

    noise: standard deviation in grey levels of 255. edge: of the blur of the nuclei's edges in px; 0, sharp as cut out.
    specks: how many pieces of dust, dark and 1 to 4 px wide, lie about.
    Returns (image, labels): `dtype` (height, width, channels), and int32 (height, width), which number the nuclei.
    """
    density, labels = np.zeros((size, size), np.float32), np.zeros((size, size), np.int32)
    centres = []
    while len(centres) < nuclei:
        centre = rng.uniform(20, size - 20, 2)
        if all(np.hypot(*(centre - other)) > APART_PX for other in centres):
            centres.append(centre)
            at = np.rint(np.append(centre, rng.uniform(6, 12, 2)) * 16).astype(int).tolist()  # in sixteenths of a pixel
            turn, darkness = rng.uniform(0, 180), rng.uniform(0.4, 1.2)
            for canvas, value, line in ((density, darkness, cv2.LINE_AA if edge else 8), (labels, len(centres), 8)):
                cv2.ellipse(canvas, at[:2], at[2:], turn, 0, 360, value, -1, line, 4)
    density = smooth(density, edge)
    for row, column in rng.integers(10, size - 10, (specks, 2)):
        tall, wide = rng.integers(1, 5, 2)
        if not labels[row - 8 : row + 12, column - 8 : column + 12].any():
            density[row : row + tall, column : column + wide] = rng.uniform(0.5, 2)
    density = density[..., np.newaxis] * (STAIN if channels == 3 else 1)
    across = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    light = rng.uniform(200, 245) * (1 - rng.uniform(0, 0.05) * (across + across[:, np.newaxis]))[..., np.newaxis]
    image = light * np.exp(-density) + rng.normal(0, noise, density.shape).astype(np.float32)
    return (np.rint(image.clip(0, 255)) * factor).astype(dtype), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--model", type=Path, default=PAP_SMEAR)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with quiet_start():
        predictor = Predictor(args.model)
    print(f"{'pixels':>7}{'noise':>6}  {'true:':>5}" + "".join(f"{number:6}" for number in NUCLEI))
    fields, right, invented, started = 0, 0, 0, time.time()
    for size, noise in product(args.sizes, NOISE):
        line = []
        for nuclei in NUCLEI:
            kind = list(KINDS.values())[fields % len(KINDS)]
            rng, edge = np.random.default_rng([args.seed, size, noise, nuclei]), EDGES[fields % len(EDGES)]
            image, _ = make_field(rng, size, nuclei, noise, *kind, edge=edge, specks=size // 512)
            probability = predictor.probability(image)
            found = len(cells.find_cells(predictor.mask(probability), probability=probability))
            good = abs(found - nuclei) <= (max(1, 0.1 * nuclei) if nuclei else 0)
            line.append(f"{found}{'' if good else '!'}")
            fields, right, invented = fields + 1, right + good, invented + (found if not nuclei else 0)
        print(f"{size:7}{noise:6}  {'found':>5}" + "".join(f"{text:>6}" for text in line), flush=True)
    print(f"{right} of {fields} counts within 1 or 10 % (none where there is none); {invented} cells in empty fields; "
          f"{time.time() - started:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
