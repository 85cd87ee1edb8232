"""Whole slides of microscope scanners, read region by region at full resolution: none has to fit into memory.

OpenSlide decodes them (https://openslide.org/formats). Coordinates are those that QuPath shows: where a scanner states
which part of the slide it photographed (`openslide.bounds`), that part alone is the slide.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from reading.files import InputError

SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".dcm"}  # of slides and nothing else
TIFF_SUFFIXES = {".tif", ".tiff"}  # of slides too
BAND_PIXELS = 2**23  # decoded at a time: 32 MB of red, green, blue and alpha
NO_MICROSCOPE = 100  # µm/px; 72 pixels an inch, which programs write for want of knowledge, would be 353


class Slide:
    """An open slide; a context manager. `open_slide` makes it.

    height, width : pixels of the full resolution.
    mpp : micrometres per pixel, the mean of both axes, or None where the file does not state a plausible one.
    """

    def __init__(self, path, opened):
        self.path, self._opened = path, opened
        facts = opened.properties
        bounds = [facts.get(f"openslide.bounds-{name}") for name in ("x", "y", "width", "height")]
        if None in bounds:
            bounds = [0, 0, *opened.dimensions]
        self._left, self._top, self.width, self.height = map(int, bounds)
        sides = [float(facts.get(f"openslide.mpp-{axis}", "nan")) for axis in "xy"]
        mpp = sum(sides) / 2
        self.mpp = mpp if math.isfinite(mpp) and 0 < mpp < NO_MICROSCOPE else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._opened.close()

    def level(self, downsample):
        """The smallest level that still has as many pixels as asked for: (its number, its own downsample)."""
        number = self._opened.get_best_level_for_downsample(downsample * 1.01)
        return number, self._opened.level_downsamples[number]

    def read_region(self, row, column, height, width, level=0):
        """The pixels from (row, column) on: uint8 (height, width, 3), white where there is no slide.

        row, column : in pixels of the full resolution; height, width : in pixels of the level.
        Raises `InputError` where the file is damaged.
        """
        import openslide

        region = np.empty((height, width, 3), np.uint8)
        rows = max(1, BAND_PIXELS // width)
        for first in range(0, height, rows):
            size = (width, min(rows, height - first))
            below = round(first * self._opened.level_downsamples[level]) if level else first
            try:
                band = self._opened.read_region((self._left + column, self._top + row + below), level, size)
            except openslide.OpenSlideError as error:
                raise _damaged(self.path, error) from error
            white = Image.new("RGBA", size, "white")
            region[first : first + size[1]] = np.asarray(Image.alpha_composite(white, band).convert("RGB"))
        return region


def open_slide(path):
    """Open a slide: a `Slide`.

    Raises `InputError` for a missing, empty or damaged file, or one that is no slide.
    """
    import openslide  # only where there are slides

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a slide there. Check the path.")
    try:
        return Slide(path, openslide.OpenSlide(path))
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise InputError(
            f"{path}: not a slide that OpenSlide reads, or cut short ({path.stat().st_size} bytes); expected a whole "
            f"{', '.join(sorted(SUFFIXES))} or pyramidal TIFF. Copy it again, or export it as pyramidal TIFF in QuPath."
        ) from error
    except openslide.OpenSlideError as error:
        raise _damaged(path, error) from error


def is_slide(path):
    """True for a slide: by a name that only slides have, or for a TIFF that OpenSlide knows to be one.

    A TIFF is one where it is of a scanner's own kind or a pyramid, with 8 bits a channel. Any other, also one that is
    damaged, is an ordinary image, which `images.read` reads with all its bits or refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return path.suffix.lower() in SUFFIXES
    import openslide

    try:
        kind = openslide.OpenSlide.detect_format(path)
        if kind != "generic-tiff":  # which any tiled TIFF is
            return kind is not None
        with openslide.OpenSlide(path) as opened:
            return opened.level_count > 1 and _bits(path) == 8
    except openslide.OpenSlideError:
        return False


def _bits(path):
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].bitspersample


def _damaged(path, error):
    reason = " ".join(str(error).split())[:120]
    return InputError(
        f"{path}: damaged or unsupported slide ({reason}); expected one that OpenSlide reads. Copy it again, or export "
        "it as pyramidal TIFF in QuPath."
    )
