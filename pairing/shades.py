"""Values that were drawn, and the shades and blends of them that smoothing and compression make at their edges."""

import numpy as np

MAIN_SHARE = 0.02  # of the foreground's pixels: what a colour must hold, shades included, to be one of the drawing
SHADES = 48  # of 255: colours no further apart than this in each channel are shades of one
TINY = 32  # values below are numbers of classes or objects, as a rule: too dark to be drawn for the eye
COLOUR = 2**24  # colours in masks become numbers from here on, out of the way of labels of 16 bits


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


def drawn_values(mask_values):
    """The main values of lossy files; with less weight each where together they are not most of the foreground."""
    main = main_values(mask_values, MAIN_SHARE)
    points, counts = colour_points(list(mask_values)), np.array(list(mask_values.values()))
    near = [np.abs(points - colour_points(one)).max(1) <= SHADES for one in main]
    foreground = ~near[0]
    shown = np.any(near[1:], axis=0) & foreground if len(main) > 1 else ~foreground & foreground
    return main if 2 * counts[shown].sum() > counts[foreground].sum() else main_values(mask_values)


def blended_values(mask_values):
    """The main values of colours with smoothed edges in files that keep values; None where all colours were drawn.

    Edges are blends of few colours, each far more frequent than a blend; of objects with a colour each, none is.
    """
    main = main_values(mask_values, MAIN_SHARE, exact=True)
    if not 2 <= len(main) <= 16:
        return None
    values, counts = np.array(list(mask_values)), np.array(list(mask_values.values()))
    points, ends = colour_points(values), colour_points(main)
    rest = (np.abs(points[:, np.newaxis] - ends).max(-1) > SHADES // 8).all(1)
    if not rest.any() or min(mask_values[value] for value in main) < 10 * np.median(counts[rest]):
        return None
    between = np.array([_is_between(point, ends, 12) for point in points[rest]], bool)
    return main if counts[rest][between].sum() >= 0.9 * counts[rest].sum() else None


def main_values(mask_values, share=0, most=None, exact=False):
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


def are_apart(value, others):
    return all(np.abs(colour_points(value) - colour_points(other)).max() > SHADES for other in others)


def nearest_of(stored, palette):
    values, where = np.unique(stored, return_inverse=True)
    distance = ((colour_points(values)[:, np.newaxis] - colour_points(np.array(palette))) ** 2).sum(-1)
    return distance.argmin(1).astype(np.uint8)[where].reshape(stored.shape)


def colour_points(values):
    """Values as points (n, 3) between which distances make sense: colours, and greys v as (v, v, v)."""
    values = np.asarray(values, np.int64)
    colour = np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1)
    return np.where((values >= COLOUR)[..., np.newaxis], colour, values[..., np.newaxis])
