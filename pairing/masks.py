"""Stored masks → class ids: reading masks of any kind, and what their values mean over a whole folder."""

from collections import Counter
from dataclasses import dataclass
from string import hexdigits
from typing import NamedTuple

import numpy as np

from pairing import annotations
from pairing.outlines import FIRST_NAMED
from pairing.pairs import mask_sources
from reading import images, intensity, stacks
from reading.files import InputError, some
from reading.stacks import StackError

MAIN_SHARE = 0.02  # of the foreground's pixels: what a colour must hold, shades included, to be one of the drawing
SHADES = 48  # of 255: colours no further apart than this in each channel are shades of one
TINY = 32  # values below are numbers of classes or objects, as a rule: too dark to be drawn for the eye
MOST_CLASSES = 16  # masks with more different numbers or colours than this number their objects, not classes
COLOUR = 2**24  # colours in masks become numbers from here on, out of the way of labels of 16 bits


# ------------------------------------------------------------------------------------------------------------ reading


class StoredMask(NamedTuple):
    """A mask as it is stored, and what its source says of it.

    values : integer ndarray of shape (height, width).
    names : dictionary from value to class name, empty but for annotation files.
    left_out : what else was drawn and is no object, as `outlines.Drawing.left_out`.
    """

    values: np.ndarray
    names: dict
    left_out: dict


def read_mask_of(pair, size):
    """The stored mask of a pair, an integer ndarray of shape (height, width), whatever its source.

    An image file gives its values, colours as `COLOUR | red << 16 | green << 8 | blue` (greys among them as their grey
    value); an annotation file 0 and `outlines.name_value` of the classes; a folder of files their union, later files
    over earlier ones. What the values mean is the matter of `MaskCoding`.

    Raises `InputError` for a file that cannot be read and where the mask's size is not the image's `size`.
    """
    return read_stored_mask_of(pair, size).values


def read_stored_mask_of(pair, size):
    """As `read_mask_of`: a `StoredMask`."""
    if isinstance(stacks.HOW, int) and pair.mask.is_file() and not annotations.is_outlines(pair.mask):
        drawn, shown = images.planes(pair.mask), images.planes(pair.image)
        if drawn not in (1, shown):  # else its pages are something else, such as one an object
            raise StackError(
                f"{pair.mask}: a mask of {drawn} planes for an image of {shown} ({pair.image.name}), with --stack "
                f"{stacks.HOW}; expected as many, or one. Save what is drawn on the planes as one mask."
            )
    return _stored(pair.mask, size, pair.image.name)


def _stored(path, size, image_name):
    if path.is_dir():
        mask, names, left_out = None, {}, Counter()
        for part in mask_sources(path):
            values, more, left = _stored(part, size, image_name)
            mask = values if mask is None else np.where(values > 0, values, mask)
            names |= more
            left_out.update(left)
        return StoredMask(mask, names, left_out)
    if annotations.is_outlines(path):
        return StoredMask(*annotations.read_annotation(path, size))
    mask = _values(path)
    if mask.shape != tuple(size):
        raise InputError(
            f"{path}: mask of {mask.shape[0]}×{mask.shape[1]} pixels for an image of {size[0]}×{size[1]} "
            f"({image_name}); expected one size (height×width). Export the mask at the image's size."
        )
    return StoredMask(mask, {}, {})


def _values(path):
    try:
        return images.read_mask(path)
    except StackError:  # which `images.read` may be told to read as one picture
        raise
    except InputError:
        colours = images.read(path)  # damaged files are refused here again, in the same words
        if colours.dtype != np.uint8 or intensity.is_grey(colours):
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
        with classes=1 those in `values` are foreground, or all but the first where `values` is None.
    soft : True where other values than the palette's are smoothed or compressed edges, and the nearest colour decides.
    inverted : True where values below the threshold are the foreground.
    background : where it is given, every other file value is foreground (classes=1).
    """

    values: tuple | None
    threshold: int
    classes: int
    explanation: str
    palette: tuple | None = None
    soft: bool = False
    inverted: bool = False
    background: int | None = None

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
            if self.classes > 1:
                return ids
            is_foreground = np.arange(len(self.palette)) > 0
            if self.values is not None:
                is_foreground = np.isin(self.palette, self.values)
            return is_foreground[ids].astype(np.uint8)
        if self.classes > 1:
            return stored.astype(np.uint8)
        if self.values is not None:
            return np.isin(stored, self.values).astype(np.uint8)
        if self.background is not None:
            return (stored != self.background).astype(np.uint8)
        return ((stored >= self.threshold) != self.inverted).astype(np.uint8)


def mask_coding(mask_values, classes=1, foreground=None, background=None, names=None, lossy=False, drawn=()):
    """Find what the mask values of a folder mean. `survey.Survey.coding` calls this with all that the files tell.

    Parameters
    ----------
    mask_values : dictionary from value to number of pixels, over all masks (`survey.Survey.mask_values`).
    classes : int, 1 for foreground/background, K for class ids 0…K−1 in the files, or for K values or colours, which
        become the classes in ascending order (named outlines by name), after the background.
    foreground : sequence of what counts as foreground (classes=1 only): values, names of outline classes, or colours
        such as "#ff0000"; None detects.
    background : the value around the objects where the drawing shows it (`survey.Survey.background`).
    names : dictionary from value to class name, for named outlines.
    lossy : True where masks are in files that do not keep values exactly (JPEG).
    drawn : the values that form areas, where it is known which others are edges (`survey.Survey.drawn`).

    Returns a `MaskCoding`. Raises `InputError` where the values do not fit `classes` or nothing is foreground.
    """
    if classes > 1 and foreground is not None:
        raise InputError(
            f"--foreground {','.join(map(str, foreground))} and --classes {classes} received; expected one of the two: "
            "--foreground for a binary mask, --classes for class ids. Leave one out."
        )
    values, names = sorted(mask_values), names or {}
    listed = _listed(values, names)
    coloured = any(COLOUR <= value < 2 * COLOUR for value in values)
    numbered = len(drawn) > MOST_CLASSES and not lossy
    soft = is_soft(mask_values, drawn) and not (numbered and 2 * len(drawn) >= len(values))
    main = None  # of smoothed or compressed colours: those that were drawn
    named = values[-1] >= FIRST_NAMED
    if lossy and len(values) > 2 and not soft and not named:
        main = _drawn(mask_values)
    elif coloured and not named and not numbered and len(values) > max(MOST_CLASSES, classes):
        main = _blended(mask_values)
    if main:
        listed = f"{_listed(main, names)} (soft edges)"
        around = 0 if background is None else background
        background = next((value for value in main if not _apart(value, [around])), background)
    if classes > 1:
        return _class_coding(mask_values, classes, background, names, main)
    if foreground is not None:
        return _chosen_coding(mask_values, foreground, main, names, listed)
    _refuse_one_sided(values, background, listed)
    if main:
        return _main_coding(values, main, background, names, listed)
    if values[-1] >= COLOUR:  # colours or named outlines
        first = _background_first(values, background, names)[0]
        text = f"mask values {listed}; foreground: everything but {value_text(first, names)}"
        return MaskCoding(None, 1, 1, text) if first == 0 else MaskCoding(None, 0, 1, text, background=first)
    return _grey_coding(mask_values, background, soft, listed)


def _chosen_coding(mask_values, foreground, main, names, listed):
    """The `MaskCoding` of --foreground; main: the values that were drawn, where others are their edges, else None."""
    soft = is_soft(mask_values)
    chosen = _chosen(foreground, main or sorted(mask_values), soft or main is not None, names, listed)
    text = ", ".join(value_text(value, names) for value in chosen)
    if not (soft or main):
        return MaskCoding(chosen, 0, 1, f"mask values {listed}; foreground: {text}")
    # an edge value goes with the nearest of the values that are no edges
    others = [value for value in main or _drawn(mask_values) if _apart(value, chosen)]
    listed = listed if main else f"{listed} (soft edges)"
    palette = (*others, *chosen)
    return MaskCoding(chosen, 0, 1, f"mask values {listed}; foreground: around {text}", palette, soft=True)


def _refuse_one_sided(values, background, listed):
    """Raise `InputError` for masks that are all foreground, or all background."""
    if values == [0]:
        raise InputError(
            "all masks are empty (only the value 0); expected foreground above 0. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    if len(values) == 1:
        raise InputError(
            f"all masks are full (only the value {listed}); expected background too. Check that the masks are not the "
            "wrong files, or that the annotation was exported: the cells, not the tissue or the field around them."
        )
    if values[-1] <= 0 and background is None:
        raise InputError(
            f"masks hold the values {listed}, none above 0 and none along most borders; expected foreground above 0. "
            f"Say which values are the cells: --foreground {values[0]}."
        )


def _main_coding(values, main, background, names, listed):
    """The `MaskCoding` of masks with edges around the values `main`."""
    if len(main) == 1:
        raise InputError(
            f"masks hold only shades of {value_text(main[0])} ({value_text(values[0])} to "
            f"{value_text(values[-1])}) in files that do not keep values exactly (JPEG); expected background and "
            "cells. Export them as PNG."
        )
    palette = _background_first(main, background, names)
    text = f"foreground: everything but {value_text(palette[0])}"
    return MaskCoding(None, 0, 1, f"mask values {listed}; {text}", palette, soft=True)


def _grey_coding(mask_values, background, soft, listed):
    """The `MaskCoding` of grey values without colours and names; background: around the objects, or None."""
    values = sorted(mask_values)
    if soft:  # 0/255 with smoothed or JPEG-compressed edges
        inverted = background is not None and background >= 128
        text = "below 128" if inverted else "128 and above"
        return MaskCoding(None, 128, 1, f"mask values {listed} (soft edges); foreground: {text}", inverted=inverted)
    # Such as 1 background, 2 cell; or −1 background, objects from 0 on; or black cells on white.
    if background is not None and (background != 0 or values[-1] <= 0):
        (one, *more) = [value for value in values if value != background]
        text = f"everything but {background}" if more else f"{one}"
        return MaskCoding(None, 0, 1, f"mask values {listed}; foreground: {text}", background=background)
    return above_zero(mask_values, hint=_hint(mask_values))


def above_zero(mask_values, names=None, hint=""):
    """The `MaskCoding` by which every value above 0 is foreground; `hint` ends its line."""
    return MaskCoding(None, 1, 1, f"mask values {_listed(mask_values, names)}; foreground: above 0{hint}")


def _hint(mask_values):
    """Words on a 255 beside numbers of classes, which may mean "ignore"."""
    if not may_ignore(sorted(mask_values)):
        return ""
    ids = [value for value in sorted(mask_values) if 0 < value < 255]
    listed = ",".join(map(str, ids)) if len(ids) <= 6 else f"{ids[0]},{ids[1]},…"
    return f", 255 too; if it means 'ignore': --foreground {listed}"


def may_ignore(values):
    """True for small numbers with 255, which often marks what is to be ignored; `values` in ascending order."""
    others = [value for value in values if 0 < value < 255]
    return bool(values[-1] == 255 and others and others[-1] < TINY)


def _chosen(foreground, held, inexact, names, listed):
    """The mask values that --foreground means: numbers as they are, names of classes and colours as they are stored.

    held : the values that the masks hold; `inexact` where shades of these do as well.
    Raises `InputError` for names and colours that do not occur, and where no number does.
    """
    called = {name.casefold(): value for value, name in names.items()}
    chosen, missing = [], []
    for given in foreground:
        value = given
        if isinstance(given, str):
            value = called.get(given.casefold(), _colour_value(given))
        known = value in held or (inexact and value is not None and not _apart(value, held))
        chosen += [value] if value is not None else []
        missing += [] if known else [given]
    if len(missing) == len(foreground) or any(isinstance(given, str) for given in missing):
        raise InputError(
            f"masks hold the values {listed}; none is --foreground {','.join(map(str, missing))}. Choose among the "
            "values they hold."
        )
    return tuple(dict.fromkeys(chosen))


def _colour_value(text):
    """The mask value of a colour such as #ff0000; None for other texts."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or digits == text or not all(sign in hexdigits for sign in digits):
        return None
    number = int(digits, 16)
    red, green, blue = number >> 16, number >> 8 & 255, number & 255
    return red if red == green == blue else COLOUR | number


def _class_coding(mask_values, classes, background, names, main):
    values = sorted(mask_values)
    coding = MaskCoding(None, 0, classes, f"mask values {_listed(values)} are class ids")
    if values[0] >= 0 and values[-1] < classes:
        return coding
    palette = values
    if main or is_soft(mask_values):
        palette = sorted(_main_values(mask_values, most=classes))
    elif values[-1] >= FIRST_NAMED:
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
    named = max(palette) >= FIRST_NAMED
    if background not in palette or (named and 0 in palette):
        background = palette[0] if max(palette) < COLOUR else 0
    if background not in palette:
        raise InputError(
            f"masks hold {_listed(palette, names)}, none black and none along most borders, so that the background "
            "cannot be told; expected one background. Make it black (0) in the masks."
        )
    return tuple(sorted(palette, key=lambda value: (value != background, names.get(value, ""), value)))


def is_soft(mask_values, drawn=()):
    """True for 0/255 masks with smoothed or compressed edges: many values, and among the brighter most near 255.

    Label images have many values too, but as many around 128 as near 255. Where it is known which values were `drawn`,
    these being others than their edges, it is told by them.
    """
    if len(mask_values) <= 4 or max(mask_values) > 255 or max(mask_values) < 240:
        return False
    if all(value < TINY or value == 255 for value in mask_values):
        return False  # class ids, and 255 for what is to be ignored
    if 2 * len(drawn) < len(mask_values) and drawn and all(min(value, 255 - value) <= SHADES for value in drawn):
        return True
    middle = sum(count for value, count in mask_values.items() if 16 <= value < 240)
    high = sum(count for value, count in mask_values.items() if value >= 240)
    return high > middle


def _drawn(mask_values):
    """The main values of lossy files; with less weight each where together they are not most of the foreground."""
    main = _main_values(mask_values, MAIN_SHARE)
    points, counts = colour_points(list(mask_values)), np.array(list(mask_values.values()))
    near = [np.abs(points - colour_points(one)).max(1) <= SHADES for one in main]
    foreground = ~near[0]
    shown = np.any(near[1:], axis=0) & foreground if len(main) > 1 else ~foreground & foreground
    return main if 2 * counts[shown].sum() > counts[foreground].sum() else _main_values(mask_values)


def _blended(mask_values):
    """The main values of colours with smoothed edges in files that keep values; None where all colours were drawn.

    Edges are blends of few colours, each far more frequent than a blend; of objects with a colour each, none is.
    """
    main = _main_values(mask_values, MAIN_SHARE, exact=True)
    if not 2 <= len(main) <= 16:
        return None
    values, counts = np.array(list(mask_values)), np.array(list(mask_values.values()))
    points, ends = colour_points(values), colour_points(main)
    rest = (np.abs(points[:, np.newaxis] - ends).max(-1) > SHADES // 8).all(1)
    if not rest.any() or min(mask_values[value] for value in main) < 10 * np.median(counts[rest]):
        return None
    between = np.array([_is_between(point, ends, 12) for point in points[rest]], bool)
    return main if counts[rest][between].sum() >= 0.9 * counts[rest].sum() else None


def _main_values(mask_values, share=0, most=None, exact=False):
    """The values that others are shades or blends of, the one with most pixels first; at most `most`.

    From the most frequent value on, each takes its shades, until all values are taken. Those count that hold `share` of
    the foreground's pixels, the foreground being all but the first and its shades, and that are no blends: between two
    others and without a peak. In files that keep values (`exact`) a peak is one value with a tenth of the foreground.
    """
    values = np.array(sorted(mask_values, key=lambda value: (-mask_values[value], value)))
    counts, points = np.array([mask_values[value] for value in values.tolist()]), colour_points(values)
    total, found, left = counts.sum(), [], np.ones(len(values), bool)
    while left.any():
        first = left.argmax()
        distance = np.abs(points - points[first]).max(1)
        near, peak = counts[distance <= SHADES // 2].sum(), counts[distance <= SHADES // 8].sum()
        pixels = counts[left & (distance <= SHADES)].sum()
        foreground = total - (found[0][1] if found else pixels)
        peaked = counts[first] >= foreground / 10 if exact else 2 * peak >= near
        found.append((int(values[first]), pixels, peaked))
        left &= distance > SHADES
    least = share * (total - found[0][1])
    found = sorted((one for one in found if one[1] >= least), key=lambda one: -one[1])
    main, blends = [], []
    for value, pixels, peaked in found:
        ends = colour_points([other[0] for other in found if other[0] != value and (other[1] >= pixels or other[2])])
        is_blend = not peaked and _is_between(colour_points(value), ends, SHADES)
        (blends if is_blend else main).append(value)
    return (main + blends)[:most] if most else main[:255]


def _is_between(point, ends, tolerance):
    """True where a point (3,) is within `tolerance` of the line between any two of the points `ends`, (n, 3)."""
    if len(ends) < 2:
        return False
    first, last = np.triu_indices(len(ends), 1)
    start, way = ends[first].astype(float), (ends[last] - ends[first]).astype(float)
    along = np.clip(((point - start) * way).sum(1) / np.maximum((way**2).sum(1), 1), 0, 1)
    return bool((np.abs(start + along[:, np.newaxis] * way - point).max(1) <= tolerance).any())


def _apart(value, others):
    return all(np.abs(colour_points(value) - colour_points(other)).max() > SHADES for other in others)


def _nearest(stored, palette):
    values, where = np.unique(stored, return_inverse=True)
    distance = ((colour_points(values)[:, np.newaxis] - colour_points(np.array(palette))) ** 2).sum(-1)
    return distance.argmin(1).astype(np.uint8)[where].reshape(stored.shape)


def colour_points(values):
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
