"""report.html: the predictions to look at, worst first, with their scores, measurements and the model's run card.

One file that needs nothing else: pictures are embedded, and it loads nothing from anywhere. This module gathers what
the page says; how it says it stands in `page_template.html`, with `page_macros.html`, `page_style.css` and
`page_script.js` beside it. Names of files, classes and columns come from anywhere: the template escapes whatever it is
given.
"""

import base64
import csv
import hashlib
import json
import re
import time
from pathlib import Path

import jinja2
import numpy as np
from tqdm import tqdm

from pairing.masks import MaskCoding
from predicting.folder import PAGE, SUFFIX
from predicting.overview import OVERVIEW
from predicting.record import read_record
from reading import images
from reading.files import InputError, counted, replacing
from reading.show import CLASS_COLOURS
from reporting import picture_layers
from reporting.histogram import histogram, number, read_columns, title_of
from scoring.metrics import SCORES, cautions
from training import run_card

TEMPLATE = "page_template.html"
CELLS, COUNTS = "cells.csv", "cell_counts.csv"
COUNTED = ("cells_low", "cells_high", "cells_per_mm2")  # columns of the latter that the page shows
TITLES = {  # of the scores and columns, in the order of the table
    "dice": "Dice", "iou": "IoU", "accuracy": "Accuracy", "precision": "Precision", "recall": "Recall",
    "f1": "Object F1", "ap": "Object AP", "hd95_px": "HD95, px", "true": "True objects",
    "predicted": "Predicted objects", "count_error": "Error in count", "cells": "Cells",
    "cells_low": "Cells, 95 % from", "cells_high": "to", "cells_per_mm2": "Cells per mm²", "regions": "Regions",
    "area": "Marked area, %",
}  # fmt: skip
ORDERS = {  # of the gallery: a score or column with a direction, and the two in words
    "dice up": "lowest Dice first",
    "dice down": "highest Dice first",
    "f1 up": "lowest object F1 first",
    "hd95_px down": "outlines furthest off first (HD95)",
    "count_error down": "largest error in count first",
    "cells down": "most cells first",
    "regions down": "most regions first",
    "area down": "most marked area first",
    "area up": "least marked area first",
    "name up": "by name",
}
ERROR_COLOURS = {
    "found": picture_layers.RIGHT, "missed": picture_layers.MISSED, "invented": picture_layers.INVENTED,
    "wrong class": picture_layers.CONFUSED, "ignored": picture_layers.HATCH[0],
}  # fmt: skip


def write_page(out_dir, pairs, scores=None):
    """Write `report.html` into a folder of predictions.

    Parameters
    ----------
    out_dir : the folder with the masks that `predicting.folder.predict_files` wrote.
    pairs : list of `pairing.pairs.Pair`; those without a predicted mask in `out_dir`, or with another model's, are left
        out. Of slides the overview is shown.
    scores : what `predicting.evaluate.evaluate_folder` returned; None for a report without scores.

    Returns the path of the page. Images that cannot be read are listed in it with the reason.
    """
    out_dir = Path(out_dir)
    predictions, masks = read_record(out_dir), {pair.stem: out_dir / f"{pair.stem}{SUFFIX}.png" for pair in pairs}
    own_scores = {} if scores is None else {image["name"]: image for image in scores["images"]}
    shown = [pair for pair in pairs if masks[pair.stem].is_file() and predictions.speaks_of(masks[pair.stem])]
    shown.sort(key=lambda pair: (own_scores[pair.stem]["dice"] if pair.stem in own_scores else 2, _natural(pair)))
    coding = None if scores is None else MaskCoding(**scores["masks"])
    slides = [
        {"file": pair.image.name, "mask": mask.name, "picture": out_dir / f"{pair.stem}{OVERVIEW}"}
        for pair in pairs
        if (mask := masks[pair.stem].with_suffix(".tif")).is_file() and predictions.speaks_of(mask)
    ]
    entries = [*_entries(out_dir, shown, predictions.classes, coding, own_scores)]
    measured = any(predictions.cells(masks[pair.stem]) is not False for pair in shown)  # else the table is an older one
    columns = _add_cells(out_dir / CELLS, entries) if measured else {}
    for entry in entries:
        entry |= {"facts": _short_facts(entry), "text": _alternative(entry)}
    template = templates().get_template(TEMPLATE)
    page = template.render(
        predictions=predictions,
        entries=entries,
        slides=[slide | {"picture": _jpeg(slide["picture"])} for slide in slides if slide["picture"].is_file()],
        for_script=[_for_script(entry) for entry in entries],
        scores=scores,
        now=time.strftime("%d %B %Y, %H:%M"),
        empty=sum(entry["values"].get("regions") == 0 for entry in entries),
        histograms=_histograms(entries, columns),
        model=_model(Path(predictions.model)),
        **_scores(scores, out_dir),
        **_gallery(entries, predictions, scores),
        **_table(entries),
    )
    with replacing(out_dir / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out_dir / PAGE


def templates():
    """Where the templates are found, how values become text in them, and that they are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters |= {"number": number, "counted": counted, "breakable": _breakable, "sha256": _sha256}
    return environment


def _breakable(name):
    """The parts of a name between which a new line may begin: after underscores, dots and hyphens."""
    return re.split(r"(?<=[_.-])", name)


def _sha256(text):
    """As a Content-Security-Policy names a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _jpeg(png):
    """A colour picture as a JPEG of the page."""
    return picture_layers.jpeg(images.read(png))


def _embedded(png):
    return f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode('ascii')}"


# --------------------------------------------------------------------------------------------------------- the images


def _entries(out_dir, pairs, classes, coding, own_scores):
    """Of each image a dictionary: `file`, `stem`, `values` and what `picture_layers.layers_of` gives, or the `fault`.

    coding: `pairing.masks.MaskCoding` of the true masks, None without; own_scores: {stem: scores of that image}.
    """
    left = picture_layers.LARGE_BYTES
    for pair in tqdm(pairs, desc="report", unit="image", leave=False, delay=1, disable=None):
        entry = {"file": pair.image.name, "stem": pair.stem, "values": _values(own_scores.get(pair.stem))}
        try:
            mask = images.read_mask(out_dir / f"{pair.stem}{SUFFIX}.png").astype(np.uint8)
            mask = (mask > 0).astype(np.uint8) if classes == 1 else mask
            entry |= picture_layers.layers_of(pair, mask, coding if pair.stem in own_scores else None, large=left > 0)
            left -= picture_layers.bytes_of(entry["large"])
            entry["values"] |= {"regions": entry["regions"], "area": 100 * entry["area"]}
        except InputError as error:
            entry["fault"] = str(error)
        yield entry


def _natural(pair):
    """A key that sorts images by name as people count: a2 before a10."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", pair.image.name)]


def _values(scored):
    """The numbers of one image by their names in `TITLES`; none without scores."""
    if scored is None:
        return {}
    own = {key: scored[key] for key in SCORES} | scored["objects"] | {"hd95_px": scored["hd95_px"]}
    return own | {"count_error": own["predicted"] - own["true"]}


def _add_cells(path, entries):
    """Count the rows of `cells.csv` into the entries; returns its numeric columns, {} without such a file."""
    if not path.is_file():
        return {}
    names = {name: entry["file"] for entry in entries for name in (entry["stem"], entry["file"])}
    of_rows, columns = read_columns(path, names)
    if of_rows:
        found, counts = np.unique(of_rows, return_counts=True)
        counts = dict(zip(found.tolist(), counts.tolist(), strict=True))
        measured = _measured(path.with_name(COUNTS))
        for entry in entries:
            if measured is None or entry["file"] in measured:
                entry["values"]["cells"] = counts.get(entry["file"], 0)
                entry["values"] |= (measured or {}).get(entry["file"], {})
    return columns


def _measured(path):
    """What `cell_counts.csv` says of its images, also those without a cell: {name: {column of `COUNTED`: number}}.

    None without such a file.
    """
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        return {
            row["image"]: {name: float(row[name]) for name in COUNTED if row.get(name)} for row in csv.DictReader(file)
        }


def _short_facts(entry):
    """One line below a picture."""
    if "fault" in entry:
        return "cannot be shown"
    v = entry["values"]
    if "dice" in v:
        return f"Dice {v['dice']:.3f}; {v['predicted']} predicted, {v['true']} true"
    return f"{_regions(v)}, {number(v['area'])} % marked"


def _alternative(entry):
    """What a picture shows, for those who do not see it."""
    if "fault" in entry:
        return entry["fault"]
    v = entry["values"]
    return f"{entry['file']} with its predicted mask: {_regions(v)}, {number(v['area'])} % of the area"


def _regions(values):
    if "cells" not in values:
        return counted(values["regions"], "region")
    limits = [number(values[name]) for name in COUNTED[:2] if name in values]
    return counted(values["cells"], "cell") + (f" (95 % interval {'–'.join(limits)})" if limits else "")


def _for_script(entry):
    """The part of an entry that the page's script uses."""
    kept = {key: entry[key] for key in ("file", "width", "height", "shown_px", "small", "large") if entry.get(key)}
    return kept | {key: entry[key] for key in ("values", "facts", "text")}


# ------------------------------------------------------------------------------------- the sections, from top to bottom


def _scores(scores, out_dir):
    """What the sections of scores and of calibration need beside the scores."""
    if scores is None:
        return {"calibration": None}
    otsu = {"Otsu’s threshold": scores["otsu"]} if "otsu" in scores else {}
    start = {"starting weights": scores["start"]} if "start" in scores else {}
    others = otsu | {"an empty mask": scores["baseline"]}
    return {
        "score_names": SCORES,
        "baselines": start | otsu | {"all background": scores["baseline"]},
        "not_better_than": [name for name, other in others.items() if other["dice"] >= scores["dice"]],
        "cautions": cautions(scores),
        "calibration": _calibration(scores["calibration"], out_dir / "calibration.png"),
    }


def _calibration(found, figure):
    """The reliability diagram and its expected error in words; None where there is none."""
    if not found or not figure.is_file():
        return None
    error = found["expected_error"]
    return {"figure": _embedded(figure), "error": f"{error:.3f}" if error >= 0.001 else "below 0.001"}


def _gallery(entries, predictions, scores):
    """How the gallery can be sorted and shown, what its colours mean, and how many pictures stay small."""
    known = {key for entry in entries for key in entry["values"]} | {"name"}
    orders = {key: words for key, words in ORDERS.items() if key.split()[0] in known}
    if scores is None:
        orders = {"name up": orders["name up"]} | orders
    readable = [entry for entry in entries if "small" in entry]
    shown = {"wrong class": predictions.classes > 1, "ignored": "ignored" in (scores or {})}
    return {
        "orders": orders,
        "views": ["overlay", "image", "mask"] + ["errors"] * (scores is not None),
        "readable": len(readable),
        "small_alone": sum(entry["large"] is None for entry in readable),  # since the file would become too large
        "small_px": picture_layers.SMALL_PX,
        "large_px": picture_layers.LARGE_PX,
        "class_colours": CLASS_COLOURS.tolist(),
        "meaning": (predictions.masks or {}).get("explanation", ""),
        "error_colours": {key: colour for key, colour in ERROR_COLOURS.items() if shown.get(key, True)},
    }


def _histograms(entries, columns):
    """Distributions over the images, and over the cells where they were measured: {of what: list of `Histogram`}."""

    def values(key):
        return [entry["values"].get(key, np.nan) for entry in entries]

    shown = ["dice", "f1", "hd95_px", "count_error", "area"]
    shown.insert(4, "cells" if any("cells" in entry["values"] for entry in entries) else "regions")
    of_images = [histogram(values(key), TITLES[key]) for key in shown if len(entries) > 2]
    of_cells = [histogram(column, title_of(name), "cells") for name, column in columns.items()]
    drawn = {"image": [*filter(None, of_images)], f"cell, from {CELLS}": [*filter(None, of_cells)]}
    return {of: found for of, found in drawn.items() if found}


def _table(entries):
    """The columns of the table of images, and which of them hold shares of 1."""
    known = {key for entry in entries for key in entry["values"]}
    known -= {"regions"} if "predicted" in known else set()
    return {"titles": TITLES, "columns": [key for key in TITLES if key in known], "shares": (*SCORES, "f1", "ap")}


# -------------------------------------------------------------------------------------------------------------- model


def _model(path):
    """The model that predicted, with what its run folder tells where that is still there, else with no `facts`."""
    model = {"path": path, "name": "/".join(path.parts[-2:])}
    card = _card_of(path)
    if card is None:
        return model | {"facts": None}
    curves, history = path.with_name("curves.png"), path.with_name("history.csv")
    return model | {
        "facts": _facts(path, card),
        "curves": _embedded(curves) if curves.is_file() else None,
        "history": _read_history(history) if history.is_file() else None,
        "settings": {key: json.dumps(value, ensure_ascii=False) for key, value in card["settings"].items()},
    }


def _card_of(model):
    """The run card of a model, or what lies beside weights; None where there is none, or a file of another program."""
    for path in (model.with_name(run_card.CARD), model.with_suffix(".json")):
        try:
            return run_card.read_card(path)
        except (InputError, OSError):
            continue
    return None


def _facts(path, card):
    """What a run card tells, {what: text}; empty texts where it does not."""
    settings, scores = card["settings"], card.get("scores", {})
    mean = ", averaged with the weights it started from" * card.get("mean_with_start", {}).get("kept", False)
    return {
        "Model": path,
        "Trained on": _trained_on(card),
        "Training": f"{counted(settings.get('epochs', 0), 'epoch')}, the one kept: {card.get('best_epoch', '?')}{mean}",
        "Cost": f"{card['seconds']:,.0f} s, {card['training_tflop']} TFLOP" if "seconds" in card else "",
        "Network": f"{card['parameters']:,} parameters" if "parameters" in card else "",
        "Validation Dice": f"{scores['val_dice']:.3f}" if "val_dice" in scores else "",
        "Start": card.get("start", ""),
        "Watchdog": " ".join(card.get("watchdog", [])),
        "Versions": ", ".join(f"{name} {version}" for name, version in card.get("versions", {}).items()),
        "Computer": _computer(card.get("hardware", {})),
    }


def _trained_on(card):
    if isinstance(card.get("training"), list):
        return f"{counted(len(card['training']), 'image')}, {len(card.get('validation', []))} held out to validate"
    return card.get("trained_on", "")


def _computer(hardware):
    """`training.run_card.hardware` in one line."""
    if not hardware:
        return ""
    cores, memory = counted(hardware["cores"], "core"), f"{hardware['memory_gb']:g} GB of memory"
    return ", ".join([hardware["cpu"], cores, memory, *hardware["gpu"], hardware["system"]])


def _read_history(path):
    """history.csv as a list of rows: the names of its columns, then [epoch, a text, and floats]."""
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return [head, *([row[0], *map(float, row[1:])] for row in rows)]
