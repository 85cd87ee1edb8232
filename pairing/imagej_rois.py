"""ImageJ and Fiji: .roi files and ROI sets (.zip) → shapes."""

import re
from collections import Counter

import numpy as np

from pairing.outlines import is_ignored, is_region, make_shape

AREAS = ("RECT", "OVAL", "POLYGON", "FREEHAND", "TRACED")
CURVE_POINTS = 360


def read_rois(contents):
    """The shapes of ROIs, each the bytes of one: (shapes, what is left out, the planes they were drawn on).

    Polygon, freehand, traced, oval, rectangle and composite ROIs are read; their group number is their class, or their
    name where that is Region* or Ignore*, to which the ROI Manager adds a number, since it has no name twice. A plane
    is (position in a plain stack, slice, frame), counted from 1, 0 where it is not said; ROIs without any are on all.
    """
    import roifile  # only where there are such files

    shapes, left_out, planes = [], Counter(), set()
    for content in contents:
        roi = roifile.ImagejRoi.frombytes(content)
        kind = roi.roitype
        if kind.name not in AREAS:
            left_out[f"without an area ({kind.name.lower()})"] += 1
            continue
        # With channels, the position is counted over all of them, and slice and frame say where it is.
        hyperstack = roi.c_position or roi.z_position or roi.t_position
        plane = (0 if hyperstack else roi.position, roi.z_position, roi.t_position)
        planes |= {plane} if any(plane) else set()
        if kind.name == "OVAL":  # roifile draws ovals with 32 corners, too few for a large cell
            corners = np.array([(roi.left, roi.top), (roi.right, roi.bottom)], float)
            rings = [ellipse(corners.mean(0), (corners[1] - corners[0]) / 2)]
        else:
            rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
        name = re.sub(r"-\d+$", "", roi.name or "")
        name = name if is_region(name) or is_ignored(name) else str(roi.group or "")
        shapes.append(make_shape(name, [rings]))
    return shapes, left_out, planes


def ellipse(centre, radii):
    """The corners of an ellipse, float (360, 2), from its centre and its two radii, x then y."""
    angle = np.linspace(0, 2 * np.pi, CURVE_POINTS, endpoint=False)
    return centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
