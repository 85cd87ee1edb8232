"""StarDist beside ours: the same fields, the same CPU seconds and four times as many, one evaluator.

    python benchmarks/beside_stardist.py FOLDER --python PYTHON      cervix fields; FOLDER as of benchmarks/cells.py
    python benchmarks/beside_stardist.py --crowded --python PYTHON   synthetic touching nuclei of benchmarks/crowded.py

PYTHON is the interpreter of a virtual environment of its own, since StarDist takes another Keras:

    pip install stardist tensorflow tf_keras psutil

Both train from nothing and hold out one field, from which they choose their thresholds; what StarDist finds by its
default ones stands beside that. Ours trains with default settings; its CPU seconds (user and system, start-up included)
are StarDist's first limit, four times as many its second. StarDist trains with its own defaults (32 rays, grid 2 by 2,
Adam at 3e-4, halved on plateaus), patches of 256 and batches of 4 as ours, and the augmentation of its examples (flips,
quarter turns, intensity); no step is begun after the limit, and the weights are the best by its validation loss.
Schmidt, Weigert, Broaddus, Myers, MICCAI 2018.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if "--stardist" not in sys.argv:  # whose environment has none of this
    from benchmarks import crowded
    from benchmarks.cells import LARGE_PX, only_large
    from benchmarks.real_data import write_cervix
    from measuring.cells import LABELS_SUFFIX
    from preparing import download
    from reading import images
    from scoring.objects import match_objects, object_scores

CLASSIC = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


# ------------------------------------------------------------------------------------ in the environment of StarDist


def stardist(fields, seed, cpu_seconds):
    """Train and predict; writes the label images beside `fields`, an .npz file, and prints the CPU seconds.

    fields: images, labels, tested: (n, height, width) each, uint8, int32, uint8; grey.
    """
    import tensorflow
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    rng = np.random.default_rng(seed)
    tensorflow.keras.utils.set_random_seed(seed)
    given = np.load(fields)
    images = [normalize(image.astype(np.float32), 1, 99.8) for image in given["images"]]
    labels = list(given["labels"])
    held = int(rng.integers(len(images)))
    train = [i for i in range(len(images)) if i != held]

    def augment(image, mask):
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        turns = int(rng.integers(4))
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
        image = image * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2)
        return image + 0.02 * rng.uniform(0, 1) * rng.normal(size=image.shape), mask

    class Limit(tensorflow.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)
            if time.process_time() > cpu_seconds:
                raise TimeoutError

    steps = []
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=1, train_patch_size=(256, 256), train_batch_size=4,
        train_steps_per_epoch=25, train_epochs=10**6, train_tensorboard=False, use_gpu=False,
        train_reduce_lr={"factor": 0.5, "patience": max(4, int(cpu_seconds / 100)), "min_delta": 0},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model = StarDist2D(config, name="model", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(Limit())
        with contextlib.suppress(TimeoutError):
            model.train(
                [images[i] for i in train], [labels[i] for i in train],
                validation_data=([images[held]], [labels[held]]), augmenter=augment, seed=seed,
            )  # fmt: skip
        trained = time.process_time()
        model.keras_model.load_weights(str(Path(folder) / "model" / "weights_best.h5"))
        model.optimize_thresholds([images[held]], [labels[held]])
        tested = [normalize(image.astype(np.float32), 1, 99.8) for image in given["tested"]]
        usual = [model.predict_instances(image, prob_thresh=0.5, nms_thresh=0.4)[0] for image in tested]
        began = time.process_time()
        found = [model.predict_instances(image)[0] for image in tested]
    seconds = time.process_time() - began
    np.savez_compressed(Path(fields).with_name("found.npz"), found=np.int32(found), usual=np.int32(usual))
    thresholds = f"{model.thresholds.prob:.2f} and {model.thresholds.nms:.2f}"
    print(json.dumps({"steps": len(steps), "trained": trained, "predicted": seconds, "thresholds": thresholds}))


# ------------------------------------------------------------------------------------------- in our own environment


def cpu_seconds(command, **options):
    """(what a command prints, its CPU seconds, user and system, start-up and children included)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return printed.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(data, tested, seed):
    """(label images, CPU seconds of the training, of predicting) of `python main.py train` and `predict --cells`."""
    main, model, out = [sys.executable, ROOT / "main.py"], data / "runs" / "own" / "model.keras", data / "predicted"
    for i, picture in enumerate(tested):
        images.write_png(data / "pictures" / f"{i:03}.png", picture)
    options = ["--run", "own", "--runs", data / "runs", "--init", "none", "--seed", seed]
    _, training = cpu_seconds([*main, "train", "--data", data, *options])
    options = ["--model", model, "--cells", "--out"]
    _, first = cpu_seconds([*main, "predict", data / "pictures" / "000.png", *options, data / "first"])
    _, all_of_them = cpu_seconds([*main, "predict", data / "pictures", *options, out])
    found = [images.read(out / f"{i:03}{LABELS_SUFFIX}.png")[..., 0].astype(np.int32) for i in range(len(tested))]
    return found, training, (all_of_them - first) * len(tested) / (len(tested) - 1)  # without the start of the program


def theirs(python, fields, seed, seconds):
    """(label images by the thresholds that it chose, by 0.5 and 0.4, its default ones, and its facts) of StarDist."""
    command = [python, __file__, fields, "--stardist", "--seeds", seed, "--seconds", seconds]
    printed, _ = cpu_seconds(command, env=os.environ | CLASSIC)
    facts = json.loads(printed.splitlines()[-1])
    with np.load(fields.with_name("found.npz")) as found:
        return found["found"], found["usual"], facts


def print_row(name, truths, found, training, predicting):
    """One line of the table."""
    pairs = list(zip(truths, found, strict=True))

    def scores(pairs, overlap=0.5):
        return object_scores(np.array([match_objects(*pair, overlap=overlap) for pair in pairs])[:, np.newaxis])

    at_half, large = scores(pairs), scores([only_large(*pair) for pair in pairs])
    print(
        f"{name:22}{training:8.0f}{at_half['f1']:9.3f}{scores(pairs, 0.7)['f1']:9.3f}{large['f1']:10.3f}"
        f"{at_half['predicted']:8}{at_half['true']:6}{predicting / sum(truth.size for truth in truths) * 1e6:10.1f}",
        flush=True,
    )


def cervix(folder, data):
    """Writes the numbered training fields; returns (pictures, labels) of training and test fields."""
    write_cervix(folder, data, training=True, numbered=True)
    parts = {"Train data": [], "Test data": []}
    for field in download.read_registry():
        if field.part in parts:
            image, *nuclei = (folder / field.source / file for file in field.files)
            parts[field.part].append(download.merge(image, nuclei))
    return parts["Train data"], parts["Test data"]


def crowd(data):
    """The same of the synthetic fields."""
    made = [crowded.make_field(seed, colour=False) for seed in range(crowded.TRAINING + crowded.TEST)]
    for i, (picture, labels) in enumerate(made[: crowded.TRAINING]):
        images.write_png(data / "Train data" / "Images" / f"{i}.png", picture)
        images.write_png(data / "Train data" / "Masks" / f"{i}.png", labels.astype(np.uint16))
    return made[: crowded.TRAINING], made[crowded.TRAINING :]


def compare(args):
    """One table: a row for ours and two of StarDist, for each seed."""
    print(
        f"{'':22}{'CPU s':>8}{'F1 0.5':>9}{'F1 0.7':>9}{f'≥ {LARGE_PX} px':>10}{'found':>8}{'true':>6}{'CPU s/MP':>10}"
    )
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as data:
            data = Path(data)
            training, tested = crowd(data) if args.crowded else cervix(args.folder, data)
            pictures, truths = zip(*tested, strict=True)
            fields = data / "fields.npz"
            shown, labels = (np.array(arrays) for arrays in zip(*training, strict=True))
            np.savez(fields, images=shown, labels=labels, tested=np.array(pictures))
            found, seconds, predicting = ours(data, pictures, seed)
            print_row(f"ours, seed {seed}", truths, found, seconds, predicting)
            for times in (1, 4):
                found, usual, facts = theirs(args.python, fields, seed, times * seconds)
                costs = facts["trained"], facts["predicted"]
                print_row(f"StarDist × {times}, seed {seed}", truths, found, *costs)
                print_row("  default thresholds", truths, usual, *costs)
                print(f"    {facts['steps']} steps, thresholds chosen {facts['thresholds']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--crowded", action="store_true")
    parser.add_argument("--python", type=Path, help="of the environment that has StarDist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--stardist", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stardist:
        stardist(args.folder, args.seeds[0], args.seconds)
    else:
        compare(args)


if __name__ == "__main__":
    main()
