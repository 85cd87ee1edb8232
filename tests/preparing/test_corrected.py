"""Predictions corrected in other programs become training fields, with their pictures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import main
from pairing.masks import IGNORED, read_stored_mask_of
from pairing.pairs import find_pairs
from pairing.survey import survey
from preparing.corrected import prepare_corrected
from preparing.prepare import prepare_fields
from preparing.told import say_as_told
from reading import images
from reading.files import InputError, is_numbered, sha256
from reading.images import write_png
from tests.preparing.test_prepare import contents, draw, listing, make_source, rectangle, rows_of

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize(
    "fault", ["two forms", "none", "moved", "another picture", "no record", "no such source", "options", "classes"]
)
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
    if fault == "no such source":
        more = ["--source", str(tmp_path / "nope")]
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
             "no such source": "no such folder", "options": "expected these alone",
             "classes": "several classes"}  # fmt: skip
    assert words[fault] in line and listing(tmp_path) == before
    if fault == "moved":
        assert (
            main.main(["prepare", "--corrected", str(masks), "--data", str(data), "--source", str(tmp_path / "else")])
            == 0
        )


def corrected_field(data, masks, stem, part="Train"):
    """Correct a picture in QuPath and prepare it; the label image that it gets."""
    correct(masks, stem, "QuPath")
    assert main.main(["prepare", "--corrected", str(masks), "--data", str(data)]) == 0
    return images.read_mask(data / f"{part} data/Masks/{stem}.png")


def class_ids(data, stem, **known):
    """What training learns of a picture of the folder."""
    pairs = find_pairs(data / "Train data")
    told = say_as_told(data)
    coding = survey(pairs, quiet=True, ignore=told[2]).coding(*told[:2])
    (pair,) = (pair for pair in pairs if pair.stem == stem)
    return coding.class_ids(read_stored_mask_of(pair, images.size(pair.image)))


@pytest.mark.parametrize(
    ("ground", "cell", "options"),
    [
        (255, 0, {"foreground": (0,)}),
        (1, 2, {"foreground": (2,), "ignore": (0,)}),
        (0, 7, {"foreground": (7,), "ignore": (9,)}),
        (0, 65535, {}),
    ],
)
def test_corrected_cells_are_cells_whatever_the_values_of_the_masks_mean(tmp_path, ground, cell, options):
    source, data = make_source(tmp_path / "source", [(40, 50)] * 4), tmp_path / "data"
    for mask in (source / "Masks").iterdir():
        values = np.where(images.read_mask(mask) > 0, cell, ground).astype(np.uint16)
        values[30:, 40:] = options.get("ignore", (ground,))[0]
        write_png(mask, values if cell > 255 else values.astype(np.uint8))
    prepare_fields(data, source, quiet=True, **options)
    picture = make_source(tmp_path / "more", [(40, 50)], seed=1) / "Images/slide0_field0.tif"
    picture = picture.rename(tmp_path / "new.tif")
    masks = predicted(tmp_path / "my_masks", [picture])
    correct(masks, "new", "QuPath, another name")
    assert main.main(["prepare", "--corrected", str(masks), "--data", str(data)]) == 0
    expected = np.zeros((40, 50), np.uint8)
    expected[2:9, 2:9], expected[30:] = 1, IGNORED
    assert np.array_equal(class_ids(data, "new"), expected)
    others = [class_ids(data, pair.stem) for pair in find_pairs(data / "Train data") if pair.stem != "new"]
    assert all((ids == 1).any() and (ids == 0).any() for ids in others)


@pytest.mark.parametrize("kind", ["Region", "Ignore", "value"])
def test_what_was_ignored_before_stays_so_where_no_corrected_cell_lies(tmp_path, capsys, kind):
    pictures, data = pictures_in(tmp_path), tmp_path / "data"
    for picture in pictures:
        mask = tmp_path / f"pictures/Masks/{picture.stem}.png"
        if kind == "value":
            values = images.read_mask(mask).copy()
            values[:, 25:] = 77
            write_png(mask, values)
            continue
        mask.unlink()
        area = rectangle(0, 0, 40, 25, "Region*") if kind == "Region" else rectangle(0, 25, 40, 25, "Ignore*")
        draw(mask.with_suffix(".geojson"), rectangle(5, 5, 10, 10), area)
    done = prepare_fields(data, tmp_path / "pictures", quiet=True, **({"ignore": (77,)} if kind == "value" else {}))
    row = next(row for row in done.rows if row.part == "train")
    masks = predicted(tmp_path / "my_masks", [data / "Train data/Images" / row.file])
    stem = row.file[:-4]
    labels = corrected_field(data, masks, stem)
    assert (
        f"what was ignored in the earlier mask stays so where no corrected cell lies: {stem}" in capsys.readouterr().out
    )
    assert (labels[:, 25:] == 65535).sum() == 40 * 25 - 25 and set(np.unique(labels[:, :25])) == {0, 1, 2}
    correct(masks, stem, "QuPath, another name")  # what the correction itself ignores can be taken back,
    (masks / f"{stem}.geojson").rename(tmp_path / "aside")
    prepare_corrected(data, masks)
    (masks / f"{stem}_corrected.geojson").unlink()
    (tmp_path / "aside").rename(masks / f"{stem}.geojson")
    prepare_corrected(data, masks)
    assert np.array_equal(images.read_mask(data / f"Train data/Masks/{stem}.png"), labels)  # the earlier mask's not


@pytest.mark.parametrize(
    ("names", "group_by", "leak", "own"),
    [
        (["p1-a", "p1-b", "p2-a", "p2-b", "p3-a", "p3-b"], "^p[0-9]+", "{}-z", "p9-a"),
        ([f"s{slide}_{place}" for slide in "xyz" for place in ("0_0", "512_512")], None, "{}_512_1024", "night"),
        ([f"well{well}_field{field}" for well in "AB" for field in (1, 2)], None, "{}_field7", "wellC_field1"),
    ],
)
def test_a_new_picture_of_a_group_that_is_tested_on_is_tested_on(tmp_path, names, group_by, leak, own):
    pictures, data = pictures_in(tmp_path, len(names) + 2), tmp_path / "data"
    new = tmp_path / "new"
    new.mkdir()
    for picture, name in zip(pictures, names, strict=False):
        for path in (picture, tmp_path / f"pictures/Masks/{picture.stem}.png"):
            path.rename(path.with_stem(name))
    for picture in pictures[-2:]:
        picture.rename(new / picture.name)
        (tmp_path / f"pictures/Masks/{picture.stem}.png").unlink()
    done = prepare_fields(data, tmp_path / "pictures", quiet=True, **({"group_by": group_by} if group_by else {}))
    tested = next(row.group for row in done.rows if row.part == "test")
    stems = [leak.format(tested), own]
    both = [path.rename(new / f"{stem}.tif") for path, stem in zip(sorted(new.iterdir()), stems, strict=True)]
    masks = predicted(tmp_path / "my_masks", both)
    for stem in stems:
        correct(masks, stem, "QuPath")
    lines = prepare_corrected(data, masks)
    assert lines == [
        f"1 corrected, now training fields: {own}",
        f"1 corrected, now test fields, since other pictures of their slide or patient are tested on: {stems[0]}",
    ]
    rows = {row["file"][:-4]: (row["part"], row["group"]) for row in rows_of(data)}
    assert rows[stems[0]] == ("test", tested) and rows[own][0] == "train"


@pytest.mark.parametrize("gone", ["both", "picture", "mask"])
def test_a_corrected_field_that_the_user_deletes_is_said_and_forgotten(tmp_path, gone):
    pictures = pictures_in(tmp_path, 5)
    masks, data = predicted(tmp_path / "my_masks", pictures[:1]), tmp_path / "data"
    (tmp_path / "pictures/Masks/slide0_field0.png").unlink()
    new = pictures[0].rename(tmp_path / pictures[0].name)
    prepare_fields(data, tmp_path / "pictures", quiet=True)
    correct(masks, new.stem, "QuPath")
    prepare_corrected(data, masks, tmp_path)
    for kind in {"both": ("Images", "Masks"), "picture": ("Images",), "mask": ("Masks",)}[gone]:
        next((data / "Train data" / kind).glob("slide0_field0.*")).unlink()
    (line,) = prepare_fields(data, tmp_path / "pictures", quiet=True).changes
    assert line == "1 not in Train data or Test data any more: slide0_field0"
    assert "slide0_field0.tif" not in [row["file"] for row in rows_of(data)]
    assert not list(data.glob("T* data/*/slide0_field0.*"))
    assert not prepare_fields(data, quiet=True).changes
    prepare_corrected(data, masks, tmp_path)
    assert (data / "Train data/Masks/slide0_field0.png").is_file()


@pytest.mark.parametrize("before", ["put_away", "write_json", "note_mask", "note_not_known"])
def test_cut_short_it_is_finished_by_running_it_again(tmp_path, monkeypatch, before):
    pictures = pictures_in(tmp_path)
    masks, stem = predicted(tmp_path / "my_masks", pictures), pictures[2].stem
    folders = {}
    for name in ("whole", "cut"):
        data = folders[name] = tmp_path / name
        prepare_fields(data, tmp_path / "pictures", quiet=True)
    correct(masks, stem, "QuPath, another name")
    correct(masks, pictures[3].stem, "napari")
    program = (
        "import os, sys, preparing.corrected as c\n"
        f"c.{before} = lambda *a: os._exit(9)\n"
        "c.prepare_corrected(sys.argv[1], sys.argv[2])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(folders["cut"]), str(masks)], cwd=ROOT)
    assert killed.returncode == 9
    for data in folders.values():
        prepare_corrected(data, masks)
    whole, cut = (
        {path: content for path, content in contents(data).items() if Path(path).name != "prepared.json"}
        for data in folders.values()
    )
    assert cut == whole


@pytest.mark.parametrize("trained", [False, True])
def test_the_next_command_is_the_training_that_goes_on_from_the_own_model(tmp_path, capsys, monkeypatch, trained):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    if trained:
        (tmp_path / "runs/mine").mkdir(parents=True)
        (tmp_path / "runs/mine/model.keras").touch()
    pictures, data = pictures_in(tmp_path, 1), tmp_path / "my data"
    corrected_field(data, predicted(tmp_path / "my_masks", pictures), pictures[0].stem)
    command = "train --init newest" if trained else "check"
    assert capsys.readouterr().out.endswith(f'next: python main.py {command} --data "{data}"\n')


def test_one_picture_under_two_names_is_one_field(tmp_path):
    pictures, data = pictures_in(tmp_path), tmp_path / "data"
    prepare_fields(data, tmp_path / "pictures", quiet=True)
    other = shutil.copy(pictures[0], tmp_path / "renamed.tif")
    masks = predicted(tmp_path / "my_masks", [other, pictures[0]])
    correct(masks, "renamed", "QuPath")
    before = [row["file"] for row in rows_of(data)]
    prepare_corrected(data, masks)
    assert [row["file"] for row in rows_of(data)] == before
    correct(masks, pictures[0].stem, "QuPath")
    with pytest.raises(InputError, match="one corrected mask"):
        prepare_corrected(data, masks)


@pytest.mark.parametrize("where", ["where it lies", "in --source"])
def test_a_clash_of_names_ends_when_the_predicted_picture_is_renamed(tmp_path, capsys, where):
    data, pictures = tmp_path / "data", pictures_in(tmp_path)
    prepare_fields(data, make_source(tmp_path / "others", [(40, 50)] * 4, seed=5), quiet=True)
    masks = predicted(tmp_path / "my_masks", pictures)
    correct(masks, pictures[1].stem, "QuPath")
    command, before = ["prepare", "--corrected", str(masks), "--data", str(data)], listing(data)
    capsys.readouterr()
    assert main.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"Rename {pictures[1].name} where it lies" in line and listing(data) == before
    (tmp_path / "else").mkdir()
    target = (tmp_path / "else" if where == "in --source" else pictures[1].parent) / "another.tif"
    content = pictures[1].rename(target).read_bytes()
    more = ["--source", str(target.parent)] if where == "in --source" else []
    assert main.main([*command, *more]) == 0
    (row,) = [row for row in rows_of(data) if row["file"] == "another.tif"]
    assert (data / f"{row['part'].capitalize()} data/Images/another.tif").read_bytes() == content
    assert len(rows_of(data)) == 5


@pytest.mark.parametrize("again", ["corrected", "prepare"])
def test_killed_while_it_writes_a_record_it_leaves_nothing_once_it_is_run_again(tmp_path, again):
    pictures, data = pictures_in(tmp_path), tmp_path / "data"
    prepare_fields(data, tmp_path / "pictures", quiet=True)
    masks = predicted(tmp_path / "my_masks", pictures)
    correct(masks, pictures[1].stem, "QuPath")
    own = data / ".fields.mine.csv"
    own.touch()
    program = (
        "import os, sys, preparing.corrected as c, preparing.field_table as f\n"
        "f.fields_text = lambda rows: os._exit(9)\n"
        "c.prepare_corrected(sys.argv[1], sys.argv[2])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(data), str(masks)], cwd=ROOT)
    assert killed.returncode == 9 and len(list(data.glob(".fields.*.csv"))) == 2
    prepare_corrected(data, masks) if again == "corrected" else prepare_fields(data, quiet=True)
    assert [path.name for path in data.glob(".fields.*.csv")] == [own.name]
