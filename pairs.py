"""Folders of images and masks → checked pairs, the meaning of the mask values, the split by group, the scale.

Everything here is decided once for a whole folder and needs no Keras, so that `check` and `predict` start at once.
"""

import csv
import os
import re
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from filecmp import cmp
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import annotations
import images
from images import InputError

GROUP_PATTERN = re.compile(r"^(.+?)[ _.-](?:field|fov|tile|crop|patch|region|roi)[ _.-]?\d.*$", re.IGNORECASE)
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "groundtruth", "gt")
# Words around the common part of two names; 0000 is nnU-Net's channel, d the Herlev set's, cp_masks Cellpose's.
IMAGE_WORDS = ("image", "images", "img", "im", "raw", "original", "orig", "photo", "0000")
MASK_WORDS = (
    "mask", "masks", "label", "labels", "labelled", "gt", "ground_truth", "seg", "segmentation", "segmented",
    "annotation", "annotations", "annotated", "manual", "cp_masks", "simple_segmentation", "roiset", "rois", "roi", "d",
)  # fmt: skip
RECORD = "tiles.csv"  # of the tiles that `prepare` cut: which group each is of, in the data folder
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
MAIN_SHARE = 0.005  # of the pixels: what a colour must hold not to be taken for a blurred edge between others
COLOUR = 2**24  # colours in masks become numbers from here on, out of the way of labels of 16 bits


# ------------------------------------------------------------------------------------------------------------ pairs


@dataclass(frozen=True)
class Pair:
    """One image and its mask, with the group (slide, field) that must not be split.

    mask : an image file, an annotation file or a folder of files, one an object; None where there is none.
    `read_mask_of` reads each of them.
    """

    stem: str
    image: Path
    mask: Path | None
    group: str


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


def find_pairing(folder, masks="required"):
    """Pair the images of `folder` with their masks, and say how they were found.

    Taken are a folder with Images and Masks, the tree of the Data Science Bowl 2018 (`<id>/images/x.png` and
    `<id>/masks/*`, one file an object), and one folder of images and masks together. A mask is an image file, an
    annotation file (LabelMe, QuPath, ImageJ; see `annotations`) or a folder of files, one an object.

    Names pair by exact stem, in any Unicode normal form. Where that leaves a file over, a convention is looked for
    that leaves none: a word before or after the common name (`x_mask`, `mask_x`, `image_1`/`mask_1`), then a difference
    in upper and lower case. A convention that fits only a part of the folder is not used.

    Parameters
    ----------
    folder : path of `Train data`, `Test data` or any folder of the kinds above.
    masks : "required" (each image has one) or "optional" (an image without one gives `mask=None`).

    Returns a `Pairing`. Raises `InputError` naming the files when there is no image, when two files share a stem, when
    several conventions fit, when a mask has no image, or when a required mask is missing.
    """
    folder, required = Path(folder), masks == "required"
    image_dir, mask_dir = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    if image_dir is None and folder.is_dir():
        if any(_subfolder(sub, IMAGE_FOLDERS) for sub in _folders(folder)):
            return _pair_nested(folder, required)
        if _files(folder):
            return _pair_mixed(folder, required)
    image_dir = image_dir or folder / "Images"
    pictures = _files(image_dir)
    if not pictures:
        raise InputError(
            f"{image_dir}: no images found; expected files such as PNG, TIFF or JPEG. Put your images there."
        )
    sources = _mask_sources(mask_dir) if mask_dir else []
    if not sources:  # LabelMe keeps its outlines beside the images
        sources, mask_dir = _annotation_files(image_dir), mask_dir or folder / "Masks"
    return _pair_lists(pictures, sources, required, image_dir, mask_dir)


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


def _pair_mixed(folder, required):
    """Images and masks in one folder: annotation files beside images, or mask names with a word of their own."""
    files, outlines = _files(folder), _annotation_files(folder)
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


def _pair_nested(folder, required):
    """The tree of the Data Science Bowl 2018: a folder an image, with folders images and masks."""
    found, without, alone = {}, [], []
    for sub in _folders(folder):
        image_dir, mask_dir = _subfolder(sub, IMAGE_FOLDERS), _subfolder(sub, MASK_FOLDERS)
        pictures = _files(image_dir) if image_dir else []
        masked = mask_dir is not None and bool(_mask_sources(mask_dir))
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
    if path.suffix.lower() in annotations.SUFFIXES and Path(key).suffix.lower() in images.IMAGE_SUFFIXES:
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


def _files(folder):
    """Image files of `folder`; `InputError` for a symbolic link to nothing, which would else be left out silently."""
    for path in folder.iterdir() if folder.is_dir() else ():
        suffixes = images.IMAGE_SUFFIXES | annotations.SUFFIXES
        if path.is_symlink() and not path.exists() and path.suffix.lower() in suffixes:
            raise InputError(
                f"{path}: a link to {os.readlink(path)}, which is not there; expected an image or mask. Mend the link "
                "or remove it."
            )
    return images.list_images(folder)


def _annotation_files(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in annotations.SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _mask_sources(folder):
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
        groups = _read_groups(Path(by))
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


def recorded_groups(pairs, data_dir):
    """The same pairs; those that `data_dir`/tiles.csv lists, where `prepare` wrote one, with the groups it gives them.

    Raises `InputError` for a table without the columns file and group.
    """
    if not (Path(data_dir) / RECORD).is_file():
        return list(pairs)
    groups = _read_groups(Path(data_dir) / RECORD)
    return [replace(pair, group=groups.get(_normal(pair.image.name)) or pair.group) for pair in pairs]


def _read_groups(path):
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
    groups = {}
    for row in rows:
        name, group = _normal((row["file"] or "").strip()), (row["group"] or "").strip()
        if groups.setdefault(name, group) != group:
            raise InputError(f"{path}: {name} is in groups {groups[name]} and {group}; expected one. Mend the table.")
    return groups


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


def some(names, show=3):
    """A few of many names, for one line: `a, b, c and 5 more`."""
    names = list(names)
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def split_by_group(pairs, share=0.2, seed=0):
    """Split pairs into (training, validation), whole groups at a time, so that no slide or field is in both.

    The number of groups is rounded down, since where there are few of them each counts more in training; but one is
    held out where there are two or more. With a single group validation is empty. The same seed gives the same split
    whatever the order of `pairs`.
    """
    groups = sorted({pair.group for pair in pairs})
    if len(groups) < 2:
        return list(pairs), []
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(groups))
    held_out = {groups[i] for i in order[: max(1, int(share * len(groups)))]}
    return [p for p in pairs if p.group not in held_out], [p for p in pairs if p.group in held_out]


# ----------------------------------------------------------------------------------------------------------- survey


@dataclass(frozen=True)
class Survey:
    """What one pass over all files of a folder found.

    sizes : list of (height, width) in pixels, one an image.
    colour : True where at least one image carries colour.
    mask_values : dictionary from each value stored in a mask to its number of pixels.
    masks : list of `MaskFacts`, one a mask.
    """

    sizes: list
    colour: bool
    mask_values: dict
    masks: list = field(default_factory=list)

    def span(self):
        """The sizes and kind of the images, for people: `256×256 to 1024×1024 px (height×width), grey`."""
        smallest, largest = (f"{size[0]}×{size[1]}" for size in (min(self.sizes, key=max), max(self.sizes, key=max)))
        spread = smallest if smallest == largest else f"{smallest} to {largest}"
        return f"{spread} px (height×width), {'colour' if self.colour else 'grey'}"

    def background(self):
        """The value that fills the borders of at least two thirds of the masks; None where no value does.

        Masks of a single value say nothing and have no vote.
        """
        votes = Counter(mask.border for mask in self.masks if len(mask.values) > 1)
        value, count = votes.most_common(1)[0] if votes else (None, 0)
        return value if votes and count * 3 >= votes.total() * 2 else None

    def coding(self, classes=1, foreground=None):
        """What the mask values of the whole folder mean: `mask_coding`, knowing also each file's values and borders.

        Returns a `MaskCoding`. Raises `InputError` as `mask_coding` does, and for files whose values mean different
        things, such as 0/255 in some and class ids in others, naming them.
        """
        names = {value: name for mask in self.masks for value, name in mask.names.items()}
        lossy = any(mask.path.suffix.lower() in LOSSY_SUFFIXES for mask in self.masks)
        note = "" if foreground is not None else self._mixture(classes)
        coding = mask_coding(self.mask_values, classes, foreground, self.background(), names, lossy)
        return replace(coding, explanation=coding.explanation + note)

    def _mixture(self, classes):
        """A note on files that are stored differently and mean the same; `InputError` where they cannot."""
        kinds = {}
        for mask in self.masks:
            lossy = mask.path.suffix.lower() in LOSSY_SUFFIXES
            kinds.setdefault(_kind(mask.values, lossy), []).append(mask.name)
        small = kinds.keys() & {"0/1", "class ids"}
        large = kinds.keys() & {"0/255", "colours"} | (
            {"soft 0/255"} & kinds.keys() if _soft(self.mask_values) else set()
        )
        outlines = kinds.keys() & {"named outlines"}
        if sum(map(bool, (small, large, outlines))) < 2:
            return ""
        listed = "; ".join(f"{kind} in {some(kinds[kind])}" for kind in sorted(small | large | outlines))
        above_zero = large <= {"0/255"} and not (large and "class ids" in small)
        if classes > 1 or not above_zero:
            raise InputError(
                f"masks of different encodings in one folder: {listed}; expected one meaning of the values. Export "
                "them alike, or choose the values that count with --foreground."
            )
        return f"; stored in different ways that mean the same: {listed}"

    def notes(self, coding):
        """Lines for people about masks without foreground, with nothing else, or contrary to the other masks."""
        shares = []
        for mask in self.masks:
            is_foreground = coding.decode(mask.values[np.newaxis])[0] > 0
            border = coding.decode(np.array([[mask.border]]))[0, 0] > 0
            shares.append((mask.name, mask.counts[is_foreground].sum() / mask.counts.sum(), border))
        lines = []
        for text, names in (
            ("without any foreground", [name for name, share, _ in shares if share == 0]),
            ("with foreground everywhere", [name for name, share, _ in shares if share == 1]),
            ("with foreground along the border and in most of the area, perhaps inverted",
             [name for name, share, border in shares if border and 0.5 < share < 1]),
        ):  # fmt: skip
            if names:
                lines.append(f"{len(names)} of {len(shares)} masks {text}: {some(names)}")
        return lines


@dataclass(frozen=True)
class MaskFacts:
    """What one mask holds: its distinct `values` (ascending) and their pixel `counts`, int64 ndarrays of shape (n,);
    the value `border` that is the most frequent one in the outermost pixels; `names`, from value to class name."""

    path: Path
    values: np.ndarray
    counts: np.ndarray
    border: int
    names: dict

    @property
    def name(self):
        """The file's name for messages, with its parent for a folder of files, which are all called masks."""
        return f"{self.path.parent.name}/{self.path.name}" if self.path.is_dir() else self.path.name


def survey(pairs, quiet=False):
    """Read every image and mask once, so that nothing unreadable turns up in the middle of a training.

    Returns a `Survey`. Raises `InputError` for the first file that cannot be read or a mask of another size than its
    image, saying how many more there are.
    """
    sizes, values, masks, colour, problems = [], {}, [], False, []
    with ThreadPoolExecutor(2) as pool:
        for found in tqdm(
            pool.map(_look_at, pairs),
            total=len(pairs),
            desc="read",
            unit="image",
            leave=False,
            disable=quiet or None,
            delay=1,
        ):
            if isinstance(found, InputError):
                problems.append(found)
                continue
            size, has_colour, mask = found
            sizes.append(size)
            colour |= has_colour
            if mask:
                masks.append(mask)
                for value, count in zip(mask.values.tolist(), mask.counts.tolist(), strict=True):
                    values[value] = values.get(value, 0) + count
    if problems:
        more = f" (and {len(problems) - 1} more files with problems)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
    return Survey(sizes, colour, values, masks)


def _look_at(pair):
    try:
        image = images.read(pair.image)
        return image.shape[:2], not images.is_grey(image), mask_facts(pair, image.shape[:2]) if pair.mask else None
    except InputError as error:
        return error


def mask_facts(pair, size):
    """The `MaskFacts` of a pair whose image is (height, width) = `size`. Raises `InputError` as `read_mask_of` does."""
    mask, names = read_named_mask_of(pair, size)
    values, counts = _histogram(mask)
    around, times = _histogram(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]))
    return MaskFacts(pair.mask, values, counts, int(around[times.argmax()]), names)


def _histogram(array):
    if array.dtype in (np.uint8, np.uint16):  # ten times faster than sorting
        counts = np.bincount(array.ravel(), minlength=1)
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(array, return_counts=True)
    return values.astype(np.int64), counts


def read_mask_of(pair, size):
    """The stored mask of a pair, an integer ndarray of shape (height, width), whatever its source.

    An image file gives its values, colours as `COLOUR | red << 16 | green << 8 | blue` (greys among them as their grey
    value); an annotation file 0 and `annotations.name_value` of the classes; a folder of files their union, later files
    over earlier ones. What the values mean is the matter of `MaskCoding`.

    Raises `InputError` for a file that cannot be read and where the mask's size is not the image's `size`.
    """
    return read_named_mask_of(pair, size)[0]


def read_named_mask_of(pair, size):
    """As `read_mask_of`: (mask, names), with a dictionary from value to class name, empty but for annotation files."""
    return _stored(pair.mask, size, pair.image.name)


def _stored(path, size, image_name):
    if path.is_dir():
        mask, names = None, {}
        for part in _mask_sources(path):
            values, more = _stored(part, size, image_name)
            mask = values if mask is None else np.where(values > 0, values, mask)
            names |= more
        return mask, names
    if path.suffix.lower() in annotations.SUFFIXES:
        return annotations.read_annotation(path, size)
    mask = _values(path)
    if mask.shape != tuple(size):
        raise InputError(
            f"{path}: mask of {mask.shape[0]}×{mask.shape[1]} pixels for an image of {size[0]}×{size[1]} "
            f"({image_name}); expected one size (height×width). Export the mask at the image's size."
        )
    return mask, {}


def _values(path):
    try:
        return images.read_mask(path)
    except InputError:
        colours = images.read(path)  # damaged files are refused here again, in the same words
        if colours.dtype != np.uint8 or images.is_grey(colours):
            raise
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return np.where((red == green) & (green == blue), red, COLOUR | red << 16 | green << 8 | blue)


# ------------------------------------------------------------------------------------------------------------ masks


@dataclass(frozen=True)
class MaskCoding:
    """What the values in the mask files mean, decided once for the whole folder.

    values : file values that are foreground (classes=1), or None where a threshold decides.
    threshold : file values at or above it are foreground (classes=1, values=None).
    classes : 1, or K for class ids 0…K−1.
    explanation : one line for people.
    palette : file values of class 0, 1, …, where they are not the ids themselves (colours, named outlines, 0/128/255);
        with classes=1 all but the first are foreground.
    soft : True where other values than the palette's are smoothed or compressed edges, and the nearest colour decides.
    inverted : True where values below the threshold are the foreground.
    """

    values: tuple | None
    threshold: int
    classes: int
    explanation: str
    palette: tuple | None = None
    soft: bool = False
    inverted: bool = False

    def check(self, mask_values):
        """Raise `InputError` where masks hold values that this coding has no class for."""
        if self.palette is not None:
            unknown = set(mask_values) - set(self.palette)
            if unknown and not self.soft:
                raise InputError(
                    f"masks hold the unknown values {_listed(unknown)}; expected those of the training masks "
                    f"({self.explanation}). Use the same labels."
                )
        elif self.classes > 1 and not all(0 <= value < self.classes for value in mask_values):
            raise InputError(
                f"masks hold the values {_listed(mask_values)}; expected the class ids 0 to "
                f"{self.classes - 1} for {self.classes} classes. Give the right number with --classes, or use "
                "--foreground for one of them."
            )

    def decode(self, stored):
        """Class ids, uint8 (height, width), from stored mask values of the same shape."""
        if self.palette is not None:
            ids = _nearest(stored, self.palette)
            return ids if self.classes > 1 else (ids > 0).astype(np.uint8)
        if self.classes > 1:
            return stored.astype(np.uint8)
        if self.values is not None:
            return np.isin(stored, self.values).astype(np.uint8)
        return ((stored >= self.threshold) != self.inverted).astype(np.uint8)


def mask_coding(mask_values, classes=1, foreground=None, background=None, names=None, lossy=False):
    """Find what the mask values of a folder mean. `Survey.coding` calls this with all that the files tell.

    Parameters
    ----------
    mask_values : dictionary from value to number of pixels, over all masks (`Survey.mask_values`).
    classes : int, 1 for foreground/background, K for class ids 0…K−1 in the files, or for K values or colours, which
        become the classes in ascending order (named outlines by name), after the background.
    foreground : sequence of int, the values that count as foreground (classes=1 only); None detects.
    background : the value around the objects where it is known (`Survey.background`).
    names : dictionary from value to class name, for named outlines.
    lossy : True where masks are in files that do not keep values exactly (JPEG).

    Returns a `MaskCoding`. Raises `InputError` where the values do not fit `classes` or nothing is foreground.
    """
    if classes > 1 and foreground is not None:
        raise InputError(
            f"--foreground {','.join(map(str, foreground))} and --classes {classes} received; expected one of the two: "
            "--foreground for a binary mask, --classes for class ids. Leave one out."
        )
    values, total, names = sorted(mask_values), sum(mask_values.values()), names or {}
    listed = _listed(values, names)
    coloured = values[-1] >= COLOUR
    blurred = (coloured or lossy) and len(values) > 32 and not _soft(mask_values)
    if classes > 1:
        return _class_coding(mask_values, classes, background, names, blurred)
    if foreground is not None:
        if not set(foreground) & set(values):
            raise InputError(
                f"masks hold the values {listed}; none is --foreground {','.join(map(str, foreground))}. "
                "Choose among the values they hold."
            )
        chosen = ", ".join(map(str, foreground))
        if blurred or _soft(mask_values):  # an edge value goes with the nearest of the values that are no edges
            main = [value for value in _main_values(mask_values, MAIN_SHARE) if _apart(value, foreground)]
            nearest = _nearest(np.arange(256), (*main, *foreground))
            chosen_values = tuple(np.flatnonzero(nearest >= len(main)).tolist())
            return MaskCoding(chosen_values, 0, 1, f"mask values {listed} (soft edges); foreground: around {chosen}")
        return MaskCoding(tuple(foreground), 0, 1, f"mask values {listed}; foreground: {chosen}")
    if values[-1] <= 0:
        raise InputError(
            "all masks are empty (only the value 0); expected foreground above 0. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    if len(values) == 1:
        raise InputError(
            f"all masks are full (only the value {listed}); expected background too. Check that the masks are not the "
            "wrong files, or that the annotation was exported."
        )
    if coloured or blurred:
        palette = _main_values(mask_values, MAIN_SHARE) if blurred else values
        palette = _background_first(palette, background, names)
        if len(palette) < 2:
            raise InputError(
                f"masks hold only {value_text(palette[0])}; expected background and cells. Check the export."
            )
        text = f"foreground: everything but {value_text(palette[0], names)}"
        if blurred:
            return MaskCoding(None, 0, 1, f"mask values {listed} (soft edges); {text}", palette, soft=True)
        if palette[0] == 0:
            return MaskCoding(None, 1, 1, f"mask values {listed}; {text}")
        return MaskCoding(palette[1:], 0, 1, f"mask values {listed}; {text}")
    soft = _soft(mask_values)
    most = background is not None and mask_values.get(background, 0) * 2 > total
    if soft:  # 0/255 with smoothed or JPEG-compressed edges
        inverted = most and background >= 128
        text = f"below 128 ({background} fills the borders and most of the area; if it is the cells: --foreground "
        text = f"{text}{background})"
        text = text if inverted else "128 and above"
        return MaskCoding(None, 128, 1, f"mask values {listed} (soft edges); foreground: {text}", inverted=inverted)
    if len(values) == 2 and most and background == values[1]:
        text = f"{values[0]} ({background} fills the borders and most of the area; if it is the cells: --foreground "
        return MaskCoding((values[0],), 0, 1, f"mask values {listed}; foreground: {text}{background})")
    if values[0] > 0 and background is not None:  # such as 1 background, 2 cell
        chosen = tuple(value for value in values if value != background)
        return MaskCoding(chosen, 0, 1, f"mask values {listed}; foreground: everything but {background}")
    return MaskCoding(None, 1, 1, f"mask values {listed}; foreground: above 0")


def _class_coding(mask_values, classes, background, names, blurred):
    values = sorted(mask_values)
    coding = MaskCoding(None, 0, classes, f"mask values {_listed(values)} are class ids")
    if values[0] >= 0 and values[-1] < classes:
        return coding
    palette = values
    if blurred or _soft(mask_values):
        palette = _main_values(mask_values, 0, classes)
    elif values[-1] >= annotations.FIRST_NAMED:
        palette = sorted({0, *values})  # fully annotated images may leave no background
    if len(palette) != classes:
        if values[-1] < COLOUR:
            coding.check(mask_values)
        raise InputError(
            f"masks hold {len(palette)} values or colours, {_listed(palette, names)}; expected {classes} for {classes} "
            f"classes (background is one). Give --classes {len(palette)}, or merge labels."
        )
    palette = _background_first(palette, background, names)
    meaning = ", ".join(f"{index} = {value_text(value, names)}" for index, value in enumerate(palette))
    edges = " (soft edges: the nearest)" if palette != tuple(values) and len(values) > len(palette) else ""
    return MaskCoding(None, 0, classes, f"classes: {meaning}{edges}", palette, soft=bool(edges))


def _background_first(palette, background, names):
    """Values with the background first, then in ascending order, named ones by name, so that no count decides."""
    named = max(palette) >= annotations.FIRST_NAMED
    if background not in palette or (named and 0 in palette):
        background = palette[0] if max(palette) < COLOUR else 0
    if background not in palette:
        raise InputError(
            f"masks hold {_listed(palette, names)}, none black and none along most borders, so that the background "
            "cannot be told; expected one background. Make it black (0) in the masks."
        )
    return tuple(sorted(palette, key=lambda value: (value != background, names.get(value, ""), value)))


def _soft(mask_values):
    """True for 0/255 masks with smoothed or compressed edges: many values, and among the brighter most near 255.

    Label images have many values too, but as many around 128 as near 255.
    """
    if len(mask_values) <= 4 or max(mask_values) > 255 or max(mask_values) < 240:
        return False
    middle = sum(count for value, count in mask_values.items() if 16 <= value < 240)
    high = sum(count for value, count in mask_values.items() if value >= 240)
    return high > middle


def _main_values(mask_values, share, most=None):
    """The values that others are blends of: the most frequent, far from each other, each with `share` of the pixels."""
    total, main = sum(mask_values.values()), []
    for value in sorted(mask_values, key=lambda value: (-mask_values[value], value)):
        if mask_values[value] < share * total or len(main) == most:
            break
        if _apart(value, main):
            main.append(value)
    return main


def _apart(value, others):
    return all(np.abs(_rgb(value) - _rgb(other)).max() > 48 for other in others)


def _nearest(stored, palette):
    values, where = np.unique(stored, return_inverse=True)
    distance = ((_rgb(values)[:, np.newaxis] - _rgb(np.array(palette))) ** 2).sum(-1)
    return distance.argmin(1).astype(np.uint8)[where].reshape(stored.shape)


def _rgb(values):
    """Values as points (n, 3) between which distances make sense: colours, and greys v as (v, v, v)."""
    values = np.asarray(values, np.int64)
    colour = np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1)
    return np.where((values >= COLOUR)[..., np.newaxis], colour, values[..., np.newaxis])


def value_text(value, names=None):
    """A mask value for people: its class name, a colour as #ff0000, or the number."""
    if names and value in names:
        return names[value]
    return f"#{value - COLOUR:06x}" if COLOUR <= value < 2 * COLOUR else str(value)


def _listed(values, names=None):
    names = names or {}
    return some([value_text(value, names) for value in sorted(values, key=lambda v: (names.get(v, ""), v))], 6)


def _kind(values, lossy):
    """How a mask is stored, from its distinct values: a phrase, or None where it is empty or fits any."""
    above = values[values > 0]
    if not above.size:
        return None
    highest = above[-1]
    if highest >= annotations.FIRST_NAMED:
        return "named outlines"
    if highest >= COLOUR:
        return "colours"
    if highest < 32:
        return None if lossy else "0/1" if highest == 1 else "class ids"
    if highest == 255 and above.size == 1:
        return "0/255"
    return "soft 0/255" if 240 <= highest <= 255 and above.size > 4 else None


# -------------------------------------------------------------------------------------------------------- the scale


def choose_fit(sizes, tile_px):
    """True where the images are single-cell crops, to be brought to the tile size; False for fields.

    The rule: when more than half of the training images have both sides smaller than the tile, the size of a picture
    is the size of its cell, not a magnification. Then every image, in training and in prediction, is scaled so that
    its longer side fills the tile. Otherwise every image keeps its pixels.

    Parameters: sizes, list of (height, width) in pixels; tile_px, the training tile's side.
    """
    return sum(max(size) < tile_px for size in sizes) * 2 > len(sizes)


def resize(array, height, width, nearest=False):
    """Resample (height, width[, channels]): by area when shrinking, linearly when growing, nearest for masks."""
    if array.shape[:2] == (height, width):
        return array
    if nearest:
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinking = height * width < array.shape[0] * array.shape[1]
    resized = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.reshape(height, width, *array.shape[2:])


def fitted_size(height, width, tile_px):
    """Size (height, width) at which the longer side is `tile_px`, the aspect ratio kept."""
    scale = tile_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
