"""Pixels on their way between the program and the page: labels gzip-coded, edits run-length coded, pictures as PNG."""

import io
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from reading import images, show
from reading.files import NOT_KNOWN, InputError

MOST_CELLS = NOT_KNOWN - 1
BAND_ROWS = 256
MANY_PIXELS = 2**20  # from where on OpenCV counts faster than NumPy
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
DEFLATE_END = b"\x03\x00"  # an empty last block


class GzippedLabels:
    """Labels as one gzip stream of uint16, little-endian, row by row; what did not change is not compressed again.

    Each band of rows is compressed by itself and ends at a byte, so that the bands joined are one deflate stream.
    """

    def __init__(self):
        self._bands, self._stream = {}, None

    def forget(self, row, height):
        """Rows from `row` on have changed."""
        self._stream = None
        for band in range(row // BAND_ROWS, (row + height - 1) // BAND_ROWS + 1):
            self._bands.pop(band, None)

    def stream(self, labels):
        """The bytes of a gzip file; labels: uint16 ndarray of shape (height, width)."""
        if self._stream is not None:
            return self._stream
        labels = np.ascontiguousarray(labels, "<u2")
        for band in range(-(-len(labels) // BAND_ROWS)):
            if band not in self._bands:
                press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
                rows = labels[band * BAND_ROWS : (band + 1) * BAND_ROWS]
                self._bands[band] = press.compress(rows) + press.flush(zlib.Z_FULL_FLUSH)
        parts = [self._bands[band] for band in sorted(self._bands)]
        end = struct.pack("<II", zlib.crc32(labels), labels.nbytes % 2**32)
        self._stream = b"".join([GZIP_HEAD, *parts, DEFLATE_END, end])
        return self._stream


@dataclass(frozen=True)
class Edit:
    """New labels of a rectangle: uint16 ndarray `labels`, whose first pixel lies at `row`, `column`.

    pixels : as `count_pixels` counts them.
    """

    row: int
    column: int
    labels: np.ndarray
    pixels: np.ndarray

    @property
    def place(self):
        height, width = self.labels.shape
        return np.s_[self.row : self.row + height, self.column : self.column + width]


def read_edit(told, shape):
    """The `Edit` in what the page sends or the journal holds: {"row", "column", "height", "width", "runs"}.

    runs : value, count, value, count, … row by row. shape : (height, width) of the labels, in which it has to lie.
    Raises `InputError` for anything else.
    """
    try:
        row, column, height, width = (_whole(told[key]) for key in ("row", "column", "height", "width"))
        kinds, runs = set(map(type, told["runs"])), np.array(told["runs"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _malformed("numbers are missing") from None
    if row + height > shape[0] or column + width > shape[1] or height == 0 or width == 0:
        raise _malformed(f"{height}×{width} pixels from {row}, {column} on, of a picture of {shape[0]}×{shape[1]}")
    if kinds != {int} or runs.dtype.kind != "i" or runs.size % 2 or runs.min() < 0:
        raise _malformed("runs that are no pairs of whole numbers")
    values, counts = runs[::2], runs[1::2]
    if values.max() > NOT_KNOWN or counts.max() > height * width or counts.sum() != height * width:
        raise _malformed("values above 65,535, or another number of pixels than the rectangle has")
    labels = np.repeat(values.astype(np.uint16), counts).reshape(height, width)
    return Edit(row, column, labels, np.bincount(values, counts, NOT_KNOWN + 1).astype(np.int64))


def _whole(number):
    if type(number) is not int or number < 0:
        raise ValueError
    return number


def _malformed(what):
    return InputError(f"an edit with {what} received; expected a rectangle of the picture. Reload the page.")


def runs_of(labels):
    """`runs` as `read_edit` takes them, a list of int, of labels of shape (height, width)."""
    flat = labels.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    counts = np.diff(np.r_[starts, flat.size])
    return np.column_stack([flat[starts].astype(np.int64), counts]).ravel().tolist()


def count_pixels(labels):
    """The number of pixels of each value: int64 ndarray of shape (65536,); labels: uint16, of any shape."""
    if labels.size <= MANY_PIXELS:
        return np.bincount(labels.ravel(), minlength=NOT_KNOWN + 1)
    parts = np.array_split(labels.reshape(-1), -(-labels.size // 2**22))  # as float32 counts whole numbers
    return sum(
        cv2.calcHist([part], [0], None, [NOT_KNOWN + 1], [0, NOT_KNOWN + 1]).ravel().astype(np.int64) for part in parts
    )


def picture_png(path, intensity_range=None):
    """An image file as the bytes of an 8-bit PNG, as `show.display` shows it. Raises `InputError` as `images.read`."""
    shown = show.display(images.read(path), intensity_range)
    file = io.BytesIO()
    images.save_png(file, shown[..., 0] if shown.shape[2] == 1 else shown, compress_level=1)
    return file.getvalue()
