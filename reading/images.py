"""Reading and writing image files, with the decoders of `tiff_files`, `pillow_files` and `array_files`.

Images come back as ``(height, width, channels)`` arrays, rows first, channels 1 or 3; masks as ``(height, width)``
integers. Nothing is rescaled here: an 8-bit file gives uint8, a 16-bit file (also one that holds 12 bits) uint16, a
float file float32. How grey values become network input is `intensity.normalise`.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from reading.array_files import is_array_file, open_array, read_array
from reading.decoding import IMAGE_SUFFIXES, ORIENTATION, one_line_errors
from reading.files import InputError, replacing
from reading.pillow_files import opened, read_pillow
from reading.tiff_files import is_tiff, one_picture, read_tiff, stack_axis, tag_value


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


def read(path):
    """Read one image, as a person would see it in a viewer, with its values as they are stored.

    Orientation stored in the file is applied, palettes are resolved, transparency is flattened on white, CMYK, Lab and
    YCbCr become RGB, white-is-zero grey is turned over, and 1-bit becomes 0 and 255. Nothing else changes a value.
    Two measured channels (fluorescence) come back as three, the third all 0; a colour file whose three channels are
    equal stays three channels here. Of a GIF, WebP or PNG that moves the first frame is read, of a JPEG with further
    pictures (MPO, as cameras write it) the first one, of a pyramid the full resolution. A stack of planes in a TIFF is
    read as the one picture that `stacks.HOW` makes of it.

    Returns an ndarray of shape (height, width, channels), channels 1 or 3, dtype uint8, uint16 or float32 (for float
    and for integers of other widths).
    Raises `InputError` for a missing, damaged, truncated or unsupported file, for one of several time points, z planes
    or pages without `stacks.HOW`, for more than three channels, and for more than `decoding.MAX_PIXELS` pixels.
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
    return np.ascontiguousarray(plain_dtype(array, path))


def read_mask(path):
    """Read one mask as it is stored, without giving its values a meaning (that is `pairing.masks.MaskCoding`).

    The values are the numbers that the annotator worked with:
    - A palette or lookup table is display only: its indices are the labels.
    - ImageJ's "inverting LUT" is one of these: such a TIFF (white is zero) shows its objects black and stores 255 for
      them; 255 comes back. So it is with what tifffile makes of an array of bool: 1 where it was True.
    - Any other white-is-zero TIFF, fax-compressed ones above all, gives what the eye sees: black 0, white the largest
      value.
    - Other 1-bit files give black 0, white 1.
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
    return np.ascontiguousarray(whole_numbers(array, path))


def whole_numbers(array, path):
    """A mask's values as integers. Raises `InputError`, naming `path`, where they are not whole."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "ui":
        if array.dtype.kind != "f" or not np.isfinite(array).all() or not np.array_equal(array, np.rint(array)):
            raise InputError(f"{path}: a mask with fractional values; expected whole class numbers. Save it as 8-bit.")
        array = array.astype(np.int64 if np.abs(array).max() >= 2**31 else np.int32)
    return array


def size(path):
    """(height, width) in pixels of the array that `read` gives, from the file's header.

    Raises `InputError` where the header tells that the file cannot be read.
    """
    path = Path(path)
    with one_line_errors(path):
        if is_array_file(path):
            return open_array(path).shape[:2]
        if is_tiff(path):
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                series, shape, axes = one_picture(tiff, path)
                height, width = (shape[axes.index(axis)] for axis in "YX")
                lying = tag_value(series.keyframe, ORIENTATION, 1) in (5, 6, 7, 8)
        else:
            with opened(path) as image:
                width, height = image.size
                lying = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (width, height) if lying else (height, width)


def planes(path):
    """How many planes the stack in a file has, from its header; 1 for what is no stack."""
    path = Path(path)
    with one_line_errors(path):
        if not is_tiff(path):
            return 1
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            series, _, _ = one_picture(tiff, path)
            axis = stack_axis(series)
            return 1 if axis is None else series.shape[axis]


def _read_any(path, labels):
    """Pixels of shape (height, width) or (height, width, channels), upright and without transparency.

    With `labels` the stored numbers are kept where they are indices (palettes) or truth values (1-bit).
    """
    with one_line_errors(path):
        if is_array_file(path):
            return read_array(path)
        return read_tiff(path, labels) if is_tiff(path) else read_pillow(path, labels)


def plain_dtype(array, path):
    """The pixels in a type that everything here computes with. Raises `InputError`, naming `path`, where none is."""
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


def write_png(path, array, software=None):
    """Write a uint8 or uint16 (height, width) or a uint8 (height, width, 3) array as PNG, atomically.

    software : a note in the file, such as `files.MADE_BY`.
    """
    with replacing(path) as temporary:
        save_png(temporary, array, software)


def save_png(file, array, software=None, compress_level=3):
    """As `write_png`, into an open file or under a path as it is; compress_level: 0 (fast) … 9 (small)."""
    notes = PngInfo()
    if software:
        notes.add_text("Software", software)
    image = Image.fromarray(np.ascontiguousarray(array))
    image.save(file, format="PNG", compress_level=compress_level, pnginfo=notes)


def write_tiff(path, array, software=None, um_per_px=None):
    """Write a (height, width) or (height, width, 3) array of numbers, such as uint16 colour or float32, atomically.

    um_per_px : micrometres per pixel, for the file's resolution tags; None: unknown.
    """
    import tifffile

    photometric = "rgb" if array.ndim == 3 else "minisblack"
    sides = {"resolution": (1e4 / um_per_px,) * 2, "resolutionunit": "CENTIMETER"} if um_per_px else {}
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary, array, photometric=photometric, compression="zlib", metadata=None, software=software, **sides
        )


def lossless_suffix(image, um_per_px=None):
    """What `write` can keep an image (height, width, channels) in, and the size of its pixels where that is known.

    `.png` for 8-bit and 16-bit grey whose pixels have no known size, else `.tif`.
    """
    plain = image.dtype == np.uint8 or (image.dtype == np.uint16 and image.shape[2] == 1)
    return ".png" if plain and not um_per_px else ".tif"


def write(path, array, software=None, um_per_px=None):
    """Write (height, width) or (height, width, 1 or 3) as PNG or TIFF, by the suffix of `path`, atomically.

    um_per_px : as for `write_tiff`; a PNG keeps none.
    """
    array = array[..., 0] if array.shape[2:] == (1,) else array
    if Path(path).suffix == ".png":
        write_png(path, array, software)
    else:
        write_tiff(path, array, software, um_per_px)
