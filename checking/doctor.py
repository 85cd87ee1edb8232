"""The data doctor: everything in a data folder that would spoil a training, worst first, before any training.

One pass reads each file once and keeps its `pair_facts.PairFacts`: sizes, grey values, what each mask value covers, a
small print of the picture and its landmarks. The checks work on these facts alone and give `findings.Finding`s; nothing
stops at the first fault.
"""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from checking import copies, image_checks, mask_checks, sizes
from checking.contact_sheet import write_contact_sheet
from checking.findings import FEW, KINDS, ORDER, SEVERITIES, Finding, in_parts
from checking.pair_facts import PairFacts, files_of, gather_facts
from pairing import pairs as pairing
from pairing.annotations import file_of
from pairing.file_cache import FileCache
from pairing.groups import groups_of, with_tile_table
from pairing.pairs import TEST, TRAIN, Pair
from pairing.survey import FolderRead, Survey
from reading.files import InputError, counted, holds_files, some, typed
from reading.machine import cores


@dataclass
class Diagnosis:
    """Findings, worst first, and what they rest on.

    training : `survey.FolderRead` of `Train data` for `train.train`, which need not read it all again; None where not
        all of it can be read.
    contents : `file_cache.FileCache` of all files, for whoever shows them.
    """

    data_dir: Path
    findings: list
    all_facts: list
    summary: list
    coding: object = None
    training: FolderRead | None = None
    contents: FileCache | None = None

    def refuse(self):
        """Raise `InputError`, one line, where a finding is fatal."""
        fatal = [finding for finding in self.findings if finding.severity == "fatal"]
        if fatal:
            worst = fatal[0]
            more = (
                "" if len(fatal) == 1 else f" ({counted(len(fatal) - 1, 'more kind')} of fault: python main.py check)"
            )
            named = f"{some(worst.files)}: " if worst.files else ""
            raise InputError(f"{self.data_dir}: {worst.kind}: {named}{worst.text} {worst.remedy}{more}")


def examine(data_dir, classes=1, foreground=None, ignore=None, thorough=True, quiet=False):
    """Read every image and mask of `Train data` and `Test data` once and find what would spoil a training.

    Parameters
    ----------
    data_dir : path of the data folder.
    classes, foreground : what the mask values mean, as in `survey.Survey.coding`.
    ignore : mask values of pixels that are to be ignored, as in `survey.survey`.
    thorough : bool; False leaves out near duplicates and overlaps, the search for which takes longest, and the sizes of
        objects.
    quiet : bool, no progress bar.

    Returns a `Diagnosis`. Raises nothing for what is wrong with the data: that is what the findings say.
    """
    data_dir = Path(data_dir)
    case = _Case(data_dir, ignore)
    for part in (TRAIN, TEST):
        case.gather(part)
    shrink = copies.working_scale(case.all_facts) if thorough else None
    contents = FileCache(hashing=not thorough)  # a training, which follows, notes the hashes
    with ThreadPoolExecutor(min(8, cores())) as pool:
        done = pool.map(lambda facts: gather_facts(facts, shrink, contents, ignore), case.all_facts)
        for _ in tqdm(
            done, total=len(case.all_facts), desc="read", unit="image", leave=False, disable=quiet or None, delay=1
        ):  # fmt: skip
            pass
    _check_reading(case)
    coding = mask_checks.check_values(case, classes, foreground)
    mask_checks.check_masks(case, coding)
    image_checks.check_exposure(case)
    image_checks.check_groups(case)
    image_checks.check_exact_copies(case)
    if thorough:
        image_checks.check_likeness(case, quiet)
        sizes.check_sizes(case, coding, contents, quiet)
    image_checks.check_edges(case)
    image_checks.check_copied_masks(case)
    mask_checks.check_fit(case)
    case.add_if("two channels", [facts.pair.image for facts in case.of() if facts.two_channels])
    if case.all_facts and len([facts for facts in case.all_facts if facts.part == TRAIN]) < FEW:
        case.add("few images", [])
    findings = sorted(case.findings, key=lambda f: (SEVERITIES.index(f.severity), ORDER.index(f.kind)))
    training = _training(case, contents)
    return Diagnosis(data_dir, findings, case.all_facts, _summary(case, coding), coding, training, contents)


def check_folder(data_dir, classes=1, foreground=None, ignore=None):
    """`examine` thoroughly, say what was found, and draw `check.png`; arguments as there.

    Returns the `Diagnosis`. Raises `InputError` where a finding is fatal.
    """
    data_dir, started = Path(data_dir), time.time()
    diagnosis = examine(data_dir, classes, foreground, ignore)
    print(*diagnosis.summary, sep="\n")
    for finding in diagnosis.findings:
        print(f"\n{finding}")
    counts = [f"{sum(f.severity == name for f in diagnosis.findings)} {name}" for name in SEVERITIES]
    images_read = f"{len(diagnosis.all_facts)} image{'s' * (len(diagnosis.all_facts) != 1)}"
    print(f"\n{', '.join(counts)}; {images_read} in {time.time() - started:.1f} s")
    path = data_dir / "check.png"
    try:
        if drawn := write_contact_sheet(diagnosis, path):
            print(f"look at {drawn} of the images with their masks outlined: {path}")
    except OSError as error:  # a folder that only its owner may write to
        print(f"no contact sheet: {error}")
    if fatal := sum(finding.severity == "fatal" for finding in diagnosis.findings):
        them = "it" if fatal == 1 else "them"
        raise InputError(
            f"{counted(fatal, 'kind')} of fault above would spoil a training; expected none. Mend {them} and run check "
            "again."
        )
    return diagnosis


def refuse_unfit(data_dir, classes=1, foreground=None, ignore=None):
    """The `survey.FolderRead` of `Train data`, read once; says where test or validation images are trained on.

    Raises `InputError`, one line, where a training on the folder would be spoilt.
    """
    diagnosis = examine(data_dir, classes, foreground, ignore, thorough=False)
    for finding in diagnosis.findings:
        if finding.kind == "file not read":  # which may be what a fault comes from
            print(f"not read: {finding.text}{'' if finding.severity == 'note' else f' {finding.remedy}'}")
    diagnosis.refuse()
    for finding in diagnosis.findings:
        if finding.kind in ("leakage", "continuing fields"):
            print(finding)
    for facts in diagnosis.all_facts:
        if facts.part == TEST:  # training has no use for their pixels
            diagnosis.contents.forget(facts.pair)
    return diagnosis.training


def refuse_absent(found, given):
    """Raise `InputError` where no mask of a `survey.FolderRead` has a value that the user gave to be ignored."""
    if found:
        found.survey.refuse_absent(given)


class _Case:
    """The facts of all pairs and the findings so far."""

    def __init__(self, data_dir, ignore=None):
        self.data_dir, self.all_facts, self.findings, self.ignore = data_dir, [], [], ignore
        self.pairings = {}  # by part, where training would pair it so
        # By id of a pair's facts, or by two of them, so that one fault is told once.
        self.copies, self.near, self.swapped, self.mixed, self.told = set(), set(), set(), set(), set()

    def name(self, path):
        return path.relative_to(self.data_dir).as_posix()

    def add(self, kind, files, detail="", severity=None, remedy=""):
        """files: paths, or texts such as `a = b`; detail: what was seen, before the general reason."""
        usual, why, general = KINDS[kind]
        files = tuple(dict.fromkeys(f if isinstance(f, str) else self.name(f) for f in files))
        finding = Finding(severity or usual, kind, files, f"{detail} {why}".strip(), remedy or general)
        if finding not in self.findings:  # such as a damaged tiles.csv, met with in both parts
            self.findings.append(finding)

    def of(self, part=None, masks=False):
        """The facts of pairs whose image could be read, and if `masks` a mask of which something is known."""
        return [
            facts for facts in self.all_facts
            if facts.size and (part is None or facts.part == part) and (not masks or facts.values)
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
            self.pairings[part] = pairing.find_pairing(folder, "required" if training else "optional")
            made = self.pairings[part].pairs
        except InputError as error:
            refused = error
            try:
                made = pairing.find_pairs(folder, "optional")
            except InputError:
                masks = {path.stem: path for path in reversed(found["Masks"])}
                by_stem = {path.stem: path for path in reversed(found["Images"])}
                groups = groups_of(by_stem)
                made = [
                    Pair(stem, path, masks.get(stem), group)
                    for (stem, path), group in sorted(zip(by_stem.items(), groups, strict=True))
                ]
        try:
            made = with_tile_table(made, self.data_dir)
        except InputError as error:
            refused = refused or error
            self.pairings.pop(part, None)
        without = [pair.image for pair in made if pair.mask is None]
        used = {path for pair in made if pair.mask for path in (pair.mask, file_of(pair.mask))}
        stems = {path.stem for path in used}
        orphans = [path for path in found["Masks"] if path not in used and path.stem not in stems]
        # Files that are there, in a folder an image or images and masks together, and cannot be paired.
        elsewhere = not made and not any((folder / kind).is_dir() for kind in found) and holds_files(folder)
        if training:
            if not made and not elsewhere:
                self._say_what_raw_holds()
            files = sorted({file_of(pair.mask).name for pair in made if pair.mask and file_of(pair.mask) != pair.mask})
            self.add_if("missing mask", without, f"Not listed in the COCO file {some(files)}." if files else "")
            self.add_if("orphan mask", orphans)
        elif made:
            self.add_if("orphan mask", orphans, severity="warning")
            if used:
                self.add_if("missing test mask", without)
        if refused and (made or elsewhere) and len(self.findings) == before:
            seen, remedy = in_parts(refused)
            self.add("pairing", [], seen, remedy=remedy)
        try:
            not_read = pairing.not_read(folder, made)
        except InputError:  # a link to nothing, which is told above
            not_read = []
        for unread in not_read:
            severity, remedy = ("note", "") if unread.aside else (None, f"{unread.remedy}.")
            self.add("file not read", unread.files, f"{unread.what}.", severity, remedy)
        self.all_facts += [PairFacts(pair, part) for pair in made]

    def _say_what_raw_holds(self):
        """There is nothing to train on, which is no mistake where `Raw data` waits for `prepare`."""
        seen, raw_dir, remedy = f"{self.data_dir / TRAIN / 'Images'} holds none.", self.data_dir / "Raw data", ""
        if holds_files(raw_dir):
            try:
                count = counted(len(pairing.find_pairs(raw_dir, "optional")), "image")
            except InputError:  # `prepare` says what is wrong with them
                count = "files"
            seen = f"{seen} {raw_dir} holds {count} that are not prepared yet."
            remedy = f"Prepare them with: python main.py prepare --data {typed(self.data_dir)}"
        elif own := pairing.own_pictures(self.data_dir):
            seen = f"{seen} Images found in {own}."
            remedy = f"Run: python main.py prepare --source {typed(self.data_dir)} --data my_folder"
        self.add("no images", [], seen, remedy=remedy)

    def add_if(self, kind, files, detail="", severity=None):
        if files:
            self.add(kind, files, detail, severity)


# ------------------------------------------------------------------------------------------------------ the checks


def _check_reading(case):
    """Files that cannot be read, masks that do not fit, folders that are swapped."""
    swapped = {id(facts) for facts in case.of() if facts.exchanged}
    case.add_if("swapped Images and Masks", [
        path for facts in case.all_facts if id(facts) in swapped for path in (facts.pair.image, facts.pair.mask)
    ])  # fmt: skip
    case.swapped = swapped
    faults = {}
    for facts in case.all_facts:
        for kind, path, error in facts.faults:
            if id(facts) not in swapped:
                seen, remedy = in_parts(error)
                faults.setdefault((kind, remedy), []).append((path, seen.replace(f"{path.parent}{os.sep}", "", 1)))
    for (kind, remedy), files in faults.items():  # what helps depends on what the reader of the file saw
        other = OTHERWISE.get(kind) if remedy else ""
        seen = files[0][1]
        if len(files) == 1:  # the name is said before
            seen = seen.removeprefix(f"{files[0][0].name}: ")
            seen = seen[:1].upper() + seen[1:]
        case.add(kind, [path for path, _ in files], seen, remedy=f"{remedy} {other}" if other else remedy)
    named = {path for files in faults.values() for path, _ in files}
    case.add_if("mask is a picture", [
        facts.pair.mask for facts in case.all_facts
        if facts.mask_is_picture and id(facts) not in swapped and facts.pair.mask not in named
    ])  # fmt: skip
    usual = np.median([facts.distinct for facts in case.of()] or [0])
    if usual > 16:
        masks = [
            facts for facts in case.of() if facts.distinct <= 3 and not facts.constant and id(facts) not in swapped
        ]
        case.add_if("picture is a mask", [facts.pair.image for facts in masks])
        case.swapped = swapped | set(map(id, masks))
        case.told |= case.swapped


OTHERWISE = {
    "unreadable image": "Or take it out with its mask.",
    "unreadable mask": "Or take it out with its image.",
}


def _training(case, contents):
    """`Diagnosis.training`."""
    all_facts = [facts for facts in case.all_facts if facts.part == TRAIN]
    if TRAIN not in case.pairings or not all(facts.size and facts.mask for facts in all_facts):
        return None
    pairing = replace(case.pairings[TRAIN], pairs=[facts.pair for facts in all_facts if facts.values])
    return FolderRead(pairing, mask_checks.survey_of(all_facts, case.ignore), contents)


def _summary(case, coding):
    """Lines that say what a training would use."""
    lines = []
    for part, title in ((TRAIN, "training"), (TEST, "test")):
        all_facts = case.of(part)
        if all_facts:
            span = Survey([facts.size for facts in all_facts], any(facts.colour for facts in all_facts), {}).span()
            masks = sum(facts.pair.mask is not None for facts in all_facts)
            meaning = f"; {coding.explanation}" if coding and part == TRAIN else ""
            paired = case.pairings.get(part)
            meaning = f"; {paired.explanation}{meaning}" if paired and not paired.plain else meaning
            meaning += "".join(f"; {line}" for line in mask_checks.survey_of(all_facts, case.ignore).ignored())
            lines.append(
                f"{title}: {len(all_facts)} image{'s' * (len(all_facts) > 1)}, {masks} with masks, {span}{meaning}"
            )
        elif part == TEST:
            lines.append(f"test: no images in {case.data_dir / TEST / 'Images'}")
    return lines
