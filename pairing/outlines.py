"""Outlines in memory: one annotated object and its pixels, what its class name says, and what lies in what.

Coordinates count from the upper left corner of the upper left pixel, so that the centre of the pixel in row r and
column c lies at x = c + 0.5, y = r + 0.5. A pixel belongs to an outline when its centre lies inside, as in ImageJ and
QuPath. OpenCV's and Pillow's polygon fills colour the boundary pixels too, which makes every cell half a pixel fatter;
the few lines of `inside` do not, and holes cost nothing.
"""

import zlib
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from pairing.polygons import polygonise
from reading import decoding
from reading.files import counted, some

FAR = 2**40  # pixels: no image reaches further
UNNAMED = 1  # the mask value of an outline to which no class was given
FIRST_NAMED = 2**30  # class names become numbers from here on, out of the way of class ids and colours
AROUND_OTHERS = "around many others"
HOLDS_OTHERS = (
    "that is the tissue or the field of view. If cells outside it are not outlined, give it the class Region*; if it "
    "is a cell itself, the class cell"
)
IGNORE = "Ignore*"  # QuPath's class of what is to be ignored
DETECTION, ANNOTATION = "detection", "annotation"  # roles: found by a program within what was drawn by hand (QuPath)


@dataclass(frozen=True)
class Shape:
    """One annotated object: its class name ("" where none was given) and its rings in pixels.

    rings : tuple of float64 ndarrays of shape (points, 2), x then y. A pixel is inside where it is inside an odd number
    of them: an outline with its holes, or several separate parts.
    parts : how many of the rings, in their order, belong to each separate part, its outline first and then its holes;
    () where it is one part or not known.
    role : `DETECTION` or `ANNOTATION` where the tool that wrote it tells them apart, else "".
    """

    name: str
    rings: tuple
    parts: tuple = ()
    role: str = ""

    def area(self):
        """Pixels (unrounded) that the largest ring encloses, by the shoelace formula."""
        return max(_area(ring) for ring in self.rings)

    def extent(self):
        """What decides which of two outlines lies on top, the lesser: its `area`, and of equal ones, what is filled.

        A nucleus with a hole, and the cell that fills it, have one area.
        """
        counts = self.parts or (len(self.rings),)
        outlines = np.cumsum((0, *counts[:-1])).tolist()
        filled = sum(_area(ring) * (1 if i in outlines else -1) for i, ring in enumerate(self.rings))
        return self.area(), filled

    def bounds(self):
        """The least and the greatest x and y: float (left, top, right, bottom)."""
        corners = np.clip(np.concatenate(self.rings), -FAR, FAR)
        return (*corners.min(0).tolist(), *corners.max(0).tolist())

    def box(self):
        """The rectangle of pixels whose centres may be inside: int (row, column, height, width), 0 × 0 at least.

        It may reach out of the image.
        """
        left, top, right, bottom = (int(np.ceil(end - 0.5)) for end in self.bounds())
        return top, left, bottom - top, right - left

    def moved(self, rows, columns):
        """The same shape so many pixels further down and to the right."""
        return replace(self, rings=tuple(ring + (columns, rows) for ring in self.rings))


@dataclass(frozen=True)
class Drawing:
    """Everything drawn on one image.

    shapes : list of `Shape`, the annotated objects.
    regions : list of `Shape`, the areas in which all objects are annotated; [] where none is marked.
    ignored : list of `Shape`, the areas of which nothing is to be learnt or scored.
    size : (height, width) of the image in pixels where the file states it, else None.
    left_out : why what else was drawn is no object, and how much of it: a dictionary such as
        {"without an area (point)": 2}.
    """

    shapes: list
    regions: list
    size: tuple | None
    left_out: dict = field(default_factory=dict)
    ignored: list = field(default_factory=list)


def left_out_lines(by_name):
    """What was left out of drawings, a line each kind, from the name of each drawing to its `Drawing.left_out`."""
    lines = []
    for shapes, names, around in left_out_by_kind(by_name.items()):
        hint = f"; right if {HOLDS_OTHERS}" if around else ""
        lines.append(f"left out: {shapes}, in {some(names)}{hint}")
    return lines


def left_out_by_kind(drawings):
    """What was left out, kind by kind, of (drawing, its `Drawing.left_out`), whatever stands for a drawing.

    Yields (such as "2 shapes without an area (point)", the drawings, whether they are containers).
    """
    counts, those = Counter(), {}
    for drawing, left_out in drawings:
        counts.update(left_out)
        for why in left_out:
            those.setdefault(why, []).append(drawing)
    for why, of in those.items():
        yield f"{counted(counts[why], 'shape')} {why}", of, why.startswith(AROUND_OTHERS)


# -------------------------------------------------------------------------------------------------------------- names


def name_value(name):
    """The mask value of a class name: 1 without a name, the number itself for a name such as "2", else a code.

    The code depends on the name alone, so that `nucleus` is the same value in every file of every folder.
    """
    if not name:
        return UNNAMED
    if name.isascii() and name.isdigit() and 0 < int(name) < 256:
        return int(name)
    return FIRST_NAMED | zlib.crc32(name.encode()) & FIRST_NAMED - 1


def is_region(name):
    """True for the class name of an area in which all objects are annotated: Region*, also beside more and a colon."""
    parts = [part.strip().casefold() for part in name.split(":")]
    return any(part.startswith("region") and part.endswith("*") for part in parts)


def is_ignored(name):
    """True for the class name of an area that is to be ignored: QuPath's Ignore*, LabelMe's __ignore__."""
    starred = any(part.strip().endswith("*") for part in name.split(":")) and not is_region(name)
    return starred or _plain(name) == "ignore"


def is_background(name):
    """True for a class name that takes pixels back from the objects below it: LabelMe's _background_."""
    return _plain(name) == "background"


def _plain(name):
    return name.strip().strip("_").casefold()


# ------------------------------------------------------------------------------------------------------------- pixels


def rasterise(shapes, size):
    """Shapes as an int32 mask (height, width): `name_value` inside a shape, the smallest on top; 0 elsewhere.

    Of a large image, the window of (height, width) = `size` pixels at (row, column) is had from the shapes
    `moved(-row, -column)`, without the rest of the mask.
    """
    mask = np.zeros(size, np.int32)
    for shape in sorted(shapes, key=Shape.extent, reverse=True):
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
        way = end[edge] - start[edge]  # multiplied before it is divided by: a tie stays one wherever the ring is moved
        x = start[edge, 0] + (row + 0.5 - start[edge, 1]) * way[:, 0] / way[:, 1]
        np.bitwise_xor.at(toggles, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    return np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)


def from_pixels(name, pixels, row=0, column=0):
    """The shape of exactly these pixels, bool (height, width), the first at (row, column); None where none is set."""
    parts = polygonise(pixels.astype(np.uint8)).get(1)
    return parts and make_shape(name, parts).moved(row, column)


def make_shape(name, parts, role=""):
    """A `Shape` from separate parts, lists of rings, each its outline first; points closed or open.

    Raises `ValueError` for rings of fewer than three points and for coordinates that are not numbers.
    """
    parts = [[np.asarray(ring, float) for ring in rings if len(ring) >= 3] for rings in parts]
    rings = tuple(ring for part in parts for ring in part)
    if not rings or not all(np.isfinite(ring).all() for ring in rings):
        raise ValueError("an outline of fewer than three points, or with coordinates that are not numbers")
    return Shape(name, rings, tuple(len(part) for part in parts if part), role)


def united(shapes):
    """Shapes of one name as one object: all pixels of any of them. Parts that may overlap become pixels first."""
    boxes = [shape.bounds() for shape in shapes]
    apart = all(
        one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
        for i, one in enumerate(boxes)
        for two in boxes[:i]
    )
    if len(shapes) == 1 or apart:
        counts = tuple(count for shape in shapes for count in shape.parts or (len(shape.rings),))
        return replace(shapes[0], rings=tuple(ring for shape in shapes for ring in shape.rings), parts=counts)
    rows, columns = _span([shape.box() for shape in shapes])
    pixels = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), bool)
    for shape in shapes:
        place, own = filled(shape.moved(-rows[0], -columns[0]), pixels.shape)
        pixels[place] |= own
    whole = from_pixels(shapes[0].name, pixels, rows[0], columns[0])
    return replace(whole, role=shapes[0].role) if whole else shapes[0]


def _span(boxes):
    boxes = np.array(boxes)
    first, last = boxes[:, :2].min(0).tolist(), (boxes[:, :2] + boxes[:, 2:]).max(0).tolist()
    _refuse_huge(last[0] - first[0], last[1] - first[1])
    return (first[0], last[0]), (first[1], last[1])


def _refuse_huge(height, width):
    if height * width > decoding.MAX_PIXELS:
        raise ValueError(f"an outline of {height}×{width} pixels that others cut; draw it in smaller parts")


def cut_background(shapes):
    """The objects among `shapes` less what the outlines called `_background_` take from them.

    In LabelMe what is drawn later lies on top. So a background outline takes from what was drawn before it; but also
    from what is larger and was drawn after it, as the hole of a ring may be drawn first. What was drawn before it and
    lies wholly in it stays: it would not have been drawn to vanish.

    Returns a list of `Shape`, in order; a shape that loses all its pixels is not among them.
    """
    holes = [(i, shape, shape.bounds(), shape.area()) for i, shape in enumerate(shapes) if is_background(shape.name)]
    found = []
    for i, shape in enumerate(shapes):
        if is_background(shape.name):
            continue
        left, top, right, bottom = shape.bounds()
        cuts = []
        for number, hole, (x, y, x_end, y_end), area in holes:
            meets = x < right and left < x_end and y < bottom and top < y_end
            within = x <= left and y <= top and right <= x_end and bottom <= y_end
            if meets and (shape.area() > area or (i < number and not within)):
                cuts.append(hole)
        whole = _less(shape, cuts) if cuts else shape
        found += [whole] if whole else []
    return found


def _less(shape, cuts):
    """A shape without the pixels of others; None where none is left."""
    row, column, height, width = shape.box()
    _refuse_huge(height, width)
    pixels = inside(shape.moved(-row, -column).rings, height, width)
    before = np.count_nonzero(pixels)
    for cut in cuts:
        place, own = filled(cut.moved(-row, -column), pixels.shape)
        pixels[place] &= ~own
    if np.count_nonzero(pixels) == before:
        return shape
    rest = from_pixels(shape.name, pixels, row, column)
    return rest and replace(rest, role=shape.role)


def _area(ring):
    x, y = ring.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def drawing_of(shapes, size, left_out, containers=()):
    """A `Drawing` from all shapes of a file, those of regions, of what is ignored and of the background among them."""
    left_out = Counter(left_out)
    for shape in containers:
        left_out[f"{AROUND_OTHERS}{f' (class {shape.name})' if shape.name else ''}"] += 1
    regions = [shape for shape in shapes if is_region(shape.name)]
    others = cut_background([shape for shape in shapes if not is_region(shape.name)])
    objects, ignored = ([shape for shape in others if is_ignored(shape.name) == which] for which in (False, True))
    return Drawing(objects, regions, size, dict(left_out), ignored)
