"""How well cells that overlap are found whole: synthetic fields of the sample, whose true whole cells are known.

    python benchmarks/overlap.py MODEL.keras     by true masks of three classes, and by those that a network predicts
    python benchmarks/overlap.py --fit           the weights of measuring/overlaps.py, from other fields

The measures are those of the ISBI 2014 challenge (Lu, Carneiro, Bradley, IEEE J. Biomed. Health Inform. 21, 2017). A
true cell counts as found where a cell found has a Dice above 0.7 with it. Dice, TPp (how much of the true cell was
found) and FPp (how much of what is outside it was taken for it) are means over the cells found, FNo is the share of
cells that were not. Cells that are cut by the edge count by what lies in the field, where their nucleus does.

Each is measured twice: with cytoplasm parted in the middle between the nuclei, and with whole cells. A cell has three
layers where two others lie on at least 2 % of it at once.

MODEL.keras comes from `python main.py prepare --source sample --classes 3 --data FOLDER` and `train --data FOLDER`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from main import quiet_start
from measuring.cells import find_cells, pieces
from measuring.overlaps import RAYS, STEPS, rays_of, stain_of, step_of
from measuring.whole_cells import WholeCell, common
from predicting.predictor import Predictor
from preparing.whole_cells import make_whole_cells

FOUND = 0.7
GROUPS = ("alone", "up to a third", "more", "three layers", "all")
TO_FIT, TO_TEST = (501, 502), (601, 602)  # seeds of the sample, none of which the networks are trained on
SLIDES = 12
LEAST_THREE = 0.02
BLUR, PENALTY = 1.0, 1e-3  # steps by which true ends are spread, and on the square of weights of unit spread


def fields(seeds):
    """(image (height, width, 1), class ids, the true `WholeCell`s, layers) of a field a slide."""
    for seed in seeds:
        for slide in range(SLIDES):
            image, classes, cells, layers = make_whole_cells(slide, 0, seed=seed)
            yield image[..., np.newaxis], classes, [WholeCell(*cell) for cell in cells], layers


def group_of(cell, layers):
    """The index in `GROUPS` of a true cell."""
    over = layers[cell.place()][cell.pixels]
    if (over > 2).mean() >= LEAST_THREE:
        return 3
    shared = (over > 1).mean()
    return int(shared > 0) + int(shared > 1 / 3)


def matched(true, found, layers):
    """Of each true cell: group, Dice of the best one found, the share of it and of the rest that this one covers."""
    rows = []
    sizes = np.array([np.count_nonzero(cell.pixels) for cell in (*true, *found)])
    shared = np.zeros((len(true), len(found)))
    for (one, other), (_, both) in common([*true, *found]).items():
        if one < len(true) <= other:
            shared[one, other - len(true)] = np.count_nonzero(both)
    for number, cell in enumerate(true):
        dice = 2 * shared[number] / (sizes[number] + sizes[len(true) :])
        best = int(dice.argmax()) if len(found) else None
        on, size = (shared[number, best], sizes[len(true) + best]) if len(found) else (0, 0)
        score = dice[best] if len(found) else 0
        rows.append((group_of(cell, layers), score, on / sizes[number], (size - on) / (layers.size - sizes[number])))
    return rows


def print_table(name, rows):
    rows = np.array(rows)
    print(f"\n{name}\n{'':15}{'cells':>6}{'Dice':>8}{'FNo':>8}{'TPp':>8}{'FPp':>9}")
    for number, group in enumerate(GROUPS):
        of_group = rows if group == "all" else rows[rows[:, 0] == number]
        if not len(of_group):
            continue
        found = of_group[:, 1] > FOUND
        dice, inside, outside = of_group[found, 1:].mean(0) if found.any() else [np.nan] * 3
        print(f"{group:15}{len(of_group):6}{dice:8.3f}{1 - found.mean():8.3f}{inside:8.3f}{outside:9.5f}", flush=True)


def measure(model):
    """Print the tables: true masks, then a network's."""
    with quiet_start():
        predictor = Predictor(model)
    rows = {}
    for image, classes, true, layers in fields(TO_TEST):
        probability = predictor.probability(image)
        for kind, mask, sure in (("true", classes, None), ("predicted", predictor.mask(probability), probability)):
            for way, picture in (("parted in the middle", None), ("whole cells", image)):
                found = find_cells(mask, 3, probability=sure, image=picture).whole
                rows.setdefault(f"{kind} masks, {way}", []).extend(matched(true, found, layers))
    for name, of_way in rows.items():
        print_table(name, of_way)


# ---------------------------------------------------------------------------------------------------------- the weights


def fit():
    """The weights under which true ends of rays are most likely, of all places where they may be (a conditional logit).

    Of every fourth ray, with a penalty on large ones.
    """
    from scipy.optimize import minimize

    values, chances = (np.concatenate(part) for part in zip(*rays_to_learn_from(), strict=True))
    spread = values.reshape(-1, values.shape[-1]).std(0)
    values = values / spread

    def loss(weights):
        scores = np.where(np.isfinite(chances), values @ weights.astype(np.float32), -np.inf)
        scores -= scores.max(1, keepdims=True)
        all_of_ray = np.exp(scores).sum(1, keepdims=True)
        wanted = np.nan_to_num(chances)
        logarithm = np.where(np.isfinite(scores), scores, 0) - np.log(all_of_ray)
        slope = np.einsum("ij,ijf->f", wanted - np.exp(scores) / all_of_ray, values) / len(values)
        return (
            PENALTY * (weights**2).sum() - (wanted * logarithm).sum() / len(values),
            2 * PENALTY * weights - slope,
        )

    found = minimize(loss, np.zeros(values.shape[-1]), jac=True, method="L-BFGS-B")
    print(f"{len(values)} rays: WEIGHTS =", tuple((found.x / spread).round(2).tolist()))


def rays_to_learn_from():
    """Of each true cell with others in its piece: features (rays, STEPS, n), chances (rays, STEPS), NaN outside."""
    for image, classes, true, _ in fields(TO_FIT):
        nuclei = find_cells(classes, 3).labels
        for box, parted, seeds in pieces(nuclei, classes > 0):
            if (seeds[seeds > 0] == seeds.max()).all():
                continue
            step = step_of(parted)
            for rays in rays_of(parted, seeds, stain_of(image[box], parted > 0, seeds > 0, step), step):
                features = rays.features()
                for number, middle in enumerate(rays.middles + (box[0].start, box[1].start)):
                    cell = owner(middle, true)
                    if cell is None:
                        continue
                    ends = true_ends(rays, number, middle, cell)
                    near = np.exp(-(((np.arange(STEPS) - ends[:, np.newaxis]) / BLUR) ** 2) / 2)
                    chances = np.where(rays.allowed[number], near, np.nan)
                    sums = np.nansum(chances, axis=1, keepdims=True)
                    used = (sums[:, 0] > 0.5) & (ends < STEPS - 1) & (np.arange(RAYS) % 4 == 0)
                    yield features[number][used], (chances / sums)[used]


def owner(middle, true):
    """The true cell in whose middle a nucleus lies: of those that hold its middle the one least off, or None."""
    holding = []
    for cell in true:
        place = np.rint(middle).astype(int) - cell[:2]
        if (place >= 0).all() and (place < cell.pixels.shape).all() and cell.pixels[tuple(place)]:
            off = np.hypot(*(place - np.divide(cell.pixels.shape, 2))) / np.sqrt(cell.pixels.sum())
            holding.append((off, len(holding), cell))
    return min(holding)[2] if holding else None


def true_ends(rays, number, middle, cell):
    """The first step past the true cell on each ray of a nucleus: int (RAYS,)."""
    away = rays.directions[:, :, np.newaxis] * np.arange(STEPS) * rays.step
    places = np.rint(middle[:, np.newaxis, np.newaxis] + away).astype(int) - np.reshape(cell[:2], (2, 1, 1))
    limits = np.reshape(cell.pixels.shape, (2, 1, 1))
    within = ((places >= 0) & (places < limits)).all(0)
    inside = within & cell.pixels[tuple(np.clip(places, 0, limits - 1))]
    ends = np.where(inside.any(-1), STEPS - inside[:, ::-1].argmax(-1), 0)
    return np.maximum(np.minimum(ends, rays.leaves[number]), rays.starts[number])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()
    if args.fit:
        fit()
    elif args.model is None:
        parser.error("no model received; expected one of three classes, trained on the sample (see above), or --fit")
    else:
        measure(args.model)


if __name__ == "__main__":
    main()
