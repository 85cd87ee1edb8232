"""Slides and large TIFFs as sources that are read part by part.

A source has `height` and `width` (pixels as the network will see them), `mpp` (µm per pixel or None), `place` (its
left and top in the file, in pixels of the file, and how many of those one of its own measures), and

read(row, column, height, width)    the pixels there, (height, width, channels) of uint8 or uint16
read_small(same)                    the same place, `SMALL` times smaller, or None where that would need `read`
spread_pixels()                     pixels of all parts, unreduced, to find its background
spread(channels)                    the `intensity.Spread` of the picture in 1 or 3 channels
"""

import math
from collections import OrderedDict
from contextlib import ExitStack, suppress
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from reading import decoding, intensity, pixel_size, tiff_files
from reading.files import InputError
from reading.slides import is_slide, open_slide

LARGE_PIXELS = 50_000_000  # ordinary TIFFs above are streamed, where their kind allows it
WHOLE_PIXELS = 2**23  # of a smaller slide all pixels are looked at,
WINDOWS, WINDOW_PX = 32, 32  # of a larger one 32 × 32 windows: a million pixels
PART_ROWS = 64  # of a picture looked at from top to bottom; a multiple of `intensity.BLOCK_PX`
SMALL = 8  # a nucleus 16 px across is still two pixels wide
FINEST = 4  # times the resolution of a slide: beyond that nothing is seen that was not invented
CACHE_BYTES = 2**28  # decoded strips or tiles of a TIFF
JPEG = (6, 7)  # TIFF's numbers for the compressions that tifffile decodes to RGB, with tables kept outside the parts


def is_large(path):
    """True for what is read part by part: slides, and TIFFs above `LARGE_PIXELS` whose kind allows it."""
    source = None if is_slide(path) else _tiff_source(Path(path))
    if source:
        source.close()
    return source is not None or is_slide(path)


def open_source(path, mpp=None, region=None):
    """The source for an image that `is_large`, to be closed.

    mpp : micrometres a pixel to bring a slide to; None: its full resolution.
    region : (x, y, width, height) in pixels of the full resolution; None: everything.
    Raises `InputError` for a slide that cannot be opened, a region outside it, unknown resolution, or where the options
    are given for no slide.
    """
    path = Path(path)
    if is_slide(path):
        return SlideSource(open_slide(path), mpp, region)
    if mpp or region:
        raise InputError(f"{path}: no slide; expected one with --mpp and --region. Leave these options out.")
    source = _tiff_source(path)
    if source is None:
        raise InputError(f"{path}: cannot be read part by part; expected a slide or a large TIFF. Give another file.")
    return source


class SlideSource:
    """A slide, or a rectangle of it, at any resolution."""

    def __init__(self, slide, mpp=None, region=None):
        if mpp and not slide.mpp:
            raise InputError(f"{slide.path}: does not state its µm per pixel; expected that with --mpp. Leave it out.")
        if mpp and mpp < slide.mpp / FINEST:
            raise InputError(
                f"{slide.path}: --mpp {mpp:g} received, expected {slide.mpp / FINEST:.3g} or more, since the slide has "
                f"{slide.mpp:.3g} µm per pixel. Give what your training images have."
            )
        self._slide = slide
        self._factor = mpp / slide.mpp if mpp else 1.0
        x, y, width, height = region or (0, 0, slide.width, slide.height)
        if x < 0 or y < 0 or min(width, height) < 1 or x + width > slide.width or y + height > slide.height:
            raise InputError(
                f"{slide.path}: --region {x},{y},{width},{height} received; expected x,y,width,height inside its "
                f"{slide.width}×{slide.height} pixels. Choose another."
            )
        self._top, self._left = y, x
        self.height, self.width = (max(1, round(n / self._factor)) for n in (height, width))
        self.mpp = mpp or slide.mpp
        self.place = x, y, self._factor

    def close(self):
        self._slide.close()

    def read(self, row, column, height, width):
        return self._resampled(row, column, height, width, self._factor)

    def read_small(self, row, column, height, width):
        if self._slide.level(self._factor * SMALL)[1] < 2 * self._slide.level(self._factor)[1]:
            return None
        place = (row // SMALL, column // SMALL, -(-height // SMALL), -(-width // SMALL))
        return self._resampled(*place, self._factor * SMALL)

    def spread_pixels(self):
        if self.height * self.width <= WHOLE_PIXELS:
            return self.read(0, 0, self.height, self.width)
        rows, columns = (np.linspace(0, n - WINDOW_PX, WINDOWS).astype(int) for n in (self.height, self.width))
        return np.concatenate([self.read(row, column, WINDOW_PX, WINDOW_PX) for row in rows for column in columns])

    def spread(self, channels):
        return intensity.spread_of(intensity.to_channels(self.spread_pixels(), channels))

    def _resampled(self, row, column, height, width, factor):
        """Pixels of `factor` times the size of those of the full resolution; row and column count such pixels."""
        level, downsample = self._slide.level(factor)
        top, left = self._top + row * factor, self._left + column * factor
        if factor == 1:
            return self._slide.read_region(int(top), int(left), height, width)
        ratio = factor / downsample
        margin = math.ceil(ratio) + 1
        first_row, first_column = (math.floor(n / downsample) - margin for n in (top, left))
        tall, wide = (math.ceil(n * ratio) + 2 * margin + 1 for n in (height, width))
        place = (round(first_row * downsample), round(first_column * downsample))
        y, x = top / downsample - first_row, left / downsample - first_column
        pixels = Image.fromarray(self._slide.read_region(*place, tall, wide, level))
        box = (x, y, x + width * ratio, y + height * ratio)
        return np.asarray(pixels.resize((width, height), Image.Resampling.BILINEAR, box=box))


class TiffSource:
    """A TIFF of one picture, decoded strip by strip or tile by tile; mapped into memory where nothing is to be decoded.

    By hand, since tifffile's `aszarr` with zarr 3.1 takes 2 to 7 times as long (60 megapixels; where nothing is
    compressed, 16 times) and five more packages. The decoding itself is tifffile's, as for the picture read at once.
    """

    def __init__(self, page):
        self._page, self._path = page, Path(page.parent.filehandle.path)
        self.height, self.width = page.imagelength, page.imagewidth
        self.mpp, self.place = pixel_size.um_per_px(self._path), (0, 0, 1)
        self._mapped = page.asarray(out="memmap", squeeze=False) if page.is_memmappable else None
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in JPEG else {}
        self._decode = partial(page.decode, **tables)  # made once, since making it moves the file's position
        self._decoded, self._bytes, self._sampled = OrderedDict(), 0, None

    def close(self):
        self._mapped = None
        self._page.parent.close()

    def read(self, row, column, height, width):
        page = self._page
        planes, *_, samples = page.shaped  # (planes, depth, rows, columns, samples): one plane or one sample a pixel
        if self._mapped is not None:
            result = self._mapped[:, 0, row : row + height, column : column + width].astype(page.dtype)
        else:
            result = np.empty((planes, height, width, samples), page.dtype)
            tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
            down, across = -(-page.imagelength // tall), -(-page.imagewidth // wide)
            rows = range(row // tall, -(-(row + height) // tall))
            columns = range(column // wide, -(-(column + width) // wide))
            for plane, i, j in product(range(planes), rows, columns):
                part = self._segment((plane * down + i) * across + j)
                top, left = max(row, i * tall), max(column, j * wide)
                part = part[top - i * tall : row + height - i * tall, left - j * wide : column + width - j * wide]
                result[plane, top - row :, left - column :][: part.shape[0], : part.shape[1]] = part
        return result[0] if planes == 1 else np.concatenate(result, axis=-1)

    def read_small(self, row, column, height, width):
        return None

    def spread_pixels(self):
        return self._sample()[0]

    def spread(self, channels):
        """That of the picture read at once: the same pixels are looked at."""
        sample = [intensity.to_channels(pixels, channels) for pixels in self._sample()]
        return intensity.spread_of_sample(sample, self._parts(channels))

    def _sample(self):
        if self._sampled is None:
            step = intensity.sampling_step(self.height, self.width)
            rows = (intensity.sampled(self.read(row, 0, 1, self.width), step) for row in range(0, self.height, step))
            self._sampled = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        return self._sampled

    def _parts(self, channels):
        for first in range(0, self.height, PART_ROWS):
            rows = min(PART_ROWS, self.height - first)
            yield intensity.to_channels(self.read(first, 0, rows, self.width), channels)

    def _segment(self, index):
        """One decoded strip or tile, (rows, columns, samples)."""
        if index not in self._decoded:
            page, file = self._page, self._page.parent.filehandle
            file.seek(page.dataoffsets[index])
            with decoding.one_line_errors(self._path):
                segment = self._decode(file.read(page.databytecounts[index]), index)[0][0]
            self._decoded[index] = segment
            self._bytes += segment.nbytes
            while self._bytes > CACHE_BYTES and len(self._decoded) > 1:
                self._bytes -= self._decoded.popitem(last=False)[1].nbytes
        self._decoded.move_to_end(index)
        return self._decoded[index]


def _tiff_source(path):
    """The source for a TIFF that is better streamed; None where `images.read` should see it.

    Left to it are pictures that it changes after decoding: turned, transparent, white-is-zero, palette, Lab, CMYK.
    """
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    with suppress(Exception), ExitStack() as opened:  # damaged, or several pictures: `images.read` says how
        tiff = opened.enter_context(tifffile.TiffFile(path))
        series, *_ = tiff_files.one_picture(tiff, path, at_once=False)
        page = series.keyframe
        streamed = page.imagelength * page.imagewidth > LARGE_PIXELS and page.size == series.size
        streamed &= page.photometric in (1, 2) or (page.photometric == 6 and page.compression in JPEG)
        streamed &= page.samplesperpixel in (1, 3) and page.dtype in (np.uint8, np.uint16)
        streamed &= tiff_files.tag_value(page, 274, 1) == 1 and not tiff_files.alpha_kind(page)
        if streamed:
            tiff_files.refuse_missing_parts(series)
            source = TiffSource(page)
            opened.pop_all()
            return source
    return None
