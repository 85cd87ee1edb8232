"""What a mask shows, whatever its values mean: which value lies around the rest, what are areas, what only lines."""

from dataclasses import dataclass

import cv2
import numpy as np

from pairing.outlines import FIRST_NAMED
from pairing.shades import SHADES, colour_points, is_soft
from reading import intensity

LOOKED_AT = 2048  # pixels in height and width: of larger masks the middle tells enough
LARGE = 0.2  # of the pixels: what a value must hold to lie around the others
WHOLE = 0.9  # of its pixels: what the largest area of such a value holds
SPECK = 25  # pixels of the box around a piece, below which its shape says nothing
CONVEX = 0.8  # of its convex hull, what an object fills; gaps between objects fill less, their corners being sharp


@dataclass(frozen=True)
class Topology:
    """What one mask shows.

    areas : bool ndarray of shape (n,), for each of the mask's values whether its pixels lie together, as those of what
        was drawn do; those of smoothed or compressed edges stand alone. Of two values both are areas.
    sea : the value that is one area along the borders, around pieces of other values; None where none is, and where it
        is 0 in most of the pixels.
    share : of the pixels that hold `sea`, shades included.
    pieces, inside, convex : how many pieces there are in the sea, how many of these do not touch the border, and how
        many of the latter are convex, as cells are and gaps between cells are not.
    lines : True where nothing is drawn but closed lines of a few pixels, which are empty inside.
    """

    areas: np.ndarray
    sea: int | None = None
    share: float = 0.0
    pieces: int = 0
    inside: int = 0
    convex: int = 0
    lines: bool = False

    @property
    def is_convex(self):
        """True where most of the pieces that can be judged are convex."""
        return 0 < self.inside <= 2 * self.convex


def topology_of(mask, values, counts, border, lossy=False):
    """The `Topology` of a stored mask, int (height, width), with the `values` (ascending) and their `counts` in it.

    border : the value that is the most frequent one along the borders.
    lossy : True for a file that does not keep values exactly.
    """
    areas = np.ones(len(values), bool) if len(values) < 3 else _areas(mask, values, counts)
    if len(values) < 2 or values[-1] >= FIRST_NAMED:
        return Topology(areas)
    top, left = (max(0, (side - LOOKED_AT) // 2) for side in mask.shape)
    mask = mask[top : top + LOOKED_AT, left : left + LOOKED_AT]
    shaded = lossy or is_soft(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    lowest, sea = values[0], None
    for value in values[counts >= LARGE * counts.sum()]:
        if value == 0 == lowest and 2 * counts[0] > counts.sum():
            continue  # the usual case, which no number contradicts
        found = _sea(_where(mask, values, value, shaded), _plain(value) if shaded else int(value), value == lowest)
        sea = found if found and (sea is None or value != lowest) else sea
    lines = any(
        _lines(mask, _where(mask, values, value, shaded), shaded or len(values) == 2, value > lowest)
        for value in {lowest, border}
    )
    return Topology(areas, **(sea or {}), lines=lines)


def histogram(array):
    """(values, counts) of an integer array: the distinct values ascending, and how often each occurs, int64 (n,)."""
    if array.size and array.dtype in (np.uint8, np.uint16):  # ten times faster than sorting
        counts = intensity.value_counts(array)
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(array, return_counts=True)
    return values.astype(np.int64), counts


def _areas(mask, values, counts):
    """`Topology.areas`: where enough pixels have their own value to the right and below."""
    part = mask[:-1, :-1]
    held, times = histogram(part[(part == mask[:-1, 1:]) & (part == mask[1:, :-1])][:, np.newaxis])
    alike = np.zeros(len(values), np.int64)
    alike[np.searchsorted(values, held)] = times
    return 4 * alike >= counts


def _where(mask, values, value, shaded):
    """The pixels that hold a value, or a shade of it: bool (height, width)."""
    if not shaded:
        return mask == value
    return np.isin(mask, values[np.abs(colour_points(values) - colour_points(value)).max(-1) <= SHADES])


def _plain(value):
    """A shade of black or white as 0 or 255, any other value as it is."""
    return next((end for end in (0, 255) if np.abs(colour_points(value) - end).max() <= SHADES), int(value))


def _sea(held, value, lowest):
    """The fields of a `Topology` that the value in the pixels `held` is the sea of; None where it is none.

    The lowest value is mostly nothing, so gaps that meet at corners alone are one network; of any other the pieces are.
    """
    connected = 8 if lowest else 4
    _, number, stats, _ = cv2.connectedComponentsWithStats(held.astype(np.uint8), connectivity=connected)
    largest = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    x, y, width, height, area = stats[largest]
    spans = (height, width) == held.shape and x == 0 and y == 0
    if not spans or area < WHOLE * held.sum():
        return None
    found = {"sea": value, "share": float(held.mean()), "pieces": 0, "inside": 0, "convex": 0}
    for outline in cv2.findContours((~held).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        x, y, width, height = cv2.boundingRect(outline)
        if width * height < SPECK:
            continue
        found["pieces"] += 1
        if x > 0 and y > 0 and x + width < held.shape[1] and y + height < held.shape[0]:
            found["inside"] += 1
            found["convex"] += cv2.contourArea(outline) >= CONVEX * cv2.contourArea(cv2.convexHull(outline))
    return found if found["pieces"] else None


def _lines(mask, ground, shaded, spanning):
    """True where all that is drawn on the pixels `ground` is closed lines of one to four pixels around empty areas.

    Lines of two objects that touch are told apart by the values of `mask`, unless these are `shaded`. With `spanning`
    the ground must reach from border to border, unlike cells between thin gaps.
    """
    numbers = (~ground).astype(np.uint8)
    total = numbers.sum(dtype=np.int64)
    if not shaded:
        numbers = np.where(ground, 0, mask.astype(np.float32) - mask.min() + 1)
    if _thick(numbers, 5) >= 0.05 * total:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats(ground.astype(np.uint8), connectivity=4)
    x, y, width, height, area = stats[1:].T
    inside = (x > 0) & (y > 0) & (x + width < ground.shape[1]) & (y + height < ground.shape[0])
    if spanning and not ((width == ground.shape[1]) & (height == ground.shape[0])).any():
        return False
    if _thick(numbers, 3) < 0.05 * total:
        return bool(area[inside].sum() > total / 3)
    rings = cv2.connectedComponents((~ground).astype(np.uint8), connectivity=8)[0] - 1
    return bool(area[inside].sum() > total and 2 * rings >= inside.sum())


def _thick(numbers, width):
    """The pixels above 0 with nothing but their own number for `width` pixels around: how many."""
    around = np.ones((width, width), np.uint8)
    return ((numbers > 0) & (cv2.dilate(numbers, around) == cv2.erode(numbers, around))).sum()
