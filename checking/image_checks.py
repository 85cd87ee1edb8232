"""What the images of a folder hold, as the data doctor judges it: exposure, bit depth, copies, parts of one field.

`case` is the doctor's: it holds the looks (`case.of`) and takes the findings (`case.add`).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from checking import copies
from checking.findings import FEW
from pairing.pairs import TEST, TRAIN


def check_exposure(case):
    """Constant, flat, saturated, much brighter or darker images, other bit depths, colour among grey."""
    looks = [look for look in case.of() if id(look) not in case.swapped]
    case.add_if("constant image", [look.pair.image for look in looks if look.constant])
    case.add_if("tiny image", [look.pair.image for look in looks if min(look.size) < 16])
    case.told |= {id(look) for look in looks if look.constant or min(look.size) < 16}
    looks = [look for look in looks if not look.constant and min(look.size) >= 16]
    _check_minority(case, looks, "bit depth", lambda look: _DEPTHS.get(look.dtype, look.dtype))
    _check_minority(case, looks, "colour and grey mixed", lambda look: "in colour" if look.colour else "grey")
    odd = set()  # ids
    for dtype in {look.dtype for look in looks}:
        fields = _fields([look for look in looks if look.dtype == dtype])
        for field in _odd_exposures(list(fields)):
            odd |= set(map(id, fields[field]))
    odd = [look for look in looks if id(look) in odd]
    case.add_if("exposure", [look.pair.image for look in odd])
    case.told |= set(map(id, odd))


_DEPTHS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "floating point"}


def _check_minority(case, looks, kind, feature):
    counts = Counter(map(feature, looks))
    if len(counts) > 1:
        (usual, _), *others = counts.most_common()
        for name, count in others:
            severity = "warning" if len(looks) >= FEW and count <= 0.2 * len(looks) else "note"
            files = [look.pair.image for look in looks if feature(look) == name]
            counted = "1 image is" if count == 1 else f"{count} images are"
            case.add(kind, files, f"{counted} {name}, the rest {usual}.", severity)


@dataclass(frozen=True, eq=False)
class _Exposure:
    """What `looks.Look` tells of the exposure of an image, or of the field that tiles were cut from."""

    low: float
    high: float
    level: float
    clipped: float
    share: float | None
    inside: float | None
    dtype: str


def _fields(looks):
    """From each `_Exposure` to the looks that it is of: one image, or all tiles of a field.

    A tile with hardly a cell is flatter and brighter or darker than its field, and is no worse for it.
    """
    cuts = {}
    for look in looks:
        cuts.setdefault((look.pair.group, look.pair.levels) if look.pair.levels else id(look), []).append(look)
    fields = {}
    for tiles in cuts.values():
        first = tiles[0]
        low, high = map(np.mean, first.pair.levels) if first.pair.levels else (first.low, first.high)
        level, clipped = (np.median([getattr(tile, name) for tile in tiles]) for name in ("level", "clipped"))
        share, inside = (
            max((value for value in (getattr(tile, name) for tile in tiles) if value is not None), default=None)
            for name in ("share", "inside")
        )
        fields[_Exposure(float(low), float(high), level, clipped, share, inside, first.dtype)] = tiles
    return fields


def _odd_exposures(looks):
    """Those of `_Exposure`, all of one dtype, that differ beyond what different fields of one kind do."""
    # A field with hardly a cell is flat and has every right to be.
    worth = [look for look in looks if look.share is None or look.share > 0.005]
    odd = [look for look in worth if look.dtype == "uint8" and look.high - look.low < 12]
    if len(looks) < FEW:
        return odd
    spans = np.array([look.high - look.low for look in looks])
    levels = np.array([look.level for look in looks])
    clipped, most_clipped = np.quantile([look.clipped for look in looks], (0.5, 0.8))
    usual, level = np.median(spans), np.median(levels)
    full = 255 if looks[0].dtype == "uint8" else max(np.median([look.high for look in looks]), 1e-9)
    away = max(0.3 * full, 8 * 1.4826 * np.median(np.abs(levels - level)))
    return odd + [
        look for look in worth
        if look.high - look.low < usual / 6
        or look.high - look.low > usual * 8
        or (look.clipped > 0.25 + 2 * clipped and _cells_clipped(look, full))
        # A white ground too, where no other image has one.
        or (look.clipped > 0.5 and most_clipped < 0.05 and look.level - level > 0.15 * full)
        or abs(look.level - level) > away
    ]  # fmt: skip


def _cells_clipped(look, full):
    """True where saturation costs detail: a white ground behind dark cells may be saturated."""
    return look.clipped > 0.8 if look.inside is None else look.inside > 0.9 * full


def check_groups(case):
    """One slide or patient, by the file names, in training and in test."""
    groups = {part: {} for part in (TRAIN, TEST)}
    for look in case.looks:
        if look.pair.group != look.pair.stem:  # a name that says what the tile was cut from
            groups[look.part].setdefault(look.pair.group, []).append(look.pair.image)
    shared = sorted(set(groups[TRAIN]) & set(groups[TEST]))
    # One name for everything, such as image_tile_1 to image_tile_90, is no slide's name.
    generic = len({look.pair.group for look in case.looks}) == 1
    for group in shared:
        files = groups[TEST][group] + groups[TRAIN][group]
        detail = f"By the file names, {group} is both in Train data and in Test data."
        case.add("leakage", files, detail, "note" if generic else None)


# ------------------------------------------------------------------------------------------- copies and overlaps


def check_exact_copies(case):
    """The same pixels twice, whatever the file format and name."""
    same = {}
    for look in case.of():
        if not look.constant:
            same.setdefault(look.picture_hash, []).append(look)
    leaks, twice = [], []
    for alike in same.values():
        for first, second in _couples(alike):
            case.copies.add(frozenset((id(first), id(second))))
            if first.part == second.part:
                case.told |= {id(first), id(second)}
                twice.append(_both(case, first, second))
            else:
                leaks.append(_both(case, first, second))
    case.add_if("leakage", leaks, "The same picture in training and test.")
    case.add_if("duplicate image", twice)


def check_copied_masks(case):
    """One mask for pictures that are not one, after copies and near duplicates have been looked for."""
    masks = {}
    for look in case.of(masks=True):
        if look.mask_hash:
            masks.setdefault(look.mask_hash, []).append(look)
    copied = [
        couple for copies in masks.values() for couple in _couples(copies)
        if frozenset(map(id, couple)) not in case.copies | case.near
    ]  # fmt: skip
    case.add_if("duplicate mask", [f"{case.name(one.pair.mask)} = {case.name(two.pair.mask)}" for one, two in copied])
    case.told |= {id(look) for couple in copied for look in couple}


def _couples(copies):
    """The first of each part with every other: enough to name all."""
    return [(copies[0], other) for other in copies[1:]]


def _both(case, first, second):
    return f"{case.name(first.pair.image)} = {case.name(second.pair.image)}"


def check_likeness(case, quiet):
    """Pictures that are nearly one, and fields that overlap."""
    looks = [
        look for look in case.of() if look.print is not None and not look.constant and id(look) not in case.swapped
    ]
    found = {}
    for first, second in copies.near_duplicates(looks):
        found[frozenset((id(first), id(second)))] = (first, second, "near duplicate")
    for first, second in copies.overlaps(looks, quiet):
        found.setdefault(frozenset((id(first), id(second))), (first, second, "overlapping fields"))
    case.near = {key for key, (*_, kind) in found.items() if kind == "near duplicate"}
    leaks, rest = {}, {}
    for key, (first, second, kind) in found.items():
        if key in case.copies or first.part == second.part == TEST:
            continue
        if first.part == second.part and first.pair.group == second.pair.group:
            continue  # never parted
        target = rest if first.part == second.part else leaks
        target.setdefault(kind, []).append(_both(case, first, second))
    for kind, files in leaks.items():
        what = "Nearly the same picture" if kind == "near duplicate" else "Overlapping parts of one field"
        case.add("leakage", files, f"{what} in training and test.")
    for kind, files in rest.items():
        case.add(kind, files)
