"""Which pairs belong to one slide, patient or field, and so must stay together; the split by them."""

import csv
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np

from pairing.tile_names import slide_of, slides_by_grid
from reading.files import InputError, some
from reading.intensity import Spread

TILE_FOLDERS = ("Train data", "Test data")
FIELD_TABLE = "fields.csv"  # in a data folder that `prepare` made: which group each picture is of
TILE_TABLE = "tiles.csv"  # the same, where an earlier version cut tiles


def groups_of(stems):
    """What each of the tiles of one folder was cut from: a list of names, one a stem; of any other picture its own.

    `slide3_field2` → `slide3`, `EDF000_tile_03_04` → `EDF000`, `S1 [x=0,y=256,w=256,h=256]` → `S1`, and where the
    others of the folder say the same (`tile_names.slides_by_grid`) `S1_1024_512` → `S1`; `cell_017` → `cell_017`.
    """
    named = {stem: slide_of(stem) for stem in stems}
    by_grid = slides_by_grid([stem for stem, slide in named.items() if slide == stem])
    return [by_grid.get(stem, named[stem]) for stem in stems]


def grouped_by(pairs, by):
    """The same pairs with groups (slide, patient, field) from a name pattern or a table.

    Parameters
    ----------
    pairs : list of `Pair`.
    by : a regular expression, found anywhere in the stem: its first bracketed part (the whole match without brackets)
        is the group; or the path of a .csv file with the columns file (image name, with or without suffix) and group.

    Returns a list of `Pair`. Raises `InputError` for a pattern or a table that does not give every image its group.
    """
    if str(by).lower().endswith(".csv"):
        groups = _groups_in(read_table(Path(by)), Path(by))
        keys = [[name for name in (_normal(pair.image.name), _normal(pair.stem)) if name in groups] for pair in pairs]
        found = [groups[names[0]] if names else None for names in keys]
        remedy = f"expected a row for each image in {by}. Add the rows."
    else:
        try:
            pattern = re.compile(by)
        except re.error as error:
            raise InputError(
                f"--group-by {by!r}: not a regular expression ({error}); expected a pattern such as '^(slide\\d+)' or "
                "a .csv file. Mend it."
            ) from error
        matches = [pattern.search(_normal(pair.stem)) for pair in pairs]
        found = [(match.group(1) if pattern.groups else match.group()) if match else None for match in matches]
        remedy = f"expected a name in which {by!r} is found. Change the pattern, or use a .csv file."
    without = [pair.image.name for pair, group in zip(pairs, found, strict=True) if not group]
    if without:
        raise InputError(f"--group-by: no group for {some(without)}; {remedy}")
    return [replace(pair, group=group) for pair, group in zip(pairs, found, strict=True)]


def with_tile_table(pairs, data_dir):
    """The same pairs, with the group and intensity range that `data_dir`/fields.csv has, where `prepare` wrote one.

    Raises `InputError` for a table without the columns file and group, or with others than numbers for low, high
    and least.
    """
    groups, ranges = {}, {}
    for path in _tables_of(data_dir):
        rows = read_table(path)
        groups, ranges = groups | _groups_in(rows, path), ranges | _ranges_in(rows, path)
    names = [_normal(pair.image.name) for pair in pairs]
    return [
        replace(pair, group=groups.get(name) or pair.group, intensity_range=ranges.get(name))
        for pair, name in zip(pairs, names, strict=True)
    ]


def tile_ranges(data_dir):
    """From the name of a tile in `data_dir`/fields.csv to its `Pair.intensity_range`; empty without such a table."""
    ranges = {}
    for path in _tables_of(data_dir):
        ranges |= _ranges_in(read_table(path), path)
    return ranges


def _tables_of(data_dir):
    """The tables of a data folder: of tiles that an earlier version cut, and of fields."""
    return filter(Path.is_file, (Path(data_dir) / name for name in (TILE_TABLE, FIELD_TABLE)))


def field_ranges(paths):
    """{path: `Pair.intensity_range`} of those image files that are tiles in a data folder that `prepare` cut.

    A tile is known by its place, so that it gets one mask whichever way it is asked for. Raises `InputError` as
    `tile_ranges` does.
    """
    tables, found = {}, {}
    for path in map(Path, paths):
        for place in dict.fromkeys((path.absolute(), path.resolve())):  # in a folder of links, and a link to a tile
            folders = [folder.name for folder in place.parents[:2]]
            if len(folders) == 2 and folders[0] == "Images" and folders[1] in TILE_FOLDERS:
                data_dir = place.parents[2]
                if data_dir not in tables:
                    tables[data_dir] = tile_ranges(data_dir)
                known = tables[data_dir].get(_normal(place.name))
                if known:
                    found[path] = known
    return found


def _ranges_in(rows, path):
    ranges = {}
    for row in rows:
        if row.get("low"):
            try:
                given = (row["low"], row["high"], row.get("least") or "0")  # tables of earlier versions have no floor
                spread = Spread(*(tuple(map(float, values.split())) for values in given))
            except (AttributeError, KeyError, ValueError) as error:
                raise InputError(
                    f"{path}: low and high of {row['file']} are {row['low']!r} and {row.get('high')!r}, least "
                    f"{row.get('least')!r}; expected numbers. Delete the table and run prepare again."
                ) from error
            ranges[row["file"]] = ranges[_normal(row["file"])] = spread
    return ranges


def _groups_in(rows, path):
    groups = {}
    for row in rows:
        name, group = _normal((row["file"] or "").strip()), (row["group"] or "").strip()
        if groups.setdefault(name, group) != group:
            raise InputError(f"{path}: {name} is in groups {groups[name]} and {group}; expected one. Mend the table.")
    return groups


def read_table(path):
    """The rows of a CSV table with the columns file and group: a list of dictionaries. Raises `InputError` without."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table with the columns file and group. Check --group-by.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; expected a CSV table. Save it as CSV UTF-8.") from error
    header = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=header.count))  # spreadsheets write all three
    if not {"file", "group"} <= set(rows.fieldnames or ()):
        raise InputError(f"{path}: columns {header.strip()!r}; expected file and group. Rename the columns.")
    return list(rows)


def _normal(name):
    return unicodedata.normalize("NFC", name)


def split_by_group(pairs, share=0.2, seed=0):
    """Split pairs into (training, validation), whole groups at a time, so that no slide or field is in both.

    The number of groups is rounded down, since where there are few of them each counts more in training; but one is
    held out where there are two or more. With a single group, or a share of 0, validation is empty. The same seed gives
    the same split whatever the order of `pairs`.
    """
    groups = sorted({pair.group for pair in pairs})
    if len(groups) < 2 or share == 0:
        return list(pairs), []
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(groups))
    held_out = {groups[i] for i in order[: max(1, int(share * len(groups)))]}
    return [p for p in pairs if p.group not in held_out], [p for p in pairs if p.group in held_out]
