"""report.html: the predictions to look at, worst first, with their scores, measurements and the model's run card.

One file that needs nothing else: pictures are embedded, and it loads nothing from anywhere. `page_template.html` holds
its frame, style and script; everything that varies is put in here, escaped.
"""

import base64
import csv
import hashlib
import json
import re
import time
from html import escape
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pairing.masks import MaskCoding
from predicting.folder import PAGE, RECORD, SUFFIX
from reading import images
from reading.files import InputError, replacing
from reading.show import CLASS_COLOURS
from reporting import layers
from reporting.histogram import histogram, number, read_columns, title_of
from scoring.metrics import FEW_IMAGES, SCORES

TEMPLATE = Path(__file__).with_name("page_template.html")
CELLS = "cells.csv"
LABELS = {
    "dice": "Dice", "iou": "IoU", "accuracy": "Accuracy", "precision": "Precision", "recall": "Recall",
    "f1": "Object F1", "ap": "Object AP", "hd95_px": "HD95, px", "true": "True objects",
    "predicted": "Predicted objects", "count_error": "Error in count", "cells": "Cells", "regions": "Regions",
    "area": "Marked area, %",
}  # fmt: skip
ORDERS = {  # of the gallery: measure, direction, words
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


def write_page(out_dir, pairs, card=None):
    """Write `report.html` into a folder of predictions.

    Parameters
    ----------
    out_dir : the folder with the masks that `predict.predict_files` wrote.
    pairs : list of `pairs.Pair`; those without a predicted mask in `out_dir` are left out.
    card : the scores of `predict.evaluate_folder`; None for a report without scores.

    Returns the path of the page. Images that cannot be read are listed in it with the reason.
    """
    out_dir = Path(out_dir)
    record = json.loads((out_dir / RECORD).read_text(encoding="utf-8"))
    scores = {} if card is None else {image["name"]: image for image in card["images"]}
    shown = [pair for pair in pairs if (out_dir / f"{pair.stem}{SUFFIX}.png").is_file()]
    shown.sort(key=lambda pair: (scores[pair.stem]["dice"] if pair.stem in scores else 2, _natural(pair.image.name)))
    entries = [*_entries(out_dir, shown, record["classes"], card, scores)]
    measured = record.get("cells", True)  # else a table there is of an earlier prediction
    cells = _add_cells(out_dir / CELLS, entries) if measured else {}
    page = _fill(
        title=_counted(len(entries), "predicted mask"),
        facts=_facts(record, entries, card),
        scores=_no_scores(entries) if card is None else _scores(card, record, len(entries)),
        gallery=_gallery(entries, record, card),
        histograms=_histograms(entries, cells),
        table=_table(entries),
        calibration=_calibration(out_dir, card),
        model=_model(record),
        entries=json.dumps([_for_script(entry) for entry in entries], ensure_ascii=False).replace("<", "\\u003c"),
    )
    with replacing(out_dir / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out_dir / PAGE


# --------------------------------------------------------------------------------------------------------- the images


def _entries(out_dir, pairs, classes, card, scores):
    """Of each image a dictionary: `file`, `stem`, `values` and what `layers.layers_of` gives, or the `fault`."""
    coding = None if card is None else MaskCoding(**card["masks"])
    left = layers.LARGE_BYTES
    for pair in tqdm(pairs, desc="report", unit="image", leave=False, delay=1, disable=None):
        entry = {"file": pair.image.name, "stem": pair.stem, "values": _values(scores.get(pair.stem))}
        try:
            mask = images.read_mask(out_dir / f"{pair.stem}{SUFFIX}.png").astype(np.uint8)
            mask = (mask > 0).astype(np.uint8) if classes == 1 else mask
            entry |= layers.layers_of(pair, mask, coding if pair.stem in scores else None, large=left > 0)
            left -= layers.bytes_of(entry["large"])
            entry["values"] |= {"regions": entry["regions"], "area": 100 * entry["area"]}
        except InputError as error:
            entry["fault"] = str(error)
        yield entry


def _natural(name):
    """A key that sorts names as people count: a2 before a10."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]


def _values(scored):
    """The numbers of one image by their names in `LABELS`; none without scores."""
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
        for entry in entries:
            entry["values"]["cells"] = counts.get(entry["file"], 0)
    return columns


def _for_script(entry):
    """The part of an entry that the page's script uses."""
    kept = {key: entry[key] for key in ("file", "width", "height", "shown_px", "small", "large") if entry.get(key)}
    return kept | {"values": entry["values"], "facts": _short_facts(entry), "text": _alternative(entry)}


def _short_facts(entry):
    """One line below a picture."""
    if "fault" in entry:
        return "cannot be shown"
    v = entry["values"]
    if "dice" in v:
        return f"Dice {v['dice']:.3f}; {v['predicted']} predicted, {v['true']} true"
    return f"{_regions(v)}, {number(v['area'])} % marked"


def _regions(values):
    return _counted(values["cells"], "cell") if "cells" in values else _counted(values["regions"], "region")


def _counted(count, noun):
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _alternative(entry):
    """What a picture shows, for those who do not see it."""
    if "fault" in entry:
        return entry["fault"]
    v = entry["values"]
    return f"{entry['file']} with its predicted mask: {_regions(v)}, {number(v['area'])} % of the area"


# ------------------------------------------------------------------------------------------------------------- scores


def _facts(record, entries, card):
    """The line below the title."""
    empty = sum(entry["values"].get("regions") == 0 for entry in entries)
    model = Path(record["model"])
    parts = [f"by {escape('/'.join(model.parts[-2:]))}", time.strftime("%d %B %Y, %H:%M")]
    if record["classes"] == 1:
        parts.append(f"foreground from a probability of {record['threshold']:g} on")
    if card:
        parts.append(f"{len(card['images'])} of {_counted(len(entries), 'image')} with a true mask")
    if empty:
        parts.append(f"<strong>{empty} with nothing marked</strong>")
    return " · ".join(parts)


def _no_scores(entries):
    nothing = bool(entries) and all(entry["values"].get("regions") == 0 for entry in entries)
    hint = (
        " <strong>Nothing is marked in any image.</strong> Most likely these images look unlike those that the model "
        "was trained on: another stain, magnification, or cells that are bright where those were dark."
    )
    return (
        "<p class=reading>There are no true masks for these images, so there are <strong>no scores</strong>: only "
        f"looking tells how good the masks are.{hint * nothing} For scores, put masks that people drew for test images "
        "into <code>Test data/Masks</code> and run <code>python main.py evaluate</code>.</p>"
    )


def _scores(card, record, shown):
    """Headline numbers, what they mean, the baselines beside, and the table of pooled scores."""
    found, limits = card["objects"], card["interval_95"]
    object_limits = found["interval_95"] or {"f1": None, "ap": None}
    separate = "cells that touch in the mask count as one" if "components" in found["truth"] else "as annotated"
    tiles = [
        ("Dice", f"{card['dice']:.3f}", _within(limits and limits["dice"]), "overlap of prediction and truth"),
        ("Object F1", f"{found['f1']:.3f}", _within(object_limits["f1"]),
         f"found at IoU above 0.5 (AP {found['ap']:.3f}); {separate}"),
        ("Objects", f"{found['predicted']:,}", f"{found['true']:,} true",
         f"off by {found['mean_count_error']:.1f} in an image, on average"),
        ("HD95", f"{card['boundary']['hd95_px']:.1f} px", _within(card["boundary"]["interval_95"], ".1f"),
         "how far outlines are off, mean of the images"),
    ]  # fmt: skip
    tiles = "".join(
        f"<div class=tile><dt>{title}</dt><dd><span class=big>{value}</span> <span class=within>{within}</span>"
        f"<span class=note>{note}</span></dd></div>"
        for title, value, within, note in tiles
    )
    return (
        f"<dl class=tiles>{tiles}</dl><div class=columns><div>{_reading(card, record)}</div>"
        f"<div>{_baselines(card)}{_score_table(card)}</div></div>"
    )


def _within(limits, form=".3f"):
    return f"{limits[0]:{form}}–{limits[1]:{form}}" if limits else ""


def _reading(card, record):
    """How to read Dice and its interval, in words."""
    count, text = len(card["images"]), ""
    text += (
        "<strong>How to read Dice.</strong> Twice the pixels that prediction and truth share, divided by the pixels of "
        "both: 1 where they are the same, 0 where they have nothing in common. Small objects lose Dice quickly, since "
        "a rim of one pixel is much of their area. People do not agree perfectly either: two who marked the nuclei of "
        "one public set of Pap smears agree at 0.867. "
    )
    if card["interval_95"]:
        text += "The range beside a score is where 95 of 100 other draws of as many images like these would put it"
        text += f"; with {count} images only, new images may lie further off." if count < FEW_IMAGES else "."
    else:
        text += "One image tells nothing of the spread between images, so there are no intervals."
    others = {"Otsu’s threshold": card.get("otsu"), "an empty mask": card["baseline"]}
    better = [name for name, scores in others.items() if scores and scores["dice"] >= card["dice"]]
    if better:
        text += f" <strong>This model is not better than {' or '.join(better)}: do not use these masks.</strong>"
    if record["classes"] > 1:
        text += " With several classes, scores are means over the classes other than the background."
    return f"<p class=reading>{text}</p>"


def _baselines(card):
    """Dice of the model beside that of masks which took no training, as bars."""
    rows = [("this model", card, card["interval_95"])]
    rows += [("Otsu’s threshold", card["otsu"], None)] if "otsu" in card else []
    rows += [("all background", card["baseline"], None)]
    bars = ""
    for title, scores, limits in rows:
        low, high = limits["dice"] if limits else (0, 0)
        whisker = f'<i style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>' if limits else ""
        bars += (
            f'<tr><th scope=row>{title}</th><td class=bar><span><b style="width:{100 * scores["dice"]:.2f}%"></b>'
            f"{whisker}</span></td><td class=n>{scores['dice']:.3f}</td></tr>"
        )
    return (
        "<table class=bars><caption>Dice beside masks that take no training</caption>"
        "<thead class=hidden><tr><th scope=col>mask</th><th scope=col>bar</th><th scope=col>Dice</th></tr></thead>"
        f"<tbody>{bars}</tbody></table>"
    )


def _score_table(card):
    """The five scores of the pixels as a table, intervals, classes and baselines with them."""

    def row(title, scores, form="{:.3f}", kind=""):
        cells = "".join(f"<td class=n>{form.format(*np.atleast_1d(scores[key]))}</td>" for key in SCORES)
        return f"<tr{kind}><th scope=row>{title}</th>{cells}</tr>"

    rows = [row(f"{_counted(len(card['images']), 'image')}, pooled", card, kind=' class="total"')]
    if card["interval_95"]:
        rows += [
            row("95 % interval", card["interval_95"], "{:.3f}–{:.3f}"),
            row("mean per image", card["mean_per_image"]),
        ]
    for key, scores in card.get("classes", {}).items():
        rows.append(row(f"class {key}", scores))
    rows += [row("Otsu’s threshold", card["otsu"])] if "otsu" in card else []
    rows.append(row("all background", card["baseline"]))
    head = "".join(f"<th scope=col>{LABELS[key]}</th>" for key in SCORES)
    return _scrolling("Scores of the pixels", f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>")


def _scrolling(caption, rows, kind=""):
    """A table that scrolls sideways in a narrow window, also by keys; the caption is for those who do not see it."""
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{caption}">'
        f"<table{kind}><caption class=hidden>{caption}</caption>{rows}</table></div>"
    )


def _calibration(out_dir, card):
    """The reliability diagram with what it means."""
    figure = out_dir / "calibration.png"
    if card is None or not card["calibration"] or not figure.is_file():
        return ""
    error = card["calibration"]["expected_error"]
    error = f"{error:.3f}" if error >= 0.001 else "below 0.001"
    return (
        "<section><h2>Can the probabilities be believed?</h2><div class=beside>"
        f'<img src="{_embedded(figure)}" alt="Observed share of foreground over predicted probability; expected '
        f'calibration error {error}"><p class=reading>Of all pixels to which the model gives 0.7, seven in ten '
        "should be foreground: then the blue points lie on the grey line. Points below the line mean that the model is "
        f"too sure of itself, points above that it is too careful. The expected calibration error is {error}; most "
        "pixels are clear background, which makes it small, so look at the figure.</p></div></section>"
    )


def _embedded(png):
    return f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode('ascii')}"


# --------------------------------------------------------------------------------------------------- gallery and table


def _gallery(entries, record, card):
    """The controls and a button for each image; the script puts the pictures into them as they come into view."""
    known = {key for entry in entries for key in entry["values"]} | {"name"}
    orders = {key: words for key, words in ORDERS.items() if key.split()[0] in known}
    if card is None:
        orders = {"name up": orders["name up"]} | orders
    options = "".join(f'<option value="{key}">{words}</option>' for key, words in orders.items())
    views = ["overlay", "image", "mask"] + ["errors"] * (card is not None)
    cards = "".join(
        f"<li data-i={i}><button type=button class=card id=card-{i}><span class=stack></span>"
        f'<span class=name title="{escape(entry["file"])}">{_breakable(entry["file"])}</span>'
        f"<span class=note>{escape(_short_facts(entry))}</span></button></li>"
        for i, entry in enumerate(entries)
    )
    return (
        '<div class=controls role=group aria-label="How the gallery is shown">'
        f"<label>Sort <select id=sort>{options}</select></label>{_controls(views, 'gallery')}</div>"
        f"{_small_ones(entries)}{_legend(record, card)}<ul class=gallery id=gallery>{cards}</ul>"
        f"<template id=large-controls>{_controls(views, 'large')}</template>"
    )


def _breakable(name):
    """A name that may go on in a new line after its underscores, dots and hyphens."""
    return re.sub(r"([_.-])", r"\1<wbr>", escape(name))


def _small_ones(entries):
    """Says so where the file would have become too large with all pictures in full."""
    sizes = [entry["shown_px"] for entry in entries if "shown_px" in entry]
    small = sum(entry.get("large") is None and "small" in entry for entry in entries)
    if not small:
        return ""
    return (
        f"<p class=note>To keep this file small, the first {len(sizes) - small} pictures are kept at up to "
        f"{layers.LARGE_PX} pixels, the others at {layers.SMALL_PX}.</p>"
    )


def _controls(views, place):
    """What to see, and how strong; once for the gallery and once for the large view."""
    radios = "".join(
        f'<label><input type=radio name="view-{place}" value="{view}"{" checked" * (view == "overlay")}> '
        f"{view.capitalize()}</label>"
        for view in views
    )
    return (
        f"<fieldset class=views><legend class=hidden>Show</legend>{radios}</fieldset>"
        f'<label class=strength for="strength-{place}">Opacity '
        f'<input type=range id="strength-{place}" min=0 max=100 step=5 value=100><output>100 %</output></label>'
    )


def _legend(record, card):
    """What the colours mean: of the classes, and of the errors (shown by the script where errors are)."""

    def key(colour, words):
        return f'<li><i style="background:rgb({",".join(map(str, colour))})"></i>{words}</li>'

    several, text, colours = record["classes"] > 1, "", CLASS_COLOURS.tolist()
    if several:
        numbers = range(1, min(record["classes"], len(colours)))
        keys = "".join(key(colours[k], f"class {k}") for k in numbers)
        keys += "<li>further classes in the same colours again</li>" * (record["classes"] > len(colours))
        meaning = (record["masks"] or {}).get("explanation", "")
        text += f'<ul class="legend classes" aria-label="Colours of the classes">{keys}</ul>'
        text += f"<p class=note>{escape(meaning)}</p>" if meaning else ""
    if card:
        keys = key(layers.RIGHT, "found") + key(layers.MISSED, "missed") + key(layers.INVENTED, "invented")
        keys += key(layers.CONFUSED, "wrong class") if several else ""
        text += f'<ul class="legend errors" aria-label="Colours of the errors" hidden>{keys}</ul>'
    return text


def _table(entries):
    """One row an image; its name opens the large view, the headings sort."""
    known = {key for entry in entries for key in entry["values"]}
    columns = [key for key in LABELS if key in known - ({"regions"} if "predicted" in known else set())]
    head = "".join(
        f'<th scope=col aria-sort=none><button type=button data-key="{key}">{label}</button></th>'
        for key, label in {"name": "Image", **{key: LABELS[key] for key in columns}}.items()
    )
    rows = ""
    for i, entry in enumerate(entries):
        cells = "".join(f"<td class=n>{_cell(key, entry['values'].get(key))}</td>" for key in columns)
        rows += (
            f'<tr data-i={i}><th scope=row><button type=button class=open id=row-{i} title="{escape(entry["file"])}">'
            f"{escape(entry['file'])}</button></th>{cells}</tr>"
        )
    return _scrolling("Every image", f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>", " id=images class=images")


def _cell(key, value):
    if value is None:
        return "–"
    return f"{value:.3f}" if key in (*SCORES, "f1", "ap") else number(value)


def _histograms(entries, cells):
    """Distributions over the images, and over the cells where they were measured."""

    def values(key):
        return [entry["values"].get(key, np.nan) for entry in entries]

    shown = ["dice", "f1", "hd95_px", "count_error", "area"]
    shown.insert(4, "cells" if any("cells" in entry["values"] for entry in entries) else "regions")
    of_images = "".join(histogram(values(key), LABELS[key]) for key in shown) if len(entries) > 2 else ""
    of_cells = "".join(histogram(column, title_of(name), "cells") for name, column in cells.items())
    text = f"<h3>Of each image</h3><div class=histograms>{of_images}</div>" if of_images else ""
    if of_cells:
        text += f"<h3>Of each cell, from {CELLS}</h3><div class=histograms>{of_cells}</div>"
    return f"<section><h2>Distributions</h2>{text}</section>" if text else ""


# -------------------------------------------------------------------------------------------------------------- model


def _model(record):
    """The run card of the model that predicted, where its run folder is still there."""
    path = Path(record["model"])
    cards = [path.with_name("settings.json"), path.with_suffix(".json")]
    card = next(filter(None, map(_run_card, cards)), None)
    if card is None:
        return f"<p class=reading>No run card lies beside {escape(str(path))}.</p>"
    settings, scores = card["settings"], card.get("scores", {})
    facts = {
        "Model": path,
        "Trained on": _trained_on(card),
        "Training": f"{_counted(settings.get('epochs', 0), 'epoch')}, the one kept: {card.get('best_epoch', '?')}",
        "Cost": f"{card['seconds']:,.0f} s, {card['training_tflop']} TFLOP" if "seconds" in card else "",
        "Network": f"{card['parameters']:,} parameters" if "parameters" in card else "",
        "Validation Dice": f"{scores['val_dice']:.3f}" if "val_dice" in scores else "",
        "Start": card.get("start", ""),
        "Watchdog": " ".join(card.get("watchdog", [])),
        "Versions": ", ".join(f"{name} {version}" for name, version in card.get("versions", {}).items()),
        "Computer": card.get("platform", ""),
    }
    rows = "".join(f"<div><dt>{key}</dt><dd>{escape(str(value))}</dd></div>" for key, value in facts.items() if value)
    text = f"<dl class=facts>{rows}</dl>"
    curves, history = path.with_name("curves.png"), path.with_name("history.csv")
    if curves.is_file():
        text += f'<img class=wide src="{_embedded(curves)}" alt="Loss, Dice and pixel accuracy over the epochs">'
    if history.is_file():
        text += f"<details><summary>The curves as numbers</summary>{_history(history)}</details>"
    settings = "".join(
        f"<tr><th scope=row>{escape(key)}</th><td>{escape(json.dumps(value, ensure_ascii=False))}</td></tr>"
        for key, value in settings.items()
    )
    table = _scrolling("Settings", f"<tbody>{settings}</tbody>")
    return f"{text}<details><summary>All settings</summary>{table}</details>"


def _run_card(path):
    """What `train` wrote beside a model; None where there is none, or a file of another program."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and isinstance(card.get("settings"), dict) else None


def _trained_on(card):
    if isinstance(card.get("training"), list):
        return f"{_counted(len(card['training']), 'image')}, {len(card.get('validation', []))} held out to validate"
    return card.get("trained_on", "")


def _history(path):
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    rows = "".join(
        f"<tr><th scope=row>{escape(row[0])}</th>{''.join(f'<td class=n>{float(v):.4f}</td>' for v in row[1:])}</tr>"
        for row in rows
    )
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    return _scrolling("Every epoch", f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>")


# ----------------------------------------------------------------------------------------------------------- template


def _fill(**parts):
    """The template with `{{ name }}` replaced by the parts, and a policy: its own script may run, nothing may load."""
    template = TEMPLATE.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", template, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    parts["policy"] = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return re.sub(r"\{\{ (\w+) \}\}", lambda place: parts[place[1]], template)
