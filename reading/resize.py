"""The scale at which the network sees images: pixels as they are or rescaled, single cells filling a crop."""

import math

import cv2
import numpy as np
from PIL import Image

PART_PIXELS = 2**22  # of an image, resampled at a time


def choose_fit(sizes, crop_px):
    """True where the images are single-cell crops, to be brought to the size of the training crops; False for fields.

    The rule: when more than half of the training images have both sides smaller than a crop, the size of a picture
    is the size of its cell, not a magnification. Then every image, in training and in prediction, is scaled so that
    its longer side fills the crop. Otherwise every image keeps its pixels.

    Parameters: sizes, list of (height, width) in pixels; crop_px, side of the training crops.
    """
    return sum(max(size) < crop_px for size in sizes) * 2 > len(sizes)


def resize(array, height, width, nearest=False):
    """Resample (height, width[, channels]): by area when shrinking, linearly when growing, nearest for masks."""
    if array.shape[:2] == (height, width):
        return array
    if nearest:
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinking = height * width < array.shape[0] * array.shape[1]
    resized = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.reshape(height, width, *array.shape[2:])


def fitted_size(height, width, crop_px):
    """Size (height, width) at which the longer side is `crop_px`, the aspect ratio kept."""
    scale = crop_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def parts_of(image):
    """A function (row, column, height, width) → that part of an image in memory, for `Rescaled.reader`."""
    return lambda row, column, height, width: image[row : row + height, column : column + width]


class Rescaled:
    """An image of another magnification as the network sees it, part by part, and what the network says of it, back.

    Both by bicubic interpolation, over as much wider an area as pixels become fewer: chosen on the training fields of
    benchmarks/magnification.py. A part comes out as it would of the whole.

    height, width : pixels of the image. scale : how many times as large the network sees it, in each direction.
    seen_height, seen_width : pixels then.
    """

    def __init__(self, height, width, scale):
        self.height, self.width = height, width
        self.seen_height, self.seen_width = (max(1, round(n * scale)) for n in (height, width))
        self._down, self._across = height / self.seen_height, width / self.seen_width

    def reader(self, read):
        """A function like `read`, (row, column, height, width) → float32 (height, width, channels), of the image seen.

        Values outside 0…1, where an edge overshoots, are cut off.
        """

        def read_seen(row, column, height, width):
            rows = max(1, int(PART_PIXELS / (self._down * self._across * width)))
            parts = []
            for first in range(row, row + height, rows):
                down, (top, tall) = _stretch(first, min(rows, row + height - first), self._down, self.height)
                across, (left, wide) = _stretch(column, width, self._across, self.width)
                size = min(rows, row + height - first), width
                parts.append(_resample(read(top, left, tall, wide), *size, (across[0], down[0], across[1], down[1])))
            return np.concatenate(parts).clip(0, 1)

        return read_seen

    def starts(self, rows):
        """The first rows of the bands of the image, from those of the bands seen: a list of as many, from 0 on."""
        margin = _reach(1 / self._down)
        return [max(0, math.floor((row - margin) * self._down)) for row in rows]

    def back(self, bands, rows, first=0):
        """Probabilities of the image, band by band, from those that the network gave.

        bands : iterable of (row, float32 (rows, seen_width, classes)), from band max(0, `first` - 1) on. rows : of all
        bands seen, their first row. first : number of the first band that is asked for.

        Yields (row, float32 (rows, width, classes)), rows beginning as `starts` says.
        """
        ends = [*self.starts(rows)[1:], self.height]
        begin = max(0, first - 1)
        done, kept, top = (ends[begin - 1] if begin else 0), None, None
        for number, (row, band) in enumerate(bands, begin):
            kept, top = (band, row) if kept is None else (np.concatenate([kept, band]), top)
            if number >= first:
                done = ends[number - 1] if number else 0
                down, (start, tall) = _stretch(done, ends[number] - done, 1 / self._down, self.seen_height)
                part = kept[start - top : start - top + tall]
                box = 0, down[0], self.seen_width, down[1]
                yield done, _resample(part, ends[number] - done, self.width, box).clip(0, 1)
            start = max(top, _stretch(ends[number], 1, 1 / self._down, self.seen_height)[1][0])
            kept, top = kept[start - top :], start


def _reach(step):
    """Pixels on each side that a resampled one may hang on, where it is `step` pixels from its neighbours."""
    return math.ceil(2 * max(1, step)) + 1


def _stretch(first, count, step, length):
    """Where `count` resampled pixels, from number `first` on, come from along an axis of `length`.

    Returns ((begin, end), (start, size)): the stretch itself, counted from `start`, and the pixels that it hangs on.
    """
    begin, end, reach = first * step, min(length, (first + count) * step), _reach(step)
    start, stop = max(0, math.floor(begin) - reach), min(length, math.ceil(end) + reach)
    return (begin - start, end - start), (start, stop - start)


def _resample(array, height, width, box):
    """float32 (height, width, channels) from a box (left, top, right, bottom) of an array (rows, columns, channels)."""
    channels = (Image.fromarray(np.ascontiguousarray(channel, np.float32)) for channel in np.moveaxis(array, 2, 0))
    resized = [np.asarray(one.resize((width, height), Image.Resampling.BICUBIC, box=box)) for one in channels]
    return np.stack(resized, axis=-1)
