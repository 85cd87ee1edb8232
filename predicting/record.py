"""predictions.json: which masks of a folder one model wrote, and what their values mean.

Each mask stands there with its checksum and that of its image. So a mask that another model or program wrote, that was
changed by hand, or that belongs to another picture of the same name is told from those that the record speaks of.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from predicting.magnification import Stated
from reading import stacks
from reading.files import InputError, sha256, stem_of, typed, write_json

RECORD = "predictions.json"
KEPT = ("classes", "threshold", "masks", "dark_foreground")  # of the model's metadata


@dataclass(frozen=True)
class Record:
    """What `predictions.json` of a folder says.

    path : of the file. model, model_sha256 : path of the model file, as text, and its checksum, None where not known.
    classes, threshold, masks, dark_foreground : of the model's metadata (`weights.metadata`).
    listed : {name of a mask: {"sha256", "image", "image_path", "image_sha256", "cells", "cell_files"}}; None where the
        file was written by hand, for the masks of another program: it then speaks of all masks in the folder.
        image_path is absolute; cell_files are {name: SHA-256} of label image, GeoJSON and ROI set as they were written,
        {} without cells; neither is there in records of earlier versions. "cells_left_out" is there where cells at the
        edges or large ones were left out.
    all_cells : whether the cells of all masks were separated; None where the list says it of each.
    stack : how stacks of planes were read as one picture, `stacks.HOW`.
    flips : whether mirror images were averaged.
    others : of `magnification.SizesFound`, where what was found last has quite another size than what was learnt.
    stated : `magnification.Stated` of the pictures, as far as it decided how the model saw them.
    """

    path: Path
    model: str
    model_sha256: str | None
    classes: int
    threshold: float
    masks: dict | None
    dark_foreground: bool | None
    listed: dict | None
    all_cells: bool | None
    stack: str | int | None = None
    flips: bool = False
    others: dict | None = None
    stated: Stated = Stated()  # noqa: RUF009 - it cannot be changed

    def seeing(self):
        """How the network saw the pictures: keyword arguments of `predictor.Predictor`."""
        return {"flips": self.flips, "stated": self.stated}

    def cells(self, mask):
        """Whether `predict` separated the cells of a mask, and wrote them beside it; None: not known."""
        return self.all_cells if self.listed is None else self.listed.get(mask.name, {}).get("cells")

    def cells_left_out(self, mask):
        """Which cells of a mask `predict` left out by choice: {"edges": True, "above_px": largest area}, or less."""
        return (self.listed or {}).get(mask.name, {}).get("cells_left_out", {})

    def speaks_of(self, mask):
        """Whether a mask file is one of those that the record lists."""
        return self.listed is None or mask.name in self.listed

    def refuse_other(self, mask, image, image_sha256):
        """Raise `InputError` where a mask file is not the one that the model made of an image file, as they are now.

        image_sha256 : function of the image's path.
        """
        if self.listed is None:
            return
        by = f"the masks by {self.model}"
        if mask.name not in self.listed:
            raise InputError(
                f"{mask}: not among {by}, which {RECORD} lists; expected one model's masks. Run `predict` again; masks "
                "of another model or program belong in a folder of their own (--out)."
            )
        entry = self.listed[mask.name]
        if sha256(mask) != entry["sha256"]:
            raise InputError(
                f"{mask}: changed since `predict` wrote it ({RECORD}); expected it unchanged, since the scores are the "
                "model's. Run `predict` again."
            )
        if entry["image_sha256"] and image_sha256(image) != entry["image_sha256"]:
            raise InputError(
                f"{mask}: made of another picture named {entry['image']} than {image} now is; expected the mask of "
                "this one. Run `predict` again."
            )


def read_record(folder):
    """The `Record` of a folder of predictions. Raises `InputError` where there is none, or it is damaged."""
    path = Path(folder) / RECORD
    if not path.is_file():
        raise InputError(f"{path.parent}: no predictions to score; expected {RECORD} there. Run `predict` first.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {key: found[key] for key in ("classes", "threshold", "masks")}
        listed = found.get("predicted")
        for entry in (listed or {}).values():
            entry["sha256"], entry["image"], entry["image_sha256"]
        more = {key: found.get(key) for key in ("model_sha256", "dark_foreground", "stack", "others")}
        more |= {"flips": bool(found.get("flips")), "stated": Stated(**found.get("stated") or {})}
        return Record(path, str(found.get("model", "")), **known, **more, listed=listed, all_cells=found.get("cells"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged; expected what `predict` writes there. Run `predict` again.") from error


def refuse_corrected(folder, stems=None):
    """Raise `InputError` where a file of cells in a folder was changed since `predict` wrote it: it would be replaced.

    stems : of the pictures that are predicted now; None for all in the record.
    """
    try:
        listed = read_record(folder).listed or {}
    except InputError:  # no record, or a damaged one: nothing is known
        return
    for entry in listed.values():
        if stems is not None and stem_of(entry["image"]) not in stems:
            continue
        for name, written in entry.get("cell_files", {}).items():
            path = Path(folder) / name
            if path.is_file() and sha256(path) != written:
                raise InputError(
                    f"{path}: corrected since `predict` wrote it, and it would be overwritten; expected it unchanged. "
                    f"Keep the correction (python main.py prepare --corrected {typed(folder)} --data DIR) and move the "
                    "file away, or choose another place with --out DIR."
                )


def write_record(predictor, folder, written, cells, others=None):
    """Add masks to the record of a folder, or begin a new one where that is another model's.

    Parameters
    ----------
    predictor : `predictor.Predictor`, which made them.
    written : {path of a mask: path of its image}. Of a slide the image is not read once more, for its checksum.
    cells : `cell_files.CellWriter` that wrote their cells too; None where none did. others : see `Record`.
    """
    path = Path(folder) / RECORD
    record = {
        "model": os.path.abspath(predictor.path),
        "model_sha256": sha256(predictor.path),
        "flips": predictor.flips,
        "stack": stacks.HOW,
        "stated": asdict(predictor.stated) if predictor.stated != Stated() else None,
        "others": others,
        **{key: predictor.metadata.get(key) for key in KEPT},
    }
    entries = {
        mask.name: {
            "sha256": sha256(mask),
            "image": image.name,
            "image_path": os.path.abspath(image),
            "image_sha256": None if mask.suffix == ".tif" else sha256(image),
            "cells": cells is not None,
            "cell_files": {path.name: sha256(path) for path in cells.made[image.name]} if cells else {},
            **({"cells_left_out": left} if cells and (left := cells.left_out(image.name)) else {}),
        }
        for mask, image in tqdm(written.items(), "checksums", unit="image", leave=False, delay=1, disable=None)
    }
    write_json(path, record | {"predicted": _earlier(path, record) | entries})


def _earlier(path, record):
    """The masks that the same model wrote in the same way before, as far as they are still there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if any(found.get(key) != record[key] for key in ("model_sha256", "flips", "stack", "stated")):
            return {}
        return {name: entry for name, entry in found["predicted"].items() if (path.parent / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or another program's
        return {}
