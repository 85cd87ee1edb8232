"""Prepare: fields stay whole, no group is split, a second run finds its work done, other files are safe."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import main
from pairing import pairs
from pairing.annotations import read_annotation
from pairing.groups import split_by_group, tile_ranges, with_tile_table
from pairing.masks import IGNORED, read_mask_of
from preparing import prepare
from preparing.prepare import prepare_fields
from preparing.tiles import Piece, drop_empty, tile_starts
from preparing.told import UNFINISHED, Told, as_told, ignored, say_as_told, stack_of
from reading import decoding, folder_lock, images, intensity
from reading.files import NOT_KNOWN, InputError, holds_files, write_json
from reading.images import write_png
from reading.pixel_size import um_per_px
from tests.slide_files import make_slide


def make_source(folder, sizes, dtype=np.uint8, channels=1, classes=1, seed=0, empty=False):
    """Fields of noise named slide<i>_field0 with masks of some rectangles; returns the folder."""
    rng = np.random.default_rng(seed)
    for kind in ("Images", "Masks"):
        (folder / kind).mkdir(parents=True)
    for i, (height, width) in enumerate(sizes):
        shape = (height, width, 3) if channels == 3 else (height, width)
        image = rng.integers(0, 256, shape) if dtype == np.uint8 else rng.integers(0, 60000, shape)
        image = image.astype(dtype) / (dtype(7) if np.dtype(dtype).kind == "f" else dtype(1))
        name = f"slide{i}_field0"
        photometric = "rgb" if channels == 3 else "minisblack"
        tifffile.imwrite(folder / "Images" / f"{name}.tif", image.astype(dtype), photometric=photometric)
        mask = np.zeros((height, width), np.uint8)
        if not (empty and i % 2):
            mask[: height // 3 + 1, : width // 2 + 1] = 255 if classes == 1 else classes - 1
        write_png(folder / "Masks" / f"{name}.png", mask)
    return folder


def rows_of(data):
    with open(data / "fields.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def listing(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def contents(folder):
    return {name: content for name, (content, _) in listing(folder).items()}


# ------------------------------------------------------------------------------------------------------ whole fields


@pytest.mark.parametrize("raw", [False, True], ids=["source", "Raw data"])
def test_fields_stay_whole_and_are_copied_byte_for_byte(tmp_path, raw):
    data = tmp_path / "data"
    source = make_source(data / "Raw data" if raw else tmp_path / "raw", [(300, 300), (40, 31), (70, 90)] * 2)
    given = listing(source)
    done = prepare_fields(data, None if raw else source, quiet=True)
    assert len(done.rows) == 6 and {row.part for row in done.rows} == {"train", "test"}
    for row in done.rows:
        for kind, name in (("Images", row.file), ("Masks", row.mask)):
            copy, original = data / row.folder / kind / name, source / kind / name
            assert copy.read_bytes() == original.read_bytes() == (data / "Raw data" / kind / name).read_bytes()
            assert not copy.samefile(original), "an edit of one would change the other"
    assert listing(source) == given
    assert len(list((data / "Train data/Images").iterdir())) + len(list((data / "Test data/Images").iterdir())) == 6


def test_masks_of_every_kind_are_copied_as_they_were_given(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 50)] * 4)
    mask = [source / "Masks" / f"slide{i}_field0.png" for i in range(4)]
    draw(mask[0].with_suffix(".geojson"), rectangle(5, 5, 9, 9), rectangle(5, 14, 9, 9, "Ignore*"))
    write_png(mask[1], np.repeat(np.arange(40, dtype=np.uint16)[:, np.newaxis] * 300, 50, 1))
    for number in (1, 2):
        write_png(source / "Masks/slide2_field0" / f"{number}.png", np.uint8(255) * np.eye(40, 50, number, np.uint8))
    mask[0].unlink(), mask[2].unlink()
    prepare_fields(tmp_path / "data", source, quiet=True)
    there = {
        row["mask"]: tmp_path / "data" / f"{row['part'].capitalize()} data/Masks" for row in rows_of(tmp_path / "data")
    }
    assert there.keys() == {"slide0_field0.geojson", "slide1_field0.png", "slide2_field0", "slide3_field0.png"}
    for name, folder in there.items():
        if (source / "Masks" / name).is_dir():
            assert contents(folder / name) == contents(source / "Masks" / name)
        else:
            assert (folder / name).read_bytes() == (source / "Masks" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "given", "expected", "words"),
    [
        ({"foreground": (2,)}, {}, (1, (2,)), "--foreground 2, as `prepare` was told"),
        ({"foreground": (2,)}, {"foreground": (2,)}, (1, (2,)), ""),
        ({"foreground": (2,)}, {"foreground": (1,)}, (1, (1,)), "--foreground 1 now, 2 as `prepare` was told"),
        ({"foreground": (2,)}, {"classes": 1}, (1, (2,)), "--foreground 2, as `prepare` was told"),
        ({"foreground": (2,)}, {"classes": 3}, (3, None), "--foreground not given now, 2 as `prepare` was told"),
        ({"classes": 3}, {}, (3, None), "--classes 3, as `prepare` was told"),
        ({"classes": 3}, {"classes": 3}, (3, None), ""),
        ({"classes": 3}, {"foreground": (2,)}, (1, (2,)), "--classes 1 now, 3 as `prepare` was told"),
        ({"classes": 3}, {"classes": 1}, (1, None), "--classes 1 now, 3 as `prepare` was told"),
        ({}, {}, (1, None), ""),
        ({}, {"foreground": (2,)}, (1, (2,)), ""),
    ],
)
def test_what_masks_mean_is_remembered_and_another_meaning_is_said(tmp_path, options, given, expected, words):
    source = make_source(tmp_path / "raw", [(40, 40)] * 3)
    for path in (source / "Masks").iterdir():
        write_png(path, np.eye(40, dtype=np.uint8) + np.eye(40, k=9, dtype=np.uint8) * 2)
    prepare_fields(tmp_path / "data", source, quiet=True, **options)
    *found, lines = as_told(tmp_path / "data", **given)
    assert tuple(found) == expected and "; ".join(lines) == words


def test_damaged_records_are_one_line(tmp_path):
    source, data = make_source(tmp_path / "raw", [(40, 40)] * 3), tmp_path / "data"
    prepare_fields(data, source, quiet=True)
    for name, damaged in {
        "prepared.json": ("", "[]", "{}", '{"classes": 1, "foreground": 3, "meaning": ""}'),
        "fields.csv": ("", "file,group\na.png,a\n", "\x00", "file,mask,group,part\na,a,a,b\n"),
    }.items():
        kept = (data / name).read_bytes()
        for text in damaged:
            (data / name).write_text(text)
            before = listing(data)
            for source_again in (source, None):
                with pytest.raises(InputError, match=name) as error:
                    prepare_fields(data, source_again, quiet=True)
                assert "\n" not in str(error.value) and listing(data) == before
        (data / name).write_bytes(kept)


def test_options_not_given_again_are_as_before(tmp_path, monkeypatch):
    source, data = make_source(tmp_path / "raw", [(40, 40)] * 6, classes=3), tmp_path / "data"
    options = {"foreground": (2,), "test_share": 0.5, "seed": 7, "group_by": r"slide\d", "quiet": True}
    prepare_fields(data, source, **options)
    before = listing(data)
    assert prepare_fields(data, source, quiet=True).written == 0 and listing(data) == before
    more = make_source(tmp_path / "more", [(40, 40)] * 2, classes=3, seed=5)
    for number in (6, 7):
        for kind, ending in (("Images", "tif"), ("Masks", "png")):
            shutil.copy(more / kind / f"slide{number - 6}_field0.{ending}", source / kind / f"slide{number}_x.{ending}")
    done = prepare_fields(data, source, quiet=True)
    assert {row.group for row in done.rows} == {f"slide{i}" for i in range(8)}  # by the pattern of before
    assert sum(row.part == "test" for row in done.rows) == 4
    assert as_told(data)[:2] == (1, (2,)) and stack_of(data) is None
    lines = prepare_fields(data, source, quiet=True, foreground=(0,)).remarks
    assert "--foreground 2 before, 0 now" in lines and as_told(data)[:2] == (1, (0,))


def test_a_folder_larger_than_the_disk_is_refused_before_copying(tmp_path, monkeypatch):
    source = make_source(tmp_path / "raw", [(40, 40)] * 3)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: usage._replace(free=9_000))
    with pytest.raises(InputError, match="GB are to be copied there, and 9e-06 GB are free .* --data"):
        prepare_fields(tmp_path / "data", source, quiet=True)
    assert not (tmp_path / "data").exists()


# ------------------------------------------------------------------------------------------------------------- tiles


@given(st.integers(1, 3000), st.integers(1, 300), st.data())
def test_tiles_cover_an_axis_and_none_reaches_out_of_it(length, tile, data):
    overlap = data.draw(st.integers(0, tile * 3 // 4))
    starts = tile_starts(length, tile, overlap)
    covered = np.zeros(length, int)
    for first in starts:
        assert length <= tile or first + tile <= length
        covered[first : first + tile] += 1
    assert covered.min() >= 1 and starts == sorted(set(starts))
    assert all(b - a <= tile - overlap for a, b in zip(starts, starts[1:], strict=False))
    assert len(starts) == 1 or starts[-2] + tile < length, "no tile is superfluous"


def test_a_field_of_300_pixels_is_four_whole_tiles_of_256(tmp_path):
    source = make_source(tmp_path / "raw", [(300, 300)])
    labels = np.arange(300 * 300, dtype=np.uint16).reshape(300, 300) // 700
    write_png(source / "Masks/slide0_field0.png", labels)
    prepare_fields(tmp_path / "data", source, tile_px=256, quiet=True)
    whole, rows = images.read(source / "Images/slide0_field0.tif"), rows_of(tmp_path / "data")
    assert sorted((int(row["row"]), int(row["column"])) for row in rows) == [(0, 0), (0, 44), (44, 0), (44, 44)]
    for row in rows:
        place = np.s_[int(row["row"]) :, int(row["column"]) :]
        for kind, name, field in (("Images", row["file"], whole[..., 0]), ("Masks", row["mask"], labels)):
            tile = images.read_mask(tmp_path / "data/Train data" / kind / name)
            np.testing.assert_array_equal(tile, field[place][:256, :256])
        assert row["cut_from"] == "slide0_field0.tif" and row["low"]


KINDS = ["0/255", "labels", "colours", "ids below 0", "outlines", "files"]


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=3),
    kind=st.sampled_from([np.uint8, np.uint16, np.float32]),
    drawn=st.sampled_from(KINDS),
    tile=st.integers(8, 40),
    data=st.data(),
)
def test_tiles_hold_the_pixels_of_the_field_and_of_its_mask(sizes, kind, drawn, tile, data):
    overlap, sizes = data.draw(st.integers(0, tile * 3 // 4)), [(30, 41), *sizes]
    with tempfile.TemporaryDirectory() as folder:
        folder, channels = Path(folder), data.draw(st.sampled_from([1, 3]))
        source = make_source(folder / "raw", sizes, kind, channels)
        for path in sorted((source / "Masks").iterdir()):
            draw_as(path, drawn)
        prepare_fields(folder / "data", source, tile_px=tile, overlap_px=overlap, quiet=True)
        fields = {pair.image.name: pair for pair in pairs.find_pairs(source)}
        covered = {name: np.zeros(images.size(pair.image), int) for name, pair in fields.items()}
        tiles = {}
        for part in ("Train data", "Test data"):
            if (folder / "data" / part).is_dir():
                tiles |= {pair.image.name: pair for pair in pairs.find_pairs(folder / "data" / part)}
        for row in rows_of(folder / "data"):
            pair, tile_pair = fields[row["cut_from"] or row["file"]], tiles[row["file"]]
            assert row["part"] == "train" or not row["cut_from"]
            image, size = images.read(tile_pair.image), images.size(pair.image)
            height, width = image.shape[:2]
            place = np.s_[int(row["row"]) :, int(row["column"]) :]
            np.testing.assert_array_equal(image, images.read(pair.image)[place][:height, :width])
            assert row["part"] == "test" or (height, width) == tuple(min(tile, length) for length in size)
            mask, expected = read_mask_of(tile_pair, (height, width)), read_mask_of(pair, size)
            np.testing.assert_array_equal(mask, expected[place][:height, :width])
            covered[pair.image.name][place][:height, :width] += 1
        assert all(times.min() >= 1 for times in covered.values())


def draw_as(path, kind):
    """Draw two objects, one of the upper left corner, in place of a mask of some size."""
    height, width = images.size(path)
    values = np.zeros((height, width), np.int16)
    values[: height // 2 + 1, : width // 2 + 1], values[height // 2 :, width // 2 :] = 1, 2
    if kind == "0/255":
        write_png(path, np.uint8(values > 1) * np.uint8(255))
    elif kind == "labels":
        write_png(path, (values * 300).astype(np.uint16))
    elif kind == "colours":
        write_png(path, np.stack([values * 90, values * 0, values * 20], axis=-1).astype(np.uint8))
    elif kind == "ids below 0":
        path.unlink()
        np.save(path.with_suffix(".npy"), values - 1)
    elif kind == "outlines":
        path.unlink()
        cells = [
            rectangle(0, 0, height // 2 + 1, width // 2 + 1),
            rectangle(height // 2, width // 2, height, width, "b"),
        ]
        draw(path.with_suffix(".geojson"), *cells)
    else:
        path.unlink()
        for number in (1, 2):
            write_png(path.with_suffix("") / f"{number}.png", np.uint8(values == number) * np.uint8(255))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans()), st.floats(0, 1), st.integers(0, 2**32))
def test_the_share_of_empty_tiles_is_kept(kinds, keep, seed):
    pieces = [Piece(i, "train", 0 if empty else 5, 9, "a") for i, empty in enumerate(kinds)]
    pieces += [Piece("test", "test", 0, 9), Piece("whole", "train", 0, 9)]  # which are no tiles, and stay
    told = Told(tile_px=9, keep_empty=keep, seed=seed)
    kept = drop_empty(pieces, told)
    empties = [piece for piece in pieces if piece.cut_from and piece.foreground == 0]
    assert sum(piece in empties for piece in kept) == round(keep * len(empties))
    assert [piece for piece in pieces if piece not in empties] == [piece for piece in kept if piece not in empties]
    assert kept == sorted(kept, key=pieces.index) and kept == drop_empty(pieces, told)


def test_keep_empty_reaches_the_folder_and_the_table(tmp_path):
    source = make_source(tmp_path / "raw", [(128, 128)] * 6, empty=True)
    options = {"tile_px": 32, "quiet": True}
    everything = prepare_fields(tmp_path / "all", source, **options)
    some = prepare_fields(tmp_path / "some", source, keep_empty=0.25, **options)
    lost = len(everything.rows) - len(some.rows)
    assert lost == some.empty > 10 and f"{lost} empty tiles left out" in some.table()
    assert prepare_fields(tmp_path / "some", source, quiet=True).written == 0  # as it was told
    tests = [[row for row in rows_of(tmp_path / name) if row["part"] == "test"] for name in ("all", "some")]
    assert tests[0] == tests[1] and len(tests[0]) == 1, "test fields are never cut"


def test_jpeg_masks_are_not_cut(tmp_path):
    source = make_source(tmp_path / "raw", [(60, 60)] * 2)
    for path in list((source / "Masks").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    prepare_fields(tmp_path / "whole", source, quiet=True)
    with pytest.raises(InputError, match="JPEG mask"):
        prepare_fields(tmp_path / "data", source, tile_px=32, quiet=True)
    assert not (tmp_path / "data").exists()


def test_other_tiles_take_the_place_of_those_of_before(tmp_path):
    source, data = make_source(tmp_path / "raw", [(90, 70)] * 4), tmp_path / "data"
    parts = {row.field: row.part for row in prepare_fields(data, source, quiet=True).rows}
    for tile in (32, 40):
        done = prepare_fields(data, source, tile_px=tile, quiet=True)
        assert {row.field: row.part for row in done.rows} == parts and len(done.rows) > 4
        there = {path.name for path in (data / "Train data/Images").iterdir()}
        assert there == {row.file for row in done.rows if row.part == "train"}
        prepare_fields(tmp_path / f"new{tile}", source, tile_px=tile, quiet=True)
        assert contents(data / "Train data") == contents(tmp_path / f"new{tile}/Train data")


# ------------------------------------------------------------------------------------------------ groups and sources


def test_the_fields_of_a_slide_stay_together_in_training_too(tmp_path):
    source = make_source(tmp_path / "raw", [(80, 80)] * 5)
    prepare_fields(tmp_path / "data", source, tile_px=32, quiet=True)
    groups = {row["file"]: row["group"] for row in rows_of(tmp_path / "data")}
    for part in ("Train data", "Test data"):
        found = with_tile_table(pairs.find_pairs(tmp_path / "data" / part), tmp_path / "data")
        assert all(pair.group == groups[pair.image.name] for pair in found)
    assert len({row["group"] for row in rows_of(tmp_path / "data") if row["part"] == "test"}) == 1


def test_groups_by_a_pattern_and_by_a_table(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 12)
    prepare_fields(tmp_path / "a", source, group_by=r"slide\d", test_share=0.3, quiet=True)
    lines = [f"slide{i}_field0.tif,patient{i // 4}" for i in range(12)]
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *lines]) + "\n", encoding="utf-8")
    prepare_fields(tmp_path / "b", source, group_by=str(tmp_path / "groups.csv"), quiet=True)
    for name, count in {"a": 10, "b": 3}.items():
        parts = {}
        for row in rows_of(tmp_path / name):
            parts.setdefault(row["group"], set()).add(row["part"])
        assert len(parts) == count and all(len(part) == 1 for part in parts.values())
        assert {"train"} in parts.values() and {"test"} in parts.values()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_second_run_changes_nothing_with_and_without_the_source(tmp_path, kind):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4, kind)
    before_source = listing(source)
    options = {"tile_px": 32, "overlap_px": 5, "keep_empty": 0.5, "quiet": True}
    assert prepare_fields(tmp_path / "data", source, **options).written > 0
    before = listing(tmp_path / "data")
    assert prepare_fields(tmp_path / "data", source, **options).written == 0
    assert prepare_fields(tmp_path / "data", **options).written == 0
    assert listing(tmp_path / "data") == before and listing(source) == before_source
    for kind in ("Images", "Masks"):
        assert {p.name: p.read_bytes() for p in (tmp_path / "data/Raw data" / kind).iterdir()} == {
            p.name: p.read_bytes() for p in (source / kind).iterdir()
        }
    prepare_fields(tmp_path / "other", source, **options)
    assert {k: v[0] for k, v in listing(tmp_path / "other").items()} == {k: v[0] for k, v in before.items()}


def test_a_data_folder_is_a_source_by_its_raw_data(tmp_path):
    make_source(tmp_path / "mine" / "Raw data", [(40, 40)] * 3)
    assert prepare_fields(tmp_path / "data", tmp_path / "mine", quiet=True).written > 0
    assert len(list((tmp_path / "data/Raw data/Images").iterdir())) == 3
    before = listing(tmp_path / "mine")
    assert prepare_fields(tmp_path / "mine", tmp_path / "mine", quiet=True).written == 8  # 3 pairs and two records
    assert {k: v for k, v in listing(tmp_path / "mine").items() if k in before} == before


def test_pictures_added_beside_raw_data_are_not_overlooked(tmp_path):
    data = make_source(tmp_path / "mine", [(40, 40)] * 5)
    assert main.main(["prepare", "--source", str(data), "--data", str(data)]) == 0
    for kind in ("Images", "Masks"):
        shutil.copy(
            next((data / kind).glob("slide0*")), data / kind / ("new" + (".tif" if kind == "Images" else ".png"))
        )
    assert main.main(["prepare", "--source", str(data), "--data", str(data)]) == 0
    assert "new.tif" in {row["file"] for row in rows_of(data)}
    shutil.rmtree(data / "Images")
    for folder in ("Images", "Masks"):
        put = data / "field7" / folder
        put.mkdir(parents=True)
        write_png(put / "a.png", np.eye(9, dtype=np.uint8) * 255)
    with pytest.raises(InputError, match="field7.* and a folder Raw data beside them"):
        prepare_fields(data, data, quiet=True)


@pytest.mark.parametrize("layout", ["Images", "one folder", "unknown names"])
@pytest.mark.parametrize("command", [[], ["prepare"], ["check"]])
def test_a_forgotten_source_is_named_and_no_sample_is_put_beside_it(tmp_path, capsys, layout, command):
    folder = tmp_path / "forgot"
    if layout == "one folder":
        write_png(folder / "a.png", np.eye(9, dtype=np.uint8))
        write_png(folder / "a_mask.png", np.eye(9, dtype=np.uint8))
    else:
        make_source(folder, [(40, 40)] * 2)
    if layout == "unknown names":
        (folder / "Images").rename(folder / "Bilder")
    before = listing(folder)
    assert main.main([*command, "--data", str(folder)]) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert f'python main.py prepare --source "{folder}" --data my_folder' in said.out + said.err
    assert {k: v for k, v in listing(folder).items() if k != "check.png"} == before


def test_the_sample_is_written_beside_nothing_of_the_users(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main.main(["prepare", "--data", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "notes.txt" in line and listing(tmp_path).keys() == {"notes.txt"}
    (tmp_path / "notes.txt").unlink()
    (tmp_path / UNFINISHED / "Raw data").mkdir(parents=True)
    for command in ([], ["prepare"]):
        assert main.main([*command, "--data", str(tmp_path)]) == 2
        assert "cut short" in capsys.readouterr().err
    assert not listing(tmp_path)


STRANGERS = [
    "Raw data/Images/slide0_field0.tif", "Raw data/Masks/slide1_field0.png", "Raw data/Images/mine.png",
    "Train data/Images/mine.png", "Test data/Masks/mine.png", "Train data/Masks/slide0_field0_tile_00_00.png",
    "Train data/Images/slide0_field0_tile_00_00.png", "tiles.csv", "tiles.json",
]  # fmt: skip

STRANGERS = [
    "Raw data/Images/slide0_field0.tif", "Raw data/Masks/slide1_field0.png", "Raw data/Images/mine.png",
    "Train data/Images/mine.png", "Test data/Masks/mine.png", "Train data/Masks/slide0_field0.png",
    "Train data/Images/slide0_field0.tif", "tiles.csv", "fields.csv", "prepared.json",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "after"),
    [
        (name, after)
        for name in STRANGERS
        for after in (False, True)
        if not (after and ("slide" in name or "ti" in name))
    ],
)
def test_a_file_of_the_users_is_never_touched(tmp_path, name, after):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4)
    options = {"quiet": True, "seed": 1}
    data = tmp_path / "data"
    if after:
        prepare_fields(data, source, **options)
    path = data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    write_png(path.with_suffix(".png"), np.full((90, 70), 9, np.uint8))
    path.with_suffix(".png").rename(path)
    before = listing(tmp_path)
    with pytest.raises(InputError, match=name.split("/")[-1]) as error:
        prepare_fields(data, source, **options)
    assert "\n" not in str(error.value) and "--data" in str(error.value)
    assert listing(tmp_path) == before


def test_too_large_an_overlap_is_refused_before_any_file(tmp_path, capsys):
    source = make_source(tmp_path / "raw", [(70, 50)])
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(source)]
    for options, words in {
        ("--tile-size", "33", "--overlap", "25"): "expected 0 to 24, three quarters",
        ("--overlap", "5"): "--overlap received without --tile-size",
        ("--keep-empty", "0.5"): "--keep-empty received without --tile-size",
    }.items():
        assert main.main([*command, *options]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "data").exists()
    assert main.main([*command, "--tile-size", "33", "--overlap", "24"]) == 0
    assert capsys.readouterr().out.startswith("1 pair: masks by the same name, as in slide0_field0.tif")


@pytest.mark.parametrize("tile_px", [None, 32])
def test_what_is_stopped_or_fails_leaves_nothing(tmp_path, monkeypatch, tile_px):
    source, calls = make_source(tmp_path / "raw", [(90, 70)] * 6), []
    place, name = (prepare.shutil, "copyfile") if tile_px is None else (images, "write_png")
    real = getattr(place, name)
    for stop in (KeyboardInterrupt, OSError("no space left on device")):

        def interrupted(*arguments, stop=stop, **more):
            calls.append(arguments)
            if len(calls) == 5:
                raise stop
            return real(*arguments, **more)

        calls.clear()
        monkeypatch.setattr(place, name, interrupted)
        with pytest.raises((KeyboardInterrupt, OSError)):
            prepare_fields(tmp_path / "data", source, tile_px=tile_px, quiet=True)
        assert len(calls) < 200 and not (tmp_path / "data").exists()


def test_hidden_files_are_no_obstacle(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 2)
    for name in ("Train data/Images/.DS_Store", "Raw data/Images/Thumbs.db", "Test data/Masks/._a.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    assert prepare_fields(tmp_path / "data", source, quiet=True).written == 10


class Killed(BaseException):
    pass


def test_a_folder_holds_files_that_are_its_users(tmp_path):
    for path in (".DS_Store", "a/Thumbs.db", "a/b/._x.png", ".hidden/x.png"):
        assert not holds_files(tmp_path)
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert not holds_files(tmp_path) and not holds_files(tmp_path / "missing")
    (tmp_path / "a" / "b" / "x.png").touch()
    assert holds_files(tmp_path)


@pytest.mark.parametrize("tile_px", [None, 40])
def test_a_run_that_is_killed_while_moving_can_be_repeated(tmp_path, monkeypatch, capsys, tile_px):
    source, data = make_source(tmp_path / "raw", [(90, 70)] * 4), tmp_path / "data"
    prepare_fields(tmp_path / "whole", source, tile_px=tile_px, quiet=True)
    real, moved = folder_lock.os.replace, []

    def killed_at(limit):
        def replace(a, b):
            if UNFINISHED not in str(b) and UNFINISHED in str(a):  # a move to the final place
                moved.append(b)
                if len(moved) > limit:
                    raise Killed
            real(a, b)

        return replace

    for limit in (2, 12):
        moved.clear()
        monkeypatch.setattr(folder_lock.os, "replace", killed_at(limit))
        with pytest.raises(Killed):
            prepare_fields(data, source, tile_px=tile_px, quiet=True)
        monkeypatch.setattr(folder_lock.os, "replace", real)
        if limit == 2:  # half of the raw images are not all of them
            with pytest.raises(InputError, match="cut short"):
                prepare_fields(data, quiet=True)
        assert main.main(["check", "--data", str(data)]) == main.main(["train", "--data", str(data)]) == 2
        assert capsys.readouterr().err.count("cut short") == 2
    prepare_fields(data, source, tile_px=tile_px, quiet=True)
    assert contents(data) == contents(tmp_path / "whole")
    assert not (data / UNFINISHED).exists()


def test_one_image_with_annotations(tmp_path):
    source = make_source(tmp_path / "raw", [(100, 150)], channels=3)
    image, mask = source / "Images/slide0_field0.tif", source / "Masks/slide0_field0.png"
    shutil.move(mask, tmp_path / "drawn.png")
    done = prepare_fields(tmp_path / "data", image, tmp_path / "drawn.png", quiet=True)
    assert [(row.part, row.mask) for row in done.rows] == [("train", "slide0_field0.png")]
    assert "one group only" in done.table()
    assert prepare_fields(tmp_path / "data", quiet=True).written == 0


def faulty(tmp_path, fault):
    """(arguments, options, words of the message) for one mistake."""
    source = make_source(tmp_path / "raw", [(40, 40)] * 3)
    data = tmp_path / "data"
    image, mask = source / "Images/slide0_field0.tif", source / "Masks/slide0_field0.png"
    if fault == "no source":
        return (data, tmp_path / "nowhere"), {}, "nowhere: no such folder"
    if fault == "unreadable":
        image.write_bytes(b"broken")
        return (data, source), {}, image.name
    if fault == "mask size":
        write_png(mask, np.zeros((10, 10), np.uint8))
        return (data, source), {}, mask.name
    if fault == "no annotations":
        return (data, image), {}, "--annotations"
    if fault == "annotations missing":
        return (data, image, tmp_path / "a.geojson"), {}, "a.geojson: no such file"
    if fault == "annotations of a folder":
        return (data, source, mask), {}, "one image file"
    if fault == "annotations alone":
        return (data, None, mask), {}, "--source"
    if fault == "slide":
        shutil.move(image, tmp_path / "a.mrxs")
        return (data, tmp_path / "a.mrxs", mask), {}, "QuPath GeoJSON"
    if fault == "no picture":
        shutil.move(image, tmp_path / "a.czi")
        return (data, tmp_path / "a.czi", mask), {}, "no image or slide by its name"
    if fault == "one name twice":  # a small image named like the tile of a large one
        for kind in ("Images", "Masks"):
            write_png(source / kind / "slide0_field0_tile_00_00.png", np.eye(9, dtype=np.uint8))
        return (data, source), {"tile_px": 32, "test_share": 0}, "Rename one"
    options = {"overlap": {"overlap_px": 256, "tile_px": 256}, "keep": {"keep_empty": 1.5, "tile_px": 256},
               "share": {"test_share": 1.0},
               "tile": {"tile_px": 0}}  # fmt: skip
    words = {"overlap": "expected 0 to 192", "keep": "1.5", "share": "1.0", "tile": "at least 1"}
    return (data, source), options[fault], words[fault]


@pytest.mark.parametrize(
    "fault",
    ["no source", "unreadable", "mask size", "no annotations", "annotations missing", "annotations of a folder",
     "annotations alone", "slide", "no picture", "one name twice", "overlap", "keep", "share", "tile"],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, fault):
    arguments, options, words = faulty(tmp_path, fault)
    with pytest.raises(InputError) as error:
        prepare_fields(*arguments, quiet=True, **options)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not listing(tmp_path / "data") if (tmp_path / "data").exists() else True


def test_no_training_tile_is_an_error(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 2, empty=True)
    seeds = [seed for seed in range(20) if _tested(source, seed) == "slide0"]
    with pytest.raises(InputError, match="no training tile is left"):
        prepare_fields(tmp_path / "data", source, tile_px=32, keep_empty=0, seed=seeds[0], quiet=True)


def _tested(source, seed):
    return split_by_group(pairs.find_pairs(source), 0.2, seed)[1][0].group


def test_the_command_says_what_it_did_and_that_it_is_done(tmp_path, capsys):
    source = make_source(tmp_path / "raw", [(90, 70)] * 5)
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(source)]
    assert main.main(command) == 0
    printed = capsys.readouterr().out
    assert "foreground: above 0" in printed and "fields.csv" in printed
    (train,) = [line.split() for line in printed.splitlines() if line.startswith("train")]
    (test,) = [line.split() for line in printed.splitlines() if line.startswith("test")]
    assert train[1:4] == ["4", "4", "0"] and test[1:4] == ["1", "1", "0"]
    for again in (command, command[:3]):
        assert main.main(again) == 0
        assert "already prepared" in capsys.readouterr().out


@pytest.mark.slow
def test_from_a_folder_of_ones_own_to_a_trained_network(tmp_path, monkeypatch, shallow):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    source = make_source(tmp_path / "raw", [(90, 70)] * 5)
    data = str(tmp_path / "data")
    assert main.main(["prepare", "--data", data, "--source", str(source)]) == 0
    short = ["--epochs", "1", "--steps", "2", "--filters", "2", "--batch", "2", "--init", "none"]
    assert main.main(["train", "--data", data, "--run", "run", *short]) == 0
    assert (tmp_path / "runs" / "run" / "model.keras").is_file()


# ------------------------------------------------------------------------------------- slides and Region* areas


def rectangle(row, column, height, width, name=None):
    """A GeoJSON rectangle as QuPath exports it, of these pixels."""
    corners = [(column, row), (column + width, row), (column + width, row + height), (column, row + height)]
    return outline([*corners, corners[0]], name)


def outline(points, name=None):
    properties = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [points]}, "properties": properties}


def draw(path, *features):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


# cells of 10×12 pixels; the third lies in no area, the second reaches out of the first area
CELLS = [rectangle(20, 30, 10, 12), rectangle(70, 95, 10, 12), rectangle(150, 200, 10, 12)]
AREAS = [rectangle(10, 20, 90, 80, "Region*"), rectangle(200, 300, 60.4, 70.3, "Region*")]


def test_region_areas_of_a_slide_become_fields(tmp_path, monkeypatch):
    full = make_slide(tmp_path / "slide7.tif")
    drawn = draw(tmp_path / "drawn.geojson", *CELLS, *AREAS, rectangle(205, 310, 9, 9))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20_000)  # which the slide of 120,000 exceeds
    before, data = listing(tmp_path), tmp_path / "data"
    done = prepare_fields(data, tmp_path / "slide7.tif", drawn, quiet=True)
    raw = data / "Raw data"
    assert sorted(path.name for path in (raw / "Images").iterdir()) == ["slide7_region1.png", "slide7_region2.png"]
    np.testing.assert_array_equal(images.read(raw / "Images/slide7_region1.png"), full[10:100, 20:100])
    np.testing.assert_array_equal(images.read(raw / "Images/slide7_region2.png"), full[200:260, 300:370])
    cut_from = json.loads((raw / "Masks/slide7_region2.geojson").read_text())["cut_from"]
    assert cut_from == {"image": "slide7.tif", "row": 200, "column": 300}
    expected = np.zeros(full.shape[:2], np.uint8)
    expected[20:30, 30:42] = expected[70:80, 95:107] = expected[205:214, 310:319] = 255
    for name, place in {
        "slide7_region1.png": np.s_[10:100, 20:100],
        "slide7_region2.png": np.s_[200:260, 300:370],
    }.items():
        (pair,) = [pair for pair in pairs.find_pairs(data / "Train data") if pair.image.name == name]
        np.testing.assert_array_equal(images.read(pair.image), full[place])
        np.testing.assert_array_equal(read_mask_of(pair, expected[place].shape) > 0, expected[place] > 0)
    assert {row["group"] for row in rows_of(data)} == {"slide7"}
    printed = done.table()
    assert "2 Region* areas of slide7.tif: each is a field; 1 of 4 outlines lie outside" in printed
    assert "one group only" in printed and "--group-by" in printed and "rectangle around everything" not in printed

    after = listing(data)
    assert prepare_fields(data, tmp_path / "slide7.tif", drawn, quiet=True).written == 0
    assert prepare_fields(data, quiet=True).written == 0
    assert listing(data) == after and not list(data.glob(".prepare*"))
    assert {path: content for path, content in listing(tmp_path).items() if path in before} == before


def test_a_field_in_another_compression_is_the_same_field(tmp_path):
    make_slide(tmp_path / "a.tif")
    drawn, data = draw(tmp_path / "a.geojson", *CELLS, *AREAS), tmp_path / "data"
    prepare_fields(data, tmp_path / "a.tif", drawn, quiet=True)
    copies = [data / folder / "Images/a_region1.png" for folder in ("Raw data", "Train data")]
    with Image.open(copies[0]) as image:
        image.save(copies[0], compress_level=9)
    before = listing(data)
    done = prepare_fields(data, tmp_path / "a.tif", drawn, quiet=True)
    after = listing(data)
    assert {name for name in after if after[name] != before[name]} <= {"fields.csv", "prepared.json"}
    assert not done.changes and prepare_fields(data, tmp_path / "a.tif", drawn, quiet=True).written == 0
    write_png(copies[0], np.zeros((90, 80, 3), np.uint8))  # another picture there is meant so
    done = prepare_fields(data, tmp_path / "a.tif", drawn, quiet=True)
    assert done.changes[0].startswith("1 picture changed: a_region1 (train) (what stood")
    assert not images.read(copies[1]).any()
    assert not list(data.glob(".prepare*"))


def test_regions_are_split_where_the_user_asks(tmp_path):
    make_slide(tmp_path / "slide7.tif")
    drawn = draw(tmp_path / "drawn.geojson", *CELLS, *AREAS)
    done = prepare_fields(tmp_path / "data", tmp_path / "slide7.tif", drawn, group_by=r".*region\d+", quiet=True)
    assert {row.part for row in done.rows} == {"train", "test"}


def test_a_region_that_is_no_rectangle_counts_inside_alone(tmp_path):
    full = make_slide(tmp_path / "a.tif")
    triangle = [(100, 50), (200, 50), (100, 150), (100, 50)]  # the upper left half of a square of 100 pixels
    cells = [rectangle(60, 110, 8, 8), rectangle(95, 140, 20, 20), rectangle(130, 180, 8, 8)]  # the last is outside
    drawn = draw(tmp_path / "a.geojson", outline(triangle, "Region*"), *cells)
    done = prepare_fields(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True)
    assert "1 are no rectangles" in done.table() and "1 of 3 outlines" in done.table()
    rows, columns = np.mgrid[:100, :100] + 0.5
    inner = rows + columns < 100
    cell = np.zeros((100, 100), bool)
    cell[45:65, 40:60] = True
    known = inner | cell  # the cell that reaches out of the area stays whole
    image = images.read(tmp_path / "data/Train data/Images/a_region1.png")
    np.testing.assert_array_equal(image, full[50:150, 100:200])
    cell[10:18, 10:18] = True
    mask, *_, ignored = read_annotation(tmp_path / "data/Train data/Masks/a_region1.geojson", (100, 100))
    np.testing.assert_array_equal(ignored, ~known)
    np.testing.assert_array_equal(mask > 0, cell)


def test_without_region_areas_the_field_is_around_what_is_drawn(tmp_path):
    full = make_slide(tmp_path / "a.tif")
    drawn = draw(tmp_path / "a.geojson", *CELLS[:2], rectangle(0, 0, 300, 15, "Ignore*"))
    done = prepare_fields(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True)
    image = images.read(tmp_path / "data/Raw data/Images/a_region1.png")
    np.testing.assert_array_equal(image, full[: 80 + 32, : 107 + 32])  # the margin ends at the slide's border
    assert "no Region* area in a.tif" in done.table() and "learnt as background" in done.table()
    assert "Region* and export again" in done.table()
    assert prepare_fields(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True).written == 0


@pytest.mark.parametrize("layout", ["two folders", "side by side", "Raw data"])
def test_a_folder_of_slides_and_images(tmp_path, layout):
    source = tmp_path / "data/Raw data" if layout == "Raw data" else tmp_path / "mine"
    pictures = source if layout == "side by side" else source / "Images"
    masks = source if layout == "side by side" else source / "Masks"
    pictures.mkdir(parents=True)
    for i in range(3):
        make_slide(pictures / f"s{i}.tif", seed=i)
        name = "s1.tif.geojson" if i == 1 else f"s{i}.geojson"
        draw(masks / name, *CELLS, *AREAS[: 1 + i % 2])
    write_png(pictures / "field.png", np.random.default_rng(9).integers(0, 256, (80, 90), np.uint8))
    draw(masks / "field.geojson", rectangle(5, 5, 9, 9))
    before = listing(source)
    arguments = (tmp_path / "data", None if layout == "Raw data" else source)
    done = prepare_fields(*arguments, test_share=0.5, quiet=True)
    fields = ["s0_region1.png", "s1_region1.png", "s1_region2.png", "s2_region1.png"]
    assert sorted(row.file for row in done.rows) == ["field.png", *fields]
    assert {row.group for row in done.rows} == {"s0", "s1", "s2", "field"}
    assert {row.part for row in done.rows} == {"train", "test"}
    assert "4 Region* areas of s0.tif, s1.tif, s2.tif" in done.table() and "--group-by" not in done.table()
    raw = {path.name for path in (tmp_path / "data/Raw data/Images").iterdir()}
    assert raw == {"field.png", *(("s0.tif", "s1.tif", "s2.tif") if layout == "Raw data" else fields)}
    after = listing(tmp_path / "data")
    assert prepare_fields(*arguments, quiet=True).written == 0
    assert listing(tmp_path / "data") == after
    assert {path: content for path, content in listing(source).items() if path in before} == before


def test_ordinary_images_with_region_areas_stay_whole_and_tiles_of_them_know_what_they_knew(tmp_path):
    source = make_source(tmp_path / "raw", [(120, 150)], channels=3)
    (source / "Masks/slide0_field0.png").unlink()
    drawn = draw(source / "Masks/slide0_field0.geojson", *CELLS[:2], AREAS[0], rectangle(12, 22, 5, 6, "Ignore*"))
    done = prepare_fields(tmp_path / "data", source, quiet=True)
    assert [row.file for row in done.rows] == ["slide0_field0.tif"] and "of the pixels are ignored" in done.table()
    assert (tmp_path / "data/Train data/Masks/slide0_field0.geojson").read_bytes() == drawn.read_bytes()
    mask, *_, ignored = read_annotation(drawn, (120, 150))
    assert (~ignored).sum() == 90 * 80 + 10 * 7 - 5 * 6
    tiles = prepare_fields(tmp_path / "tiles", source, tile_px=48, test_share=0, quiet=True).rows
    found = np.full((120, 150), IGNORED, np.uint8)
    for row in tiles:
        path = tmp_path / "tiles/Train data/Masks" / row.mask
        part, *_, unknown = read_annotation(path, (48, 48))
        place = np.s_[row.row : row.row + 48, row.column : row.column + 48]
        found[place] = part > 0 if unknown is None else np.where(unknown, found[place], part > 0)
    np.testing.assert_array_equal(found, np.where(ignored, IGNORED, mask > 0))
    assert len(tiles) < 12  # those that know nothing are not there


def test_ignored_values_are_remembered_and_others_refused(tmp_path):
    source = make_source(tmp_path / "raw", [(60, 60)] * 2, classes=3)
    for path in (source / "Masks").iterdir():
        mask = images.read_mask(path).copy()
        mask[-9:] = 255
        write_png(path, mask)
    with pytest.raises(InputError, match="none is --ignore 7"):
        prepare_fields(tmp_path / "data", source, ignore=(7,), quiet=True)
    done = prepare_fields(tmp_path / "data", source, ignore=(255,), quiet=True)
    assert "15.0% of the pixels are ignored" in done.table() and ignored(tmp_path / "data") == (255,)
    assert prepare_fields(tmp_path / "data", source, quiet=True).written == 0  # given once is enough
    assert ignored(tmp_path / "data", (3, 255)) == (3, 255) and ignored(tmp_path) is None


def test_what_check_is_told_to_ignore_takes_the_place_of_what_prepare_was_told(tmp_path, capsys):
    noted = {"classes": 1, "foreground": None, "meaning": "", "ignore": [100]}
    write_json(tmp_path / "prepared.json", noted)
    assert say_as_told(tmp_path, ignore=(3,))[2] == (3,)
    assert "--ignore 3 now, 100 as `prepare` was told" in capsys.readouterr().out
    for same in (None, (100,)):
        assert say_as_told(tmp_path, ignore=same)[2] == (100,) and not capsys.readouterr().out
    write_json(tmp_path / "prepared.json", noted | {"ignore": [100, NOT_KNOWN]})  # as `correct` notes it
    assert say_as_told(tmp_path, ignore=(3,))[2] == (3, NOT_KNOWN)
    assert say_as_told(tmp_path, ignore=(100,))[2] == (100, NOT_KNOWN)


def test_a_point_beside_outlines_is_said_once(tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {}}
    source = make_source(tmp_path / "raw", [(40, 50)] * 3)
    for i in range(3):
        (source / "Masks" / f"slide{i}_field0.png").unlink()
        draw(source / "Masks" / f"slide{i}_field0.geojson", rectangle(5, 5, 9, 9), *[point] * i)
    done = prepare_fields(tmp_path / "data", source, quiet=True)
    lines = [line for line in done.remarks if "Point" in line]
    expected = "3 shapes without an area (Point), in slide1_field0.geojson, slide2_field0.geojson"
    assert lines == [f"left out: {expected}"]
    draw(source / "Masks" / "slide0_field0.geojson", point)
    with pytest.raises(InputError, match="slide0_field0.geojson: nothing but shapes without an area .Point."):
        prepare_fields(tmp_path / "other", source, quiet=True)


def test_class_names_survive_the_cutting(tmp_path):
    make_slide(tmp_path / "a.tif")
    cells = [rectangle(20, 30, 10, 12, "nucleus"), rectangle(15, 25, 40, 40, "cytoplasm")]
    drawn = draw(tmp_path / "a.geojson", AREAS[0], *cells)
    done = prepare_fields(tmp_path / "data", tmp_path / "a.tif", drawn, classes=3, quiet=True)
    assert "1 = cytoplasm, 2 = nucleus" in done.table()
    assert as_told(tmp_path / "data") == (3, None, ["--classes 3, as `prepare` was told"])
    (pair,) = pairs.find_pairs(tmp_path / "data/Train data")
    mask = done.coding.decode(read_mask_of(pair, (90, 80)))
    assert np.bincount(mask.ravel()).tolist() == [90 * 80 - 1600, 1600 - 120, 120]


def faulty_slide(tmp_path, fault, real):
    """(image, annotations, words of the message)"""
    slide, drawn = tmp_path / "a.tif", tmp_path / "a.geojson"
    make_slide(slide)
    draw(drawn, *CELLS, AREAS[0])
    if fault.endswith((".svs", ".tiff")):
        return real / "slides" / fault, drawn, fault
    if fault == "nothing drawn":
        return slide, draw(drawn), "nothing is outlined on a.tif"
    if fault == "another slide":
        return slide, draw(drawn, *CELLS, rectangle(5000, 20, 90, 80, "Region*")), "y 5000 lies outside the image"
    if fault == "thin":
        return slide, draw(drawn, *CELLS, rectangle(50, 20, 0.2, 80, "Region*")), "less than a pixel"
    if fault == "large area":
        return slide, draw(drawn, *CELLS, rectangle(0, 0, 200, 200, "Region*")), "200×200 pixels"
    if fault == "drawn everywhere":
        return slide, draw(drawn, *CELLS), "class Region*"
    if fault == "mask":
        write_png(tmp_path / "a.png", np.zeros((300, 400), np.uint8))
        return slide.rename(tmp_path / "a.svs"), tmp_path / "a.png", "QuPath GeoJSON"
    return slide, draw(drawn, outline([(1, 1), (2, 2)], "Region*")), "fewer than three points"


@pytest.mark.parametrize(
    "fault",
    ["broken.svs", "unreadable.svs", "unopenable.tiff", "nothing drawn", "another slide", "thin", "large area",
     "drawn everywhere", "mask", "line"],
)  # fmt: skip
def test_a_fault_of_a_slide_is_one_line_and_nothing_is_written(tmp_path, capsys, monkeypatch, fault, request):
    real = request.getfixturevalue("real_data") if fault.endswith((".svs", ".tiff")) else None
    image, drawn, words = faulty_slide(tmp_path, fault, real)
    if fault == "unreadable.svs":  # a slide of 16×16 pixels
        draw(drawn, rectangle(2, 2, 5, 5), rectangle(0, 0, 16, 16, "Region*"))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20_000)
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(image), "--annotations", str(drawn)]
    assert main.main(command) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1 and printed.startswith("error: ")
    assert not (tmp_path / "data").exists() or not listing(tmp_path / "data")


def test_a_real_slide_from_the_command_line(tmp_path, capsys, real_data):
    slide = real_data / "slides" / "cmu-1-small-region.svs"
    features = [rectangle(600, 700, 512, 400, "Region*"), rectangle(2500, 1900, 600, 400, "Region*")]
    features += [rectangle(650 + 60 * i, 750, 20, 25) for i in range(7)] + [rectangle(2600, 2000, 20, 25)]
    drawn = draw(tmp_path / "drawn.geojson", *features)
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(slide), "--annotations", str(drawn)]
    assert main.main(command) == 0
    printed = capsys.readouterr().out
    assert "2 Region* areas of cmu-1-small-region.svs" in printed and "foreground: above 0" in printed
    (train,) = [line.split() for line in printed.splitlines() if line.startswith("train")]
    assert train[1:3] == ["1", "2"]  # 400×512 and, cut off at the slide's border, 467×320
    assert images.size(tmp_path / "data/Raw data/Images/cmu-1-small-region_region2.tif") == (467, 320)
    rows = rows_of(tmp_path / "data")
    assert {(row["group"], row["um_per_px"]) for row in rows} == {("cmu-1-small-region", "0.499")}
    assert um_per_px(tmp_path / "data/Train data/Images/cmu-1-small-region_region2.tif") == pytest.approx(0.499)
    assert main.main(command) == 0
    assert "already prepared" in capsys.readouterr().out


def test_real_fields_with_one_file_an_object(tmp_path, real_data):
    """The public cervix set as it is downloaded, where this `pairs` reads that layout."""
    folders = sorted((real_data / "cervix_cc0" / "stage1_train").iterdir())[:2]
    for folder in folders:
        shutil.copytree(folder, tmp_path / "raw" / folder.name)
    try:
        found = pairs.find_pairs(tmp_path / "raw")
    except InputError:
        pytest.skip("this pairs module does not read the layout of one file an object")
    assert len(found) == 2
    done = prepare_fields(tmp_path / "data", tmp_path / "raw", quiet=True)
    raw = sum(path.is_file() for folder in folders for path in folder.rglob("*"))
    assert len(done.rows) == 2 and done.written == 2 * raw + 2
    assert prepare_fields(tmp_path / "data", quiet=True).written == 0
    for row, folder in zip(sorted(done.rows, key=lambda row: row.file), folders, strict=True):
        copied = contents(tmp_path / "data" / row.folder / "Masks" / row.mask)
        assert copied == contents(folder / "masks") and row.mask == folder.name


def test_a_tile_looks_to_the_network_as_it_does_in_its_field(tmp_path):
    """An empty tile is not stretched to full contrast: training and prediction take the range of the whole field."""
    field = np.full((64, 128), 200, np.uint8)
    field[20:40, 20:40] = 40
    field[:, 64:] = np.random.default_rng(0).integers(195, 206, (64, 64), np.uint8)
    mask = np.uint8(255) * (field == 40)
    write_png(tmp_path / "raw" / "Images" / "a.png", field)
    write_png(tmp_path / "raw" / "Masks" / "a.png", mask)
    prepare_fields(tmp_path / "data", tmp_path / "raw", tile_px=64, test_share=0, quiet=True)
    tiles = with_tile_table(pairs.find_pairs(tmp_path / "data" / "Train data"), tmp_path / "data")
    low, high = intensity.intensity_range(field[..., np.newaxis])
    for tile in tiles:
        read = images.read(tile.image)
        np.testing.assert_allclose(intensity.intensity_range(read, tile.intensity_range), [low, high], rtol=1e-5)
        assert intensity.normalise(read, *intensity.intensity_range(read, tile.intensity_range)).std() < 0.5
    by_name = tile_ranges(tmp_path / "data")
    assert all(by_name[tile.image.name] == tile.intensity_range for tile in tiles)


def test_an_intensity_range_that_is_no_number_is_named(tmp_path):
    (tmp_path / "tiles.csv").write_text("file,group,low,high\na.png,a,12 x,200\n")
    with pytest.raises(InputError, match="low and high of a.png .* expected numbers"):
        tile_ranges(tmp_path)


def test_folders_and_hidden_files_within_a_folder_of_masks_are_no_matter(tmp_path, capsys, shallow):
    for name in ("a", "b"):
        folder = tmp_path / "raw" / name
        write_png(folder / "images" / f"{name}.png", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
        write_png(folder / "masks" / "1.png", np.uint8(255) * np.eye(64, dtype=np.uint8))
        (folder / "masks" / ".ipynb_checkpoints").mkdir()
        (folder / "masks" / "old").mkdir()
        (folder / "masks" / "Thumbs.db").write_bytes(b"")
    assert main.main(["prepare", "--source", str(tmp_path / "raw"), "--data", str(tmp_path / "data")]) == 0
    shutil.copytree(tmp_path / "raw", tmp_path / "own" / "Train data")
    options = ["--epochs", "1", "--steps", "1", "--filters", "1", "--batch", "1", "--init", "none", "--run", "r"]
    main_root, main.ROOT = main.ROOT, tmp_path
    try:
        assert main.main(["check", "--data", str(tmp_path / "own")]) in (0, 2)
        assert main.main(["train", "--data", str(tmp_path / "own"), *options]) == 0
    finally:
        main.ROOT = main_root
    assert "directory" not in capsys.readouterr().err
