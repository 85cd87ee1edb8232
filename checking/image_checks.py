"""What the images of a folder hold, as the data doctor judges it: exposure, bit depth, copies, parts of one field.

`case` is the doctor's: it holds the facts of all pairs (`case.of`) and takes the findings (`case.add`).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from checking import copies, edges
from checking.findings import FEW
from pairing.groups import groups_of
from pairing.pairs import TEST, TRAIN


def check_exposure(case):
    """Constant, empty, flat, saturated, much brighter or darker images, other bit depths, colour among grey."""
    all_facts = [facts for facts in case.of() if id(facts) not in case.swapped]
    case.add_if("constant image", [facts.pair.image for facts in all_facts if facts.constant])
    case.add_if("tiny image", [facts.pair.image for facts in all_facts if min(facts.size) < 16])
    case.told |= {id(facts) for facts in all_facts if facts.constant or min(facts.size) < 16}
    all_facts = [facts for facts in all_facts if not facts.constant and min(facts.size) >= 16]
    _check_minority(case, all_facts, "bit depth", lambda facts: _DEPTHS.get(facts.dtype, facts.dtype))
    _check_minority(case, all_facts, "colour and grey mixed", lambda facts: "in colour" if facts.colour else "grey")
    odd = set()  # ids
    for dtype in {facts.dtype for facts in all_facts}:
        fields = _fields([facts for facts in all_facts if facts.dtype == dtype])
        for field in _odd_exposures(list(fields)):
            odd |= set(map(id, fields[field]))
    odd = [facts for facts in all_facts if id(facts) in odd]
    case.add_if("exposure", [facts.pair.image for facts in odd])
    case.told |= set(map(id, odd))
    flat = [facts for facts in all_facts if facts.flat and id(facts) not in case.told]
    case.add_if("no contrast", [facts.pair.image for facts in flat if facts.share], "Cells are marked there.")
    case.add_if("no contrast", [facts.pair.image for facts in flat if not facts.share], severity="note")


_DEPTHS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "floating point"}


def _check_minority(case, all_facts, kind, feature):
    counts = Counter(map(feature, all_facts))
    if len(counts) > 1:
        (usual, _), *others = counts.most_common()
        for name, count in others:
            severity = "warning" if len(all_facts) >= FEW and count <= 0.2 * len(all_facts) else "note"
            files = [facts.pair.image for facts in all_facts if feature(facts) == name]
            counted = "1 image is" if count == 1 else f"{count} images are"
            case.add(kind, files, f"{counted} {name}, the rest {usual}.", severity)


@dataclass(frozen=True, eq=False)
class _Exposure:
    """What `pair_facts.PairFacts` tells of the exposure of an image, or of the field that tiles were cut from."""

    low: float
    high: float
    level: float
    clipped: float
    share: float | None
    inside: float | None
    dtype: str


def _fields(all_facts):
    """From each `_Exposure` to the facts that it is of: one image, or all tiles of a field.

    A tile with hardly a cell is flatter and brighter or darker than its field, and is no worse for it.
    """
    cuts = {}
    for facts in all_facts:
        cuts.setdefault(
            (facts.pair.group, facts.pair.intensity_range) if facts.pair.intensity_range else id(facts), []
        ).append(facts)
    fields = {}
    for tiles in cuts.values():
        first = tiles[0]
        known = first.pair.intensity_range
        low, high = map(np.mean, known[:2]) if known else (first.low, first.high)
        level, clipped = (np.median([getattr(tile, name) for tile in tiles]) for name in ("level", "clipped"))
        share, inside = (
            max((value for value in (getattr(tile, name) for tile in tiles) if value is not None), default=None)
            for name in ("share", "inside")
        )
        fields[_Exposure(float(low), float(high), level, clipped, share, inside, first.dtype)] = tiles
    return fields


def _odd_exposures(all_facts):
    """Those of `_Exposure`, all of one dtype, that differ beyond what different fields of one kind do."""
    # A field with hardly a cell is flat and has every right to be.
    worth = [facts for facts in all_facts if facts.share is None or facts.share > 0.005]
    odd = [facts for facts in worth if facts.dtype == "uint8" and facts.high - facts.low < 12]
    if len(all_facts) < FEW:
        return odd
    spans = np.array([facts.high - facts.low for facts in all_facts])
    levels = np.array([facts.level for facts in all_facts])
    clipped, most_clipped = np.quantile([facts.clipped for facts in all_facts], (0.5, 0.8))
    usual, level = np.median(spans), np.median(levels)
    full = 255 if all_facts[0].dtype == "uint8" else max(np.median([facts.high for facts in all_facts]), 1e-9)
    away = max(0.3 * full, 8 * 1.4826 * np.median(np.abs(levels - level)))
    return odd + [
        facts for facts in worth
        if facts.high - facts.low < usual / 6
        or facts.high - facts.low > usual * 8
        or (facts.clipped > 0.25 + 2 * clipped and _cells_clipped(facts, full))
        # A white ground too, where no other image has one.
        or (facts.clipped > 0.5 and most_clipped < 0.05 and facts.level - level > 0.15 * full)
        or abs(facts.level - level) > away
    ]  # fmt: skip


def _cells_clipped(facts, full):
    """True where saturation costs detail: a white ground behind dark cells may be saturated."""
    return facts.clipped > 0.8 if facts.inside is None else facts.inside > 0.9 * full


def check_groups(case):
    """One slide or patient, by the file names, in training and in test."""
    groups = {part: {} for part in (TRAIN, TEST)}
    by_name = groups_of([facts.pair.stem for facts in case.all_facts])  # of both parts, which may say more than either
    for facts, name in zip(case.all_facts, by_name, strict=True):
        recorded = facts.pair.intensity_range is not None  # by `prepare`, which was perhaps told otherwise
        group = facts.pair.group if recorded or facts.pair.group != facts.pair.stem else name
        if group != facts.pair.stem:  # a name that says what the tile was cut from
            groups[facts.part].setdefault(group, []).append(facts.pair.image)
    shared = sorted(set(groups[TRAIN]) & set(groups[TEST]))
    # One name for everything without a number, such as image_tile_1 to image_tile_90, is no slide's name.
    generic = shared and len({*groups[TRAIN], *groups[TEST]}) == 1 and not any(map(str.isdigit, shared[0]))
    for group in shared:
        files = groups[TEST][group] + groups[TRAIN][group]
        detail = f"By the file names, {group} is both in Train data and in Test data."
        case.add("leakage", files, detail, "note" if generic else None)


# ------------------------------------------------------------------------------------------- copies and overlaps


def check_exact_copies(case):
    """The same pixels twice, whatever the file format and name."""
    same = {}
    for facts in case.of():
        if not facts.constant:
            same.setdefault(facts.picture_hash, []).append(facts)
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
    for facts in case.of(masks=True):
        if facts.mask_hash:
            masks.setdefault(facts.mask_hash, []).append(facts)
    copied = [
        couple for copies in masks.values() for couple in _couples(copies)
        if frozenset(map(id, couple)) not in case.copies | case.near
    ]  # fmt: skip
    case.add_if("duplicate mask", [f"{case.name(one.pair.mask)} = {case.name(two.pair.mask)}" for one, two in copied])
    case.told |= {id(facts) for couple in copied for facts in couple}


def _couples(copies):
    """The first of each part with every other: enough to name all."""
    return [(copies[0], other) for other in copies[1:]]


def _both(case, first, second):
    return f"{case.name(first.pair.image)} = {case.name(second.pair.image)}"


def check_likeness(case, quiet):
    """Pictures that are nearly one, and fields that overlap."""
    all_facts = [
        facts for facts in case.of() if facts.print is not None and not facts.constant and id(facts) not in case.swapped
    ]
    found = {}
    for first, second in copies.near_duplicates(all_facts):
        found[frozenset((id(first), id(second)))] = (first, second, "near duplicate")
    for first, second in copies.overlaps(all_facts, quiet):
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


def check_edges(case):
    """Pictures of different names that continue each other, in training and test or among those to train on."""
    all_facts = [facts for facts in case.of() if not facts.constant and id(facts) not in case.swapped]
    found = [
        (first, second, clear) for first, second, clear in edges.continuations(all_facts)
        if (first.pair.group != second.pair.group or first.part != second.part)
        and frozenset((id(first), id(second))) not in case.copies | case.near  # a mirrored copy goes on in the original
    ]  # fmt: skip
    sizes = Counter(facts.pair.group for facts in all_facts)
    links = Counter(_groups(one, two) for one, two, _ in found)

    def is_sure(one, two, clear):
        """Few couples may be chance, and so may one of two slides that have many tiles each."""
        single = max(sizes[one.pair.group], sizes[two.pair.group]) < MANY_TILES
        return clear > edges.VERY_CLEAR or (len(found) > 2 and (single or links[_groups(one, two)] > 1))

    found = [couple for couple in found if is_sure(*couple)]
    leaks = [_both(case, one, two) for one, two, _ in found if one.part != two.part]
    rest = [_both(case, one, two) for one, two, _ in found if one.part == two.part == TRAIN]
    case.add_if(
        "leakage", leaks, "Pictures in training and test continue each other at their edges: parts of one field."
    )
    case.add_if("continuing fields", rest)


MANY_TILES = 4


def _groups(first, second):
    return frozenset((first.pair.group, second.pair.group))
