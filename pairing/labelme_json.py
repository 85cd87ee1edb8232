"""LabelMe JSON (and X-AnyLabeling's, which is the same) → shapes."""

import base64
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pairing.imagej_rois import ellipse
from pairing.outlines import from_pixels, make_shape, united
from reading.files import InputError
from reading.images import read_mask

POLYGONS = ("polygon", "rotation", "quadrilateral", "oriented_rectangle")


def read_labelme(value):
    """The shapes of a LabelMe file: (shapes, what is left out, (height, width) of the image or None).

    Shapes of one label and one `group_id` are one object, as LabelMe's own `shapes_to_label` has it.
    """
    objects, left_out = {}, Counter()
    for number, drawn in enumerate(value["shapes"]):
        name = str(drawn.get("label") or "")
        kind = drawn.get("shape_type") or "polygon"
        shape = _shape(name, kind, drawn)
        if shape is None:
            left_out[f"without an area ({kind})"] += 1
            continue
        group = drawn.get("group_id")
        objects.setdefault((name, number if group is None else f"group {group}"), []).append(shape)
    height, width = value.get("imageHeight"), value.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    return [united(shapes) for shapes in objects.values()], left_out, size


def _shape(name, kind, drawn):
    """The `Shape` of one entry; None where it has no area."""
    points = np.asarray(drawn["points"], float).reshape(-1, 2)
    if kind == "rectangle":  # two opposite corners
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind == "circle":  # the centre and a point on the circle
        points = ellipse(points[0], np.hypot(*(points[1] - points[0])) * np.ones(2))
    elif kind == "mask":  # a picture of its own, at the upper left corner of a box
        column, row = np.round(points.min(0))
        return from_pixels(name, _picture(drawn["mask"]), row, column)
    elif kind not in POLYGONS:
        return None
    return make_shape(name, [[points]])


def _picture(text):
    """The pixels above 0 of a PNG in base64: bool (height, width)."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask.png"
        path.write_bytes(base64.b64decode(text, validate=True))
        try:
            return read_mask(path) > 0
        except InputError as error:
            raise ValueError("a mask that is no PNG in base64") from error  # the file that people know is another
