"""Reading and writing image files: the only module that opens one.

Images come back as ``(height, width, channels)`` arrays, rows first, channels 1 or 3; masks as ``(height, width)``
integers. Nothing is rescaled here: an 8-bit file gives uint8, a 16-bit file (also one that holds 12 bits) uint16, a
float file float32. How grey values become network input is `intensity.normalise`.
"""

import logging
import re
import struct
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from reading.files import InputError, replacing

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm", ".pnm",
}  # fmt: skip
MAX_PIXELS = 500_000_000  # height × width; a file that claims more is refused from its header. Set it to raise it.

# Pillow's formats that are read; others, such as PostScript, would start outside programs or are no pictures of cells.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
_ORIENTATION = 0x0112  # the same number in EXIF and in TIFF
_PREVIEWS = ("Thumbnail", "Label", "Macro")  # tifffile's names for what a slide scanner adds
_AXES = {"T": "time points", "Z": "z planes", "C": "channels"}

Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS above is the limit, one for all formats
# The libraries' remarks on odd headers mean nothing to a user; what matters ends in an `InputError`. Set once, and not
# around each call, because files are read in several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


# ---------------------------------------------------------------------------------------------------------- folders


def list_images(folder, more=frozenset()):
    """Image files directly in `folder`, sorted by name; hidden files and other kinds of file are left out.

    `more` : lower-case suffixes that count as well.

    Returns a list of `Path`. Raises `InputError` where the folder is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of images there. Create it or check the path.")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES | more and not path.name.startswith(".") and path.is_file()
    )


# ---------------------------------------------------------------------------------------------------------- reading


@contextmanager
def at_most(megapixels):
    """Within the block, images of so many megapixels are read; None: of as many as without it."""
    global MAX_PIXELS
    before = MAX_PIXELS
    MAX_PIXELS = int(megapixels * 1e6) if megapixels else before
    try:
        yield
    finally:
        MAX_PIXELS = before


def read(path):
    """Read one image, as a person would see it in a viewer, with its values as they are stored.

    Orientation stored in the file is applied, palettes are resolved, transparency is flattened on white, CMYK, Lab and
    YCbCr become RGB, white-is-zero grey is turned over, and 1-bit becomes 0 and 255. Nothing else changes a value.
    Two measured channels (fluorescence) come back as three, the third all 0; a colour file whose three channels are
    equal stays three channels here. Of a GIF, WebP or PNG that moves the first frame is read, of a JPEG with further
    pictures (MPO, as cameras write it) the first one, of a pyramid the full resolution.

    Returns an ndarray of shape (height, width, channels), channels 1 or 3, dtype uint8, uint16 or float32 (for float
    and for integers of other widths).
    Raises `InputError` for a missing, damaged, truncated or unsupported file, for one of several time points, z planes,
    pages or more than three channels, and for more than `MAX_PIXELS` pixels.
    """
    array = _read_any(Path(path), labels=False)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3) or 0 in array.shape:
        raise InputError(
            f"{path}: array of shape {array.shape}; expected one grey or RGB picture (height, width, 1 or 3). "
            "Save a single plane or an RGB version of it."
        )
    if array.shape[2] == 2:
        array = np.concatenate([array, np.zeros_like(array[..., :1])], axis=2)
    return np.ascontiguousarray(_plain_dtype(array, path))


def read_mask(path):
    """Read one mask as it is stored, without giving its values a meaning (that is `pairing.masks.MaskCoding`).

    The values are the numbers that the annotator worked with:
    - A palette or lookup table is display only: its indices are the labels.
    - ImageJ's "inverting LUT" is one of these: such a TIFF (white is zero) shows its objects black and stores 255 for
      them; 255 comes back.
    - Any other white-is-zero TIFF, fax-compressed ones above all, gives what the eye sees: black 0, white the largest
      value.
    - 1-bit files give black 0, white 1.
    - Transparency is left out, unless the drawing is in it alone, all pixels being black or all white: then it counts.

    Returns an integer ndarray of shape (height, width).
    Raises `InputError` for a damaged file, for colours, or for numbers that are not whole.
    """
    array = _read_any(Path(path), labels=True)
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    if array.ndim != 2:
        raise InputError(
            f"{path}: a mask with colours, shape {array.shape}; expected one grey value a pixel. "
            "Export it as an 8-bit grey or label image."
        )
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "ui":
        if array.dtype.kind != "f" or not np.isfinite(array).all() or not np.array_equal(array, np.rint(array)):
            raise InputError(f"{path}: a mask with fractional values; expected whole class numbers. Save it as 8-bit.")
        array = array.astype(np.int64 if np.abs(array).max() >= 2**31 else np.int32)
    return np.ascontiguousarray(array)


def size(path):
    """(height, width) in pixels of the array that `read` gives, from the file's header.

    Raises `InputError` where the header tells that the file cannot be read.
    """
    path = Path(path)
    with one_line_errors(path):
        if is_tiff(path):
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                series, shape, axes = one_picture(tiff, path)
                height, width = (shape[axes.index(axis)] for axis in "YX")
                lying = tag_value(series.keyframe, _ORIENTATION, 1) in (5, 6, 7, 8)
        else:
            with _open(path) as image:
                width, height = image.size
                lying = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        return (width, height) if lying else (height, width)


def _read_any(path, labels):
    """Pixels of shape (height, width) or (height, width, channels), upright and without transparency.

    With `labels` the stored numbers are kept where they are indices (palettes) or truth values (1-bit).
    """
    with one_line_errors(path):
        return _read_tiff(path, labels) if is_tiff(path) else _read_other(path, labels)


@contextmanager
def one_line_errors(path):
    """Whatever goes wrong with one file becomes one `InputError` of one line."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an image there. Check the path.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes); expected an image. Export or download it again.")
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it; expected an image. Change its permissions.") from error
    except MemoryError as error:
        raise InputError(f"{path}: too large for this machine's memory; expected a field. Cut it up first.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a readable image; expected {', '.join(sorted(IMAGE_SUFFIXES))}. "
            "Open it in an image viewer and save it as PNG or TIFF."
        ) from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes: one file, one line
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: damaged or unsupported image ({reason}); expected a whole PNG, TIFF or JPEG. "
            "Export or download it again."
        ) from error


def _refuse_too_large(path, height, width):
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{path}: {height}×{width} pixels, {height * width / 1e6:.0f} megapixels; expected at most "
            f"{MAX_PIXELS / 1e6:g}. Cut it into fields, or allow more with --max-megapixels."
        )


def _upright(array, orientation):
    """Apply an EXIF or TIFF orientation, 1 to 8; any other number means nothing and changes nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _without_alpha(array, labels, premultiplied=False):
    """Lay (height, width, colours + alpha) on white; of labels, take the alpha channel away.

    Where all pixels are black, or all white, and only their opacity differs, the labels are in it: it is returned.
    """
    colour, alpha = array[..., :-1], array[..., -1:]
    full = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1.0
    if labels and any((colour == plain).all() for plain in (0, full)) and not (alpha == alpha[0, 0]).all():
        return alpha
    if labels or (alpha == full).all():
        return colour
    share = alpha.astype(np.float64) / full
    flat = (colour if premultiplied else colour * share) + full * (1 - share)
    return np.clip(np.rint(flat), 0, full).astype(array.dtype) if array.dtype.kind in "ui" else flat.astype(array.dtype)


def _plain_dtype(array, path):
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind in "iuf":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(
                f"{path}: pixels that are not numbers (NaN or infinite); expected finite values. Give the empty parts "
                "a value (Fiji: Process › Noise › Remove NaNs…) and save it again."
            )
        return array
    raise InputError(f"{path}: pixels of type {array.dtype}; expected 8-bit, 16-bit or float. Save it as one of those.")


# --------------------------------------------------------------------------- PNG, JPEG, GIF, BMP, WebP, JPEG 2000, PNM


def _open(path):
    """The file opened by Pillow, its header read and its size found acceptable; no pixel is decoded yet."""
    image = Image.open(path, formats=_FORMATS)
    try:
        _refuse_too_large(path, *image.size[::-1])
    except InputError:
        image.close()
        raise
    return image


def _read_other(path, labels):
    with _open(path) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
        if image.format in ("JPEG", "MPO"):
            _refuse_zero_filled(path)
        deep = _read_deep(path, image.format)
        array = _pillow_pixels(image, labels) if deep is None else deep
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = _without_alpha(array, labels)
    return _upright(array, orientation)


def _pillow_pixels(image, labels):
    image.load()  # a truncated file fails here, rather than coming back half grey
    if labels and image.mode in ("P", "PA", "1"):
        return np.asarray(image)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    elif "transparency" in image.info and not labels:  # one grey value or colour stands for "transparent"
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        image = image.convert("RGB")
    elif image.mode in ("La", "RGBa"):
        image = image.convert(image.mode[:-1] + "A")
    return np.asarray(image)


def _read_deep(path, kind):
    """The kinds of file that Pillow would rescale or cut to 8 bits, with their own values; None for all others."""
    if kind == "PNG":
        with path.open("rb") as file:
            bits = file.read(25)[24]
        if bits == 16:
            import imagecodecs

            return imagecodecs.png_decode(path.read_bytes())
    if kind == "JPEG2000":
        content = path.read_bytes()
        start = content.find(b"\xff\x4f\xff\x51")  # start of codestream, then its SIZ segment with the depth at byte 42
        if (content[start + 42] & 127) + 1 > 8:
            import imagecodecs

            return imagecodecs.jpeg2k_decode(content)
    if kind == "PPM":
        return _read_pnm(path.read_bytes())
    return None


_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM_HEADER = re.compile(rb"P([2356])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)(?:#[^\n]*\n|\s)")


def _read_pnm(content):
    """Grey and colour PNM with the values as written, of which masks have need: uint8 or uint16, by the file's maximum.

    By hand, since Pillow stretches values from that maximum to 255 or 65535, and OpenCV does so with numbers in text.
    None for the other members of the family (bitmaps). The format: https://netpbm.sourceforge.net/doc/pgm.html
    """
    header = _PNM_HEADER.match(content)
    if not header:
        return None
    kind, width, height, maximum = (int(number) for number in header.groups())
    dtype = np.dtype(np.uint8 if maximum < 256 else ">u2")
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    count, start = int(np.prod(shape)), header.end()
    if kind in (2, 3):
        pixels = np.array(content[start:].split()[:count], dtype)  # raises where a number is none, or too large
    else:
        pixels = np.frombuffer(content, dtype, count, start)
    return pixels.astype(dtype.newbyteorder("=")).reshape(shape)


def _refuse_zero_filled(path):
    """Raise for a JPEG whose end was never written: a broken copy often has its full length, the rest zeros.

    A decoder takes the zeros for a grey picture. A whole JPEG has an end marker (FF D9) after its first scan (FF DA).
    """
    content = path.read_bytes()
    if not content.endswith(bytes(16)):
        return
    position = 2
    while content[position : position + 1] == b"\xff" and content[position + 1] != 0xDA:
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    if content.find(b"\xff\xd9", position) < 0:
        raise ValueError("the file ends in zeros, its last part was never written")


# ------------------------------------------------------------------------------------------------------------- TIFF


def is_tiff(path):
    """True for TIFF and BigTIFF of either byte order, whatever the file is called."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tag_value(page, code, default):
    tag = page.tags.get(code)
    return default if tag is None else tag.value


def _read_tiff(path, labels):
    import tifffile

    photometric = tifffile.PHOTOMETRIC
    with tifffile.TiffFile(path) as tiff:
        series, shape, axes = one_picture(tiff, path)
        page = series.keyframe
        kind = tag_value(page, 262, photometric.MINISBLACK)
        jpeg = page.compression in (6, 7)  # these decode to RGB
        refuse_missing_parts(series)
        if kind in (photometric.CIELAB, photometric.ICCLAB) or (kind == photometric.YCBCR and not jpeg):
            with _open(path) as image:  # libtiff and littleCMS know these, and Pillow applies the orientation itself
                image.seek(page.index)
                return _pillow_pixels(image, labels)
        array = series.asarray().reshape(shape)
        orientation = tag_value(page, _ORIENTATION, 1)
        # In files of ImageJ and OME a smooth lookup table only shows measured values in a colour, such as green.
        display_only = page.colormap is not None and (np.diff(page.colormap.astype(int), axis=1) >= 0).all()
        display_only = display_only and (tiff.is_imagej or tiff.is_ome)
        stored_as_meant = labels and tiff.is_imagej and page.bitspersample > 1
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
        array = _without_alpha(array, labels, premultiplied=alpha == 1)
    return _upright(array, orientation)


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
        _refuse_too_large(path, height, width)
    if page.is_tiled:
        _refuse_too_large(path, page.tilelength, page.tilewidth)  # decoded whole, however small the picture
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


def write_png(path, array):
    """Write a uint8 or uint16 (height, width) or a uint8 (height, width, 3) array as PNG, atomically."""
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG", compress_level=3)


def write_tiff(path, array):
    """Write a (height, width) or (height, width, 3) array of numbers, such as uint16 colour or float32, atomically."""
    import tifffile

    photometric = "rgb" if array.ndim == 3 else "minisblack"
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, array, photometric=photometric, compression="zlib", metadata=None)


def lossless_suffix(image):
    """What `write` can keep an image (height, width, channels) in: `.png` for 8-bit and 16-bit grey, else `.tif`."""
    return ".png" if image.dtype == np.uint8 or (image.dtype == np.uint16 and image.shape[2] == 1) else ".tif"


def write(path, array):
    """Write (height, width) or (height, width, 1 or 3) as PNG or TIFF, by the suffix of `path`, atomically."""
    array = array[..., 0] if array.shape[2:] == (1,) else array
    (write_png if Path(path).suffix == ".png" else write_tiff)(path, array)
