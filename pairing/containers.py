"""Which outlines hold objects and are none: the tissue, the region or the field of view that was drawn around them.

A cell holds its nucleus too, a multinucleate one several, a nucleus its nucleoli. What tells a container, where neither
the tool nor the class name does, is that it holds many outlines that are small beside it, nearly all of the picture's.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from pairing.outlines import ANNOTATION, DETECTION, inside

# Class names of what is drawn around objects, and of what never is, whatever it holds.
AROUND = {
    "tissue", "region", "region of interest", "roi", "field", "field of view", "fov", "area", "frame", "image",
    "slide", "section", "core", "tma core", "specimen", "annotation",
}  # fmt: skip
TISSUES = {"tumor", "tumour", "stroma", "necrosis", "epithelium", "gland", "immune cells"}  # or cells of these
NEVER = {"cell", "cells", "nucleus", "nuclei", "cytoplasm"}
SURE, LIKELY = "sure", "likely"
GRID = 256  # pixels of the longer side of a container's box when what lies in it is looked for
CORNERS = 8  # of an outline that are looked up there


def split_containers(shapes, known=None):
    """Take the containers out of all shapes of a picture.

    Parameters
    ----------
    shapes : list of `Shape`, without regions and background.
    known : `usual_containers` of the other pictures of the folder.

    Returns (objects, containers): two lists of `Shape`, each in the order given.
    """
    held, sure, likely = _held(shapes), set(), set()
    for one in held:
        judged = _is_container(one, held, shapes)
        sure |= {one.index} if judged == SURE else set()
        likely |= {one.index} if judged == LIKELY else set()
    objects = [shape for i, shape in enumerate(shapes) if i not in sure | likely]
    sizes = (known or {}) | _usual([shapes[i] for i in sorted(sure | likely)], objects)
    # One with a cell or two in it, or none, beside those with many.
    found = sure | {
        i for i, shape in enumerate(shapes) if shape.name in sizes and 4 * shape.area() >= sizes[shape.name]
    }
    objects = [shape for i, shape in enumerate(shapes) if i not in found]
    return objects, [shapes[i] for i in sorted(found)]


def usual_containers(pictures):
    """What containers are called in a folder, and how large they are there.

    pictures : list of lists of `Shape`, one a picture, as for `split_containers`.
    Returns a dictionary from class names to an area in pixels: in several pictures, and not in a few of many, outlines
    so called and at least a quarter as large are containers. So is then one with a cell or two in it, or none.
    """
    parted = [split_containers(shapes) for shapes in pictures]
    several = Counter(name for _, containers in parted for name in {shape.name for shape in containers})
    objects, containers = ([shape for part in parted for shape in part[which]] for which in (0, 1))
    sizes = _usual(containers, objects, rivals_each=3)  # in a folder of sparse pictures most hold few
    return {name: size for name, size in sizes.items() if several[name] > 1}


def _usual(containers, objects, rivals_each=1):
    """From class names to the median area of the containers so called, where objects of that size are hardly more."""
    areas, sizes = {}, {}
    for shape in containers:
        areas.setdefault(shape.name, []).append(shape.area())
    for name, those in areas.items():
        usual = float(np.median(those))
        rivals = sum(shape.name == name and 4 * shape.area() >= usual for shape in objects)
        if len(those) * rivals_each >= rivals:
            sizes[name] = usual
    return sizes


@dataclass(frozen=True)
class _Held:
    """An outline that holds others: its index, theirs, and the median of their areas as a share of its own."""

    index: int
    children: tuple
    share: float


def _held(shapes):
    """A `_Held` of each outline that holds others with an area, and may be a container."""
    if len(shapes) < 2:
        return []
    areas = np.array([shape.area() for shape in shapes])
    bounds = np.array([shape.bounds() for shape in shapes])
    order = np.argsort(bounds[:, 0])
    lefts, found = bounds[order, 0], []
    for i, (left, top, right, bottom) in enumerate(bounds.tolist()):
        slack = 0.02 * max(right - left, bottom - top)  # a cell at the edge may reach over the line
        near = order[np.searchsorted(lefts, left - slack) : np.searchsorted(lefts, right)]
        within = (bounds[near] >= (left - slack, top - slack, -np.inf, -np.inf)).all(1)
        within &= (bounds[near] <= (np.inf, np.inf, right + slack, bottom + slack)).all(1)
        within &= (areas[near] >= 1) & (areas[near] < 0.9 * areas[i])
        near = near[within]
        if len(near) == 1 and not _may_hold_one(shapes[i]):
            continue  # a cell with its nucleus
        if len(near):
            near = near[_lie_in(shapes[i], [shapes[j] for j in near])]
        if len(near):
            found.append(_Held(i, tuple(near.tolist()), float(np.median(areas[near]) / areas[i])))
    return found


def _may_hold_one(outer):
    """True for what may be a container with a single object in it, by other things than how much it holds."""
    return outer.name.strip().casefold() in AROUND or outer.role == ANNOTATION or is_rectangle(outer)


def _lie_in(outer, shapes):
    """Which of `shapes` have most of their corners in `outer`: bool (shapes,)."""
    left, top, right, bottom = outer.bounds()
    scale = GRID / max(right - left, bottom - top)
    rings = [(ring - (left, top)) * scale for ring in outer.rings]
    height, width = (max(1, int(np.ceil(side * scale))) for side in (bottom - top, right - left))
    pixels = inside(rings, height, width)
    found = []
    for shape in shapes:
        ring = shape.rings[0]
        points = (ring[:: max(1, len(ring) // CORNERS)] - (left, top)) * scale
        columns, rows = np.clip(points.astype(int), 0, (width - 1, height - 1)).T
        found.append(2 * np.count_nonzero(pixels[rows, columns]) > len(points))
    return np.array(found)


def _is_container(one, held, shapes):
    """Whether an outline is drawn around objects: `SURE`, `LIKELY` (unless its like are objects) or None."""
    outer, inner = shapes[one.index], [shapes[i] for i in one.children]
    count, share, name = len(inner), one.share, outer.name.strip().casefold()
    alike = sum(shape.name == outer.name for shape in inner) * 3 >= 2 * count  # an object is not made of its like
    if outer.role == DETECTION or ((name in NEVER or name.isdigit()) and not (alike and count > 2)):
        return None
    if name in AROUND and not (alike and count < 3):
        return SURE
    if outer.role == ANNOTATION and any(shape.role == DETECTION for shape in inner):
        return SURE if count > 2 or share < 1 / 50 else None
    if is_rectangle(outer) and not all(is_rectangle(shape) for shape in inner):
        like = [other for other in held if shapes[other.index].name == outer.name and is_rectangle(shapes[other.index])]
        boxes = len(like) > 1 and np.median([len(other.children) for other in like]) < 3  # drawn around single cells
        return SURE if not boxes and (count > 1 or share < 1 / 20) else None
    same = [other for other in held if shapes[other.index].name == outer.name and len(other.children) > 1]
    together = _share_held(same, held, len(shapes)) if count > 1 else 0
    if alike or not name:
        many = count >= 10 and share < 1 / 50
        few = together > 2 / 3 and (count >= 2 and share < 1 / 200 or count >= 3 and share < 1 / 100)
        return LIKELY if many or few or (together > 0.8 and count >= 6) else None
    least, small = (3, 1 / 100) if name in TISSUES else (10, 1 / 150)
    return LIKELY if together > 0.8 and count >= least and share < small else None


def _share_held(same, held, count):
    """The share of a picture's `count` outlines that lies in one of `same`, those that hold these left aside."""
    outer = {one.index for one in same}
    above = {other.index for other in held if outer.intersection(other.children)} | outer
    inner = set().union(*(one.children for one in same)) - above
    return len(inner) / max(1, count - len(above))


def is_rectangle(shape):
    """True for one ring of four corners with sides along rows and columns."""
    if len(shape.rings) != 1:
        return False
    ring = shape.rings[0]
    ring = ring[:-1] if len(ring) == 5 and (ring[0] == ring[-1]).all() else ring
    return len(ring) == 4 and all(len(set(ring[:, axis].tolist())) == 2 for axis in (0, 1))
