"""Files of outlines → masks: LabelMe JSON, QuPath GeoJSON, ImageJ .roi files and ROI sets, COCO JSON.

This is the door to them: which files they are, what was drawn on an image by any of them, and its mask. How each tool
writes is in a module of its own, what outlines are in `outlines`.
"""

import gzip
import json
import struct
import threading
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np

from pairing import coco_json
from pairing.containers import split_containers, usual_containers
from pairing.imagej_rois import read_rois
from pairing.known_areas import ignored_pixels
from pairing.labelme_json import read_labelme
from pairing.outlines import drawing_of, is_background, is_ignored, is_region, name_value, rasterise
from pairing.qupath_geojson import CUT_FROM, read_geojson
from reading.files import InputError, counted

SUFFIXES = (".json", ".geojson", ".roi", ".zip", ".json.gz", ".geojson.gz", ".geojson.zip", ".json.zip")


def suffix_of(path):
    """The ending by which a name is that of a file of outlines, as it is written, such as `.geojson.gz`; else ""."""
    name = PurePath(path).name
    ending = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[len(name) - len(ending) :]


def file_of(path):
    """The file in which a mask stands: itself, but of `a.json/b.png`, an image's part of a COCO file, `a.json`."""
    return next((above for above in path.parents if suffix_of(above) and above.is_file()), path)


def is_outlines(path):
    """True for a file of outlines by its name, and for an image's part of a COCO file."""
    return bool(suffix_of(path)) or file_of(path) != path


def read_drawing(path):
    """What was drawn on one image: a `Drawing`.

    Read are LabelMe's polygons, rectangles, circles and masks; GeoJSON polygons, multi-polygons and collections of them
    (QuPath), also in a .zip or .gz; ImageJ's ROIs, whose group number is their class; COCO's polygons and masks.

    Left out, and counted in `Drawing.left_out`, are shapes without an area, such as points, and what was drawn around
    many others, such as the tissue that holds the cells (`containers`). What is called Region* marks the areas in which
    all objects are annotated, Ignore* or __ignore__ what is to be ignored; what is called _background_ cuts holes.

    Parameters: path, of the file, or of an image's part of a COCO file as `coco_pairs` gives it.
    Raises `InputError` for a damaged file, for one that holds nothing but shapes without an area, and for one drawn on
    several planes of a stack.
    """
    shapes, size, left_out, decided = _drawn(Path(path))
    containers = [] if decided else split_containers(_outlines(shapes), _known_containers(Path(path), shapes))[1]
    drawn = {id(shape) for shape in containers}
    return drawing_of([shape for shape in shapes if id(shape) not in drawn], size, left_out, containers)


def _drawn(path):
    """Everything drawn on one image, as it stands: (shapes, size, what is left out, whether containers are too)."""
    planes, size = set(), None
    try:
        value = _contents(file_of(path))
        if isinstance(value, coco_json.Coco):
            shapes, left_out, size = value.shapes_of(_number(path, value))
        elif isinstance(value, list) and all(isinstance(one, bytes) for one in value):
            shapes, left_out, planes = read_rois(value)
        elif isinstance(value, dict) and "shapes" in value:
            shapes, left_out, size = read_labelme(value)
        else:
            shapes, left_out, planes = read_geojson(value)
    except InputError:
        raise
    except DAMAGED as error:
        raise _damaged(path, error) from error
    _refuse_planes(path, planes)
    without = [why for why in left_out if why.startswith(NOTHING_DRAWN)]
    if without and not shapes and len(without) == len(left_out):
        raise InputError(
            f"{path}: nothing but shapes {', '.join(without)}; expected closed outlines. Draw around the cells, as "
            "polygons for example."
        )
    return shapes, size, left_out, isinstance(value, dict) and CUT_FROM in value


def _outlines(shapes):
    areas = (is_region, is_ignored, is_background)
    return [shape for shape in shapes if not any(is_area(shape.name) for is_area in areas)]


def _known_containers(path, shapes):
    """`usual_containers` of the folder, where one of `shapes` may be one: so large or so alone that they must tell."""
    areas = [shape.area() for shape in _outlines(shapes)]
    if not areas or (len(areas) > 3 and max(areas) < 8 * np.median(areas)):
        return {}
    with _FOLDER_TURN:
        file = file_of(path)
        return _usual_in(file.parent, file.parent.stat().st_mtime_ns) if file == path else {}


@lru_cache(maxsize=4)
def _usual_in(folder, _):
    pictures = []
    for path in sorted(folder.iterdir()):
        if suffix_of(path) and path.is_file() and not path.name.startswith("."):
            with suppress(InputError):  # which is said of the file itself
                pictures.append(_outlines(_drawn(path)[0]))
    return usual_containers(pictures)


def _number(path, coco):
    file = file_of(path)
    number = coco.number_of(path.relative_to(file).as_posix()) if file != path else 0 if len(coco.images) == 1 else None
    if number is None:
        raise InputError(
            f"{path}: a COCO file of {counted(len(coco.images), 'image')}; expected it to list the image that is read. "
            "Put it beside the images, or into their folder Masks."
        )
    return number


def read_shapes(path):
    """The annotated objects of one image, as in `read_drawing`, without the areas that are marked or ignored.

    Returns (shapes, size): a list of `Shape` and the image's (height, width) where the file states it, else None.
    Raises `InputError` as `read_drawing` does.
    """
    drawing = read_drawing(path)
    return drawing.shapes, drawing.size


def read_annotation(path, size):
    """The mask of an annotation file, what its values are called, what is left out of it, and what is ignored.

    Where outlines overlap, the smaller one wins: a nucleus drawn on its cell stays visible.

    Parameters: path, as in `read_drawing`; size, (height, width) of the image in pixels.
    Returns (mask, names, left_out, ignored): int32 ndarray of shape (height, width) holding 0 and `name_value`s, a
    dictionary from value to class name, `Drawing.left_out` with the outlines that count nowhere, and what
    `known_areas.ignored_pixels` finds. Raises `InputError` as `read_drawing` does, and for outlines drawn on an image
    of another size.
    """
    drawing = read_drawing(path)
    refuse_misfit(path, drawing, size)
    names = {name_value(shape.name): shape.name for shape in drawing.shapes if shape.name}
    ignored, outside = ignored_pixels(drawing, size)
    return rasterise(drawing.shapes, size), names, dict(outside + Counter(drawing.left_out)), ignored


def refuse_misfit(path, drawing, size):
    """Raise `InputError` where a drawing from `path` is not of an image of `size` (height, width)."""
    if drawing.size not in (None, tuple(size)):
        raise InputError(
            f"{path}: drawn on an image of {drawing.size[0]}×{drawing.size[1]} pixels, but the image has "
            f"{size[0]}×{size[1]}; expected one size (height×width). Annotate this image, or scale the outlines."
        )
    for shape in [*drawing.shapes, *drawing.regions, *drawing.ignored]:
        corners = np.concatenate(shape.rings)
        if (corners.max(0) <= 0).any() or (corners.min(0) >= (size[1], size[0])).any():
            x, y = corners.min(0)
            raise InputError(
                f"{path}: an outline starting at x {x:.0f}, y {y:.0f} lies outside the image of {size[0]}×{size[1]} "
                "pixels (height×width); expected outlines in this image's pixels. Check that it belongs to this image."
            )


def coco_of(path):
    """The `coco_json.Coco` of a file, which may list many images; None where it is none.

    Raises `InputError` where it begins as one and is damaged.
    """
    try:
        if not suffix_of(path) or path.suffix.lower() == ".roi" or not path.is_file():
            return None
        with _json_stream(path) as stream:
            start = stream.read(4096) if stream else b""
        if not any(word in start for word in (b'"images"', b'"annotations"', b'"categories"', b'"licenses"')):
            return None
        value = _contents(path)
    except DAMAGED as error:
        raise _damaged(path, error) from error
    return value if isinstance(value, coco_json.Coco) else None


# ----------------------------------------------------------------------------------------------------------- contents

DAMAGED = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, EOFError, struct.error, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
NOTHING_DRAWN = ("without an area", "without an outline")
_TURN, _FOLDER_TURN = threading.Lock(), threading.Lock()  # no file or folder is read twice at the same time


def _contents(path):
    """What a file holds: the bytes of each ROI, a list; or the value of its JSON, of COCO's format a `Coco`."""
    if path.suffix.lower() == ".roi":
        return [path.read_bytes()]
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = _members(archive)
            rois = [archive.read(name) for name in names if name.lower().endswith(".roi")]
            if rois or not names:
                return rois
    with _TURN:
        state = path.stat()
        return _json_value(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _json_value(path, *_):
    """As the file stands: its time and size tell when it is another."""
    with _json_stream(path) as stream:
        if stream is None:
            raise ValueError("neither ROIs nor one GeoJSON in it")
        value = json.loads(stream.read().decode("utf-8-sig"))
    return coco_json.Coco(value) if coco_json.is_coco(value) else value


@contextmanager
def _json_stream(path):
    """The bytes of a JSON file, also of the only one in a .zip, or packed as .gz; None where a .zip holds others."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in _members(archive) if name.lower().endswith((".json", ".geojson"))]
            if len(names) != 1:
                yield None
                return
            with archive.open(names[0]) as stream:
                yield stream
    else:
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as stream:
            yield stream


def _members(archive):
    """The files of an archive without those that macOS adds."""
    hidden = ("__MACOSX", ".", "._")
    names = [name for name in archive.namelist() if not name.endswith("/")]
    return [name for name in names if not name.startswith("__MACOSX") and not PurePath(name).name.startswith(hidden)]


def _damaged(path, error):
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return InputError(
        f"{path}: not a readable annotation file ({reason}); expected LabelMe JSON, COCO JSON, QuPath GeoJSON or "
        "ImageJ ROIs. Export it again."
    )


def _refuse_planes(path, planes):
    """Raise `InputError` for outlines of several planes of a stack: the picture shows one of them."""
    if len(planes) > 1:
        raise InputError(
            f"{path}: outlines of {len(planes)} planes of a stack, but a picture is one; expected outlines of one "
            "plane. Save those of each plane beside its own picture; if all are of this picture, take their positions "
            "away (Fiji: ROI Manager › More › Remove Positions) and save again."
        )
