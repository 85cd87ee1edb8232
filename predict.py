"""Image of any size → probability → mask; folders of images; scores beside the masks.

An image is padded by reflection, predicted in overlapping tiles, blended with a smooth window and cropped: each image
comes back at its own size. Intensities are normalised from the whole image, never from a tile.
"""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

import images
import metrics
from images import InputError
from masks import MaskCoding, read_mask_of
from pairs import find_pairs
from scale import fitted_size, resize
from survey import survey

PREDICT_TILE_PX = 512
OVERLAP_PX = 64
GRID_PX = 16  # a network of depth 4 halves its image four times
SUFFIX = "_predict"
RECORD = "predictions.json"  # which model wrote the masks beside it, and what its classes mean
CLASS_COLOURS = np.array(
    [(255, 255, 255), (86, 180, 233), (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0)],
    np.uint8,
)  # Okabe & Ito's palette, told apart by colour-blind readers too; class 0 white


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

    def probability(self, image):
        """Probabilities, float32 (height, width, classes), for a grey or colour image (height, width, 1 or 3)."""
        image = images.to_channels(image, self.channels)
        height, width = image.shape[:2]
        if self.card["normalisation"] == "percentiles":
            image = images.normalise(image, *images.intensity_range(image))
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


def predict_files(predictor, paths, out_dir, keep_probability=False):
    """Write `<stem>_predict.png` for each image of `paths` into `out_dir`.

    Binary masks hold 0 and 255; with K classes the mask holds class ids and `<stem>_predict_colour.png` shows them.
    `<stem>_probability.png` (16-bit, 65535 = certain foreground) is written on request.

    Returns the list of mask paths, in the order of `paths`. Raises `InputError` for an image that cannot be read, after
    the masks of all others are written.
    """
    stems = [Path(path).stem for path in paths]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise InputError(
            f"several images are named {', '.join(twice[:3])}; expected one image a name, since masks are named after "
            "them. Rename them or predict the folders one by one."
        )
    out_dir, written, unreadable = Path(out_dir), [], []
    (out_dir / RECORD).unlink(missing_ok=True)  # it speaks of all masks in the folder, and they change now
    bar = tqdm([Path(path) for path in paths], desc="predict", unit="image", leave=False, delay=1, disable=None)
    for path in bar:
        try:
            image = images.read(path)
        except InputError as error:
            unreadable.append(error)
            continue
        probability = predictor.probability(image)
        mask = predictor.mask(probability)
        target = out_dir / f"{path.stem}{SUFFIX}.png"
        images.write_png(target, mask * np.uint8(255) if predictor.classes == 1 else mask)
        if predictor.classes > 1:
            images.write_png(target.with_name(f"{path.stem}{SUFFIX}_colour.png"), colour_preview(mask))
        if keep_probability:
            foreground = probability[..., 0] if predictor.classes == 1 else 1 - probability[..., 0]
            images.write_png(
                target.with_name(f"{path.stem}_probability.png"), np.rint(foreground * 65535).astype(np.uint16)
            )
        written.append(target)
    record = {key: predictor.card.get(key) for key in ("classes", "threshold", "masks")}
    images.write_json(out_dir / RECORD, {"model": str(predictor.path), **record})
    if unreadable:
        raise InputError(f"{unreadable[0]} ({len(written)} of {len(paths)} masks were written to {out_dir})")
    return written


def colour_preview(mask):
    """Class ids (height, width) as an RGB picture, uint8 (height, width, 3)."""
    return CLASS_COLOURS[mask % len(CLASS_COLOURS)]


def evaluate_folder(test_dir, predicted_dir, classes=None, foreground=None):
    """Compare the masks in `predicted_dir` with those in `test_dir`/Masks and write `scores.json` beside the former.

    The meaning of the mask values is the one that the model was trained with (`predictions.json`, written by
    `predict_files`); `foreground` overrides it and `classes` must agree with it.

    Images without a mask are left out. Returns the scorecard, see `metrics.scorecard`, or None where no test image has
    a mask. Raises `InputError` where a prediction is missing or has another size than its mask.
    """
    test_dir, predicted_dir = Path(test_dir), Path(predicted_dir)
    record_path = predicted_dir / RECORD
    if not record_path.is_file():
        raise InputError(f"{predicted_dir}: no predictions to score; expected {RECORD} there. Run `predict` first.")
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        record = {key: record[key] for key in ("classes", "threshold", "masks")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{record_path}: damaged; expected what `predict` writes there. Run `predict` again."
        ) from error
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
    counts = []
    for pair in tqdm(pairs, desc="evaluate", unit="image", leave=False, delay=1, disable=None):
        path = predicted_dir / f"{pair.stem}{SUFFIX}.png"
        if not path.is_file():
            raise InputError(f"{path}: no prediction for {pair.image.name}; expected one. Run `predict` first.")
        prediction = written.decode(images.read_mask(path))
        truth = coding.decode(read_mask_of(pair, prediction.shape))
        counts.append(metrics.confusion_counts(truth, prediction, coding.classes))
    card = metrics.scorecard([pair.stem for pair in pairs], counts, record["threshold"], coding.classes)
    images.write_json(predicted_dir / "scores.json", card)
    return card
