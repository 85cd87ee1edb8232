"""Folders of images and masks → checked pairs, the meaning of the mask values, the split by group, the scale.

Everything here is decided once for a whole folder and needs no Keras, so that `check` and `predict` start at once.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import images
from images import InputError

GROUP_PATTERN = re.compile(r"^(.+?)[ _.-](?:field|fov|tile|crop|patch|region|roi)[ _.-]?\d.*$", re.IGNORECASE)


# ------------------------------------------------------------------------------------------------------------ pairs


@dataclass(frozen=True)
class Pair:
    """One image file and its mask file, with the group (slide, field) that must not be split."""

    stem: str
    image: Path
    mask: Path | None
    group: str


def group_of(stem):
    """What a tile was cut from: `slide3_field2` → `slide3`, `EDF000_tile_03_04` → `EDF000`, `cell_017` → `cell_017`."""
    match = GROUP_PATTERN.match(stem)
    return match.group(1) if match else stem


def find_pairs(folder, masks="required"):
    """Pairs in `folder`/Images and `folder`/Masks, by exact stem (the file name without its suffix).

    Parameters
    ----------
    folder : path of `Train data` or `Test data`.
    masks : "required" (each image has one) or "optional" (an image without one gives `mask=None`).

    Returns a list of `Pair` sorted by stem. Raises `InputError` naming the files when there is no image, when two
    files share a stem, or when a required mask is missing.
    """
    folder = Path(folder)
    by_stem = _by_stem(folder / "Images")
    if not by_stem:
        raise InputError(
            f"{folder / 'Images'}: no images found; expected files such as PNG, TIFF or JPEG. Put your images there."
        )
    masks_by_stem = _by_stem(folder / "Masks") if (folder / "Masks").is_dir() else {}
    if masks == "required":
        without = [path.name for stem, path in by_stem.items() if stem not in masks_by_stem]
        if without:
            raise InputError(
                f"{folder / 'Masks'}: no mask for {some(without)}; expected for each image a mask of the same name, "
                "such as Images/a.tif and Masks/a.png. Add the masks, or take these images out."
            )
        orphans = [path.name for stem, path in masks_by_stem.items() if stem not in by_stem]
        if orphans:
            raise InputError(
                f"{folder / 'Images'}: no image for mask {some(orphans)}; expected an image of the same name for "
                "each mask. Add the images, or take these masks out."
            )
    return [Pair(stem, path, masks_by_stem.get(stem), group_of(stem)) for stem, path in by_stem.items()]


def has_files(data_dir, *folders):
    """True where a file stands in one of `folders` of `data_dir`, by default in any that takes images or masks."""
    folders = folders or [f"{part} data/{kind}" for part in ("Train", "Test") for kind in ("Images", "Masks")]
    return any(
        not path.name.startswith(".")
        for folder in folders
        if (Path(data_dir) / folder).is_dir()
        for path in (Path(data_dir) / folder).iterdir()
    )


def shared_images(training, tests):
    """Names of the test images that are, byte for byte, training images: their scores are worth nothing.

    Images of one name and different content, such as 0.png in both folders, are not shared.
    """
    by_size = {}
    for pair in training:
        by_size.setdefault(pair.image.stat().st_size, []).append(pair.image)
    return [
        test.image.name
        for test in tests
        if any(cmp(test.image, other, shallow=False) for other in by_size.get(test.image.stat().st_size, ()))
    ]


def _by_stem(folder):
    found = {}
    for path in images.list_images(folder):
        if path.stem in found:
            raise InputError(
                f"{folder}: {found[path.stem].name} and {path.name} share one name; expected one file a name. "
                "Rename or remove one."
            )
        found[path.stem] = path
    return found


def some(names, show=3):
    """A few of many names, for one line: `a, b, c and 5 more`."""
    names = list(names)
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def split_by_group(pairs, share=0.2, seed=0):
    """Split pairs into (training, validation), whole groups at a time, so that no slide or field is in both.

    The number of groups is rounded down, since where there are few of them each counts more in training; but one is
    held out where there are two or more. With a single group validation is empty. The same seed gives the same split
    whatever the order of `pairs`.
    """
    groups = sorted({pair.group for pair in pairs})
    if len(groups) < 2:
        return list(pairs), []
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(groups))
    held_out = {groups[i] for i in order[: max(1, int(share * len(groups)))]}
    return [p for p in pairs if p.group not in held_out], [p for p in pairs if p.group in held_out]


# ----------------------------------------------------------------------------------------------------------- survey


@dataclass(frozen=True)
class Survey:
    """What one pass over all files of a folder found.

    sizes : list of (height, width) in pixels, one an image.
    colour : True where at least one image carries colour.
    mask_values : dictionary from each value stored in a mask to its number of pixels.
    """

    sizes: list
    colour: bool
    mask_values: dict

    def span(self):
        """The sizes and kind of the images, for people: `256×256 to 1024×1024 px (height×width), grey`."""
        smallest, largest = (f"{size[0]}×{size[1]}" for size in (min(self.sizes, key=max), max(self.sizes, key=max)))
        spread = smallest if smallest == largest else f"{smallest} to {largest}"
        return f"{spread} px (height×width), {'colour' if self.colour else 'grey'}"


def survey(pairs, quiet=False):
    """Read every image and mask once, so that nothing unreadable turns up in the middle of a training.

    Returns a `Survey`. Raises `InputError` for the first file that cannot be read or a mask of another size than its
    image, saying how many more there are.
    """
    sizes, values, colour, problems = [], {}, False, []
    with ThreadPoolExecutor(2) as pool:
        for found in tqdm(
            pool.map(_look_at, pairs),
            total=len(pairs),
            desc="read",
            unit="image",
            leave=False,
            disable=quiet or None,
            delay=1,
        ):
            if isinstance(found, InputError):
                problems.append(found)
                continue
            size, has_colour, histogram = found
            sizes.append(size)
            colour |= has_colour
            for value, count in histogram.items():
                values[value] = values.get(value, 0) + count
    if problems:
        more = f" (and {len(problems) - 1} more files with problems)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
    return Survey(sizes, colour, values)


def _look_at(pair):
    try:
        image = images.read(pair.image)
        histogram = {}
        if pair.mask:
            mask = read_mask_of(pair, image.shape[:2])
            values, counts = np.unique(mask, return_counts=True)
            histogram = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return image.shape[:2], not images.is_grey(image), histogram
    except InputError as error:
        return error


def read_mask_of(pair, size):
    """The stored mask of a pair, (height, width) integers; `InputError` where its size is not the image's `size`."""
    mask = images.read_mask(pair.mask)
    if mask.shape != tuple(size):
        raise InputError(
            f"{pair.mask}: mask of {mask.shape[0]}×{mask.shape[1]} pixels for an image of {size[0]}×{size[1]} "
            f"({pair.image.name}); expected one size (height×width). Export the mask at the image's size."
        )
    return mask


# ------------------------------------------------------------------------------------------------------------ masks


@dataclass(frozen=True)
class MaskCoding:
    """What the values in the mask files mean, decided once for the whole folder.

    values : file values that are foreground (classes=1), or None where a threshold decides.
    threshold : file values at or above it are foreground (classes=1, values=None).
    classes : 1, or K where the file values are the class ids 0…K−1.
    """

    values: tuple | None
    threshold: int
    classes: int
    explanation: str

    def check(self, mask_values):
        """Raise `InputError` where masks hold values that this coding has no class for."""
        if self.classes > 1 and not all(0 <= value < self.classes for value in mask_values):
            raise InputError(
                f"masks hold the values {some(map(str, sorted(mask_values)), 6)}; expected the class ids 0 to "
                f"{self.classes - 1} for {self.classes} classes. Give the right number with --classes, or use "
                "--foreground for one of them."
            )

    def decode(self, stored):
        """Class ids, uint8 (height, width), from stored mask values of the same shape."""
        if self.classes > 1:
            return stored.astype(np.uint8)
        if self.values is not None:
            return np.isin(stored, self.values).astype(np.uint8)
        return (stored >= self.threshold).astype(np.uint8)


def mask_coding(mask_values, classes=1, foreground=None):
    """Find what the mask values of a folder mean.

    Parameters
    ----------
    mask_values : dictionary from value to number of pixels, over all masks (`Survey.mask_values`).
    classes : int, 1 for foreground/background, K for class ids 0…K−1 in the files.
    foreground : sequence of int, the values that count as foreground (classes=1 only); None detects.

    Returns a `MaskCoding`. Raises `InputError` where the values do not fit `classes` or nothing is foreground.
    """
    if classes > 1 and foreground is not None:
        raise InputError(
            f"--foreground {','.join(map(str, foreground))} and --classes {classes} received; expected one of the two: "
            "--foreground for a binary mask, --classes for class ids. Leave one out."
        )
    values, total = sorted(mask_values), sum(mask_values.values())
    listed = some(map(str, values), 6)
    if classes > 1:
        coding = MaskCoding(None, 0, classes, f"mask values {listed} are class ids")
        coding.check(mask_values)
        return coding
    if foreground is not None:
        if not set(foreground) & set(values):
            raise InputError(
                f"masks hold the values {listed}; none is --foreground {','.join(map(str, foreground))}. "
                "Choose among the values they hold."
            )
        chosen = ", ".join(map(str, foreground))
        return MaskCoding(tuple(foreground), 0, 1, f"mask values {listed}; foreground: {chosen}")
    if values[-1] <= 0:
        raise InputError(
            "all masks are empty (only the value 0); expected foreground above 0. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    extremes = (mask_values.get(0, 0) + mask_values.get(255, 0)) / total
    if len(values) > 2 and values[-1] == 255 and extremes > 0.9:  # 0/255 with smoothed or JPEG-compressed edges
        return MaskCoding(None, 128, 1, f"mask values {listed} (soft edges); foreground: 128 and above")
    return MaskCoding(None, 1, 1, f"mask values {listed}; foreground: above 0")


# -------------------------------------------------------------------------------------------------------- the scale


def choose_fit(sizes, tile_px):
    """True where the images are single-cell crops, to be brought to the tile size; False for fields.

    The rule: when more than half of the training images have both sides smaller than the tile, the size of a picture
    is the size of its cell, not a magnification. Then every image, in training and in prediction, is scaled so that
    its longer side fills the tile. Otherwise every image keeps its pixels.

    Parameters: sizes, list of (height, width) in pixels; tile_px, the training tile's side.
    """
    return sum(max(size) < tile_px for size in sizes) * 2 > len(sizes)


def resize(array, height, width, nearest=False):
    """Resample (height, width[, channels]): by area when shrinking, linearly when growing, nearest for masks."""
    if array.shape[:2] == (height, width):
        return array
    if nearest:
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinking = height * width < array.shape[0] * array.shape[1]
    resized = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.reshape(height, width, *array.shape[2:])


def fitted_size(height, width, tile_px):
    """Size (height, width) at which the longer side is `tile_px`, the aspect ratio kept."""
    scale = tile_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
