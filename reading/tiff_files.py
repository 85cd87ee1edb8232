"""Decoding TIFF: which of its pictures is meant, what its numbers mean, and whether all of it is there."""

import struct
from pathlib import Path

import numpy as np

from reading import stacks
from reading.decoding import ORIENTATION, refuse_too_large, upright, without_alpha
from reading.files import InputError
from reading.pillow_files import of_any_size, opened, pillow_pixels
from reading.stacks import StackError

_PREVIEWS = ("Thumbnail", "Label", "Macro")  # tifffile's names for what a slide scanner adds
_AXES = {"T": "time points", "Z": "z planes", "C": "channels"}


def is_tiff(path):
    """True for TIFF and BigTIFF of either byte order, whatever the file is called."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tag_value(page, code, default):
    tag = page.tags.get(code)
    return default if tag is None else tag.value


def read_tiff(path, labels):
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series, shape, axes = one_picture(tiff, path, labels=labels)
        refuse_missing_parts(series)
        planes = _Planes(tiff, series, shape, axes, labels)
        if len(planes) == 1:
            picture = planes[0]
        else:
            _refuse_how(path, series, len(planes), labels)
            picture = stacks.join(planes, stacks.HOW)
        # Of these colours Pillow, which reads them, applies the orientation itself.
        return picture if planes.by_pillow else upright(picture, tag_value(series.keyframe, ORIENTATION, 1))


class _Planes:
    """The planes of a picture's series, each decoded when it is asked for: (height, width) or with channels as well.

    shape, axes : of a plane, of `one_picture`.
    labels : True where the numbers stored are wanted, as for masks.
    """

    def __init__(self, tiff, series, shape, axes, labels):
        photometric = _photometric()
        page = series.keyframe
        self._tiff, self._series, self._labels = tiff, series, labels
        self._kind = tag_value(page, 262, photometric.MINISBLACK)
        jpeg = page.compression in (6, 7)  # these decode to RGB
        self.by_pillow = self._kind in (photometric.CIELAB, photometric.ICCLAB)
        self.by_pillow |= self._kind == photometric.YCBCR and not jpeg
        # In files of ImageJ and OME a smooth lookup table only shows measured values in a colour, such as green.
        display_only = page.colormap is not None and (np.diff(page.colormap.astype(int), axis=1) >= 0).all()
        self._display_only = display_only and (tiff.is_imagej or tiff.is_ome)
        # tifffile writes True as 1 and, unless told otherwise, calls 0 white: whoever saved a bool array meant True.
        by_tifffile = tiff.is_shaped or page.software.startswith("tifffile")
        self._stored_as_meant = labels and (by_tifffile if page.bitspersample == 1 else tiff.is_imagej)
        self._shape, self._axes, self._channel = shape, axes, next((axis for axis in "CS" if axis in axes), "")
        self._stack = stack_axis(series)
        self._whole = None

    def __len__(self):
        return 1 if self._stack is None else self._series.shape[self._stack]

    def __getitem__(self, number):
        if self.by_pillow:
            with opened(Path(self._tiff.filehandle.path)) as image:  # libtiff and littleCMS know these
                with of_any_size():
                    image.seek(self._series.pages[number].index)
                return pillow_pixels(image, self._labels)
        return self._as_meant(self._stored(number))

    def _stored(self, number):
        """The numbers of a plane as they stand in the file, its axes in the file's order."""
        series = self._series
        if self._stack is None:
            return series.asarray().reshape(self._shape)
        pages = np.arange(len(series.pages))
        outer = next((k for k in range(self._stack + 1, series.ndim) if np.prod(series.shape[:k]) == len(pages)), None)
        if outer is not None:  # a plane is one page, or a page for each channel
            chosen = pages.reshape(series.shape[:outer]).take(number, axis=self._stack).ravel().tolist()
            return self._tiff.asarray(key=chosen, series=series).reshape(self._shape)
        if self._whole is None:  # one page for all planes: mapped where nothing is compressed
            self._whole = series.asarray(out="memmap" if series.keyframe.is_memmappable else None)
        return np.array(self._whole.take(number, axis=self._stack)).reshape(self._shape)

    def _as_meant(self, array):
        """A plane as `images.read` or, with `labels`, `images.read_mask` describes it."""
        photometric, page = _photometric(), self._series.keyframe
        array = array.transpose([self._axes.index(axis) for axis in "YX" + self._channel])
        alpha = self._channel == "S" and alpha_kind(page)
        if self._kind == photometric.MINISWHITE and not self._stored_as_meant:
            unsigned = array.dtype.kind == "u"
            array = 2**page.bitspersample - 1 - array if unsigned else ~array if array.dtype.kind in "bi" else -array
        elif self._kind == photometric.PALETTE and self._channel != "C" and not self._labels and not self._display_only:
            table = (page.colormap >> 8).astype(np.uint8).T
            colours = table[(array[..., 0] if alpha else array).astype(np.uint16)]
            array = np.dstack([colours, array[..., 1]]) if alpha else colours
        elif self._kind == photometric.SEPARATED:
            full = np.iinfo(array.dtype).max
            light = 1 - array.astype(np.float64) / full
            array = np.rint(full * light[..., :3] * light[..., 3:]).astype(array.dtype)
        elif self._kind == photometric.RGB and not alpha:
            array = array[..., :3]  # a fourth sample that the file calls unspecified is not part of the picture
        return without_alpha(array, self._labels, premultiplied=alpha == 1) if alpha else array


def _photometric():
    import tifffile

    return tifffile.PHOTOMETRIC


def stack_axis(series):
    """Which axis of a series counts planes, by its number; None where it is one plane, or has several such axes."""
    found = [i for i, (axis, n) in enumerate(zip(series.axes, series.shape, strict=True)) if _counts(axis, n)]
    found = [] if _is_float_rgb(series) else found
    return found[0] if len(found) == 1 else None


def _counts(axis, length):
    """True for an axis of several time points, z planes or pages."""
    return length > 1 and axis not in "YXSC"


def _is_float_rgb(series):
    """True for what tifffile.imwrite makes of float RGB: pages 3 pixels wide, which nobody means."""
    return series.kind == "shaped" and series.axes == "QYX" and series.shape[2] in (3, 4)


def _refuse_how(path, series, planes, labels):
    """Raise `StackError` where `stacks.HOW` has no meaning for a stack."""
    how, counted = stacks.HOW, _AXES.get(series.axes[stack_axis(series)], "pages")
    if isinstance(how, int):
        if how > planes:
            raise StackError(
                f"{path}: --stack {how}, but it has {planes} {counted}; expected a number from 1 to {planes}. Choose "
                "one that all stacks have."
            )
    elif labels:
        raise StackError(
            f"{path}: a mask of {planes} {counted}; expected one mask a picture, also with --stack {how}. Save what is "
            "drawn on the planes as one mask, or choose one plane of both with --stack N."
        )
    elif counted == _AXES["T"]:
        raise StackError(
            f"{path}: {planes} {counted} with --stack {how}, which is for the planes of one moment; expected a number. "
            f"Choose one with --stack N, from 1 to {planes}."
        )


def alpha_kind(page):
    """1 for colours multiplied by alpha, 2 for plain ones, 0 where the samples of a pixel hold no transparency."""
    return page.extrasamples[0] if len(page.extrasamples) == 1 and page.extrasamples[0] in (1, 2) else 0


def one_picture(tiff, path, at_once=True, labels=False):
    """The one picture of a TIFF, judged from its header: (series, shape, axes), such as (…, (40, 50, 3), "YXS").

    A pyramid's smaller levels, previews and the label of a slide do not count. Axes: Y and X, and at most one of C
    (channels) and S (samples), also of a stack, of which `stacks.HOW` makes one picture. `at_once` : whether it is to
    be decoded as a whole, for which `MAX_PIXELS` holds. `labels` : whether it is a mask.
    Raises `InputError` for several pictures, for too many channels and for too many pixels, and `StackError` for
    time points, z planes and pages where nothing says what becomes of them.
    """
    pictures = [s for s in tiff.series if not s.keyframe.is_reduced and s.name not in _PREVIEWS] or tiff.series
    main = max(pictures, key=lambda series: series.keyframe.imagelength * series.keyframe.imagewidth)
    page, axes = main.keyframe, main.axes
    if _is_float_rgb(main):
        axes = "YXS"
    extent = [(axis, n) for axis, n in zip(axes, main.shape, strict=True) if n > 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in extent), tuple(n for _, n in extent)
    height, width = (shape[axes.index(axis)] for axis in "YX")
    if at_once:
        refuse_too_large(path, height, width)
    if page.is_tiled:
        refuse_too_large(path, page.tilelength, page.tilewidth)  # decoded whole, however small the picture
    found = [f"{n} {_AXES.get(axis, 'pages')}" for axis, n in extent if axis not in "YXSC"]
    channels = [f"{n} channels" for axis, n in extent if axis in "SC"]
    allowed = 4 if "S" in axes and (alpha_kind(page) or page.photometric in (2, 5)) else 3  # RGBA, RGB + 1, CMYK
    if len(pictures) > 1:
        sides = ", ".join(f"{s.keyframe.imagelength}×{s.keyframe.imagewidth}" for s in pictures[:4])
        raise InputError(
            f"{path}: {len(pictures)} pictures in one TIFF ({sides}); expected one. Save the one to segment as a "
            "file of its own."
        )
    if len(found) > 1 or (found and stacks.HOW is None):
        what = f"{' × '.join(found + channels)} of {height}×{width} pixels in one TIFF"
        offer = "Save the plane to segment as a file of its own (Fiji: Image › Duplicate…)"
        if len(found) == 1 and labels:
            what, offer = f"a mask of {what}", "Save what is drawn on the planes as one mask"
        elif len(found) == 1 and found[0].endswith(_AXES["T"]):
            offer += ", or name its number with --stack N"
        elif len(found) == 1:
            offer += ", or give --stack focus (the sharpest plane at each place), min, max, mean or a plane's number"
        raise StackError(f"{path}: {what}; expected one picture. {offer}.")
    kept = [(axis, n) for axis, n in extent if axis in "YXSC"]
    axes, shape = "".join(axis for axis, _ in kept), tuple(n for _, n in kept)
    if len(channels) > 1 or any(n > allowed for axis, n in extent if axis in "SC"):
        raise InputError(
            f"{path}: {' × '.join(channels)} of {height}×{width} pixels; expected 1 to 3 channels. Save the channels "
            "to segment as a file of their own (Fiji: Image › Color › Split Channels)."
        )
    return main, shape, axes


def refuse_missing_parts(series):
    """Raise where a part of a TIFF is gone that tifffile would pass over, and the picture come out wrong or empty."""
    _refuse_damaged_header(series.keyframe)
    for page in series.pages:
        if page is None:
            raise ValueError("some of its planes are in another file, which is not there")
        page = page.aspage()
        offsets, counts, expected = page.dataoffsets, page.databytecounts, int(np.prod(page.chunked))
        missing = max(0, expected - len(offsets)) + sum(  # tifffile itself raises where uncompressed data ends early
            offset == 0 or count == 0 or (page.compression != 1 and offset + count > page.parent.filehandle.size)
            for offset, count in zip(offsets, counts, strict=True)
        )
        if missing:
            raise ValueError(f"truncated: {missing} of its {expected} strips or tiles missing")


def _refuse_damaged_header(page):
    """Raise where tifffile left out a tag whose value it could not find, or all pages after the only one it could."""
    file, layout = page.parent.filehandle, page.parent.tiff
    file.seek(page.offset)
    (count,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    entries = file.read(count * layout.tagsize)
    (following,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    starts = range(0, len(entries), layout.tagsize)
    codes = {struct.unpack_from(f"{layout.byteorder}H", entries, start)[0] for start in starts}
    lost = sorted(code for code in codes - {tag.code for tag in page.tags} if code < 700)  # above: private notes
    if lost:
        raise ValueError(f"truncated or altered header, tag {lost[0]} is unreadable")
    if following and len(page.parent.pages) == 1:
        raise ValueError("truncated: its further pages are missing")
