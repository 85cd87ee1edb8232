"""What the decoders of all formats share: the largest picture, one line for any fault, orientation, transparency."""

import logging
import warnings
from contextlib import contextmanager

import numpy as np
from PIL import UnidentifiedImageError

from reading.files import InputError

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm", ".pnm", ".npy",
}  # fmt: skip
MAX_PIXELS = 500_000_000  # height × width; a file that claims more is refused from its header. Set it to raise it.
ORIENTATION = 0x0112  # the number of the tag, the same in EXIF and in TIFF

# The libraries' remarks on odd headers mean nothing to a user; what matters ends in an `InputError`. Set once, and not
# around each call, because files are read in several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


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


def refuse_too_large(path, height, width):
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{path}: {height}×{width} pixels, {height * width / 1e6:.0f} megapixels; expected at most "
            f"{MAX_PIXELS / 1e6:g}. Cut it into fields, or allow more with --max-megapixels."
        )


def upright(array, orientation):
    """Apply an EXIF or TIFF orientation, 1 to 8; any other number means nothing and changes nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def without_alpha(array, labels, premultiplied=False):
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
