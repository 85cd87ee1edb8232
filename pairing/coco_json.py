"""COCO JSON, one file for many images, as CVAT, Roboflow and Label Studio export it → shapes.

The format: https://cocodataset.org/#format-data. A mask is stored as lengths of runs, down the columns, of pixels
outside and inside in turn; in files often as text of 5 bits a character, each length as the difference to the one
before the last (https://github.com/cocodataset/cocoapi, common/maskApi.c, rleToString).
"""

import re
import unicodedata
from collections import Counter
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np

from pairing.outlines import from_pixels, make_shape, united
from reading.files import InputError, some

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio's, before the name of each picture that was uploaded
VERSION = re.compile(r"[_.](png|jpe?g|tiff?|bmp|webp)\.rf\.[0-9a-z]+$", re.IGNORECASE)  # Roboflow's, after it
LIKENESS = 4  # ways in which a name in the file may be that of an image, from the exact one down


class Coco:
    """The contents of a COCO file: its images, and what was annotated on each.

    images : list of dictionaries, as they stand in the file.
    """

    def __init__(self, value):
        self.images = value["images"]
        self._classes = {str(one["id"]): str(one.get("name") or "") for one in value.get("categories") or ()}
        self._drawn = {}
        for one in value["annotations"]:
            self._drawn.setdefault(str(one["image_id"]), []).append(one)
        self._numbers = {}
        self._places = [{} for _ in range(LIKENESS)]
        for number, image in enumerate(self.images):
            self._numbers.setdefault(self.name_of(number), number)
            for places, name in zip(self._places, _names(image["file_name"]), strict=True):
                places.setdefault(name, []).append(number)

    def name_of(self, number):
        """The name of an image in the file, with the folders before it, as part of a path: `train/a.png`."""
        return "/".join(part for part in re.split(r"[\\/]", self.images[number]["file_name"]) if part)

    def number_of(self, name):
        """The number of the image that `name_of` calls so; None where there is none."""
        return self._numbers.get(name)

    def find(self, image):
        """The entry of an image by its path: (its number, 0 for the exact name and more for less), or None.

        Of several entries of one name in different folders, that counts whose folders are those of the image. Raises
        `InputError` where that does not decide.
        """
        for degree, (places, name) in enumerate(zip(self._places, _names(image.name), strict=True)):
            numbers = places.get(name, [])
            if len(numbers) > 1:
                here = {number: _lies_in(image, self.images[number]["file_name"]) for number in numbers}
                numbers = [number for number in numbers if here[number]] or numbers
            if len(numbers) > 1:
                named = some(self.images[number]["file_name"] for number in numbers)
                raise InputError(
                    f"{image}: {len(numbers)} entries in the COCO file may be meant: {named}; expected one. Name the "
                    "image as it is named there, or take the others out."
                )
            if numbers:
                return numbers[0], degree
        return None

    def assign(self, images):
        """From each of these paths that is listed to the number of its entry; a path that is less like it goes out."""
        found = {}
        for image in images:
            if place := self.find(image):
                found.setdefault(place[0], []).append((place[1], image))
        chosen = {number: min(those, key=lambda one: one[0])[1] for number, those in found.items()}
        return {image: number for number, image in chosen.items()}

    def shapes_of(self, number):
        """What was annotated on one image: (shapes, what is left out, its (height, width) or None)."""
        image, shapes, left_out = self.images[number], [], Counter()
        for one in self._drawn.get(str(image["id"]), ()):
            name = self._classes.get(str(one.get("category_id")), "")
            shape = _shape(name, one.get("segmentation"))
            if shape is None:
                left_out["without an outline (box)" if one.get("bbox") else "without an outline"] += 1
            else:
                shapes.append(shape)
        height, width = image.get("height"), image.get("width")
        return shapes, left_out, (int(height), int(width)) if height and width else None


def is_coco(value):
    """True for the contents of a JSON file in COCO's format."""
    return isinstance(value, dict) and isinstance(value.get("images"), list) and "annotations" in value


def _names(file_name):
    """What an entry and an image have in common in their names, from the exact name to the loosest likeness."""
    name = unicodedata.normalize("NFC", re.split(r"[\\/]", file_name)[-1])
    plain = unquote(name).rpartition("?d=")[2]  # Label Studio's addresses of local files
    stem = PurePosixPath(plain).stem
    own = VERSION.sub("", UPLOADED.sub("", stem))
    return name, plain, stem.casefold(), re.sub(r"[\W_]+", "_", own.casefold())


def _lies_in(image, file_name):
    """True where all folders in `file_name` are those above an image, from the innermost on; False without any."""
    inner = [part for part in re.split(r"[\\/]", file_name) if part][-2::-1]
    above = [folder.name for folder in image.parents]
    return bool(inner) and inner == above[: len(inner)]


def _shape(name, segmentation):
    """The `Shape` of an annotation, all its polygons together; None where it has no outline."""
    if isinstance(segmentation, dict):
        row, column, pixels = decode_runs(segmentation)
        return from_pixels(name, pixels, row, column)
    rings = segmentation or []
    if rings and np.ndim(rings[0]) == 0:  # one polygon that is not in a list of polygons
        rings = [rings]
    rings = [np.asarray(ring, float).reshape(-1, 2) for ring in rings]
    parts = [make_shape(name, [[ring]]) for ring in rings if len(ring) > 2]
    return united(parts) if parts else None


def decode_runs(segmentation):
    """The pixels of a mask in runs, {"counts": list or text, "size": [height, width]}.

    Returns (row, column, pixels): the corner of the smallest box around them, and which are inside, bool (rows,
    columns). Raises `ValueError` for runs that do not fill the size.
    """
    height, width = map(int, segmentation["size"])
    counts = segmentation["counts"]
    counts = np.array(_lengths(counts) if isinstance(counts, str) else counts, np.int64)
    ends = np.cumsum(counts)
    if counts.min(initial=0) < 0 or (ends[-1] if len(ends) else 0) != height * width:
        raise ValueError(f"a mask whose runs do not add up to its size {height}×{width}")
    first, last = ends[:-1:2], ends[1::2]  # of each run inside, and one after its last
    first, last = first[: len(last)][last > first[: len(last)]], last[last > first[: len(last)]]
    if not len(first):
        return 0, 0, np.zeros((0, 0), bool)
    column, end = int(first[0] // height), int((last[-1] - 1) // height) + 1
    turns = np.zeros((end - column) * height + 1, np.int8)
    np.add.at(turns, first - column * height, 1)
    np.add.at(turns, last - column * height, -1)
    pixels = np.cumsum(turns[:-1], dtype=np.int8).reshape(-1, height).T > 0
    rows = np.flatnonzero(pixels.any(1))
    return int(rows[0]), column, pixels[rows[0] : rows[-1] + 1]


def _lengths(text):
    """The run lengths of compressed text."""
    found, place = [], 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 31) << shift
            more, shift, place = code & 32, shift + 5, place + 1
            if not more and code & 16:
                value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
    return found
