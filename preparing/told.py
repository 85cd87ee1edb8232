"""What `prepare` is told, what prepared.json keeps of it, and what the masks of a data folder mean by it later."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from preparing import earlier
from reading import stacks
from reading.files import NOT_KNOWN, InputError, typed

PREPARED = "prepared.json"
UNFINISHED = ".prepare-unfinished"  # where `prepare` writes everything before it is moved, when it is whole
OPTIONS = {
    "classes": "--classes", "foreground": "--foreground", "ignore": "--ignore", "stack": "--stack",
    "test_share": "--test-share", "seed": "--seed", "group_by": "--group-by", "tile_px": "--tile-size",
    "overlap_px": "--overlap", "keep_empty": "--keep-empty",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What becomes of fields, and what their masks mean. Raises `InputError` for a value out of range.

    classes, foreground : as in `survey.Survey.coding`.
    ignore : mask values of which nothing is known, a tuple; None: none.
    stack : how stacks of planes are read as one picture, `stacks.HOW`.
    test_share : share of the groups that is kept for testing, 0 up to but not including 1.
    seed : decides which groups are tested and which empty tiles are kept.
    group_by : regular expression or CSV file for `groups.grouped_by`; None: groups by file name (`groups.groups_of`).
    tile_px : side of the tiles that training fields are cut into; None: fields stay whole. Test fields always do.
    overlap_px : pixels that neighbouring tiles share at least, three quarters of tile_px at most.
    keep_empty : share, 0…1, of the tiles without foreground that is kept.
    """

    classes: int = 1
    foreground: tuple | None = None
    ignore: tuple | None = None
    stack: str | int | None = field(default_factory=lambda: stacks.HOW)
    test_share: float = 0.2
    seed: int = 0
    group_by: str | Path | None = None
    tile_px: int | None = None
    overlap_px: int = 0
    keep_empty: float = 1.0

    def __post_init__(self):
        if self.tile_px is None and (self.overlap_px or self.keep_empty != 1):
            option = "--overlap" if self.overlap_px else "--keep-empty"
            raise InputError(
                f"{option} received without --tile-size, but fields stay whole; expected it for tiles alone. Give "
                "--tile-size N to have the training fields cut into tiles, or leave it out."
            )
        if self.tile_px is not None and self.tile_px < 1:
            raise InputError(f"tile size {self.tile_px}; expected at least 1 pixel. Leave it out for whole fields.")
        most = (self.tile_px or 0) * 3 // 4
        if not 0 <= self.overlap_px <= most:  # each pixel is then in up to 16 tiles; beyond, in thousands
            raise InputError(
                f"overlap {self.overlap_px}; expected 0 to {most}, three quarters of the tile size of {self.tile_px}. "
                "Choose a smaller one."
            )
        if not 0 <= self.keep_empty <= 1:
            raise InputError(
                f"share of empty tiles {self.keep_empty}; expected 0 (none kept) to 1 (all). Choose one of these."
            )
        if not 0 <= self.test_share < 1:
            raise InputError(
                f"share for testing {self.test_share}; expected 0 up to, not including, 1. Leave it out for 0.2."
            )

    def recorded(self):
        """What `prepared.json` keeps of it: a dictionary of what JSON knows."""
        listed = {name: value and sorted(value, key=str) for name, value in self._values().items()}
        kept = {name: getattr(self, name) for name in OPTIONS} | listed
        return kept | {"group_by": None if self.group_by is None else str(self.group_by)}

    def _values(self):
        return {"foreground": self.foreground, "ignore": self.ignore}


def told_again(noted, given):
    """The `Told` of a later `prepare`: what is given now, and of all else what was told before.

    noted : `read_noted` of the folder. given : dictionary of fields of `Told`, those that were given.
    Returns it with lines for people, on what is another meaning of the masks, or another split, than before.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if stacks.HOW:
        given["stack"] = stacks.HOW
    before = {name: noted[name] for name in OPTIONS if noted and noted.get(name) is not None}
    before |= {name: tuple(before[name]) for name in ("foreground", "ignore") if name in before}
    if "ignore" in given and NOT_KNOWN in before.get("ignore", ()):  # of corrected masks, which stay so
        given["ignore"] = tuple(dict.fromkeys((*given["ignore"], NOT_KNOWN)))
    if str(given.get("group_by")).lower().endswith(".csv"):
        given["group_by"] = os.path.abspath(given["group_by"])  # to be found from any folder later
    if given.get("classes", 1) > 1:  # the two say the same thing in different ways
        before.pop("foreground", None)
    elif "foreground" in given:
        before.pop("classes", None)
    if "tile_px" in given:
        before.pop("overlap_px", None)
    told, lines = Told(**(before | given)), []
    if noted:
        now = told.recorded()
        lines = [
            f"{OPTIONS[name]} {_shown(noted.get(name))} before, {_shown(now[name])} now"
            for name in ("classes", "foreground", "ignore", "stack")
            if name in noted and _in_order(noted[name]) != _in_order(now[name])
        ]
        lines += [
            f"{OPTIONS[name]} {_shown(now[name])} now, {noted[name]} before: the pictures that are here keep their "
            "part, it holds for new ones alone. For a new split, name an empty folder with --data"
            for name in ("test_share", "seed")
            if name in noted and noted[name] != now[name]
        ]
    return told, lines


def read_noted(data_dir):
    """What `prepared.json` of a data folder holds, a dictionary; None without one.

    Raises `InputError` for a damaged one. Keys are those of `OPTIONS` (of the sample fewer), `meaning`, in words,
    `left_out`, the fields of which no tile was kept, and `copied`: of each picture in `Raw data` that was copied, from
    where, and the SHA-256 of the image and the mask as they were then.
    """
    path = Path(data_dir) / PREPARED
    if not path.is_file():
        return None
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        int(noted["classes"])
        for name in ("foreground", "ignore"):
            if not isinstance(noted.setdefault(name, None), list | None):
                raise TypeError(name)
        noted["meaning"], dict(noted.setdefault("copied", {})), list(noted.setdefault("left_out", []))
        return noted
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged; expected what `prepare` writes there. Delete it and run: python main.py prepare "
            f"--data {typed(data_dir)} with the options of before."
        ) from error


def _shown(value):
    return "not given" if value is None else ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _in_order(value):
    return sorted(str(one).casefold() for one in value) if isinstance(value, list | tuple) else value


# ------------------------------------------------------------------------------------------------------ for who reads


def refuse_unfinished(data_dir):
    """Raise `InputError` where a `prepare` that was killed has left a data folder half done."""
    if (Path(data_dir) / UNFINISHED).exists():
        raise InputError(
            f"{Path(data_dir) / UNFINISHED}: left by a prepare that was cut short, so not all pictures may be there; "
            f"expected it to be run again. Do that (python main.py prepare --data {typed(data_dir)}, with the --source "
            "of before), or delete this folder."
        )


def prepared_classes(data_dir):
    """The --classes that `prepare` was told for a data folder; None where it was not asked."""
    noted = read_noted(data_dir)
    return earlier.classes(data_dir) if noted is None else noted["classes"]


def as_told(data_dir, classes=None, foreground=None):
    """(classes, foreground) of the masks in a data folder, and lines for people.

    What is not given is as `prepare` was told. The masks are as they came, so what is given otherwise holds; but in
    tiles of earlier versions foreground is 255, and another meaning than that of before is refused with `InputError`.
    """
    noted = read_noted(data_dir)
    if noted is None:
        return earlier.as_told(data_dir, classes, foreground)
    before = noted["classes"], noted["foreground"] and tuple(noted["foreground"])
    if foreground is not None:
        now = classes or 1, foreground
    elif classes in (None, before[0]):
        now = before
    else:
        now = classes, None
    lines = []
    for option, one, told, used in zip(("--classes", "--foreground"), (classes, foreground), before, now, strict=True):
        if told in (1, None):
            continue
        if _in_order(used) != _in_order(told):
            lines.append(f"{option} {_shown(used)} now, {_shown(told)} as `prepare` was told")
        elif one is None:
            lines.append(f"{option} {_shown(told)}, as `prepare` was told")
    return *now, lines


def say_as_told(data_dir, classes=None, foreground=None, ignore=None):
    """`as_told` and `ignored` in one: (classes, foreground, ignore). Says what is taken that was not given.

    Raises `InputError` where a `prepare` was cut short, too.
    """
    refuse_unfinished(data_dir)
    classes, foreground, lines = as_told(data_dir, classes, foreground)
    before, now = ignored(data_dir), ignored(data_dir, ignore)
    if before and _in_order(now) != _in_order(before):
        lines.append(f"--ignore {_shown(now)} now, {_shown(before)} as `prepare` was told")
    if lines:
        print(*lines, sep="\n")
    return classes, foreground, now


def ignored(data_dir, given=None):
    """What is to be ignored in the masks of a data folder, a tuple; None: nothing.

    As given, else as `prepare` was told. Where corrected masks hold `NOT_KNOWN`, that stays so. In tiles of earlier
    versions there is nothing.
    """
    before = (read_noted(data_dir) or {}).get("ignore") or ()
    return tuple(dict.fromkeys([*given, *(one for one in before if one == NOT_KNOWN)] if given else before)) or None


def stack_of(data_dir, given=None):
    """How stacks of planes in a data folder become one picture: as `given`, else as `prepare` was told; None: as ever.

    Of tiles of earlier versions, how it did before they were cut.
    """
    noted = read_noted(data_dir)
    return (earlier.stack(data_dir) or given) if noted is None else given or noted.get("stack")
