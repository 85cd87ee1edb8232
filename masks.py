"""Stored masks → class ids: reading masks of any kind, and what their values mean over a whole folder."""

from dataclasses import dataclass

import numpy as np

import annotations
import images
from images import InputError, some
from pairs import mask_sources

MAIN_SHARE = 0.005  # of the pixels: what a colour must hold not to be taken for a blurred edge between others
COLOUR = 2**24  # colours in masks become numbers from here on, out of the way of labels of 16 bits


# ------------------------------------------------------------------------------------------------------------ reading


def read_mask_of(pair, size):
    """The stored mask of a pair, an integer ndarray of shape (height, width), whatever its source.

    An image file gives its values, colours as `COLOUR | red << 16 | green << 8 | blue` (greys among them as their grey
    value); an annotation file 0 and `annotations.name_value` of the classes; a folder of files their union, later files
    over earlier ones. What the values mean is the matter of `MaskCoding`.

    Raises `InputError` for a file that cannot be read and where the mask's size is not the image's `size`.
    """
    return read_named_mask_of(pair, size)[0]


def read_named_mask_of(pair, size):
    """As `read_mask_of`: (mask, names), with a dictionary from value to class name, empty but for annotation files."""
    return _stored(pair.mask, size, pair.image.name)


def _stored(path, size, image_name):
    if path.is_dir():
        mask, names = None, {}
        for part in mask_sources(path):
            values, more = _stored(part, size, image_name)
            mask = values if mask is None else np.where(values > 0, values, mask)
            names |= more
        return mask, names
    if path.suffix.lower() in annotations.SUFFIXES:
        return annotations.read_annotation(path, size)
    mask = _values(path)
    if mask.shape != tuple(size):
        raise InputError(
            f"{path}: mask of {mask.shape[0]}×{mask.shape[1]} pixels for an image of {size[0]}×{size[1]} "
            f"({image_name}); expected one size (height×width). Export the mask at the image's size."
        )
    return mask, {}


def _values(path):
    try:
        return images.read_mask(path)
    except InputError:
        colours = images.read(path)  # damaged files are refused here again, in the same words
        if colours.dtype != np.uint8 or images.is_grey(colours):
            raise
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return np.where((red == green) & (green == blue), red, COLOUR | red << 16 | green << 8 | blue)


# ------------------------------------------------------------------------------------------------------------ meaning


@dataclass(frozen=True)
class MaskCoding:
    """What the values in the mask files mean, decided once for the whole folder.

    values : file values that are foreground (classes=1), or None where a threshold decides.
    threshold : file values at or above it are foreground (classes=1, values=None).
    classes : 1, or K for class ids 0…K−1.
    explanation : one line for people.
    palette : file values of class 0, 1, …, where they are not the ids themselves (colours, named outlines, 0/128/255);
        with classes=1 all but the first are foreground.
    soft : True where other values than the palette's are smoothed or compressed edges, and the nearest colour decides.
    inverted : True where values below the threshold are the foreground.
    """

    values: tuple | None
    threshold: int
    classes: int
    explanation: str
    palette: tuple | None = None
    soft: bool = False
    inverted: bool = False

    def check(self, mask_values):
        """Raise `InputError` where masks hold values that this coding has no class for."""
        if self.palette is not None:
            unknown = set(mask_values) - set(self.palette)
            if unknown and not self.soft:
                raise InputError(
                    f"masks hold the unknown values {_listed(unknown)}; expected those of the training masks "
                    f"({self.explanation}). Use the same labels."
                )
        elif self.classes > 1 and not all(0 <= value < self.classes for value in mask_values):
            raise InputError(
                f"masks hold the values {_listed(mask_values)}; expected the class ids 0 to "
                f"{self.classes - 1} for {self.classes} classes. Give the right number with --classes, or use "
                "--foreground for one of them."
            )

    def decode(self, stored):
        """Class ids, uint8 (height, width), from stored mask values of the same shape."""
        if self.palette is not None:
            ids = _nearest(stored, self.palette)
            return ids if self.classes > 1 else (ids > 0).astype(np.uint8)
        if self.classes > 1:
            return stored.astype(np.uint8)
        if self.values is not None:
            return np.isin(stored, self.values).astype(np.uint8)
        return ((stored >= self.threshold) != self.inverted).astype(np.uint8)


def mask_coding(mask_values, classes=1, foreground=None, background=None, names=None, lossy=False):
    """Find what the mask values of a folder mean. `survey.Survey.coding` calls this with all that the files tell.

    Parameters
    ----------
    mask_values : dictionary from value to number of pixels, over all masks (`survey.Survey.mask_values`).
    classes : int, 1 for foreground/background, K for class ids 0…K−1 in the files, or for K values or colours, which
        become the classes in ascending order (named outlines by name), after the background.
    foreground : sequence of int, the values that count as foreground (classes=1 only); None detects.
    background : the value around the objects where it is known (`survey.Survey.background`).
    names : dictionary from value to class name, for named outlines.
    lossy : True where masks are in files that do not keep values exactly (JPEG).

    Returns a `MaskCoding`. Raises `InputError` where the values do not fit `classes` or nothing is foreground.
    """
    if classes > 1 and foreground is not None:
        raise InputError(
            f"--foreground {','.join(map(str, foreground))} and --classes {classes} received; expected one of the two: "
            "--foreground for a binary mask, --classes for class ids. Leave one out."
        )
    values, total, names = sorted(mask_values), sum(mask_values.values()), names or {}
    listed = _listed(values, names)
    coloured = values[-1] >= COLOUR
    blurred = (coloured or lossy) and len(values) > 32 and not is_soft(mask_values)
    if classes > 1:
        return _class_coding(mask_values, classes, background, names, blurred)
    if foreground is not None:
        if not set(foreground) & set(values):
            raise InputError(
                f"masks hold the values {listed}; none is --foreground {','.join(map(str, foreground))}. "
                "Choose among the values they hold."
            )
        chosen = ", ".join(map(str, foreground))
        if blurred or is_soft(mask_values):  # an edge value goes with the nearest of the values that are no edges
            main = [value for value in _main_values(mask_values, MAIN_SHARE) if _apart(value, foreground)]
            nearest = _nearest(np.arange(256), (*main, *foreground))
            chosen_values = tuple(np.flatnonzero(nearest >= len(main)).tolist())
            return MaskCoding(chosen_values, 0, 1, f"mask values {listed} (soft edges); foreground: around {chosen}")
        return MaskCoding(tuple(foreground), 0, 1, f"mask values {listed}; foreground: {chosen}")
    if values[-1] <= 0:
        raise InputError(
            "all masks are empty (only the value 0); expected foreground above 0. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    if len(values) == 1:
        raise InputError(
            f"all masks are full (only the value {listed}); expected background too. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    if coloured or blurred:
        palette = _main_values(mask_values, MAIN_SHARE) if blurred else values
        palette = _background_first(palette, background, names)
        if len(palette) < 2:
            raise InputError(
                f"masks hold only {value_text(palette[0])}; expected background and cells. Check the export."
            )
        text = f"foreground: everything but {value_text(palette[0], names)}"
        if blurred:
            return MaskCoding(None, 0, 1, f"mask values {listed} (soft edges); {text}", palette, soft=True)
        if palette[0] == 0:
            return MaskCoding(None, 1, 1, f"mask values {listed}; {text}")
        return MaskCoding(palette[1:], 0, 1, f"mask values {listed}; {text}")
    soft = is_soft(mask_values)
    most = background is not None and mask_values.get(background, 0) * 2 > total
    if soft:  # 0/255 with smoothed or JPEG-compressed edges
        inverted = most and background >= 128
        text = f"below 128 ({background} fills the borders and most of the area; if it is the cells: --foreground "
        text = f"{text}{background})"
        text = text if inverted else "128 and above"
        return MaskCoding(None, 128, 1, f"mask values {listed} (soft edges); foreground: {text}", inverted=inverted)
    if len(values) == 2 and most and background == values[1]:
        text = f"{values[0]} ({background} fills the borders and most of the area; if it is the cells: --foreground "
        return MaskCoding((values[0],), 0, 1, f"mask values {listed}; foreground: {text}{background})")
    if values[0] > 0 and background is not None:  # such as 1 background, 2 cell
        chosen = tuple(value for value in values if value != background)
        return MaskCoding(chosen, 0, 1, f"mask values {listed}; foreground: everything but {background}")
    return MaskCoding(None, 1, 1, f"mask values {listed}; foreground: above 0")


def _class_coding(mask_values, classes, background, names, blurred):
    values = sorted(mask_values)
    coding = MaskCoding(None, 0, classes, f"mask values {_listed(values)} are class ids")
    if values[0] >= 0 and values[-1] < classes:
        return coding
    palette = values
    if blurred or is_soft(mask_values):
        palette = _main_values(mask_values, 0, classes)
    elif values[-1] >= annotations.FIRST_NAMED:
        palette = sorted({0, *values})  # fully annotated images may leave no background
    if len(palette) != classes:
        if values[-1] < COLOUR:
            coding.check(mask_values)
        raise InputError(
            f"masks hold {len(palette)} values or colours, {_listed(palette, names)}; expected {classes} for {classes} "
            f"classes (background is one). Give --classes {len(palette)}, or merge labels."
        )
    palette = _background_first(palette, background, names)
    meaning = ", ".join(f"{index} = {value_text(value, names)}" for index, value in enumerate(palette))
    edges = " (soft edges: the nearest)" if palette != tuple(values) and len(values) > len(palette) else ""
    return MaskCoding(None, 0, classes, f"classes: {meaning}{edges}", palette, soft=bool(edges))


def _background_first(palette, background, names):
    """Values with the background first, then in ascending order, named ones by name, so that no count decides."""
    named = max(palette) >= annotations.FIRST_NAMED
    if background not in palette or (named and 0 in palette):
        background = palette[0] if max(palette) < COLOUR else 0
    if background not in palette:
        raise InputError(
            f"masks hold {_listed(palette, names)}, none black and none along most borders, so that the background "
            "cannot be told; expected one background. Make it black (0) in the masks."
        )
    return tuple(sorted(palette, key=lambda value: (value != background, names.get(value, ""), value)))


def is_soft(mask_values):
    """True for 0/255 masks with smoothed or compressed edges: many values, and among the brighter most near 255.

    Label images have many values too, but as many around 128 as near 255.
    """
    if len(mask_values) <= 4 or max(mask_values) > 255 or max(mask_values) < 240:
        return False
    middle = sum(count for value, count in mask_values.items() if 16 <= value < 240)
    high = sum(count for value, count in mask_values.items() if value >= 240)
    return high > middle


def _main_values(mask_values, share, most=None):
    """The values that others are blends of: the most frequent, far from each other, each with `share` of the pixels."""
    total, main = sum(mask_values.values()), []
    for value in sorted(mask_values, key=lambda value: (-mask_values[value], value)):
        if mask_values[value] < share * total or len(main) == most:
            break
        if _apart(value, main):
            main.append(value)
    return main


def _apart(value, others):
    return all(np.abs(_rgb(value) - _rgb(other)).max() > 48 for other in others)


def _nearest(stored, palette):
    values, where = np.unique(stored, return_inverse=True)
    distance = ((_rgb(values)[:, np.newaxis] - _rgb(np.array(palette))) ** 2).sum(-1)
    return distance.argmin(1).astype(np.uint8)[where].reshape(stored.shape)


def _rgb(values):
    """Values as points (n, 3) between which distances make sense: colours, and greys v as (v, v, v)."""
    values = np.asarray(values, np.int64)
    colour = np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1)
    return np.where((values >= COLOUR)[..., np.newaxis], colour, values[..., np.newaxis])


def value_text(value, names=None):
    """A mask value for people: its class name, a colour as #ff0000, or the number."""
    if names and value in names:
        return names[value]
    return f"#{value - COLOUR:06x}" if COLOUR <= value < 2 * COLOUR else str(value)


def _listed(values, names=None):
    names = names or {}
    return some([value_text(value, names) for value in sorted(values, key=lambda v: (names.get(v, ""), v))], 6)
