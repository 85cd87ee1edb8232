"""Folders of images and masks → pairs, by exact names or one convention for a whole folder."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pairing import annotations
from pairing.coco_pairs import pair_by_coco
from pairing.groups import groups_of
from pairing.naming import (
    IMAGE_FOLDERS,
    IMAGE_WORDS,
    MASK_FOLDERS,
    MASK_WORDS,
    _attempt,
    _attempts,
    _by_common_rest,
    _example,
    _fitting,
    _rules,
    is_cellpose_mask,
    of_cellpose,
    pairing_key,
)
from pairing.unread import Unread, first_unread, unread_in
from reading import images, slides
from reading.array_files import ARRAY_SUFFIX
from reading.files import InputError, find_twins, is_result, some, stem_of, typed

TRAIN, TEST, RAW = "Train data", "Test data", "Raw data"
# Other folders of a data folder, in which nobody looks for pictures: what was moved away, and what is being corrected.
PUT_AWAY = ("Earlier fields", "Earlier masks", "Earlier tiles", "Corrected")


# ------------------------------------------------------------------------------------------------------------ pairs


@dataclass(frozen=True)
class Pair:
    """One image and its mask, with the group (slide, field) that must not be split.

    mask : an image file, an annotation file or a folder of files, one an object; None where there is none. Of a COCO
        file, which holds the masks of many images, the image's part: `instances.json/a.png`.
    `masks.read_mask_of` reads each of them.
    intensity_range : for a tile, the `intensity.Spread` of the field that it was cut from; None: the image's own.
    """

    stem: str
    image: Path
    mask: Path | None
    group: str
    intensity_range: tuple | None = None


@dataclass(frozen=True)
class Pairing:
    """Pairs, sorted by stem, and one line for people on how image and mask were recognised as belonging together.

    plain : True where the line says nothing new, since all masks are image files of exactly the image's name.
    unread : `unread.Unread` of what else is there, and is not read.
    """

    pairs: list
    explanation: str
    plain: bool = False
    unread: tuple = ()


def find_pairs(folder, masks="required"):
    """The pairs of `find_pairing`: a list of `Pair` sorted by stem."""
    return find_pairing(folder, masks).pairs


def find_pairing(folder, masks="required", with_slides=False):
    """Pair the images of `folder` with their masks, and say how they were found.

    Taken are a folder with Images and Masks, the tree of the Data Science Bowl 2018 (`<id>/images/x.png` and
    `<id>/masks/*`, one file an object), and one folder of images and masks together. A mask is an image file, an
    annotation file (LabelMe, QuPath, ImageJ; see `annotations`) or a folder of files, one an object. One COCO file may
    hold the masks of many images, which are then found by the names in it.

    Names pair by exact stem, in any Unicode normal form. Where that leaves a file over, a convention is looked for
    that leaves none: a word before or after the common name (`x_mask`, `mask_x`, `image_1`/`mask_1`), then a difference
    in upper and lower case, then any one text before or after the image's name in all masks (`x_nuclei`). A convention
    that fits only a part of the folder is not used.

    Parameters
    ----------
    folder : path of `Train data`, `Test data` or any folder of the kinds above.
    masks : "required" (each image has one) or "optional" (an image without one gives `mask=None`).
    with_slides : True where whole slides (`slides.SUFFIXES`) count as images.

    Returns a `Pairing`. Raises `InputError` naming the files when there is no image, when two files share a stem, when
    several conventions fit, when a mask has no image, or when a required mask is missing.
    """
    found = _pairing(Path(folder), masks == "required", slides.SUFFIXES if with_slides else frozenset())
    return replace(found, unread=tuple(not_read(folder, found.pairs)))


def not_read(folder, pairs):
    """What is not read of a folder in which `pairs` were found, or none: a list of `unread.Unread`."""
    folder = Path(folder)
    read = {path for pair in pairs for path in (pair.image, pair.mask and annotations.file_of(pair.mask)) if path}
    image_dir, mask_dir = (_subfolder(folder, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS))
    places = {True: {pair.image.parent for pair in pairs} or {image_dir} - {None}}
    in_use = {annotations.file_of(pair.mask).parent for pair in pairs if pair.mask}
    places[False] = (in_use | {mask_dir} - {None}) - places[True]
    found = []
    for is_images, inside in places.items():
        for place in inside if len(places[True]) == 1 else ():  # else each image has a folder of its own
            known = {
                *_files(place),
                *(() if is_images else _annotation_files(place)),
            }  # without a partner: said elsewhere
            found += unread_in(place, read | known - of_cellpose(known), masks=not is_images)
    within = _folders(folder) if folder.is_dir() else []
    if folder not in places[True] | places[False]:
        found += unread_in(folder, read, below=False)
        sets = [sub for sub in within if sub not in places[True] | places[False] and _subfolder(sub, IMAGE_FOLDERS)]
        for sub in sets if len(places[True]) == 1 else ():
            what = f"{folder.name}/{sub.name} holds images of its own"
            remedy = f"For these: python main.py prepare --source {typed(sub)}"
            found.append(Unread((sub,), what, "one set of images", remedy, False))
    return found


def _pairing(folder, required, more):
    image_dir, mask_dir = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    if image_dir is None and folder.is_dir():
        if any(_subfolder(sub, IMAGE_FOLDERS) for sub in _folders(folder)):
            return _pair_nested(folder, required, more)
        if _files(folder, more):
            _refuse_one_of_two(folder)
            return _pair_mixed(folder, required, more)
    pictures = _pictures(image_dir or folder / "Images", more) if image_dir or not folder.is_dir() else []
    if not pictures:
        raise _no_images(folder, image_dir, more)
    sources = mask_sources(mask_dir) if mask_dir else []
    if not sources:  # LabelMe and Roboflow keep outlines beside the images, Label Studio above them
        sources = _annotation_files(image_dir) or [*filter(annotations.coco_of, _annotation_files(folder))]
        others = [sub.name for sub in _folders(folder) if sub != image_dir]
        if required and not sources and mask_dir is None and others:
            raise InputError(
                f"{folder}: {image_dir.name} and no masks; of its other folders ({some(others)}) none has the name of "
                f"a masks folder; expected one of {', '.join(MASK_FOLDERS)}. Rename the folder of masks to Masks."
            )
    return _pair_lists(pictures, sources, required, image_dir, mask_dir or folder / "Masks")


def own_pictures(data_dir):
    """Where pictures lie in a data folder outside `Raw data`, `Train data` and `Test data`; None where there are none.

    They are the user's own, to be given as --source. The contact sheet of `check` is none of them.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        return None
    others = {name.casefold() for name in (TRAIN, TEST, RAW, *PUT_AWAY)} | set(MASK_FOLDERS)
    pictures = [path for path in images.list_images(data_dir, slides.SUFFIXES) if path.name != "check.png"]
    if pictures:
        return data_dir
    image_dir = _subfolder(data_dir, IMAGE_FOLDERS)
    for sub in ([image_dir] if image_dir else []) + [s for s in _folders(data_dir) if s.name.casefold() not in others]:
        if (found := _with_images(sub)) is not None:
            return found
    return None


def _with_images(folder, more=slides.SUFFIXES, depth=3):
    """The first folder, `folder` or one so many levels below, that holds images; None where there is none."""
    if images.list_images(folder, more):
        return folder
    below = (_with_images(sub, more, depth - 1) for sub in _folders(folder)) if depth else ()
    return next((found for found in below if found is not None), None)


def _no_images(folder, image_dir, more):
    """The `InputError` for a folder without images where they are looked for: it says where there are some."""
    where, wanted = image_dir or folder / "Images", "expected files such as PNG, TIFF or JPEG."
    found = _with_images(folder, more) if folder.is_dir() else None
    if found is None:
        if unread := first_unread(where if where.is_dir() else folder, ()):
            return InputError(f"{where}: no images found; {unread}")
        return InputError(f"{where}: no images found; {wanted} Put your images there.")
    if image_dir:
        inner = [sub.name for sub in _folders(image_dir) if _with_images(sub, more)]
        if inner:
            return InputError(
                f"{image_dir}: no images found; those in its subfolders ({some(inner)}) are not read; {wanted} Move "
                "them up into this folder, with the name of the subfolder before theirs where names are equal."
            )
        if unread := first_unread(image_dir, ()):
            return InputError(f"{where}: no images found; {unread}")
        return InputError(f"{where}: no images found; {wanted} Put your images there.")
    named = (*IMAGE_FOLDERS, *MASK_FOLDERS)
    above = [found.parent, found.parent.parent] if found.name.casefold() in named else []
    fits = [path for path in reversed(above) if path != folder and path.is_relative_to(folder) and _is_source(path)]
    if fits:
        return InputError(
            f"{folder}: no images found in it; expected the folder that holds Images and Masks, or a folder for each "
            f"image. Name this one instead: {fits[0]} (python main.py prepare --source {typed(fits[0])})"
        )
    seen = some((sub.name for sub in _folders(folder)), 6)
    return InputError(
        f"{folder}: no folder of images by its name among {seen}; expected one of {', '.join(IMAGE_FOLDERS)}, and for "
        f"masks {', '.join(MASK_FOLDERS)}. Rename them to Images and Masks."
    )


def _is_source(folder):
    try:
        return bool(find_pairing(folder, "optional", with_slides=True).pairs)
    except InputError:
        return False


def _refuse_one_of_two(folder):
    """`InputError` for a folder Images, or Masks, that is named without the one above, which holds both."""
    above = folder.resolve().parent
    both = [_subfolder(above, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS)]
    if all(both) and folder.resolve() in both and not _annotation_files(folder):
        raise InputError(
            f"{folder}: one of the two folders {both[0].name} and {both[1].name}; expected the folder that holds both. "
            f"Name this one instead: {above}"
        )


def _pair_lists(pictures, sources, required, image_dir, mask_dir):
    _refuse_twins(pictures)
    _refuse_twins(sources)
    if not sources and not required:
        return Pairing(_sorted_pairs(dict.fromkeys(pictures)), "images without masks", plain=True)
    listed, rest, line = pair_by_coco(pictures, sources)
    if line:
        left = [path for path in pictures if path not in listed]
        if rest:
            others = _pair_lists(left, rest, required, image_dir, mask_dir)
            found = listed | {pair.image: pair.mask for pair in others.pairs}
            return Pairing(_sorted_pairs(found), f"{line}; {others.explanation}")
        if required and left:
            raise InputError(
                f"{image_dir}: {some(path.name for path in left)} not listed in the COCO file of the masks ({line}); "
                "expected an entry for each image. Export it again with all images, or take these images out."
            )
        return Pairing(_sorted_pairs(listed | dict.fromkeys(left)), line)
    for fold in (False, True):
        tried = [*_attempts(pictures, sources, fold)]
        if fitting := _fitting(tried, required):
            return _only(fitting, mask_dir)
        if not fold:
            closest = max(tried, key=lambda attempt: len(attempt[0]))  # the exact one where several are as close
    found = _by_common_rest(pictures, sources, required)
    if found:
        return _only([found], mask_dir)
    found, left, orphans = closest
    how = f" (the others as in {_example(found)})" if found else ""
    if required and left:
        if not orphans and (unread := first_unread(mask_dir, [*pictures, *sources], masks=True)):
            raise InputError(f"{mask_dir}: no mask for {some(path.name for path in left)}{how}; {unread}")
        unused = f"; masks without an image: {some(path.name for path in orphans)}" if orphans else ""
        raise InputError(
            f"{mask_dir}: no mask for {some(path.name for path in left)}{how}{unused}; expected for each image a mask "
            "of the same name, such as Images/a.tif and Masks/a.png. Add the masks, or take these images out."
        )
    if unread := first_unread(image_dir, [*pictures, *sources]):
        raise InputError(f"{image_dir}: no image for mask {some(path.name for path in orphans)}{how}; {unread}")
    raise InputError(
        f"{image_dir}: no image for mask {some(path.name for path in orphans)}{how}; expected an image of the same "
        "name for each mask. Add the images, or take these masks out."
    )


def _pair_mixed(folder, required, more):
    """Images and masks in one folder: annotation files beside images, or mask names with a word of their own."""
    files, outlines = _pictures(folder, more), _annotation_files(folder)
    made = of_cellpose([*files, *outlines])
    masks = {path for path in made if is_cellpose_mask(path)}
    if masks:  # the rest is no mask, nor a picture
        files, outlines = ([path for path in paths if path not in made - masks] for paths in (files, outlines))
    named = {stem_of(path) for path in files if path.suffix.lower() != ARRAY_SUFFIX}
    arrays = [path for path in files if path.suffix.lower() == ARRAY_SUFFIX and stem_of(path) in named]
    files, outlines = [path for path in files if path not in arrays], outlines + arrays
    if outlines:
        return _pair_lists(files, outlines, required, folder, folder)
    _refuse_twins(files)
    fitting = []
    for rule in _rules(files, MASK_WORDS):
        masks = [path for path in files if pairing_key(path, rule) is not None]
        pictures = [path for path in files if pairing_key(path, rule) is None]
        fitting += _fitting(
            [_attempt(pictures, masks, other, rule) for other in (None, *_rules(pictures, IMAGE_WORDS))], required
        )
    if not fitting:
        if required and (unread := first_unread(folder, files, masks=True, below=False)):
            raise InputError(f"{folder}: no masks for {some(path.name for path in files)}; {unread}")
        raise InputError(
            f"{folder}: no folder Images, and images and masks that cannot be told apart by name "
            f"({some(path.name for path in files)}); expected Images and Masks with the same names, or a.png with "
            "a_mask.png for every image. Move or rename them."
        )
    return _only(fitting, folder)


def _pair_nested(folder, required, more):
    """The tree of the Data Science Bowl 2018: a folder an image, with folders images and masks."""
    found, without, alone = {}, [], []
    for sub in _folders(folder):
        image_dir, mask_dir = _subfolder(sub, IMAGE_FOLDERS), _subfolder(sub, MASK_FOLDERS)
        pictures = _files(image_dir, more) if image_dir else []
        masked = mask_dir is not None and bool(mask_sources(mask_dir))
        if len(pictures) > 1 and _is_source(sub):
            sets = [other.name for other in _folders(folder) if _subfolder(other, IMAGE_FOLDERS)]
            raise InputError(
                f"{folder}: holds several sets of images with masks ({some(sets, 6)}); expected one. Name one of them "
                f"instead, such as {sub} (python main.py prepare --source {typed(sub)})"
            )
        if len(pictures) > 1:
            raise InputError(
                f"{image_dir}: {len(pictures)} images; expected one image where each has a folder of its own. "
                "Move the others out."
            )
        if pictures:
            found[pictures[0]] = mask_dir if masked else None
            without += [] if masked else [sub]
        elif masked or image_dir:
            alone.append(sub)
    if alone:
        raise InputError(
            f"{folder}: no image in {some(sub.name for sub in alone)}; expected one in a folder images beside masks. "
            "Add the images, or take these folders out."
        )
    if required and without:
        raise InputError(
            f"{folder}: no masks in {some(sub.name for sub in without)}; expected a folder masks beside images, with "
            "one file an object. Add the masks, or take these folders out."
        )
    _refuse_twins(found)
    image = next(iter(found))
    example = f"{image.parent.parent.name}: {image.parent.name} ↔ {found[image].name if found[image] else 'no masks'}"
    return Pairing(_sorted_pairs(found), f"masks of one file an object, in a folder an image, as in {example}")


def _only(fitting, folder):
    different = {tuple(found.items()): (found, left) for found, left, _ in fitting}
    if len(different) > 1:
        examples = " or ".join(_example(found) for found, _ in different.values())
        raise InputError(
            f"{folder}: names that pair in more than one way, {examples}; expected masks named like their images. "
            "Rename them."
        )
    found, left = next(iter(different.values()))
    exact = all(pairing_key(image) == pairing_key(mask) for image, mask in found.items())
    line = f"masks by {'the same name' if exact else 'a naming convention'}, as in {_example(found)}"
    plain = exact and all(mask.suffix.lower() in images.IMAGE_SUFFIXES and mask.is_file() for mask in found.values())
    return Pairing(_sorted_pairs(found | dict.fromkeys(left)), line, plain)


def _sorted_pairs(found):
    stems = [stem_of(image) for image in found]
    made = [
        Pair(stem, image, found[image], group)
        for stem, image, group in zip(stems, found, groups_of(stems), strict=True)
    ]
    return sorted(made, key=lambda pair: pair.stem)


def _refuse_twins(paths):
    if twins := find_twins(paths, pairing_key):
        one, other = twins
        same = "share one name" if pairing_key(one) == pairing_key(other) else "differ in upper and lower case alone"
        raise InputError(
            f"{other.parent}: {one.name} and {other.name} {same}; expected one file a name, since what is made of them "
            "is named after them. Rename or remove one."
        )


def _subfolder(folder, names):
    """The first subfolder of `folder` called as one of `names`, in any case; None where there is none."""
    by_name = {sub.name.casefold(): sub for sub in _folders(folder)} if folder.is_dir() else {}
    return next((by_name[name] for name in names if name in by_name), None)


def _folders(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder, more=frozenset()):
    """Image files of `folder`; `InputError` for a symbolic link to nothing, which would else be left out silently."""
    for path in folder.iterdir() if folder.is_dir() else ():
        known = path.suffix.lower() in images.IMAGE_SUFFIXES | more or annotations.suffix_of(path)
        if path.is_symlink() and not path.exists() and known:
            raise InputError(
                f"{path}: a link to {os.readlink(path)}, which is not there; expected an image or mask. Mend the link "
                "or remove it."
            )
    return images.list_images(folder, more)


def _pictures(folder, more=frozenset()):
    """The image files of a folder but those that `predict` wrote beside them."""
    return [path for path in _files(folder, more) if not is_result(path)]


def _annotation_files(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if annotations.suffix_of(path) and not path.name.startswith(".") and path.is_file()
    )


def mask_sources(folder):
    """Everything in a masks folder that is a mask: image files, annotation files, folders of one file an object."""
    inner = [sub for sub in _folders(folder) if _files(sub) or _annotation_files(sub)]
    return sorted([*_files(folder), *_annotation_files(folder), *inner])


def has_files(data_dir, *folders):
    """True where a file stands in one of `folders` of `data_dir`, by default in any that takes images or masks."""
    folders = folders or [f"{part} data/{kind}" for part in ("Train", "Test") for kind in ("Images", "Masks")]
    return any(
        not path.name.startswith(".")
        for folder in folders
        if (Path(data_dir) / folder).is_dir()
        for path in (Path(data_dir) / folder).iterdir()
    )
