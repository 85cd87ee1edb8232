"""Image of any size → probability → mask; folders of images; scores beside the masks.

An image is padded by reflection, predicted in overlapping tiles, blended with a smooth window and cropped: each image
comes back at its own size. Intensities are normalised from the whole image, never from a tile.
"""

import json
import zipfile
import zlib
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

import calibration
import images
import metrics
import objects
from cells import LABELS
from images import InputError
from masks import MaskCoding, read_mask_of
from otsu import otsu_mask
from pairs import find_pairs
from scale import fitted_size, resize
from survey import survey

PREDICT_TILE_PX = 512
OVERLAP_PX = 64
GRID_PX = 16  # a network of depth 4 halves its image four times
SUFFIX = "_predict"
RECORD = "predictions.json"  # which model wrote the masks beside it, and what its classes mean
PROBABILITIES = "probabilities.npz"  # the foreground probability of each image in 8 bits, for the calibration
PAGE = "report.html"  # `page.write_page` writes it
CLASS_COLOURS = np.array(
    [(255, 255, 255), (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233)],
    np.uint8,
)  # Okabe & Ito's palette, told apart by colour-blind readers too; class 0 white; as on `check`'s contact sheet


# ------------------------------------------------------------------------------------------------- tiling, arrays only


def tile_starts(length, tile, overlap):
    """First pixels of evenly spread tiles that cover `length` pixels, neighbours sharing at least `overlap`.

    All are multiples of `GRID_PX`, so that a pixel falls into the same cell of every pooling layer in each tile that
    sees it. `length`, `tile` and `overlap` are multiples of it too, length at least `tile`.

    >>> tile_starts(1024, 512, 64)
    [0, 256, 512]
    """
    length, tile, overlap = length // GRID_PX, tile // GRID_PX, overlap // GRID_PX
    count = 1 if length == tile else -(-(length - overlap) // (tile - overlap))
    return [GRID_PX * (i * (length - tile) // max(1, count - 1)) for i in range(count)]


def blend_window(tile, overlap):
    """Weight of a tile's pixels, (tile, tile) float32: 1 inside, a raised cosine over `overlap` px at the edges.

    Never zero, so that a pixel seen by a single tile keeps that tile's value.
    """
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    line = np.ones(tile)
    line[:overlap] = ramp
    line[tile - overlap :] = np.minimum(line[tile - overlap :], ramp[::-1])
    return np.maximum(np.outer(line, line), 1e-3).astype(np.float32)


def predict_tiled(predict, image, tile=PREDICT_TILE_PX, overlap=OVERLAP_PX, batch=4):
    """Apply `predict` to an image of any size, tile by tile.

    Parameters
    ----------
    predict : function from float32 (n, tile, tile, channels) to float32 (n, tile, tile, classes).
    image : float32 ndarray of shape (height, width, channels), normalised.
    tile, overlap : pixels, multiples of `GRID_PX`.

    Returns float32 of shape (height, width, classes).
    """
    height, width = image.shape[:2]
    pad = [(0, max(tile, -(-length // GRID_PX) * GRID_PX) - length) for length in (height, width)]
    padded = np.pad(image, [*pad, (0, 0)], mode="symmetric")
    rows, columns = (tile_starts(length, tile, overlap) for length in padded.shape[:2])
    places = [(row, column) for row in rows for column in columns]
    window = blend_window(tile, overlap)[..., np.newaxis]
    total = weight = None
    for first in range(0, len(places), batch):
        part = places[first : first + batch]
        tiles = np.stack([padded[row : row + tile, column : column + tile] for row, column in part])
        for (row, column), result in zip(part, predict(tiles), strict=True):
            if total is None:
                total = np.zeros((*padded.shape[:2], result.shape[-1]), np.float32)
                weight = np.zeros((*padded.shape[:2], 1), np.float32)
            total[row : row + tile, column : column + tile] += result * window
            weight[row : row + tile, column : column + tile] += window
    return (total / weight)[:height, :width]


# ----------------------------------------------------------------------------------------------------------- predictor


class Predictor:
    """A trained model with what it must know about its input, read from one file."""

    def __init__(self, path):
        """Load `path`, a model.keras of this project, or an .h5/.hdf5 file of the classic lineage."""
        import model as networks  # Keras takes seconds to import: only when something is predicted

        self.path = Path(path)
        self.network, card = networks.load(path)
        self.card = {
            "classes": self.network.output_shape[-1],
            "channels": self.network.input_shape[-1],
            "tile_px": 256,
            "fit": False,
            "normalisation": "percentiles",
            "threshold": 0.5,
            "depth": 4,
        } | card
        self.classes, self.channels = self.card["classes"], self.card["channels"]
        self.threshold = self.card["threshold"]

    def probability(self, image, levels=None):
        """Probabilities, float32 (height, width, classes), for a grey or colour image (height, width, 1 or 3).

        levels : for a tile, those of its field (`pairs.Pair.levels`); None: the image's own.
        """
        image = images.to_channels(image, self.channels)
        height, width = image.shape[:2]
        if self.card["normalisation"] == "percentiles":
            image = images.normalise(image, *images.levels(image, levels))
        else:  # the classic lineage divided 8-bit grey values by 255
            image = image.astype(np.float32) / (255 if image.dtype == np.uint8 else 65535)
        tile = self.card["tile_px"]
        if self.card["fit"]:
            image = resize(image, *fitted_size(height, width, tile))
        elif max(image.shape[:2]) > tile:
            tile = max(tile, PREDICT_TILE_PX)
        result = predict_tiled(self._forward, image, tile, min(OVERLAP_PX, tile // 4))
        return resize(result, height, width)

    def mask(self, probability):
        """Class ids, uint8 (height, width), from probabilities (height, width, classes)."""
        if self.classes == 1:
            return (probability[..., 0] >= self.threshold).astype(np.uint8)
        return probability.argmax(-1).astype(np.uint8)

    def _forward(self, batch):
        return np.asarray(self.network.predict_on_batch(batch))


# -------------------------------------------------------------------------------------------------------------- folders


def predict_files(predictor, paths, out_dir, keep_probability=False, levels=None, cells=None):
    """Write `<stem>_predict.png` for each image of `paths` into `out_dir`.

    Binary masks hold 0 and 255; with K classes the mask holds class ids and `<stem>_predict_colour.png` shows them.
    `<stem>_probability.png` (16-bit, 65535 = certain foreground) is written on request. `predictions.json` notes the
    model, and `probabilities.npz` keeps the probability of foreground in 8 bits, so that `evaluate_folder` can compare
    it with whatever truth there will be.

    levels : dictionary from a tile's file name to the levels of its field (`pairs.recorded_levels`).
    cells : `cell_files.CellWriter`, which separates, measures and writes the cells of each image; None for masks alone.

    Returns the list of mask paths, in the order of `paths`. Raises `InputError` for an image that cannot be read, after
    the masks of all others are written.
    """
    first = {}
    for path in map(Path, paths):
        if path.stem in first:
            raise InputError(
                f"{first[path.stem]} and {path} share the name {path.stem}; expected one image a name, since masks are "
                "named after them. Rename one, or predict them one by one with another --out for each."
            )
        first[path.stem] = path
    out_dir, written, unreadable = Path(out_dir), [], []
    for name in (RECORD, PROBABILITIES, PAGE):  # they speak of all masks in the folder, and these change now
        (out_dir / name).unlink(missing_ok=True)
    bar = tqdm([Path(path) for path in paths], desc="predict", unit="image", leave=False, delay=1, disable=None)
    with (
        images.replacing(out_dir / PROBABILITIES) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in bar:
            try:
                image = images.read(path)
            except InputError as error:
                unreadable.append(error)
                continue
            probability = predictor.probability(image, (levels or {}).get(path.name))
            mask = predictor.mask(probability)
            target = out_dir / f"{path.stem}{SUFFIX}.png"
            images.write_png(target, mask * np.uint8(255) if predictor.classes == 1 else mask)
            if predictor.classes > 1:
                images.write_png(target.with_name(f"{path.stem}{SUFFIX}_colour.png"), colour_preview(mask))
            foreground = probability[..., 0] if predictor.classes == 1 else 1 - probability[..., 0]
            if keep_probability:
                images.write_png(
                    target.with_name(f"{path.stem}_probability.png"), np.rint(foreground * 65535).astype(np.uint16)
                )
            with archive.open(f"{path.stem}.npy", "w") as file:
                np.lib.format.write_array(file, calibration.to_levels(foreground))
            if cells:
                cells.add(path, image, mask, probability)
            written.append(target)
    record = {key: predictor.card.get(key) for key in ("classes", "threshold", "masks", "dark_foreground")}
    images.write_json(out_dir / RECORD, {"model": str(predictor.path), "cells": cells is not None, **record})
    if cells:
        cells.finish()
    if unreadable:
        raise InputError(f"{unreadable[0]} ({len(written)} of {len(paths)} masks were written to {out_dir})")
    return written


def colour_preview(mask):
    """Class ids (height, width) as an RGB picture, uint8 (height, width, 3)."""
    return CLASS_COLOURS[mask % len(CLASS_COLOURS)]


# ----------------------------------------------------------------------------------------------------------- evaluation


def evaluate_folder(test_dir, predicted_dir, classes=None, foreground=None):
    """Compare the masks in `predicted_dir` with those in `test_dir`/Masks and write `scores.json` beside the former.

    The meaning of the mask values is the one that the model was trained with (`predictions.json`, written by
    `predict_files`); `foreground` overrides it and `classes` must agree with it. Where `predict_files` left the
    probabilities of all images scored, `calibration.png` is drawn too.

    Images without a mask are left out. Returns the scorecard, which data/README.md describes, or None where no test
    image has a mask. Raises `InputError` where a prediction is missing or has another size than its mask.
    """
    test_dir, predicted_dir = Path(test_dir), Path(predicted_dir)
    record = _read_record(predicted_dir / RECORD)
    if classes not in (None, record["classes"]):
        raise InputError(
            f"--classes {classes}, but these predictions have {record['classes']}; expected the same number. "
            "Leave the option out, or train and predict with it."
        )
    pairs = [pair for pair in find_pairs(test_dir, masks="optional") if pair.mask]
    if not pairs:
        return None
    found = survey(pairs)
    if record["masks"] and foreground is None:
        coding = MaskCoding(**record["masks"])
    else:
        coding = found.coding(record["classes"], foreground)
    coding.check(found.mask_values)
    written = coding if coding.classes > 1 else MaskCoding((255,), 0, 1, "")
    dark = record["dark_foreground"] if coding.classes == 1 else None
    results, levels = [], np.zeros((calibration.LEVELS, 2), np.int64)
    kept_path = predicted_dir / PROBABILITIES
    with _open_probabilities(kept_path) as kept:
        for pair in tqdm(pairs, desc="evaluate", unit="image", leave=False, delay=1, disable=None):
            path = predicted_dir / f"{pair.stem}{SUFFIX}.png"
            if not path.is_file():
                raise InputError(f"{path}: no prediction for {pair.image.name}; expected one. Run `predict` first.")
            prediction = written.decode(images.read_mask(path))
            truth = coding.decode(read_mask_of(pair, prediction.shape))
            separate = _read_labels(path, prediction.shape) if record["cells"] and coding.classes == 1 else None
            results.append(_compare(pair, truth, prediction, coding, found.mask_values, dark, separate))
            if levels is not None:
                more = _level_counts(kept, pair.stem, truth, kept_path)
                levels = None if more is None else levels + more
    card = _scorecard([pair.stem for pair in pairs], results, record["threshold"], coding.classes)
    card["masks"] = asdict(coding)
    figure = predicted_dir / "calibration.png"
    card["calibration"] = None if levels is None else calibration.reliability(levels)
    if card["calibration"]:
        calibration.draw_reliability(card["calibration"], figure)
    else:
        figure.unlink(missing_ok=True)
    images.write_json(predicted_dir / "scores.json", card)
    return card


def _read_record(path):
    if not path.is_file():
        raise InputError(f"{path.parent}: no predictions to score; expected {RECORD} there. Run `predict` first.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = {key: record[key] for key in ("classes", "threshold", "masks")}
        # Without: models trained elsewhere; predictions of another program
        return known | {"dark_foreground": record.get("dark_foreground"), "cells": record.get("cells", False)}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _read_labels(mask_path, size):
    """The separate cells that `predict --cells` wrote beside a mask: integer (height, width)."""
    stem = mask_path.name.removesuffix(f"{SUFFIX}.png")
    paths = [mask_path.with_name(f"{stem}{LABELS}{suffix}") for suffix in (".png", ".tif")]
    path = next(filter(Path.is_file, paths), None)
    if path is None or images.size(path) != size:
        raise InputError(
            f"{mask_path.parent}: no label image of {stem}, or one of another size; expected {stem}{LABELS}.png, "
            "which `predict --cells` writes. Run `predict` again."
        )
    return images.read_mask(path)


def _compare(pair, truth, prediction, coding, mask_values, dark, separate=None):
    """What is counted on one image; an array's rows are the foreground or the classes 1 … K−1.

    truth, prediction: class ids, uint8 (height, width); dark: the side of Otsu's threshold, None for none; separate:
    the predicted objects where they are known, int (height, width), else None for connected components.
    """
    numbers = range(1, max(2, coding.classes))
    matches, sources = [], set()
    for number in numbers:
        labels, source = objects.true_objects(pair, truth == number, coding, mask_values)
        predicted = objects.components(prediction == number) if separate is None else separate
        matches.append(objects.match_objects(labels, predicted))
        sources.add(source)
    result = {
        "pixels": metrics.confusion_counts(truth, prediction, coding.classes),
        "objects": np.array(matches),
        "distances": np.array([objects.hausdorff(truth == n, prediction == n) for n in numbers]),
        "sources": sources,
    }
    if dark is not None:
        result["otsu"] = metrics.confusion_counts(truth, otsu_mask(images.read(pair.image), dark))
    return result


def _scorecard(names, results, threshold, classes):
    """The results of all images as `scores.json` holds them, but for the calibration."""
    matches, distances = (np.array([result[key] for result in results]) for key in ("objects", "distances"))
    by_name = metrics.sorted_by_name(names)
    card = metrics.scorecard(names, [result["pixels"] for result in results], threshold, classes)
    card["objects"] = objects.object_scores(matches[by_name])
    card["objects"]["truth"] = ", ".join(sorted(set().union(*(result["sources"] for result in results))))
    card["boundary"] = objects.boundary_scores(distances[by_name])
    for image, rows, distance in zip(card["images"], matches, distances, strict=True):
        own = objects.object_scores(rows[np.newaxis])
        image["objects"] = {key: own[key] for key in ("f1", "ap", "true", "predicted")}
        image["hd95_px"] = float(distance.mean())
    for number, scores in card.get("classes", {}).items():
        row = np.s_[by_name, int(number) - 1 : int(number)]
        scores["objects"] = objects.object_scores(matches[row])
        scores["boundary"] = objects.boundary_scores(distances[row])
    if "otsu" in results[0]:
        card["otsu"] = metrics.scores_from_counts(sum(result["otsu"] for result in results)[0])
    return card


def _open_probabilities(path):
    """What `predict_files` kept, to be used in a `with`; None in it where there is nothing."""
    try:
        return zipfile.ZipFile(path) if path.is_file() else nullcontext()
    except zipfile.BadZipFile as error:
        raise _damaged(path) from error


def _level_counts(kept, name, truth, path):
    """`calibration.level_counts` of one image, None where its probabilities were not kept."""
    entry = f"{name}.npy"
    if kept is None or entry not in kept.NameToInfo:
        return None
    try:
        with kept.open(entry) as file:
            return calibration.level_counts(np.lib.format.read_array(file), truth)
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:  # another size among them
        raise _damaged(path) from error


def _damaged(path):
    return InputError(f"{path}: damaged; expected what `predict` writes there. Run `predict` again.")
