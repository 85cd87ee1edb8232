"""A small picture of a slide with what was found outlined on it: what to look at before any viewer of slides is opened.

Where many pixels of the slide become one, it is marked as soon as one of them is: a nucleus stays a dot.
"""

import math

import cv2
import numpy as np

from reading import images, show
from reading.files import MADE_BY
from reading.large_images import SMALL

OVERVIEW = "_overview.png"
LONGEST_PX = 1200
READ_PIXELS = 2**24  # at a time


def write_overview(path, source, bands):
    """Write the overview of a source (reading/large_images.py) and its mask, `pyramid.Bands`, as PNG to `path`."""
    step = math.ceil(max(source.height, source.width) / LONGEST_PX)
    step = step if step < SMALL else SMALL * math.ceil(step / SMALL)
    picture, mask = show.display(reduced_picture(source, step)), reduced_mask(bands, step)
    picture = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
    for number in np.unique(mask[mask > 0]):
        colour = show.OUTLINE_COLOURS[0 if number == 255 else (number - 1) % len(show.OUTLINE_COLOURS)]
        picture = show.draw_outline(picture, mask == number, colour)
    images.write_png(path, picture, MADE_BY)


def reduced_mask(bands, step):
    """The highest value of each `step` × `step` pixels: uint8, its sides rounded up."""
    small = np.zeros((-(-bands.height // step), -(-bands.width // step)), np.uint8)
    columns = np.arange(0, bands.width, step)
    for number in range(len(bands)):
        first, band = bands.read(number)
        rows = (first + np.arange(len(band))) // step
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        highest = np.maximum.reduceat(np.maximum.reduceat(band, columns, axis=1), starts, axis=0)
        small[rows[starts]] = np.maximum(small[rows[starts]], highest)
    return small


def reduced_picture(source, step):
    """The picture `step` times smaller: averaged where the file has it smaller already, else every `step`-th pixel."""
    height, width = (-(-n // step) for n in (source.height, source.width))
    if step >= SMALL and source.read_small(0, 0, SMALL, source.width) is not None:
        rows = max(1, READ_PIXELS * SMALL * SMALL // (step * source.width))
        parts = []
        for first in range(0, height, rows):
            tall = min(rows, height - first)
            small = source.read_small(first * step, 0, min(tall * step, source.height - first * step), source.width)
            parts.append(cv2.resize(small, (width, tall), interpolation=cv2.INTER_AREA).reshape(tall, width, -1))
        return np.concatenate(parts)
    return np.concatenate([source.read(row, 0, 1, source.width)[:, ::step] for row in range(0, source.height, step)])
