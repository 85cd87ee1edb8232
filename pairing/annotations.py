"""Outlines drawn in an annotation tool → masks: LabelMe JSON, QuPath GeoJSON, ImageJ .roi files and ROI sets.

All three tools count coordinates from the upper left corner of the upper left pixel, so that the centre of the pixel
in row r and column c lies at x = c + 0.5, y = r + 0.5. A pixel belongs to an outline when its centre lies inside, as
in ImageJ and QuPath. OpenCV's and Pillow's polygon fills colour the boundary pixels too, which makes every cell half
a pixel fatter; the few lines of `inside` do not, and holes cost nothing.
"""

import base64
import json
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pairing.polygons import polygonise
from reading.files import InputError, replacing
from reading.images import read_mask

SUFFIXES = {".json", ".geojson", ".roi", ".zip"}
FAR = 2**40  # pixels: no image reaches further
UNNAMED = 1  # the mask value of an outline to which no class was given
FIRST_NAMED = 2**30  # class names become numbers from here on, out of the way of class ids and colours
CURVE_POINTS = 360
CELL, NUCLEUS = "cell", "nucleus"  # classes of the cells that `cell_files` writes, and of the nuclei in them


@dataclass(frozen=True)
class Shape:
    """One annotated object: its class name ("" where none was given) and its rings in pixels.

    rings : tuple of float64 ndarrays of shape (points, 2), x then y. A pixel is inside where it is inside an odd number
    of them: an outline with its holes, or several separate parts.
    parts : how many of the rings, in their order, belong to each separate part, its outline first and then its holes;
    () where it is one part or not known.
    """

    name: str
    rings: tuple
    parts: tuple = ()

    def area(self):
        """Pixels (unrounded) that the largest ring encloses, by the shoelace formula."""
        return max(_area(ring) for ring in self.rings)

    def box(self):
        """The rectangle of pixels whose centres may be inside: int (row, column, height, width), 0 × 0 at least.

        It may reach out of the image.
        """
        corners = np.clip(np.concatenate(self.rings), -FAR, FAR)
        left, top = np.ceil(corners.min(0) - 0.5).astype(int).tolist()
        right, bottom = np.ceil(corners.max(0) - 0.5).astype(int).tolist()
        return top, left, bottom - top, right - left

    def moved(self, rows, columns):
        """The same shape so many pixels further down and to the right."""
        return replace(self, rings=tuple(ring + (columns, rows) for ring in self.rings))


@dataclass(frozen=True)
class Drawing:
    """Everything drawn on one image.

    shapes : list of `Shape`, the annotated objects.
    regions : list of `Shape` of one part each, the areas in which all objects are annotated; [] where none is marked.
    size : (height, width) of the image in pixels where the file states it, else None.
    without_area : what was left out since it has no area, such as {"point": 2}.
    """

    shapes: list
    regions: list
    size: tuple | None
    without_area: dict = field(default_factory=dict)


def name_value(name):
    """The mask value of a class name: 1 without a name, the number itself for a name such as "2", else a code.

    The code depends on the name alone, so that `nucleus` is the same value in every file of every folder.
    """
    if not name:
        return UNNAMED
    if name.isascii() and name.isdigit() and 0 < int(name) < 256:
        return int(name)
    return FIRST_NAMED | zlib.crc32(name.encode()) & FIRST_NAMED - 1


def read_drawing(path):
    """Everything drawn in one file: a `Drawing`.

    Read are LabelMe's polygons, rectangles, circles and masks; GeoJSON polygons and multi-polygons with holes (QuPath),
    of cells of the class "cell" their nuclei too, as the class "nucleus"; and ImageJ's polygon, freehand, traced, oval,
    rectangle and composite ROIs, whose group number is their class.

    Of the classes ending in `*`, which QuPath keeps for areas that are no objects, `Region*` marks the areas in which
    all objects are annotated; the others, such as Ignore*, are left out.

    Points, lines and other shapes without an area are left out and counted.

    Raises `InputError` for a damaged file and for one that holds nothing but shapes without an area.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".zip", ".roi"):
            shapes, without_area = _imagej(path)
            return _drawing(path, shapes, None, without_area)
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        labelme = isinstance(value, dict) and "shapes" in value
        shapes, size, without_area = _labelme(value, path) if labelme else _geojson(value, path)
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
    return _drawing(path, shapes, size, without_area)


def _drawing(path, shapes, size, without_area):
    if without_area and not shapes:
        raise InputError(
            f"{path}: nothing but shapes of type {', '.join(without_area)}, which have no area; expected closed "
            "outlines. Draw around the cells, as polygons for example."
        )
    regions = [shape for shape in shapes if is_region(shape.name)]
    return Drawing([shape for shape in shapes if not is_region(shape.name)], regions, size, dict(without_area))


def read_shapes(path):
    """The annotated objects of one file, as in `read_drawing`, without the Region* areas.

    Returns (shapes, size): a list of `Shape` and the image's (height, width) where the file states it, else None.
    Raises `InputError` as `read_drawing` does.
    """
    drawing = read_drawing(path)
    return drawing.shapes, drawing.size


def is_region(name):
    """True for the class name of an area in which all objects are annotated: Region*, also with more after a colon."""
    first = name.split(":")[0].strip().casefold()
    return first.startswith("region") and first.endswith("*")


def _is_no_object(name):
    """True for a class name that marks neither an object nor a Region* area, such as Ignore*."""
    return any(part.strip().endswith("*") for part in name.split(":")) and not is_region(name)


def read_annotation(path, size):
    """The mask of an annotation file and what its values are called.

    Where outlines overlap, the smaller one wins: a nucleus drawn on its cell stays visible.

    Parameters: path; size, (height, width) of the image in pixels.
    Returns (mask, names): int32 ndarray of shape (height, width) holding 0 and `name_value`s, and a dictionary from
    value to class name. Raises `InputError` as `read_shapes` does, and for outlines drawn on an image of another size.
    """
    drawing = read_drawing(path)
    refuse_misfit(path, drawing, size)
    shapes = drawing.shapes
    return rasterise(shapes, size), {name_value(shape.name): shape.name for shape in shapes if shape.name}


def refuse_misfit(path, drawing, size):
    """Raise `InputError` where a drawing from `path` is not of an image of `size` (height, width)."""
    if drawing.size not in (None, tuple(size)):
        raise InputError(
            f"{path}: drawn on an image of {drawing.size[0]}×{drawing.size[1]} pixels, but the image has "
            f"{size[0]}×{size[1]}; expected one size (height×width). Annotate this image, or scale the outlines."
        )
    for shape in [*drawing.shapes, *drawing.regions]:
        corners = np.concatenate(shape.rings)
        if (corners.max(0) <= 0).any() or (corners.min(0) >= (size[1], size[0])).any():
            x, y = corners.min(0)
            raise InputError(
                f"{path}: an outline starting at x {x:.0f}, y {y:.0f} lies outside the image of {size[0]}×{size[1]} "
                "pixels (height×width); expected outlines in this image's pixels. Check that it belongs to this image."
            )


def rasterise(shapes, size):
    """Shapes as an int32 mask (height, width): `name_value` inside a shape, the smallest on top; 0 elsewhere.

    Of a large image, the window of (height, width) = `size` pixels at (row, column) is had from the shapes
    `moved(-row, -column)`, without the rest of the mask.
    """
    mask = np.zeros(size, np.int32)
    for shape in sorted(shapes, key=Shape.area, reverse=True):
        place, pixels = filled(shape, size)
        mask[place][pixels] = name_value(shape.name)
    return mask


def filled(shape, size):
    """The pixels of a shape in an image of `size` (height, width), without an array of that size.

    Returns (place, pixels): the slices of the rows and columns around it, and which of those pixels are inside, bool.
    """
    row, column, height, width = shape.box()
    top, bottom = np.clip((row, row + height), 0, size[0]).tolist()
    left, right = np.clip((column, column + width), 0, size[1]).tolist()
    rings = [ring - (left, top) for ring in shape.rings]
    return np.s_[top:bottom, left:right], inside(rings, bottom - top, right - left)


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


def write_geojson(path, shapes, cut_from=None):
    """Write shapes as a GeoJSON FeatureCollection, as QuPath exports annotations, atomically.

    `cut_from` : dictionary that says where in which larger image they lie, kept in the file under this name.
    """
    features = []
    for shape in shapes:
        rings = iter([_closed(ring).tolist() for ring in shape.rings])
        parts = [list(islice(rings, count)) for count in shape.parts or (len(shape.rings),)]
        single = len(parts) == 1
        geometry = {"type": "Polygon" if single else "MultiPolygon", "coordinates": parts[0] if single else parts}
        classification = {"classification": {"name": shape.name}} if shape.name else {}
        properties = {"objectType": "annotation"} | classification
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    origin = {"cut_from": cut_from} if cut_from else {}
    text = json.dumps({"type": "FeatureCollection"} | origin | {"features": features}, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


# ---------------------------------------------------------------------------------------------------------- formats


def _labelme(value, path):
    shapes, without_area = [], Counter()
    for shape in value["shapes"]:
        name = str(shape.get("label") or "")
        if _is_no_object(name):
            continue
        kind, points = shape.get("shape_type") or "polygon", np.asarray(shape["points"], float).reshape(-1, 2)
        if kind == "rectangle":  # two opposite corners
            (left, top), (right, bottom) = points.min(0), points.max(0)
            points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        elif kind == "circle":  # the centre and a point on the circle
            points = _ellipse(points[0], np.hypot(*(points[1] - points[0])) * np.ones(2))
        elif kind == "mask":  # a picture of its own, at the upper left corner of a box
            top_left = np.round(points.min(0))
            parts = polygonise(_picture(shape["mask"])).get(1, [])
            shapes.append(_shape(name, parts, path).moved(*top_left[::-1]))
            continue
        elif kind != "polygon":
            without_area[kind] += 1
            continue
        shapes.append(_shape(name, [[points]], path))
    height, width = value.get("imageHeight"), value.get("imageWidth")
    return shapes, (int(height), int(width)) if height and width else None, without_area


def _picture(text):
    """The pixels above 0 of a PNG in base64: bool (height, width)."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask.png"
        path.write_bytes(base64.b64decode(text, validate=True))
        try:
            return read_mask(path) > 0
        except InputError as error:
            raise ValueError("a mask that is no PNG in base64") from error  # the file that people know is another


def _geojson(value, path):
    features = value if isinstance(value, list) else value.get("features", [value])
    shapes, without_area = [], Counter()
    for feature in features:
        geometry, properties = feature.get("geometry", feature), feature.get("properties") or {}
        classification = properties.get("classification") or {}
        name = classification.get("name") or ": ".join(classification.get("names") or ())
        if _is_no_object(name):
            continue
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            without_area[geometry["type"]] += 1
            continue
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        parts = [[np.asarray(ring, float)[:, :2] for ring in part] for part in parts]
        separate = [[part] for part in parts] if is_region(name) else [parts]
        shapes += [_shape(name, some_parts, path) for some_parts in separate]
        if name == CELL and feature.get("nucleusGeometry"):
            nucleus = {"geometry": feature["nucleusGeometry"], "properties": {"classification": {"name": NUCLEUS}}}
            shapes += _geojson([nucleus], path)[0]
    return shapes, None, without_area


def _imagej(path):
    import roifile  # only where there are such files

    rois = roifile.roiread(path)
    shapes, without_area = [], Counter()
    for roi in rois if isinstance(rois, list) else [rois]:
        kind = roi.roitype
        areas = ("RECT", "OVAL", "POLYGON", "FREEHAND", "TRACED")
        if kind.name not in areas:
            without_area[kind.name.lower()] += 1
            continue
        if kind.name == "OVAL":  # roifile draws ovals with 32 corners, too few for a large cell
            corners = np.array([(roi.left, roi.top), (roi.right, roi.bottom)], float)
            rings = [_ellipse(corners.mean(0), (corners[1] - corners[0]) / 2)]
        else:
            rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
        shapes.append(_shape(str(roi.group or ""), [rings], path))
    return shapes, without_area


def _shape(name, parts, path):
    parts = [[ring for ring in rings if len(ring) >= 3] for rings in parts]
    rings = tuple(ring for part in parts for ring in part)
    if not rings or not all(np.isfinite(ring).all() for ring in rings):
        raise InputError(
            f"{path}: an outline of fewer than three points, or with coordinates that are not numbers; expected closed "
            "outlines. Delete or redraw it."
        )
    return Shape(name, rings, tuple(len(part) for part in parts if part))


def _closed(ring):
    """The ring ending where it starts, as GeoJSON has it."""
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])


def _ellipse(centre, radii):
    angle = np.linspace(0, 2 * np.pi, CURVE_POINTS, endpoint=False)
    return centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii


def _area(ring):
    x, y = ring.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
