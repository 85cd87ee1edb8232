"""Whether the objects of a folder have one size as the network will see them, as the data doctor judges it.

`case` is the doctor's: it holds the facts of all pairs (`case.of`) and takes the findings (`case.add`).
"""

from concurrent.futures import ThreadPoolExecutor
from math import log

import numpy as np
from tqdm import tqdm

from checking.findings import in_parts
from pairing.magnification import common_scale
from pairing.masks import IGNORED
from pairing.objects import areas_of, numbered_objects, sizes
from pairing.pairs import TRAIN
from reading.files import InputError, some
from reading.machine import cores
from reading.pixel_size import um_per_px
from reading.resize import choose_fit

CROP_PX = 256  # of `training.settings`
# Of the 8 real training fields of one magnification none is 1.3 times as large or small as the middle one. Of so many
# of their objects, drawn at random, less than one draw in a hundred is OTHER ** (1 + DOUBT / objects) times.
OTHER, DOUBT = 1.5, 10
FEW = 10  # a picture with fewer objects says nothing: some may be clumps, of cytoplasm most are


def check_sizes(case, coding, contents, quiet=False):
    """Pictures whose objects have quite another size than the rest, and sizes of pixels that only some state.

    coding : `masks.MaskCoding`. contents : `file_cache.FileCache` of all files. quiet : no progress bar.
    """
    training = case.of(TRAIN)
    if coding is None or choose_fit([facts.size for facts in training], CROP_PX):
        return
    try:
        middle, scales, line = common_scale([facts.pair for facts in training])
    except InputError as error:
        seen, remedy = in_parts(error)
        case.add("sizes of pixels", [], seen, "fatal", remedy)
        return
    if line and middle is None:
        case.add("sizes of pixels", [], f"{line[:1].upper()}{line[1:]}.")
    fields = _fields(case.of(masks=True))
    with ThreadPoolExecutor(min(8, cores())) as pool:
        everything = [facts for tiles in fields for facts in tiles]
        drawn = {value: 1 for facts in everything for value in facts.values}
        found = pool.map(lambda facts: _areas(facts, coding, drawn, contents), everything)
        bar = tqdm(found, "sizes", len(everything), unit="image", leave=False, disable=quiet or None, delay=1)
        areas = {id(facts): found for facts, found in zip(everything, bar, strict=True)}
    seen = {}
    for number, tiles in enumerate(fields):
        path = tiles[0].pair.image
        stated = um_per_px(path) if middle and tiles[0].part != TRAIN else None
        scale = stated / middle if stated else scales.get(path, 1)
        seen[number] = sizes(np.concatenate([areas[id(facts)] for facts in tiles]) * scale**2)
    known = {number: found for number, found in seen.items() if found and found["count"] >= FEW}
    if len(known) < 2:
        return
    usual = sorted(found["typical_px"] for found in known.values())[len(known) // 2]
    odd = {number: found["typical_px"] for number, found in known.items() if _is_other(found, usual)}
    if odd:
        detail = f"Typically {some(sorted(f'{size:.3g}' for size in odd.values()))} pixels across, the rest {usual:.3g}"
        detail += ", at one size of pixels, as the files state it." if scales else "."
        case.add("object sizes", [facts.pair.image for number in odd for facts in fields[number]], detail)


def _is_other(found, usual):
    return abs(log(found["typical_px"] / usual)) > log(OTHER) * (1 + DOUBT / found["count"])


def _fields(all_facts):
    """Lists of facts: of a picture, or of all tiles of a field, each of which has few objects."""
    fields = {}
    for facts in all_facts:
        known = facts.pair.intensity_range
        fields.setdefault((facts.part, facts.pair.group, known) if known else id(facts), []).append(facts)
    return list(fields.values())


def _areas(facts, coding, drawn, contents):
    """Pixels of each object of a pair, as training knows them."""
    stored = contents.mask(facts.pair, facts.size)
    ids = coding.class_ids(stored)
    ids[ids == IGNORED] = 0
    objects, _ = numbered_objects(facts.pair, ids, coding, drawn, stored.values)
    if objects is None:
        objects = ids > 0 if coding.classes == 1 else ids == 2 if coding.classes == 3 else ids
    return areas_of(objects)
