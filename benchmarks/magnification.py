"""Pictures of another magnification than the model learnt, with and without `predict --diameter`.

    python benchmarks/magnification.py FOLDER               the 8 real test fields
    python benchmarks/magnification.py FOLDER --part train  the 8 training fields, by weights that have not seen them
                                                            (--model weights/sample.keras): where constants were chosen

FOLDER as for `python benchmarks/cells.py`. Each field is brought to 0.5, 0.7, 1.4 and 2 times its size, the picture by
the area of pixels or by cubic interpolation, its true labels by the nearest pixel. F1 is of cells at IoU above 0.5,
Dice of the pixels of all fields. `found` is the typical diameter of all cells found, in pixels, by which `predict` says
that the magnification is another one.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from main import quiet_start
from measuring.cells import find_cells, smallest_area_px
from pairing.objects import sizes
from predicting.magnification import Stated
from predicting.predictor import Predictor
from preparing import download
from scoring import metrics
from scoring.objects import match_objects, object_scores
from weights.start import PAP_SMEAR

TIMES = (1, 0.5, 0.7, 1.4, 2)


def fields(folder, part):
    """(picture, true labels), both (height, width), of each field."""
    for field in download.read_registry():
        if field.part == part:
            image, *nuclei = (folder / field.source / file for file in field.files)
            yield download.merge(image, nuclei)


def at_size(picture, labels, times):
    """The two at another size."""
    size = tuple(round(n * times) for n in picture.shape[::-1])
    by = cv2.INTER_AREA if times < 1 else cv2.INTER_CUBIC
    labels = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return cv2.resize(picture, size, interpolation=by), labels.astype(np.int32)


def row(name, predictor, pictures):
    """Print a line of the table."""
    counts, areas, pixels = [], [], 0
    for picture, truth in pictures:
        scale = predictor.scale()
        probability = predictor.probability(picture[..., np.newaxis], scale=scale)
        mask = predictor.mask(probability)
        labels = find_cells(mask, 1, smallest_area_px(scale=scale), probability, scale).labels
        counts.append(match_objects(truth, labels))
        areas.append(np.bincount(labels.ravel())[1:])
        pixels = pixels + metrics.confusion_counts(truth, mask)[0]
    scores, found = object_scores(np.array(counts)[:, np.newaxis]), sizes(np.concatenate(areas))
    print(
        f"{name:20}{scores['f1']:8.3f}{metrics.scores_from_counts(pixels)['dice']:8.3f}{scores['true']:7}{scores['predicted']:7}"
        f"{found['typical_px'] if found else 0:8.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("test", "train"), default="test")
    parser.add_argument("--model", type=Path, default=PAP_SMEAR)
    args = parser.parse_args()
    own = list(fields(args.folder, {"test": "Test data", "train": "Train data"}[args.part]))
    print(f"{'':20}{'F1':>8}{'Dice':>8}{'true':>7}{'cells':>7}{'found':>8}")
    with quiet_start():
        plain = Predictor(args.model)
    typical = plain.metadata["objects"]["typical_px"]
    for times in TIMES:
        pictures = own if times == 1 else [at_size(*field, times) for field in own]
        row(f"{times:g} times the size", plain, pictures)
        if times != 1:
            with quiet_start():
                told = Predictor(args.model, stated=Stated(round(typical * times, 1)))
            row(f"  --diameter {typical * times:.1f}", told, pictures)


if __name__ == "__main__":
    main()
