"""Whether `suggest` chooses better than chance: Dice on 8 test fields after annotating 1, 2 and 4 of the 8 others.

    python benchmarks/suggest.py FOLDER --work DIR
    python benchmarks/suggest.py FOLDER --work DIR --doubt   whether a field that is doubted is one that comes out wrong

FOLDER as for `python benchmarks/real_data.py cervix`. For each seed one arm asks `suggest` again after each training:
first with weights/sample.keras, which knows synthetic smears alone (weights/pap_smear.keras was trained on these very
fields), then with the network just trained. The other arm takes the fields in an order that the seed draws. Trainings
are short, of one length in both arms, and each starts from what `train` takes by itself, which is weights/sample.keras
here. Every training keeps its scores in DIR, so that a stop loses one at most: the same command goes on. --minutes ends
it before the first training that would begin later.
"""

import argparse
import csv
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.real_data import run, write_cervix
from predicting.predictor import Predictor
from predicting.suggest import look_at
from reading import images

START = ROOT / "weights" / "sample.keras"
COUNTS = (1, 2, 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--steps", default="100")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--doubt", action="store_true", help="only say whether doubt goes with a low Dice")
    args = parser.parse_args()
    end = time.time() + 60 * args.minutes
    fields = args.work / "all"
    if not fields.is_dir():
        write_cervix(args.folder, fields)
    if args.doubt:
        print_doubt(fields)
        return
    for seed in args.seeds:
        for arm in ("suggest", "random"):
            for count in COUNTS:
                folder = args.work / f"{arm}_{seed}_{count}"
                if (folder / "scores.json").is_file():
                    continue
                if time.time() > end:
                    print("not finished; go on with the same command")
                    return
                shutil.rmtree(folder, ignore_errors=True)
                chosen = random_fields(fields, seed)[:count] if arm == "random" else suggested(args.work, seed, count)
                dice = train_on(fields, chosen, folder, seed, args)
                (folder / "scores.json").write_text(json.dumps({"fields": chosen, "dice": dice}))
                print(f"{arm} {seed} {count}: {dice:.4f} {chosen}", flush=True)
    print_table(args.work, args.seeds)


def names_of(fields, part="Train data"):
    return sorted(path.name for path in (fields / part / "Images").iterdir())


def random_fields(fields, seed):
    return np.random.default_rng(seed).permutation(names_of(fields)).tolist()


def suggested(work, seed, count):
    """The fields that `suggest` chooses, one after the other trained on as often as `COUNTS` says."""
    before = max((other for other in COUNTS if other < count), default=0)
    folder, model, taken = work / f"suggest_{seed}_{before}", START, []
    if before:
        model, taken = folder / "run", json.loads((folder / "scores.json").read_text())["fields"]
    pool, out = work / f"pool_{seed}_{count}", work / f"suggested_{seed}_{count}"
    shutil.rmtree(pool, ignore_errors=True)
    pool.mkdir()
    for name in set(names_of(work / "all")) - set(taken):
        shutil.copy(work / "all" / "Train data" / "Images" / name, pool)
    data = folder / "data"  # before the first training there is none, and nothing is annotated
    run("suggest", pool, "--data", data, "--model", model, "--out", out)
    with open(out / "suggested.csv", newline="", encoding="utf-8") as file:
        return taken + [row["image"] for row in csv.DictReader(file)][: count - before]


def train_on(fields, chosen, folder, seed, args):
    """Train on some fields; returns the Dice on the test fields. The run stays in `folder`."""
    data = folder / "data"
    for kind in ("Images", "Masks"):
        (data / "Train data" / kind).mkdir(parents=True)
        for name in chosen:
            shutil.copy(fields / "Train data" / kind / name, data / "Train data" / kind)
    length = ("--epochs", args.epochs, "--steps", args.steps)
    run("train", "--data", data, "--runs", folder, "--run", "run", "--seed", seed, *length)
    return test_dice(Predictor(folder / "run"), fields)


def test_dice(predictor, fields):
    """Dice of all pixels of the test fields together."""
    shared, marked = np.sum(
        [overlap(predictor, fields, "Test data", name) for name in names_of(fields, "Test data")], 0
    )
    return float(2 * shared / marked)


def overlap(predictor, fields, part, name):
    """Pixels that mask and truth of one field share, and the sum of the pixels of both."""
    mask = predictor.mask(predictor.probability(images.read(fields / part / "Images" / name))) > 0
    truth = images.read_mask(fields / part / "Masks" / name) > 0
    return (mask & truth).sum(), mask.sum() + truth.sum()


def print_doubt(fields):
    """Whether a field of which the network doubts much is one that it gets wrong: none of the 16 has it seen."""
    predictor, doubts, dice = Predictor(START), [], []
    for part in ("Train data", "Test data"):
        for name in names_of(fields, part):
            doubts.append(look_at(predictor, fields / part / "Images" / name).doubt)
            shared, marked = overlap(predictor, fields, part, name)
            dice.append(2 * shared / marked)
    found = spearmanr(doubts, np.subtract(1, dice)).statistic
    print(f"doubt and 1 - Dice of {len(dice)} fields by {START.name}: rank correlation {found:.2f}")


def print_table(work, seeds):
    for count in COUNTS:
        for arm in ("suggest", "random"):
            found = [json.loads((work / f"{arm}_{seed}_{count}" / "scores.json").read_text()) for seed in seeds]
            dice = [one["dice"] for one in found]
            fields = [" ".join(Path(name).stem for name in one["fields"]) for one in found]
            print(f"{count} {arm:8}", *(f"{score:7.3f}" for score in dice), f"mean {np.mean(dice):.3f}", fields)


if __name__ == "__main__":
    main()
