"""What the masks of a folder hold, as the data doctor judges it: values, empty and full masks, rare classes.

`case` is the doctor's: it holds the looks (`case.of`) and takes the findings (`case.add`).
"""

from collections import Counter

import numpy as np

from checking.findings import FEW, in_parts
from pairing.masks import value_text
from pairing.pairs import TEST, TRAIN
from pairing.survey import MaskFacts, Survey
from reading.files import InputError, some


def check_values(case, classes, foreground):
    """What the mask values mean; returns the `MaskCoding`, or None where that cannot be told."""
    looks = case.of(TRAIN, masks=True)
    total = _total(looks)
    if not total:
        return None
    _check_families(case)
    if not any(total):
        case.add("no foreground", [look.pair.mask for look in looks])
        return None
    if len(total) == 1:
        case.add("no background", [look.pair.mask for look in looks])
        return None
    try:
        coding = survey_of(looks).coding(classes, foreground)
        looks = case.of(masks=True)
        coding.check(_total(looks))  # the masks of the tests are read by the same rule
        return coding
    except InputError as error:
        strange = [look for look in looks if any(value < 0 or value >= classes > 1 for value in look.values)]
        seen, remedy = in_parts(error)
        files = [look.pair.mask for look in strange or looks]
        case.add("mask encoding", files, seen[:1].upper() + seen[1:], remedy=remedy)
        return None


def survey_of(looks):
    """The `survey.Survey` of looks, as training makes it of the same files."""
    masks = []
    for look in looks:
        if look.values:
            values = np.array(list(look.values), np.int64)
            counts, edges = (np.array([found[i] for found in look.values.values()], np.int64) for i in (0, 2))
            masks.append(MaskFacts(look.pair.mask, values, counts, int(values[edges.argmax()]), look.names))
    return Survey([look.size for look in looks], any(look.colour for look in looks), _total(looks), masks)


def _total(looks):
    total = Counter()
    for look in looks:
        total.update({value: found[0] for value, found in look.values.items()})
    return dict(total)


def _check_families(case):
    """Masks whose values follow another convention than the rest."""
    held = [(look, set(look.values) - {0}) for look in case.of(masks=True)]
    labels = set().union(*(values for look, values in held if len(values) > 1 and not look.soft))

    def family(look, values):
        if look.soft:
            return "0 to 255 with soft edges"
        (value, *more) = sorted(values)
        if more or value in labels or (labels and value < 255 and value <= max(labels)):
            return "labels"
        return f"0 and {value}" if value >= 32 else "small numbers"

    families = {}
    for look, values in held:
        if values:
            families.setdefault(family(look, values), []).append(look)
    if len(families) > 1:
        usual, *others = sorted(families, key=lambda name: -len(families[name]))
        for name in others:
            example = families[name][0]
            values = some([value_text(value, example.names) for value in sorted(example.values)], 6)
            detail = f"{example.pair.mask.name} holds the values {values}; most masks: {usual}."
            case.mixed |= set(map(id, families[name]))
            case.add("mixed mask encodings", [look.pair.mask for look in families[name]], detail)


def check_masks(case, coding):
    """Empty, full and inverted masks, rare and missing classes."""
    if coding is None:
        return
    for look in case.of(masks=True):
        _weigh(look, coding)
    training = case.of(TRAIN, masks=True)
    shares = [look.share for look in training]
    if all(share == 1 for share in shares):
        case.add("no background", [look.pair.mask for look in training])
        return
    if not any(shares):
        case.add("no foreground", [look.pair.mask for look in training])
        return
    everything = case.of(masks=True)
    upright = [look for look in training if 0 < look.share < 1 and not _upside_down(look)]
    case.add_if("full mask", [look.pair.mask for look in everything if look.share == 1])
    sign = _sign(upright or everything)
    empty = [look for look in everything if not look.share and id(look) not in case.mixed]
    odd = _wrongly_empty(empty, [look for look in everything if 0 < look.share < 1], sign)
    # Where most empty masks are right, emptiness is a habit of this folder and a few more are no alarm.
    case.add_if(
        "empty mask", [look.pair.mask for look in odd], severity="note" if 2 * len(odd) < len(empty) else None
    )  # fmt: skip
    if len(training) >= FEW and len(upright) >= 3:
        _check_inverted(case, coding, training, upright, sign)
    _check_balance(case, coding, training)


def _upside_down(look):
    """True where the foreground fills the border and most of the image, as the background does elsewhere."""
    return 0.5 < look.share < 1 and look.border > 0.5


def _check_inverted(case, coding, training, upright, sign):
    """Masks of the opposite meaning, one, many or all of a part: told by the training masks that look upright."""
    turned = [look for look in case.of(masks=True) if _upside_down(look)]
    usual = np.median([abs(look.contrast) for look in upright])
    wrong = [look for look in turned if look.contrast * sign < -0.3 * usual]
    # Where cells fill most images, as in crops of single cells, some of them differ in sign without being inverted.
    if np.median([look.share for look in training]) >= 0.5 and len(wrong) < 0.8 * len(turned):
        return
    tests = [look for look in wrong if look.part == TEST]
    if len(tests) > 1 and len(tests) >= 0.8 * sum(0 < look.share < 1 for look in case.of(TEST, masks=True)):
        case.add("opposite test masks", [look.pair.mask for look in tests], f"Training masks: {coding.explanation}.")
        case.told |= set(map(id, tests))
    inverted = [look for look in wrong if id(look) not in case.told]
    count, detail = sum(look.part == TRAIN for look in inverted), ""
    if 4 * count >= len(training):
        detail = (
            f"{count} of {len(training)} training masks, those with foreground along the border, mean the opposite "
            "of the rest."
        )
    case.add_if("inverted mask", [look.pair.mask for look in inverted], detail)
    case.told |= set(map(id, inverted))


SMALLEST_SHARE = 0.002  # of foreground, below which its contrast is that of a few pixels


def check_fit(case):
    """Masks that do not lie on the picture: contrast is lost there, where it is much alike in all other images."""
    looks = [
        look for look in case.of(masks=True)
        if look.share is not None and SMALLEST_SHARE < look.share < 1 and id(look) not in case.told
    ]  # fmt: skip
    if len(looks) < FEW:
        return
    contrasts = np.array([look.contrast for look in looks])
    usual = np.median(contrasts)
    below = (usual - contrasts) * np.sign(usual)  # the upper half is wide where a few images are almost empty
    if abs(usual) > 0.5 and 1.4826 * np.median(below[below >= 0]) < 0.3 * abs(usual):
        case.add_if(
            "mask does not fit",
            [look.pair.mask for look, low in zip(looks, below > 0.7 * abs(usual), strict=True) if low],
        )


def _sign(looks):
    """1 where foreground is brighter than background, -1 where darker, 0 where that is not clear."""
    signs = [np.sign(look.contrast) for look in looks if 0 < look.share < 1]
    return np.sign(sum(signs)) if abs(sum(signs)) >= 0.5 * len(signs) else 0


def _wrongly_empty(empty, others, sign):
    """Those of the looks `empty` whose images hold about as much of what is foreground elsewhere.

    That is told by the pixels at least as bright (or dark) as the foreground of the other images on average.
    """
    if not others:
        return empty
    usual = np.median([look.spread for look in others])
    inside = np.median([look.inside for look in others])

    def like_foreground(look):
        return float((look.quantiles * sign >= inside * sign).mean())

    enough = np.median([like_foreground(look) for look in others]) / 2
    return [look for look in empty if look.spread > usual / 2 and like_foreground(look) >= enough]


def _check_balance(case, coding, training):
    total = Counter()
    where = {}
    for look in training:
        for value, (count, *_) in look.values.items():
            decoded = int(coding.decode(np.array([[value]]))[0, 0])
            total[decoded] += count
            where.setdefault(decoded, []).append(look.pair.mask)
    pixels = sum(total.values())
    for number in range(1, max(2, coding.classes)):
        title = f"Class {number}" if coding.classes > 1 else "Foreground"
        share = total[number] / pixels
        if not share:
            case.add("class imbalance", [], f"{title} does not occur in any training mask.")
        elif share < 0.001 or share > 0.95:
            shown = f"{share:.3%}" if share < 0.001 else f"{share:.1%}"
            case.add("class imbalance", where[number], f"{title} covers {shown} of the pixels.")
        elif coding.classes > 1 and len(where[number]) == 1 and len(training) >= FEW:
            case.add("class imbalance", where[number], f"{title} occurs in one training image only.")


def _weigh(look, coding):
    """Share of foreground, its share of the border, and its contrast, by the meaning of the values."""
    values = list(look.values)
    inside = coding.decode(np.array([values]))[0] > 0
    counts, means, edges = np.array([look.values[value] for value in values]).T
    if inside.any():
        look.inside = float(np.average(means[inside], weights=counts[inside]))
    look.share = float(counts[inside].sum() / counts.sum())
    look.border = float(edges[inside].sum() / edges.sum())
    look.contrast = 0.0
    if inside.any() and not inside.all():
        bright, dark = (np.average(means[part], weights=counts[part]) for part in (inside, ~inside))
        look.contrast = float((bright - dark) / max(look.spread, 1e-9))
