"""What the sample is drawn with: outlines, textures, strokes, and the canvas with densities, classes and numbers."""

import cv2
import numpy as np

CYTOPLASM, NUCLEUS = 1, 2  # class ids; 0 is background
MARGIN = 160  # px of canvas around the field, so that cells are cut by its border
SMALLEST = 20  # px of a nucleus that is numbered by itself; hardly one on the real fields has fewer


def blob(rng, radius, *, elongation=1.0, roughness=0.05, points=48):
    """A closed smooth outline around (0, 0): (points, 2) float x, y in px, about as large as a circle of `radius`."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = np.ones(points)
    for order in (2, 3, 4, 5):
        r += roughness * rng.normal() / (order - 1) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    turn = rng.uniform(0, 2 * np.pi)
    x, y = r * np.cos(angle) * np.sqrt(elongation), r * np.sin(angle) / np.sqrt(elongation)
    return radius * np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)


def polygon(rng, radius, *, corners, elongation, fray):
    """The angular, slightly frayed outline of a squamous cell: (n, 2) float x, y in px around (0, 0)."""
    angle = (np.arange(corners) + rng.uniform(-0.33, 0.33, corners)) * 2 * np.pi / corners
    p = (radius * rng.uniform(0.78, 1.18, corners))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    p *= (np.sqrt(elongation), 1 / np.sqrt(elongation))
    for _ in range(4):  # midpoint displacement: straight sides become irregular at ever smaller scales
        q = np.roll(p, -1, 0)
        side = np.hypot(*(q - p).T)[:, None]
        middle = (p + q) / 2 + rng.normal(0, 1, p.shape) * side * fray + (p + q) / 2 * 0.02
        p = np.stack([p, middle], 1).reshape(-1, 2)
    turn = rng.uniform(0, 2 * np.pi)
    return p @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def fill(points, half):
    """Coverage 0..1, float32 (2*half, 2*half), of an outline given around the patch centre, antialiased."""
    patch = np.zeros((2 * half, 2 * half), np.uint8)
    cv2.fillPoly(patch, [np.round((points + half) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return patch.astype(np.float32) / 255


def strokes(lines, half, thickness=1):
    """Coverage 0..1, float32 (2*half, 2*half), of open lines, each (n, 2) around the patch centre."""
    patch = np.zeros((2 * half, 2 * half), np.uint8)
    lines = [np.round((line + half) * 16).astype(np.int32) for line in lines]
    cv2.polylines(patch, lines, False, 255, thickness, cv2.LINE_AA, 4)
    return patch.astype(np.float32) / 255


def smooth(patch, sigma):
    return cv2.GaussianBlur(patch, (0, 0), sigma) if sigma > 0.15 else patch


def texture(rng, shape, grain):
    """Smooth noise of mean 0 and standard deviation about 1, float32 `shape`, with features of `grain` px."""
    small = rng.standard_normal([int(np.ceil(s / grain)) + 3 for s in shape], np.float32)
    wide = [int(round(s * grain)) for s in small.shape]
    return 1.3 * cv2.resize(small, wide[::-1], interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]


def fold_over(points, rng, radius):
    """Fold a corner of a cell back over it: (the outline left, the flap lying on it), or the outline and None."""
    direction = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(direction), np.sin(direction)])
    beyond = points @ normal - radius * rng.uniform(0.45, 0.85)
    if not 3 <= (beyond > 0).sum() < len(points) - 3:
        return points, None
    flat = points - np.maximum(beyond, 0)[:, None] * normal
    flap = points - 2 * np.maximum(beyond, 0)[:, None] * normal
    return flat, np.where((beyond > 0)[:, None], flap, flat)[beyond > -0.5]


class Canvas:
    """Densities, classes and numbered nuclei of one field under construction, with a margin around it."""

    def __init__(self, rng, size, channels):
        self.rng, self.size, self.channels = rng, size, channels
        n = size + 2 * MARGIN
        self.cytoplasm = np.zeros((n, n, channels), np.float32)
        self.nuclei = np.zeros((n, n, channels), np.float32)
        self.classes = np.zeros((n, n), np.uint8)
        self.bodies = []  # of each cell: its place on the canvas, its pixels there, and (y, x) of its nucleus or None
        self.numbers, self.count = np.zeros((n, n), np.int32), 0  # of the nuclei, the upper one's where two overlap
        self.coarse, self.fine = texture(rng, (n, n), 9.0), texture(rng, (n, n), 2.2)
        self.wrinkles = texture(rng, (n, n), 24.0)

    def cut(self, half, y, x):
        """The slices of canvas and patch where a patch of 2*half px around (y, x) px lies on the canvas."""
        n = self.classes.shape[0]
        y0, x0 = int(y) + MARGIN - half, int(x) + MARGIN - half
        a, b, c, d = max(y0, 0), max(x0, 0), min(y0 + 2 * half, n), min(x0 + 2 * half, n)
        if a >= c or b >= d:
            return None, None
        return np.s_[a:c, b:d], np.s_[a - y0 : c - y0, b - x0 : d - x0]

    def add(self, layer, patch, y, x, stain):
        """Add a density patch (2*half, 2*half) around (y, x) to a layer, in the colour of `stain` (3,)."""
        there, here = self.cut(patch.shape[0] // 2, y, x)
        if there is not None:
            layer[there] += patch[here][..., None] * (stain if self.channels == 3 else np.float32(1))

    def mark(self, cover, y, x, value):
        """Give the class `value` to pixels at least half covered, never lowering a class already there."""
        there, here = self.cut(cover.shape[0] // 2, y, x)
        if there is not None:
            marked = np.where(cover[here] >= 0.5, value, 0).astype(np.uint8)
            self.classes[there] = np.maximum(self.classes[there], marked)

    def mark_nuclei(self, parts, y, x):
        """Number further nuclei: `parts` is integer (2*half, 2*half) around (y, x), 0 or 1 … n on the n of them."""
        there, here = self.cut(parts.shape[0] // 2, y, x)
        if there is not None:
            new = parts[here] > 0
            self.classes[there][new] = NUCLEUS
            self.numbers[there][new] = parts[here][new] + self.count
        self.count += int(parts.max())

    def nuclei_within(self, inside):
        """The nuclei in a part of the canvas: int32, 1, 2, 3 … in the order of their first pixels, 0 elsewhere.

        What is left of a nucleus under another, if less than any annotator marks (`SMALLEST` px), is the other's.
        """
        sizes = np.bincount(self.numbers.ravel())
        others = np.arange(len(sizes))
        hidden = np.flatnonzero((sizes > 0) & (sizes < SMALLEST))
        places = np.flatnonzero(np.isin(self.numbers, hidden)) if len(hidden) else hidden
        for number in hidden:
            y, x = np.unravel_index(places[self.numbers.ravel()[places] == number], self.numbers.shape)
            around = self.numbers[max(0, y.min() - 1) : y.max() + 2, max(0, x.min() - 1) : x.max() + 2]
            around = around[(around > 0) & (around != number)]
            others[number] = np.bincount(around).argmax() if len(around) else number
        numbers = others[self.numbers[inside]]
        places = np.flatnonzero(numbers)
        first = np.full(len(sizes), numbers.size)
        first[numbers.ravel()[places][::-1]] = places[::-1]  # the last one written is the first pixel
        table = np.zeros(len(sizes), np.int32)
        shown = np.argsort(first)[: np.count_nonzero(first < numbers.size)]
        table[shown] = np.arange(1, len(shown) + 1)
        return table[numbers]

    def grain(self, half, which):
        """A random piece of ready-made texture, (2*half, 2*half)."""
        n = self.classes.shape[0] - 2 * half
        y, x = self.rng.integers(0, n, 2)
        return which[y : y + 2 * half, x : x + 2 * half]
