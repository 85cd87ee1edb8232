"""The contact sheet of the data doctor: pairs to look at, the suspicious ones first, with their masks outlined."""

import numpy as np

import images
from images import InputError
from masks import read_mask_of
from pairs import TEST


def write_sheet(diagnosis, path, most=48):
    """Draw the most suspicious pairs, then others, with their masks outlined: a PNG to look at.

    Returns the number of pairs drawn; nothing is written where there is none.
    """
    from report import contact_sheet

    rank, kinds = {}, {}
    for number, finding in enumerate(diagnosis.findings):
        for name in (part for files in finding.files for part in files.split(" = ")):
            rank.setdefault(name, number)
            kinds.setdefault(name, []).append(finding.kind)

    def names(look):
        files = [look.pair.image, *([look.pair.mask] if look.pair.mask else []), *(path for _, path, _ in look.faults)]
        return [path.relative_to(diagnosis.data_dir).as_posix() for path in files]

    def suspicion(look):
        found = min((rank.get(name, len(rank) + 1) for name in names(look)), default=0)
        return found, np.inf if look.contrast is None else abs(look.contrast)

    tiles = []
    for look in sorted(diagnosis.looks, key=suspicion)[:most]:
        tiles.append(
            {
                "name": look.pair.image.name + (" (test)" if look.part == TEST else ""),
                "faults": list(dict.fromkeys(kind for name in names(look) for kind in kinds.get(name, []))),
                **_pictures(look, diagnosis.coding),
            }
        )
    if tiles:
        contact_sheet(tiles, path)
    return len(tiles)


def _pictures(look, coding):
    image = mask = None
    try:
        image = images.read(look.pair.image)
        if look.pair.mask and not look.mask_is_picture:
            stored = read_mask_of(look.pair, image.shape[:2])
            mask = coding.decode(stored) if coding else (stored > 0).astype(np.uint8)
    except InputError:
        pass  # what could not be read is said by a finding, and its place left empty
    return {"image": image, "mask": mask, "levels": look.pair.levels}
