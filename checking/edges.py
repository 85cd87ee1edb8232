"""Which pictures continue each other at their edges, as tiles of one field do whatever they are called.

The outermost line of pixels of one picture is compared with the lines at the opposite border of every other. It is that
border which is most like it, and the other way round, by more than chance lets two of so many be alike: between flat
borders, or where all pictures have one frame, none stands out.
"""

import cv2
import numpy as np

from reading import intensity

DEEPEST = 32  # px that neighbouring tiles may share; where they share more, `copies.overlaps` finds it
STEP = 2  # px between the lines at a border
SMALLEST = 64  # px; the border of less is like many others
CONTRAST = 0.02  # of a line, as standard deviation, in the picture's range of grey values
LIKE, USUAL = 0.75, 0.6  # correlation that two lines need at least, and that the second best has at least
PLACE = 8  # values of a line that one object at the border fills
CLEAR, VERY_CLEAR = 1.2, 2.2  # how clearly pictures continue each other, several couples of them and one alone


def take_edges(facts, image):
    """Fill in the lines at the borders of an image: `facts.edges`, which stays None where it is too small."""
    if min(image.shape[:2]) < SMALLEST:
        return
    facts.edges = []
    for turned in (image, image.swapaxes(0, 1)):  # top and bottom, then left and right
        count = int(np.clip(turned.shape[1] // 4 // PLACE, 2, 16)) * PLACE
        near, far = _lines(turned[: DEEPEST + STEP], count), _lines(turned[: -STEP - 1 : -1], count)
        facts.edges.append((turned.shape[1], near, far[0]))


def _lines(band, count):
    """Rows of a band, `STEP` by `STEP` in one, of `count` values each, without slow changes: float32."""
    grey = intensity.to_channels(band, 1)[..., 0].astype(np.float32)
    small = cv2.resize(grey, (count, len(grey) // STEP), interpolation=cv2.INTER_AREA)
    slow = cv2.GaussianBlur(small, (count // 10 * 4 + 1, 1), count / 10, borderType=cv2.BORDER_REFLECT)
    return small - slow


def _unit(lines, limit):
    """Lines (…, count) of length 1; zeros where there is too little contrast to tell one from another."""
    length = np.linalg.norm(lines, axis=-1, keepdims=True)
    return np.where(length > limit * np.sqrt(lines.shape[-1]), lines / np.maximum(length, 1e-6), 0)


def continuations(all_facts):
    """Couples of pictures, of any groups, that continue each other: list of (facts, facts, how clearly)."""
    all_facts = [facts for facts in all_facts if facts.edges]
    usual = np.median([facts.high - facts.low for facts in all_facts] or [0])
    found = []
    for axis in (0, 1):
        by_length = {}
        for facts in all_facts:
            by_length.setdefault(facts.edges[axis][0], []).append(facts)
        for alike in by_length.values():
            if len(alike) > 1:
                limits = CONTRAST * np.array([max(usual, facts.high - facts.low) for facts in alike], np.float32)
                far = _unit(np.stack([facts.edges[axis][2] for facts in alike]), limits[:, None])
                near = _unit(np.stack([facts.edges[axis][1] for facts in alike]), limits[:, None, None])
                found += [(alike[i], alike[j], clear) for i, j, clear in _best_couples(far, near)]
    return found


def _best_couples(far, near):
    """(i, j, how clearly) where the last line of i, of far (n, count), goes on in j, of near (n, depth, count)."""
    count, (n, depth, _) = far.shape[1], near.shape
    lines = near.reshape(n * depth, count).T
    best, second, partner = np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, int)
    best_of, second_of, partner_of = best.copy(), second.copy(), partner.copy()
    step = max(1, 2**23 // (n * depth))
    for first in range(0, n, step):
        likeness = (far[first : first + step] @ lines).reshape(-1, n, depth).max(2)
        rows = np.arange(len(likeness))
        likeness[rows, first + rows] = 0  # itself
        partner[first + rows], best[first + rows], second[first + rows] = _two_largest(likeness, axis=1)
        owner, largest, next_largest = _two_largest(likeness, axis=0)
        second_of = np.maximum(np.maximum(second_of, next_largest), np.minimum(best_of, largest))
        partner_of = np.where(largest > best_of, first + owner, partner_of)
        best_of = np.maximum(best_of, largest)
    for i in np.flatnonzero((best > LIKE) & (partner_of[partner] == np.arange(n))):
        j = partner[i]
        weight = np.abs(far[i] * near[j, (near[j] @ far[i]).argmax()]).reshape(-1, PLACE).sum(1)
        places = weight.sum() ** 2 / (weight**2).sum()  # that the likeness rests on: one cell at the border is chance
        least = max(second[i], second_of[j], USUAL)
        clear = (np.arctanh(min(best[i], 0.999)) - np.arctanh(min(least, 0.999))) * (places - 1)
        if clear > CLEAR:
            yield i, j, clear


def _two_largest(likeness, axis):
    """(where the largest along an axis is, its value, that of the second largest); `likeness` stays as it was."""
    place = np.expand_dims(likeness.argmax(axis), axis)
    largest = np.take_along_axis(likeness, place, axis)
    np.put_along_axis(likeness, place, 0, axis)
    second = likeness.max(axis)
    np.put_along_axis(likeness, place, largest, axis)
    return place.squeeze(axis), largest.squeeze(axis), second
