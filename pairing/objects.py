"""Which pixels of a mask are one object: connected components, or what the masks themselves number; and their seams."""

from dataclasses import replace

import cv2
import numpy as np

from pairing import annotations
from pairing.masks import IGNORED, MOST_CLASSES, read_mask_of
from pairing.outlines import Shape, filled
from pairing.pairs import mask_sources
from pairing.shades import COLOUR
from reading import images
from reading.files import is_numbered

FEWEST = 4  # so many values, each in one piece, are no classes


def components(mask):
    """The connected components of a mask, 8-connectivity.

    mask: bool or integer ndarray of shape (height, width), foreground above 0.
    Returns an int32 ndarray of the same shape: 0 on background, 1 … n on the n components.
    """
    return cv2.connectedComponents(np.ascontiguousarray(mask > 0, np.uint8), connectivity=8, ltype=cv2.CV_32S)[1]


def true_objects(pair, mask, coding, mask_values, stored=None):
    """The objects of a true mask, by the best that its source tells: `numbered_objects`, else connected components.

    Parameters as there. Returns (labels, source) as `numbered_objects`, where source may be "components" too.
    """
    labels, source = numbered_objects(pair, mask, coding, mask_values, stored)
    return (components(mask), "components") if labels is None else (labels, source)


def numbered_objects(pair, mask, coding, mask_values, stored=None):
    """The objects of a true mask whose source numbers them.

    Binary masks only (`coding.classes` 1) can. They do where the mask is
    - a folder of files: one file an object ("files");
    - a file of outlines all of one class: one outline an object, smaller ones on top ("outlines"); where everything
      above 0 is foreground, other files of the folder may have other classes, or be no outlines;
    - a label image that says so (`files.is_numbered`; "labels");
    - another label image: the folder's masks hold more than 16 different numbers or colours, none of them smoothed
      edges or values chosen with --foreground ("labels"). Fewer may be classes, and are not taken for objects, except
      among files of other kinds in one of numbers 1 to n in one piece each. A mask among them with one number in
      several pieces numbers nothing.

    Parameters
    ----------
    pair : `pairs.Pair`, the image and its mask.
    mask : bool or integer ndarray of shape (height, width), the foreground that `coding` finds in the mask file; pixels
        of `masks.IGNORED` belong to no object.
    coding : `masks.MaskCoding` of the folder.
    mask_values : the values drawn in all masks of the folder (`survey.Survey.drawn`).
    stored : the mask as it is stored, where it has been read already.

    Returns (labels, source): int ndarray of shape (height, width), 0 on background and another number on each object,
    and one of the three words above; (None, None) in all other cases.
    """
    one_value = sum(value > 0 for value in mask_values) == 1
    mask = (mask > 0) & (mask != IGNORED)
    if coding.classes == 1 and is_numbered(pair.mask):
        return np.where(mask, images.read_mask(pair.mask), 0), "labels"
    plain = coding.classes == 1 and coding.values is None and coding.palette is None and coding.threshold <= 1
    above_zero = plain and not coding.background  # 0: of files that are stored in different ways
    if coding.classes == 1 and pair.mask.is_dir():
        parts = (coding.decode(read_mask_of(replace(pair, mask=path), mask.shape)) for path in mask_sources(pair.mask))
        return _numbered(((..., part > 0) for part in parts), mask), "files"
    if annotations.is_outlines(pair.mask) and not one_value and above_zero:
        one_value = len({shape.name for shape in annotations.read_shapes(pair.mask)[0]}) == 1
    if coding.classes == 1 and one_value and annotations.is_outlines(pair.mask):
        shapes = sorted(annotations.read_shapes(pair.mask)[0], key=Shape.extent, reverse=True)
        return _numbered((filled(shape, mask.shape) for shape in shapes), mask), "outlines"
    mixed = plain and coding.background == 0
    sure = plain and not mixed and len(mask_values) > MOST_CLASSES
    if sure or (mixed and not annotations.is_outlines(pair.mask)):
        stored = read_mask_of(pair, mask.shape) if stored is None else stored
        if sure or _numbers_objects(stored, mask):
            labels = _labels(stored, mask, mask_values, as_stored=not coding.background)
            if not _one_number_in_pieces(labels):
                return labels, "labels"
    return None, None


def _numbers_objects(stored, mask):
    """Whether a mask among others that are stored in other ways numbers its objects: integer and bool (height, width).

    It has more numbers than there are classes, or these are 1 … n, `FEWEST` at least, each of them in one piece.
    """
    values = np.unique(stored[mask])
    if len(values) > MOST_CLASSES:
        return True
    return (
        len(values) >= FEWEST
        and values[-1] == len(values)
        and all(components(stored == value).max() == 1 for value in values.tolist())
    )


def _one_number_in_pieces(labels):
    """Whether label images, int (height, width), hold one number above 0 only, in several pieces."""
    places = labels > 0
    lowest = labels.min(where=places, initial=np.iinfo(labels.dtype).max)
    return places.any() and labels.max() == lowest and components(places).max() > 1


def _labels(stored, mask, drawn, as_stored):
    """A label image on the foreground `mask`; its smoothed edges, not `drawn`, belong to the object beside them.

    as_stored : whether the numbers may stay as they are; colours, and numbers around which is not 0, become others.
    """
    values, place = np.unique(stored, return_inverse=True)
    place = place.reshape(stored.shape)
    edges = ~np.isin(values, list(drawn))[place] & mask
    inner = mask & ~edges
    if edges.any() and inner.any():
        _, nearest = cv2.distanceTransformWithLabels(
            (~inner).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        number = np.zeros(nearest.max() + 1, place.dtype)
        number[nearest[inner]] = place[inner]
        place[edges] = number[nearest[edges]]
    if as_stored and values[-1] < COLOUR:
        return np.where(mask, values[place] if edges.any() else stored, 0)
    return np.where(mask, place + 1, 0)


def _numbered(parts, mask):
    """The foreground `mask` with a number for each of `parts`: (place in it, bool pixels there), later ones on top."""
    labels = np.zeros(mask.shape, np.int32)
    for number, (place, pixels) in enumerate(parts, start=1):
        labels[place][pixels & mask[place]] = number
    return labels


def areas_of(labels):
    """The pixels of each object that the border of the image does not cut, each piece of a number by itself: (n,).

    labels: bool or integer ndarray of shape (height, width), 0 on background.
    """
    from skimage.measure import label

    pieces = components(labels) if labels.dtype == bool else label(labels, connectivity=2)  # a tenth of the time
    counts = np.bincount(pieces.ravel())
    counts[np.concatenate([[0], pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])] = 0
    return counts[counts > 0]


def sizes(areas):
    """What is known of the size of objects: {"count", "median_px", "typical_px"}, None of none.

    Both are diameters of circles of the same area. Half of the objects are larger than the median; half of what all
    objects cover is in ones larger than the typical. The latter is what people call the size of a cell: the many lobes
    and specks in some pictures change it little, while the median of the 8 real training fields of one magnification
    is anything from 10 to 21 px (typical: 17 to 25 px).

    areas : pixels of each object, (n,).
    """
    areas = np.sort(areas)
    if not len(areas):
        return None
    covered = areas.cumsum()
    typical = areas[np.searchsorted(covered, covered[-1] / 2)]
    across = {"median_px": np.median(areas), "typical_px": typical}
    return {"count": len(areas)} | {name: round(2 * float(np.sqrt(area / np.pi)), 2) for name, area in across.items()}


def touching(labels):
    """The pixels of an object with one of another among their 8 neighbours: bool (height, width).

    labels: integer ndarray of shape (height, width), 0 on background, below 2**24.
    """
    numbers, around = labels.astype(np.float32), np.ones((3, 3), np.uint8)
    highest = cv2.dilate(numbers, around)
    lowest = cv2.erode(np.where(numbers > 0, numbers, np.float32(np.inf)), around)
    return (numbers > 0) & ((highest != numbers) | (lowest != numbers))


def seams(labels):
    """Where objects touch, as `touching` finds it among those that would keep half of their pixels without.

    What would lose more is an object too thin to be set apart, or the soft edge of a mask taken for a label image.
    """
    found = touching(labels)
    _, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    place = place.reshape(labels.shape)
    lost = np.bincount(place[found], minlength=len(sizes))
    return touching(np.where((2 * lost > sizes)[place], 0, labels))


def left_out(labels, edges=False, above_px=None):
    """The pixels of the objects that touch the image's edge, or are larger than a size: bool (height, width).

    labels: integers (height, width), 0 on background, another number on each object. edges: whether those at the edge
    are meant. above_px: pixels; None: none by their size.
    """
    out = set()
    if edges:
        out.update(*(side.tolist() for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    if above_px is not None:
        numbers, sizes = np.unique(labels, return_counts=True)
        out.update(numbers[sizes > above_px].tolist())
    return np.isin(labels, sorted(out - {0}))
