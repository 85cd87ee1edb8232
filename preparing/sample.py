"""The embedded sample: seeded, synthetic Pap-smear fields with exact masks.

Every object is an optical density (absorbance, natural logarithm). Densities add up where objects overlap, so light is
multiplied: I = I0 * exp(-sum of densities), the Beer-Lambert law; colour weights a density by the absorption of its
stain in red, green and blue. The sizes and densities follow real 1024x1024 fields of the ISBI 2014 cervical cytology
challenge (Lu et al.) and vary more widely from slide to slide than those fields do, so that a network trained on the
sample also reads other people's slides.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from preparing.canvas import CYTOPLASM, MARGIN, Canvas, blob, fill, fold_over, polygon, smooth, strokes
from reading.files import InputError
from reading.folder_lock import written_aside
from reading.images import write_png
from reading.machine import cores

# Absorption in (red, green, blue), scaled below to mean 1 so that a density looks equally dark in grey and in colour.
# Haematoxylin and eosin: Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23 (2001). Orange G (peak about 480 nm) and
# the light green of EA50 (peaks about 630 and 425 nm) are read off their absorption spectra.
STAINS = {
    "haematoxylin": (0.65, 0.70, 0.29),
    "eosin": (0.07, 0.99, 0.11),
    "orange": (0.06, 0.42, 0.90),
    "green": (0.85, 0.30, 0.36),
    "neutral": (1.0, 1.0, 1.0),
}
STAINS = {name: np.float32(v) / np.mean(v, dtype=np.float32) for name, v in STAINS.items()}
LOBES = (0.42, 0.22, 0.22, 0.11, 0.03)  # share of leukocytes with one to five
FAINT = 0.12  # share of leukocytes that hardly took the stain
TWO_NUCLEI = 0.04  # share of cells with a second nucleus beside the first; on the real fields 9 % of large ones touch
PILE = 1.2  # density at which piles of cells level off: chosen so that nuclei stay visible in them, as in real ones


@dataclass(frozen=True)
class Specimen:
    """What the fields of one slide share: specimen, stain, light and camera."""

    scale: float  # magnification relative to the studied fields
    cells: float  # mean epithelial cells in a 1024x1024 field
    clustering: float  # probability that a cell touches an earlier one
    superficial: float  # share of superficial cells (small dark nucleus, pink to orange cytoplasm)
    cytoplasm: float  # median density of cytoplasm
    nucleus: float  # factor on the density of nuclei
    chromatin: float  # relative contrast of nuclear texture
    folds: float  # mean fold lines a cell
    bacteria: float  # share of cells covered with rods and granules
    leukocytes: float  # mean groups of leukocytes in a 1024x1024 field
    debris: float  # mean unmarked objects in a 1024x1024 field
    glare: float  # share of stray light, which lifts the darkest parts
    light: float  # grey level of the empty background
    unevenness: float  # relative change of light over the field
    blur: float  # standard deviation of the point spread, px
    sharpening: float  # strength of the camera's unsharp mask
    noise: float  # standard deviation, grey levels
    grain: float  # correlation length of the noise, px
    haematoxylin_eosin: bool  # haematoxylin and eosin rather than Papanicolaou
    tint: tuple  # colour of the light, red, green, blue


def make_specimen(slide, seed=0):
    """The properties of slide number `slide`: a Specimen, the same for the same seed."""
    rng = np.random.default_rng((seed, slide))

    def log(low, high):  # uniform on a logarithmic scale
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return Specimen(
        scale=log(0.82, 1.22), cells=log(38, 75), clustering=rng.uniform(0.4, 0.8), superficial=rng.uniform(0.1, 0.7),
        cytoplasm=log(0.15, 0.32), nucleus=log(0.8, 1.25), chromatin=rng.uniform(0.08, 0.3), folds=rng.uniform(0.5, 3),
        bacteria=rng.uniform(0, 0.6), leukocytes=log(2.5, 22), debris=log(2.5, 12), glare=rng.uniform(0, 0.1),
        light=rng.uniform(205, 248), unevenness=rng.uniform(0, 0.06), blur=log(0.5, 1.2),
        sharpening=max(0.0, rng.uniform(-0.6, 0.8)),
        noise=log(0.5, 2.5), grain=rng.uniform(0, 0.7), haematoxylin_eosin=bool(rng.random() < 0.25),
        tint=tuple(rng.uniform(0.88, 1.0, 3)),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- what lies on a slide


def stain_of(rng, slide, superficial):
    """The absorption (3,) of one cell's cytoplasm."""
    if slide.haematoxylin_eosin:
        mix = {"eosin": 0.8, "haematoxylin": rng.uniform(0.1, 0.4)}
    elif superficial:
        mix = {"eosin": rng.uniform(0.2, 1), "orange": rng.uniform(0, 1) ** 2, "green": rng.uniform(0, 0.25)}
    else:
        mix = {"green": 1, "eosin": rng.uniform(0, 0.35), "haematoxylin": rng.uniform(0, 0.5)}
    return sum(w * STAINS[name] for name, w in mix.items()) / np.float32(sum(mix.values()))


def nuclear_stain(rng):
    w = np.float32(rng.uniform(0.1, 0.5))
    return (1 - w) * STAINS["haematoxylin"] + w * STAINS["neutral"]


def marked(outline, radius, slide):
    """The contour that annotators draw around an outline of `radius` px: outside the middle of the visible edge.

    On the real fields the gap has the medians 0.25 px at a radius of 6.5 px, 0.4 px at 9 px and 0.65 px at 12 px, with
    a tail outwards; networks trained on the medians draw too tight, so that 0.2 px are added.
    """
    return outline * (1 + np.clip(0.08 * (radius / slide.scale - 1.0), 0.3, 1.1) / radius)


def add_nucleus(canvas, rng, slide, y, x, pyknotic, defocus=0.0):
    """One epithelial nucleus: pyknotic (small, dark, smooth) or vesicular (larger, paler, with chromatin and a rim).

    Returns its radius in px.
    """
    radius = slide.scale * (rng.uniform(5.3, 8.2) if pyknotic else np.clip(rng.normal(10.6, 1.8), 6.5, 16))
    # Real nuclei hold a similar amount of stain whatever their size: the median density over the surrounding cytoplasm
    # is 0.90 at a radius of 6.5 px, 0.57 at 11.5 px, 0.44 at 14 px; the spread at one size is a factor of 1.35.
    density = slide.nucleus * 5.6 * slide.scale / radius * np.exp(rng.normal(0, 0.28))
    density = np.clip(density, 0.28, 1.5)
    # Axis ratio: the eccentricity of the real nuclei has the deciles 0.46, 0.68 (median) and 0.86.
    elongation = 1 + abs(rng.normal(0, 0.38)) + (rng.random() < 0.06) * rng.uniform(0.5, 1.5)  # a few spindles
    outline = blob(rng, radius, elongation=elongation, roughness=rng.uniform(0.02, 0.1))
    half = int(radius * np.sqrt(elongation) * 1.4) + 14
    cover = smooth(fill(outline, half), rng.uniform(0.6, 1.4))
    chromatin = slide.chromatin * (0.5 if pyknotic else 1.0)
    body = 1 + chromatin * (0.6 * canvas.grain(half, canvas.fine) + 0.6 * canvas.grain(half, canvas.coarse))
    rim = cover - cv2.erode(cover, np.ones((3, 3), np.uint8))
    patch = density * (cover * np.maximum(body, 0.4) + rng.uniform(0, 0.5) * rim)
    for _ in range(rng.integers(0, 3)):  # nucleoli, chromocentres
        spot = blob(rng, radius * rng.uniform(0.1, 0.2)) + rng.normal(0, 0.3, 2) * radius
        patch += density * rng.uniform(0.1, 0.5) * smooth(fill(spot, half), 0.7) * cover
    if rng.random() < 0.15:  # a groove, or a fold of the nuclear membrane
        groove = np.linspace(outline[0], outline[24], 8) * 0.8 + rng.normal(0, 0.8, (8, 2))
        patch += density * rng.uniform(0.2, 0.6) * smooth(strokes([groove], half, int(rng.integers(1, 3))), 0.7) * cover
    canvas.add(canvas.nuclei, smooth(patch, defocus), y, x, nuclear_stain(rng))
    canvas.mark_nuclei(fill(marked(outline, radius, slide), half) >= 0.5, y, x)
    return radius


def add_cell(canvas, rng, slide, y, x, radius):
    """One squamous cell around (y, x): polygonal translucent cytoplasm with folds and grains, and its nucleus."""
    superficial = rng.random() < slide.superficial
    crumpled = rng.random() < 0.08
    half = int(radius * 1.7) + 6
    outline = polygon(
        rng, radius, corners=int(rng.integers(5, 10)), fray=rng.uniform(0.015, 0.07),
        elongation=1 + abs(rng.normal(0, 0.35)) + (rng.random() < 0.06) * rng.uniform(0.5, 2),
    )  # fmt: skip
    outline *= min(1, (half - 3) / np.abs(outline).max())
    nucleus = rng.normal(0, 0.16, 2) * radius
    flaps = []
    while rng.random() < 0.35:
        outline, flap = fold_over(outline, rng, radius)
        if flap is not None:
            flaps.append(flap)
    cover = smooth(fill(outline, half), rng.uniform(0.3, 1.3))
    density = min(slide.cytoplasm * np.exp(rng.normal(0, 0.45)), 0.8)
    coarse, fine = canvas.grain(half, canvas.coarse), canvas.grain(half, canvas.fine)
    wide = cv2.resize(rng.standard_normal((6, 6), np.float32), (2 * half, 2 * half), interpolation=cv2.INTER_CUBIC)
    patch = 1 + rng.uniform(0.05, 0.25) * wide + rng.uniform(0.03, 0.12) * coarse + rng.uniform(0.01, 0.08) * fine
    # Wrinkles: thin lines where a smooth random surface crosses zero.
    patch += rng.uniform(0, 0.35) * np.exp(-((canvas.grain(half, canvas.wrinkles) / rng.uniform(0.05, 0.15)) ** 2))
    if crumpled:  # a cell that dried or lies on edge: dark ridges everywhere
        patch += rng.uniform(0.3, 1.2) * np.maximum(coarse + 0.4 * fine, 0)
    patch = np.maximum(patch, 0.2)
    for flap in flaps:
        patch += smooth(fill(flap, half), rng.uniform(0.5, 1.2)) * rng.uniform(0.5, 1.3)
    for _ in range(rng.poisson(0.6)):  # a rolled-up edge: a crescent, often as dark as a nucleus
        n = len(outline)
        arc = np.roll(outline, rng.integers(n), 0)[: max(4, int(n * rng.uniform(0.08, 0.3)))]
        bulge = np.linspace(arc[-1], arc[0], 6) * rng.uniform(0.93, 1.0)
        rolled = smooth(fill(np.concatenate([arc, bulge]), half), rng.uniform(0.7, 2.5))
        patch += rolled * rng.uniform(0.1, 0.7) / density * np.maximum(1 + 0.25 * coarse, 0.3)
    if rng.random() < 0.6:  # a paler rim, or a thicker one
        patch *= 1 + rng.uniform(-0.45, 0.5) * (1 - smooth(cover, radius * rng.uniform(0.08, 0.25)))
    if rng.random() < 0.3:  # a clear zone around the nucleus
        zone = blob(rng, radius * rng.uniform(0.18, 0.4), elongation=1.3) + nucleus
        patch *= 1 - rng.uniform(0.1, 0.5) * smooth(fill(zone, half), rng.uniform(1.5, 4))
    for _ in range(rng.poisson(slide.folds)):  # a crease: a bent line across the cell, sharp or soft
        a, b = rng.normal(0, 0.6, (2, 2)) * radius
        t = np.linspace(0, 1, 12)[:, None]
        line = (1 - t) * a + t * b + np.sin(np.pi * t) * rng.normal(0, 0.2, 2) * radius
        line = line + rng.normal(0, 0.5, line.shape)
        crease = strokes([line], half, int(rng.integers(1, 3 if rng.random() < 0.8 else 9)))
        patch += smooth(crease, rng.uniform(0.6, 3)) * rng.uniform(0.15, 1.2)
    edge = cover - cv2.erode(cover, np.ones((3, 3), np.uint8))
    patch = density * (patch * cover + smooth(edge, 0.7) * rng.uniform(0, 0.7))
    if rng.random() < slide.bacteria:  # rods and granules, never marked
        n = int(rng.integers(10, 90))
        at = (rng.normal(0, 0.3, 2) + rng.normal(0, rng.uniform(0.12, 0.55), (n, 2))) * radius
        turn = rng.uniform(0, np.pi, n)
        length = rng.uniform(0.2, rng.choice([1.0, 4.5]), n) * slide.scale
        step = np.stack([np.cos(turn), np.sin(turn)], 1) * length[:, None]
        rods = strokes([np.stack([p - s, p + s]) for p, s in zip(at, step, strict=True)], half, int(rng.integers(1, 3)))
        patch += smooth(rods, 0.6) * cover * rng.uniform(0.08, 0.4)
    defocus = rng.uniform(1.2, 3.0) if rng.random() < 0.06 else 0.0
    patch = smooth(patch, defocus)
    canvas.add(canvas.cytoplasm, patch, y, x, stain_of(rng, slide, superficial))
    canvas.mark(cover, y, x, CYTOPLASM)
    there, here = canvas.cut(half, y, x)
    y, x = y + nucleus[1], x + nucleus[0]
    nucleated = rng.random() < 0.97
    if there is not None:
        canvas.bodies.append((there, cover[here] >= 0.5, (y, x) if nucleated else None))
    if nucleated:
        pyknotic = superficial != (rng.random() < 0.15)
        reach = add_nucleus(canvas, rng, slide, y, x, pyknotic, 0.6 * defocus)
        if rng.random() < TWO_NUCLEI:  # beside each other, or one on the other
            turn, gap = rng.uniform(0, 2 * np.pi), reach * rng.uniform(1.6, 2.4)
            add_nucleus(canvas, rng, slide, y + gap * np.sin(turn), x + gap * np.cos(turn), pyknotic, 0.6 * defocus)


def add_leukocytes(canvas, rng, slide, y, x):
    """A group of leukocytes."""
    for _ in range(1 + rng.poisson(1.0)):
        add_leukocyte(canvas, rng, slide, y, x)
        y, x = np.array([y, x]) + rng.normal(0, 22, 2) * slide.scale


def add_leukocyte(canvas, rng, slide, y, x):
    """A neutrophil, two to five dark lobes in little or no cytoplasm, or one small nucleus; annotators number lobes.

    On the real fields lobes have 37 to 100 px and a density over their surroundings of 0.44, 0.71 and 0.91 (deciles 1,
    5, 9); two thirds touch another, in twos (49 such groups), threes (27) and fours (9). Where two touch the line
    between them is straight and often a little brighter.
    """
    half = int(24 * slide.scale) + 8
    density = slide.nucleus * (rng.uniform(0.18, 0.42) if rng.random() < FAINT else rng.uniform(0.42, 1.08))
    at, radii = lobes(rng, slide.scale * rng.uniform(3.0, 5.2), rng.choice(len(LOBES), p=LOBES) + 1)
    if rng.random() < (0.75 if len(radii) > 1 else 0.4):
        wide = np.hypot(*at.T).max() + radii.max() + rng.uniform(0.2, 4) * slide.scale
        body = fill(blob(rng, min(wide, half - 6), elongation=rng.uniform(1, 1.3), roughness=0.1), half)
        grainy = rng.uniform(0.05, 0.35) * (1 + 0.3 * canvas.grain(half, canvas.fine))
        canvas.add(canvas.cytoplasm, smooth(body, 0.8) * grainy, y, x, stain_of(rng, slide, False))
        canvas.mark(body, y, x, CYTOPLASM)
    outlines = [blob(rng, r, elongation=rng.uniform(1, 1.5), points=24) for r in radii]
    covers = np.array([fill(outline + place, half) for outline, place in zip(outlines, at, strict=True)])
    within = np.array(
        [fill(marked(o, r, slide) + place, half) >= 0.5 for o, r, place in zip(outlines, radii, at, strict=True)]
    )
    grid = np.stack(np.meshgrid(*[np.arange(2 * half) - half + 0.5] * 2), -1)
    power = ((grid - at[:, None, None]) ** 2).sum(-1) - radii[:, None, None] ** 2  # equal on a straight line
    parts = np.where(within.any(0), np.where(within, power, np.inf).argmin(0) + 1, 0)
    cover = covers.max(0)
    between = np.sort(power, axis=0)[:2]  # as narrow a gap as the microscope shows, 1 to 2 px
    gap = np.exp(-(((between[-1] - between[0]) / (3 * radii.mean())) ** 2)) if len(radii) > 1 else 0
    cover = smooth(cover * (1 - rng.uniform(0, 0.8) * gap), rng.uniform(0.6, 1.1))
    body = np.maximum(1 + 0.7 * slide.chromatin * canvas.grain(half, canvas.fine), 0.4)
    rim = rng.uniform(0, 0.4) * (cover - cv2.erode(cover, np.ones((3, 3), np.uint8)))
    canvas.add(canvas.nuclei, density * (cover * body + rim), y, x, nuclear_stain(rng))
    canvas.mark_nuclei(parts, y, x)


def lobes(rng, size, count):
    """The places (count, 2), x, y in px around the middle of them all, and radii of lobes that lie close together."""
    radii = size * rng.uniform(0.75, 1.2, count)
    at = np.zeros((1, 2))
    for r in radii[1:]:
        for _ in range(8):
            beside, turn = rng.integers(len(at)), rng.uniform(0, 2 * np.pi)
            gap = (radii[beside] + r) * rng.uniform(0.88, 1.4)
            new = at[beside] + gap * np.array([np.cos(turn), np.sin(turn)])
            if (np.hypot(*(at - new).T) > 0.85 * (radii[: len(at)] + r)).all():
                break
        at = np.concatenate([at, [new]])
    return at - at.mean(0), radii


def add_debris(canvas, rng, slide, y, x):
    """What is no nucleus and never marked: dirt, mucus, a flake or rolled-up cell, a granular clump or a fibre."""
    kind = rng.choice(["dirt", "smear", "flake", "clump", "roll", "fibre"])
    half = int(60 * slide.scale)
    stain = STAINS["neutral"] if kind == "dirt" else stain_of(rng, slide, rng.random() < 0.3)
    if kind == "dirt":  # opaque, small, jagged
        r = rng.uniform(0.6, 2.4)  # the studied annotators mark larger dark specks
        patch = smooth(fill(blob(rng, r, elongation=rng.uniform(1, 2), roughness=0.3), half), 0.4)
        patch *= rng.uniform(0.4, 2.5)
    elif kind == "smear":
        patch = smooth(fill(blob(rng, rng.uniform(5, 30), elongation=rng.uniform(1, 5), roughness=0.25), half), 1.5)
        patch *= rng.uniform(0.02, 0.2) * np.maximum(1 + 0.6 * canvas.grain(half, canvas.coarse), 0)
    elif kind == "flake":  # an angular fragment of a cell
        outline = polygon(
            rng, rng.uniform(5, 14) * slide.scale, corners=int(rng.integers(3, 6)), elongation=1.3, fray=0.08
        )
        patch = smooth(fill(outline, half), rng.uniform(0.6, 1.5)) * rng.uniform(0.1, 0.6)
        patch *= np.maximum(1 + 0.4 * canvas.grain(half, canvas.fine), 0.2)
    elif kind == "roll":  # a cell rolled up or standing on edge, as dark as nuclei but long
        outline = blob(rng, rng.uniform(8, 16) * slide.scale, elongation=rng.uniform(2.5, 7), roughness=0.15)
        cover = smooth(fill(np.clip(outline, 3 - half, half - 3), half), rng.uniform(0.6, 1.5))
        patch = cover * rng.uniform(0.25, 0.75) * np.maximum(1 + 0.3 * canvas.grain(half, canvas.coarse), 0.2)
    elif kind == "clump":
        r = rng.uniform(12, 30) * slide.scale
        cover = smooth(fill(blob(rng, r, roughness=0.2), half), 2.0)
        at = rng.normal(0, r / 2, (rng.integers(20, 90), 2))
        dots = [blob(rng, rng.uniform(0.6, 1.8), points=8) + point for point in at]
        patch = cover * rng.uniform(0.05, 0.7) * np.maximum(1 + 0.4 * canvas.grain(half, canvas.coarse), 0)
        patch += rng.uniform(0.1, 0.45) * smooth(np.max([fill(d, half) for d in dots], 0), 0.6)
    else:
        walk = np.cumsum(rng.normal(0, 0.5, (30, 2)) + rng.normal(0, 1.2, 2), 0) * 1.3
        patch = smooth(strokes([walk - walk.mean(0)], half, int(rng.integers(1, 4))), 0.7) * rng.uniform(0.1, 0.7)
    canvas.add(canvas.cytoplasm, patch, y, x, stain)


# --------------------------------------------------------------------------------------------------- fields and folders


def make_field(slide, field, *, size=1024, seed=0, colour=False):
    """One microscope field with its true classes: `numbered_field` without the numbers."""
    return numbered_field(slide, field, size=size, seed=seed, colour=colour)[:2]


def numbered_field(slide, field, *, size=1024, seed=0, colour=False):
    """One microscope field with its true classes and nuclei.

    Args:
        slide, field: int, the numbers of the slide and of the field on it.
        size: int, height and width in px.
        seed: int; the same (seed, slide, field) gives the same field in grey and in colour.
        colour: bool, RGB instead of grey.

    Returns:
        image: uint8 (size, size), or (size, size, 3) RGB.
        classes: uint8 (size, size): 0 background, 1 cytoplasm, 2 nucleus.
        nuclei: int32 (size, size), 0 or the number of a nucleus, from 1 in the order of their first pixels; where two
            overlap, that of the upper one. Lobes of leukocytes are numbered one by one.
    """
    inside = np.s_[MARGIN : MARGIN + size, MARGIN : MARGIN + size]
    image, canvas = draw_field(slide, field, size, seed, colour)
    return image, canvas.classes[inside].copy(), canvas.nuclei_within(inside)


def draw_field(slide, field, size, seed, colour):
    """The picture of one field, and the canvas that it was taken of."""
    specimen = make_specimen(slide, seed)
    rng = np.random.default_rng((seed, slide, field))
    canvas = Canvas(rng, size, 3 if colour else 1)
    area = ((size + MARGIN) / (1024 + MARGIN)) ** 2

    def anywhere():
        return rng.uniform(-MARGIN / 2, size + MARGIN / 2, 2)

    placed = []  # (y, x, radius) of the cells so far
    for _ in range(max(1, rng.poisson(specimen.cells / specimen.scale * area))):
        radius = specimen.scale * np.clip(rng.normal(57, 12), 26, 85)
        near = 0.45 if rng.random() < 0.8 else 0.3  # some lie in piles
        for _ in range(6):  # cells overlap, nuclei seldom do: look for a centre away from the others
            y, x = anywhere()
            if placed and rng.random() < specimen.clustering:
                y0, x0, r0 = placed[rng.integers(len(placed))]
                turn, gap = rng.uniform(0, 2 * np.pi), (r0 + radius) * rng.uniform(near + 0.03, 1.0)
                y, x = y0 + gap * np.sin(turn), x0 + gap * np.cos(turn)
            if all(np.hypot(y - b, x - a) > near * (radius + r) for b, a, r in placed):
                break
        placed.append((y, x, radius))
        add_cell(canvas, rng, specimen, y, x, radius)
    for _ in range(rng.poisson(specimen.leukocytes * area)):
        add_leukocytes(canvas, rng, specimen, *anywhere())
    for _ in range(rng.poisson(specimen.debris * area)):
        add_debris(canvas, rng, specimen, *anywhere())
    for _ in range(rng.poisson(1.5 * area)):  # naked nuclei
        add_nucleus(canvas, rng, specimen, *anywhere(), rng.random() < 0.5)
    inside = np.s_[MARGIN : MARGIN + size, MARGIN : MARGIN + size]
    density = canvas.nuclei[inside] + PILE * (1 - np.exp(-canvas.cytoplasm[inside] / PILE))
    return photograph(rng, specimen, density), canvas


def photograph(rng, slide, density):
    """Light through a density (size, size, channels) -> blurred, noisy uint8 image (size, size) or (size, size, 3)."""
    size, channels = density.shape[0], density.shape[2]
    glow = cv2.resize(rng.standard_normal((2, 2), np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    light = slide.light * (1 + slide.unevenness * 0.5 * glow[..., None])
    image = (
        light
        * (slide.glare + (1 - slide.glare) * np.exp(-density))
        * (np.float32(slide.tint) if channels == 3 else np.float32(1))
    )
    image = smooth(np.ascontiguousarray(image, np.float32), slide.blur).reshape(density.shape)
    if slide.sharpening:
        image += slide.sharpening * (image - smooth(image, 1.2).reshape(density.shape))
    noise = smooth(rng.standard_normal((size, size), np.float32), slide.grain)
    image += noise[..., None] * np.float32(slide.noise / max(noise.std(), 1e-6))
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return image if channels == 3 else image[..., 0]


def write_sample(data_dir, *, seed=0, classes=1, colour=False, numbered=False, train=(12, 2), test=(3, 2), size=1024):
    """Write the sample into `<data_dir>/Train data` and `<data_dir>/Test data`, each with Images and Masks.

    Args:
        data_dir: str or Path.
        seed: int; the same seed writes the same bytes.
        classes: 1 writes masks of nuclei, 0 and 255; 3 writes class ids 0 background, 1 cytoplasm, 2 nucleus.
        colour: bool, RGB instead of grey images.
        numbered: bool, with 1 class: masks of 16 bits, in which nuclei are 1, 2, 3 … (`numbered_field`).
        train, test: (slides, fields per slide). Test fields come from other slides than training fields.
        size: int, height and width in px.

    Returns:
        int, the number of fields written.
    """
    if classes not in (1, 3):
        raise InputError(f"The sample has masks of 1 or 3 classes. Received: classes={classes}.")
    jobs = []
    for split, first, (slides, fields) in (("Train data", 0, train), ("Test data", train[0], test)):
        folder = Path(data_dir) / split
        for kind in ("Images", "Masks"):
            if any(not p.name.startswith(".") for p in (folder / kind).glob("*")):
                raise InputError(
                    f"{folder / kind} already contains files; the sample is written into empty folders only. "
                    "Use another folder, or empty this one."
                )
        jobs += [(split, first + s, f) for s in range(slides) for f in range(fields)]
    # Moved when all are there: a program killed halfway leaves no half of a sample behind.
    with written_aside(data_dir, ".sample-unfinished") as aside:

        def work(job):
            split, slide, field = job
            folder = aside.path / split
            image, mask, nuclei = numbered_field(slide, field, size=size, seed=seed, colour=colour)
            if classes == 1:
                mask = nuclei.astype(np.uint16) if numbered else np.uint8(255) * (nuclei > 0)
            name = f"slide{slide:02d}_field{field}.png"
            write_png(folder / "Images" / name, image)
            write_png(folder / "Masks" / name, mask)

        with ThreadPoolExecutor(min(4, cores())) as pool:
            done = pool.map(work, jobs)
            for _ in tqdm(done, total=len(jobs), desc="sample", unit="field", leave=False, disable=None):
                pass
    return len(jobs)
