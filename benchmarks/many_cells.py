"""What `predict --cells` costs where there are many cells: seconds and memory, also beside another checkout.

    python benchmarks/many_cells.py                              a picture of 2000×2000 pixels with 2,000 cells
    python benchmarks/many_cells.py --slide 6144                 a slide of 6144×6144 pixels, 500 cells a megapixel, and
                                                                 whether its cells are those of a part of it in memory
    python benchmarks/many_cells.py --beside ../before --pairs 3 the two checkouts by turns, each as often

Each command is a process of its own: its seconds by the clock and of the processor, and the most memory that it held.
`--empty SHARE` of a slide's rows are bare glass (default: none).
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np

from measuring.cells import find_cells, smallest_area_px
from predicting.predictor import Predictor
from reading.images import write_png
from reading.large_images import open_source
from weights.start import PAP_SMEAR

FIELD_PX, TILE_PX = 2048, 512
PER_MEGAPIXEL = 500
REGION = (512, 1024, 2048, 2048)  # row, column, height, width; on the grid of the network's coarsest level
MARGIN = 256  # of the region: a cell nearer to its border may go on outside, or hang on what is there
LEVELS = (1, 4, 16)


def smear(side, count, seed=0):
    """A grey field of `count` dark nuclei, 14 to 26 pixels across, some of them touching: uint8 (side, side)."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 20)
    field = 215 + 8 * field / field.std()
    for x, y in rng.uniform(0, side, (count, 2)):
        axes = rng.uniform(7, 13, 2).round().astype(int).tolist()
        cv2.ellipse(field, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, rng.uniform(70, 130), -1)
    return (cv2.GaussianBlur(field, (0, 0), 1.2) + rng.normal(0, 3, field.shape)).clip(0, 255).astype(np.uint8)


def write_slide(path, side, empty):
    """A pyramidal slide of `side` pixels a side that repeats one field, its last rows bare glass."""
    import tifffile

    field = smear(FIELD_PX, round(PER_MEGAPIXEL * FIELD_PX**2 / 1e6))
    filled = round(side * (1 - empty))
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for step in LEVELS:
            small = cv2.resize(field, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            small = np.stack([small] * 3, axis=-1)
            length = side // step
            count = -(-length // TILE_PX)
            glass = np.full((TILE_PX, TILE_PX, 3), 215, np.uint8)

            def tiles(small=small, count=count, step=step, glass=glass):
                for i in range(count):
                    for j in range(count):
                        rows, columns = ((n * TILE_PX + np.arange(TILE_PX)) % len(small) for n in (i, j))
                        yield small[np.ix_(rows, columns)] if i * TILE_PX * step < filled else glass

            tiff.write(
                tiles(), shape=(length, length, 3), dtype=np.uint8, tile=(TILE_PX, TILE_PX), photometric="rgb",
                compression="jpeg", subfiletype=int(step > 1), resolution=(40000 / step,) * 2,
                resolutionunit="CENTIMETER", metadata=None,
            )  # fmt: skip


def timed(checkout, picture, model, out):
    """Seconds, seconds of the processor, GB and cells of one `predict --cells` by a checkout."""
    words = [sys.executable, "main.py", "predict", str(picture), "--model", str(model), "--cells", "--out", str(out)]
    began = time.perf_counter()
    process = subprocess.Popen(words, cwd=checkout, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{checkout}: predict ended with status {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - began
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, len(read_cells(out))


def read_cells(out):
    """Centroid row and column in pixels, and area in the table's unit, of each cell of `cells.csv`: float (n, 3)."""
    with (out / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    (area,) = {name for row in rows[:1] for name in row if name.startswith("area_")}
    names = "centroid_row_px", "centroid_column_px", area
    return np.array([[float(row[name]) for name in names] for row in rows])


def compare(slide, model, out):
    """Print how many cells of a part of a slide are found there and in that part in memory."""
    predictor = Predictor(model)
    with closing(open_source(slide)) as source:
        image, spread, size = source.read(*REGION), source.spread(predictor.channels), source.mpp
    probability = predictor.probability(image, spread)
    mask = predictor.mask(probability)
    cells = find_cells(mask, predictor.classes, smallest_area_px(size), probability)
    places = np.argwhere(cells.labels)
    owners = cells.labels[tuple(places.T)] - 1
    areas = np.bincount(owners)
    centres = np.stack([np.bincount(owners, axis) / areas for axis in places.T], axis=1)
    here = np.column_stack([centres, areas])
    there = read_cells(out) / (1, 1, size**2) - (*REGION[:2], 0)
    here, there = (cells[(abs(cells[:, :2] - 1024) < 1024 - MARGIN).all(1)] for cells in (here, there))
    apart = np.abs(here[:, np.newaxis] - there).max(2)  # the table has six digits
    print(
        f"of {image.shape[0]}×{image.shape[1]} pixels: {len(there)} cells of the slide, {len(here)} in memory, "
        f"{(apart < 0.02).any(1).sum()} the same"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slide", type=int, metavar="SIDE", help="a slide of so many pixels a side")
    parser.add_argument("--empty", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--pairs", type=int, default=1, metavar="N", help="how often each is run")
    parser.add_argument("--model", type=Path, default=PAP_SMEAR)
    args = parser.parse_args()
    checkouts = [*([args.beside] if args.beside else []), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / ("a.tif" if args.slide else "a.png")
        write_slide(picture, args.slide, args.empty) if args.slide else write_png(picture, smear(2000, 2000))
        print(f"{'':30}{'seconds':>9}{'CPU':>9}{'GB':>7}{'cells':>9}", flush=True)
        spent = {checkout: [] for checkout in checkouts}
        for number in range(args.pairs):
            for checkout in checkouts:
                out = Path(folder) / f"{number} {checkouts.index(checkout)}"
                found = timed(checkout.resolve(), picture, args.model.resolve(), out)
                spent[checkout].append(found[:2])
                print(
                    f"{checkout.resolve().name[:29]:30}{found[0]:9.1f}{found[1]:9.1f}{found[2]:7.2f}{found[3]:9}",
                    flush=True,
                )
        if args.beside:
            before, now = (np.sum(spent[checkout], axis=0) for checkout in checkouts)
            print("times as long: {:.2f} by the clock, {:.2f} of the processor".format(*(now / before)))
        if args.slide:
            compare(picture, args.model, out)


if __name__ == "__main__":
    main()
