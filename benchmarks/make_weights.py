"""Train the weights that the repository ships, and score them on the real test fields.

    python benchmarks/make_weights.py sample FOLDER      weights/sample.keras, from synthetic fields alone
    python benchmarks/make_weights.py pap_smear FOLDER   weights/pap_smear.keras, from there with 8 real training fields

With --sizes nothing is trained: the sizes of the objects are written into the files that are there.

FOLDER as for `python benchmarks/real_data.py cervix`. The test fields of the sample and of the real set are never
trained on.
"""

import argparse
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from real_data import run, write_cervix
from sparse_fields import make_field

from pairing.examples import Examples
from pairing.objects import sizes
from pairing.survey import read_folder
from predicting.export import export_onnx
from preparing.canvas import smooth
from preparing.sample import write_sample
from reading import images
from reading.files import replacing, write_json
from training.run import Run
from training.settings import Settings
from training.train import train
from weights.files import load, save
from weights.known_pictures import remember
from weights.metadata import MEMBER, parse
from weights.start import SAMPLE, WEIGHTS

SAMPLES = {"sample": (0, 1, 2), "pap_smear": (0,)}  # seeds of the samples trained on
SETTINGS = {
    "sample": Settings(validation_share=0.1, init="none"),
    # on all fields, to the end, since there are few real ones; the steps were chosen with half of them held out
    "pap_smear": Settings(validation_share=0, steps=440, init=str(SAMPLE)),
}

SPARSE_PX = 512  # of the fields with few nuclei or none
SPARSE = [(nuclei, noise, edge) for nuclei, noises in ((0, (1, 3, 8)), (2, (0, 2, 6)), (12, (0, 1, 4)), (40, (0, 2, 8)))
          for noise, edge in zip(noises, (0, 0.8, 1.6), strict=True)]  # fmt: skip
GRAINS = (1.5, 4, 12)  # px: smooth variations of an empty field

THRESHOLDS = {"pap_smear": 0.45}  # with the best Dice on halves of the training fields held out (benchmarks/README.md)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", choices=SAMPLES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", action="store_true", help="train nothing: only write the sizes of what was learnt")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_cervix(args.folder, data, training=args.weights == "pap_smear", numbered=True)
        for seed in SAMPLES[args.weights]:
            add_sample(data, Path(folder) / str(seed), seed)
        if args.weights == "pap_smear":
            add_sparse(data)
        if args.sizes:
            return write_sizes(WEIGHTS / f"{args.weights}.keras", data)
        trained = Path(folder) / "run"
        # What the start knows, the sample, is among the pictures, so nothing of it is forgotten: no mean with it.
        with patch("training.averaging.is_better", lambda *_: False):
            card = train(Run(data, trained, SETTINGS[args.weights]))
        network, stored = load(trained / "model.keras")
        for settings in (card["settings"], stored["settings"]):
            settings["init"] = Path(settings["init"]).name  # not where this copy of the repository lies
        pictures = sorted((data / "Train data" / "Images").iterdir())
        stored["threshold"] = THRESHOLDS.get(args.weights, stored["threshold"])
        stored["trained_on"] = [remember(images.read(path)) for path in pictures]
        WEIGHTS.mkdir(exist_ok=True)
        target = WEIGHTS / f"{args.weights}.keras"
        save(network, target, stored)
        export_onnx(target, target.with_suffix(".onnx"))
        run("predict", "--data", data, "--model", target)
        run("evaluate", "--data", data)
        scores = json.loads((data / "Test data" / "Predicted images" / "scores.json").read_text(encoding="utf-8"))
    keys = ("seconds", "training_tflop", "parameters", "best_epoch", "settings", "versions", "hardware")
    write_json(
        WEIGHTS / f"{args.weights}.json",
        {
            "trained_on": f"{len(pictures)} fields",
            **{key: card[key] for key in keys},
            "objects": card["objects"],
            "scores": {key: scores[key] for key in ("dice", "iou", "accuracy", "precision", "recall")},
        },
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, Dice on the real test fields {scores['dice']:.4f}")


def write_sizes(path, data):
    """Note in a model file, its export and its card how large the objects of a data folder are; its weights stay."""
    found = read_folder(data / "Train data", data, quiet=True)
    coding = found.survey.coding()
    examples = Examples(found.pairing.pairs, coding, 1, 256, False, found.survey.drawn(), found.contents)
    for index in range(len(examples)):
        examples[index]
    objects = sizes(np.concatenate(list(examples.areas.values())))
    with zipfile.ZipFile(path) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for info, content in members.items():
            if info.filename == MEMBER:
                content = json.dumps(parse(content) | {"objects": objects}, indent=2)
            archive.writestr(info, content)
    export = path.with_suffix(".onnx")
    if export.is_file():
        export_onnx(path, export)
    card = path.with_suffix(".json")
    write_json(card, json.loads(card.read_text(encoding="utf-8")) | {"objects": objects})
    print(f"{path}: {objects}")


def add_sample(data, folder, seed):
    """The training fields of the sample of a seed, nuclei numbered, under names of their own."""
    write_sample(folder, seed=seed, numbered=True)
    for kind in ("Images", "Masks"):
        (data / "Train data" / kind).mkdir(parents=True, exist_ok=True)
        for path in (folder / "Train data" / kind).iterdir():
            os.replace(path, data / "Train data" / kind / f"sample{seed}_{path.name}")
    shutil.rmtree(folder)


def add_sparse(data):
    """Fields with few nuclei or none, with noise and dust (`sparse_fields`), numbered."""
    rng = np.random.default_rng(1)
    fields = [make_field(rng, SPARSE_PX, nuclei, noise, edge=edge, specks=4) for nuclei, noise, edge in SPARSE]
    for grain in GRAINS:
        image, labels = make_field(rng, SPARSE_PX, 0, 0.5)
        ground = smooth(rng.standard_normal(labels.shape, np.float32), grain)[..., np.newaxis]
        fields.append((np.rint((image + 4 * ground / ground.std()).clip(0, 255)).astype(np.uint8), labels))
    for number, (image, labels) in enumerate(fields):
        images.write_png(data / "Train data" / "Images" / f"sparse{number:02d}.png", image[..., 0])
        images.write_png(data / "Train data" / "Masks" / f"sparse{number:02d}.png", labels.astype(np.uint8))


if __name__ == "__main__":
    main()
