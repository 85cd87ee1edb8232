"""Which pixels of a drawing nobody knows: what is called Ignore*, and what lies outside the Region* areas."""

from collections import Counter

import numpy as np

from pairing.outlines import Shape, filled


def ignored_pixels(drawing, size):
    """The pixels of an image that are to be ignored by its `outlines.Drawing`, and the outlines that only lie in them.

    Without Region* areas everything is known; with some, what lies in any of them, and the outlines that reach out of
    one and are no larger, so that no cell is cut. A larger one is no cell but what lies around them, such as a tumour,
    in which others are not outlined. Ignore* lies over all of it: what was outlined there is not to be trusted either,
    such as the cells that a program found in dirt.

    size: (height, width). Returns (ignored, left_out): bool (height, width), or None where all is known; a `Counter` as
    `Drawing.left_out`.
    """
    if not drawing.regions and not drawing.ignored:
        return None, Counter()
    known = _union(drawing.regions, size) if drawing.regions else np.ones(size, bool)
    left_out, largest = Counter(), max(map(Shape.area, drawing.regions), default=0)
    inner, reaching = [], []
    for shape in drawing.shapes:
        place, pixels = filled(shape, size)
        if not pixels.any():
            continue
        if not (known[place] & pixels).any():
            left_out["outside the Region* areas"] += 1
            continue
        inner.append((place, pixels))
        reaching += [(place, pixels)] if drawing.regions and shape.area() <= largest else []
    for place, pixels in reaching:
        known[place] |= pixels
    if drawing.ignored:
        known &= ~_union(drawing.ignored, size)
        left_out["in an area that is ignored"] = sum(not (known[place] & pixels).any() for place, pixels in inner)
    return (None if known.all() else ~known), +left_out


def _union(shapes, size):
    """The pixels of any of some shapes: bool (height, width)."""
    found = np.zeros(size, bool)
    for shape in shapes:
        place, pixels = filled(shape, size)
        found[place] |= pixels
    return found
