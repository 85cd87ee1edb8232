"""Stored masks → class ids: reading masks of any kind, and what their values mean over a whole folder."""

from collections import Counter
from dataclasses import dataclass
from string import hexdigits
from typing import NamedTuple

import numpy as np

from pairing import annotations
from pairing.outlines import FIRST_NAMED
from pairing.pairs import mask_sources
from pairing.shades import COLOUR, TINY, are_apart, blended_values, drawn_values, is_soft, main_values, nearest_of
from reading import images, intensity, stacks
from reading.files import NOT_KNOWN, InputError, is_numbered, some
from reading.stacks import StackError

MOST_CLASSES = 16  # masks with more different numbers or colours than this number their objects, not classes
OUR_GROUND, OUR_CELL = 2**31 - 2, 2**31 - 1  # values of masks by `correct` (`files.is_numbered`), in any folder
IGNORED = 255  # the class id of pixels of which nothing is known: they count nowhere


# ------------------------------------------------------------------------------------------------------------ reading


class StoredMask(NamedTuple):
    """A mask as it is stored, and what its source says of it.

    values : integer ndarray of shape (height, width).
    names : dictionary from value to class name, empty but for annotation files.
    left_out : what else was drawn and is no object, as `outlines.Drawing.left_out`.
    ignored : where the drawing says that nothing is known, bool (height, width); None: nowhere. What stands in `values`
        there means nothing.
    """

    values: np.ndarray
    names: dict
    left_out: dict
    ignored: np.ndarray | None = None

    def ignored_by(self, ignore):
        """`ignored`, and where the values are among `ignore` too: bool (height, width), None where all is known."""
        if not ignore:
            return self.ignored
        chosen = np.isin(self.values, ignore)
        return chosen if self.ignored is None else chosen | self.ignored


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
        mask, names, left_out, ignored = None, {}, Counter(), None
        for part in mask_sources(path):
            values, more, left, unknown = _stored(part, size, image_name)
            mask = values if mask is None else np.where(values > 0, values, mask)
            names |= more
            left_out.update(left)
            if unknown is not None:
                ignored = unknown if ignored is None else ignored | unknown
        return StoredMask(mask, names, left_out, ignored)
    if annotations.is_outlines(path):
        return StoredMask(*annotations.read_annotation(path, size))
    mask = _values(path)
    if mask.shape != tuple(size):
        raise InputError(
            f"{path}: mask of {mask.shape[0]}×{mask.shape[1]} pixels for an image of {size[0]}×{size[1]} "
            f"({image_name}); expected one size (height×width). Export the mask at the image's size."
        )
    if is_numbered(path):
        ignored = mask == NOT_KNOWN
        values = np.where((mask > 0) & ~ignored, OUR_CELL, OUR_GROUND).astype(np.int32)
        return StoredMask(values, {OUR_CELL: "cell", OUR_GROUND: "ground"}, {}, ignored if ignored.any() else None)
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
    ignore : file values of pixels that are to be ignored.
    """

    values: tuple | None
    threshold: int
    classes: int
    explanation: str
    palette: tuple | None = None
    soft: bool = False
    inverted: bool = False
    background: int | None = None
    ignore: tuple = ()

    def check(self, mask_values):
        """Raise `InputError` where masks hold values that this coding has no class for."""
        if self.classes == 1:
            mask_values = [value for value in mask_values if value < OUR_GROUND]
        if self.palette is not None:
            unknown = set(mask_values) - set(self.palette)
            if unknown and not self.soft:
                raise InputError(
                    f"masks hold the unknown values {_listed(unknown)}; expected those of the training masks "
                    f"({self.explanation}). Use the same labels."
                )
        elif self.classes > 1 and not all(0 <= value < self.classes for value in mask_values):
            hint = " If 255 means 'ignore': --ignore 255." if may_ignore(sorted(mask_values)) else ""
            raise InputError(
                f"masks hold the values {_listed(mask_values)}; expected the class ids 0 to "
                f"{self.classes - 1} for {self.classes} classes. Give the right number with --classes, or use "
                f"--foreground for one of them.{hint}"
            )

    def class_ids(self, stored):
        """Class ids with `IGNORED` where nothing is known: uint8 (height, width), of a `StoredMask`."""
        ids, ignored = self.decode(stored.values), stored.ignored_by(self.ignore)
        if ignored is not None:
            ids[ignored] = IGNORED
        return ids

    def decode(self, stored):
        """Class ids, uint8 (height, width), from stored mask values of the same shape, those to be ignored too."""
        if self.classes == 1 and stored.size and stored.max() >= OUR_GROUND:  # all of a mask is, or nothing
            return (stored == OUR_CELL).astype(np.uint8)
        if self.palette is not None:
            ids = nearest_of(stored, self.palette)
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
        main = drawn_values(mask_values)
    elif coloured and not named and not numbered and len(values) > max(MOST_CLASSES, classes):
        main = blended_values(mask_values)
    if main:
        listed = f"{_listed(main, names)} (soft edges)"
        around = 0 if background is None else background
        background = next((value for value in main if not are_apart(value, [around])), background)
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
    others = [value for value in main or drawn_values(mask_values) if are_apart(value, chosen)]
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
    return ", 255 too; if it means 'ignore': --ignore 255"


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
        known = value in held or (inexact and value is not None and not are_apart(value, held))
        chosen += [value] if value is not None else []
        missing += [] if known else [given]
    if len(missing) == len(foreground) or any(isinstance(given, str) for given in missing):
        raise InputError(
            f"masks hold the values {listed}; none is --foreground {','.join(map(str, missing))}. Choose among the "
            "values they hold."
        )
    return tuple(dict.fromkeys(chosen))


def values_to_ignore(given, names):
    """The stored values, a tuple of int, that --ignore means: numbers, colours and names of outline classes.

    given : sequence of these, or None. names : dictionary from value to class name, as far as they are known.
    """
    called = {name.casefold(): value for value, name in names.items()}
    values = [
        value if isinstance(value, int) else called.get(value.casefold(), _colour_value(value)) for value in given or ()
    ]
    return tuple(sorted({value for value in values if value is not None}))


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
        palette = sorted(main_values(mask_values, most=classes))
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


def value_text(value, names=None):
    """A mask value for people: its class name, a colour as #ff0000, or the number."""
    if names and value in names:
        return names[value]
    return f"#{value - COLOUR:06x}" if COLOUR <= value < 2 * COLOUR else str(value)


def _listed(values, names=None):
    names = names or {}
    return some([value_text(value, names) for value in sorted(values, key=lambda v: (names.get(v, ""), v))], 6)
