"""Reading and writing image files: the only module that opens one.

Images come back as ``(height, width, channels)`` arrays, rows first, channels 1 or 3; masks as ``(height, width)``
integers. Nothing is rescaled here: an 8-bit file gives uint8, a 16-bit file uint16, a float file float32.
How grey values become network input is `normalise`, one rule for training, prediction and export.
"""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm", ".pnm",
}  # fmt: skip
LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9


class InputError(ValueError):
    """Something the user gave is wrong. Its text is one line: what was received, what is expected, what to do."""


# ---------------------------------------------------------------------------------------------------------- folders


def list_images(folder):
    """Image files directly in `folder`, sorted by name; hidden files and other kinds of file are left out.

    Returns a list of `Path`. Raises `InputError` where the folder is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of images there. Create it or check the path.")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


# ---------------------------------------------------------------------------------------------------------- reading


def read(path):
    """Read one image.

    Orientation stored in the file (EXIF) is applied, palettes are resolved, transparency is flattened on white and
    CMYK, Lab or YCbCr become RGB. A colour file whose three channels are equal stays three channels here.

    Returns an ndarray of shape (height, width, channels), channels 1 or 3, dtype uint8, uint16 or float32.
    Raises `InputError` for a missing, damaged, truncated or unsupported file.
    """
    array = _read_any(Path(path))
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise InputError(
            f"{path}: array of shape {array.shape}; expected one grey or RGB picture (height, width, 1 or 3). "
            "Save a single plane or an RGB version of it."
        )
    if array.shape[2] in (2, 4):
        array = _flatten_alpha(array)
    return _plain_dtype(array, path)


def read_mask(path):
    """Read one mask as it is stored, without giving its values a meaning (that is `pairs.MaskCoding`).

    A palette file gives its palette indices, the labels that an annotator picked.

    Returns an integer ndarray of shape (height, width).
    Raises `InputError` for a damaged file, for colours, or for numbers that are not whole.
    """
    array = _read_any(Path(path), keep_palette=True)
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[..., :-1]  # transparency says nothing about classes
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    if array.ndim != 2:
        raise InputError(
            f"{path}: a mask with colours, shape {array.shape}; expected one grey value a pixel. "
            "Export it as an 8-bit grey or label image."
        )
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind == "f":
        if not np.array_equal(array, np.rint(array)):
            raise InputError(f"{path}: a mask with fractional values; expected whole class numbers. Save it as 8-bit.")
        array = np.rint(array).astype(np.int32)
    return array


def size(path):
    """(height, width) of an image file in pixels, from its header where the format allows."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # stored lying on its side
                width, height = height, width
            return height, width
    except (OSError, SyntaxError, ValueError):
        return read(path).shape[:2]


def _read_any(path, keep_palette=False):
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an image there. Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); expected an image. Export or download it again.")
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _read_tiff(path)
        return _read_pillow(path, keep_palette)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too many pixels to open safely ({error}). Cut it into fields first.") from error
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


def _read_pillow(path, keep_palette):
    with Image.open(path) as image:
        image.load()  # a truncated file fails here, rather than coming back half grey
        image = ImageOps.exif_transpose(image)
        if image.mode == "P" and keep_palette:
            return np.asarray(image)
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
            image = image.convert("RGB")
        elif image.mode in ("La", "RGBa"):
            image = image.convert(image.mode[:-1] + "A")
        array = np.asarray(image)
        return array.astype(np.uint8) * 255 if image.mode == "1" and not keep_palette else array


def _read_tiff(path):
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.series) != 1 or len(tiff.series[0].shape) not in (2, 3):
                shapes = ", ".join(str(series.shape) for series in tiff.series)
                raise InputError(
                    f"{path}: a TIFF of several planes, {shapes}; expected one picture. Save the plane to segment."
                )
            series, page = tiff.series[0], tiff.pages[0]
            if page.photometric.name in ("RGB", "MINISBLACK") and series.axes in ("YX", "YXS", "SYX"):
                array = series.asarray()
                return np.moveaxis(array, 0, -1) if series.axes == "SYX" else array
    except tifffile.TiffFileError as error:
        raise InputError(
            f"{path}: not a readable TIFF ({error}). Open it in Fiji and save it as TIFF or PNG."
        ) from error
    return _read_pillow(path, keep_palette=False)  # palettes, 1-bit, JPEG colours, inverted grey


def _flatten_alpha(array):
    full = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1.0
    colour, alpha = array[..., :-1].astype(np.float64), array[..., -1:].astype(np.float64) / full
    flat = colour * alpha + full * (1 - alpha)
    return (np.rint(flat) if array.dtype.kind in "ui" else flat).astype(array.dtype)


def _plain_dtype(array, path):
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind in "iuf":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(f"{path}: pixels that are not numbers (NaN or infinite); expected finite values. Mend it.")
        return array
    raise InputError(f"{path}: pixels of type {array.dtype}; expected 8-bit, 16-bit or float. Save it as one of those.")


# ---------------------------------------------------------------------------------------------------- normalisation


def is_grey(image):
    """True where an image of shape (height, width, channels) carries no colour (one channel, or all equal)."""
    return image.shape[2] == 1 or bool((image == image[..., :1]).all())


def to_channels(image, channels):
    """The image with 1 or 3 channels: colour to grey by ITU-R BT.601 luma, grey to colour by repetition."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    if is_grey(image):
        return image[..., :1]
    return (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., np.newaxis]


def intensity_range(image):
    """Grey values that become 0 and 1 in the network's input, per channel, from the whole image.

    The 0.1th and 99.9th percentiles, so that a few hot or dead pixels do not decide. Being percentiles, they make an
    8-bit, a 16-bit and a dark 12-in-16-bit picture of one specimen the same network input.

    Parameters: image, ndarray of shape (height, width, channels).
    Returns: (low, high), two float32 ndarrays of shape (channels,), high > low.
    """
    stride = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / 2**20)))  # about a million pixels tell enough
    pixels = image[::stride, ::stride].reshape(-1, image.shape[2])
    low, high = np.percentile(pixels, (LOW_PERCENTILE, HIGH_PERCENTILE), axis=0)
    return low.astype(np.float32), np.where(high > low, high, low + 1).astype(np.float32)


def normalise(image, low, high):
    """Network input from grey values: float32 of the image's shape, `low` to 0 and `high` to 1, clipped to 0…1."""
    return np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)


# ---------------------------------------------------------------------------------------------------------- writing


@contextmanager
def replacing(path):
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    A program killed in the middle leaves no half-written file under the final name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp's files are private to the owner; outputs are to be shared
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


_UMASK = os.umask(0)
os.umask(_UMASK)


def write_png(path, array):
    """Write a uint8 or uint16 (height, width) or a uint8 (height, width, 3) array as PNG, atomically."""
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG", compress_level=3)


def write_json(path, value):
    """Write a JSON file atomically: UTF-8, indented, so that people can read it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
