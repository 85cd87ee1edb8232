"""Images of any size through a network of fixed reach: overlapping windows, of which only the inner parts count.

Near the edge of a window a network sees less than in the whole image. By its layers a pixel of the default network may
depend on others 137 px away. Measured on real Pap-smear fields, from 88 px inside a window on
the probability differs by at most 0.0006 from that of the whole image, and from 112 px on not at all. So neighbours
share `OVERLAP_PX`, the outer 80 of which are thrown away on each side, and pass smoothly into each other over the 32
between.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

WINDOW_PX = 1024  # the most that a window may measure; with 8 filters the network then takes about 300 MB
OVERLAP_PX = 192
OUTER_PX = 5 * OVERLAP_PX // 12  # at a window's edge, thrown away
GRID_PX = 16  # a network of depth 4 halves its image four times; a deeper one needs more
AHEAD = 3  # windows read while one is predicted


def window_starts(length, window, overlap, grid=GRID_PX):
    """The fewest windows of one size that cover `length` px and share `overlap`: (first pixels, size).

    The size is at most `window`, and as small as it can be, so that little is computed twice. The last window may reach
    beyond the image by less than `grid` a window. Starts are multiples of `grid`, so that a pixel falls into the same
    cell of every pooling layer in each window that sees it. `window` and `overlap` are multiples of it, and `window` is
    at least three overlaps, so that no pixel lies in three windows.

    >>> window_starts(1024, 1024, 192)
    ([0], 1024)
    >>> window_starts(1025, 1024, 192)
    ([0, 432], 624)
    """
    count = max(1, -(-(length - overlap) // (window - overlap)))
    size = grid * -(-(length + (count - 1) * overlap) // (count * grid))
    return [i * (size - overlap) for i in range(count)], size


def window_weights(count, size, overlap):
    """Weights of the pixels along one axis of `count` windows: float32 (count, size); where two overlap they sum to 1.

    0 over the outer 5/12 of an overlap, then a raised cosine, then 1; at the borders of the image 1.
    """
    weights = np.ones((count, size), np.float32)
    if count > 1 and overlap:
        outer = 5 * overlap // 12
        steps = overlap - 2 * outer
        rise = np.sin(np.pi / 2 * (np.arange(steps) + 0.5) / steps) ** 2
        weights[1:, :overlap] = ramp = np.concatenate([np.zeros(outer), rise, np.ones(outer)])
        weights[:-1, size - overlap :] = ramp[::-1]
    return weights


@dataclass(frozen=True)
class Layout:
    """How windows lie on an image, in pixels.

    window, overlap : the most that a window may measure, and what neighbours share; multiples of `grid`, `window` at
        least three overlaps.
    grid : by which the network halves its image in all: 2**depth, or a multiple of that.
    smallest : least side of a window; what an image lacks is filled by reflection.
    """

    window: int = WINDOW_PX
    overlap: int = OVERLAP_PX
    grid: int = GRID_PX
    smallest: int = 1

    def starts(self, length):
        """`window_starts` along an axis of `length` pixels."""
        return window_starts(max(length, self.smallest), self.window, self.overlap, self.grid)


def predict_bands(predict, read, height, width, background, layout, first=0):
    """Apply `predict` to an image of any size, one row of windows after the other.

    Parameters
    ----------
    predict : function from float32 (1, window height, window width, channels) to float32 (1, …, classes).
    read : function from (row, column, height, width), a part of the image, to its float32 (height, width, channels),
        or to None where it is known to be background. Called in another thread, ahead of need.
    height, width : pixels of the image.
    background : float32 (classes,), the probabilities of background.
    layout : `Layout`.
    first : number of the band to start with; the earlier ones are not given.

    Yields (row, probability): the first row of a band, and float32 (rows, width, classes), down to the lower end.
    """
    (rows, tall), (columns, wide) = layout.starts(height), layout.starts(width)
    overlap = layout.overlap
    down, across = window_weights(len(rows), tall, overlap), window_weights(len(columns), wide, overlap)
    begin = max(0, first - 1)  # the row of windows above reaches into the first band

    def read_window(place):
        row, column = place
        image = read(row, column, min(tall, height - row), min(wide, width - column))
        if image is None:
            return None
        missing = tall - image.shape[0], wide - image.shape[1]
        return np.pad(image, [(0, n) for n in (*missing, 0)], mode="symmetric") if any(missing) else image

    if len(rows) == len(columns) == 1 and first == 0:
        image = read_window((0, 0))
        result = background if image is None else predict(image[np.newaxis])[0]
        yield 0, np.broadcast_to(result, (tall, wide, len(background)))[:height, :width]
        return

    carry = 0
    with closing(_ahead(read_window, [(row, column) for row in rows[begin:] for column in columns])) as windows:
        for number in range(begin, len(rows)):
            strip = np.zeros((tall, columns[-1] + wide, len(background)), np.float32)
            for column, weights in zip(columns, across, strict=True):
                image = next(windows)
                result = background if image is None else predict(image[np.newaxis])[0]
                strip[:, column : column + wide] += result * weights[:, np.newaxis]
            strip *= down[number][:, np.newaxis, np.newaxis]
            strip[:overlap] += carry
            last = number == len(rows) - 1
            carry = 0 if last else strip[tall - overlap :].copy()
            if number >= first:
                yield rows[number], strip[: height - rows[number] if last else tall - overlap, :width]


def predict_in_windows(predict, image, background, layout):
    """`predict_bands` of an image in memory, float32 (height, width, channels): float32 (height, width, classes)."""

    def read(row, column, height, width):
        return image[row : row + height, column : column + width]

    return np.concatenate([band for _, band in predict_bands(predict, read, *image.shape[:2], background, layout)])


def average_flips(predict):
    """A function like `predict`, which gives the mean over the window as it is and flipped along one or both sides."""

    def average(windows):
        flips = [np.s_[:, ::down, ::right] for down in (1, -1) for right in (1, -1)]
        return sum(predict(np.ascontiguousarray(windows[flip]))[flip] for flip in flips) / np.float32(len(flips))

    return average


def _ahead(function, arguments):
    """`map` with the next few results computed in another thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque()
        try:
            for argument in arguments:
                waiting.append(thread.submit(function, argument))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
