"""Pictures that `prepare` knows by their content: renumbered, copied, gone and back; each stays in its part."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import main
from pairing.pairs import Pair, find_pairs
from preparing.prepare import prepare_fields
from preparing.split import parts_of_new
from reading.files import InputError, as_one_name, sha256
from reading.images import write_png
from tests.preparing.test_again import killed, of_part
from tests.preparing.test_prepare import contents, listing, rows_of

OPTIONS = {"whole": {}, "tiles": {"tile_px": 20}, "groups": {"group_by": "^[a-z]+"}}


def source_of(folder, names, seed=0):
    """Pictures of noise with a mask each, of these names."""
    rng = np.random.default_rng(seed)
    for name in names:
        write_png(folder / f"Images/{name}.png", rng.integers(0, 256, (30, 30), np.uint8))
        mask = np.zeros((30, 30), np.uint8)
        mask[2 : rng.integers(9, 30), 2 : rng.integers(9, 30)] = 255
        write_png(folder / f"Masks/{name}.png", mask)
    return folder


def rename(source, names):
    """Rename pictures with their masks, all at once. names : {before: now, or None to take it away}."""
    for kind in ("Images", "Masks"):
        for before in names:
            (source / kind / f"{before}.png").rename(source / kind / f"{before}.old")
        for before, now in names.items():
            path = source / kind / f"{before}.old"
            path.rename(source / kind / f"{now}.png") if now else path.unlink()


def parts_by_content(data, source):
    """{the name of a picture in `source`: (part, group)}, where it is in the data folder by its content."""
    rows = {}
    for row in rows_of(data):
        image = data / f"{row['part'].capitalize()} data/Images" / row["file"]
        rows[row["cut_from"] or sha256(image)] = row["part"], row["group"]
    found = {}
    for path in (source / "Images").iterdir():
        found[path.stem] = rows.get(sha256(path)) or rows.get(path.name)
    return found


def is_as_its_source(data, source):
    """True where the whole fields of a data folder have the picture and mask of this name in the source."""
    rows = [row for row in rows_of(data) if not row["cut_from"]]
    places = [(f"{row['part'].capitalize()} data", row["file"]) for row in rows] + [
        ("Raw data", path.name) for path in (source / "Images").iterdir() if (data / "Raw data").exists()
    ]
    return all(
        (data / folder / kind / name).read_bytes() == (source / kind / name).read_bytes()
        for folder, name in places for kind in ("Images", "Masks")
    )  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("raw", [False, True], ids=["source", "Raw data"])
@pytest.mark.parametrize("how", ["renumbered", "swapped", "shifted up"])
def test_content_and_not_the_name_says_which_picture_is_tested(tmp_path, options, raw, how):
    if raw and options == "tiles":
        pytest.skip("whole pictures that were cut are known by name alone, where they are in Raw data only")
    data = tmp_path / "data"
    source = source_of(data / "Raw data" if raw else tmp_path / "s", "abcde")
    given = None if raw else source
    done = prepare_fields(data, given, quiet=True, **OPTIONS[options])
    (tested,) = {row.field for row in done.rows if row.part == "test"}
    before = parts_by_content(data, source)
    others = sorted(set("abcde") - {tested})
    names = {
        "renumbered": {others[0]: None, tested: others[0], others[1]: tested, others[2]: others[1]},
        "swapped": {tested: others[0], others[0]: tested},
        "shifted up": {tested: others[0], others[0]: others[1], others[1]: "z"},
    }[how]
    rename(source, names)
    done = prepare_fields(data, given, quiet=True)
    renamed = sum(now is not None for now in names.values())
    assert f"{renamed} renamed: " in done.changes[0] and "changed" not in done.changes[0]
    assert (f"1 gone: {others[0]}" in done.changes[0]) == (how == "renumbered")
    after = parts_by_content(data, source)
    for name, (part, group) in before.items():
        if now := names.get(name, name):
            assert after[now][0] == part
            assert options == "groups" or after[now][1] == group
    assert len(after) == (4 if how == "renumbered" else 5) and is_as_its_source(data, source)
    assert {pair.stem for pair in find_pairs(data / "Test data")} == {names[tested]}
    again = prepare_fields(data, given, quiet=True)
    assert not again.changes and again.written == 0


@pytest.mark.parametrize("limit", range(1, 14, 3))
def test_a_renumbering_that_is_killed_is_finished_by_the_next(tmp_path, monkeypatch, limit):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abcde")
    prepare_fields(data, source, quiet=True)
    rename(source, {"a": None, "b": "a", "c": "b", "d": "e", "e": "d"})
    before = {row["image_sha256"]: row["part"] for row in rows_of(data)}
    with killed(monkeypatch, lambda target, moved: moved == limit):
        prepare_fields(data, source, quiet=True)
    prepare_fields(data, source, quiet=True)
    assert is_as_its_source(data, source) and len(rows_of(data)) == 4
    assert {row["image_sha256"]: row["part"] for row in rows_of(data)}.items() <= before.items()


def test_tiles_that_a_killed_prepare_had_renamed_are_known_later(tmp_path, monkeypatch):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abcde")
    done = prepare_fields(data, source, tile_px=20, quiet=True)
    one, two = sorted({row.field for row in done.rows if row.part == "train"})[:2]
    for _ in range(2):
        rename(source, {one: two, two: one})
        with killed(monkeypatch, lambda target, moved: target.endswith("prepared.json")):
            prepare_fields(data, source, quiet=True)
        prepare_fields(data, source, quiet=True)
        for row in rows_of(data):
            assert row["image_sha256"] == sha256(data / f"{row['part'].capitalize()} data/Images" / row["file"])


def test_a_copy_that_comes_without_prepare_goes_where_its_twin_is(tmp_path):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abcde")
    done = prepare_fields(data, source, quiet=True)
    for row in done.rows:
        copy = Path(shutil.copy(source / "Images" / row.file, tmp_path / f"copy of {row.file}"))
        assert parts_of_new(data, [Pair(copy.stem, copy, None, copy.stem)]) == [(row.part, row.group)]


def test_one_picture_in_both_parts_of_a_folder_of_before_is_said(tmp_path):
    data = tmp_path / "data"
    source = source_of(data / "Raw data", "abcde")
    done = prepare_fields(data, quiet=True)
    (tested,) = [row.file for row in done.rows if row.part == "test"]
    learnt = next(row.file for row in done.rows if row.part == "train")
    table, sums = data / "fields.csv", [sha256(source / "Images" / name) for name in (learnt, tested)]
    for folder in (source, data / "Train data"):
        shutil.copy(source / "Images" / tested, folder / "Images" / learnt)
    table.write_text(table.read_text().replace(*sums))
    (line,) = prepare_fields(data, quiet=True).changes
    assert "learnt from and tested" in line
    assert all(f"{Path(name).stem} ({part})" in line for name, part in ((tested, "test"), (learnt, "train")))


@pytest.mark.parametrize("folder", ["Raw data", "of its part"])
def test_what_was_edited_is_not_lost_where_names_change_hands(tmp_path, capsys, folder):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abcde")
    done = prepare_fields(data, source, quiet=True)
    (row,) = [row for row in done.rows if row.file == "b.png"]
    edited = data / (row.folder if folder == "of its part" else folder) / "Masks/b.png"
    write_png(edited, np.eye(30, dtype=np.uint8) * np.uint8(255))
    rename(source, {"b": "c", "c": "b"})
    before = listing(data)
    assert main.main(["prepare", "--source", str(source), "--data", str(data)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{edited}: edited since" in line and "named c now" in line and listing(data) == before
    shutil.copy(edited, source / "Masks/c.png")
    prepare_fields(data, source, quiet=True)
    assert is_as_its_source(data, source)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("where", ["renamed in Raw data", "another source", "beside it", "from the beginning"])
def test_a_copy_is_in_the_part_and_group_of_its_twin(tmp_path, where, options):
    data, source, options = tmp_path / "data", source_of(tmp_path / "s", "abcde"), OPTIONS[options]
    given = source
    if where != "from the beginning":
        done = prepare_fields(data, source, quiet=True, **options)
        names = [name for name in "abcde" if name in {row.field for row in done.rows if row.part == "test"}]
    else:
        names = list("abcde")
    if where == "renamed in Raw data":
        rename(data / "Raw data", {names[0]: "q"})
        assert "renamed" in prepare_fields(data, quiet=True).changes[0]
    else:
        given = tmp_path / "t" if where == "another source" else source
        for name in names:
            for kind in ("Images", "Masks"):
                (given / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(source / kind / f"{name}.png", given / kind / f"other{name}.png")
    done = prepare_fields(data, given, quiet=True, **(options if where == "from the beginning" else {}))
    both = {}
    for row in done.rows:
        both.setdefault(sha256(data / "Raw data/Images" / (row.cut_from or row.file)), set()).add((row.part, row.group))
    assert all(len(those) == 1 for those in both.values()) and len(both) == 5
    assert of_part({row.file: row.part for row in done.rows}, "train")
    if where != "from the beginning":
        assert "under two names, and so in the same part: 1 copy: " in done.changes[1] and "(test)" in done.changes[1]
    assert prepare_fields(data, given, quiet=True).written == 0


def test_a_picture_that_was_taken_away_comes_back_to_its_part(tmp_path):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abcde")
    done = prepare_fields(data, source, quiet=True, test_share=0.4)
    before = {row.field: row.part for row in done.rows}
    shutil.copytree(source, tmp_path / "all")
    kept = of_part(before, "train")[0]
    rename(source, {name: None for name in before if name != kept})
    prepare_fields(data, source, quiet=True)
    shutil.copytree(tmp_path / "all", source, dirs_exist_ok=True)
    done = prepare_fields(data, source, quiet=True)
    assert {row.field: row.part for row in done.rows} == before
    assert "here before, and so in the part of then: 4 pictures: " in done.changes[1]


def test_new_pictures_that_are_all_tested_are_taken(tmp_path, capsys):
    data, source = tmp_path / "data", source_of(tmp_path / "s", [f"slide{i}_field1" for i in range(1, 5)])
    done = prepare_fields(data, source, quiet=True)
    (tested,) = {row.group for row in done.rows if row.part == "test"}
    more = source_of(tmp_path / "t", [f"{tested}_field7"], seed=5)
    done = prepare_fields(data, more, quiet=True)
    assert done.changes == [f"1 picture added: {tested}_field7 (test)"] and len(done.rows) == 5
    rename(source, {row.field: None for row in done.rows if row.part == "train"})
    shutil.copytree(source, tmp_path / "only", dirs_exist_ok=True)
    rename(more, {f"{tested}_field7": None})
    before = contents(data)
    assert main.main(["prepare", "--source", str(source), "--data", str(data)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no picture is left to learn from" in line and "--keep-empty" not in line and contents(data) == before


@pytest.mark.parametrize("names", ["{}_1024_512", "{}_512_1024"])
def test_a_tile_of_a_tested_slide_from_another_source_is_tested(tmp_path, names):
    grid = [f"{slide}_{x}_{y}" for slide in "STU" for x in (0, 512) for y in (0, 512)]
    data, source = tmp_path / "data", source_of(tmp_path / "s", grid)
    done = prepare_fields(data, source, quiet=True)
    (tested,) = {row.group for row in done.rows if row.part == "test"}
    new = names.format(tested)
    prepare_fields(data, source_of(tmp_path / "t", [new, "V_3"], seed=7), quiet=True)
    rows = {row["file"]: (row["part"], row["group"]) for row in rows_of(data)}
    assert rows[f"{new}.png"] == ("test", tested) and rows["V_3.png"][1] == "V_3"


def test_another_picture_of_the_same_name_is_still_a_changed_one(tmp_path):
    data, source = tmp_path / "data", source_of(tmp_path / "s", "abc")
    before = {row.field: row.part for row in prepare_fields(data, source, quiet=True).rows}
    source_of(source, "a", seed=9)
    done = prepare_fields(data, source, quiet=True)
    assert {as_one_name(row.field): row.part for row in done.rows} == before
    assert f"1 picture changed: a ({before['a']})" in done.changes[0]
    with pytest.raises(InputError, match="stands in the way"):
        write_png(data / "Train data/Images/z.png", np.eye(30, dtype=np.uint8))
        prepare_fields(data, source_of(tmp_path / "u", "z", seed=11), quiet=True)
