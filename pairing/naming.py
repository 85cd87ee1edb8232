"""Which mask file is named like which image: the words of folders and files, and one convention for a whole folder.

An attempt is one convention tried: (image → mask, images left over, masks left over).
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

from pairing import annotations
from reading import images, slides
from reading.files import stem_of, without_ome

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


CELLPOSE_MASKS = "_cp_masks"
# What Cellpose writes beside a picture and its masks: a_seg.npy, a_flows.tif, a_outlines_cp_masks.png …
_OF_CELLPOSE = re.compile(r"(.+?)(_cp_masks|_seg|(_cp)?_flows|_dP|_cp_output|_cp_outlines|_outlines_cp_masks|_rois)")


def of_cellpose(paths):
    """Which files of one folder Cellpose made of a picture beside them: a set of paths, its masks among them."""
    stems, found = {stem_of(path) for path in paths}, set()
    for path in paths:
        match = _OF_CELLPOSE.fullmatch(stem_of(path))
        if match and match.group(1) in stems:
            its_own = path.name.endswith("_seg.npy") or f"{match.group(1)}{CELLPOSE_MASKS}" in stems
            found |= {path} if its_own else set()
    return found


def is_cellpose_mask(path):
    """True for the name of Cellpose's masks, a_cp_masks.png; not of the picture of them, a_outlines_cp_masks.png."""
    match = _OF_CELLPOSE.fullmatch(stem_of(path))
    return bool(match) and match.group(2) == CELLPOSE_MASKS


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
        by_key.setdefault(pairing_key(path, mask_rule, fold), []).append(path)
    orphans += by_key.pop(None, [])
    found, left = {}, []
    for path in pictures:
        key = pairing_key(path, image_rule, fold)
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


def _by_common_rest(pictures, sources, required):
    """The attempt in which all masks are named like their image with one text before or after it; None without one.

    The text holds a letter, and is apart from the name: by a space, `_`, `-` or `.`, or by a digit beside a letter. So
    img1 and img10 never meet. Where more than one text fits, none is taken.
    """
    masks = {pairing_key(path): path for path in sources}
    by_key = {pairing_key(path): path for path in pictures}
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
    return [rule for rule in rules if any(pairing_key(path, rule) is not None for path in paths)]


def pairing_key(path, rule=None, fold=False):
    """What a file and its partner have in common in their names; None where `rule` does not apply to the file."""
    ending = "" if path.is_dir() else annotations.suffix_of(path) or path.suffix
    key = unicodedata.normalize("NFC", without_ome(path.name.removesuffix(ending)))
    pictures = images.IMAGE_SUFFIXES | slides.SUFFIXES
    if ending.lower() in annotations.SUFFIXES and Path(key).suffix.lower() in pictures:
        key = stem_of(key)  # a.tif.geojson belongs to a.tif
    if rule:
        match = _pattern(*rule).fullmatch(key)
        if not match:
            return None
        key = without_ome(match.group(1))  # a.ome_mask.tif belongs to a.ome.tif
    return key.casefold() if fold else key


@cache
def _pattern(word, place):
    word = re.escape(word).replace("_", "[ _.-]?")
    if place == "before":  # mask_1, mask-1, mask1
        return re.compile(rf"{word}(?:[ _.-]+|(?=\d)|$)(.*)", re.IGNORECASE)
    return re.compile(rf"(.*?)(?:[ _.-]+|(?<=\d)|^){word}", re.IGNORECASE)
