"""Image of any size → probability → mask; folders of images.

An image is padded by reflection, predicted in overlapping tiles (tiling.py) and cropped: each image comes back at its
own size. Intensities are normalised from the whole image, never from a tile.
"""

import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from reading import images, intensity
from reading.files import InputError, replacing, write_json
from reading.show import colour_preview

SUFFIX = "_predict"
RECORD = "predictions.json"  # which model wrote the masks beside it, and what its classes mean
PROBABILITIES = "probabilities.npz"  # the foreground probability of each image in 8 bits, for the calibration
PAGE = "report.html"  # `page.write_page` writes it


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


def predict_files(predictor, paths, out_dir, keep_probability=False, ranges=None, cells=None):
    """Write `<stem>_predict.png` for each image of `paths` into `out_dir`.

    Binary masks hold 0 and 255; with K classes the mask holds class ids and `<stem>_predict_colour.png` shows them.
    `<stem>_probability.png` (16-bit, 65535 = certain foreground) is written on request. `predictions.json` notes the
    model, and `probabilities.npz` keeps the probability of foreground in 8 bits, so that `evaluate_folder` can compare
    it with whatever truth there will be.

    ranges : dictionary from a tile's file name to the intensity range of its field (`pairs.tile_ranges`).
    cells : `cell_files.CellWriter`, which separates, measures and writes the cells of each image, and their tables;
        None for masks alone.

    Returns the list of mask paths, in the order of `paths`. Raises `InputError` for an image that cannot be read, after
    the masks of all others are written.
    """
    refuse_shared_names(paths)
    out_dir, written, unreadable = Path(out_dir), [], []
    bar = tqdm([Path(path) for path in paths], desc="predict", unit="image", leave=False, delay=1, disable=None)
    with (
        replacing(out_dir / PROBABILITIES) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in bar:
            try:
                image = images.read(path)
            except InputError as error:
                unreadable.append(error)
                continue
            probability = predictor.probability(image, (ranges or {}).get(path.name))
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
                np.lib.format.write_array(file, intensity.to_8_bits(foreground))
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
    record = {key: predictor.metadata.get(key) for key in ("classes", "threshold", "masks", "dark_foreground")}
    write_json(Path(out_dir) / RECORD, {"model": str(predictor.path), "cells": cells, **record})
