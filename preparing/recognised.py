"""Which of the pictures found is which of before: content decides, and names only where content does not tell.

Pictures that were renumbered, or swapped their names, so stay in their part, and a copy comes to its twin's.
"""

from dataclasses import dataclass, field

from preparing.standing import KEPT_IN
from reading.files import as_one_name


@dataclass
class Recognised:
    """What the pictures found are, by their stem.

    own : {stem: its row of before, or None}, under the name of before, perhaps changed. renamed : {stem: its row}.
    copies : {stem: the row of its twin}, new ones. back : {stem: the part in which it was}, new ones that had gone.
    displaced : rows of before whose name is another picture's now. twins : {SHA-256: the rows of one content}.
    """

    own: dict = field(default_factory=dict)
    renamed: dict = field(default_factory=dict)
    copies: dict = field(default_factory=dict)
    back: dict = field(default_factory=dict)
    displaced: list = field(default_factory=list)
    twins: dict = field(default_factory=dict)


def recognise(found, known, others, copies):
    """The `Recognised` of the pictures found.

    found : list of `pairs.Pair`. known : `split.Before`. others : rows that the source does not speak of, which are
    renamed by no other name in it. copies : `standing.Copies`.
    """
    seen, contents = Recognised(), {pair.stem: copies.hash(pair.image) for pair in found}
    rows, taken = {row.field: row for row in known.rows}, {row.field for row in others}
    noted = {as_one_name(stem): value for stem, value in (known.noted or {}).get("copied", {}).items()}
    of_name = {name: _content(row, noted, copies) for name, row in rows.items()}
    for name, row in rows.items():
        seen.twins.setdefault(of_name[name], []).append(row)
    seen.twins.pop(None, None)
    left = []
    for pair in found:
        name = as_one_name(pair.stem)
        row = rows.get(name)
        # What came by another command is nobody's to rename or to replace.
        if row and (of_name[name] == contents[pair.stem] or not row.image_sha256):
            seen.own[pair.stem] = row
            taken.add(name)
        else:
            left.append(pair)
    by_name = []
    for pair in left:
        same = seen.twins.get(contents[pair.stem], [])
        free = [row for row in same if row.field not in taken]
        if free:
            seen.renamed[pair.stem] = free[0]
            taken.add(free[0].field)
        elif same:
            seen.copies[pair.stem] = min(same, key=lambda row: row.part != "test")
        else:
            by_name.append(pair)
    for pair in by_name:
        name = as_one_name(pair.stem)
        if name in known.parts and name not in taken:
            seen.own[pair.stem] = rows.get(name)
    own = {as_one_name(stem) for stem in seen.own}
    lost = {as_one_name(pair.stem) for pair in found} - own
    seen.displaced = [row for row in known.rows if row.field in lost]
    new = {pair.stem: contents[pair.stem] for pair in by_name if pair.stem not in seen.own}
    seen.back = _back(new, copies) if new else {}
    return seen


def _content(row, noted, copies):
    """The SHA-256 of the whole picture of a row; None where it is not known."""
    if row.cut_from:
        return noted.get(row.field, {}).get("image")
    path = row.pair(copies.data_dir).image
    return row.image_sha256 or (copies.hash(path) if path.is_file() else None)


def _back(new, copies):
    """The part of those new pictures that are kept among what was taken away. new : {stem: SHA-256}."""
    parts = {}
    for part in ("train", "test"):  # what was in both counts as tested
        folder = copies.data_dir / KEPT_IN / f"{part.capitalize()} data" / "Images"
        parts |= {copies.hash(path): part for path in folder.glob("*") if path.is_file()}
    return {stem: parts[content] for stem, content in new.items() if content in parts}
