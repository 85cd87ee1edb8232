"""Whole cells, nucleus and cytoplasm, that may share pixels: each in a box of its own.

A label image holds one number a pixel, so where cells share pixels it shows the upper one: the smaller cell lies on the
larger one, and nuclei lie on all.
"""

from typing import NamedTuple

import cv2
import numpy as np

from pairing.polygons import polygonise


class WholeCell(NamedTuple):
    """A nucleus with its cytoplasm: the first row and column of the box around it, and its pixels there.

    pixels : bool ndarray of shape (height, width).
    """

    row: int
    column: int
    pixels: np.ndarray

    def place(self):
        """The slices of its box in the image."""
        height, width = self.pixels.shape
        return np.s_[self.row : self.row + height, self.column : self.column + width]

    def part(self, place):
        """Its pixels in slices of the image that lie within its box, as a view."""
        return self.pixels[
            tuple(slice(at.start - first, at.stop - first) for at, first in zip(place, self, strict=False))
        ]

    def moved(self, rows, columns):
        return WholeCell(self.row + rows, self.column + columns, self.pixels)

    def rim(self, shape):
        """Its pixels with one outside it by their side: slices of an image of shape (height, width), and bool there."""
        top, left = min(self.row, 1), min(self.column, 1)
        rows, columns = self.place()
        place = np.s_[rows.start - top : rows.stop + 1, columns.start - left : columns.stop + 1]
        height, width = shape[0] - place[0].start, shape[1] - place[1].start
        padded = np.pad(self.pixels, ((top, 1), (left, 1)))[:height, :width].astype(np.uint8)
        return place, (padded > 0) & (cv2.erode(padded, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) == 0)


def boxed(pixels, row=0, column=0):
    """The `WholeCell` of pixels, bool (height, width), of which there are some, from a first row and column on."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return WholeCell(row + int(rows[0]), column + int(columns[0]), pixels[box].copy())


def joined(one, other):
    """The `WholeCell` of the pixels of two."""
    (top, left), ends = np.minimum(one[:2], other[:2]), [np.add(cell[:2], cell.pixels.shape) for cell in (one, other)]
    whole = WholeCell(int(top), int(left), np.zeros(np.maximum(*ends) - (top, left), bool))
    for cell in (one, other):
        whole.pixels[cell.moved(-whole.row, -whole.column).place()] |= cell.pixels
    return whole


def parted_cells(labels):
    """The objects of a label image, int32 (height, width), that share no pixel: {number: `WholeCell`}."""
    from scipy.ndimage import find_objects

    there = np.zeros(labels.max(initial=0) + 1, bool)
    there[labels] = True
    there[0] = False
    numbers = np.flatnonzero(there)
    dense = (np.cumsum(there, dtype=np.int32) * there)[labels]  # of a part of an image: as many boxes as objects
    boxes = enumerate(find_objects(dense), start=1)
    return {
        number: boxed(dense[box] == n, box[0].start, box[1].start)
        for number, (n, box) in zip(numbers.tolist(), boxes, strict=True)
    }


def common(cells):
    """What pairs of whole cells share: {(index, larger index): (slices of the image, bool pixels there)}, not empty."""
    boxes = np.array([(*cell[:2], *np.add(cell[:2], cell.pixels.shape)) for cell in cells])
    found = {}
    for index, (top, left, bottom, right) in enumerate(boxes.tolist()):
        later = boxes[index + 1 :]
        meets = (later[:, 0] < bottom) & (later[:, 2] > top) & (later[:, 1] < right) & (later[:, 3] > left)
        for other in (np.flatnonzero(meets) + index + 1).tolist():
            low, high = np.maximum(boxes[index], boxes[other])[:2], np.minimum(boxes[index], boxes[other])[2:]
            place = tuple(slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True))
            both = cells[index].part(place) & cells[other].part(place)
            if both.any():
                found[index, other] = place, both
    return found


def upper(cells, nuclei):
    """The label image of whole cells, int32 (height, width): at each pixel the number of the upper one, 0 without any.

    cells : of `WholeCell`, numbers 1 … n in their order; nuclei : int32 (height, width), by the same numbers.
    """
    labels = np.zeros(nuclei.shape, np.int32)
    for index in np.argsort([-cell.pixels.sum() for cell in cells], kind="stable").tolist():
        labels[cells[index].place()][cells[index].pixels] = index + 1
    return np.where(nuclei > 0, nuclei, labels)


def polygonise_whole(cells, shape):
    """`polygonise` of each whole cell, {number: parts}, in an image of shape (height, width)."""
    labels, found = np.zeros(shape, np.int32), {}
    for number, cell in enumerate(cells, start=1):
        there = labels[cell.place()]
        if there[cell.pixels].any():  # each alone in its box; the others together, which is faster
            parts = polygonise(cell.pixels.astype(np.int32))[1]
            found[number] = [[ring + (cell.column, cell.row) for ring in part] for part in parts]
        else:
            there[cell.pixels] = number
    return dict(sorted((found | polygonise(labels)).items()))
