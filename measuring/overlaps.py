"""Cells that overlap: each nucleus with all of its cytoplasm.

Of a piece of cytoplasm with several nuclei, each cell is what a closed line around its nucleus encloses: a distance a
direction, along rays from the nucleus to where they leave the cytoplasm. The line is the most likely one by dynamic
programming (Amini, Weymouth and Jain, PAMI 12, 1990). It likes to lie where the picture becomes paler outwards, since a
translucent cell ends there whatever lies under it, and at the border of the cytoplasm; it does not like to lie far from
the nucleus, nor to jump from ray to ray. How much of each, `WEIGHTS` says. Cells share pixels only where the picture is
darker there than in either of them.

Nothing here looks at pixels outside the piece, so that a slide in bands has the same cells.
"""

import cv2
import numpy as np

from measuring.whole_cells import boxed, common, joined, parted_cells
from reading import intensity

RAYS, STEPS = 64, 96  # directions, and distances along each
FINENESS = 28  # steps in the radius of a typical cell
NEAR, WIDE = 2, 6  # steps over which stain is compared
AT_ONCE = 64  # cells
LARGEST_JUMP = 6  # steps between neighbouring rays
JUMP = 0.6  # the cost of one, in natural logarithms of probability
# Cells overlap where the shared part is as much of the smaller one, and its median stain (in standard deviations over
# the piece) as much more than where each lies alone. Else they touch.
SHARED, DARKER = 0.03, 0.2
WEIGHTS = (2.97, -1.51, 3.12, 3.74, 4.8, -0.84, -0.56, -0.39, -3.08)  # of `Rays.features`


def complete(parted, nuclei, image):
    """The whole cells of one piece of cytoplasm with several nuclei.

    parted : int32 (height, width), the piece parted between its nuclei by their numbers; 0 outside.
    nuclei : int32 (height, width), their numbers, 0 elsewhere.
    image : ndarray (height, width, 1 or 3) of the same pixels; what lies outside the piece is not looked at.

    Returns {number: `WholeCell`}. Each pixel of the piece is in one of them at least, each nucleus in its own.
    """
    step = step_of(parted)
    stain = stain_of(image, parted > 0, nuclei > 0, step)
    found = {}
    for rays in rays_of(parted, nuclei, stain, step):
        found |= dict(zip(rays.numbers.tolist(), rays.enclosed(rays.ends(WEIGHTS)), strict=True))
    if not _share_what_is_darker(found, parted, stain):
        return parted_cells(parted)
    rest = parted.copy()
    for cell in found.values():
        rest[cell.place()][cell.pixels] = 0
    more = parted_cells(rest)
    found = {number: joined(cell, more[number]) if number in more else cell for number, cell in found.items()}
    _leave_larger_nuclei(found, nuclei)
    return {number: boxed(cell.pixels, *cell[:2]) for number, cell in found.items()}


def _leave_larger_nuclei(found, nuclei):
    """Take from each whole cell the nuclei of others that are not smaller than itself.

    Of outlines that lie on each other programs take the smaller one for the upper one, and that is to be the nucleus.
    """
    areas = np.bincount(nuclei.ravel())
    for number, cell in found.items():
        there = nuclei[cell.place()]
        while True:
            larger = (areas >= np.count_nonzero(cell.pixels))[there] & (there > 0) & (there != number) & cell.pixels
            if not larger.any():
                break
            cell.pixels[larger] = False


def _share_what_is_darker(found, parted, stain):
    """Whether cells overlap; pixels of cells that do not, as the picture shows, are taken from one of them.

    found : {number: `WholeCell`}, whose pixels change; parted, stain : of the piece.
    """
    layers = np.zeros(parted.shape, np.uint16)
    for cell in found.values():
        layers[cell.place()] += cell.pixels
    numbers, cells = list(found), list(found.values())
    alone = [stain[cell.place()][cell.pixels & (layers[cell.place()] == 1)] for cell in cells]
    alone = [np.median(values) if len(values) else -np.inf for values in alone]
    sizes = [np.count_nonzero(cell.pixels) for cell in cells]
    pairs = common(cells)
    apart = []
    for (one, other), (place, both) in pairs.items():
        darker = np.median(stain[place][both]) - max(alone[one], alone[other])
        if np.count_nonzero(both) < SHARED * min(sizes[one], sizes[other]) or darker < DARKER:
            apart.append((one, other, place, both))
    for one, other, place, both in apart:
        for loser, owner in ((one, other), (other, one)):
            cells[loser].part(place)[both & (parted[place] == numbers[owner])] = False
    return len(apart) < len(pairs)


def step_of(parted):
    """Pixels between two steps: a typical cell has `FINENESS` in its radius. Lobes and specks count little."""
    radii = np.sort(np.sqrt(np.bincount(parted.ravel())[1:] / np.pi))
    covered = (radii**2).cumsum()
    return radii[np.searchsorted(covered, covered[-1] / 2)] / FINENESS


def rays_of(parted, nuclei, stain, step):
    """The `Rays` of all nuclei of a piece, some at a time; parameters as in `complete`, `stain_of` and `step_of`."""
    own = parted_cells(nuclei)
    numbers = np.array(list(own))
    for first in range(0, len(own), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        yield Rays(some, [own[number] for number in some.tolist()], parted, nuclei, stain, step)


def stain_of(image, inside, nuclei, step):
    """How dark the cytoplasm is, on a logarithmic scale, float32 (height, width), its standard deviation being 1.

    Nuclei are filled with what is around them. Where nuclei are brighter than cytoplasm (fluorescence), how bright.
    """
    grey = intensity.to_channels(image, 1)[..., 0].astype(np.float32)
    near = 2 * int(np.ceil(2 * step)) + 1
    hidden = cv2.dilate(nuclei.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near))) > 0
    seen = inside & ~hidden
    if not seen.any():
        return np.zeros(inside.shape, np.float32)
    light = max(float(np.percentile(grey[inside], 99)), 1e-6)
    bright = grey[nuclei & inside].mean() > grey[seen].mean()
    density = (1 if bright else -1) * np.log(np.maximum(grey, 0) / light + 1 / 64)
    _, nearest = cv2.distanceTransformWithLabels(
        (~seen).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(nearest.max() + 1, np.float32)
    of_label[nearest[seen]] = density[seen]
    spread = max(float(density[seen].std()), 1e-3)
    return cv2.GaussianBlur(of_label[nearest], (0, 0), max(0.8 * step, 0.3)) / np.float32(spread)


class Rays:
    """What lies along the rays from some nuclei of a piece of cytoplasm; arrays (nuclei, RAYS, STEPS).

    numbers : of the nuclei, int (n,); own : n `WholeCell`, the nuclei; parted, nuclei : as in `complete`; stain : see
        `stain_of`; step : pixels between two steps.
    leaves : (n, RAYS), the first step outside the piece. allowed : where the line may lie: between step k − 1 and k,
    past the nucleus and not outside the piece.
    """

    def __init__(self, numbers, own, parted, nuclei, stain, step):
        self.numbers, self.own, self.parted, self.step = numbers, own, parted, step
        self.middles = np.array([_middle(nucleus) for nucleus in own], np.float64)
        angle = np.arange(RAYS) * 2 * np.pi / RAYS
        self.directions = np.stack([np.sin(angle), np.cos(angle)])
        away = self.directions[:, np.newaxis, :, np.newaxis] * np.arange(STEPS) * step
        rows, columns = self.middles.T[:, :, np.newaxis, np.newaxis] + away
        height, width = parted.shape
        near_rows, near_columns = np.rint(rows).astype(int), np.rint(columns).astype(int)
        within = (near_rows >= 0) & (near_rows < height) & (near_columns >= 0) & (near_columns < width)
        near = np.clip(near_rows, 0, height - 1), np.clip(near_columns, 0, width - 1)
        owner, nucleus = (np.where(within, labels[near], 0) for labels in (parted, nuclei))
        mine = numbers[:, np.newaxis, np.newaxis]
        self.leaves, self.parts = _first(owner == 0), _first(owner != mine)
        past = STEPS - (nucleus == mine)[..., ::-1].argmax(-1)
        self.starts = np.minimum(past, np.maximum(self.leaves - 1, 0))
        self.stain = np.array([_sampled(stain, *places) for places in zip(rows, columns, strict=True)])
        step_numbers = np.arange(STEPS)
        self.allowed = (step_numbers >= self.starts[..., np.newaxis]) & (step_numbers <= self.leaves[..., np.newaxis])

    def features(self):
        """What speaks for and against the line between step k − 1 and k: float32 (nuclei, RAYS, STEPS, 9)."""
        step = np.arange(STEPS)
        inner, border = step < self.leaves[..., np.newaxis], step == self.leaves[..., np.newaxis]
        near, wide = (np.maximum(_fall(self.stain, lag), 0) * inner for lag in (NEAR, WIDE))
        far = np.broadcast_to(step / FINENESS, inner.shape)
        beyond = step - self.parts[..., np.newaxis]  # where the piece is parted
        parted = beyond == 0, beyond > 0, np.maximum(beyond, 0) / FINENESS
        return np.stack([near, wide, np.minimum(wide, 1), border, far, far**2, *parted], -1, dtype=np.float32)

    def ends(self, weights):
        """The steps between which and those before the most likely lines lie: int (nuclei, RAYS)."""
        likely = self.features() @ np.float32(weights)
        likely = np.where(self.allowed, likely, -np.inf)
        return _least(np.where(self.allowed, likely.max(-1, keepdims=True) - likely, np.float32(1e4)))

    def enclosed(self, ends):
        """The `WholeCell` that each line encloses, with its nucleus."""
        lengths = (ends - 0.5 + 2 * (ends >= self.leaves)) * self.step  # at the border its own pixels count
        corners = self.middles[:, :, np.newaxis] + self.directions * lengths[:, np.newaxis]
        cells = []
        for own, (rows, columns) in zip(self.own, corners, strict=True):
            box = own.place()
            top, left = min(box[0].start, max(0, int(rows.min()))), min(box[1].start, max(0, int(columns.min())))
            bottom, right = max(box[0].stop, int(rows.max()) + 2), max(box[1].stop, int(columns.max()) + 2)
            inside = self.parted[top:bottom, left:right] > 0
            cover = np.zeros(inside.shape, np.uint8)
            line = np.stack([columns - left, rows - top], 1)
            cv2.fillPoly(cover, [np.round(line * 16).astype(np.int32)], 1, shift=4)
            cover = (cover > 0) & inside
            cover[own.moved(-top, -left).place()] |= own.pixels
            cells.append(boxed(cover, top, left))
        return cells


def _middle(nucleus):
    """The pixel of a nucleus, a `WholeCell`, that is nearest to the mean of all: row, column."""
    rows, columns = np.nonzero(nucleus.pixels)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return nucleus.row + rows[nearest], nucleus.column + columns[nearest]


def _first(where):
    """The first place along the last axis; its length where there is none."""
    return np.where(where.any(-1), where.argmax(-1), where.shape[-1])


def _sampled(stain, rows, columns):
    """The stain between pixels, linearly; of the part around alone, since OpenCV takes up to 2**15 rows and columns."""
    height, width = stain.shape
    top, left = max(0, int(rows.min())), max(0, int(columns.min()))
    part = stain[top : min(height, int(rows.max()) + 2), left : min(width, int(columns.max()) + 2)]
    places = [np.float32(columns - left), np.float32(rows - top)]
    return cv2.remap(part, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _fall(stain, lag):
    """The mean over `lag` steps before k less that over as many from k on, at each step k."""
    sums = np.concatenate([np.zeros_like(stain[..., :1]), np.cumsum(stain, -1)], -1)
    step = np.arange(STEPS)
    low, high = np.maximum(step - lag, 0), np.minimum(step + lag, STEPS)
    here = sums[..., :-1]
    return (here - sums[..., low]) / np.maximum(step - low, 1) - (sums[..., high] - here) / (high - step)


def _least(cost):
    """The closed line of least cost, int (nuclei, RAYS); cost: float (nuclei, RAYS, STEPS), of each step of each ray.

    It goes twice half round, so that its ends meet.
    """
    count, half = len(cost), RAYS // 2
    order = np.r_[half:RAYS, :RAYS, :half]
    jumps = np.arange(-LARGEST_JUMP, LARGEST_JUMP + 1)
    prices = JUMP * np.abs(jumps, dtype=np.float32)
    # Of the best line up to each step, with places before the first and after the last where none is.
    totals = np.full((len(order), count, STEPS + 2 * LARGEST_JUMP), np.float32(1e6))
    within = np.s_[:, LARGEST_JUMP:-LARGEST_JUMP]
    totals[0][within] = cost[:, order[0]]
    ways = np.empty((len(jumps), count, STEPS), np.float32)
    before = np.lib.stride_tricks.sliding_window_view(totals, STEPS, axis=2).swapaxes(1, 2)
    for turn, ray in enumerate(order[1:], start=1):
        np.add(before[turn - 1], prices[:, np.newaxis, np.newaxis], out=ways)
        np.add(ways.min(0), cost[:, ray], out=totals[turn][within])
    line = np.zeros((len(order), count), int)
    line[-1] = totals[-1][within].argmin(-1)
    for turn in range(len(order) - 1, 0, -1):
        places = line[turn][:, np.newaxis] + jumps
        came = np.take_along_axis(totals[turn - 1], places + LARGEST_JUMP, 1) + prices
        line[turn - 1] = line[turn] + jumps[came.argmin(-1)]
    return line[half : half + RAYS].T
