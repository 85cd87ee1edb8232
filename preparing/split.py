"""Which fields are learnt from and which are tested: the split of before, and the part of what is new."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from pairing.groups import TILE_TABLE, grouped_by, groups_of, split_by_group
from preparing import earlier
from preparing.field_table import name_of, of_same_content, read_fields, standing_fields
from preparing.recognised import Recognised, recognise
from preparing.standing import KEPT_IN
from preparing.told import read_noted
from reading.files import InputError, as_one_name, counted, some, stem_of


@dataclass(frozen=True)
class Before:
    """What an earlier `prepare` made of a data folder.

    rows : list of `field_table.Field`. noted : `told.read_noted`. parts : {`name_of` a field: "train" or "test"}.
    tiles : of a folder that an earlier version prepared, the paths below it of its tiles, which will leave.
    """

    rows: list
    noted: dict | None
    parts: dict
    tiles: list = field(default_factory=list)

    def apart(self, names, copied_from):
        """The rows of fields that are not among `names`, those found: (others, gone), two lists.

        Others are those that this source does not speak of: of another source, or put there by another command.
        """
        others, gone, copied = [], [], (self.noted or {}).get("copied", {})
        sources = {as_one_name(stem): noted["from"] for stem, noted in copied.items()}
        for row in self.rows:
            if row.field in names:
                continue
            elsewhere = copied_from is not None and sources.get(row.field) != str(copied_from)
            (others if elsewhere or not row.image_sha256 else gone).append(row)
        return others, gone


def before(data_dir):
    """The `Before` of a data folder. Raises `InputError` for damaged tables."""
    noted = read_noted(data_dir)
    rows = read_fields(data_dir)
    if any(row.image_sha256 for row in rows) or not (data_dir / TILE_TABLE).is_file():
        parts = {name_of(image): "train" for image in (noted or {}).get("left_out", ())}
        return Before(rows, noted, parts | {row.field: row.part for row in rows})
    parts = {name_of(image): "train" for image in earlier.left_out(data_dir)}
    parts |= {name_of(image): part for image, (_, part) in earlier.split_of(data_dir).items()}
    noted = (earlier.options(data_dir) or {}) | (noted or {})
    return Before(rows, noted or None, parts | {row.field: row.part for row in rows}, earlier.tiles(data_dir))


@dataclass(frozen=True)
class Split:
    """What `parts_of` makes of the pictures found.

    found : the same pairs, with their groups. parts : {stem: "train" or "test"}. seen : `recognised.Recognised`.
    """

    found: list
    parts: dict
    seen: Recognised


def parts_of(found, known, others, told, copies):
    """The `Split` of the pictures found.

    Pictures keep their part and group, also under another name, and a copy of one is where that is. A new one goes
    where its group is; of new groups as many are tested as the share of all groups still lacks.

    Parameters: found, list of `pairs.Pair`; known, `Before`; others, of its `apart`; told, `told.Told`; copies,
    `standing.Copies`. Raises `InputError` where a group would be in both parts, and for tiles without their field.
    """
    if known.tiles:
        _refuse_without_field(found, known, others)
    seen = recognise(found, known, others, copies)
    found, linked = _with_groups(found, seen, others, told, copies)
    parts = {stem: known.parts[as_one_name(stem)] for stem in seen.own}
    parts |= {stem: row.part for stem, row in (seen.renamed | seen.copies).items()}
    of_group = {}
    for group, part in [(row.group, row.part) for row in others] + [
        (pair.group, parts[pair.stem]) for pair in found if pair.stem in parts
    ]:
        of_group.setdefault(group, set()).add(part)
    both = sorted(group for group, those in of_group.items() if len(those) > 1)
    if both:
        names = [pair.stem for pair in found if pair.group == both[0]]
        raise InputError(
            f"group {both[0]} would be both in training and in test, since {some(names)} are of it now and of other "
            "groups before; expected the groups of before. Give the same names and --group-by, or name an empty folder "
            "with --data for a new split."
        )
    of_group = linked | of_group
    back = {}
    for pair in found:
        if pair.stem in seen.back and pair.group not in of_group:
            back.setdefault(pair.group, set()).add(seen.back[pair.stem])
    of_group |= {group: {max(those, key="test".__eq__)} for group, those in back.items()}
    tested = {group for group, those in of_group.items() if those == {"test"}}
    tested |= _new_tested(found, of_group, len(tested), told)
    parts = {pair.stem: parts.get(pair.stem, "test" if pair.group in tested else "train") for pair in found}
    return Split(found, parts, seen)


def _with_groups(found, seen, others, told, copies):
    """(found with their groups, {the group by which `others` would go beside these: their parts}).

    A picture is of the group it was of, unless --group-by says another, or that was only its own name, since its slide
    could not be known then. Pictures of one content are of one group.
    """
    names = list({row.field: row for row in others}.values())
    linked, groups = {}, {pair.stem: pair.group for pair in found}
    if told.group_by is None:
        known = [(shown(row), row.group) for row in names]
        of_names, now, beside = groups_of(list(groups)), *_groups_beside(known, list(groups))
        for row, group in zip(names, now, strict=True):
            linked.setdefault(group, set()).add(row.part)
        for pair, alone, group in zip(found, of_names, beside, strict=True):
            if pair.group == alone and group != pair.stem:
                groups[pair.stem] = group
        for stem, row in (seen.own | seen.renamed).items():
            if row and (stem in seen.renamed or row.group != shown(row)):
                groups[stem] = row.group
    rows, same, of_others = seen.own | seen.renamed, {}, {row.field for row in others}
    for pair in sorted(found, key=lambda pair: not rows.get(pair.stem)):
        same.setdefault(copies.hash(pair.image), []).append(pair.stem)
    for content, stems in same.items():
        there = [row.group for row in seen.twins.get(content, ()) if row.field in of_others]
        there += [groups[stem] for stem in stems if rows.get(stem) and rows[stem].group == groups[stem]]
        parts = {row.part for row in seen.twins.get(content, ())}
        if len(parts) < 2 and (there or len(stems) > 1):
            groups |= dict.fromkeys(stems, (there or [groups[stems[0]]])[0])
        for stem in stems:
            if stem in seen.copies and len(parts) > 1:
                groups[stem] = seen.copies[stem].group
    return [replace(pair, group=groups[pair.stem]) for pair in found], linked


def _new_tested(found, of_group, tested, told):
    """Those of the new groups that are kept for testing. of_group : {group: …} of those that are not new."""
    if not told.test_share:
        return set()
    if not of_group:
        return {pair.group for pair in split_by_group(found, told.test_share, told.seed)[1]}
    new = sorted({pair.group for pair in found} - of_group.keys())
    lacking = max(1, int(told.test_share * (len(new) + len(of_group)))) - tested
    order = np.random.default_rng([told.seed, 0x5EED]).permutation(len(new))
    return {new[i] for i in order[: max(0, lacking)]}


def parts_of_new(data_dir, pairs):
    """Where pictures go that come to a data folder without `prepare`: a list of ("train" or "test", group).

    A picture is learnt from, unless its slide or patient is one of those that are tested on. Groups are by the
    --group-by that `prepare` was told. Else a picture is of the group of those that are named as it is, but for
    numbers behind the group's name; or the names of all pictures together tell (`groups.groups_of`). A copy of one that
    stands here goes where that is.

    pairs : list of `pairs.Pair`. Raises `InputError` where --group-by gives one no group.
    """
    names = {as_one_name(pair.stem) for pair in pairs}
    others = [(pair, part) for pair, part in standing_fields(data_dir) if as_one_name(pair.stem) not in names]
    by = (read_noted(data_dir) or {}).get("group_by")
    if by is None:
        known = [(pair.stem, pair.group) for pair, _ in others]
        before, of_new = _groups_beside(known, [pair.stem for pair in pairs])
        groups = before + of_new
    else:
        groups = [pair.group for pair in [pair for pair, _ in others] + grouped_by(pairs, by)]
    found = []
    for group in groups[len(others) :]:
        same = (group in (pair.group, now) for (pair, _), now in zip(others, groups, strict=False))
        parts = {part for (_, part), is_same in zip(others, same, strict=True) if is_same}
        found.append(("test" if parts == {"test"} else "train", group))
    for number, pair in enumerate(pairs):
        same = [(part, there.group) for there, part in of_same_content(others, pair.image)]
        found[number] = min(same, key=lambda each: each[0] != "test", default=found[number])
    return found


def _groups_beside(known, stems):
    """Groups by the names of all pictures together: (of those known, of those new), two lists of names.

    known : list of (stem, group). stems : of those new, which are of a known group where they are named as its are,
    but for numbers behind the group's name.
    """
    groups = groups_of([stem for stem, _ in known] + stems)
    shapes = {_shape(stem, group) for stem, group in known if stem.startswith(group)}
    names, of_new = {group for _, group in known}, []
    for stem, group in zip(stems, groups[len(known) :], strict=True):
        like = (stem[:length] for length in range(len(stem), 0, -1))
        of_new.append(next((name for name in like if name in names and _shape(stem, name) in shapes), group))
    return groups[: len(known)], of_new


def _shape(stem, group):
    """What a picture's name has in common with others of its group: the group's name, and behind it all but numbers."""
    return (group, re.sub(r"\d+", "0", stem[len(group) :])) if stem.startswith(group) else None


def _refuse_without_field(found, known, others):
    """`InputError` where tiles of an earlier version would go whose whole field is not there to take their place."""
    gone = sorted(known.parts.keys() - {as_one_name(pair.stem) for pair in found} - {row.field for row in others})
    if gone:
        raise InputError(
            f"{TILE_TABLE}: an earlier version cut tiles of {some(gone)}, whose whole pictures are not among those "
            "given; expected them, to take the place of the tiles. Put them with their masks into Raw data, or name an "
            "empty folder with --data; nothing was changed."
        )


def change_lines(known, split, gone, changes):
    """Lines for people on what is not as it was when the folder was prepared before; [] where it was not.

    changes : {"mask", "picture", "kept", "back": {name of a field: its part}}, "replaced", the paths of what others
    replace, of which a copy is kept, and "absent", the rows of what somebody deleted here.
    """
    if known.tiles:
        return [
            "an earlier version had cut tiles here: whole fields take their place, with the split of before. The tiles "
            f"are kept in {earlier.KEPT_IN}; what was edited in their masks is there too, and not in the whole ones"
        ]
    if not known.parts:
        return []
    parts, seen, renamed = split.parts, split.seen, split.seen.renamed
    new = [stem for stem in parts if stem not in seen.own and stem not in renamed]
    now = {row.field for row in renamed.values()}
    lost = sorted(
        {row.field: shown(row) for row in gone if row.field not in now and row not in changes["absent"]}.values()
    )
    absent = sorted({shown(row) for row in changes["absent"] if row.field not in now})
    lines = [
        _line(len(changes["mask"]), "mask changed", "masks changed", _with_parts(changes["mask"])),
        _line(len(changes["picture"]), "picture changed", "pictures changed", _with_parts(changes["picture"]))
        + (f" (what stood there is kept in {KEPT_IN})" if changes["replaced"] else ""),
        _line(len(new), "picture added", "pictures added", _with_parts({stem: parts[stem] for stem in new})),
        _line(
            len(renamed), "renamed", "renamed", [f"{shown(row)} → {new} ({row.part})" for new, row in renamed.items()]
        ),
        _line(len(lost), "gone", "gone", lost) + (f" (kept in {KEPT_IN})" if lost else ""),
        _line(
            len(absent), "not in Train data or Test data any more", "not in Train data or Test data any more", absent
        ),
    ]
    kept = _line(len(changes["kept"]), "field", "fields", _with_parts(changes["kept"]))
    kept = f"edited in Train data or Test data, and kept so: {kept}" if kept else ""
    back = _line(len(changes["back"]), "field", "fields", _with_parts(changes["back"]))
    back = f"deleted from Train data or Test data, and copied there again, as the source has it: {back}" if back else ""
    return [line for line in ("; ".join(filter(None, lines)), kept, back, *_lines_of_content(split)) if line]


def _lines_of_content(split):
    """Lines on pictures that are known by their content: copies of others, and those that had gone."""
    seen, parts = split.seen, split.parts
    copies = [f"{stem} is {shown(row)} ({row.part})" for stem, row in seen.copies.items()]
    line = _line(len(copies), "copy", "copies", copies)
    lines = [f"the same picture under two names, and so in the same part: {line}"] if line else []
    again = _with_parts({stem: part for stem, part in seen.back.items() if parts[stem] == part})
    line = _line(len(again), "picture", "pictures", again)
    lines += [f"here before, and so in the part of then: {line}"] if line else []
    other = [f"{stem} ({part} then, {parts[stem]} now)" for stem, part in seen.back.items() if parts[stem] != part]
    line = _line(len(other), "picture", "pictures", other)
    lines += [f"here before in another part, and now where its slide or patient is: {line}"] if line else []
    apart = [rows for rows in seen.twins.values() if len({row.part for row in rows}) > 1]
    now = {row.field for row in [*seen.own.values(), *seen.renamed.values()] if row}
    apart = [
        " and ".join(f"{shown(row)} ({row.part})" for row in rows)
        for rows in apart
        if now & {row.field for row in rows}
    ]
    line = _line(len(apart), "picture", "pictures", apart)
    lines += (
        [f"learnt from and tested, so that its score is too good; take one of the two away: {line}"] if line else []
    )
    return lines


def shown(row):
    """The name of a row's field, for people."""
    return stem_of(row.cut_from or row.file)


def _with_parts(those):
    return [f"{name} ({part})" for name, part in those.items()]


def _line(count, one, several, names):
    return f"{counted(count, one, several)}: {some(names)}" if count else ""
