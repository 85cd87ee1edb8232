"""Predictions that were corrected in another program → fields to train on, with their pictures.

`predict --cells` notes in predictions.json where each picture lies, and the checksum of each file of cells as it was
written: what differs now was corrected (QuPath's GeoJSON, Fiji's ROI sets, label images of napari or Fiji), and so was
what lies beside under a picture's name and is not in the list.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pairing import annotations
from pairing.masks import read_stored_mask_of
from pairing.objects import components
from pairing.outlines import filled
from pairing.pairs import TEST, TRAIN, Pair, find_pairs, has_files
from pairing.tile_names import slide_of
from preparing import earlier
from preparing.field_table import note_mask, read_fields
from preparing.standing import put_away
from preparing.told import PREPARED, ignore_also, read_noted, refuse_unfinished
from reading import images
from reading.files import NUMBERED, InputError, as_one_name, is_result, replacing, sha256, some, stem_of, write_json
from reading.folder_lock import in_turn

RECORD = "predictions.json"
EARLIER = "Earlier masks"  # in the data folder
NOT_KNOWN = 65535  # in masks that number their cells
MADE = re.compile(r".*_(predict|overlay|probability|preview|colour)", re.IGNORECASE)  # what is shown, and no mask


@dataclass(frozen=True)
class Corrected:
    """A picture of a folder of predictions whose cells were corrected.

    image : where it lay. mask : the corrected file. image_sha256 : of the picture that was predicted; None of slides.
    """

    image: Path
    mask: Path
    image_sha256: str | None


def prepare_corrected(data_dir, folder, pictures=None):
    """Make training fields of what was corrected in `folder`, a folder of predictions; a test field stays one.

    Parameters
    ----------
    data_dir : path of the data folder; made where it is missing.
    pictures : folder in which pictures are looked for by name that are not where they were.

    A mask that stood there before is moved to `Earlier masks`. Returns lines for people. Raises `InputError`, with
    nothing changed, where a picture is not found, where two files of one were corrected, and where a mask was changed
    in the data folder too.
    """
    data_dir, folder = Path(data_dir), Path(folder)
    found, left = find_corrected(folder)
    found = [(one, _picture(one, folder, pictures)) for one in found]
    with in_turn(data_dir):
        refuse_unfinished(data_dir)
        if earlier.records(data_dir):
            raise InputError(
                f"{data_dir}: cut into tiles by an earlier version; expected whole fields, which can be corrected. Run "
                f'first: python main.py prepare --data "{data_dir}"'
            )
        noted = read_noted(data_dir)
        value = _value(data_dir, noted)
        plans = [_plan(data_dir, noted or {}, one, picture) for one, picture in found]
        masks = [_numbered(one, picture, value) for one, picture in found]
        said = {"training fields": [], "test fields, which they stay": []}
        for (_, picture), (part, file, old, group), mask in zip(found, plans, masks, strict=True):
            _write(data_dir, picture, part, file, old, group, mask, value)
            said["test fields, which they stay" if part == "test" else "training fields"].append(stem_of(file))
    lines = [f"{len(names)} corrected, now {what}: {some(names, 6)}" for what, names in said.items() if names]
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
            stem_of(entry["image"]): (Path(entry.get("image_path") or entry["image"]), entry["image_sha256"])
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
    return [Corrected(entries[stem][0], files[0], entries[stem][1]) for stem, files in sorted(changed.items())], left


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


def _picture(one, folder, pictures):
    """Where the picture of a `Corrected` is. Raises `InputError` where it is not found, or another one is."""
    if one.image_sha256 is None:
        raise InputError(
            f"{one.mask}: cells of a slide, {one.image.name}; expected those of a picture. Draw Region* areas around "
            f'corrected cells in QuPath, export them, and give: prepare --source "{one.image}" --annotations FILE'
        )
    places = [Path(pictures), Path(pictures, "Images")] if pictures else []
    places = [one.image, *(place / one.image.name for place in (*places, folder, folder.parent))]
    there = [place for place in places if place.is_file()]
    same = [place for place in there if sha256(place) == one.image_sha256]
    if same:
        return same[0]
    seen = f"{there[0]} is another picture now" if there else f"it is not at {one.image.parent} any more"
    raise InputError(
        f"{one.image.name}, of which {one.mask} holds the corrected cells: {seen}; expected the picture that was "
        "predicted. Say where it is with --source FOLDER."
    )


def _value(data_dir, noted):
    """The value of cells in the masks of a data folder: None where each may have a number of its own."""
    foreground = (noted or {}).get("foreground")
    if (noted or {}).get("classes", 1) > 1 or (foreground and not isinstance(foreground[0], int)):
        raise InputError(
            f"{data_dir / PREPARED}: prepared for several classes or for outlines of a class; expected one class of "
            "cells, since corrected cells have none. Put corrected masks with classes into Raw data instead."
        )
    return foreground[0] if foreground else None


def _plan(data_dir, noted, one, picture):
    """(part, name of the picture, its mask of before or None, group or None) of a corrected field."""
    stem = as_one_name(stem_of(picture))
    rows = {row.field: row for row in read_fields(data_dir)}
    fields = {
        as_one_name(pair.stem): (part, pair)
        for part in (TRAIN, TEST)
        if has_files(data_dir, f"{part}/Images")
        for pair in find_pairs(data_dir / part, masks="optional")
    }
    row = rows.get(stem)
    if row and row.cut_from:
        raise InputError(
            f"{row.cut_from}: cut into tiles in {data_dir}; expected a whole field, to give it the corrected mask "
            f"{one.mask}. Put this mask into {data_dir / 'Raw data' / 'Masks'} and run prepare again."
        )
    if stem not in fields:
        group = slide_of(stem_of(picture))
        tested = any(row.group == group and row.part == "test" for row in rows.values())
        return "test" if tested else "train", picture.name, None, group
    folder, pair = fields[stem]
    if sha256(pair.image) != one.image_sha256:
        raise InputError(
            f"{pair.image}: another picture named like {picture}, whose corrected cells are in {one.mask}; expected "
            "different names. Rename one of the pictures."
        )
    known = {row and row.mask_sha256, noted.get("corrected", {}).get(pair.stem)}
    if row and pair.mask and sha256(annotations.file_of(pair.mask)) not in known:
        raise InputError(
            f"{pair.mask}: changed since it was prepared, and so was {one.mask}; expected one of the two. Move the one "
            "that is not meant away, and run this again; nothing was changed."
        )
    return ("train" if folder == TRAIN else "test"), pair.image.name, pair.mask, slide_of(pair.stem)


def _numbered(one, picture, value):
    """The corrected cells as uint16 (height, width): 1 … n, or all `value`; `NOT_KNOWN` where nothing is known."""
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
    labels = labels if value is None else np.where(labels > 0, value, 0)
    return np.where(False if stored.ignored is None else stored.ignored, NOT_KNOWN, labels).astype(np.uint16)


def _write(data_dir, picture, part, file, old, group, mask, value):
    folder = data_dir / f"{part.capitalize()} data"
    image, target = folder / "Images" / file, folder / "Masks" / f"{stem_of(file)}.png"
    if not image.exists():
        with replacing(image) as temporary:
            shutil.copyfile(picture, temporary)
    if old is not None and (old != target or not _is_ours(data_dir, old)):
        put_away(data_dir, old.relative_to(data_dir), EARLIER)
    with replacing(target) as temporary:
        images.save_png(temporary, mask, None if value else NUMBERED)
    if (mask == NOT_KNOWN).any():
        ignore_also(data_dir, NOT_KNOWN)
    note_mask(data_dir, part, file, target.name, group)
    noted = read_noted(data_dir) or {"classes": 1, "foreground": None, "meaning": "corrected cells"}
    noted["corrected"] = noted.get("corrected", {}) | {stem_of(file): sha256(target)}
    write_json(data_dir / PREPARED, noted)


def _is_ours(data_dir, mask):
    noted = read_noted(data_dir) or {}
    return mask.is_file() and sha256(mask) == noted.get("corrected", {}).get(stem_of(mask))
