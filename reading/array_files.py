"""Decoding NumPy's .npy files, as label arrays are saved by many tools; files of Python objects are never opened."""

import numpy as np

from reading.decoding import refuse_too_large
from reading.files import InputError

ARRAY_SUFFIX = ".npy"


def is_array_file(path):
    """True for a file that is called .npy, whatever is in it."""
    return path.suffix.lower() == ARRAY_SUFFIX


def open_array(path):
    """The array in a file, mapped: (height, width) or (height, width, 1 to 3) of numbers or truth values.

    Raises `InputError` for other shapes and types, and for Python objects, which would have to be unpickled, that is,
    be run as a program.
    """
    with path.open("rb") as file:
        start = file.read(256)
    if start.startswith(b"\x80") or (start.startswith(b"\x93NUMPY") and b"'|O'" in start):
        made_by = (
            "as Cellpose writes its _seg.npy" if path.stem.endswith("_seg") else "as np.save makes of a dictionary"
        )
        raise InputError(
            f"{path}: Python objects ({made_by}), which are not opened; expected an array of numbers. Export the masks "
            "as PNG or TIFF from Cellpose (File › Save masks as PNG/tif), or save the label array alone with np.save."
        )
    array = np.lib.format.open_memmap(path, mode="r")
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (2,), (3,)) or 0 in array.shape:
        raise InputError(
            f"{path}: array of shape {array.shape}; expected (height, width), or (height, width, channels) of 1 to 3. "
            "Save one picture or one label array a file."
        )
    if array.dtype.kind not in "buif":
        raise InputError(f"{path}: array of type {array.dtype}; expected numbers. Save it as uint8, uint16 or float32.")
    refuse_too_large(path, *array.shape[:2])
    return array


def read_array(path):
    """The array of `open_array` in memory, in the byte order of this computer."""
    array = open_array(path)
    return np.array(array, array.dtype.newbyteorder("="))
