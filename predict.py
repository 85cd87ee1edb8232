"""Image of any size → probability → mask; folders of images.

An image is padded by reflection, predicted in overlapping tiles (tiling.py) and cropped: each image comes back at its
own size. Intensities are normalised from the whole image, never from a tile.
"""

import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

import calibration
import images
from engine import open_network
from images import InputError
from scale import fitted_size, resize
from tiling import GRID_PX, average_flips, predict_tiled

SUFFIX = "_predict"
RECORD = "predictions.json"  # which model wrote the masks beside it, and what its classes mean
PROBABILITIES = "probabilities.npz"  # the foreground probability of each image in 8 bits, for the calibration
PAGE = "report.html"  # `page.write_page` writes it
CLASS_COLOURS = np.array(
    [(255, 255, 255), (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233)],
    np.uint8,
)  # Okabe & Ito's palette, told apart by colour-blind readers too; class 0 white; as on `check`'s contact sheet


# ----------------------------------------------------------------------------------------------------------- predictor


class Predictor:
    """A trained model with what it must know about its input, read from one file."""

    def __init__(self, path, flips=False):
        """Load `path`, a model.keras of this project, its export, or an .h5/.hdf5 file of the classic lineage.

        flips : average over the image and its three mirror images; takes four times as long.
        """
        self.path = Path(path)
        network, card = open_network(path)
        self.predict_tile = average_flips(network) if flips else network
        self.card = {
            "tile_px": 256,
            "fit": False,
            "normalisation": "percentiles",
            "threshold": 0.5,
            "depth": 4,
        } | card
        self.classes, self.channels = self.card["classes"], self.card["channels"]
        self.threshold = self.card["threshold"]
        self.grid = max(GRID_PX, 2 ** self.card["depth"])
        self.background = np.eye(self.classes, dtype=np.float32)[0] * (self.classes > 1)

    def probability(self, image, levels=None):
        """Probabilities, float32 (height, width, classes), for a grey or colour image (height, width, 1 or 3).

        levels : for a tile, those of its field (`pairs.Pair.levels`); None: the image's own.
        """
        seen = self.network_input(image, levels)
        result = predict_tiled(self.predict_tile, seen, self.background, grid=self.grid, smallest=self.card["tile_px"])
        return resize(result, *image.shape[:2])

    def network_input(self, image, levels=None):
        """What the network gets of an image, float32: normalised, at the size at which it was trained."""
        seen = images.to_channels(image, self.channels)
        seen = self.normalise(seen, images.levels(seen, levels))
        return resize(seen, *fitted_size(*image.shape[:2], self.card["tile_px"])) if self.card["fit"] else seen

    def normalise(self, image, levels):
        """Network input, float32, from an image of `channels` channels and its `images.levels`."""
        if self.card["normalisation"] == "percentiles":
            return images.normalise(image, *levels)
        return image.astype(np.float32) / (255 if image.dtype == np.uint8 else 65535)  # the classic lineage's rule

    def mask(self, probability):
        """Class ids, uint8 (height, width), from probabilities (height, width, classes)."""
        if self.classes == 1:
            return (probability[..., 0] >= self.threshold).astype(np.uint8)
        return probability.argmax(-1).astype(np.uint8)


# -------------------------------------------------------------------------------------------------------------- folders


def refuse_shared_names(paths):
    """Raise `InputError` where two masks would get one name."""
    first = {}
    for path in map(Path, paths):
        if path.stem in first:
            raise InputError(
                f"{first[path.stem]} and {path} share the name {path.stem}; expected one image a name, since masks are "
                "named after them. Rename one, or predict them one by one with another --out for each."
            )
        first[path.stem] = path


def predict_files(predictor, paths, out_dir, keep_probability=False, levels=None, cells=None):
    """Write `<stem>_predict.png` for each image of `paths` into `out_dir`.

    Binary masks hold 0 and 255; with K classes the mask holds class ids and `<stem>_predict_colour.png` shows them.
    `<stem>_probability.png` (16-bit, 65535 = certain foreground) is written on request. `predictions.json` notes the
    model, and `probabilities.npz` keeps the probability of foreground in 8 bits, so that `evaluate_folder` can compare
    it with whatever truth there will be.

    levels : dictionary from a tile's file name to the levels of its field (`pairs.recorded_levels`).
    cells : `cell_files.CellWriter`, which separates, measures and writes the cells of each image, and their tables;
        None for masks alone.

    Returns the list of mask paths, in the order of `paths`. Raises `InputError` for an image that cannot be read, after
    the masks of all others are written.
    """
    refuse_shared_names(paths)
    out_dir, written, unreadable = Path(out_dir), [], []
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
            if not written:
                for name in (RECORD, PROBABILITIES, PAGE):  # they speak of all masks in the folder, which change now
                    (out_dir / name).unlink(missing_ok=True)
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
        if paths and not written:  # the folder stays as it was
            raise InputError(f"{unreadable[0]} (no mask was written)")
    write_record(predictor, out_dir, cells is not None)
    if cells:
        cells.finish()
    if unreadable:
        raise InputError(f"{unreadable[0]} ({len(written)} of {len(paths)} masks were written to {out_dir})")
    return written


def write_record(predictor, out_dir, cells):
    """Note in `predictions.json` which model wrote the masks beside it; cells: whether it separated cells too."""
    record = {key: predictor.card.get(key) for key in ("classes", "threshold", "masks", "dark_foreground")}
    images.write_json(Path(out_dir) / RECORD, {"model": str(predictor.path), "cells": cells, **record})


def colour_preview(mask):
    """Class ids (height, width) as an RGB picture, uint8 (height, width, 3)."""
    return CLASS_COLOURS[mask % len(CLASS_COLOURS)]
