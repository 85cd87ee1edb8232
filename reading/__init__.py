"""Files and pixels: the only room that opens or writes image files. It knows nothing of cells, nor of networks.

Read first `files` (`InputError`, and how a file is written whole or not at all), then `images` (a file's pixels as an
array, by `tiff_files` or `pillow_files`, which share `decoding`) and `intensity` (how grey values become network
input). The others are for special cases: `resize`; `slides` and `large_images`, which are read part by part;
`pyramid`, how masks of that size are written; `pixel_size`, in micrometres; `show`, pictures for people;
`folder_lock`, one process at a time in a folder.

    >>> import reading
    >>> image = reading.read("field.tif")  # (height, width, 1 or 3), uint8, uint16 or float32
    >>> reading.write_png("red.png", image[..., 0])
"""

from reading.files import InputError
from reading.images import list_images, read, read_mask, write, write_png

__all__ = ["InputError", "list_images", "read", "read_mask", "write", "write_png"]
