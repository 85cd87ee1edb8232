"""The data doctor: everything in a data folder that would spoil a training, worst first, before any training.

One pass reads each file once and keeps a `looks.Look`: sizes, grey values, what each mask value covers, a small print
of the picture and its landmarks. The checks work on the looks alone and give `findings.Finding`s; nothing stops at the
first fault.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

import images
import likeness
import pairs as pairing
from findings import KINDS, ORDER, SEVERITIES, Finding
from images import InputError, some
from looks import Look, files_of, look_at
from masks import read_mask_of
from pairs import TEST, TRAIN, Pair
from survey import MaskFacts, Survey

FEW = 5  # of fewer images than this none is called an exception


@dataclass
class Diagnosis:
    """Findings, worst first, and what they rest on."""

    data_dir: Path
    findings: list
    looks: list
    summary: list
    coding: object = None

    def refuse(self):
        """Raise `InputError`, one line, where a finding is fatal."""
        fatal = [finding for finding in self.findings if finding.severity == "fatal"]
        if fatal:
            worst = fatal[0]
            more = "" if len(fatal) == 1 else f" ({len(fatal) - 1} more kinds of fault: python main.py check)"
            named = f"{some(worst.files)}: " if worst.files else ""
            raise InputError(f"{self.data_dir}: {worst.kind}: {named}{worst.text} {worst.remedy}{more}")


def examine(data_dir, classes=1, foreground=None, thorough=True, quiet=False):
    """Read every image and mask of `Train data` and `Test data` once and find what would spoil a training.

    Parameters
    ----------
    data_dir : path of the data folder.
    classes, foreground : what the mask values mean, as in `survey.Survey.coding`.
    thorough : bool; False leaves out near duplicates and overlaps, the search for which takes longest.
    quiet : bool, no progress bar.

    Returns a `Diagnosis`. Raises nothing for what is wrong with the data: that is what the findings say.
    """
    data_dir = Path(data_dir)
    case = _Case(data_dir)
    for part in (TRAIN, TEST):
        case.gather(part)
    shrink = likeness.working_scale(case.looks) if thorough else None
    with ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool:
        done = pool.map(lambda look: look_at(look, shrink), case.looks)
        for _ in tqdm(
            done, total=len(case.looks), desc="read", unit="image", leave=False, disable=quiet, delay=1
        ):  # fmt: skip
            pass
    _check_reading(case)
    coding = _check_values(case, classes, foreground)
    _check_masks(case, coding)
    _check_exposure(case)
    _check_groups(case)
    _check_exact_copies(case)
    if thorough:
        _check_likeness(case, quiet)
    if case.looks and len([look for look in case.looks if look.part == TRAIN]) < FEW:
        case.add("few images", [])
    findings = sorted(case.findings, key=lambda f: (SEVERITIES.index(f.severity), ORDER.index(f.kind)))
    return Diagnosis(data_dir, findings, case.looks, _summary(case, coding), coding)


class _Case:
    """The looks and findings so far."""

    def __init__(self, data_dir):
        self.data_dir, self.looks, self.findings = data_dir, [], []
        self.conventions = {}  # how image and mask were paired, by part, where it is not by plain names
        self.copies, self.swapped, self.mixed = set(), set(), set()  # by id of a look, so that one fault is told once

    def name(self, path):
        return path.relative_to(self.data_dir).as_posix()

    def add(self, kind, files, detail="", severity=None):
        """files: paths, or texts such as `a = b`; detail: what was seen, before the general reason."""
        usual, why, remedy = KINDS[kind]
        files = tuple(dict.fromkeys(f if isinstance(f, str) else self.name(f) for f in files))
        self.findings.append(Finding(severity or usual, kind, files, f"{detail} {why}".strip(), remedy))

    def of(self, part=None, masks=False):
        """Looks whose image, and whose mask if `masks`, could be read."""
        return [
            look for look in self.looks
            if look.size and (part is None or look.part == part) and (not masks or look.values is not None)
        ]  # fmt: skip

    def gather(self, part):
        """Pairs of one folder, as training will pair them where it can, else by exact name."""
        folder, training = self.data_dir / part, part == TRAIN
        found = {kind: files_of(folder / kind) for kind in ("Images", "Masks")}
        before = len(self.findings)
        for paths in found.values():
            counts = Counter(path.stem for path in paths)
            self.add_if("duplicate name", [path for path in paths if counts[path.stem] > 1])
        refused = None
        try:
            found_pairs = pairing.find_pairing(folder, "required" if training else "optional")
            made = found_pairs.pairs
            if not found_pairs.plain:
                self.conventions[part] = found_pairs.explanation
        except InputError as error:
            refused, made = error, None
        if made is None:
            try:
                made = pairing.find_pairs(folder, "optional")
            except InputError:
                masks = {path.stem: path for path in reversed(found["Masks"])}
                by_stem = {path.stem: path for path in reversed(found["Images"])}
                made = [
                    Pair(stem, path, masks.get(stem), pairing.group_of(stem)) for stem, path in sorted(by_stem.items())
                ]
        try:
            made = pairing.recorded_groups(made, self.data_dir)
        except InputError as error:
            refused = refused or error
        without = [pair.image for pair in made if pair.mask is None]
        used = {pair.mask for pair in made if pair.mask}
        stems = {path.stem for path in used}
        orphans = [path for path in found["Masks"] if path not in used and path.stem not in stems]
        if training:
            if not made:
                self.add("no images", [], f"{folder / 'Images'} holds none.")
            self.add_if("missing mask", without)
            self.add_if("orphan mask", orphans)
        elif made:
            self.add_if("orphan mask", orphans, severity="warning")
            if used:
                self.add_if("missing test mask", without)
        if refused and made and len(self.findings) == before:
            self.add("pairing", [], str(refused))
        for kind in ("Images", "Masks"):
            self.add_if("file not read", _unread(folder / kind, used))
        self.looks += [Look(pair, part) for pair in made]

    def add_if(self, kind, files, detail="", severity=None):
        if files:
            self.add(kind, files, detail, severity)


def _unread(folder, used):
    """Pictures in formats or places that nobody reads; text files beside the images are no concern."""
    if not folder.is_dir():
        return []
    unread = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path in used:
            continue
        if path.is_dir():
            unread += [p for p in files_of(path) if not any(parent in used for parent in (p, *p.parents))][:1]
        elif path.suffix.lower() in UNREAD_SUFFIXES:
            unread.append(path)
    return unread


UNREAD_SUFFIXES = {
    ".svs", ".ndpi", ".czi", ".nd2", ".lif", ".vsi", ".oir", ".mrxs", ".scn", ".dcm", ".psd", ".xcf", ".heic", ".raw",
    ".npy", ".npz", ".mat", ".h5", ".zip", ".pdf", ".svg", ".mp4", ".avi",
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------ the checks


def _check_reading(case):
    """Files that cannot be read, masks that do not fit, folders that are swapped."""
    swapped = {id(look) for look in case.of() if look.mask_is_picture and look.distinct <= 4 and not look.constant}
    case.add_if("swapped Images and Masks", [
        path for look in case.looks if id(look) in swapped for path in (look.pair.image, look.pair.mask)
    ])  # fmt: skip
    case.swapped = swapped
    faults = {}
    for look in case.looks:
        for kind, path, reason in look.faults:
            if id(look) not in swapped:
                faults.setdefault(kind, []).append((path, reason))
    for kind, files in faults.items():
        case.add(kind, [path for path, _ in files], f"{files[0][0].name}: {files[0][1]}")
    named = {path for files in faults.values() for path, _ in files}
    case.add_if("mask is a picture", [
        look.pair.mask for look in case.looks
        if look.mask_is_picture and id(look) not in swapped and look.pair.mask not in named
    ])  # fmt: skip
    usual = np.median([look.distinct for look in case.of()] or [0])
    if usual > 16:
        case.add_if("picture is a mask", [
            look.pair.image for look in case.of()
            if look.distinct <= 3 and not look.constant and id(look) not in swapped
        ])  # fmt: skip


def _check_values(case, classes, foreground):
    """What the mask values mean; returns the `MaskCoding`, or None where that cannot be told."""
    looks = case.of(TRAIN, masks=True)
    total = _total(looks)
    if not total:
        return None
    _check_families(case)
    if not any(total):
        case.add("no foreground", [look.pair.mask for look in looks])
        return None
    if len(total) == 1:
        case.add("no background", [look.pair.mask for look in looks])
        return None
    try:
        coding = _survey(looks).coding(classes, foreground)
        looks = case.of(masks=True)
        coding.check(_total(looks))  # the masks of the tests are read by the same rule
        return coding
    except InputError as error:
        strange = [look for look in looks if any(value < 0 or value >= classes > 1 for value in look.values)]
        case.add("mask encoding", [look.pair.mask for look in strange or looks], _sentence(error))
        return None


def _sentence(error):
    text = str(error)
    return text[:1].upper() + text[1:]


def _survey(looks):
    """The `survey.Survey` of looks, as training makes it of the same files."""
    masks = []
    for look in looks:
        if look.values:
            values = np.array(list(look.values), np.int64)
            counts, edges = (np.array([found[i] for found in look.values.values()], np.int64) for i in (0, 2))
            masks.append(MaskFacts(look.pair.mask, values, counts, int(values[edges.argmax()]), look.names))
    return Survey([look.size for look in looks], any(look.colour for look in looks), _total(looks), masks)


def _total(looks):
    total = Counter()
    for look in looks:
        total.update({value: found[0] for value, found in look.values.items()})
    return dict(total)


def _check_families(case):
    """Masks whose values follow another convention than the rest."""
    held = [(look, set(look.values) - {0}) for look in case.of(masks=True)]
    labels = set().union(*(values for look, values in held if len(values) > 1 and not look.soft))

    def family(look, values):
        if look.soft:
            return "0 to 255 with soft edges"
        (value, *more) = sorted(values)
        if more or value in labels or (labels and value < 255 and value <= max(labels)):
            return "labels"
        return f"0 and {value}" if value >= 32 else "small numbers"

    families = {}
    for look, values in held:
        if values:
            families.setdefault(family(look, values), []).append(look)
    if len(families) > 1:
        usual, *others = sorted(families, key=lambda name: -len(families[name]))
        for name in others:
            example = families[name][0]
            values = some(map(str, sorted(example.values)), 6)
            detail = f"{example.pair.mask.name} holds the values {values}; most masks: {usual}."
            case.mixed |= set(map(id, families[name]))
            case.add("mixed mask encodings", [look.pair.mask for look in families[name]], detail)


def _check_masks(case, coding):
    """Empty, full and inverted masks, rare and missing classes."""
    if coding is None:
        return
    for look in case.of(masks=True):
        _weigh(look, coding)
    training = case.of(TRAIN, masks=True)
    shares = [look.share for look in training]
    if all(share == 1 for share in shares):
        case.add("no background", [look.pair.mask for look in training])
        return
    if not any(shares):
        case.add("no foreground", [look.pair.mask for look in training])
        return
    everything = case.of(masks=True)
    case.add_if("full mask", [look.pair.mask for look in everything if look.share == 1])
    sign = _sign(everything)
    empty = [look for look in everything if not look.share and id(look) not in case.mixed]
    odd = _wrongly_empty(empty, [look for look in everything if 0 < look.share < 1], sign)
    # Where most empty masks are right, emptiness is a habit of this folder and a few more are no alarm.
    case.add_if(
        "empty mask", [look.pair.mask for look in odd], severity="note" if 2 * len(odd) < len(empty) else None
    )  # fmt: skip
    if len(training) >= FEW and np.median(shares) < 0.5:
        case.add_if("inverted mask", [
            look.pair.mask for look in everything
            if 0.5 < look.share < 1 and look.border > 0.5 and look.contrast * sign < 0
        ])  # fmt: skip
    _check_balance(case, coding, training)


def _sign(looks):
    """1 where foreground is brighter than background, -1 where darker, 0 where that is not clear."""
    signs = [np.sign(look.contrast) for look in looks if 0 < look.share < 1]
    return np.sign(sum(signs)) if abs(sum(signs)) >= 0.5 * len(signs) else 0


def _wrongly_empty(empty, others, sign):
    """Those of the looks `empty` whose images hold about as much of what is foreground elsewhere.

    That is told by the pixels at least as bright (or dark) as the foreground of the other images on average.
    """
    if not others:
        return empty
    usual = np.median([look.spread for look in others])
    inside = np.median([look.inside for look in others])

    def like_foreground(look):
        return float((look.quantiles * sign >= inside * sign).mean())

    enough = np.median([like_foreground(look) for look in others]) / 2
    return [look for look in empty if look.spread > usual / 2 and like_foreground(look) >= enough]


def _check_balance(case, coding, training):
    total = Counter()
    where = {}
    for look in training:
        for value, (count, *_) in look.values.items():
            decoded = int(coding.decode(np.array([[value]]))[0, 0])
            total[decoded] += count
            where.setdefault(decoded, []).append(look.pair.mask)
    pixels = sum(total.values())
    for number in range(1, max(2, coding.classes)):
        title = f"Class {number}" if coding.classes > 1 else "Foreground"
        share = total[number] / pixels
        if not share:
            case.add("class imbalance", [], f"{title} does not occur in any training mask.")
        elif share < 0.001 or share > 0.95:
            shown = f"{share:.3%}" if share < 0.001 else f"{share:.1%}"
            case.add("class imbalance", where[number], f"{title} covers {shown} of the pixels.")
        elif coding.classes > 1 and len(where[number]) == 1 and len(training) >= FEW:
            case.add("class imbalance", where[number], f"{title} occurs in one training image only.")


def _weigh(look, coding):
    """Share of foreground, its share of the border, and its contrast, by the meaning of the values."""
    values = list(look.values)
    inside = coding.decode(np.array([values]))[0] > 0
    counts, means, edges = np.array([look.values[value] for value in values]).T
    if inside.any():
        look.inside = float(np.average(means[inside], weights=counts[inside]))
    look.share = float(counts[inside].sum() / counts.sum())
    look.border = float(edges[inside].sum() / edges.sum())
    look.contrast = 0.0
    if inside.any() and not inside.all():
        bright, dark = (np.average(means[part], weights=counts[part]) for part in (inside, ~inside))
        look.contrast = float((bright - dark) / max(look.spread, 1e-9))


def _check_exposure(case):
    """Constant, flat, saturated, much brighter or darker images, other bit depths, colour among grey."""
    looks = [look for look in case.of() if id(look) not in case.swapped]
    case.add_if("constant image", [look.pair.image for look in looks if look.constant])
    case.add_if("tiny image", [look.pair.image for look in looks if min(look.size) < 16])
    looks = [look for look in looks if not look.constant and min(look.size) >= 16]
    _check_minority(case, looks, "bit depth", lambda look: _DEPTHS.get(look.dtype, look.dtype))
    _check_minority(case, looks, "colour and grey mixed", lambda look: "colour" if look.colour else "grey")
    odd = []
    for dtype in {look.dtype for look in looks}:
        odd += _odd_exposures([look for look in looks if look.dtype == dtype])
    case.add_if("exposure", [look.pair.image for look in looks if look in odd])


_DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floating point"}


def _check_minority(case, looks, kind, feature):
    counts = Counter(map(feature, looks))
    if len(counts) > 1:
        (usual, _), *others = counts.most_common()
        for name, count in others:
            severity = "warning" if len(looks) >= FEW and count <= 0.2 * len(looks) else "note"
            files = [look.pair.image for look in looks if feature(look) == name]
            case.add(kind, files, f"{count} images are {name}, the rest {usual}.", severity)


def _odd_exposures(looks):
    """Looks, all of one dtype, that differ from the others beyond what different fields of one kind do."""
    # A field with hardly a cell is flat and has every right to be.
    worth = [look for look in looks if look.share is None or look.share > 0.005]
    odd = [look for look in worth if look.dtype == "uint8" and look.high - look.low < 12]
    if len(looks) < FEW:
        return odd
    spans = np.array([look.high - look.low for look in looks])
    levels = np.array([look.level for look in looks])
    clipped = np.median([look.clipped for look in looks])
    usual, level = np.median(spans), np.median(levels)
    full = 255 if looks[0].dtype == "uint8" else max(np.median([look.high for look in looks]), 1e-9)
    away = max(0.3 * full, 8 * 1.4826 * np.median(np.abs(levels - level)))
    return odd + [
        look for look in worth
        if look.high - look.low < usual / 6
        or look.high - look.low > usual * 8
        or (look.clipped > 0.25 + 2 * clipped and _cells_clipped(look, full))
        or abs(look.level - level) > away
    ]  # fmt: skip


def _cells_clipped(look, full):
    """True where saturation costs detail: a white ground behind dark cells may be saturated."""
    return look.clipped > 0.8 if look.inside is None else look.inside > 0.9 * full


def _check_groups(case):
    """One slide or patient, by the file names, in training and in test."""
    groups = {part: {} for part in (TRAIN, TEST)}
    for look in case.looks:
        if look.pair.group != look.pair.stem:  # a name that says what the tile was cut from
            groups[look.part].setdefault(look.pair.group, []).append(look.pair.image)
    shared = sorted(set(groups[TRAIN]) & set(groups[TEST]))
    # One name for everything, such as image_tile_1 to image_tile_90, is no slide's name.
    generic = len(set(groups[TRAIN]) | set(groups[TEST])) == 1
    for group in shared:
        files = groups[TEST][group] + groups[TRAIN][group]
        detail = f"By the file names, {group} is both in Train data and in Test data."
        case.add("leakage", files, detail, "note" if generic else None)


# ------------------------------------------------------------------------------------------- copies and overlaps


def _check_exact_copies(case):
    """The same pixels twice, whatever the file format and name."""
    same = {}
    for look in case.of():
        if not look.constant:
            same.setdefault(look.picture_hash, []).append(look)
    leaks, twice = [], []
    for copies in same.values():
        for first, second in _couples(copies):
            case.copies.add(frozenset((id(first), id(second))))
            if first.part == second.part:
                twice.append(_both(case, first, second))
            else:
                leaks.append(_both(case, first, second))
    case.add_if("leakage", leaks, "The same picture in training and test.")
    case.add_if("duplicate image", twice)
    masks = {}
    for look in case.of(masks=True):
        if look.mask_hash:
            masks.setdefault(look.mask_hash, []).append(look)
    case.add_if("duplicate mask", [
        f"{case.name(first.pair.mask)} = {case.name(second.pair.mask)}"
        for copies in masks.values() for first, second in _couples(copies)
        if first.picture_hash != second.picture_hash
    ])  # fmt: skip


def _couples(copies):
    """The first of each part with every other: enough to name all."""
    return [(copies[0], other) for other in copies[1:]]


def _both(case, first, second):
    return f"{case.name(first.pair.image)} = {case.name(second.pair.image)}"


def _check_likeness(case, quiet):
    """Pictures that are nearly one, and fields that overlap."""
    looks = [
        look for look in case.of() if look.print is not None and not look.constant and id(look) not in case.swapped
    ]
    found = {}
    for first, second in likeness.near_duplicates(looks):
        found[frozenset((id(first), id(second)))] = (first, second, "near duplicate")
    for first, second in likeness.overlaps(looks, quiet):
        found.setdefault(frozenset((id(first), id(second))), (first, second, "overlapping fields"))
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


# ------------------------------------------------------------------------------------------------------ for people


def _summary(case, coding):
    """Lines that say what a training would use."""
    lines = []
    for part, title in ((TRAIN, "training"), (TEST, "test")):
        looks = case.of(part)
        if looks:
            span = Survey([look.size for look in looks], any(look.colour for look in looks), {}).span()
            masks = sum(look.pair.mask is not None for look in looks)
            meaning = f"; {coding.explanation}" if coding and part == TRAIN else ""
            meaning = f"; {case.conventions[part]}{meaning}" if part in case.conventions else meaning
            lines.append(f"{title}: {len(looks)} images, {masks} with masks, {span}{meaning}")
        elif part == TEST:
            lines.append(f"test: no images in {case.data_dir / TEST / 'Images'}")
    return lines


def write_sheet(diagnosis, path, most=48):
    """Draw the most suspicious pairs, then others, with their masks outlined: a PNG to look at.

    Returns the number of pairs drawn; nothing is written where there is none.
    """
    from report import contact_sheet

    rank, kinds = {}, {}
    for number, finding in enumerate(diagnosis.findings):
        for name in (part for files in finding.files for part in files.split(" = ")):
            rank.setdefault(name, number)
            kinds.setdefault(name, []).append(finding.kind)

    def names(look):
        files = [look.pair.image] + ([look.pair.mask] if look.pair.mask else [])
        return [path.relative_to(diagnosis.data_dir).as_posix() for path in files]

    def suspicion(look):
        found = min((rank.get(name, len(rank) + 1) for name in names(look)), default=0)
        return found, np.inf if look.contrast is None else abs(look.contrast)

    tiles = []
    for look in sorted(diagnosis.looks, key=suspicion)[:most]:
        tiles.append(
            {
                "name": look.pair.image.name + (" (test)" if look.part == TEST else ""),
                "faults": list(dict.fromkeys(kind for name in names(look) for kind in kinds.get(name, []))),
                **_pictures(look, diagnosis.coding),
            }
        )
    if tiles:
        contact_sheet(tiles, path)
    return len(tiles)


def _pictures(look, coding):
    try:
        image = images.read(look.pair.image)
        mask = None
        if look.pair.mask and not look.mask_is_picture:
            stored = read_mask_of(look.pair, image.shape[:2])
            mask = coding.decode(stored) if coding else (stored > 0).astype(np.uint8)
        return {"image": image, "mask": mask}
    except InputError:
        return {"image": image if "image" in locals() else None, "mask": None}
