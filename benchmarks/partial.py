"""Scores on real cells of which a tenth is outlined, with the rest ignored, and with the rest learnt as background.

    python benchmarks/partial.py FOLDER                  FOLDER as of `real_data.py cervix`
    python benchmarks/partial.py FOLDER --share 0.2      a fifth of the outlines

In each of the eight training fields three rectangles (--places) around nuclei drawn at random grow while at most this
share of the field's nuclei reach into them. These are outlined, whole, as by somebody who gives the rectangles the
class Region*; "background" has the same outlines without the rectangles. The test fields are annotated completely.
Other options go to main.py, such as `--init none`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.real_data import run_chain
from pairing.outlines import filled, from_pixels, make_shape
from pairing.qupath_geojson import write_geojson
from preparing import download
from reading import images

STEP = 4  # px by which a side of a rectangle moves


def write_fields(source, data, share, places, seed, ignoring):
    """The fields in a data folder, those to train on with a share of their outlines.

    Returns (outlines drawn, all outlines, share of the pixels of the training fields that is known).
    """
    drawn = of_all = 0
    known = []
    for number, field in enumerate(download.read_registry()):
        image, *nuclei = (source / field.source / file for file in field.files)
        picture, labels = download.merge(image, nuclei)
        images.write_png(data / field.part / "Images" / f"{field.name}.png", picture)
        masks = data / field.part / "Masks"
        if field.part == "Test data":
            images.write_png(masks / f"{field.name}.png", np.uint8(255) * (labels > 0))
            continue
        areas, marked = choose_areas(labels, share, places, np.random.default_rng([seed, number]))
        shapes = [from_pixels("", labels == nucleus) for nucleus in marked]
        masks.mkdir(parents=True, exist_ok=True)
        write_geojson(masks / f"{field.name}.geojson", [*shapes, *(areas if ignoring else [])])
        drawn, of_all = drawn + len(marked), of_all + len(np.unique(labels[labels > 0]))
        known.append(union_area(areas, labels.shape) / labels.size)
    return drawn, of_all, np.mean(known)


def union_area(areas, size):
    """Pixels that lie in any of the areas."""
    inside = np.zeros(size, bool)
    for area in areas:
        place, pixels = filled(area, size)
        inside[place] |= pixels
    return np.count_nonzero(inside)


def choose_areas(labels, share, places, rng):
    """(Region* rectangles, the numbers of the nuclei that reach into any of them): at most this share of all nuclei."""
    numbers = np.unique(labels[labels > 0])
    budget = max(1, round(share * len(numbers)))
    places = min(places, budget)
    areas, marked = [], set()
    for place in range(1, places + 1):
        most = round(budget * place / places)
        rows, columns = np.nonzero(labels == rng.choice([n for n in numbers if n not in marked]))
        area, found = grow(labels, (rows.mean(), columns.mean()), marked, most)
        if area is not None:
            areas.append(area)
            marked |= found
    return areas, sorted(marked)


def grow(labels, middle, marked, most):
    """(the largest rectangle around a place, the nuclei reaching into it), of which `most` with those `marked` already.

    Each side moves outwards as long as no further nucleus is met, all in turn; None where not even a point is free.
    """
    sides, outwards = np.rint([*middle, *middle]).astype(int), np.array([-STEP, -STEP, STEP, STEP])
    ends = np.array([0, 0, *labels.shape])
    rectangle, found, moving = None, set(), [0, 1, 2, 3]
    while moving:
        for side in list(moving):
            further = sides.copy()
            further[side] = np.clip(further[side] + outwards[side], 0, ends[side])
            top, left, bottom, right = further.tolist()
            reaching = set(np.unique(labels[top:bottom, left:right]).tolist()) - {0}
            if further[side] == sides[side] or len(reaching | marked) > most:
                moving.remove(side)
                continue
            sides = further
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
            rectangle, found = make_shape("Region*", [[corners]]), reaching
    return rectangle, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--places", type=int, default=3, metavar="N", help="rectangles a field")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rest", choices=("ignored", "background"), nargs="+", default=["ignored", "background"])
    args, others = parser.parse_known_args()
    dice = {rest: [] for rest in args.rest}
    for seed in args.seeds:
        for rest in args.rest:
            with tempfile.TemporaryDirectory() as folder:
                data = Path(folder) / "data"
                drawn, of_all, known = write_fields(args.folder, data, args.share, args.places, seed, rest == "ignored")
                scores = run_chain(data, seed, *others)
            dice[rest].append(scores["dice"])
            print(
                f"seed {seed}, {drawn} of {of_all} outlines in {known:.1%} of the area, the rest {rest:10}: Dice "
                f"{scores['dice']:.3f}, precision {scores['precision']:.3f}, recall {scores['recall']:.3f}, F1 "
                f"{scores['objects']['f1']:.3f}",
                flush=True,
            )
    for rest, values in dice.items():
        print(f"the rest {rest}: mean Dice {np.mean(values):.3f} of {len(values)} seeds")


if __name__ == "__main__":
    main()
