"""suggest.html and suggested.csv: which pictures to annotate next, and where in them the network is in doubt.

The page is one file that loads nothing and runs no script. It says what `suggest_template.html` says of it; whatever
stands in names of files is escaped there.
"""

import csv
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from predicting.folder import refuse_others
from reading import images, intensity, show
from reading.files import replacing
from reading.resize import fitted_size, resize
from reporting.page import templates
from reporting.picture_layers import jpeg

PAGE, TABLE = "suggest.html", "suggested.csv"
SHOWN = 40  # pictures on the page; all are in the table
SIDE_PX, PLACE_PX, CLOSE = 448, 132, 3  # longer side of a thumbnail; side of a place seen closely, and how many of them


def refuse_others_files(out_dir):
    """Raise `InputError` where a page or a table of somebody else would be overwritten."""
    refuse_others((Path(out_dir) / name for name in (PAGE, TABLE)), "suggest")


def write_suggestions(out_dir, found, model, command, unreadable=()):
    """Write the page and the table into a folder.

    Parameters
    ----------
    found : list of `predicting.suggest.Suggestion`, the first to annotate first.
    model : path of the network that looked. command : the one that comes next.
    unreadable : texts on pictures that could not be read.
    """
    out_dir = Path(out_dir)
    write_table(out_dir / TABLE, found)
    shown = tqdm(found[:SHOWN], "page", unit="image", leave=False, delay=1, disable=None)
    page = (
        templates()
        .get_template("suggest_template.html")
        .render(
            entries=[_entry(one) for one in shown],
            count=len(found),
            table=TABLE,
            model="/".join(Path(model).parts[-2:]),
            command=command,
            unreadable=list(map(str, unreadable)),
            now=time.strftime("%d %B %Y, %H:%M"),
        )
    )
    with replacing(out_dir / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def write_table(path, found):
    """suggested.csv: a picture a row, in the order in which to annotate."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["rank", "image", "path", "gain", "doubt", "unlikeness", "reason", "places_x_y_width_height"])
        for rank, one in enumerate(found, start=1):
            unlike = "" if one.unlikeness is None else f"{one.unlikeness:.3f}"
            places = "; ".join(f"{column} {row} {width} {height}" for row, column, height, width in one.places)
            numbers = [f"{one.gain:.3f}", f"{one.doubt:.3f}", unlike]
            table.writerow([rank, one.path.name, one.path.resolve(), *numbers, one.reason, places])


def _entry(one):
    """What the page shows of a `Suggestion`."""
    picture = images.read(one.path)
    picture = intensity.to_channels(show.display(picture), 3)
    height, width = fitted_size(*picture.shape[:2], min(SIDE_PX, max(picture.shape[:2])))
    small = np.ascontiguousarray(resize(picture, height, width))
    scale = height / picture.shape[0]
    closely = []
    for row, column, tall, wide in reversed(one.places):  # the most doubtful one last, so that it lies on top
        top, left, bottom, right = (round(n * scale) for n in (row, column, row + tall, column + wide))
        for colour, thickness in (((255, 255, 255), 4), (show.OUTLINE_COLOUR, 2)):
            cv2.rectangle(small, (left, top), (right - 1, bottom - 1), colour, thickness)
        part = picture[row : row + tall, column : column + wide]
        closely.insert(0, jpeg(resize(part, *fitted_size(*part.shape[:2], PLACE_PX))))
    return {
        "name": one.path.name, "reason": one.reason, "picture": jpeg(small), "closely": closely[:CLOSE],
        "width": picture.shape[1], "height": picture.shape[0], "places": len(one.places),
    }  # fmt: skip
