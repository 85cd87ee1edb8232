"""Slides with completely annotated areas marked on them → fields: pictures with outlines of their own.

Nobody outlines every cell of a slide. In QuPath, an annotation of the class Region* marks an area in which all cells
are outlined; each becomes a field. What is outlined elsewhere is left out, because the cells beside it are not. In
ordinary images the reader of the masks ignores what lies outside the areas (`pairing.known_areas`).
"""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from pairing import annotations
from pairing.outlines import filled, inside, left_out_lines
from pairing.pairs import Pair
from pairing.qupath_geojson import write_geojson
from reading import decoding, images, slides
from reading.files import InputError, counted, some

MARGIN = 32  # pixels around everything drawn, where no area is marked
HOW = "draw rectangles around areas in which every cell is outlined, give them the class Region* and export again"


def cut_fields(found, folder, quiet=False):
    """Cut the fields out of slides; other pairs stay as they are.

    A field is the rectangle around a Region* area. Where the area is no rectangle, it is written with the outlines, and
    what lies outside it is ignored. A slide without Region* areas is one field: the rectangle around everything drawn
    and `MARGIN` pixels more.

    Parameters
    ----------
    found : list of `pairs.Pair`.
    folder : where the fields are written, `Images/<stem>_region<n>.png` (TIFF where the slide states the size of its
        pixels, which it keeps, and for 16-bit colour and fractions) and `Masks/<stem>_region<n>.geojson`, counting from
        1 in the order of the annotation file. The latter also states
        where in the image the field lies: `"cut_from": {"image": …, "row": …, "column": …}`, of its first pixel.

    Returns (pairs, remarks): list of `pairs.Pair`, and a list of lines for people. Raises `InputError` for a slide that
    cannot be read or has no outlines, for outlines outside the image, for a field of more than `decoding.MAX_PIXELS`.
    """
    pairs, remarks, marked, guessed, left_out = [], [], [], [], {}
    areas = shapes = unused = odd = 0
    for pair in tqdm(found, "fields", unit="image", leave=False, delay=1, disable=quiet or None):
        drawing = _drawing(pair)
        if drawing is None or not (slides.is_slide(pair.image) or annotations.file_of(pair.mask) != pair.mask):
            pairs.append(pair)
            continue
        left_out[pair.mask.name] = drawing.left_out  # of the others, those say it who read the masks of the pairs
        if not slides.is_slide(pair.image):
            pairs.append(_with_own_file(pair, drawing, folder))
            continue
        cut, left, other = _cut(pair, drawing, folder)
        pairs += cut
        if drawing.regions:
            marked.append(pair.image.name)
            areas, shapes = areas + len(cut), shapes + len(drawing.shapes)
            unused, odd = unused + left, odd + other
        else:
            guessed.append(pair.image.name)
    remarks += left_out_lines(left_out)
    if marked:
        line = f"{counted(areas, 'Region* area')} of {some(marked)}: each is a field"
        line += f"; {unused} of {shapes} outlines lie outside them and are left out" if unused else ""
        line += f"; {odd} are no rectangles: around these areas the field is ignored" if odd else ""
        remarks.append(line)
    if guessed:
        remarks.append(
            f"no Region* area in {some(guessed)}: the field is the rectangle around everything drawn, and everything "
            f"in it that is not outlined is learnt as background. If cells are missing there, {HOW} (QuPath)"
        )
    if areas > 1 and len({pair.group for pair in pairs}) == 1:
        remarks.append(
            "all fields are of one slide; to keep some of its regions for testing, although they say little about "
            r'other slides: --group-by ".*region\d+"'
        )
    return pairs, remarks


def _drawing(pair):
    """What is drawn on an image or slide; None where its mask is no file of outlines."""
    outlined = annotations.is_outlines(pair.mask) and not pair.mask.is_dir()
    if pair.image.suffix.lower() in slides.SUFFIXES and not outlined:
        raise InputError(
            f"{pair.mask}: not outlines, beside the slide {pair.image.name}; expected what was drawn on it as QuPath "
            "GeoJSON. In QuPath: File › Export objects as GeoJSON."
        )
    return annotations.read_drawing(pair.mask) if outlined else None


def _with_own_file(pair, drawing, folder):
    """The pair with its part of a COCO file as a file of its own, GeoJSON, which can stand beside the image."""
    annotations.refuse_misfit(pair.mask, drawing, images.size(pair.image))
    mask = folder / "Masks" / f"{pair.stem}.geojson"
    shapes = [*drawing.shapes, *drawing.regions, *drawing.ignored]
    write_geojson(mask, shapes, {"image": pair.image.name, "row": 0, "column": 0})
    return replace(pair, mask=mask)


def _cut(pair, drawing, folder):
    """Write the fields of one image; returns (pairs, outlines in none of them, areas that are no rectangles)."""
    fields, used, odd = [], np.zeros(len(drawing.shapes), bool), 0
    boxes = _boxes(drawing.shapes)
    with slides.open_slide(pair.image) as image:
        annotations.refuse_misfit(pair.mask, drawing, (image.height, image.width))
        windows = [_window(pair, region.box(), image) for region in drawing.regions]
        for number, window in enumerate(windows or [_around(pair, boxes, image)], 1):
            row, column, height, width = window
            picture = image.read_region(*window)
            outlines = {i: drawing.shapes[i].moved(-row, -column) for i in _near(boxes, window)}
            areas = [drawing.ignored[i].moved(-row, -column) for i in _near(_boxes(drawing.ignored), window)]
            if drawing.regions:
                inner = inside(drawing.regions[number - 1].moved(-row, -column).rings, height, width)
                if not inner.all():
                    odd += 1
                    near = _near(_boxes(drawing.regions), window)
                    areas += [drawing.regions[i].moved(-row, -column) for i in near]
                    outlines = {i: shape for i, shape in outlines.items() if _meets(shape, inner)}
            used[list(outlines)] = True
            stem = f"{pair.stem}_region{number}"
            path = folder / "Images" / (stem + images.lossless_suffix(picture, image.mpp))
            mask = folder / "Masks" / f"{stem}.geojson"
            images.write(path, picture, um_per_px=image.mpp)
            write_geojson(mask, [*outlines.values(), *areas], {"image": pair.image.name, "row": row, "column": column})
            fields.append(Pair(stem, path, mask, pair.group))
    return fields, int((~used).sum()), odd


def _window(pair, box, image):
    """The part of a box (row, column, height, width) in the image; `InputError` where it cannot be a field."""
    top, left = max(box[0], 0), max(box[1], 0)
    bottom, right = min(box[0] + box[2], image.height), min(box[1] + box[3], image.width)
    height, width = bottom - top, right - left
    if height < 1 or width < 1:
        raise InputError(
            f"{pair.mask}: a Region* area less than a pixel wide or high, at row {top}, column {left}; expected one "
            "around cells. Delete or redraw it."
        )
    if height * width > decoding.MAX_PIXELS:
        raise InputError(
            f"{pair.mask}: a field of {height}×{width} pixels, {height * width / 1e6:.0f} megapixels; expected at most "
            f"{decoding.MAX_PIXELS / 1e6:g}. In QuPath, {HOW}; or allow more with --max-megapixels."
        )
    return top, left, height, width


def _around(pair, boxes, image):
    """The window around everything drawn and `MARGIN` pixels more."""
    if not len(boxes):
        raise InputError(
            f"{pair.mask}: nothing is outlined on {pair.image.name}; expected outlined cells. Draw some, {HOW}."
        )
    first, last = boxes[:, :2].min(0) - MARGIN, (boxes[:, :2] + boxes[:, 2:]).max(0) + MARGIN
    return _window(pair, (*first.tolist(), *(last - first).tolist()), image)


def _boxes(shapes):
    """`Shape.box` of each: int (shapes, 4)."""
    return np.array([shape.box() for shape in shapes], int).reshape(-1, 4)


def _near(boxes, window):
    """Which boxes reach into a window (row, column, height, width): their numbers."""
    first, last = np.array(window[:2]), np.add(window[:2], window[2:])
    return np.flatnonzero(((boxes[:, :2] < last) & (boxes[:, :2] + boxes[:, 2:] > first)).all(1))


def _meets(shape, area):
    """Whether a shape has a pixel in an area, bool (height, width)."""
    place, pixels = filled(shape, area.shape)
    return bool((area[place] & pixels).any())
