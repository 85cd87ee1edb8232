"""How far counts of cells, and divisions of cells that touch, can be believed; on real fields that were held out.

    python benchmarks/counts.py FOLDER EVEN.keras ODD.keras

EVEN.keras was trained on the training fields with even numbers (EDF000, 002 …), ODD.keras on the others; each is asked
about the fields that it has not seen. Several pairs may follow each other. FOLDER as for `benchmarks/cells.py`.

Divisions: of the cells that touch others, how many lie on a nucleus of their own, by the column `division`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cells import fields

from measuring.cells import find_cells
from measuring.divisions import division

RANGES = (0, 0.25, 0.5, 0.75, 1.01)  # of `division`


def owners(labels, truth):
    """Overlaps of found cells (rows, from 1) with true nuclei (columns, from 1), in pixels: int (n, m)."""
    both = (labels > 0) & (truth > 0)
    shape = int(labels.max()), int(truth.max())
    shared = np.bincount((labels[both] - 1) * shape[1] + truth[both] - 1, minlength=shape[0] * shape[1])
    return shared.reshape(shape)


def is_own(shared):
    """Which found cells are counted rightly: of those that lie most on one nucleus, the one that covers most of it."""
    largest = shared.max(axis=1, initial=0)
    nucleus = shared.argmax(axis=1) if shared.shape[1] else np.zeros(len(shared), int)
    own = np.zeros(len(shared), bool)
    for number in np.unique(nucleus[largest > 0]):
        own[np.argmax(np.where(nucleus == number, largest, -1))] = True
    return own


def held_out(folder, models):
    """(name, true labels, `Cells`, probability) of each field, by the network of a pair that has not seen it."""
    for number, model in enumerate(models):
        for name, truth, probability, mask in fields(folder, "Train data", model):
            if int(name[-3:]) % 2 != number % 2:
                yield name, truth, find_cells(mask, probability=probability), probability


def print_divisions(found):
    """found: of `held_out`."""
    sure, own = [], []
    for _, truth, cells, probability in found:
        sure.append(division(cells, probability))
        own.append(is_own(owners(cells.labels, truth)))
    sure, own = np.concatenate(sure), np.concatenate(own)
    alone = np.isnan(sure)
    print(f"{'division':>12}{'cells':>8}{'a nucleus of their own':>25}")
    print(f"{'alone':>12}{alone.sum():8}{own[alone].mean():25.0%}")
    for low, high in zip(RANGES, RANGES[1:], strict=False):
        within = (sure >= low) & (sure < high)
        print(f"{f'{low:.2f}–{min(high, 1):.2f}':>12}{within.sum():8}{own[within].mean() if within.any() else 0:25.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    args = parser.parse_args()
    found = list(held_out(args.folder, args.models))
    print_divisions(found)


if __name__ == "__main__":
    main()
