"""Good folders for the data doctor, and the means to damage them."""

import shutil

import cv2
import numpy as np
import tifffile
from PIL import Image

TRAIN, TEST = "Train data", "Test data"


def make_scene(seed, size=128, cells=9):
    """Round cells of many sizes on a noisy ground: image 0…1, float (size, size), and labels 0…cells."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size]
    image, labels = np.zeros((size, size)), np.zeros((size, size), np.int32)
    for number in range(1, cells + 1):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(5, 13)
        angle, long = rng.uniform(0, np.pi), rng.uniform(1, 1.6)
        y, x = rows - centre[0], columns - centre[1]
        y, x = y * np.cos(angle) + x * np.sin(angle), (x * np.cos(angle) - y * np.sin(angle)) / long
        inside = np.hypot(y, x) < radius
        texture = cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), 2)
        image[inside] = rng.uniform(0.5, 0.8) + 0.4 * texture[inside]
        labels[inside] = number
    ground = cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), 3) * 0.15 + 0.12
    image = np.clip(np.where(labels > 0, image, ground) + rng.normal(0, 0.02, image.shape), 0, 1)
    return image, labels


def fill(folder, image_of, mask_of, train=8, test=4, size=128, suffix="png", seed=0):
    """A data folder; image_of(image 0…1) and mask_of(labels) make what is stored."""
    for part, numbers in ((TRAIN, range(train)), (TEST, range(train, train + test))):
        for number in numbers:
            image, labels = make_scene(seed + number, size)
            store(folder / part / "Images" / f"cell{number}.{suffix}", image_of(image))
            store(folder / part / "Masks" / f"cell{number}.png", mask_of(labels))
    return folder


def store(path, array, **keywords):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path, **keywords)


def grey(image):
    return np.rint(image * 255).astype(np.uint8)


def binary(labels):
    return np.where(labels > 0, 255, 0).astype(np.uint8)


def complaints(diagnosis):
    return [finding for finding in diagnosis.findings if finding.severity != "note"]


def image(folder, name="cell3", part=TRAIN):
    return folder / part / "Images" / f"{name}.png"


def mask(folder, name="cell3", part=TRAIN):
    return folder / part / "Masks" / f"{name}.png"


def change(path_of, function, name="cell3", part=TRAIN):
    """A fault that replaces the pixels of one file by function(pixels)."""

    def spoil(folder):
        path = path_of(folder, name, part)
        store(path, np.ascontiguousarray(function(np.array(Image.open(path)))))

    return spoil


def cut_short(path_of, keep, part=TRAIN, name="cell3"):
    def spoil(folder):
        path = path_of(folder, name, part)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return spoil


def copy_file(source, target):
    """Copy a file inside the folder: (part, kind, name) to (part, kind, name)."""

    def spoil(folder):
        shutil.copy(folder.joinpath(*source), folder.joinpath(*target))

    return spoil


def every_mask(function, part=TRAIN):
    def spoil(folder):
        for path in (folder / part / "Masks").iterdir():
            store(path, function(np.array(Image.open(path))))

    return spoil


def half(pixels):
    return pixels[::2, ::2]
