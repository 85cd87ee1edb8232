"""Predictions that were corrected in another program → fields to train on, with their pictures.

`predict --cells` notes in predictions.json where each picture lies, and the checksum of each file of cells as it was
written: what differs now was corrected (QuPath's GeoJSON, Fiji's ROI sets, label images of napari or Fiji), and so was
what lies beside under a picture's name and is not in the list.
"""

import hashlib
import io
import json
import re
import shutil
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from pairing import annotations
from pairing.masks import read_stored_mask_of, values_to_ignore
from pairing.objects import components
from pairing.objects import left_out as pixels_left_out
from pairing.outlines import filled
from pairing.pairs import Pair
from preparing import earlier
from preparing.field_table import (
    clear_half_written,
    note_mask,
    note_not_known,
    of_same_content,
    read_fields,
    standing_fields,
)
from preparing.split import parts_of_new
from preparing.standing import EARLIER, place_away, put_away, refuse_shared_mask
from preparing.told import PREPARED, read_noted, refuse_unfinished, stack_of
from reading import images, stacks
from reading.files import (
    NOT_KNOWN,
    NUMBERED,
    InputError,
    as_one_name,
    find_twins,
    is_result,
    sha256,
    some,
    stem_of,
    typed,
    write_json,
)
from reading.folder_lock import in_turn, written_aside

RECORD = "predictions.json"
HALF_DONE = ".corrected-unfinished"  # in the data folder: what is to be moved into place
MADE = re.compile(r".*_(predict|overlay|probability|preview|colour)", re.IGNORECASE)  # what is shown, and no mask


@dataclass(frozen=True)
class Corrected:
    """A picture of a folder of predictions whose cells were corrected.

    image : where it lay. mask : the corrected file. image_sha256 : of the picture that was predicted; None of slides.
    left_out : {"edges": True, "above_px": pixels}, or less: which cells `predict` left out by choice.
    """

    image: Path
    mask: Path
    image_sha256: str | None
    left_out: dict


@dataclass(frozen=True)
class Field:
    """What a corrected picture becomes.

    part : "train" or "test". file : the picture's name there. group : slide or patient. is_new : whether it came now.
    standing : the mask that stands there, a path, or None. is_ours : whether that came from here. before : the mask of
    before all corrections, wherever it is now, or None.
    """

    part: str
    file: str
    group: str
    is_new: bool = True
    standing: Path | None = None
    is_ours: bool = False
    before: Path | None = None

    @property
    def folder(self):
        return f"{self.part.capitalize()} data"

    @property
    def mask(self):
        """Path of the corrected mask below the data folder."""
        return Path(self.folder, "Masks", f"{stem_of(self.file)}.png")


def prepare_corrected(data_dir, folder, pictures=None):
    """Make training fields of what was corrected in `folder`, a folder of predictions; a test field stays one.

    Parameters
    ----------
    data_dir : path of the data folder; made where it is missing.
    pictures : folder in which pictures are looked for that are not where they were, by name and by content.

    A mask that stood there before is moved to `Earlier masks`; what was ignored in it stays ignored where no corrected
    cell lies. A new picture of a slide or patient that is tested on becomes a test field.

    Returns lines for people. Raises `InputError`, with nothing changed, where a picture is not found, where two files
    of one were corrected, and where a mask was changed in the data folder too. Ended in the middle, it is finished when
    it runs again.
    """
    data_dir, folder = Path(data_dir), Path(folder)
    if pictures is not None and not Path(pictures).is_dir():
        raise InputError(
            f"{pictures}: no such folder; expected the one with the pictures that were predicted. Check --source."
        )
    found, left = find_corrected(folder)
    sums = cache(sha256)
    found = [(one, _picture(one, folder, pictures, sums)) for one in found]
    with in_turn(data_dir):
        refuse_unfinished(data_dir)
        clear_half_written(data_dir)
        if earlier.records(data_dir):
            raise InputError(
                f"{data_dir}: cut into tiles by an earlier version; expected whole fields, which can be corrected. Run "
                f"first: python main.py prepare --data {typed(data_dir)}"
            )
        noted = read_noted(data_dir) or {"classes": 1, "foreground": None, "meaning": "corrected cells"}
        if noted["classes"] > 1:
            raise InputError(
                f"{data_dir / PREPARED}: prepared for several classes; expected one class of cells, since corrected "
                "cells have none. Put corrected masks with classes into Raw data instead."
            )
        fields = _fields(data_dir, noted, found)
        masks, unknown, not_shown = [], [], []
        for (one, picture), field in zip(found, fields, strict=True):
            absent = _left_out(one, folder)
            mask, kept, hidden = _numbered(one, picture, _unknown_before(data_dir, noted, picture, field), absent)
            masks.append(mask)
            unknown += [stem_of(field.file)] if kept else []
            not_shown += [stem_of(field.file)] if hidden else []
        _write(data_dir, noted, [picture for _, picture in found], fields, masks)
    tested = [field for field in fields if field.part == "test"]
    said = {
        "corrected, now training fields": [field for field in fields if field.part == "train"],
        "corrected, test fields, which they stay": [field for field in tested if not field.is_new],
        "corrected, now test fields, since other pictures of their slide or patient are tested on": [
            field for field in tested if field.is_new
        ],
    }
    lines = [
        f"{len(those)} {what}: {some([stem_of(field.file) for field in those], 6)}"
        for what, those in said.items()
        if those
    ]
    if unknown:
        lines.append(f"what was ignored in the earlier mask stays so where no corrected cell lies: {some(unknown, 6)}")
    if not_shown:
        lines.append(
            "what was found but left out of the cells (--exclude-edges, --max-area) is ignored where no corrected cell "
            f"lies: {some(not_shown, 6)}"
        )
    return lines + ([f"not corrected, and left out: {some(left, 6)}"] if left else [])


def find_corrected(folder):
    """(what was corrected, names of pictures of which nothing was) in a folder of predictions.

    Returns a list of `Corrected` and a list of names. Raises `InputError` where nothing was, and for two files of one
    picture.
    """
    path = folder / RECORD
    if not path.is_file():
        raise InputError(
            f"{folder}: no {RECORD} in it; expected a folder that `predict --cells` wrote, in which cells were "
            "corrected. Name it with --corrected."
        )
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["predicted"]
        entries = {
            stem_of(entry["image"]): (
                Path(entry.get("image_path") or entry["image"]),
                entry["image_sha256"],
                entry.get("cells_left_out", {}),
            )
            for entry in listed.values()
        }
        sums = {name: entry["sha256"] for name, entry in listed.items()}
        for entry in listed.values():
            sums |= entry.get("cell_files", {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged, or of an earlier version; expected what `predict --cells` writes there. Run `predict` "
            "again into another folder."
        ) from error
    changed = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and _is_corrected(file, sums) and (stem := _stem_among(file, entries)):
            changed.setdefault(stem, []).append(file)
    for stem, files in changed.items():
        if len(files) > 1:
            raise InputError(
                f"{folder}: {some(file.name for file in files)} are corrected masks of one picture, {stem}; expected "
                "one of them. Move the others out of the folder."
            )
    left = sorted(entries.keys() - changed.keys())
    if not changed:
        raise InputError(
            f"{folder}: none of the files of cells of {some(left)} was changed since `predict` wrote them; expected at "
            "least one corrected, and saved in this folder under its name or that of the picture."
        )
    return [
        Corrected(image, files[0], *rest) for stem, files in sorted(changed.items()) for image, *rest in [entries[stem]]
    ], left


def _is_corrected(file, sums):
    if file.name in sums:
        return sha256(file) != sums[file.name]
    known = file.suffix.lower() in images.IMAGE_SUFFIXES or annotations.suffix_of(file)
    own = file.name in (RECORD, "scores.json") or file.name.startswith(".")
    return bool(known) and not own and not is_result(file) and not MADE.fullmatch(stem_of(file))


def _stem_among(file, stems):
    """The picture whose name a file's begins with, the longest of several; None where it is none's."""
    name = as_one_name(file.name)
    fitting = [
        stem for stem in stems
        if name.startswith(as_one_name(stem)) and not name[len(as_one_name(stem)) :][:1].isalnum()
    ]  # fmt: skip
    return max(fitting, key=len, default=None)


def _picture(one, folder, pictures, sums):
    """Where the picture of a `Corrected` is, also under another name. sums : a function, of a path its SHA-256.

    Raises `InputError` where it is not found, or another one is.
    """
    if one.image_sha256 is None:
        raise InputError(
            f"{one.mask}: cells of a slide, {one.image.name}; expected those of a picture. Draw Region* areas around "
            f"corrected cells in QuPath, export them, and give: prepare --source {typed(one.image)} --annotations FILE"
        )
    folders = [Path(pictures), Path(pictures, "Images")] if pictures else []
    places = [one.image, *(place / one.image.name for place in (*folders, folder, folder.parent))]
    there = [place for place in places if place.is_file()]
    ending = one.image.suffix.lower()
    renamed = (
        path for place in (one.image.parent, *folders, folder) for path in sorted(place.glob("*"))
        if path.suffix.lower() == ending and path.is_file()
    )  # fmt: skip
    for path in chain(there, renamed):
        if sums(path) == one.image_sha256:
            return path
    seen = f"{there[0]} is another picture now" if there else f"it is not at {one.image.parent} any more"
    raise InputError(
        f"{one.image.name}, of which {one.mask} holds the corrected cells: {seen}; expected the picture that was "
        "predicted. Say where it is with --source FOLDER."
    )


def _fields(data_dir, noted, found):
    """The `Field`s that corrected pictures become. found : list of (`Corrected`, path of the picture)."""
    rows = {row.field: row for row in read_fields(data_dir)}
    there = {as_one_name(pair.stem): (pair, part) for pair, part in standing_fields(data_dir)}
    fields, new = [], {}
    for number, (one, picture) in enumerate(found):
        same = of_same_content(there.values(), picture, one.image_sha256)  # a copy under another name
        standing = there.get(as_one_name(stem_of(picture))) or next(same, None)
        row = rows.get(as_one_name(standing[0].stem if standing else stem_of(picture)))
        if row and row.cut_from:
            raise InputError(
                f"{row.cut_from}: cut into tiles in {data_dir}; expected a whole field, to give it the corrected mask "
                f"{one.mask}. Put this mask into {data_dir / 'Raw data' / 'Masks'} and run prepare again."
            )
        if row is None:  # also a picture that came just before this was ended in the middle
            new[number] = standing[0] if standing else Pair(stem_of(picture), picture, None, "")
        if standing:
            fields.append(_known_field(data_dir, noted, one, picture, standing, row))
        else:
            fields.append(Field(row.part if row else "", picture.name, row.group if row else ""))
    for number, (part, group) in zip(new, parts_of_new(data_dir, list(new.values())), strict=True):
        fields[number] = replace(fields[number], part=fields[number].part or part, group=group)
    if twins := find_twins([field.mask for field in fields], str):
        raise InputError(
            f"{twins[0]}: of two corrected pictures, which are the same; expected one corrected mask for it. "
            "Move the other out of the folder of corrected masks."
        )
    return fields


def _known_field(data_dir, noted, one, picture, standing, row):
    """The `Field` of a picture that stands in the data folder. row : of fields.csv, or None."""
    pair, part = standing
    if sha256(pair.image) != one.image_sha256:
        raise InputError(
            f"{pair.image}: another picture named like {picture}, whose corrected cells are in {one.mask}; expected "
            f"different names. Rename {picture.name} where it lies; it is known by its content. Nothing was changed."
        )
    ours = noted.get("corrected", {}).get(stem_of(pair.image), {"sha256": [], "earlier": None})
    field = Field(part, pair.image.name, pair.group, is_new=False, standing=pair.mask)
    before = data_dir / ours["earlier"] if ours["earlier"] else None
    if pair.mask is None:
        return replace(field, before=before)
    refuse_shared_mask(data_dir, field.folder, pair.mask)
    digest = sha256(pair.mask)
    if digest in ours["sha256"] and pair.mask == data_dir / field.mask:
        return replace(field, is_ours=True, before=before)
    if row and digest != row.mask_sha256:
        raise InputError(
            f"{pair.mask}: changed since it was prepared, and so was {one.mask}; expected one of the two. Move the one "
            "that is not meant away, and run this again; nothing was changed."
        )
    return replace(field, before=pair.mask)


def _unknown_before(data_dir, noted, picture, field):
    """Where nothing was known by the mask of before, bool (height, width); None: nowhere, or there was none."""
    if field.before is None or not field.before.exists():
        return None
    with stacks.as_one(stack_of(data_dir, stacks.HOW)):
        stored = read_stored_mask_of(Pair(stem_of(picture), picture, field.before, ""), images.size(picture))
    return stored.ignored_by(values_to_ignore(noted.get("ignore"), stored.names))


def _left_out(one, folder):
    """Where cells were found that `predict` left out of what people correct, bool (height, width); None: nowhere.

    What is known is the mask, in which they lie together with those that touch them.
    """
    mask = folder / f"{stem_of(one.image)}_predict.png"
    if not one.left_out or not mask.is_file():
        return None
    return pixels_left_out(components(images.read_mask(mask)), **one.left_out)


def _numbered(one, picture, unknown, left_out):
    """The corrected cells as a PNG of uint16 (height, width): 1 … n, `NOT_KNOWN` where nothing is known.

    unknown : where nothing was known before. left_out : where cells were found that people did not see.
    Returns (content of the file, whether something of `unknown` stays so, whether of `left_out`).
    """
    size = images.size(picture)
    stored = read_stored_mask_of(Pair(stem_of(picture), picture, one.mask, ""), size)
    labels = np.zeros(size, np.int32)
    if annotations.is_outlines(one.mask):
        shapes = sorted(annotations.read_drawing(one.mask).shapes, key=lambda shape: -shape.area())
        for number, shape in enumerate(shapes, 1):
            place, pixels = filled(shape, size)
            labels[place][pixels] = number
    else:
        above = len(np.unique(stored.values)) == 2  # a mask, whose cells have one value
        labels = components(stored.values) if above else np.unique(stored.values, return_inverse=True)[1].reshape(size)
        labels = np.where(stored.values > 0, labels, 0)
    if labels.max() >= NOT_KNOWN:
        raise InputError(f"{one.mask}: {labels.max()} cells; expected fewer than {NOT_KNOWN}. Divide the picture.")
    kept, hidden = (np.zeros(size, bool) if one is None else one & (labels == 0) for one in (unknown, left_out))
    ignored = kept | hidden if stored.ignored is None else kept | hidden | stored.ignored
    file = io.BytesIO()
    images.save_png(file, np.where(ignored, NOT_KNOWN, labels).astype(np.uint16), NUMBERED)
    return file.getvalue(), kept.any(), hidden.any()


def _write(data_dir, noted, pictures, fields, masks):
    """Write the fields. What is about to be done is noted first, so that it is known as such when it is cut short."""
    corrected = dict(noted.get("corrected", {}))
    for field, mask in zip(fields, masks, strict=True):
        before = field.before and field.before.relative_to(data_dir)
        if field.standing and not field.is_ours:
            before = place_away(data_dir, before, EARLIER)
        known = [sha256(field.standing)] if field.is_ours else []
        corrected[stem_of(field.file)] = {
            "sha256": [*known, hashlib.sha256(mask).hexdigest()], "earlier": before and before.as_posix(),
        }  # fmt: skip
    replaced = {field.mask for field in fields if field.is_ours}
    with written_aside(data_dir, HALF_DONE, replaced=replaced) as aside:
        for picture, field, mask in zip(pictures, fields, masks, strict=True):
            image = Path(field.folder, "Images", field.file)
            if not (data_dir / image).exists():
                (aside.path / image).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture, aside.path / image)
            (aside.path / field.mask).parent.mkdir(parents=True, exist_ok=True)
            (aside.path / field.mask).write_bytes(mask)
        write_json(data_dir / PREPARED, noted | {"corrected": corrected})
        for field in fields:
            if field.standing and not field.is_ours:
                put_away(data_dir, field.standing.relative_to(data_dir), EARLIER)
    for field in fields:
        note_mask(data_dir, field.part, field.file, field.mask.name, field.group)
    if any(NOT_KNOWN in images.read_mask(data_dir / field.mask) for field in fields):
        note_not_known(data_dir)
