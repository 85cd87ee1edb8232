"""Distributions: the numeric columns of a table of cells, and the bars of their histograms.

Nothing here draws: the macro `histogram` in `page_macros.html` does.
"""

import csv
import re
from dataclasses import dataclass

import numpy as np

FEWEST_BARS, MOST_BARS = 5, 20
UNITS = {"px": "px", "px2": "px²", "um": "µm", "um2": "µm²", "deg": "°"}  # ends of column names
# columns that number or place things; how they are distributed tells nothing
_PLACES = re.compile(
    r"(id|cell|object|label|number|class|row|column|[xy]|left|top|right|bottom|centroid.*|centre.*|center.*|bbox.*|"
    r"touches_edge)"
    r"(_px|_um|_id)?"
)


def read_columns(path, names):
    """The rows of a CSV that belong to some images.

    Parameters: path, a CSV with a header, one of whose columns is `image` or `file`; names, from what may stand there
    to the image's own name.

    Returns (images, columns): the names of the rows' images, a list; and {column: float64 ndarray, NaN where empty} of
    all columns that hold numbers and are not positions or numbers of rows. (None, {}) without a column of images.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    header = rows[0] if rows else []
    of_image = next((header.index(name) for name in ("image", "file") if name in header), None)
    if of_image is None:
        return None, {}
    rows = [row for row in rows[1:] if len(row) == len(header) and row[of_image] in names]
    columns = {}
    for i, name in enumerate(header):
        if i == of_image or _PLACES.fullmatch(name.lower()):
            continue
        try:
            values = np.array([row[i] or "nan" for row in rows], np.float64)
        except ValueError:
            continue
        if np.isfinite(values).any():
            columns[name] = values
    return [names[row[of_image]] for row in rows], columns


def title_of(column):
    """`area_um2` → `area, µm²`."""
    words = column.split("_")
    if len(words) > 1 and words[-1] in UNITS:
        return f"{' '.join(words[:-1])}, {UNITS[words[-1]]}"
    return " ".join(words)


def edges_of(values):
    """Round limits of bars of equal width that hold all `values`: float64 of shape (bars + 1,).

    At most as many bars as Rice's rule says, twice the cube root of the number of values, within reason.
    """
    most = int(np.clip(2 * len(values) ** (1 / 3), FEWEST_BARS, MOST_BARS))
    low, high = float(np.min(values)), float(np.max(values))
    whole = bool(np.all(values == np.rint(values)))
    span = max(high - low or abs(high) or 1.0, 1e-300)  # smaller numbers have no digits left to divide
    power = 10.0 ** np.floor(np.log10(span / (most - 1)))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * (most - 1) >= span)
    step = max(step, 1.0) if whole else step
    first = np.floor(low / step)
    bars = max(1, int(np.floor(high / step) - first) + 1)
    if not whole and bars > 1 and np.isclose(high, (first + bars - 1) * step, rtol=1e-9, atol=0):
        bars -= 1  # a largest value on the last limit, such as a Dice of 1, needs no bar of its own
    return (first + np.arange(bars + 1)) * step


@dataclass
class Histogram:
    """What a histogram shows.

    title, unit : texts, of the whole and of what is counted.
    edges : limits of the bars, list of bars + 1 floats, equally far apart.
    counts : list of bars ints.
    median : float.
    middle_half : (float, float), the quartiles.
    """

    title: str
    unit: str
    edges: list
    counts: list
    median: float
    middle_half: tuple


def histogram(values, title, unit="images"):
    """The `Histogram` of `values`, 1-D, NaN where there is none; None without any value."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    edges = edges_of(values)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    low, middle, high = np.percentile(values, (25, 50, 75)).tolist()
    return Histogram(title, unit, edges.tolist(), counts.tolist(), middle, (low, high))


def number(value):
    """A number for people, with three or four digits that count: 0.912, 48.3, 1,250, −9."""
    if not np.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000 or (value == round(value) and size >= 1):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}" if size < 1e-3 and value else f"{value:.{3 if size < 1 else 2 if size < 10 else 1}f}"
        text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return "0" if text in ("-0", "0") else text.replace("-", "−")
