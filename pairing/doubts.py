"""What is decided about the masks of a folder without certainty, or is odd about them, in words."""

from dataclasses import dataclass

import numpy as np

from pairing.masks import value_text
from pairing.outlines import FIRST_NAMED
from pairing.shades import is_soft
from reading.files import some

TWO_CHANNELS = (
    "two channels. They are taken for the red and the green of a colour picture without blue, each scaled by itself, "
    "and both are used. To use one alone, save it as a picture (Fiji: Image › Color › Split Channels)."
)
FEW = 3  # pieces, around which a value may lie by chance: holes of tissue, gaps between cells


@dataclass(frozen=True)
class Doubt:
    """What may be meant otherwise. kind : its name among `checking.findings.KINDS`; masks : the `survey.MaskFacts` of
    the files concerned; seen : what was found and decided; remedy : what to do where that is wrong."""

    kind: str
    masks: list
    seen: str
    remedy: str

    def __str__(self):
        return f"warning: {some([mask.name for mask in self.masks])}: {self.seen} {self.remedy}"


def doubts(survey, coding):
    """The `Doubt`s about the masks of a `survey.Survey`, read by a `masks.MaskCoding` of it: a list."""
    named = max(survey.mask_values, default=0) >= FIRST_NAMED
    chosen = coding.values is not None  # by --foreground
    return ([] if chosen or named else _around(survey, coding)) + drawn_as_lines(survey)


def drawn_as_lines(survey):
    """The `Doubt` about masks in which nothing is filled, if there are any: a list of one or none."""
    lines = [mask for mask in survey.masks if mask.topology.lines]
    if not lines:
        return []
    seen = "nothing but closed lines, empty inside. Only these lines would be learnt as foreground, not the cells."
    remedy = (
        "Fill them (Fiji, white lines on black: Process › Binary › Fill Holes), or export filled outlines. Leave it if "
        "the lines are what you look for."
    )
    return [Doubt("contours", lines, seen, remedy)]


def _around(survey, coding):
    """Doubts on which value lies around what was marked."""
    telling, nothing = survey.telling(), survey.nothing()
    seas = [mask for mask in telling if mask.topology.sea not in (None, nothing) and mask.topology.inside]
    seas = [mask for mask in seas if mask.topology.share > 0.5 or mask.topology.is_convex]
    if nothing is None or min(survey.mask_values) < 0:
        return _undecided(telling, coding) if not 3 * len(seas) >= 2 * len(telling) else []
    if seas and 3 * len(seas) >= 2 * len(telling):
        return [_sea_doubt(seas, survey, nothing, coding)]
    if nothing != 0 and 3 * _upright(telling, nothing) < 2 * len(telling):
        text = value_text(nothing)
        seen = f"no mask holds 0, and {text} is taken for the background for no other reason than its number."
        return [Doubt("perhaps inverted", telling, seen, f"If it is what you marked: --foreground {text}.")]
    inverted = [mask for mask in seas if mask.inverted and mask.topology.inside >= FEW]
    inverted = inverted or [mask for mask in seas if 3 * _upright(telling, nothing) >= 2 * len(telling)]
    if not inverted:
        return []
    seen = f"{value_text(inverted[0].topology.sea)} lies around separate pieces here, unlike in the other masks."
    return [Doubt("inverted mask", inverted, seen, "Look at them; invert them if they are meant like the others.")]


def _upright(telling, nothing):
    """How many masks show the value that is nothing around separate pieces."""
    return sum(mask.topology.sea == nothing for mask in telling)


def _sea_doubt(seas, survey, nothing, coding):
    """The `Doubt` about most masks showing one value, not the one that is `nothing` by its number, around pieces."""
    value = seas[0].topology.sea
    pieces, share = sum(mask.topology.pieces for mask in seas), np.mean([mask.topology.share for mask in seas])
    seen = f"{value_text(value)} is one area around {pieces} separate pieces, {share:.0%} of the pixels."
    if coding.decode(np.array([[value]]))[0, 0] == 0:
        seen += " It is taken for the background, though by its number it would be what was marked."
        remedy = f"If it is what you marked: --foreground {_option([value])}."
        kind = "masks turned over"
    else:
        seen += f" It is taken for what was marked, as {value_text(nothing)} is nothing by its number."
        shaded = is_soft(survey.mask_values, survey.drawn()) or any(mask.lossy for mask in survey.masks)
        others = [nothing] if shaded else [other for other in survey.mask_values if other != value]
        remedy = f"If it is the background: --foreground {_option(others)}."
        kind = "perhaps inverted"
    if coding.classes > 1:
        remedy = "If that is wrong, make the background 0 in the masks."
    return Doubt(kind, seas, seen, remedy)


def _undecided(telling, coding):
    """The `Doubt` where neither a number nor a drawing tells what is background, and the borders decide."""
    if any(mask.topology.sea is not None for mask in telling):
        return []
    background = coding.background or 0
    seen = f"{value_text(background)} is taken for the background, though nothing in the masks shows it."
    remedy = f"If it is what you marked: --foreground {_option([background])}."
    return [Doubt("perhaps inverted", telling, seen, remedy)]


def _option(values):
    """Values as --foreground takes them in any shell."""
    text = ",".join(map(value_text, sorted(values)[:6]))
    return f'"{text}"' if "#" in text else text


def oddities(survey, coding, told):
    """Lines on masks without foreground, with nothing else, or contrary to the other masks but for those `told`."""
    shares = []
    for mask in survey.masks:
        is_foreground = coding.decode(mask.values[np.newaxis])[0] > 0
        border = coding.decode(np.array([[mask.border]]))[0, 0] > 0
        shares.append((mask, mask.counts[is_foreground].sum() / mask.counts.sum(), border))
    full = [mask for mask, share, border in shares if border and 0.5 < share < 1 and mask.inverted]
    full = full if coding.values is None else []  # else --foreground was given
    lines = []
    for text, masks in (
        ("without any foreground", [mask for mask, share, _ in shares if share == 0]),
        ("with foreground everywhere", [mask for mask, share, _ in shares if share == 1]),
        (
            "with foreground along the border and in most of the area, perhaps inverted",
            [mask for mask in full if mask.path not in told],
        ),
    ):
        if masks:
            lines.append(f"{len(masks)} of {len(shares)} masks {text}: {some(mask.name for mask in masks)}")
    return lines
