"""Decoding TIFF: which of its pictures is meant, what its numbers mean, and whether all of it is there."""

import struct

import numpy as np

from reading.decoding import ORIENTATION, refuse_too_large, upright, without_alpha
from reading.files import InputError
from reading.pillow_files import opened, pillow_pixels

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

    photometric = tifffile.PHOTOMETRIC
    with tifffile.TiffFile(path) as tiff:
        series, shape, axes = one_picture(tiff, path)
        page = series.keyframe
        kind = tag_value(page, 262, photometric.MINISBLACK)
        jpeg = page.compression in (6, 7)  # these decode to RGB
        refuse_missing_parts(series)
        if kind in (photometric.CIELAB, photometric.ICCLAB) or (kind == photometric.YCBCR and not jpeg):
            with opened(path) as image:  # libtiff and littleCMS know these, and Pillow applies the orientation itself
                image.seek(page.index)
                return pillow_pixels(image, labels)
        array = series.asarray().reshape(shape)
        orientation = tag_value(page, ORIENTATION, 1)
        # In files of ImageJ and OME a smooth lookup table only shows measured values in a colour, such as green.
        display_only = page.colormap is not None and (np.diff(page.colormap.astype(int), axis=1) >= 0).all()
        display_only = display_only and (tiff.is_imagej or tiff.is_ome)
        # tifffile writes True as 1 and, unless told otherwise, calls 0 white: whoever saved a bool array meant True.
        by_tifffile = tiff.is_shaped or page.software.startswith("tifffile")
        stored_as_meant = labels and (by_tifffile if page.bitspersample == 1 else tiff.is_imagej)
    channel = next((axis for axis in "CS" if axis in axes), "")
    array = array.transpose([axes.index(axis) for axis in "YX" + channel])
    alpha = channel == "S" and alpha_kind(page)
    if kind == photometric.MINISWHITE and not stored_as_meant:
        unsigned = array.dtype.kind == "u"
        array = 2**page.bitspersample - 1 - array if unsigned else ~array if array.dtype.kind in "bi" else -array
    elif kind == photometric.PALETTE and channel != "C" and not labels and not display_only:
        table = (page.colormap >> 8).astype(np.uint8).T
        colours = table[(array[..., 0] if alpha else array).astype(np.uint16)]
        array = np.dstack([colours, array[..., 1]]) if alpha else colours
    elif kind == photometric.SEPARATED:
        full = np.iinfo(array.dtype).max
        light = 1 - array.astype(np.float64) / full
        array = np.rint(full * light[..., :3] * light[..., 3:]).astype(array.dtype)
    elif kind == photometric.RGB and not alpha:
        array = array[..., :3]  # a fourth sample that the file calls unspecified is not part of the picture
    if alpha:
        array = without_alpha(array, labels, premultiplied=alpha == 1)
    return upright(array, orientation)


def alpha_kind(page):
    """1 for colours multiplied by alpha, 2 for plain ones, 0 where the samples of a pixel hold no transparency."""
    return page.extrasamples[0] if len(page.extrasamples) == 1 and page.extrasamples[0] in (1, 2) else 0


def one_picture(tiff, path, at_once=True):
    """The one picture of a TIFF, judged from its header: (series, shape, axes), such as (…, (40, 50, 3), "YXS").

    A pyramid's smaller levels, previews and the label of a slide do not count. Axes: Y and X, and at most one of C
    (channels) and S (samples). `at_once` : whether it is to be decoded as a whole, for which `MAX_PIXELS` holds.
    Raises `InputError` for several pictures, time points, z planes, for too many channels and for too many pixels.
    """
    pictures = [s for s in tiff.series if not s.keyframe.is_reduced and s.name not in _PREVIEWS] or tiff.series
    main = max(pictures, key=lambda series: series.keyframe.imagelength * series.keyframe.imagewidth)
    page, axes = main.keyframe, main.axes
    if main.kind == "shaped" and axes == "QYX" and main.shape[2] in (3, 4):
        axes = "YXS"  # what tifffile.imwrite makes of float RGB: pages 3 pixels wide, which nobody means
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
    if found:
        raise InputError(
            f"{path}: {' × '.join(found + channels)} of {height}×{width} pixels in one TIFF; expected one picture. "
            "Save the plane to segment as a file of its own (Fiji: Image › Duplicate…, or Image › Stacks › Stack to "
            "Images), or a projection."
        )
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
