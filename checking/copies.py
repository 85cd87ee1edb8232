"""Which pictures are nearly one, and which show overlapping parts of one field.

By hand, since libraries were measured and are no better (seconds of processor time for 1,000 pairs of 256×256 pixels).
OpenCV's SIFT and BFMatcher instead of `_landmarks` pass the same tests, but take 60 s where these take 8.4, and 18 s
with FLANN; that SIFT sees through turns and scales is no use where only shifts are looked for. ImageHash (perceptual
hash, in the same eight views) alone names 166 couples of 1,000 different tiles; with `_agree` behind it, it passes the
tests at 8 differing bits of 64, but at 14 it accuses single cells, in 1.7 s instead of 0.3. OpenCV's own hashes are
not in the package without windows.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from tqdm import tqdm

from pairing.pairs import TRAIN
from reading import images, intensity
from reading.files import InputError
from reading.machine import cores

WORKING_PIXELS = 70_000_000  # what overlaps are searched in, all images together; more are shrunk first
PRINT_PX = 64  # side of the small print that near duplicates are found by


def working_scale(all_facts):
    """By how many times images are shrunk before overlaps are searched: one number for all, so that scales agree."""

    def pixels(facts):
        try:
            height, width = images.size(facts.pair.image)
            return height * width
        except (InputError, OSError):
            return 0

    total = sum(map(pixels, all_facts))
    return max(1, int(np.ceil(np.sqrt(total / WORKING_PIXELS))))


def take_print(facts, image, shrink):
    """A small print of the whole, and landmarks of the picture at the scale where overlaps are searched."""
    height, width = image.shape[:2]
    low, high = facts.low, facts.high if facts.high > facts.low else facts.low + 1
    if shrink > 1:
        small = cv2.resize(image, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
        image = small.reshape(*small.shape[:2], -1)
    small = intensity.to_channels(image, 1)[..., 0].astype(np.float32)
    working = np.clip((small - low) * (255 / (high - low)), 0, 255)
    area = cv2.INTER_AREA if min(working.shape) >= PRINT_PX else cv2.INTER_LINEAR
    facts.print = cv2.resize(working, (PRINT_PX, PRINT_PX), interpolation=area)
    facts.working = np.rint(working).astype(np.uint8)
    facts.spots, facts.patches = _landmarks(working)


REACH = 12  # px around a landmark that describe it


def _landmarks(picture):
    """Places that look the same wherever a picture is cut: positions (n, 2) int row, column; patches (n, 36) float32.

    Extremes of a difference of Gaussians at one scale (Lowe, IJCV 2004, section 3), each described by a coarse patch
    of mean 0 and length 1 (as in Brown, Szeliski & Winder, CVPR 2005), whose products are correlations.
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.5)
    strength = np.abs(smooth - cv2.GaussianBlur(picture, (0, 0), 4))
    peak = (strength == cv2.dilate(strength, np.ones((15, 15), np.uint8))) & (strength > 3)
    inner = np.zeros(peak.shape, bool)
    inner[REACH:-REACH, REACH:-REACH] = True
    spots = np.argwhere(peak & inner)
    most = 16 + picture.size // 1000
    spots = spots[np.argsort(-strength[tuple(spots.T)], kind="stable")[:most]]
    offsets = np.arange(-10, 11, 4)
    rows, columns = spots[:, :1, None] + offsets[:, None], spots[:, 1:, None] + offsets
    patches = smooth[rows, columns].reshape(len(spots), len(offsets) ** 2)
    patches = patches - patches.mean(1, keepdims=True)
    return spots, patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)


def near_duplicates(all_facts):
    """Couples that show the same picture, also turned by quarters, mirrored, resized or compressed."""
    if len(all_facts) < 2:
        return
    prints = np.stack([facts.print for facts in all_facts])
    small = [cv2.resize(print_, (32, 32), interpolation=cv2.INTER_AREA) for print_ in prints]
    small = np.stack([_detail(picture, 3) for picture in small])
    turned = [turn(small).reshape(len(all_facts), -1) for turn in TURNS]
    norms = np.maximum(np.linalg.norm(turned[0], axis=1), 1e-6)
    upright = turned[0] / norms[:, None]
    for turn, view in zip(TURNS, turned, strict=True):
        view = view / norms[:, None]
        for start in range(0, len(all_facts), 1024):
            likeness = upright[start : start + 1024] @ view.T
            for i, j in np.argwhere(likeness > 0.7):
                i += start
                if i < j and _agree(prints[i], turn(prints[j : j + 1])[0], cell=16):
                    yield all_facts[i], all_facts[j]


TURNS = [
    lambda p: p, lambda p: p[:, ::-1], lambda p: p[:, :, ::-1], lambda p: p[:, ::-1, ::-1],
    lambda p: p.swapaxes(1, 2), lambda p: p.swapaxes(1, 2)[:, ::-1], lambda p: p.swapaxes(1, 2)[:, :, ::-1],
    lambda p: p.swapaxes(1, 2)[:, ::-1, ::-1],
]  # fmt: skip


def _detail(picture, sigma):
    """The picture without its slow changes, such as uneven light, that different pictures share."""
    return picture - cv2.GaussianBlur(picture, (0, 0), sigma)


def _agree(first, second, cell):
    """True where two pictures of equal size show the same detail nearly everywhere, not in one spot only.

    Correlation in cells of about `cell` pixels: either half of the cells agree down to their noise, or the detail
    agrees that carries most weight and is spread over several cells. Two different cells of one kind, each in the
    middle of its picture, do neither.
    """
    first, second = (_detail(cv2.GaussianBlur(np.float32(p), (0, 0), 0.8), cell / 4) for p in (first, second))
    grid = tuple(max(1, round(n / cell)) for n in first.shape[::-1])

    def mean(array):
        return cv2.resize(array, grid, interpolation=cv2.INTER_AREA)

    both, one, other = mean(first * second), mean(first * first), mean(second * second)
    weight = np.sqrt(one * other)
    told = (one > 0.5) & (other > 0.5)
    if told.sum() < 6:
        return False
    spread = weight.sum() ** 2 / (weight**2).sum()  # over how many cells, if their weights were equal
    halves = np.median((both / np.maximum(weight, 1e-9))[told]) > 0.6
    return bool((halves and spread > 3) or (both.sum() / weight.sum() > 0.8 and spread > 6))


LIKE, MATCHES = 0.95, 4  # correlation of two patches that may be one place; places that must agree on one shift
SMALLEST_OVERLAP_PX = 32


def overlaps(all_facts, quiet):
    """Couples (any, one to train on) of different groups whose pictures overlap after a shift.

    Each landmark looks for the landmark most like it in the other groups' training images. Where several agree on one
    image and one shift, the overlap is cut out of both and compared.
    """
    base = sorted((k for k in all_facts if k.part == TRAIN and len(k.spots)), key=lambda facts: facts.pair.group)
    if not base:
        return
    patches = np.concatenate([facts.patches for facts in base])
    spots = np.concatenate([facts.spots for facts in base])
    owner = np.repeat(np.arange(len(base)), [len(facts.spots) for facts in base])
    ends = {facts.pair.group: i + 1 for i, facts in enumerate(base)}  # the last of each group counts
    matcher = cv2.BFMatcher(cv2.NORM_L2)

    def search(facts):
        # A training image looks among the groups after its own, so that no couple is compared twice.
        first = np.searchsorted(owner, ends.get(facts.pair.group, 0)) if facts.part == TRAIN else 0
        if not len(facts.patches) or first == len(patches):
            return []
        found = [m for m in matcher.match(facts.patches, patches[first:]) if 1 - m.distance**2 / 2 > LIKE]
        best = np.array([m.trainIdx for m in found], int) + first
        shifts, owners = spots[best] - facts.spots[[m.queryIdx for m in found]], owner[best]
        return [base[i] for i in np.unique(owners) if _overlap(facts, base[i], shifts[owners == i])]

    with ThreadPoolExecutor(cores()) as pool:
        done = pool.map(search, all_facts)
        bar = tqdm(
            done, total=len(all_facts), desc="compare", unit="image", leave=False, disable=quiet or None, delay=1
        )
        for facts, others in zip(all_facts, bar, strict=True):
            for other in others:
                yield facts, other


def _overlap(facts, other, shifts):
    """True where `other` shows the same at position + shift, for the shift that most of `shifts` (n, 2) agree on."""
    if len(shifts) < MATCHES:
        return False
    near = (np.abs(shifts[:, None] - shifts[None]).max(2) <= 2).sum(1)
    if near.max() < MATCHES:
        return False
    shift = shifts[near.argmax()]
    (top, left), (height, width) = np.maximum(-shift, 0), facts.working.shape
    bottom = min(height, other.working.shape[0] - shift[0])
    right = min(width, other.working.shape[1] - shift[1])
    if min(bottom - top, right - left) < SMALLEST_OVERLAP_PX:
        return False
    mine = facts.working[top:bottom, left:right]
    theirs = other.working[top + shift[0] : bottom + shift[0], left + shift[1] : right + shift[1]]
    return _agree(mine, theirs, cell=24)
