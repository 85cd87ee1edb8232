"""What several test files share: a small made-up data folder, a copy of the program, the files of a folder."""

import logging
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from predicting.magnification import Stated
from reading import intensity
from reading.images import write_png

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (
    "reading", "pairing", "preparing", "checking", "training", "predicting", "measuring", "scoring", "reporting",
    "weights", "correcting",
)  # fmt: skip
SMALL = {
    "crop_px": 32, "filters": 4, "depth": 2, "batch": 4, "steps": 30, "epochs": 2, "learning_rate": 1e-2,
    "precision": "float32",
}  # fmt: skip
UNTAUGHT = SMALL | {"init": "none"}  # the shipped weights fit no network as small, but "auto" loads them to find out
QUICK = UNTAUGHT | {"depth": 1, "steps": 2, "epochs": 1}  # where nothing has to be learnt


def make_folder(folder, seed=0, count=6, size=48, classes=1, colour=False):
    """Dark discs on a bright noisy ground; with 3 classes each disc has a darker core."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size]
    for i in range(count):
        centre, radius = rng.uniform(12, size - 12, 2), rng.uniform(6, 10)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        mask = (distance < radius).astype(np.uint8)
        if classes == 3:
            mask += distance < radius / 2
        image = 200 - 60.0 * mask + rng.normal(0, 8, mask.shape)
        image = np.clip(image, 0, 255).astype(np.uint8)
        if colour:
            image = np.stack([image, image, 255 - image // 2], -1)
        write_png(folder / "Train data" / "Images" / f"cell{i}.png", image)
        write_png(folder / "Train data" / "Masks" / f"cell{i}.png", mask * 255 if classes == 1 else mask)
    return folder


def copy_program(folder):
    """The program in `folder`, so that its runs and data are not made in this checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.ipynb")]:
        shutil.copy(path, folder)
    for room in PROGRAM:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))


def process_state():
    """What is one for the whole process: a program that calls this one, or a notebook, must find it as it was."""
    keras = sys.modules.get("keras")  # where it is loaded
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "opencv": cv2.getNumThreads(),
        "pillow": Image.MAX_IMAGE_PIXELS,
        "keras": keras and (keras.config.dtype_policy().name, keras.config.floatx()),
        "logs": [logging.getLogger(name).level for name in (None, "tf2onnx")],
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)],
    }


def listing(folder):
    """{path: its bytes} of all files below `folder`."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class ByBrightness:
    """Stands for a `Predictor`: bright is foreground, of three classes grey cytoplasm and bright nucleus."""

    path, threshold, flips, stated = __file__, 0.5, False, Stated()  # of a file: the record has its checksum

    def __init__(self, classes=1):
        self.classes, self.metadata = classes, {"classes": classes, "threshold": 0.5, "masks": None}

    def spread(self, image, known=None):
        return intensity.spread_of(image)

    def scale(self, um_per_px=None, reduced=1):
        return 1.0

    def probability(self, image, spread=None, scale=1.0):
        if self.classes == 1:
            return image[..., :1] / np.float32(255)
        return np.eye(self.classes, dtype=np.float32)[image[..., 0] // 100]

    def mask(self, probability):
        return (probability[..., 0] >= 0.5 if self.classes == 1 else probability.argmax(-1)).astype(np.uint8)
