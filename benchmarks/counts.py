"""How far counts of cells, and divisions of cells that touch, can be believed; on real fields that were held out.

    python benchmarks/counts.py FOLDER EVEN.keras ODD.keras
    python benchmarks/counts.py FOLDER --test MODEL.keras

EVEN.keras was trained on the training fields with even numbers (EDF000, 002 …), ODD.keras on the others; each is asked
about the fields that it has not seen. Several pairs may follow each other. FOLDER as for `benchmarks/cells.py`. Such
networks come from data folders with half of the fields of `prepare --source cervix` in their Train data and
`python main.py train --data HALF --init weights/sample.keras --seed 0`.

Divisions: of the cells that touch others, how many lie on a nucleus of their own, by the column `division`.

Counts: how often cells of a confidence lie on a nucleus of their own, the constants of `measuring/counting.py`, and how
often the true number lies in its interval, of each field by constants without it: by the cells' chances alone, with
those that are missed, and with the spread between pictures. --test: on the test fields, by the constants as they are.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cells import fields

from measuring import counting
from measuring.cells import BELIEVED, find_cells
from measuring.divisions import division

RANGES = (0, 0.25, 0.5, 0.75, 1.01)  # of `division`
CONFIDENCES = (BELIEVED, 0.7, 0.8, 0.9, 1.01)  # below it none is kept
NORMAL = 1.96


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


def all_fields(folder, part, models):
    """(name, true labels, `Cells`, probability) of each field of a part, by each model."""
    for model in models:
        for name, truth, probability, mask in fields(folder, part, model):
            yield name, truth, find_cells(mask, probability=probability), probability


def held_out(folder, models):
    """(name, true labels, `Cells`, probability) of each field, by the network of a pair that has not seen it."""
    for number, model in enumerate(models):
        for field in all_fields(folder, "Train data", [model]):
            if int(field[0][-3:]) % 2 != number % 2:
                yield field


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


def facts(name, truth, cells, probability):
    """(name, true number, confidence of each cell, whether it lies on a nucleus of its own)."""
    area = np.bincount(cells.labels.ravel(), minlength=len(cells) + 1)[1:]
    confidence = np.bincount(cells.labels.ravel(), probability[..., 0].ravel(), len(cells) + 1)[1:] / area
    return name, int(truth.max()), confidence, is_own(owners(cells.labels, truth))


def fit(found):
    """The constants of `measuring/counting.py` for fields, list of `facts`: slope, intercept, missed, spread."""
    from sklearn.linear_model import LogisticRegression

    confidence, own = (np.concatenate([field[i] for field in found]) for i in (2, 3))
    model = LogisticRegression(C=1000).fit(confidence[:, np.newaxis], own)
    missed = sum(field[1] - field[3].sum() for field in found) / len(own)
    constants = float(model.coef_[0, 0]), float(model.intercept_[0]), float(missed), 0.0
    with_constants(*constants)
    errors = []
    for _, true, confidence, _ in found:
        mean, variance = counting.expected(confidence)
        errors.append((np.log(true / mean)) ** 2 - variance / mean**2)
    return *constants[:3], float(np.sqrt(max(0, np.mean(errors))))


def with_constants(slope, intercept, missed, spread):
    counting.OWN, counting.MISSED, counting.SPREAD = (slope, intercept), missed, spread


def print_chances(found):
    confidence, own = (np.concatenate([field[i] for field in found]) for i in (2, 3))
    with_constants(*fit(found))
    print(f"{'confidence':>12}{'cells':>8}{'own':>8}{'as said':>9}")
    for low, high in zip(CONFIDENCES, CONFIDENCES[1:], strict=False):
        within = (confidence >= low) & (confidence < high)
        said = counting.chance_of_own(confidence[within]).mean()
        print(f"{f'{low:.1f}–{min(high, 1):.1f}':>12}{within.sum():8}{own[within].mean():8.0%}{said:9.0%}")


def print_intervals(found, fitted):
    """fitted: of each field by the constants that the others give."""
    inside = np.zeros(3, int)
    print(f"{'field':10}{'true':>6}{'found':>7}{'expected':>10}   95 % interval")
    for name, true, confidence, _ in found:
        if fitted:
            with_constants(*fit([field for field in found if field[0] != name]))
        chances = counting.chance_of_own(confidence)
        mean, variance = counting.expected(confidence)
        low, high = counting.interval([confidence])
        alone = NORMAL * np.sqrt((chances * (1 - chances)).sum())
        inside += [
            abs(true - chances.sum()) <= alone,
            abs(true - mean) <= NORMAL * np.sqrt(variance),
            low <= true <= high,
        ]
        outside = "" if low <= true <= high else "  outside"
        print(f"{name:10}{true:6}{len(confidence):7}{mean:10.1f}   {low}–{high}{outside}")
    print("inside: {} by the chances alone, {} with those missed, {} as written".format(*inside), f"of {len(found)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--test", action="store_true")
    args = parser.parse_args()
    if args.test:
        print_intervals([facts(*field) for field in all_fields(args.folder, "Test data", args.models)], fitted=False)
        return
    found = list(held_out(args.folder, args.models))
    print_divisions(found)
    found = [facts(*field) for field in found]
    print_chances(found)
    print("all fields: OWN ({:.1f}, {:.1f}), MISSED {:.2f}, SPREAD {:.2f}".format(*fit(found)))
    print_intervals(found, fitted=True)


if __name__ == "__main__":
    main()
