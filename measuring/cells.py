"""Mask → separate cells: holes filled, touching ones divided, specks left out, each nucleus joined to its cytoplasm.

Objects are connected components, pixels touching by sides or corners, divided where they are narrow and where the
network is less sure of them; those of which it is unsure as a whole are left out. Nothing here looks further than one
component, so that a slide can be worked on band by band (`whole_components`) with the same result.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from measuring.overlaps import complete
from measuring.whole_cells import parted_cells
from pairing.objects import components
from reading.intensity import to_8_bits

LABELS_SUFFIX = "_labels"  # of label images: <stem>_labels.png
# Chosen on the training fields of `benchmarks/cells.py`, which prints what others of the first two give.
MIN_AREA_PX = 20
NECK = 0.9
THRESHOLDS = tuple(range(140, 219, 13))  # of 255, 0.55 to 0.85: at these a small object may fall apart,
BELIEVED = 0.6  # the mean probability of an object; below it most are specks, folds and bacteria
LARGEST_PARTED = 10  # one of at most so many smallest areas; larger ones are nuclei whose texture would divide them
# About the same where the size of a pixel is known: the epithelial nuclei of those fields (100 pixels and more) have
# 313 pixels in the median, an intermediate cell's about 35 µm² (The Bethesda System, 3rd edition, 2015).
MIN_AREA_UM2 = 2.0
LARGEST_HOLE = 4096  # pixels; smallest areas are smaller
TALL_PX = 512  # taller components get a block of their own


@dataclass(frozen=True)
class Cells:
    """The cells of an image or of a part of it.

    labels : int32 ndarray of shape (height, width): 0 on background, 1 … n on the n objects, in the order of their
        first pixels, class by class. With three classes these are the nuclei.
    classes : uint8 ndarray of shape (n,), the class id of each.
    whole : with three classes, a tuple of n `WholeCell`: each nucleus together with its cytoplasm, in a box of its own,
        in the same order. They may share pixels (`whole_cells.upper` makes a label image of them). Else None.
    """

    labels: np.ndarray
    classes: np.ndarray
    whole: tuple | None = None

    def __len__(self):
        return len(self.classes)


def smallest_area_px(um_per_px=None, min_area=None, scale=1.0):
    """The area in pixels below which an object is left out.

    um_per_px : micrometres per pixel, None where unknown.
    min_area : in µm² where `um_per_px` is given, else in pixels; None: `MIN_AREA_UM2` or `MIN_AREA_PX`.
    scale : how many times as large the network saw the image; the default in pixels is of what it saw.
    """
    if um_per_px is None:
        return MIN_AREA_PX / scale**2 if min_area is None else min_area
    return (MIN_AREA_UM2 if min_area is None else min_area) / um_per_px**2


def find_cells(mask, classes=1, min_area_px=MIN_AREA_PX, probability=None, scale=1.0, image=None):
    """The separate cells of a predicted mask.

    Three classes are background, cytoplasm and nucleus: the objects are the nuclei, and each has its cytoplasm. Of any
    other number, each class above 0 has objects of its own.

    Parameters
    ----------
    mask : uint8 ndarray of shape (height, width), class ids.
    classes : 1 for foreground/background, or how many there are.
    min_area_px : see `separate`.
    probability : float ndarray of shape (height, width, classes), 0…1, that the mask was made from; None: the shape of
        an object alone tells where to divide it, and all are kept. With one class a second channel may be there, the
        answer that keeps objects apart (`model.with_apart`): it tells where to divide.
    scale : see `separate`.
    image : ndarray of shape (height, width, 1 or 3) that the mask was made of, which tells how cells overlap; None:
        cytoplasm is parted between nuclei, and no pixel is shared.

    Returns `Cells`.
    """

    def of_class(number):
        own = mask == number
        if probability is None:
            return separate(own, min_area_px, scale=scale)
        sure = to_8_bits(probability[..., number if classes > 1 else 0])
        if classes > 1:
            return separate(own, min_area_px, sure=sure, scale=scale)
        apart = np.where(own, to_8_bits(probability[..., 1]), 0) if probability.shape[2] > 1 else None
        return _believed(separate(own, min_area_px, sure=sure, apart=apart, scale=scale), np.where(own, sure, 0))

    if classes == 3:
        labels = of_class(2)
        return Cells(labels, np.full(labels.max(), 2, np.uint8), join_cytoplasm(labels, mask > 0, image))
    labels, numbers = np.zeros(mask.shape, np.int32), []
    for number in range(1, max(2, classes)):
        found = of_class(number)
        found[labels > 0] = 0  # a hole of one class may hold a small object of another
        found = _renumbered(found, 0)
        labels = np.where(found > 0, found + len(numbers), labels)
        numbers += [number] * int(found.max())
    return Cells(labels, np.array(numbers, np.uint8))


def _believed(labels, sure):
    """The objects whose mean probability is at least `BELIEVED`, numbered on.

    sure : uint8, 255 times the probability; 0 in holes that were filled, which do not count, since of an image in bands
        it is not known there (`whole_components`).
    """
    places = np.flatnonzero(sure * (labels > 0))
    numbers = labels.ravel()[places]
    sums = np.bincount(numbers, sure.ravel()[places], labels.max() + 1)  # of whole numbers, so exact in any block
    counts = np.bincount(numbers, minlength=labels.max() + 1)
    kept = (counts > 0) & (sums >= 255 * BELIEVED * counts)
    table = np.cumsum(kept, dtype=np.int32) * kept
    return table[labels]


def separate(mask, min_area_px=MIN_AREA_PX, neck=NECK, sure=None, apart=None, scale=1.0):
    """The objects of one class: holes filled, touching objects divided, small ones left out.

    Where the probability is known, a small object (`LARGEST_PARTED`) is divided that falls apart as its threshold
    rises: into the leaves of its component tree (Salembier, Oliveras, Garrido, IEEE Transactions on Image Processing 7,
    1998) that have the pixels of the smallest object, and at least `MIN_AREA_PX` of what the network saw, since noise
    makes small ones.

    Each part is then divided by its shape, by the watershed of the distance to what is outside (Vincent and Soille,
    PAMI 13, 1991; Beucher and Lantuéjoul, 1979), from one seed an object. Two bulges are two seeds where the neck
    between them is narrower than `neck` times the narrower bulge: an h-maxima transform of the logarithm (Soille,
    Morphological Image Analysis, 2nd edition, section 6.3), the same for large and for small cells. Bulges narrower
    than a disc of the smallest area are roughness of the outline, no seeds.

    Where the network has an answer that keeps objects apart, objects are divided by it: each of its regions above one
    half is a seed. Of the parts only small ones are then divided as above, by that answer and their shape.

    Parameters
    ----------
    mask : bool ndarray of shape (height, width).
    min_area_px : objects of fewer pixels are left out; holes of at most so many are filled.
    neck : 0…1; 0 divides nothing, by its probability neither, 1 at every constriction.
    sure : uint8 ndarray of shape (height, width), 255 times the probability of the class; None: unknown.
    apart : the same of the answer that keeps objects apart; None: there is none.
    scale : how many times as large the network saw the image than it is.

    Returns int32 (height, width): 0 on background, 1 … n on the objects in the order of their first pixels.
    """
    from scipy.ndimage import find_objects

    holes = hole_sizes(mask)
    mask = mask | ((holes > 0) & (holes <= min_area_px))
    labels = components(mask)
    core = np.sqrt(max(1, min_area_px) / np.pi)
    smallest, largest = max(min_area_px, MIN_AREA_PX / scale**2), LARGEST_PARTED * min_area_px
    if apart is not None and neck > 0:
        labels, sure = _by_seeds(labels, apart, smallest), apart
    count = int(labels.max())
    for number, box in enumerate(find_objects(labels), start=1):
        inside = labels[box] == number
        area = inside.sum()
        if area < 2 * min_area_px or neck == 0 or (apart is not None and area > largest):
            continue
        parts = inside.astype(np.int32)
        if sure is not None and area <= largest:
            parts = _fall_apart(sure[box], inside, smallest)
        for part, within in enumerate(find_objects(parts), start=1):
            divided = _divide(_depth(parts[within] == part), core, neck)
            new = divided > (part == 1)  # the first keeps the number of the whole
            labels[box][within][new] = divided[new] + (count - (part == 1))
            count += int(divided.max()) - (part == 1)
    return _renumbered(labels, min_area_px)


def _by_seeds(labels, apart, smallest):
    """The same objects, each with several regions of `apart` above one half, of `smallest` pixels, divided into theirs.

    Parameters and result: int32 (height, width), 0 on background, 1 … n on the objects; `smallest` in pixels.
    """
    from scipy.ndimage import find_objects
    from skimage.segmentation import watershed

    _, seeds, facts, _ = cv2.connectedComponentsWithStats(
        ((labels > 0) & (apart >= 128)).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    large = facts[:, cv2.CC_STAT_AREA] >= smallest
    large[0] = False
    seeds = np.where(large[seeds], seeds, 0)
    divided, count = labels.copy(), int(labels.max())
    for number, box in enumerate(find_objects(labels), start=1):
        inside = labels[box] == number
        own = np.where(inside, seeds[box], 0)
        if len(np.unique(own)) > 2:
            parts = watershed(-apart[box].astype(np.int16), own, mask=inside, connectivity=2)
            divided[box][inside] = parts[inside] + count
    return _renumbered(divided, 0)


def _fall_apart(sure, inside, smallest):
    """The parts, of `smallest` pixels at least, of one component as its threshold rises: int32, 1 … n; 0 outside."""
    from skimage.segmentation import watershed

    sure = np.where(inside, np.maximum(sure, 1), 0)  # holes that were filled included
    seeds, count = np.zeros(sure.shape, np.int32), 0
    for threshold in (*reversed(THRESHOLDS), 1):  # a part that holds no part of a higher threshold is a new one
        _, found, facts, _ = cv2.connectedComponentsWithStats(
            (sure >= threshold).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        new = facts[:, cv2.CC_STAT_AREA] >= smallest
        new[0] = False
        new[found[seeds > 0]] = False
        numbers = np.cumsum(new, dtype=np.int32) + np.int32(count)
        seeds = np.where(new[found], numbers[found], seeds)
        count += int(new.sum())
    if count < 2:
        return inside.astype(np.int32)
    return watershed(-sure.astype(np.int16), seeds, mask=inside, connectivity=2)


def _depth(mask):
    """Distance of each pixel to the nearest outside the mask, float32; beyond the image's border is outside."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.sqrt(np.rint(distance**2))  # OpenCV's last digit hangs on the place in the image, and so would the cells


def _divide(distance, core, neck):
    """One component, `distance` above 0 on it: its parts, int32 (height, width), 1 … n; 0 elsewhere."""
    from skimage.measure import label
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    distance = np.pad(distance, 1)
    inside = distance > 0
    width = np.log(np.maximum(distance, core))
    outside = np.log(core) + 2 * np.log(neck)  # lower than any value inside
    width[~inside] = outside
    seeds = label(local_maxima(width) & inside, connectivity=2)
    if seeds.max() > 1:
        lowered = reconstruction(np.where(inside, width + np.log(neck), outside), width)
        seeds = label(local_maxima(lowered) & inside, connectivity=2)
    if seeds.max() == 1:
        return inside[1:-1, 1:-1].astype(np.int32)
    return watershed(-distance, seeds, mask=inside, connectivity=2)[1:-1, 1:-1]


def hole_sizes(mask):
    """For each pixel in a hole, how many pixels that hole has: int32 (height, width), 0 elsewhere.

    A hole is background, joined by sides, that does not reach the border.
    """
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(outside, connectivity=4, ltype=cv2.CV_32S)
    areas = facts[:, cv2.CC_STAT_AREA].copy()
    areas[[0, numbers[0, 0]]] = 0  # the mask itself, and what reaches the border
    return areas[numbers[1:-1, 1:-1]]


def join_cytoplasm(nuclei, body, image=None):
    """Nuclei with their cytoplasm: a tuple of `WholeCell`, in the order of their numbers.

    A piece of `body` with one nucleus is its cell. Between several it is parted: a pixel goes to the nucleus that is
    nearest on ways within the piece. Where the image is known, cells that overlap then get what they share
    (`overlaps.complete`). Cytoplasm without a nucleus is no cell here.

    nuclei: int32 ndarray of shape (height, width); body: bool ndarray of that shape, cytoplasm and nuclei; image: see
    `find_cells`.
    """
    whole = {}
    for box, parted, seeds in pieces(nuclei, body):
        alone = image is None or (seeds == seeds.max())[seeds > 0].all()
        found = parted_cells(parted) if alone else complete(parted, seeds, image[box])
        whole |= {number: cell.moved(box[0].start, box[1].start) for number, cell in found.items()}
    return tuple(whole[number] for number in sorted(whole))


def pieces(nuclei, body):
    """Each connected piece of cytoplasm that has a nucleus, parted in the middle between its nuclei.

    Parameters as in `join_cytoplasm`. Yields (box, parted, nuclei): slices, and int32 arrays of that size by the
    numbers of the nuclei; 0 outside the piece, and outside its nuclei.
    """
    from scipy.ndimage import find_objects
    from skimage.segmentation import watershed

    parts = components(body | (nuclei > 0))
    for number, box in enumerate(find_objects(parts), start=1):  # alone: ties then do not hang on the rest of the image
        inside = parts[box] == number
        seeds = np.where(inside, nuclei[box], 0)
        if seeds.any():
            yield box, watershed(np.zeros(seeds.shape, np.uint8), seeds, mask=inside), seeds


def whole_components(bands, largest_hole=LARGEST_HOLE):
    """Cut an image that comes in bands where no foreground is cut: each component is whole in exactly one block.

    What `find_cells` finds in the blocks is what it would find in the whole image, up to the numbers. Of the bands
    before the last one only the components that still go on are kept, each in its own rectangles: time grows with the
    pixels, and memory with what the tallest component covers.

    bands: iterable of tuples, the class mask, uint8 (rows, width), and any further arrays of the same rows (image,
    probability), from top to bottom.
    largest_hole: what lies in a hole of at most so many pixels comes with what is around; at least the `min_area_px` of
    `find_cells`, which fills such holes.
    Yields ((row, column), mask, further arrays …): the block's place in the image, its mask without the components that
    belong to another block, and the same pixels of the others; these are 0 where nothing was kept. Blocks may share
    pixels.
    """
    from scipy.ndimage import find_objects

    kept, above, first = [], None, 0  # pieces of each group of components that goes on, and its number in the last row
    for band in bands:
        mask = band[0]
        numbers = components(mask)
        nodes = _with_small_holes(numbers, first == 0, largest_hole)
        groups, earlier = _joined(nodes, above, len(kept))
        goes_on = np.zeros(max(groups.max(), earlier.max(initial=0)) + 1, bool)
        goes_on[groups[nodes[-1]]] = True
        goes_on[groups[0]] = False
        apart = goes_on.copy()
        apart[earlier] = True
        inside = ~apart[groups[: numbers.max() + 1]]
        inside[0] = False
        if inside.any():
            yield (first, 0), np.where(inside[numbers], mask, 0), *band[1:]
        pieces = {group: [] for group in np.flatnonzero(apart).tolist()}
        for group, more in zip(earlier.tolist(), kept, strict=True):
            less, more = sorted((pieces[group], more), key=len)
            pieces[group] = more
            more += less
        for number, box in enumerate(find_objects(numbers), start=1):
            if not inside[number]:
                own = np.where(numbers[box] == number, mask[box], 0)
                rest = [array[box].copy() for array in band[1:]]
                pieces[int(groups[number])].append((first + box[0].start, box[1].start, own, *rest))
        yield from _blocks([pieces[group] for group in pieces if not goes_on[group]])
        kept = [pieces[group] for group in pieces if goes_on[group]]
        first += len(mask)
        above = np.cumsum(goes_on)[groups[nodes[-1]]] * goes_on[groups[nodes[-1]]]
    yield from _blocks(kept)


def _with_small_holes(numbers, at_top, largest):
    """Components and, numbered on, the parts of the background between them that may belong to a small hole.

    numbers : of the components of a band, int32 (rows, width); at_top : whether it is the first one.
    """
    _, outside, facts, _ = cv2.connectedComponentsWithStats(
        (numbers == 0).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    small = facts[:, cv2.CC_STAT_AREA] <= largest
    for border in (outside[:, 0], outside[:, -1], *([outside[0]] if at_top else [])):
        small[border] = False
    small[0] = False
    return np.where(small[outside], (np.cumsum(small, dtype=np.int32) + numbers.max())[outside], numbers)


def _joined(nodes, above, count):
    """Which nodes of a band touch, and which of the `count` groups that go on from `above`: their common numbers.

    Returns two ndarrays: the number of node 0 … n, 0 being none, and that of each group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    last = int(nodes.max())
    sides = [(nodes[:, :-1], nodes[:, 1:]), (nodes[:-1], nodes[1:])]
    if above is not None:
        numbers = np.where(above > 0, above + last, 0)
        sides += [(numbers, nodes[0]), (numbers[:-1], nodes[0, 1:]), (numbers[1:], nodes[0, :-1])]
    met = [(a != b) & (a > 0) & (b > 0) for a, b in sides]
    one, other = (np.concatenate([side[i][where] for side, where in zip(sides, met, strict=True)]) for i in (0, 1))
    size = last + count + 1
    graph = coo_array((np.ones(len(one), bool), (one, other)), (size, size))
    groups = connected_components(graph, directed=False)[1]
    return groups[: last + 1], groups[last + 1 :]


def _blocks(groups):
    """The blocks of groups of pieces, as `whole_components` yields them: tall groups alone, all others in one.

    groups : lists of (row, column, mask, further arrays …).
    """
    tall, others = [], []
    for group in groups:
        ends = [row + len(part) for row, _, part, *_ in group]
        height = max(ends, default=0) - min((piece[0] for piece in group), default=0)
        (tall if height > TALL_PX else others).append(group)
    for pieces in (*tall, list(itertools.chain(*others))):
        if not pieces:  # what might have been a small hole, and was none
            continue
        boxes = np.array([(row, column, row + len(part), column + part.shape[1]) for row, column, part, *_ in pieces])
        top, left, bottom, right = *boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)
        block = [np.zeros((bottom - top, right - left, *part.shape[2:]), part.dtype) for part in pieces[0][2:]]
        for (row, column, row_end, column_end), (_, _, own, *rest) in zip(boxes, pieces, strict=True):
            place = np.s_[row - top : row_end - top, column - left : column_end - left]
            block[0][place] |= own  # rectangles overlap, components do not
            for array, part in zip(block[1:], rest, strict=True):
                array[place] = part
        yield (int(top), int(left)), *block


def _renumbered(labels, min_area_px):
    """The objects of at least so many pixels, numbered from 1 in the order of their first pixels."""
    places = np.flatnonzero(labels)
    numbers = labels.ravel()[places]
    sizes = np.bincount(numbers, minlength=1)
    first = np.zeros(len(sizes), np.int64)
    first[numbers[::-1]] = places[::-1]  # the last one written is the first pixel
    kept = np.flatnonzero((sizes > 0) & (sizes >= min_area_px))
    kept = kept[np.argsort(first[kept])]
    table = np.zeros(len(sizes), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[labels]
