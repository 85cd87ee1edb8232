"""What the masks of a folder hold, as the data doctor judges it: values, empty and full masks, rare classes.

`case` is the doctor's: it holds the facts of all pairs (`case.of`) and takes the findings (`case.add`).
"""

from collections import Counter

import numpy as np

from checking.findings import FEW, in_parts
from pairing.annotations import is_outlines
from pairing.doubts import doubts, drawn_as_lines
from pairing.masks import OUR_GROUND, value_text
from pairing.outlines import HOLDS_OTHERS, left_out_by_kind
from pairing.pairs import TEST, TRAIN
from pairing.survey import make_survey
from reading.files import InputError, some


def check_values(case, classes, foreground):
    """What the mask values mean; returns the `MaskCoding`, or None where that cannot be told."""
    all_facts = case.of(TRAIN, masks=True)
    total = _total(all_facts)
    if not total:
        case.add_if("nothing known", unknown_masks(case, TRAIN))
        return None
    case.add_if("ignored mask", unknown_masks(case))
    _check_families(case)
    if not total.keys() - {0, OUR_GROUND}:
        case.add("no foreground", [facts.pair.mask for facts in all_facts])
        return None
    if len(total) == 1:
        case.add("no background", [facts.pair.mask for facts in all_facts])
        return None
    try:
        read = survey_of(all_facts, case.ignore)
        coding = read.coding(classes, foreground)
        if foreground:
            read.refuse_rare(coding, foreground)
        all_facts = case.of(masks=True)
        coding.check(_total(all_facts))  # the masks of the tests are read by the same rule
        return coding
    except InputError as error:
        strange = [facts for facts in all_facts if any(value < 0 or value >= classes > 1 for value in facts.values)]
        seen, remedy = in_parts(error)
        files = [facts.pair.mask for facts in strange or all_facts]
        case.add("mask encoding", files, seen[:1].upper() + seen[1:], remedy=remedy)
        return None


def unknown_masks(case, part=None):
    """The masks, list of paths, that are ignored everywhere."""
    facts = case.of(part)
    return [facts.pair.mask for facts in facts if facts.mask and not len(facts.mask.values)]


def survey_of(all_facts, ignore=None):
    """The `survey.Survey` of pairs whose facts are known, as training makes it of the same files.

    ignore : as of `survey.survey`.
    """
    colour = any(facts.colour for facts in all_facts)
    two_channels = [facts.pair.image.name for facts in all_facts if facts.two_channels]
    found = [facts.mask for facts in all_facts if facts.mask]
    return make_survey([facts.size for facts in all_facts], colour, found, two_channels, ignore)


def _total(all_facts):
    total = Counter()
    for facts in all_facts:
        total.update({value: found[0] for value, found in (facts.values or {}).items()})
    return dict(total)


def _check_families(case):
    """Masks whose values follow another convention than the rest.

    Outlines are none of them: each is an object of a class that it names, beside whatever else the folder holds.
    """
    known = [facts for facts in case.of(masks=True) if max(facts.values) < OUR_GROUND]
    drawn = [facts for facts in known if not is_outlines(facts.pair.mask)]
    held = [(facts, set(facts.values) - {0}) for facts in drawn]
    labels = set().union(*(values for facts, values in held if len(values) > 1 and not facts.soft))

    def family(facts, values):
        if facts.soft:
            return "0 to 255 with soft edges"
        (value, *more) = sorted(values)
        if more or value in labels or (labels and value < 255 and value <= max(labels)):
            return "labels"
        return f"0 and {value}" if value >= 32 else "small numbers"

    families = {}
    for facts, values in held:
        if values:
            families.setdefault(family(facts, values), []).append(facts)
    if len(families) > 1:
        usual, *others = sorted(families, key=lambda name: -len(families[name]))
        for name in others:
            example = families[name][0]
            values = some([value_text(value, example.names) for value in sorted(example.values)], 6)
            detail = f"{example.pair.mask.name} holds the values {values}; most masks: {usual}."
            case.mixed |= set(map(id, families[name]))
            case.add("mixed mask encodings", [facts.pair.mask for facts in families[name]], detail)


def check_masks(case, coding):
    """Empty, full and inverted masks, rare and missing classes."""
    _say_what_is_left_out(case)
    if coding is None:
        return
    for facts in case.of(masks=True):
        _weigh(facts, coding)
    training = case.of(TRAIN, masks=True)
    _check_doubts(case, coding, training)
    shares = [facts.share for facts in training]
    if all(share == 1 for share in shares):
        case.add("no background", [facts.pair.mask for facts in training])
        return
    if not any(shares):
        case.add("no foreground", [facts.pair.mask for facts in training])
        return
    everything = case.of(masks=True)
    upright = [facts for facts in training if 0 < facts.share < 1 and not _upside_down(facts)]
    case.add_if("full mask", [facts.pair.mask for facts in everything if facts.share == 1])
    sign = _sign(upright or everything)
    empty = [facts for facts in everything if not facts.share and id(facts) not in case.mixed]
    odd = _wrongly_empty(empty, [facts for facts in everything if 0 < facts.share < 1], sign)
    # Where most empty masks are right, emptiness is a habit of this folder and a few more are no alarm.
    case.add_if(
        "empty mask", [facts.pair.mask for facts in odd], severity="note" if 2 * len(odd) < len(empty) else None
    )  # fmt: skip
    if len(training) >= FEW and len(upright) >= 3:
        _check_inverted(case, coding, training, upright, sign)
    _check_balance(case, coding, training)


def _say_what_is_left_out(case):
    """What was drawn in files of outlines and is no object."""
    drawings = [(facts.pair.mask, facts.left_out) for facts in case.of() if facts.mask]
    for shapes, masks, around in left_out_by_kind(drawings):
        case.add("shapes left out", masks, f"{shapes}.", remedy=f"Nothing, if {HOLDS_OTHERS}" if around else "")


def _check_doubts(case, coding, training):
    """What may be meant otherwise: of the training masks, and of the test masks what they alone show."""
    tests = case.of(TEST, masks=True)
    for doubt in (*doubts(survey_of(training), coding), *drawn_as_lines(survey_of(tests))):
        seen = doubt.seen[:1].upper() + doubt.seen[1:]
        case.add(doubt.kind, [mask.path for mask in doubt.masks], seen, remedy=doubt.remedy)
        if doubt.kind == "inverted mask":
            case.told |= {id(facts) for facts in training if facts.mask in doubt.masks}


def _upside_down(facts):
    """True where the foreground fills the border and most of the image, as the background does elsewhere."""
    return 0.5 < facts.share < 1 and facts.border > 0.5


def _check_inverted(case, coding, training, upright, sign):
    """Masks of the opposite meaning, one, many or all of a part: told by the training masks that look upright."""
    turned = [facts for facts in case.of(masks=True) if _upside_down(facts)]
    usual = np.median([abs(facts.contrast) for facts in upright])
    wrong = [facts for facts in turned if facts.contrast * sign < -0.3 * usual]
    # Where cells fill most images, as in crops of single cells, some of them differ in sign without being inverted.
    if np.median([facts.share for facts in training]) >= 0.5 and len(wrong) < 0.8 * len(turned):
        return
    tests = [facts for facts in wrong if facts.part == TEST]
    if len(tests) > 1 and len(tests) >= 0.8 * sum(0 < facts.share < 1 for facts in case.of(TEST, masks=True)):
        case.add("opposite test masks", [facts.pair.mask for facts in tests], f"Training masks: {coding.explanation}.")
        case.told |= set(map(id, tests))
    inverted = [facts for facts in wrong if id(facts) not in case.told]
    count, detail = sum(facts.part == TRAIN for facts in inverted), ""
    if 4 * count >= len(training):
        detail = (
            f"{count} of {len(training)} training masks, those with foreground along the border, mean the opposite "
            "of the rest."
        )
    case.add_if("inverted mask", [facts.pair.mask for facts in inverted], detail)
    case.told |= set(map(id, inverted))


SMALLEST_SHARE = 0.002  # of foreground, below which its contrast is that of a few pixels


def check_fit(case):
    """Masks that do not lie on the picture: contrast is lost there, where it is much alike in all other images."""
    all_facts = [
        facts for facts in case.of(masks=True)
        if facts.share is not None and SMALLEST_SHARE < facts.share < 1 and id(facts) not in case.told
    ]  # fmt: skip
    if len(all_facts) < FEW:
        return
    contrasts = np.array([facts.contrast for facts in all_facts])
    usual = np.median(contrasts)
    below = (usual - contrasts) * np.sign(usual)  # the upper half is wide where a few images are almost empty
    if abs(usual) > 0.5 and 1.4826 * np.median(below[below >= 0]) < 0.3 * abs(usual):
        case.add_if(
            "mask does not fit",
            [facts.pair.mask for facts, low in zip(all_facts, below > 0.7 * abs(usual), strict=True) if low],
        )


def _sign(all_facts):
    """1 where foreground is brighter than background, -1 where darker, 0 where that is not clear."""
    signs = [np.sign(facts.contrast) for facts in all_facts if 0 < facts.share < 1]
    return np.sign(sum(signs)) if abs(sum(signs)) >= 0.5 * len(signs) else 0


def _wrongly_empty(empty, others, sign):
    """Those of the pairs `empty` whose images hold about as much of what is foreground elsewhere.

    That is told by the pixels at least as bright (or dark) as the foreground of the other images on average.
    """
    if not others:
        return empty
    usual = np.median([facts.spread for facts in others])
    inside = np.median([facts.inside for facts in others])

    def like_foreground(facts):
        return float((facts.quantiles * sign >= inside * sign).mean())

    enough = np.median([like_foreground(facts) for facts in others]) / 2
    return [facts for facts in empty if facts.spread > usual / 2 and like_foreground(facts) >= enough]


def _check_balance(case, coding, training):
    total = Counter()
    where = {}
    for facts in training:
        for value, (count, *_) in facts.values.items():
            decoded = int(coding.decode(np.array([[value]]))[0, 0])
            total[decoded] += count
            where.setdefault(decoded, []).append(facts.pair.mask)
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


def _weigh(facts, coding):
    """Share of foreground, its share of the border, and its contrast, by the meaning of the values."""
    values = list(facts.values)
    inside = coding.decode(np.array([values]))[0] > 0
    counts, means, edges = np.array([facts.values[value] for value in values]).T
    if inside.any():
        facts.inside = float(np.average(means[inside], weights=counts[inside]))
    facts.share = float(counts[inside].sum() / counts.sum())
    facts.border = float(edges[inside].sum() / max(1, edges.sum()))  # none where the border is ignored
    facts.contrast = 0.0
    if inside.any() and not inside.all():
        bright, dark = (np.average(means[part], weights=counts[part]) for part in (inside, ~inside))
        facts.contrast = float((bright - dark) / max(facts.spread, 1e-9))
