"""Which pictures are corrected: those of the data folder, or those that a user names."""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from correcting.working_copy import paths_of_copies
from pairing.pairs import TRAIN, Pair
from predicting.folder import find_images
from preparing.field_table import standing_fields
from reading import images
from reading.files import InputError, sha256, stem_of, typed
from reading.large_images import is_large

LARGEST_PIXELS = 2**26  # 8192×8192: what a browser draws without trouble
QUPATH = "Correct slides and very large pictures in QuPath (docs/own_images.md says how)."


@dataclass
class Picture:
    """One picture to correct.

    number : in the list, from 1; its name towards the page.
    pair : `pairs.Pair`; its mask is None where there is none.
    part : "train" or "test" of the data folder, "new" elsewhere.
    """

    number: int
    pair: Pair
    part: str
    height: int
    width: int
    problem: str | None = None  # why it could not become a training field, for people
    lock: threading.RLock = field(default_factory=threading.RLock)  # while it is opened

    @property
    def path(self):
        return self.pair.image

    @property
    def id(self):
        return str(self.number)

    @cached_property
    def sha256(self):
        return sha256(self.path)


def find_pictures(data, paths=()):
    """The `Picture`s of a data folder, or those that paths name, folders standing for what is in them.

    A named picture that is one of the data folder, or a copy of one, is that one.

    Raises `InputError` where there is none, and for a named file that cannot be corrected; others are said and left
    out.
    """
    own = standing_fields(data)
    if paths:
        own = _named(own, find_images(paths, "correct"), paths_of_copies(data))
    named = {Path(path).resolve() for path in paths}
    found, left_out = [], []
    for pair, part in own:
        try:
            found.append(Picture(len(found) + 1, pair, part, *_size(pair.image)))
        except InputError as error:
            if pair.image.resolve() in named:
                raise
            left_out.append(error)
    for error in left_out:
        print(f"left out: {error}")
    if not found:
        raise InputError(
            f"{data}: no pictures to correct; expected some in {Path(data) / TRAIN / 'Images'}, or named ones. Name "
            f"pictures: python main.py correct my_smear.png --data {typed(data)}"
        )
    return found


def _size(path):
    if is_large(path):
        raise InputError(f"{path}: a slide or a very large picture; expected a field. {QUPATH}")
    height, width = images.size(path)
    if height * width > LARGEST_PIXELS:
        raise InputError(f"{path}: {height:,}×{width:,} pixels; expected {LARGEST_PIXELS:,} at most. {QUPATH}")
    return height, width


def _named(own, paths, begun):
    """(pair, part) of each of the files named; once for each picture. begun : paths of those with a working copy."""
    sizes = {}
    for pair, part in own:
        sizes.setdefault(pair.image.stat().st_size, []).append((pair, part))
    found = {}
    for path in paths:
        same = [one for one in sizes.get(path.stat().st_size, ()) if sha256(one[0].image) == sha256(path)]
        nearest = [
            next((one for one in same if one[0].image.resolve() == path.resolve()), None),
            next((one for one in same if one[0].image.name == path.name), None),
            None if str(path.absolute()) in begun else next(iter(same), None),
        ]
        pair, part = next(filter(None, nearest), (Pair(stem_of(path), path, None, stem_of(path)), "new"))
        found[pair.image.resolve()] = pair, part
    return list(found.values())
