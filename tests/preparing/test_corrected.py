"""Predictions corrected in other programs become training fields, with their pictures."""

import json
import shutil

import numpy as np
import pytest
import tifffile

import main
from pairing.pairs import find_pairs
from preparing.corrected import prepare_corrected
from preparing.prepare import prepare_fields
from reading import images
from reading.files import InputError, is_numbered, sha256
from reading.images import write_png
from tests.preparing.test_prepare import contents, draw, listing, make_source, rectangle, rows_of


def predicted(folder, pictures):
    """A folder of predictions of these pictures, as `predict --cells` writes and notes it: two cells each."""
    listed = {}
    for picture in pictures:
        labels = np.zeros(images.size(picture), np.uint8)
        labels[2:9, 2:9], labels[20:30, 20:30] = 1, 2
        write_png(folder / f"{picture.stem}_predict.png", np.uint8(255) * (labels > 0))
        write_png(folder / f"{picture.stem}_labels.png", labels)
        draw(folder / f"{picture.stem}.geojson", rectangle(2, 2, 7, 7, "cell"), rectangle(20, 20, 10, 10, "cell"))
        write_png(folder / f"{picture.stem}_overlay.png", labels)
        made = [folder / f"{picture.stem}{ending}" for ending in ("_labels.png", ".geojson")]
        listed[f"{picture.stem}_predict.png"] = {
            "sha256": sha256(folder / f"{picture.stem}_predict.png"), "image": picture.name,
            "image_path": str(picture), "image_sha256": sha256(picture), "cells": True,
            "cell_files": {path.name: sha256(path) for path in made},
        }  # fmt: skip
    (folder / "predictions.json").write_text(json.dumps({"predicted": listed}))
    return folder


def pictures_in(tmp_path, count=4):
    return sorted((make_source(tmp_path / "pictures", [(40, 50)] * count) / "Images").iterdir())


def correct(masks, stem, how):
    """Correct the cells of a picture as users of a program do; returns their number then."""
    if how == "QuPath":
        draw(masks / f"{stem}.geojson", rectangle(2, 2, 7, 7, "cell"), rectangle(9, 2, 8, 8), rectangle(30, 30, 5, 5))
        return 3
    if how == "QuPath, another name":
        draw(masks / f"{stem}_corrected.geojson", rectangle(2, 2, 7, 7), rectangle(30, 0, 10, 50, "Ignore*"))
        return 1
    labels = images.read_mask(masks / f"{stem}_labels.png").copy()
    labels[labels == 1], labels[9:12, 9:12], labels[12:14, 9:12] = 0, 3, 4
    name = {"napari": f"{stem}_labels-1.tif", "Fiji": f"{stem}_labels.png", "napari, as the picture": f"{stem}.tif"}[
        how
    ]
    tifffile.imwrite(masks / name, labels) if name.endswith("tif") else write_png(masks / name, labels)
    return 3


@pytest.mark.parametrize("how", ["QuPath", "QuPath, another name", "napari", "Fiji", "napari, as the picture"])
def test_corrected_cells_become_a_training_field_with_the_picture(tmp_path, capsys, how):
    pictures = pictures_in(tmp_path)
    masks, data, stem = predicted(tmp_path / "my_masks", pictures), tmp_path / "data", pictures[1].stem
    count = correct(masks, stem, how)
    before = listing(masks)
    assert main.main(["prepare", "--corrected", str(masks), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert f"1 corrected, now training fields: {stem}" in said
    assert "not corrected, and left out: slide0_field0, slide2_field0, slide3_field0" in said
    (pair,) = find_pairs(data / "Train data")
    assert pair.image.read_bytes() == pictures[1].read_bytes() and is_numbered(pair.mask)
    labels = images.read_mask(pair.mask)
    assert len(set(np.unique(labels)) - {0, 65535}) == count and (how == "QuPath, another name") == (65535 in labels)
    assert listing(masks) == before
    assert main.main(["check", "--data", str(data)]) == 0
    assert prepare_corrected(data, masks)[0] == f"1 corrected, now training fields: {stem}"  # again


def test_fields_of_the_data_folder_get_the_corrected_mask_and_the_split_stays(tmp_path):
    pictures = pictures_in(tmp_path)
    masks, data = predicted(tmp_path / "my_masks", pictures), tmp_path / "data"
    done = prepare_fields(data, tmp_path / "pictures", quiet=True)
    parts = {row.field: row.part for row in done.rows}
    for picture in pictures:
        correct(masks, picture.stem, "QuPath")
    lines = prepare_corrected(data, masks)
    assert [line.split(",")[0] for line in lines] == ["3 corrected", "1 corrected"] and "which they stay" in lines[1]
    assert {row["file"][:-4]: row["part"] for row in rows_of(data)} == parts
    earlier = contents(data / "Earlier masks")
    assert sorted(earlier.values()) == sorted(path.read_bytes() for path in (data / "Raw data/Masks").iterdir())
    written = contents(data / "Train data/Masks")
    again = prepare_fields(data, tmp_path / "pictures", quiet=True)
    assert "edited in Train data or Test data, and kept so: 4 fields" in again.changes[0]
    assert contents(data / "Train data/Masks") == written
    stem = next(name for name, part in parts.items() if part == "train")
    draw(masks / f"{stem}.geojson", rectangle(2, 2, 7, 7))  # corrected further
    prepare_corrected(data, masks)
    mask = data / f"Train data/Masks/{stem}.png"
    assert images.read_mask(mask).max() == 1
    write_png(mask, np.eye(40, 50, dtype=np.uint8))  # and now here too
    draw(masks / f"{stem}.geojson", rectangle(2, 3, 7, 7))
    before = listing(data)
    with pytest.raises(InputError, match="changed since it was prepared, and so was"):
        prepare_corrected(data, masks)
    assert listing(data) == before


@pytest.mark.parametrize("fault", ["two forms", "none", "moved", "another picture", "no record", "options", "classes"])
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, capsys, fault):
    pictures = pictures_in(tmp_path)
    masks, data = predicted(tmp_path / "my_masks", pictures), tmp_path / "data"
    stem, more = pictures[0].stem, []
    if fault != "none":
        correct(masks, stem, "QuPath")
    if fault == "two forms":
        correct(masks, stem, "napari")
    if fault == "moved":
        (tmp_path / "else").mkdir()
        shutil.move(pictures[0], tmp_path / "else" / pictures[0].name)
    if fault == "another picture":
        shutil.copy(pictures[1], pictures[0])
    if fault == "no record":
        (masks / "predictions.json").unlink()
    if fault == "options":
        more = ["--test-share", "0.5"]
    if fault == "classes":
        prepare_fields(data, tmp_path / "pictures", classes=2, foreground=None, quiet=True)
        capsys.readouterr()
    before = listing(tmp_path)
    assert main.main(["prepare", "--corrected", str(masks), "--data", str(data), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    words = {"two forms": "slide0_field0.geojson, slide0_field0_labels-1.tif", "none": "none of the files",
             "moved": "--source FOLDER", "another picture": "is another picture now", "no record": "predict --cells",
             "options": "expected these alone", "classes": "several classes"}  # fmt: skip
    assert words[fault] in line and listing(tmp_path) == before
    if fault == "moved":
        assert (
            main.main(["prepare", "--corrected", str(masks), "--data", str(data), "--source", str(tmp_path / "else")])
            == 0
        )
