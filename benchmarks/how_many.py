"""How many annotated fields are enough: Dice on 8 real test fields after training on 1, 2, 4 and all 8 of the others.

    python benchmarks/how_many.py FOLDER

FOLDER as for `python benchmarks/real_data.py cervix`. Each seed draws its own order of the eight training fields and
trains on the first n of it, with default options; a field is 1024×1024 pixels and holds 80 nuclei on average. Other
options than these two go to main.py: `--init none` starts from nothing rather than from the shipped weights.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from real_data import run_chain, write_cervix


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fields", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, others = parser.parse_known_args()
    print(f"{'fields':>6}  " + "".join(f"{f'seed {seed}':>8}" for seed in args.seeds) + f"{'mean':>8}")
    for count in args.fields:
        dice = [score_of(args.folder, count, seed, others) for seed in args.seeds]
        print(f"{count:6}  " + "".join(f"{score:8.3f}" for score in (*dice, np.mean(dice))), flush=True)


def score_of(source, count, seed, options):
    """Test Dice after training on the first `count` training fields in the order that `seed` draws."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_cervix(source, data)
        fields = sorted(path.name for path in (data / "Train data" / "Images").iterdir())
        for name in np.random.default_rng(seed).permutation(fields)[count:]:
            for kind in ("Images", "Masks"):
                (data / "Train data" / kind / name).unlink()
        return run_chain(data, seed, *options)["dice"]


if __name__ == "__main__":
    main()
