"""Data folders that earlier versions prepared: tiles of all fields, with tiles.csv and tiles.json beside them.

Their masks hold 255 for what was foreground, or the ids of several classes. They are trained on, predicted and scored
as they are; `prepare` takes them over: the split stays, whole fields take the place of the tiles.
"""

import json
from pathlib import Path

from pairing.groups import TILE_TABLE, read_table
from reading.files import InputError, typed

TILE_OPTIONS = "tiles.json"
KEPT_IN = "Earlier tiles"  # where `prepare` moves them to


def classes(data_dir):
    """The --classes that the tiles were cut with; None where there are none."""
    told = _told(data_dir)
    return None if told is None else told[0]


def stack(data_dir):
    """How the stacks that tiles were cut from became one picture, as `stacks.HOW`; None where there were none."""
    cut = _read(data_dir)
    return cut and cut.get("stack")


def as_told(data_dir, classes=None, foreground=None):
    """`told.as_told` of such a folder, and of one that nobody prepared."""
    told, lines = _told(data_dir), []
    if told is None:
        return classes or 1, foreground, lines
    number, used, meaning = told
    if number > 1:
        if foreground is not None and classes in (None, 1):
            return 1, foreground, lines
        if classes not in (None, number):
            raise InputError(
                f"--classes {classes} received, but by {Path(data_dir) / TILE_OPTIONS} the masks were prepared with "
                f"--classes {number}; expected the same. Leave the option out, or name with --foreground those of the "
                f"values 1 to {number - 1} that are to be found as one class."
            )
        return number, foreground, [] if classes else [f"--classes {number}, as `prepare` was told"]
    if foreground is None and classes in (None, 1):
        return 1, None, lines
    if classes not in (None, 1) or _in_order(foreground) != used:
        given = f"--foreground {','.join(map(str, foreground))}" if foreground else f"--classes {classes}"
        raise InputError(
            f"{given} received, but by {Path(data_dir) / TILE_OPTIONS} the tiles were cut for one class ({meaning}); "
            "expected the same. Leave the option out, or take whole fields in place of the tiles: python main.py "
            f"prepare --data {typed(data_dir)}"
        )
    listed = ",".join(map(str, foreground))
    return 1, None, [f"--foreground {listed}: `prepare` has applied it; in the tiles foreground is 255"]


def split_of(data_dir):
    """The split of such a folder: from the name of each field in `Raw data` to (group, part); {} where there is none.

    Raises `InputError` for a damaged table.
    """
    data_dir = Path(data_dir)
    path = data_dir / TILE_TABLE
    if not path.is_file():
        return {}
    try:
        return {row["image"]: (row["group"], row["part"]) for row in read_table(path)}
    except (KeyError, InputError) as error:
        raise _damaged(path, data_dir) from error


def records(data_dir):
    """The names of the two files in which an earlier version kept what it cut; [] where they are not its own."""
    data_dir = Path(data_dir)
    try:
        ours = split_of(data_dir)
    except InputError:
        ours = False
    return [name for name in (TILE_TABLE, TILE_OPTIONS) if (data_dir / name).is_file()] if ours else []


def left_out(data_dir):
    """The fields of which no tile was kept; they are fields to train on."""
    cut = _read(data_dir) or {}
    return set(cut.get("left_out", ()))


def options(data_dir):
    """What of the options of the cutting holds for whole fields too, as `told.read_noted` has it; None without."""
    cut = _read(data_dir)
    kept = ("classes", "foreground", "stack", "test_share", "seed")
    return cut and {name: cut[name] for name in kept if name in cut}


def tiles(data_dir):
    """The files of all tiles that tiles.csv lists and that are there: paths below the data folder."""
    data_dir = Path(data_dir)
    path, found = data_dir / TILE_TABLE, []
    for row in read_table(path) if path.is_file() else ():
        part = f"{row['part'].capitalize()} data"
        names = Path(part, "Images", row["file"]), Path(part, "Masks", f"{Path(row['file']).stem}.png")
        found += [name for name in names if (data_dir / name).is_file()]
    return found


def _read(data_dir):
    path = Path(data_dir) / TILE_OPTIONS
    if not path.is_file():
        return None
    try:
        cut = json.loads(path.read_text(encoding="utf-8"))
        int(cut["classes"]), cut["foreground"] and _in_order(cut["foreground"]), cut["meaning"]
        return cut
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, data_dir) from error


def _told(data_dir):
    """(classes, foreground in an order of its own or None, meaning in words); None where nothing was cut."""
    cut = _read(data_dir)
    return cut and (int(cut["classes"]), cut["foreground"] and _in_order(cut["foreground"]), cut["meaning"])


def _in_order(foreground):
    """What --foreground names, numbers and texts, in an order of its own, so that two of them can be compared."""
    return sorted(str(value).casefold() for value in foreground or ())


def _damaged(path, data_dir):
    return InputError(
        f"{path}: damaged; expected what `prepare` writes there. Delete it and run: python main.py prepare "
        f"--data {typed(data_dir)} with the options of before."
    )
