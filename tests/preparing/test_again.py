"""Prepare once more: what changed is taken over and said, the split stays, nothing that was edited is lost."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import main
from pairing.pairs import find_pairs
from preparing import earlier
from preparing.field_table import note_not_known
from preparing.prepare import prepare_fields
from preparing.standing import decide
from preparing.told import UNFINISHED, as_told, ignored
from reading import folder_lock, images
from reading.files import InputError, sha256
from reading.images import write_png
from tests.preparing.test_prepare import Killed, contents, draw, listing, make_source, rectangle, rows_of


def prepared(tmp_path, count=6, raw=False, **options):
    """(data folder, folder of its source or of `Raw data`, what is given as source, {stem: part})."""
    data = tmp_path / "data"
    source = make_source(data / "Raw data" if raw else tmp_path / "mine", [(40, 40)] * count)
    given = None if raw else source
    done = prepare_fields(data, given, quiet=True, **options)
    return data, source, given, {row.field: row.part for row in done.rows}


@contextmanager
def killed(monkeypatch, is_the_end):
    """Within, `prepare` dies as it moves a file into place: where `is_the_end(its place, how many came before)`."""
    real, moved = folder_lock.os.replace, []

    def replace(source, target):
        if UNFINISHED in str(source) and UNFINISHED not in str(target):
            if is_the_end(str(target), len(moved)):
                raise Killed
            moved.append(target)
        real(source, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(folder_lock.os, "replace", replace)
        yield


def put_mask(path, number=1):
    write_png(path, np.eye(40, k=number, dtype=np.uint8) * np.uint8(255))


def of_part(parts, part):
    return sorted(name for name, its in parts.items() if its == part)


@pytest.mark.parametrize(
    ("source", "recorded", "standing", "expected"),
    [
        ("a", "a", "a", "same"), ("b", "a", "a", "take"), ("a", "a", "b", "keep"), ("b", "a", "b", "same"),
        ("b", "a", "c", "clash"), ("a", "a", None, "take"), ("a", None, None, "take"), ("a", None, "a", "same"),
        ("a", None, "b", "stranger"), ("a", "", "b", "stranger"),
    ],
)  # fmt: skip
def test_three_checksums_decide(source, recorded, standing, expected):
    assert decide(source, recorded, standing) == expected


@pytest.mark.parametrize("raw", [False, True], ids=["source", "Raw data"])
def test_changes_are_taken_over_and_said_and_the_split_stays(tmp_path, raw):
    data, source, given, parts = prepared(tmp_path, raw=raw)
    one, two, three = of_part(parts, "train")[:3]
    (tested,) = of_part(parts, "test")
    put_mask(source / "Masks" / f"{one}.png")
    (source / "Masks" / f"{two}.png").unlink()
    draw(source / "Masks" / f"{two}.geojson", rectangle(5, 5, 9, 9))
    for folder, ending in (("Images", "tif"), ("Masks", "png")):
        (source / folder / f"{three}.{ending}").unlink()
        shutil.copy(source / folder / f"{one}.{ending}", source / folder / f"new.{ending}")
        path = source / folder / f"{tested}.{ending}"
        path.rename(path.with_name(f"renamed.{ending}"))
    done = prepare_fields(data, given, quiet=True)
    assert done.changes == [
        f"2 masks changed: {one} (train), {two} (train); 1 picture added: new (train); 1 renamed: {tested} → renamed "
        f"(test); 1 gone: {three} (kept in Earlier fields)",
        f"the same picture under two names, and so in the same part: 1 copy: new is {one} (train)",
    ]
    assert {row.field: row.part for row in done.rows} == {
        name: part for name, part in parts.items() if name not in (three, tested)
    } | {"new": "train", "renamed": "test"}
    for row in done.rows:
        for kind, name in (("Images", row.file), ("Masks", row.mask)):
            copy = data / row.folder / kind / name
            assert copy.read_bytes() == (source / kind / name).read_bytes()
            assert raw or copy.read_bytes() == (data / "Raw data" / kind / name).read_bytes()
    assert len(find_pairs(data / "Train data")) == 5 and len(find_pairs(data / "Test data")) == 1
    assert (data / "Earlier fields/Train data/Images" / f"{three}.tif").is_file()
    before = listing(data)
    assert prepare_fields(data, given, quiet=True).written == 0 and listing(data) == before


def test_what_was_edited_in_place_stays_and_two_edits_are_refused(tmp_path, capsys):
    data, source, given, parts = prepared(tmp_path)
    one, two = of_part(parts, "train")[:2]
    put_mask(data / f"Train data/Masks/{one}.png", 3)
    put_mask(data / f"Raw data/Masks/{two}.png", 4)
    edited = sha256(data / f"Train data/Masks/{one}.png")
    done = prepare_fields(data, given, quiet=True)
    assert done.changes == [
        f"1 mask changed: {two} (train)", f"edited in Train data or Test data, and kept so: 1 field: {one} (train)",
    ]  # fmt: skip
    assert sha256(data / f"Train data/Masks/{one}.png") == edited
    assert sha256(data / f"Train data/Masks/{two}.png") == sha256(data / f"Raw data/Masks/{two}.png")
    assert prepare_fields(data, given, quiet=True).written == 0
    put_mask(source / f"Masks/{one}.png", 5)
    before = listing(tmp_path)
    assert main.main(["prepare", "--source", str(source), "--data", str(data)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{one}.png: changed since it was copied, and so was" in line and listing(tmp_path) == before
    put_mask(data / f"Train data/Masks/{one}.png", 5)  # both the same
    prepare_fields(data, given, quiet=True)
    put_mask(source / f"Masks/{one}.png", 6)
    put_mask(data / f"Raw data/Masks/{one}.png", 7)
    with pytest.raises(InputError, match="Raw data.*changed since it was copied"):
        prepare_fields(data, given, quiet=True)


@pytest.mark.parametrize("raw", [False, True], ids=["source", "Raw data"])
@pytest.mark.parametrize("kind", ["outlines", "folder"])
def test_the_advice_on_two_edits_of_other_endings_keeps_the_first_and_damages_none(tmp_path, capsys, raw, kind):
    data, source, given, parts = prepared(tmp_path, count=3, raw=raw)
    one = of_part(parts, "train")[0]
    mask, edited = source / f"Masks/{one}.geojson", data / f"Train data/Masks/{one}.png"
    mask.with_suffix(".png").unlink()
    if kind == "folder":
        mask = mask.with_suffix("")
    for corner in (5, 7):
        put_mask(mask / "1.png", corner) if kind == "folder" else draw(mask, rectangle(corner, corner, 9, 9))
        if corner == 5:
            prepare_fields(data, given, quiet=True)
            shutil.rmtree(edited.with_suffix("")) if kind == "folder" else edited.with_suffix(".geojson").unlink()
            put_mask(edited, 3)  # as `correct` does
    kept = edited.read_bytes()
    assert main.main(["prepare", "--data", str(data), *([] if raw else ["--source", str(source)])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"put it beside the second as {one}.png and take {mask.name} away" in line and "copy it over" not in line
    shutil.copy(edited, source / "Masks")
    shutil.rmtree(mask) if mask.is_dir() else mask.unlink()
    prepare_fields(data, given, quiet=True)
    assert edited.read_bytes() == kept and (data / f"Raw data/Masks/{one}.png").read_bytes() == kept
    assert prepare_fields(data, given, quiet=True).written == 0


def test_it_is_said_where_records_alone_are_written(tmp_path):
    data, source, _, _ = prepared(tmp_path, count=3)
    done = prepare_fields(data, source.rename(tmp_path / "elsewhere"), quiet=True)
    assert done.written == 1 and [line.partition(";")[0] for line in done.changes] == [
        "no picture or mask has changed"
    ]  # fmt: skip


def test_pictures_of_another_source_are_added_and_none_is_lost(tmp_path):
    data, _, _, parts = prepared(tmp_path)
    other = make_source(tmp_path / "other", [(40, 40)] * 2, seed=5)
    for kind in ("Images", "Masks"):
        for path in sorted((other / kind).iterdir()):
            path.rename(path.with_name(path.name.replace("slide", "more")))
    before = contents(data)
    done = prepare_fields(data, other, quiet=True)
    assert done.changes[0].startswith("2 pictures added: more0_field0 (") and len(done.rows) == 8
    after = contents(data)
    assert {name: after[name] for name in before if "." in name and "/" in name} == {
        name: content for name, content in before.items() if "/" in name
    }
    assert parts.items() <= {row.field: row.part for row in done.rows}.items()
    one = of_part(parts, "train")[0]
    for path in (data / "Train data").rglob(f"{one}.*"):
        path.unlink()
    done = prepare_fields(data, other, quiet=True)
    assert done.changes == [f"1 not in Train data or Test data any more: {one}"] and len(done.rows) == 7


def test_another_picture_of_the_same_name_replaces_none_of_another_source(tmp_path, capsys):
    data, source, _, _ = prepared(tmp_path, count=4)
    other = make_source(tmp_path / "other", [(40, 40)] * 2, seed=5)
    before = listing(data)
    assert main.main(["prepare", "--source", str(other), "--data", str(data)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "other/Images/slide0_field0.tif: another picture" in line and str(source) in line
    assert "slide0_field0.tif, slide1_field0.tif" in line and "Rename" in line and listing(data) == before
    for kind, ending in (("Images", "tif"), ("Masks", "png")):  # with another, and one that is the same picture
        (other / kind / f"slide1_field0.{ending}").rename(other / kind / f"more.{ending}")
        shutil.copy(source / kind / f"slide0_field0.{ending}", other / kind)
    done = prepare_fields(data, other, quiet=True)
    assert [line.partition(" (")[0] for line in done.changes] == ["1 picture added: more"]
    counts = [line.split()[:3] for line in done.table().splitlines() if line.startswith(("train", "test"))]
    assert sum(int(fields) for _, _, fields in counts) == len(done.rows) == 5


@pytest.mark.parametrize("moved", [False, True], ids=["there", "moved"])
def test_a_replaced_picture_is_taken_over_and_the_earlier_kept(tmp_path, moved):
    data, source, given, parts = prepared(tmp_path)
    names = of_part(parts, "train")[0], *of_part(parts, "test")
    if moved:
        given = source = source.rename(tmp_path / "elsewhere")
    other, before = make_source(tmp_path / "other", [(40, 40)] * 6, seed=5), contents(data)
    for name in names:
        shutil.copy(other / f"Images/{name}.tif", source / "Images")
        put_mask(source / f"Masks/{name}.png", 8)
    done = prepare_fields(data, given, quiet=True)
    assert done.changes[0].count("(what stood there is kept in Earlier fields)") == 1
    for name in names:
        for kind, ending in (("Images", "tif"), ("Masks", "png")):
            path = f"{parts[name].capitalize()} data/{kind}/{name}.{ending}"
            assert (data / "Earlier fields" / path).read_bytes() == before[path]
            assert (data / path).read_bytes() == (source / kind / f"{name}.{ending}").read_bytes()
    assert prepare_fields(data, given, quiet=True).written == 0


@pytest.mark.parametrize("edited", ["Train data", "Raw data"])
def test_an_edited_mask_follows_the_new_name_of_its_picture(tmp_path, monkeypatch, edited):
    data, source, given, parts = prepared(tmp_path)
    one, two = of_part(parts, "train")[:2]
    mask = data / edited / "Masks"
    put_mask(mask / f"{one}.png", 3)
    (mask / f"{two}.png").unlink()
    for number in (1, 2):
        put_mask(mask / two / f"{number}.png", number)
    kept = (mask / f"{one}.png").read_bytes(), contents(mask / two)
    for name in (one, two):
        for path in source.rglob(f"{name}.*"):
            path.rename(path.with_name(f"New {name}{path.suffix}"))
    with killed(monkeypatch, lambda target, moved: True):
        prepare_fields(data, given, quiet=True)
    done = prepare_fields(data, given, quiet=True)
    assert f"2 renamed: {one} → New {one} (train), {two} → New {two} (train)" in done.changes[0]
    if edited == "Train data":
        assert done.changes[1].endswith(f"kept so: 2 fields: New {one} (train), New {two} (train)")
    for folder in {edited, "Train data"}:
        masks = data / folder / "Masks"
        assert ((masks / f"New {one}.png").read_bytes(), contents(masks / f"New {two}")) == kept
    assert prepare_fields(data, given, quiet=True).written == 0


def test_what_was_deleted_comes_back_and_that_is_said(tmp_path):
    data, source, given, parts = prepared(tmp_path, count=3)
    one, (tested,) = of_part(parts, "train")[0], of_part(parts, "test")
    for path in (data / "Train data").rglob(f"{one}.*"):
        path.unlink()
    done = prepare_fields(data, given, quiet=True)
    assert done.changes == [
        f"deleted from Train data or Test data, and copied there again, as the source has it: 1 field: {one} (train)"
    ]
    for path in list(source.rglob(f"{tested}.*")):
        path.unlink()
    done = prepare_fields(data, given, quiet=True)
    assert done.changes[0] == f"1 gone: {tested} (kept in Earlier fields)"
    assert "no test picture is left" in done.changes[1]


def test_a_prepare_without_source_says_where_it_looked(tmp_path, capsys):
    data, source, _, _ = prepared(tmp_path, count=3)
    assert main.main(["prepare", "--data", str(data)]) == 0
    assert f"looked at {data / 'Raw data'} alone; for what changed in {source}: " in capsys.readouterr().out


def test_a_group_never_comes_to_be_in_both_parts(tmp_path):
    data, source, given, parts = prepared(tmp_path)
    lines = [f"{name},{'both' if part == 'test' or name == min(parts) else name}" for name, part in parts.items()]
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *lines]))
    before = listing(data)
    if len(set(lines)) and min(parts) in of_part(parts, "train"):
        with pytest.raises(InputError, match="group both would be both in training and in test"):
            prepare_fields(data, given, group_by=str(tmp_path / "groups.csv"), quiet=True)
        assert listing(data) == before


def test_one_file_of_a_folder_of_objects_changes(tmp_path):
    source = make_source(tmp_path / "mine", [(40, 40)] * 3)
    for path in list((source / "Masks").iterdir()):
        path.unlink()
        for number in (1, 2, 3):
            put_mask(path.with_suffix("") / f"{number}.png", number)
    prepare_fields(tmp_path / "data", source, quiet=True)
    changed = source / "Masks/slide0_field0"
    put_mask(changed / "2.png", 9), (changed / "3.png").unlink()
    done = prepare_fields(tmp_path / "data", source, quiet=True)
    (row,) = [row for row in done.rows if row.field == "slide0_field0"]
    assert done.changes == [f"1 mask changed: slide0_field0 ({row.part})"]
    for folder in (row.folder, "Raw data"):
        assert contents(tmp_path / "data" / folder / "Masks/slide0_field0") == contents(changed)


@pytest.mark.parametrize("limit", [1, 3, 6, 9])
def test_a_prepare_that_is_killed_between_is_finished_by_the_next(tmp_path, monkeypatch, limit):
    data, source, given, _ = prepared(tmp_path)
    for number, path in enumerate(sorted((source / "Masks").iterdir())):
        put_mask(path, number + 1)
    for number in (1, 2, 3):
        put_mask(source / "Masks/slide3_field0" / f"{number}.png", number)
    (source / "Masks/slide3_field0.png").unlink()
    for folder, ending in (("Images", "tif"), ("Masks", "png")):
        (source / folder / f"slide2_field0.{ending}").unlink()
    shutil.copytree(data, tmp_path / "whole")
    prepare_fields(tmp_path / "whole", source, quiet=True)
    with killed(monkeypatch, lambda target, moved: moved == limit):
        prepare_fields(data, given, quiet=True)
    prepare_fields(data, given, quiet=True)
    assert contents(data) == contents(tmp_path / "whole")


def test_an_option_given_later_takes_the_place_of_before_and_is_said(tmp_path, monkeypatch):
    data, source, given, parts = prepared(tmp_path)
    for number, path in enumerate(sorted((source / "Masks").iterdir())):
        mask = images.read_mask(path).copy()
        mask[30, number : number + 20], mask[35] = 128, 7
        write_png(path, mask)
    for ignore in ((128,), (7,)):
        done = prepare_fields(data, given, quiet=True, ignore=ignore)
    assert "--ignore 128 before, 7 now" in done.remarks and ignored(data) == (7,)
    note_not_known(data)  # as corrected masks do
    prepare_fields(data, given, quiet=True, ignore=(128,))
    assert set(ignored(data)) == {128, 65535}
    done = prepare_fields(data, given, quiet=True, test_share=0.5, seed=4)
    assert [line.partition(" before")[0] for line in done.remarks if "keep their part" in line] == [
        "--test-share 0.5 now, 0.2", "--seed 4 now, 0",
    ]  # fmt: skip
    assert {row.field: row.part for row in done.rows} == parts
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *(f"{name},{name}" for name in parts)]))
    monkeypatch.chdir(tmp_path)
    prepare_fields(data, given, quiet=True, group_by="groups.csv")
    monkeypatch.chdir(data)
    assert prepare_fields(data, given, quiet=True).written == 0


def test_a_prepare_that_is_killed_between_its_two_records_is_finished(tmp_path, monkeypatch):
    data, source, given, parts = prepared(tmp_path)
    one, (tested,) = of_part(parts, "train")[0], of_part(parts, "test")
    for path in list(source.rglob(f"{one}.*")):
        path.unlink()
    for path in list(source.rglob(f"{tested}.*")):
        path.rename(path.with_name(f"another{path.suffix}"))
    with killed(monkeypatch, lambda target, moved: target.endswith("fields.csv")):
        prepare_fields(data, given, quiet=True)
    done = prepare_fields(data, given, quiet=True)
    assert {row.field: row.part for row in done.rows} == {
        name: part for name, part in parts.items() if name not in (one, tested)
    } | {"another": "test"}
    assert prepare_fields(data, given, quiet=True).written == 0


# ------------------------------------------------------------------------------------------ folders of earlier versions


def tiled(tmp_path, classes=1, foreground=None):
    """A data folder as an earlier version cut it: fields of 40×40 in tiles of 20, the last of them tested."""
    source, data, rows = make_source(tmp_path / "data/Raw data", [(40, 40)] * 3, classes=3), tmp_path / "data", []
    for pair in find_pairs(source):
        part = "test" if pair.stem.startswith("slide2") else "train"
        mask = images.read_mask(pair.mask)
        mask = mask if classes > 1 else np.uint8(255) * (mask > 0)
        for i, j in np.ndindex(2, 2):
            place, name = np.s_[20 * i : 20 * i + 20, 20 * j : 20 * j + 20], f"{pair.stem}_tile_{i:02d}_{j:02d}.png"
            for kind, pixels in (("Images", images.read(pair.image)[..., 0]), ("Masks", mask)):
                write_png(data / f"{part.capitalize()} data" / kind / name, pixels[place])
            rows.append(f"{name},{pair.image.name},{20 * i},{20 * j},20,20,0,0,{pair.group},{part},0.5,0,255")
    head = "file,image,row,column,height,width,pad_bottom,pad_right,group,part,foreground,low,high"
    (data / "tiles.csv").write_text("\n".join([head, *rows]) + "\n")
    cut = {"tile_px": 20, "overlap_px": 0, "keep_empty": 1.0, "test_share": 0.2, "seed": 0, "classes": classes}
    cut |= {"foreground": foreground, "meaning": "foreground: 2", "left_out": []}
    (data / "tiles.json").write_text(json.dumps(cut, indent=2) + "\n")
    return data


def test_tiles_of_earlier_versions_mean_what_they_meant(tmp_path, capsys):
    data = tiled(tmp_path / "a", foreground=[2])
    assert as_told(data) == (1, None, []) and as_told(data, foreground=(2,))[:2] == (1, None)
    for other in ({"foreground": (1,)}, {"foreground": (2, 1)}, {"classes": 3}):
        with pytest.raises(InputError, match=r"tiles.json.*foreground: 2"):
            as_told(data, **other)
    assert main.main(["check", "--data", str(data)]) == 0
    data = tiled(tmp_path / "b", classes=3)
    assert as_told(data) == (3, None, ["--classes 3, as `prepare` was told"])
    assert as_told(data, foreground=(2,))[:2] == (1, (2,))
    with pytest.raises(InputError, match="--classes 2 received"):
        as_told(data, classes=2)
    for damaged in ("", "[]", "{}", '{"classes": 1, "foreground": 3, "meaning": ""}'):
        (data / "tiles.json").write_text(damaged)
        with pytest.raises(InputError, match="damaged"):
            as_told(data)


@pytest.mark.parametrize("classes", [1, 3])
def test_prepare_takes_over_a_folder_of_tiles(tmp_path, monkeypatch, capsys, classes):
    data = tiled(tmp_path, classes, [2] if classes == 1 else None)
    before = contents(data)
    with killed(monkeypatch, lambda target, moved: moved == 4):
        prepare_fields(data, quiet=True)
    assert main.main(["prepare", "--data", str(data)]) == 0
    rows = rows_of(data)
    assert {row["file"]: row["part"] for row in rows} == {
        "slide0_field0.tif": "train", "slide1_field0.tif": "train", "slide2_field0.tif": "test",
    }  # fmt: skip
    assert as_told(data)[:2] == ((1, (2,)) if classes == 1 else (3, None))
    after = contents(data)
    kept = {name.removeprefix(f"{earlier.KEPT_IN}/"): content for name, content in after.items()}
    assert before.items() <= kept.items() and not earlier.records(data)
    assert len(find_pairs(data / "Train data")) == 2 and len(find_pairs(data / "Test data")) == 1
    assert prepare_fields(data, quiet=True).written == 0


def test_tiles_whose_fields_are_not_there_stay(tmp_path, capsys):
    data = tiled(tmp_path)
    for path in ("Images/slide1_field0.tif", "Masks/slide1_field0.png"):
        (data / "Raw data" / path).unlink()
    write_png(data / "Train data/Images/mine.png", np.eye(20, dtype=np.uint8))
    before = listing(data)
    assert main.main(["prepare", "--data", str(data)]) == 2
    assert "cut tiles of slide1_field0, whose whole pictures" in capsys.readouterr().err and listing(data) == before
