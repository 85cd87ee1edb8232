"""How sure it is that cells which touch are two: by the neck between them, and by the probability along their seam.

Only the labels and the probability are looked at, not by which rule the cells were divided.
"""

import cv2
import numpy as np

from reading.intensity import to_8_bits

NO_NECK = 1.5  # times the width of the narrower cell: a seam as long as that shows no neck at all


def division(cells, probability):
    """How sure the division of each cell from its neighbours is: float64 (n,), 0…1; NaN where it touches none.

    Of each seam, the places where two cells of one class touch, 1 − neck × dip. The neck is the length of the seam over
    `NO_NECK` times the width of the narrower cell (the largest disc in it), at most 1; the dip is the mean probability
    along the seam over the mean in the less probable cell, at most 1. So it is 1 where the cells touch in a point or
    where nothing is likely to be between them, and 0 where there is neither neck nor dip. A cell has that of its
    least sure seam. It is no probability; docs/cells.md says how often divisions are right.

    cells : `cells.Cells`. probability : float (height, width, 1) of foreground, or (height, width, K) of K classes.
    """
    found = np.full(len(cells), np.nan)
    one, other, rows, columns = _contacts(cells.labels, cells.classes)
    if not len(one):
        return found
    pairs, which = np.unique(np.stack([one, other]), axis=1, return_inverse=True)
    which, count = which.ravel(), pairs.shape[1]
    steps = [_span(values, which, count) for values in (rows.sum(0) / 2, columns.sum(0) / 2)]
    touching = np.unique(pairs)
    widths, means = np.zeros(len(cells) + 1), np.zeros(len(cells) + 1)
    widths[touching], means[touching] = _inside(cells, touching, probability)
    channel = cells.classes[one - 1] if probability.shape[2] > 1 else np.zeros(len(one), int)
    sure = (to_8_bits(probability[rows, columns, channel]) / 255).mean(0)
    seam = np.bincount(which, sure, count) / np.bincount(which, minlength=count)
    neck = np.minimum(1, (np.hypot(*steps) + 1) / (NO_NECK * widths[pairs].min(0)))
    each = 1 - neck * np.minimum(1, seam / np.maximum(means[pairs].min(0), 1 / 255))
    for side in pairs:
        np.fmin.at(found, side - 1, each)
    return found


def _contacts(labels, classes):
    """Where two objects of one class touch by sides or corners: smaller numbers, larger ones, (2, n) rows, columns."""
    padded = np.pad(labels, 1)
    width, flat = padded.shape[1], padded.ravel()
    places = np.flatnonzero(flat)
    class_of = np.r_[0, classes]
    here, there = [], []
    for step in (1, width - 1, width, width + 1):
        mine, next_to = flat[places], flat[places + step]
        met = (next_to > 0) & (next_to != mine)
        met[met] = class_of[mine[met]] == class_of[next_to[met]]
        here.append(places[met])
        there.append(places[met] + step)
    both = np.stack([np.concatenate(here), np.concatenate(there)])
    both = np.where(flat[both[0]] < flat[both[1]], both, both[::-1])
    rows, columns = np.divmod(both, width)
    return *flat[both], rows - 1, columns - 1


def _span(values, which, count):
    """Of each group of values the largest less the smallest; `which` numbers the groups."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, which, values)
    np.maximum.at(high, which, values)
    return high - low


def _inside(cells, numbers, probability):
    """The width of some cells, twice the radius of the largest disc in each, and their mean probability."""
    from scipy.ndimage import find_objects

    places, widths, means = find_objects(cells.labels), [], []
    for number in numbers.tolist():
        box = places[number - 1]
        own = cells.labels[box] == number
        distance = cv2.distanceTransform(np.pad(own, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        widths.append(2 * np.sqrt(np.rint(distance.max() ** 2)))  # OpenCV's last digit hangs on the place
        channel = cells.classes[number - 1] if probability.shape[2] > 1 else 0
        means.append((to_8_bits(probability[box][own][:, channel]) / 255).mean())
    return np.array(widths), np.array(means)
