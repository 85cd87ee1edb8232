"""Folders of images and masks → pairs, by exact names or one convention for a whole folder; the split by group."""

import csv
import os
import re
import unicodedata
from dataclasses import dataclass, replace
from filecmp import cmp
from functools import cache
from pathlib import Path

import numpy as np

import annotations
import images
import slides
from images import InputError, some

GROUP_PATTERN = re.compile(r"^(.+?)[ _.-](?:field|fov|tile|crop|patch|region|roi)[ _.-]?\d.*$", re.IGNORECASE)
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "originals", "imagestr")  # the last one is nnU-Net's
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "groundtruth", "ground truth", "ground_truth", "gt", "labelstr",
)  # fmt: skip
# Words around the common part of two names; 0000 is nnU-Net's channel, d the Herlev set's, cp_masks Cellpose's.
IMAGE_WORDS = ("image", "images", "img", "im", "raw", "original", "orig", "photo", "0000")
MASK_WORDS = (
    "mask", "masks", "label", "labels", "labelled", "gt", "ground_truth", "seg", "segmentation", "segmented",
    "annotation", "annotations", "annotated", "manual", "cp_masks", "simple_segmentation", "roiset", "rois", "roi", "d",
)  # fmt: skip
TRAIN, TEST, RAW = "Train data", "Test data", "Raw data"
RECORD = "tiles.csv"  # of the tiles that `prepare` cut: which group each is of, in the data folder


# ------------------------------------------------------------------------------------------------------------ pairs


@dataclass(frozen=True)
class Pair:
    """One image and its mask, with the group (slide, field) that must not be split.

    mask : an image file, an annotation file or a folder of files, one an object; None where there is none.
    `masks.read_mask_of` reads each of them.
    levels : for a tile, the `images.intensity_range` of the field that it was cut from, (low, high), tuples with one
        number a channel; None: the image's own.
    """

    stem: str
    image: Path
    mask: Path | None
    group: str
    levels: tuple | None = None


@dataclass(frozen=True)
class Pairing:
    """Pairs, sorted by stem, and one line for people on how image and mask were recognised as belonging together.

    plain : True where the line says nothing new, since all masks are image files of exactly the image's name.
    """

    pairs: list
    explanation: str
    plain: bool = False


def group_of(stem):
    """What a tile was cut from: `slide3_field2` → `slide3`, `EDF000_tile_03_04` → `EDF000`, `cell_017` → `cell_017`."""
    match = GROUP_PATTERN.match(stem)
    return match.group(1) if match else stem


def find_pairs(folder, masks="required"):
    """The pairs of `find_pairing`: a list of `Pair` sorted by stem."""
    return find_pairing(folder, masks).pairs


def find_pairing(folder, masks="required", with_slides=False):
    """Pair the images of `folder` with their masks, and say how they were found.

    Taken are a folder with Images and Masks, the tree of the Data Science Bowl 2018 (`<id>/images/x.png` and
    `<id>/masks/*`, one file an object), and one folder of images and masks together. A mask is an image file, an
    annotation file (LabelMe, QuPath, ImageJ; see `annotations`) or a folder of files, one an object.

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
    folder, required, more = Path(folder), masks == "required", slides.SUFFIXES if with_slides else frozenset()
    image_dir, mask_dir = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    if image_dir is None and folder.is_dir():
        if any(_subfolder(sub, IMAGE_FOLDERS) for sub in _folders(folder)):
            return _pair_nested(folder, required, more)
        if _files(folder, more):
            _refuse_one_of_two(folder)
            return _pair_mixed(folder, required, more)
    pictures = _files(image_dir or folder / "Images", more) if image_dir or not folder.is_dir() else []
    if not pictures:
        raise _no_images(folder, image_dir, more)
    sources = mask_sources(mask_dir) if mask_dir else []
    if not sources:  # LabelMe keeps its outlines beside the images
        sources = _annotation_files(image_dir)
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
    others = {name.casefold() for name in (TRAIN, TEST, RAW)} | set(MASK_FOLDERS)
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
        return InputError(f"{where}: no images found; {wanted} Put your images there.")
    if image_dir:
        inner = [sub.name for sub in _folders(image_dir) if _with_images(sub, more)]
        if inner:
            return InputError(
                f"{image_dir}: no images found; those in its subfolders ({some(inner)}) are not read; {wanted} Move "
                "them up into this folder, with the name of the subfolder before theirs where names are equal."
            )
        return InputError(f"{where}: no images found; {wanted} Put your images there.")
    named = (*IMAGE_FOLDERS, *MASK_FOLDERS)
    above = [found.parent, found.parent.parent] if found.name.casefold() in named else []
    fits = [path for path in reversed(above) if path != folder and path.is_relative_to(folder) and _is_source(path)]
    if fits:
        return InputError(
            f"{folder}: no images found in it; expected the folder that holds Images and Masks, or a folder for each "
            f"image. Name this one instead: {fits[0]}"
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
        return Pairing([_pair(path, None) for path in pictures], "images without masks", plain=True)
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
        unused = f"; masks without an image: {some(path.name for path in orphans)}" if orphans else ""
        raise InputError(
            f"{mask_dir}: no mask for {some(path.name for path in left)}{how}{unused}; expected for each image a mask "
            "of the same name, such as Images/a.tif and Masks/a.png. Add the masks, or take these images out."
        )
    raise InputError(
        f"{image_dir}: no image for mask {some(path.name for path in orphans)}{how}; expected an image of the same "
        "name for each mask. Add the images, or take these masks out."
    )


def _pair_mixed(folder, required, more):
    """Images and masks in one folder: annotation files beside images, or mask names with a word of their own."""
    files, outlines = _files(folder, more), _annotation_files(folder)
    if outlines:
        return _pair_lists(files, outlines, required, folder, folder)
    _refuse_twins(files)
    fitting = []
    for rule in _rules(files, MASK_WORDS):
        masks = [path for path in files if _key(path, rule) is not None]
        pictures = [path for path in files if _key(path, rule) is None]
        fitting += _fitting(
            [_attempt(pictures, masks, other, rule) for other in (None, *_rules(pictures, IMAGE_WORDS))], required
        )
    if not fitting:
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
                f"instead, such as {sub}"
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


# What follows tries conventions. An attempt is (image → mask, images left over, masks left over).


def _attempts(pictures, sources, fold):
    yield _attempt(pictures, sources, None, None, fold)
    for rule in (None, *_rules(sources, MASK_WORDS)):
        for other in (None, *_rules(pictures, IMAGE_WORDS)):
            if rule or other:
                yield _attempt(pictures, sources, other, rule, fold)


def _attempt(pictures, sources, image_rule, mask_rule, fold=False):
    by_key, orphans = {}, []
    for path in sources:
        by_key.setdefault(_key(path, mask_rule, fold), []).append(path)
    orphans += by_key.pop(None, [])
    found, left = {}, []
    for path in pictures:
        key = _key(path, image_rule, fold)
        candidates = by_key.pop(key, []) if key is not None else []
        if len(candidates) == 1:
            found[path] = candidates[0]
        else:
            left.append(path)
            orphans += candidates
    return found, left, orphans + [path for paths in by_key.values() for path in paths]


def _fitting(tried, required):
    """The attempts that leave nothing over; the exact one alone where it is among them."""
    fits = [attempt for attempt in tried if attempt[0] and not attempt[2] and not (required and attempt[1])]
    return fits[:1] if fits and fits[0] is tried[0] else fits


def _only(fitting, folder):
    different = {tuple(found.items()): (found, left) for found, left, _ in fitting}
    if len(different) > 1:
        examples = " or ".join(_example(found) for found, _ in different.values())
        raise InputError(
            f"{folder}: names that pair in more than one way, {examples}; expected masks named like their images. "
            "Rename them."
        )
    found, left = next(iter(different.values()))
    exact = all(_key(image) == _key(mask) for image, mask in found.items())
    line = f"masks by {'the same name' if exact else 'a naming convention'}, as in {_example(found)}"
    plain = exact and all(mask.suffix.lower() in images.IMAGE_SUFFIXES and mask.is_file() for mask in found.values())
    return Pairing(_sorted_pairs(found | dict.fromkeys(left)), line, plain)


def _by_common_rest(pictures, sources, required):
    """The attempt in which all masks are named like their image with one text before or after it; None without one.

    The text holds a letter, and is apart from the name: by a space, `_`, `-` or `.`, or by a digit beside a letter. So
    img1 and img10 never meet. Where more than one text fits, none is taken.
    """
    masks = {_key(path): path for path in sources}
    by_key = {_key(path): path for path in pictures}
    first, fitting = next(iter(masks), ""), []
    for key in by_key:
        rest = len(first) - len(key)
        for before, after in ((first[:rest], ""), ("", first[len(key) :])) if rest > 0 and key else ():
            if before + key + after != first or not any(sign.isalpha() for sign in before + after):
                continue
            found = {}
            for mask, path in masks.items():
                name = mask.removeprefix(before).removesuffix(after)
                inner = (name[:1], before[-1:]) if before else (name[-1:], after[:1])
                apart = inner[1] in " _.-" or (inner[0].isdigit() and inner[1].isalpha())
                if before + name + after == mask and name in by_key and apart:
                    found[by_key[name]] = path
            left = [path for path in pictures if path not in found]
            if len(found) == len(masks) and not (required and left):
                fitting.append(({path: found[path] for path in pictures if path in found}, left, []))
    return fitting[0] if len(fitting) == 1 else None


def _example(found):
    image, mask = next(iter(found.items()))
    return f"{image.name} ↔ {mask.name}{'/*' if mask.is_dir() else ''}"


def _rules(paths, words):
    """The rules (word, before or after) that apply to at least one of `paths`."""
    rules = [(word, place) for word in words for place in ("before", "after")]
    return [rule for rule in rules if any(_key(path, rule) is not None for path in paths)]


def _key(path, rule=None, fold=False):
    """What a file and its partner have in common in their names; None where `rule` does not apply to the file."""
    key = unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem)
    pictures = images.IMAGE_SUFFIXES | slides.SUFFIXES
    if path.suffix.lower() in annotations.SUFFIXES and Path(key).suffix.lower() in pictures:
        key = Path(key).stem  # a.tif.geojson belongs to a.tif
    if rule:
        match = _pattern(*rule).fullmatch(key)
        if not match:
            return None
        key = match.group(1)
    return key.casefold() if fold else key


@cache
def _pattern(word, place):
    word = re.escape(word).replace("_", "[ _.-]?")
    if place == "before":  # mask_1, mask-1, mask1
        return re.compile(rf"{word}(?:[ _.-]+|(?=\d)|$)(.*)", re.IGNORECASE)
    return re.compile(rf"(.*?)(?:[ _.-]+|(?<=\d)|^){word}", re.IGNORECASE)


def _sorted_pairs(found):
    return sorted((_pair(image, mask) for image, mask in found.items()), key=lambda pair: pair.stem)


def _pair(image, mask):
    return Pair(image.stem, image, mask, group_of(image.stem))


def _refuse_twins(paths):
    seen = {}
    for path in paths:
        key = _key(path)
        if key in seen:
            raise InputError(
                f"{path.parent}: {seen[key].name} and {path.name} share one name; expected one file a name. "
                "Rename or remove one."
            )
        seen[key] = path


def _subfolder(folder, names):
    """The first subfolder of `folder` called as one of `names`, in any case; None where there is none."""
    by_name = {sub.name.casefold(): sub for sub in _folders(folder)} if folder.is_dir() else {}
    return next((by_name[name] for name in names if name in by_name), None)


def _folders(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder, more=frozenset()):
    """Image files of `folder`; `InputError` for a symbolic link to nothing, which would else be left out silently."""
    for path in folder.iterdir() if folder.is_dir() else ():
        suffixes = images.IMAGE_SUFFIXES | annotations.SUFFIXES | more
        if path.is_symlink() and not path.exists() and path.suffix.lower() in suffixes:
            raise InputError(
                f"{path}: a link to {os.readlink(path)}, which is not there; expected an image or mask. Mend the link "
                "or remove it."
            )
    return images.list_images(folder, more)


def _annotation_files(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in annotations.SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def mask_sources(folder):
    """Everything in a masks folder that is a mask: image files, annotation files, folders of one file an object."""
    inner = [sub for sub in _folders(folder) if _files(sub) or _annotation_files(sub)]
    return sorted([*_files(folder), *_annotation_files(folder), *inner])


def group_by(pairs, by):
    """The same pairs with groups (slide, patient, field) from a name pattern or a table.

    Parameters
    ----------
    pairs : list of `Pair`.
    by : a regular expression, found anywhere in the stem: its first bracketed part (the whole match without brackets)
        is the group; or the path of a .csv file with the columns file (image name, with or without suffix) and group.

    Returns a list of `Pair`. Raises `InputError` for a pattern or a table that does not give every image its group.
    """
    if str(by).lower().endswith(".csv"):
        groups = _groups_in(_read_rows(Path(by)), Path(by))
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


def recorded(pairs, data_dir):
    """The same pairs; those that `data_dir`/tiles.csv lists, where `prepare` wrote one, with their group and levels.

    Raises `InputError` for a table without the columns file and group, or with others than numbers for levels.
    """
    path = Path(data_dir) / RECORD
    if not path.is_file():
        return list(pairs)
    rows = _read_rows(path)
    groups, levels = _groups_in(rows, path), _levels_in(rows, path)
    names = [_normal(pair.image.name) for pair in pairs]
    return [
        replace(pair, group=groups.get(name) or pair.group, levels=levels.get(name))
        for pair, name in zip(pairs, names, strict=True)
    ]


def recorded_levels(data_dir):
    """From the name of a tile in `data_dir`/tiles.csv to its `Pair.levels`; empty where there is no such table."""
    path = Path(data_dir) / RECORD
    return _levels_in(_read_rows(path), path) if path.is_file() else {}


def _levels_in(rows, path):
    levels = {}
    for row in rows:
        if row.get("low"):
            try:
                low, high = (tuple(float(value) for value in row[column].split()) for column in ("low", "high"))
            except (AttributeError, KeyError, ValueError) as error:
                raise InputError(
                    f"{path}: low and high of {row['file']} are {row['low']!r} and {row.get('high')!r}; expected "
                    "numbers. Delete the table and run prepare again."
                ) from error
            levels[row["file"]] = levels[_normal(row["file"])] = low, high
    return levels


def _groups_in(rows, path):
    groups = {}
    for row in rows:
        name, group = _normal((row["file"] or "").strip()), (row["group"] or "").strip()
        if groups.setdefault(name, group) != group:
            raise InputError(f"{path}: {name} is in groups {groups[name]} and {group}; expected one. Mend the table.")
    return groups


def _read_rows(path):
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


def has_files(data_dir, *folders):
    """True where a file stands in one of `folders` of `data_dir`, by default in any that takes images or masks."""
    folders = folders or [f"{part} data/{kind}" for part in ("Train", "Test") for kind in ("Images", "Masks")]
    return any(
        not path.name.startswith(".")
        for folder in folders
        if (Path(data_dir) / folder).is_dir()
        for path in (Path(data_dir) / folder).iterdir()
    )


def shared_images(training, tests):
    """Names of the test images that are, byte for byte, training images: their scores are worth nothing.

    Images of one name and different content, such as 0.png in both folders, are not shared.
    """
    by_size = {}
    for pair in training:
        by_size.setdefault(pair.image.stat().st_size, []).append(pair.image)
    return [
        test.image.name
        for test in tests
        if any(cmp(test.image, other, shallow=False) for other in by_size.get(test.image.stat().st_size, ()))
    ]


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
