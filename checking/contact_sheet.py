"""The contact sheet of the data doctor: pairs to look at, the suspicious ones first, with their masks outlined."""

import cv2
import numpy as np

from pairing.masks import IGNORED, above_zero
from pairing.pairs import TEST
from reading import intensity
from reading.files import InputError
from reading.resize import fitted_size, resize
from reading.show import OUTLINE_COLOURS, RESULT, TEXT, display, draw_outline, hatching, save_figure

HATCH = (170, 170, 170)  # of what is ignored
TINT = 0.25  # share of that colour in what lies inside the outline, on a contact sheet


def write_contact_sheet(diagnosis, path, most=48):
    """Draw the most suspicious pairs, then others, with their masks outlined: a PNG to look at.

    Returns the number of pairs drawn; nothing is written where there is none.
    """
    rank, kinds = {}, {}
    for number, finding in enumerate(diagnosis.findings):
        for name in (part for files in finding.files for part in files.split(" = ")):
            rank.setdefault(name, number)
            kinds.setdefault(name, []).append(finding.kind)

    def names(facts):
        files = [
            facts.pair.image,
            *([facts.pair.mask] if facts.pair.mask else []),
            *(path for _, path, _ in facts.faults),
        ]
        return [path.relative_to(diagnosis.data_dir).as_posix() for path in files]

    def suspicion(facts):
        found = min((rank.get(name, len(rank) + 1) for name in names(facts)), default=0)
        return found, np.inf if facts.contrast is None else abs(facts.contrast)

    thumbnails = []
    for facts in sorted(diagnosis.all_facts, key=suspicion)[:most]:
        thumbnails.append(
            {
                "name": facts.pair.image.name + (" (test)" if facts.part == TEST else ""),
                "faults": list(dict.fromkeys(kind for name in names(facts) for kind in kinds.get(name, []))),
                **_pictures(facts, diagnosis),
            }
        )
    if thumbnails:
        draw_contact_sheet(thumbnails, path)
    return len(thumbnails)


def _pictures(facts, diagnosis):
    coding, image, mask = diagnosis.coding, None, None
    try:
        image = diagnosis.contents.image(facts.pair)
        if facts.pair.mask and not facts.mask_is_picture:
            mask = (coding or above_zero({0})).class_ids(diagnosis.contents.mask(facts.pair, image.shape[:2]))
    except InputError:
        pass  # what could not be read is said by a finding, and its place left empty
    return {"image": image, "mask": mask, "spread": facts.pair.intensity_range}


def draw_contact_sheet(thumbnails, path, columns=8, side_px=200):
    """Many small pictures with their masks outlined and tinted, their names and what is wrong with them, as one PNG.

    The tint tells which side of an outline is foreground. thumbnails: list of dictionaries with `image` (height, width,
    1 or 3) or None where it cannot be read, `mask` (height, width) class ids or None, `name`, `faults`, a list of
    words, and perhaps `spread`, `known` of `display`. Each class has its own colour.
    """
    import warnings

    from matplotlib.figure import Figure

    columns = min(columns, max(3, len(thumbnails)))
    rows = -(-len(thumbnails) // columns)
    gap, caption = 10, 36
    width, height = columns * (side_px + gap) + gap, rows * (side_px + caption) + gap
    sheet = np.full((height, width, 3), 255, np.uint8)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    for number, thumbnail in enumerate(thumbnails):
        top, left = gap + number // columns * (side_px + caption), gap + number % columns * (side_px + gap)
        sheet[top : top + side_px, left : left + side_px] = _thumbnail(thumbnail, side_px)
        base = top + side_px + 3
        axis.text(left, base, _short(thumbnail["name"], 30), fontsize=7.5, va="top", color=TEXT, parse_math=False)
        faults = _short(thumbnail["faults"][0], 26) if thumbnail["faults"] else ""
        faults += f" +{len(thumbnail['faults']) - 1}" if len(thumbnail["faults"]) > 1 else ""
        axis.text(left, base + 13, faults, fontsize=7, va="top", color=RESULT, weight="bold", parse_math=False)
    axis.imshow(sheet, extent=(0, width, height, 0), interpolation="none")
    axis.set_axis_off()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the font lacks is drawn as boxes
        save_figure(figure, path, dpi=100)


def _thumbnail(thumbnail, side_px):
    """One picture in the middle of a square: uint8 (side, side, 3)."""
    square = np.full((side_px, side_px, 3), 235, np.uint8)
    if thumbnail["image"] is None:
        cv2.line(square, (0, 0), (side_px, side_px), (200, 200, 200), 1)
        cv2.line(square, (0, side_px), (side_px, 0), (200, 200, 200), 1)
        return square
    height, width = fitted_size(*thumbnail["image"].shape[:2], side_px)
    picture = intensity.to_channels(resize(display(thumbnail["image"], thumbnail.get("spread")), height, width), 3)
    if thumbnail["mask"] is not None:
        mask = resize(thumbnail["mask"], height, width, nearest=True)
        ignored = mask == IGNORED
        picture[ignored & hatching(mask.shape)] = HATCH
        for number in np.unique(mask[(mask > 0) & ~ignored]):
            region, colour = mask == number, OUTLINE_COLOURS[(number - 1) % len(OUTLINE_COLOURS)]
            picture[region] = np.rint((1 - TINT) * picture[region] + TINT * np.array(colour))
            picture = draw_outline(picture, region, colour)
    top, left = (side_px - height) // 2, (side_px - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _short(text, most):
    """A text cut in the middle, since the ends of file names differ."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"
