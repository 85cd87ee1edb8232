"""Stacks of planes → one picture: the sharpest plane at each place, a projection, or one of the planes.

Without `--stack` a file of several planes is refused, since nobody but its maker knows which of them is meant.
"""

from contextlib import contextmanager

import numpy as np

from reading.files import InputError

HOW = None  # "focus", "min", "max", "mean", or the number of a plane, from 1; None: stacks are refused
PROJECTIONS = ("focus", "min", "max", "mean")
DETAIL_PX, AREA_PX, FAR_PX = 1.5, 4.0, 24.0  # standard deviations of Gaussians, in pixels


class StackError(InputError):
    """A file of several planes that is not to be read as one picture, or not in this way."""


@contextmanager
def as_one(how):
    """Within the block, stacks are read as one picture; None: as without it."""
    global HOW
    before = HOW
    HOW = how or before
    try:
        yield
    finally:
        HOW = before


def as_trained(how):
    """`as_one` for a model that was trained with `how`, unless another way was asked for; says which it is."""
    if how and HOW is None:
        print(f"stacks become one picture by --stack {how}, as for the training of this model")
    elif how and how != HOW:
        print(f"--stack {HOW}, but this model was trained on pictures made with --stack {how}")
    return as_one(HOW or how)


def join(planes, how):
    """One picture of the planes of a stack.

    planes : a sequence, by number, of arrays of shape (height, width) or (height, width, channels), which may be read
        anew each time: one or two of them are held at once, never all.
    how : "min", "max" or "mean" of each pixel and channel over the planes; "focus": see `_sharpest`; or an int, the
        plane of this number, counted from 1.

    Returns an array of the shape and dtype of a plane.
    """
    if how == "focus":
        return _sharpest(planes)
    if how == "mean":
        total = planes[0].astype(np.float64)
        for number in range(1, len(planes)):
            total += planes[number]
        mean = total / len(planes)
        return (mean if planes[0].dtype.kind == "f" else np.rint(mean)).astype(planes[0].dtype)
    if how in ("min", "max"):
        result, further = planes[0], np.minimum if how == "min" else np.maximum
        for number in range(1, len(planes)):
            result = further(result, planes[number])
        return result
    return planes[how - 1]


def _sharpest(planes):
    """An extended depth of field: at each place the pixels of the plane that is sharpest there.

    Sharp is where the Laplacian of the picture is strong: its energy in the neighbourhood decides. Where no plane shows
    anything, such as between cells, the surroundings decide; the map of the planes chosen is smoothed by a median. So a
    cell comes from one plane, or a few that follow each other. After S. K. Nayar and Y. Nakagawa, "Shape from focus",
    IEEE Transactions on Pattern Analysis and Machine Intelligence 16, 1994, with the Laplacian of Gaussian.
    """
    import cv2  # only where there are stacks

    best = chosen = None
    for number in range(len(planes)):
        energy = _sharpness(planes[number])
        if best is None:
            best, chosen = energy, np.zeros(energy.shape, np.uint16)
        else:
            better = energy > best
            chosen[better], best = number, np.maximum(best, energy)
    chosen = cv2.medianBlur(chosen, 5)
    result = planes[0].copy()
    for number in np.unique(chosen):
        here = chosen == number
        result[here] = planes[number][here]
    return result


def _sharpness(plane):
    """How sharp a plane is at each pixel, float32 (height, width)."""
    import cv2

    grey = plane.astype(np.float32)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    energy = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), DETAIL_PX), cv2.CV_32F) ** 2
    return cv2.GaussianBlur(energy, (0, 0), AREA_PX) + cv2.GaussianBlur(energy, (0, 0), FAR_PX) / 10
