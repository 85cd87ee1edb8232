"""A picture that is done becomes a training field of the data folder; one that is taken back ceases to be one.

The mask that stood there before is moved, never lost, and comes back when the field is taken back. What is about to be
done is noted in the working copy's journal first, so that it is finished at the next start where the program was ended
in the middle.
"""

import hashlib
import io
import os
import shutil
from dataclasses import replace

import numpy as np

from correcting.working_copy import free_name
from pairing.groups import grouped_by
from pairing.outlines import make_shape
from pairing.pairs import TEST, TRAIN, find_pairing
from pairing.polygons import polygonise
from pairing.qupath_geojson import CELL, write_geojson
from preparing.field_table import note_mask, note_not_known, standing_fields
from preparing.split import parts_of_new
from preparing.standing import EARLIER, refuse_shared_mask
from preparing.told import read_noted
from reading import images
from reading.files import NOT_KNOWN, NUMBERED, InputError, as_one_name, replacing, settle, sha256, stem_of, typed
from reading.folder_lock import in_turn

IGNORE = "Ignore*"  # QuPath's own class for what is to be left out


def add_field(data, picture, copy):
    """Write a picture's labels as the mask of a training field, and the picture beside it where it is new there.

    A picture of `Test data` stays there, with its mask.

    Parameters
    ----------
    data : path of the data folder. picture : `pictures.Picture`; its part and pair become those of the field.
    copy : its `working_copy.WorkingCopy`, whose head keeps in "training" what was done, and in "written" the version
        of the labels that the mask shows.

    Returns a line for people on what is not as they expect, or None. Raises `InputError`, with nothing changed, where
    the picture cannot become a field.
    """
    version, labels = copy.snapshot()
    content = _mask_file(labels)
    digest = hashlib.sha256(content).hexdigest()
    with in_turn(data):
        plan = copy.head.get("training")
        first = plan is None
        if first:
            plan = _plan(data, picture)
        plan = plan | {"sha256": [*plan["sha256"][-1:], digest]}
        place, earlier = data / plan["mask"], plan["earlier"]
        if place.exists() and not _is_ours(place, plan) and (earlier is None or (data / earlier[1]).exists()):
            earlier = [plan["mask"], _earlier_name(data, place)]  # another program's, since
        copy.note(training=plan | {"earlier": earlier})
        if earlier and (data / earlier[0]).exists() and not (data / earlier[1]).exists():
            _move(data / earlier[0], data / earlier[1])
        if plan["image"] and not (data / plan["image"]).exists():
            with replacing(data / plan["image"]) as temporary:
                shutil.copyfile(picture.path, temporary)
        with replacing(place) as temporary:
            temporary.write_bytes(content)
            settle(temporary)
        _note(data, plan, picture, place.name)
        if (labels == NOT_KNOWN).any():
            note_not_known(data)
        if first and not _pairs_with(data, picture, plan):
            remove_field(data, picture, copy)
            raise InputError(
                f"{place.parent}: names of masks that do not fit {place.name}; expected those of their images. Bring "
                f"the folder in order first: python main.py prepare --source {typed(data)} --data my_folder"
            )
    copy.note(written=version)
    tested = plan["mask"].startswith(TEST)
    picture.part = "test" if tested else "train"
    picture.pair = replace(picture.pair, mask=place)
    if tested and plan["image"]:
        return f"tested on, and not learnt from, as are the other pictures of {picture.pair.group}"
    return None


def refuse_field(data, picture):
    """Raise `InputError` where it is plain at once, without reading other fields, that `add_field` would raise it."""
    mask = picture.pair.mask
    if picture.part == "new":
        folders = [data / part / "Images" for part in (TRAIN, TEST)]
        beside = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
        _refuse_same_name(picture.path, {stem_of(path): path for path in beside})
        by = (read_noted(data) or {}).get("group_by")
        if by is not None:
            grouped_by([picture.pair], by)
    elif mask is not None:
        refuse_shared_mask(data, TEST if picture.part == "test" else TRAIN, mask)


def remove_field(data, picture, copy):
    """Take a training field out again that `add_field` made; the earlier mask comes back.

    A mask that another program has changed since stays where it is, and the picture with it.
    """
    plan = copy.head["training"]
    with in_turn(data):
        place, mask = data / plan["mask"], None
        if not place.exists() or _is_ours(place, plan):
            place.unlink(missing_ok=True)
            if plan["earlier"]:
                mask, kept = (data / path for path in plan["earlier"])
                if kept.exists() and not mask.exists():
                    _move(kept, mask)
            image = data / plan["image"] if plan["image"] else None
            if image and image.exists() and sha256(image) == picture.sha256:
                image.unlink()
                picture.part = "new"
            _note(data, plan, picture, mask and mask.name)
        else:
            mask = place
    copy.note(training=None, written=None)
    picture.pair = replace(picture.pair, mask=mask)


def write_cells(path, copy):
    """Write the outlines of a `working_copy.WorkingCopy` as GeoJSON; of what is not known in it as `IGNORE`."""
    _, labels = copy.snapshot()
    shapes = [
        make_shape(IGNORE if number == NOT_KNOWN else CELL, parts)
        for number, parts in polygonise(labels.astype(np.int32)).items()
    ]
    write_geojson(path, shapes)


def is_behind(head):
    """Whether the training field of a working copy, by its head, is not what it should be."""
    return head.get("written") != head["version"] if head["done"] else head.get("training") is not None


def is_changed_elsewhere(data, head):
    """Whether another program has changed, or taken away, the mask of a field since `add_field` wrote it."""
    return head.get("written") is not None and is_astray(data, head)


def is_astray(data, head):
    """Whether the mask of a training field, by its working copy's head, is not what stands in its place."""
    plan = head.get("training")
    return bool(plan) and not _is_ours(data / plan["mask"], plan)


def renamed(data, head, fields, taken):
    """What the head of a working copy is to say where its training field has another name now; {} where it has not.

    `prepare` renames a field whose picture has another name in its source, and somebody may do it by hand. The field is
    known by its picture and its mask, which are both as `add_field` left them.

    fields : of `standing_fields`. taken : masks of other working copies, as in "training".
    """
    plan, others = head["training"], {data / mask for mask in taken}
    for image, mask in ((pair.image, pair.mask) for pair, _ in fields if pair.mask and pair.mask not in others):
        if image.stat().st_size != head["bytes"] or not _is_ours(mask, plan) or sha256(image) != head["picture"]:
            continue
        place = {} if plan["image"] else {"name": image.name, "path": str(image.absolute())}
        now = plan | {"mask": mask.relative_to(data).as_posix()}
        if plan["image"]:
            now["image"] = image.relative_to(data).as_posix()
        if plan["earlier"]:  # comes back under the new name
            before, kept = plan["earlier"]
            ending = before.rsplit("/", 1)[-1].removeprefix(stem_of(before))
            now["earlier"] = [mask.with_name(stem_of(mask) + ending).relative_to(data).as_posix(), kept]
        return place | {"training": now}
    return {}


def _plan(data, picture):
    """What is to be done for a picture that is no field of this program yet: what the head keeps in "training"."""
    stem, mask, image = stem_of(picture.path), picture.pair.mask, None
    folder = TEST if picture.part == "test" else TRAIN
    if picture.part == "new":
        _refuse_same_name(picture.path, {pair.stem: pair.image for pair, _ in standing_fields(data)})
        ((part, group),) = parts_of_new(data, [picture.pair])
        picture.pair, folder = replace(picture.pair, group=group), TEST if part == "test" else TRAIN
        image = f"{folder}/Images/{picture.path.name}"
    elif mask is not None:
        refuse_shared_mask(data, folder, mask)
        stem = mask.name if mask.is_dir() else stem_of(mask)
    place = f"{folder}/Masks/{stem}.png"
    earlier = None
    if mask is not None:
        earlier = [mask.relative_to(data).as_posix(), _earlier_name(data, mask)]
    return {"image": image, "mask": place, "earlier": earlier, "sha256": []}


def _refuse_same_name(path, others):
    """Raise `InputError` where another picture has the name of a new one. others : {stem: path}."""
    for stem, other in others.items():
        if as_one_name(stem) == as_one_name(stem_of(path)):
            raise InputError(
                f"{path}: {other} is another picture of this name; expected one picture a name, since masks are "
                "named after them. Rename this one, and open it anew."
            )


def _note(data, plan, picture, mask):
    """Keep fields.csv true; mask : the name of the field's mask now, None without."""
    part = "test" if plan["mask"].startswith(TEST) else "train"
    file = (plan["image"] or picture.path.as_posix()).rsplit("/", 1)[-1]
    note_mask(data, part, file, mask, picture.pair.group if plan["image"] else None)


def _pairs_with(data, picture, plan):
    """Whether the new mask is found as that of its picture."""
    place = data / plan["mask"]
    name = (plan["image"] or picture.path.as_posix()).rsplit("/", 1)[-1]
    try:
        pairs = find_pairing(place.parents[1], masks="optional").pairs
    except InputError:
        return False
    return any(pair.image.name == name and pair.mask == place for pair in pairs)


def _mask_file(labels):
    file = io.BytesIO()
    images.save_png(file, labels, NUMBERED)
    return file.getvalue()


def _is_ours(path, plan):
    return path.is_file() and sha256(path) in plan["sha256"]


def _earlier_name(data, mask):
    (data / EARLIER).mkdir(exist_ok=True)
    return free_name(mask, data / EARLIER).relative_to(data).as_posix()


def _move(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    settle(target.parent)
