"""Decoding with Pillow: PNG, JPEG, GIF, BMP, WebP, JPEG 2000 and PNM, and the values that Pillow would change."""

import re
import threading
from contextlib import contextmanager

import numpy as np
from PIL import Image

from reading.decoding import ORIENTATION, refuse_too_large, upright, without_alpha
from reading.files import InputError

# Pillow's formats that are read; others, such as PostScript, would start outside programs or are no pictures of cells.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
_ONE_AT_A_TIME = threading.Lock()  # files are read in several threads, and Pillow's limit is one for all


@contextmanager
def of_any_size():
    """Within, Pillow refuses no header for its size: `decoding.MAX_PIXELS` is the limit, one for all formats."""
    with _ONE_AT_A_TIME:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def opened(path):
    """The file opened by Pillow, its header read and its size found acceptable; no pixel is decoded yet."""
    with of_any_size():
        image = Image.open(path, formats=_FORMATS)
    try:
        refuse_too_large(path, *image.size[::-1])
    except InputError:
        image.close()
        raise
    return image


def read_pillow(path, labels):
    with opened(path) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
        if image.format in ("JPEG", "MPO"):
            _refuse_zero_filled(path)
        deep = _read_deep(path, image.format)
        array = pillow_pixels(image, labels) if deep is None else deep
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = without_alpha(array, labels)
    return upright(array, orientation)


def pillow_pixels(image, labels):
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
