"""Outlines drawn in an annotation tool → masks: LabelMe JSON, QuPath GeoJSON, ImageJ .roi files and ROI sets.

All three tools count coordinates from the upper left corner of the upper left pixel, so that the centre of the pixel
in row r and column c lies at x = c + 0.5, y = r + 0.5. A pixel belongs to an outline when its centre lies inside, as
in ImageJ and QuPath. OpenCV's and Pillow's polygon fills colour the boundary pixels too, which makes every cell half
a pixel fatter; the few lines of `inside` do not, and holes cost nothing.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from images import InputError

SUFFIXES = {".json", ".geojson", ".roi", ".zip"}
UNNAMED = 1  # the mask value of an outline to which no class was given
FIRST_NAMED = 2**30  # class names become numbers from here on, out of the way of class ids and colours
CURVE_POINTS = 360


@dataclass(frozen=True)
class Shape:
    """One annotated object: its class name ("" where none was given) and its rings in pixels.

    rings : tuple of float64 ndarrays of shape (points, 2), x then y. A pixel is inside where it is inside an odd number
    of them: an outline with its holes, or several separate parts.
    """

    name: str
    rings: tuple

    def area(self):
        """Pixels (unrounded) that the largest ring encloses, by the shoelace formula."""
        return max(_area(ring) for ring in self.rings)


def name_value(name):
    """The mask value of a class name: 1 without a name, the number itself for a name such as "2", else a code.

    The code depends on the name alone, so that `nucleus` is the same value in every file of every folder.
    """
    if not name:
        return UNNAMED
    if name.isascii() and name.isdigit() and 0 < int(name) < 256:
        return int(name)
    return FIRST_NAMED | zlib.crc32(name.encode()) & FIRST_NAMED - 1


def read_shapes(path):
    """The annotated objects of one file.

    Read are LabelMe's polygons, rectangles and circles; GeoJSON polygons and multi-polygons with holes (QuPath; objects
    of its classes ending in `*`, such as Ignore*, are left out); and ImageJ's polygon, freehand, traced, oval,
    rectangle and composite ROIs, whose group number is their class.

    Returns (shapes, size): a list of `Shape` and the image's (height, width) where the file states it, else None.
    Raises `InputError` for a damaged file and for shapes without an area, such as points and lines.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".zip", ".roi"):
            return _imagej(path), None
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        return _labelme(value, path) if isinstance(value, dict) and "shapes" in value else (_geojson(value, path), None)
    except InputError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: not a readable annotation file ({reason}); expected LabelMe JSON, QuPath GeoJSON or ImageJ ROIs. "
            "Export it again."
        ) from error


def read_annotation(path, size):
    """The mask of an annotation file and what its values are called.

    Where outlines overlap, the smaller one wins: a nucleus drawn on its cell stays visible.

    Parameters: path; size, (height, width) of the image in pixels.
    Returns (mask, names): int32 ndarray of shape (height, width) holding 0 and `name_value`s, and a dictionary from
    value to class name. Raises `InputError` as `read_shapes` does, and for outlines drawn on an image of another size.
    """
    shapes, stated = read_shapes(path)
    if stated not in (None, tuple(size)):
        raise InputError(
            f"{path}: drawn on an image of {stated[0]}×{stated[1]} pixels, but the image has {size[0]}×{size[1]}; "
            "expected one size (height×width). Annotate this image, or scale the outlines."
        )
    for shape in shapes:
        corners = np.concatenate(shape.rings)
        if (corners.max(0) <= 0).any() or (corners.min(0) >= (size[1], size[0])).any():
            x, y = corners.min(0)
            raise InputError(
                f"{path}: an outline starting at x {x:.0f}, y {y:.0f} lies outside the image of {size[0]}×{size[1]} "
                "pixels (height×width); expected outlines in this image's pixels. Check that it belongs to this image."
            )
    return rasterise(shapes, size), {name_value(shape.name): shape.name for shape in shapes if shape.name}


def rasterise(shapes, size):
    """Shapes as an int32 mask (height, width): `name_value` inside a shape, the smallest on top; 0 elsewhere."""
    mask = np.zeros(size, np.int32)
    for shape in sorted(shapes, key=Shape.area, reverse=True):
        corners = np.concatenate(shape.rings)
        left, top = np.clip(np.floor(corners.min(0)), 0, size[::-1]).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, size[::-1]).astype(int)
        filled = inside([ring - (left, top) for ring in shape.rings], bottom - top, right - left)
        mask[top:bottom, left:right][filled] = name_value(shape.name)
    return mask


def inside(rings, height, width):
    """Pixels whose centre lies inside an odd number of `rings`: bool (height, width).

    Each edge toggles the row from where it crosses the row's centre line on; what was toggled an odd number of times is
    inside. rings: float arrays of shape (points, 2), x then y, in pixels.
    """
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        start, end = ring, np.roll(ring, -1, axis=0)
        lowest, highest = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        first, last = (np.clip(np.ceil(y - 0.5), 0, height).astype(int) for y in (lowest, highest))
        rows_of = last - first  # how many centre lines an edge crosses; none for a horizontal one
        edge = np.repeat(np.arange(len(ring)), rows_of)
        row = np.arange(rows_of.sum()) - np.repeat(np.cumsum(rows_of) - rows_of - first, rows_of)
        along = (row + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
        x = start[edge, 0] + along * (end[edge, 0] - start[edge, 0])
        np.bitwise_xor.at(toggles, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    return np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)


# ---------------------------------------------------------------------------------------------------------- formats


def _labelme(value, path):
    shapes = []
    for shape in value["shapes"]:
        kind, points = shape.get("shape_type") or "polygon", np.asarray(shape["points"], float).reshape(-1, 2)
        if kind == "rectangle":  # two opposite corners
            (left, top), (right, bottom) = points.min(0), points.max(0)
            points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        elif kind == "circle":  # the centre and a point on the circle
            points = _ellipse(points[0], np.hypot(*(points[1] - points[0])) * np.ones(2))
        elif kind != "polygon":
            raise _no_area(path, kind)
        shapes.append(_shape(str(shape.get("label") or ""), [points], path))
    height, width = value.get("imageHeight"), value.get("imageWidth")
    return shapes, (int(height), int(width)) if height and width else None


def _geojson(value, path):
    features = value if isinstance(value, list) else value.get("features", [value])
    shapes = []
    for feature in features:
        geometry, properties = feature.get("geometry", feature), feature.get("properties") or {}
        name = (properties.get("classification") or {}).get("name") or ""
        if name.endswith("*"):  # QuPath's mark for areas that are not to be counted
            continue
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise _no_area(path, geometry["type"])
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        rings = [np.asarray(ring, float)[:, :2] for part in parts for ring in part]
        shapes.append(_shape(name, rings, path))
    return shapes


def _imagej(path):
    import roifile  # only where there are such files

    rois = roifile.roiread(path)
    shapes = []
    for roi in rois if isinstance(rois, list) else [rois]:
        kind = roi.roitype
        areas = ("RECT", "OVAL", "POLYGON", "FREEHAND", "TRACED")
        if kind.name not in areas:
            raise _no_area(path, kind.name.lower())
        if kind.name == "OVAL":  # roifile draws ovals with 32 corners, too few for a large cell
            corners = np.array([(roi.left, roi.top), (roi.right, roi.bottom)], float)
            rings = [_ellipse(corners.mean(0), (corners[1] - corners[0]) / 2)]
        else:
            rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
        shapes.append(_shape(str(roi.group or ""), rings, path))
    return shapes


def _shape(name, rings, path):
    rings = tuple(ring for ring in rings if len(ring) >= 3)
    if not rings or not all(np.isfinite(ring).all() for ring in rings):
        raise InputError(
            f"{path}: an outline of fewer than three points, or with coordinates that are not numbers; expected closed "
            "outlines. Delete or redraw it."
        )
    return Shape(name, rings)


def _no_area(path, kind):
    return InputError(
        f"{path}: a shape of type {kind}, which has no area that can be read here; expected closed outlines. Redraw it "
        "as a polygon, or delete it."
    )


def _ellipse(centre, radii):
    angle = np.linspace(0, 2 * np.pi, CURVE_POINTS, endpoint=False)
    return centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii


def _area(ring):
    x, y = ring.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
