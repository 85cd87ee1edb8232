"""Pictures of several magnifications are brought to one before they are learnt, where their files state it."""

from math import log

from reading.files import InputError
from reading.pixel_size import ALIKE, um_per_px

MOST = 8  # times as large or small: beyond, a size is stated wrongly


def common_scale(pairs, stated=None):
    """What is known of the size of the pixels that are learnt: (µm per pixel or None, scales, a line or None).

    Where all pictures state a size, and some another than the rest, all are brought to the middle one of these. Scales,
    {path of an image: how many times as large it is learnt}, hold those that change.

    pairs : list of `pairs.Pair`. stated : micrometres of a pixel of all of them, whatever their files say.
    Raises `InputError` where what the files state cannot be.
    """
    if stated:
        return stated, {}, None
    found = {pair.image: um_per_px(pair.image) for pair in pairs}
    known = sorted(size for size in found.values() if size)
    if not known or len(known) < len(found):
        return None, {}, _of_some(known, len(found))
    middle = known[len(known) // 2]
    scales = {path: size / middle for path, size in found.items() if abs(log(size / middle)) >= log(ALIKE)}
    if not scales:
        return middle, {}, None
    worst = max(scales, key=lambda path: abs(log(scales[path])))
    if not 1 / MOST <= scales[worst] <= MOST:
        raise InputError(
            f"{worst}: states {found[worst]:.3g} µm per pixel, others {middle:.3g}; expected sizes at most {MOST} "
            "times apart. Correct the files, or say the size of a pixel of all with --um-per-px."
        )
    span = f"{known[0]:.3g} to {known[-1]:.3g} µm per pixel"
    return middle, scales, f"pictures of {span}: {len(scales)} of {len(found)} are brought to {middle:.3g}"


def _of_some(known, count):
    """A line where only some pictures state a size, and these several; else None."""
    if known and log(known[-1] / known[0]) >= log(ALIKE):
        return (
            f"{len(known)} of {count} pictures state the size of their pixels, from {known[0]:.3g} to {known[-1]:.3g} "
            "µm; expected it of all, to bring them to one magnification: they are learnt as they are"
        )
    return None
