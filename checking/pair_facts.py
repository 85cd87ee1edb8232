"""What one reading of an image and its mask tells about them, as far as the data doctor needs to know."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from checking.copies import take_print
from checking.edges import take_edges
from pairing import annotations
from pairing.exchanged import are_exchanged, looks_like_picture
from pairing.masks import StoredMask, values_to_ignore
from pairing.pairs import Pair
from pairing.survey import MaskFacts, mask_facts
from reading import images, intensity
from reading.files import InputError, fingerprint


@dataclass
class PairFacts:
    """What one pass over a pair found; fields stay None where a file cannot be read.

    values : dictionary from each stored mask value to (pixels, mean grey value under it, pixels on the border), of what
        is not ignored; empty where all is.
    mask : the `survey.MaskFacts`, as a survey finds them.
    names : dictionary from mask value to class name, for outlines that were named.
    left_out : what else was drawn and is no object, as `outlines.Drawing.left_out`.
    """

    pair: Pair
    part: str
    faults: list = field(default_factory=list)  # (kind, path, the `InputError`)
    size: tuple = None
    dtype: str = None
    colour: bool = None
    two_channels: bool = None
    low: float = None
    high: float = None
    level: float = None
    spread: float = None
    clipped: float = None
    constant: bool = None
    flat: bool = None  # no contrast, of a tile in its whole field
    quantiles: np.ndarray = None
    distinct: int = None
    picture_hash: str = None
    mask_hash: str = None
    mask_is_picture: bool = False
    exchanged: bool = False  # with its image, which looks like a mask
    soft: bool = False
    values: dict = None
    mask: MaskFacts = None
    names: dict = field(default_factory=dict)
    left_out: dict = field(default_factory=dict)
    print: np.ndarray = None
    working: np.ndarray = None
    spots: np.ndarray = None
    patches: np.ndarray = None
    edges: list = None
    # Known once the meaning of the mask values is: share of foreground in the image and on its border, and how much
    # brighter it is than the background, in units of the image's spread.
    share: float = None
    border: float = None
    contrast: float = None
    inside: float = None  # mean grey value of the foreground


def gather_facts(facts, shrink, contents, ignore=None):
    """Read the files of a pair and fill in its facts.

    shrink : of `copies.working_scale`; None: no search of copies. ignore : as of `survey.survey`.
    """
    try:
        image = contents.image(facts.pair)
    except InputError as error:
        facts.faults.append(("unreadable image", facts.pair.image, error))
        image = None
    if image is not None:
        _facts_of_image(facts, image)
        take_edges(facts, image)
        if shrink:
            take_print(facts, image, shrink)
    if facts.pair.mask:
        _facts_of_mask(facts, image, contents, ignore)


def _facts_of_image(facts, image):
    """Fill in what the image tells."""
    facts.size, facts.dtype, facts.colour = image.shape[:2], str(image.dtype), not intensity.is_grey(image)
    facts.two_channels = intensity.has_two_channels(image)
    stride = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / 2**16)))
    some_pixels = np.sort(_grey(image[::stride, ::stride], facts.colour), axis=None)
    last = some_pixels.size - 1
    facts.low, facts.level, facts.high = (float(some_pixels[round(last * q)]) for q in (0.001, 0.5, 0.999))
    facts.quantiles = some_pixels[np.linspace(0, last, 1001).round().astype(int)].astype(np.float32)
    facts.spread = float(some_pixels.std(dtype=np.float64))
    facts.distinct = 1 + np.count_nonzero(some_pixels[1:] != some_pixels[:-1])
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else np.inf
    facts.clipped = float((some_pixels >= top).mean())
    facts.constant = intensity.is_constant(image)
    facts.flat = not (facts.pair.intensity_range or intensity.spread_of(image)).has_contrast()
    facts.picture_hash = fingerprint(image)


def _grey(part, colour):
    """A part of an image in grey, (height, width); `colour`, of the whole image, decides how."""
    return intensity.to_channels(part, 1)[..., 0] if colour else part[..., 0]


def _facts_of_mask(facts, image, contents, ignore):
    path = facts.pair.mask
    try:
        # Without the image there is nothing to compare the size with; what the mask holds is still to be checked.
        if facts.size is None and (path.is_dir() or annotations.is_outlines(path)):
            return  # outlines have no size of their own
        stored = contents.mask(facts.pair, facts.size) if facts.size else StoredMask(images.read_mask(path), {}, {})
    except InputError as error:
        if path.is_dir():  # the error names which of its files is at fault
            named = Path(str(error).partition(": ")[0])
            path = named if path in named.parents else path
        facts.faults.append((_mask_fault(facts, path, image), path, error))
        return
    mask, facts.names, facts.left_out = stored.values, stored.names, stored.left_out
    facts.exchanged = image is not None and are_exchanged(image, mask)
    facts.mask_is_picture = facts.exchanged or looks_like_picture(mask)
    if facts.mask_is_picture:
        return
    facts.mask = mask_facts(path, stored, ignore)
    facts.values = {}
    if not len(facts.mask.values):
        return
    ignored = stored.ignored_by(values_to_ignore(ignore, stored.names))
    if ignored is not None:  # a value of its own, which is not counted
        unknown = int(facts.mask.values[-1]) + 1
        mask = np.where(ignored, np.int64(unknown), mask)
    lowest, highest = int(mask.min()), int(mask.max())
    listed = lowest >= 0 and highest < 2**16  # else the values are too far apart to be counted by their number
    values = np.arange(highest + 1) if listed else np.unique(mask)
    counts, sums = np.zeros(len(values), np.int64), np.zeros(len(values))
    pictures = [None] * len(mask) if image is None else intensity.bands(image)
    between = alike = 0
    for band, picture in zip(intensity.bands(mask), pictures, strict=False):
        labels = band.ravel() if listed else np.searchsorted(values, band.ravel())
        counts += np.bincount(labels, minlength=len(values))
        if picture is not None:
            grey = _grey(picture, facts.colour)
            sums += np.bincount(labels, weights=grey.ravel(), minlength=len(values))
        inside = (band > 0) & (band < (255 if ignored is None else min(255, unknown)))
        between += np.count_nonzero(inside)
        alike += np.count_nonzero(inside[:, :-1] & (band[:, :-1] == band[:, 1:]))
    held = np.flatnonzero(counts)
    around = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    edge = np.bincount(around if listed else np.searchsorted(values, around), minlength=len(values))
    facts.values = {int(values[i]): (int(counts[i]), float(sums[i] / counts[i]), int(edge[i])) for i in held}
    if ignored is not None:
        facts.values.pop(unknown, None)
    # Edges that were smoothed or stored as JPEG: in-between values stand alone, unlike the areas of labels.
    facts.soft = bool(len(held) > 8 and highest >= 224 and alike < 0.5 * between)
    if len(held) > 1:
        facts.mask_hash = fingerprint(
            mask.astype(np.int32)
        )  # the same values are the same mask, however they are stored


def _mask_fault(facts, path, image):
    """Which fault a mask has that was refused."""
    if annotations.is_outlines(path):
        try:
            annotations.read_shapes(path)
        except InputError:
            return "unreadable mask"
        return "size mismatch"  # what can be read and is refused all the same was drawn on another image
    try:
        stored = images.read_mask(path)
        if facts.size and stored.shape != tuple(facts.size):
            return "size mismatch"
    except InputError:
        try:
            stored = images.read(path)
        except InputError:
            return "unreadable mask"
        facts.exchanged = image is not None and are_exchanged(image, stored)
        facts.mask_is_picture = facts.exchanged or looks_like_picture(intensity.to_channels(stored, 1)[..., 0])
    return "mask is a picture" if facts.mask_is_picture else "mask encoding"


def files_of(folder):
    try:
        return images.list_images(folder)
    except InputError:
        return []
