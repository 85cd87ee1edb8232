"""Tiles: nothing is lost or changed, no group is split, a second run finds its work done, other files are safe."""

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
from pairing.groups import split_by_group, tile_ranges, with_tile_table
from preparing import prepare
from preparing.prepare import prepare_tiles
from preparing.tiles import Cutting, Tile, drop_empty, foreground_in_tiles, tile_spans
from reading import decoding, folder_lock, images, intensity
from reading.files import InputError, holds_files
from reading.images import write_png
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
    with open(data / "tiles.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = {"file", "image", "group", "part", "low", "high", "least"}
    return [{k: v if k in words else float(v) if k == "foreground" else int(v) for k, v in row.items()} for row in rows]


def listing(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stitched(data, name, kind, size, channels):
    """A field (or its mask) put together from its tiles by tiles.csv, and how often each pixel came."""
    whole, times = None, np.zeros(size, int)
    for row in rows_of(data):
        if row["image"] != name:
            continue
        folder = data / f"{row['part'].capitalize()} data" / kind
        if kind == "Images":
            tile = images.read(folder / row["file"])
        else:
            tile = images.read_mask(folder / f"{Path(row['file']).stem}.png")[..., np.newaxis]
        assert tile.shape[:2] == (row["height"] + row["pad_bottom"], row["width"] + row["pad_right"])
        if whole is None:
            whole = np.zeros((*size, channels), tile.dtype)
        place = np.s_[row["row"] : row["row"] + row["height"], row["column"] : row["column"] + row["width"]]
        whole[place] = tile[: row["height"], : row["width"]]
        times[place] += 1
    return whole, times


lengths = st.integers(1, 90)


@given(st.integers(1, 3000), st.integers(1, 300), st.data())
def test_spans_cover_an_axis_and_share_the_overlap(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    spans = tile_spans(length, tile, overlap)
    covered = np.zeros(length, int)
    for first, count, padding in spans:
        covered[first : first + count] += 1
        assert count > 0 and count + padding == min(tile, length)
    assert covered.min() >= 1
    assert all(a[0] + a[1] - b[0] == overlap for a, b in zip(spans, spans[1:], strict=False))
    assert overlap > 0 or covered.max() == 1
    # no tile is superfluous, and no padding is longer than what it mirrors
    assert len(spans) == 1 or spans[-2][0] + spans[-2][1] < length
    assert all(padding < length for _, _, padding in spans)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(lengths, lengths), min_size=1, max_size=4),
    kind=st.sampled_from([np.uint8, np.uint16, np.float32]),
    channels=st.sampled_from([1, 3]),
    classes=st.sampled_from([1, 3]),
    tile=st.integers(8, 40),
    data=st.data(),
)
def test_stitching_gives_every_field_and_mask_back(sizes, kind, channels, classes, tile, data):
    overlap = data.draw(st.integers(0, tile * 3 // 4))
    sizes = [(30, 30), *sizes]  # of a few pixels alone, all could be foreground, which is refused
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source = make_source(folder / "raw", sizes, kind, channels, classes)
        done = prepare_tiles(
            folder / "data", source, tile_px=tile, overlap_px=overlap, classes=classes, quiet=True
        )  # fmt: skip
        assert done.written > 0
        parts = {}
        for row in rows_of(folder / "data"):
            parts.setdefault(row["group"], set()).add(row["part"])
        assert all(len(found) == 1 for found in parts.values()), "a group in both parts"
        for pair, size in zip(pairs.find_pairs(source), sizes, strict=True):
            image, times = stitched(folder / "data", pair.image.name, "Images", size, channels)
            np.testing.assert_array_equal(image, images.read(pair.image))
            assert image.dtype == kind and times.min() >= 1
            mask, _ = stitched(folder / "data", pair.image.name, "Masks", size, 1)
            np.testing.assert_array_equal(mask[..., 0], images.read_mask(pair.mask))


def test_a_border_is_filled_by_reflection_of_the_field(tmp_path):
    source = make_source(tmp_path / "raw", [(70, 41)])
    prepare_tiles(tmp_path / "data", source, tile_px=40, quiet=True)
    whole = images.read(source / "Images" / "slide0_field0.tif")
    tile = images.read(tmp_path / "data/Train data/Images/slide0_field0_tile_01_01.png")
    expected = np.pad(whole, ((0, 10), (0, 39), (0, 0)), mode="symmetric")[40:80, 40:80]
    np.testing.assert_array_equal(tile, expected)
    (row,) = [row for row in rows_of(tmp_path / "data") if row["file"] == "slide0_field0_tile_01_01.png"]
    assert (row["pad_bottom"], row["pad_right"], row["height"], row["width"]) == (10, 39, 30, 1)


def test_images_smaller_than_a_tile_are_kept_as_they_are(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 31), (256, 256), (50, 300)])
    prepare_tiles(tmp_path / "data", source, test_share=0, quiet=True)
    shapes = {path.name: images.read(path).shape for path in (tmp_path / "data/Train data/Images").iterdir()}
    assert shapes == {
        "slide0_field0.png": (40, 31, 1),
        "slide1_field0.png": (256, 256, 1),
        "slide2_field0_tile_00_00.png": (50, 256, 1),  # nothing is added along the short side
        "slide2_field0_tile_00_01.png": (50, 256, 1),
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["train", "test"]), st.booleans())), st.floats(0, 1), st.integers(0, 2**32))
def test_the_share_of_empty_training_tiles_is_kept(kinds, keep, seed):
    tiles = [
        Tile(f"{i}.png", "a", 0, 0, 1, 1, 0, 0, "a", part, 0.0 if empty else 0.5)
        for i, (part, empty) in enumerate(kinds)
    ]
    cutting = Cutting(keep_empty=keep, seed=seed)
    kept, count = drop_empty(tiles, cutting)
    empties = [tile for tile in tiles if tile.part == "train" and tile.foreground == 0]
    assert count == len(empties)
    assert sum(tile in empties for tile in kept) == round(keep * count)
    assert [tile for tile in tiles if tile not in empties] == [tile for tile in kept if tile not in empties]
    assert kept == sorted(kept, key=tiles.index) and kept == drop_empty(tiles, cutting)[0]


def test_keep_empty_reaches_the_folder_and_the_table(tmp_path):
    source = make_source(tmp_path / "raw", [(128, 128)] * 6, empty=True)
    options = {"tile_px": 32, "quiet": True}
    everything = prepare_tiles(tmp_path / "all", source, **options)
    some = prepare_tiles(tmp_path / "some", source, keep_empty=0.25, **options)
    empties = sum(row["part"] == "train" and row["foreground"] == 0 for row in rows_of(tmp_path / "all"))
    kept = sum(row["part"] == "train" and row["foreground"] == 0 for row in rows_of(tmp_path / "some"))
    assert everything.empty == some.empty == empties > 10 and kept == round(empties / 4)
    assert len(list((tmp_path / "some/Train data/Images").iterdir())) == len(
        [row for row in rows_of(tmp_path / "some") if row["part"] == "train"]
    )
    assert f"{empties - kept} of {empties} empty training tiles were left out" in some.table()
    tests = [[row for row in rows_of(tmp_path / name) if row["part"] == "test"] for name in ("all", "some")]
    assert tests[0] == tests[1], "test tiles are all kept"


def test_the_tiles_of_a_slide_stay_together_in_training_too(tmp_path):
    source = make_source(tmp_path / "raw", [(80, 80)] * 5)
    prepare_tiles(tmp_path / "data", source, tile_px=32, quiet=True)
    groups = {row["file"]: row["group"] for row in rows_of(tmp_path / "data")}
    for part in ("Train data", "Test data"):
        for pair in pairs.find_pairs(tmp_path / "data" / part):
            assert pair.group == groups[pair.image.name]
    assert len({row["group"] for row in rows_of(tmp_path / "data") if row["part"] == "test"}) == 1


@pytest.mark.skipif(not hasattr(pairs, "group_by"), reason="this pairs module has no group_by")
def test_groups_by_a_pattern_and_by_a_table(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 12)
    prepare_tiles(tmp_path / "a", source, tile_px=32, group_by=r"slide\d", test_share=0.3, quiet=True)
    lines = [f"slide{i}_field0.tif,patient{i // 4}" for i in range(12)]
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *lines]) + "\n", encoding="utf-8")
    prepare_tiles(tmp_path / "b", source, tile_px=32, group_by=str(tmp_path / "groups.csv"), quiet=True)
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
    assert prepare_tiles(tmp_path / "data", source, **options).written > 0
    before = listing(tmp_path / "data")
    assert prepare_tiles(tmp_path / "data", source, **options).written == 0
    assert prepare_tiles(tmp_path / "data", **options).written == 0
    assert listing(tmp_path / "data") == before and listing(source) == before_source
    for kind in ("Images", "Masks"):
        assert {p.name: p.read_bytes() for p in (tmp_path / "data/Raw data" / kind).iterdir()} == {
            p.name: p.read_bytes() for p in (source / kind).iterdir()
        }
    prepare_tiles(tmp_path / "other", source, **options)
    assert {k: v[0] for k, v in listing(tmp_path / "other").items()} == {k: v[0] for k, v in before.items()}


def test_a_data_folder_is_a_source_by_its_raw_data(tmp_path):
    make_source(tmp_path / "mine" / "Raw data", [(40, 40)] * 3)
    assert prepare_tiles(tmp_path / "data", tmp_path / "mine", quiet=True).written > 0
    assert len(list((tmp_path / "data/Raw data/Images").iterdir())) == 3
    before = listing(tmp_path / "mine")
    assert prepare_tiles(tmp_path / "mine", tmp_path / "mine", quiet=True).written == 8  # 3 pairs and two records
    assert {k: v for k, v in listing(tmp_path / "mine").items() if k in before} == before


def test_pictures_added_beside_raw_data_are_not_overlooked(tmp_path):
    data = make_source(tmp_path / "mine", [(40, 40)] * 5)
    assert main.main(["prepare", "--source", str(data), "--data", str(data)]) == 0
    for kind in ("Images", "Masks"):
        shutil.copy(
            next((data / kind).glob("slide0*")), data / kind / ("new" + (".tif" if kind == "Images" else ".png"))
        )
    assert main.main(["prepare", "--source", str(data), "--data", str(data)]) == 0
    assert "new.tif" in {row["image"] for row in rows_of(data)}
    shutil.rmtree(data / "Images")
    for folder in ("Images", "Masks"):
        put = data / "field7" / folder
        put.mkdir(parents=True)
        write_png(put / "a.png", np.eye(9, dtype=np.uint8) * 255)
    with pytest.raises(InputError, match="field7.* and a folder Raw data beside them"):
        prepare_tiles(data, data, quiet=True)


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
    (tmp_path / prepare.ASIDE / "Raw data").mkdir(parents=True)
    for command in ([], ["prepare"]):
        assert main.main([*command, "--data", str(tmp_path)]) == 2
        assert "cut short" in capsys.readouterr().err
    assert not listing(tmp_path)


STRANGERS = [
    "Raw data/Images/slide0_field0.tif", "Raw data/Masks/slide1_field0.png", "Raw data/Images/mine.png",
    "Train data/Images/mine.png", "Test data/Masks/mine.png", "Train data/Masks/slide0_field0_tile_00_00.png",
    "Train data/Images/slide0_field0_tile_00_00.png", "tiles.csv", "tiles.json",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_file_of_the_users_is_never_touched(tmp_path, name, after):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4)
    options = {"tile_px": 32, "quiet": True, "seed": 1}
    data = tmp_path / "data"
    if after:
        prepare_tiles(data, source, **options)
    path = data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    write_png(path.with_suffix(".png"), np.full((32, 32), 9, np.uint8))
    path.with_suffix(".png").rename(path)
    before = listing(tmp_path)
    with pytest.raises(InputError, match=name.split("/")[-1]) as error:
        prepare_tiles(data, source, **options)
    assert "\n" not in str(error.value) and "--data" in str(error.value)
    assert listing(tmp_path) == before


def test_other_options_do_not_mix_with_the_tiles_of_an_earlier_run(tmp_path):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4)
    prepare_tiles(tmp_path / "data", source, tile_px=32, quiet=True)
    before = listing(tmp_path)
    for options, words in {
        (("tile_px", 40),): "--tile-size 32, now 40; expected",
        (("tile_px", 32), ("overlap_px", 1)): "--overlap 0, now 1",
        (("tile_px", 32), ("seed", 5), ("test_share", 0.5)): "--test-share 0.2, now 0.5; --seed 0, now 5",
        (("tile_px", 32), ("foreground", (255,))): "--foreground not given, now 255",
        (("tile_px", 32), ("group_by", r"slide\d_f")): "slide0_field0.tif is of group slide0, and of slide0_f now",
    }.items():
        with pytest.raises(InputError, match=words) as error:
            prepare_tiles(tmp_path / "data", source, quiet=True, **dict(options))
        assert "\n" not in str(error.value)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("copying", [True, False], ids=["source", "Raw data"])
def test_new_pictures_are_added_and_what_is_there_stays(tmp_path, monkeypatch, copying):
    source, data = make_source(tmp_path / "raw", [(70, 50)] * 12, empty=True), tmp_path / "data"
    options = {"tile_px": 32, "keep_empty": 0.3, "quiet": True, "test_share": 0.25}
    first = make_source(tmp_path / "first", [(70, 50)] * 5, empty=True)
    for kind in ("Images", "Masks"):
        for path in (source / kind).iterdir():
            if (first / kind / path.name).exists():
                shutil.copy(path, first / kind)
    prepare_tiles(data, first, **options)
    before, rows = listing(data), rows_of(data)
    more = [path for kind in ("Images", "Masks") for path in (source / kind).iterdir()]
    for path in more:
        target = (first if copying else data / "Raw data") / path.parent.name / path.name
        if not target.exists():
            shutil.copy(path, target)
    given = first if copying else None
    real, count = folder_lock.os.replace, [0]

    def killed(a, b):
        if prepare.ASIDE not in str(b) and ".prepare" in str(a):
            count[0] += 1
            if count[0] == 30:
                raise Killed
        real(a, b)

    if copying:  # killed in the middle of the moves, and repeated
        monkeypatch.setattr(folder_lock.os, "replace", killed)
        with pytest.raises(Killed):
            prepare_tiles(data, given, **options)
        monkeypatch.setattr(folder_lock.os, "replace", real)
    done = prepare_tiles(data, given, **options)
    after = listing(data)
    assert {k: v for k, v in after.items() if k in before and "tiles." not in k} == {
        k: v for k, v in before.items() if "tiles." not in k
    }
    assert all(row in rows_of(data) for row in rows) and len(rows_of(data)) > len(rows)
    parts = {tile.group: tile.part for tile in done.tiles}
    assert sum(part == "test" for part in parts.values()) == 3  # a quarter of 12 groups; of 5 it was one
    assert {row["group"]: row["part"] for row in rows}.items() <= parts.items()
    assert prepare_tiles(data, given, **options).written == 0 and listing(data) == after
    for name in ("Images/slide0_field0.tif", "Masks/slide0_field0.png"):  # taken away again
        ((first if copying else data / "Raw data") / name).unlink()
    with pytest.raises(InputError, match=r"tiles.csv: lists tiles of slide0_field0.tif, .*Put the new ones"):
        prepare_tiles(data, given, **options)


def test_an_edited_table_is_not_overwritten(tmp_path):
    source, data = make_source(tmp_path / "raw", [(40, 40)] * 3), tmp_path / "data"
    prepare_tiles(data, source, quiet=True)
    for name, change in {"tiles.csv": ("slide0,", "mine,"), "tiles.json": ("  ", " ")}.items():
        text = (data / name).read_text()
        (data / name).write_text(text.replace(*change))
        before = listing(data)
        with pytest.raises(InputError, match=name):
            prepare_tiles(data, source, quiet=True)
        assert listing(data) == before
        (data / name).write_text(text)


def test_too_large_an_overlap_is_refused_before_any_file(tmp_path, capsys):
    source = make_source(tmp_path / "raw", [(70, 50)])
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(source), "--tile-size", "33"]
    assert main.main([*command, "--overlap", "25"]) == 2
    assert "expected 0 to 24, three quarters" in capsys.readouterr().err and not (tmp_path / "data").exists()
    assert main.main([*command, "--overlap", "24"]) == 0
    assert capsys.readouterr().out.startswith("1 pair: masks by the same name, as in slide0_field0.tif")


def test_ctrl_c_while_cutting_stops_at_once_and_leaves_nothing(tmp_path, monkeypatch):
    source, read = make_source(tmp_path / "raw", [(90, 70)] * 30), []
    real = prepare.images.write_png

    def interrupted(path, *arguments):
        read.append(path)
        if len(read) == 5:
            raise KeyboardInterrupt
        real(path, *arguments)

    monkeypatch.setattr(prepare.images, "write_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_tiles(tmp_path / "data", source, tile_px=32, quiet=True)
    assert len(read) < 200 and not (tmp_path / "data").exists()


def test_hidden_files_are_no_obstacle(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 2)
    for name in ("Train data/Images/.DS_Store", "Raw data/Images/Thumbs.db", "Test data/Masks/._a.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    assert prepare_tiles(tmp_path / "data", source, quiet=True).written == 10


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


def test_a_run_that_is_killed_while_moving_can_be_repeated(tmp_path, monkeypatch):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4)
    prepare_tiles(tmp_path / "whole", source, tile_px=32, quiet=True)
    real, data = folder_lock.os.replace, tmp_path / "data"
    moved = []

    def killed_at(limit):
        def replace(a, b):
            if prepare.ASIDE not in str(b):  # a move to the final place
                moved.append(b)
                if len(moved) > limit:
                    raise Killed
            real(a, b)

        return replace

    for limit in (2, 30):
        moved.clear()
        monkeypatch.setattr(folder_lock.os, "replace", killed_at(limit))
        with pytest.raises(Killed):
            prepare_tiles(data, source, tile_px=32, quiet=True)
        monkeypatch.setattr(folder_lock.os, "replace", real)
        if limit == 2:  # half of the raw images are not all of them
            with pytest.raises(InputError, match="cut short"):
                prepare_tiles(data, tile_px=32, quiet=True)
    prepare_tiles(data, source, tile_px=32, quiet=True)
    assert {k: v[0] for k, v in listing(data).items()} == {k: v[0] for k, v in listing(tmp_path / "whole").items()}
    assert not (data / prepare.ASIDE).exists()


def test_what_fails_while_cutting_leaves_nothing(tmp_path, monkeypatch):
    source = make_source(tmp_path / "raw", [(90, 70)] * 4)
    real = prepare.images.write_png

    def failing(path, *arguments):
        if "slide3" in path.name:
            raise OSError("no space left on device")
        real(path, *arguments)

    monkeypatch.setattr(prepare.images, "write_png", failing)
    with pytest.raises(OSError, match="no space"):
        prepare_tiles(tmp_path / "data", source, tile_px=32, quiet=True)
    assert not listing(tmp_path / "data")


def test_masks_are_written_by_their_meaning(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 3, classes=3)  # the value 2
    prepare_tiles(tmp_path / "ids", source, classes=3, quiet=True)
    prepare_tiles(tmp_path / "binary", source, foreground=(2,), quiet=True)
    for name, value in {"ids": 2, "binary": 255}.items():
        mask = images.read_mask(tmp_path / name / "Train data/Masks/slide0_field0.png")
        assert set(np.unique(mask)) == {0, value}


def test_the_foreground_of_the_raw_masks_is_remembered_for_their_tiles(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 3, classes=3)
    data = tmp_path / "data"
    assert foreground_in_tiles(data, foreground=(2,)) == (2,)  # nothing is cut: what is given holds
    prepare_tiles(data, source, foreground=(2,), quiet=True)
    assert foreground_in_tiles(data, foreground=(2,)) is None  # 255 by now, which is found without being told
    assert foreground_in_tiles(data) is None
    for other in ({"foreground": (1,)}, {"foreground": (2, 1)}, {"classes": 3}):
        with pytest.raises(InputError, match="tiles.json") as error:
            foreground_in_tiles(data, **other)
        assert "foreground: 2" in str(error.value) and "\n" not in str(error.value)
    before = listing(data)
    with pytest.raises(InputError, match="tiles.json"):  # the tiles would be the same, not what they mean
        prepare_tiles(data, source, quiet=True)
    assert listing(data) == before
    for damaged in ("", "[]", "{}", '{"classes": 1, "foreground": 3, "meaning": ""}'):
        (data / "tiles.json").write_text(damaged)
        with pytest.raises(InputError, match="damaged"):
            foreground_in_tiles(data)


def test_class_ids_stay_what_they_are_in_tiles(tmp_path):
    prepare_tiles(tmp_path / "data", make_source(tmp_path / "raw", [(40, 40)] * 3, classes=3), classes=3, quiet=True)
    assert foreground_in_tiles(tmp_path / "data", foreground=(2,)) == (2,)
    assert foreground_in_tiles(tmp_path / "data", classes=3) is None


def test_one_image_with_annotations(tmp_path):
    source = make_source(tmp_path / "raw", [(100, 150)], channels=3)
    image, mask = source / "Images/slide0_field0.tif", source / "Masks/slide0_field0.png"
    shutil.move(mask, tmp_path / "drawn.png")
    done = prepare_tiles(tmp_path / "data", image, tmp_path / "drawn.png", tile_px=64, quiet=True)
    assert {tile.part for tile in done.tiles} == {"train"} and len(done.tiles) == 6
    assert "one group only" in done.table()
    assert prepare_tiles(tmp_path / "data", tile_px=64, quiet=True).written == 0


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
    options = {"overlap": {"overlap_px": 256}, "keep": {"keep_empty": 1.5}, "share": {"test_share": 1.0},
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
        prepare_tiles(*arguments, quiet=True, **options)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not listing(tmp_path / "data") if (tmp_path / "data").exists() else True


def test_no_training_tile_is_an_error(tmp_path):
    source = make_source(tmp_path / "raw", [(40, 40)] * 2, empty=True)
    seeds = [seed for seed in range(20) if _tested(source, seed) == "slide0"]
    with pytest.raises(InputError, match="no training tile is left"):
        prepare_tiles(tmp_path / "data", source, keep_empty=0, seed=seeds[0], quiet=True)


def _tested(source, seed):
    return split_by_group(pairs.find_pairs(source), 0.2, seed)[1][0].group


def test_the_command_says_what_it_did_and_that_it_is_done(tmp_path, capsys):
    source = make_source(tmp_path / "raw", [(90, 70)] * 5)
    command = ["prepare", "--data", str(tmp_path / "data"), "--source", str(source), "--tile-size", "32"]
    assert main.main(command) == 0
    printed = capsys.readouterr().out
    assert "foreground: above 0" in printed and "tiles.csv" in printed
    (train,) = [line.split() for line in printed.splitlines() if line.startswith("train")]
    (test,) = [line.split() for line in printed.splitlines() if line.startswith("test")]
    assert train[1:4] == ["4", "4", "36"] and test[1:4] == ["1", "1", "9"]
    assert main.main(command) == 0
    assert "already prepared" in capsys.readouterr().out
    assert main.main(["prepare", "--data", str(tmp_path / "data"), "--tile-size", "32"]) == 0
    assert "already prepared" in capsys.readouterr().out
    assert main.main([*command, "--overlap", "40"]) == 2
    assert "overlap 40" in capsys.readouterr().err


@pytest.mark.slow
def test_from_a_folder_of_ones_own_to_a_trained_network(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    source = make_source(tmp_path / "raw", [(90, 70)] * 5)
    data = str(tmp_path / "data")
    assert main.main(["prepare", "--data", data, "--source", str(source), "--tile-size", "64"]) == 0
    short = ["--epochs", "1", "--steps", "2", "--filters", "2", "--batch", "2"]
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
    done = prepare_tiles(data, tmp_path / "slide7.tif", drawn, tile_px=64, quiet=True)
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
        image, _ = stitched(data, name, "Images", expected[place].shape, 3)
        mask, _ = stitched(data, name, "Masks", expected[place].shape, 1)
        np.testing.assert_array_equal(image, full[place])
        np.testing.assert_array_equal(mask[..., 0], expected[place])
    assert {row["group"] for row in rows_of(data)} == {"slide7"}
    printed = done.table()
    assert "2 Region* areas of slide7.tif: each is a field; 1 of 4 outlines lie outside" in printed
    assert "one group only" in printed and "--group-by" in printed and "rectangle around everything" not in printed

    after = listing(data)
    assert prepare_tiles(data, tmp_path / "slide7.tif", drawn, tile_px=64, quiet=True).written == 0
    assert prepare_tiles(data, tile_px=64, quiet=True).written == 0
    assert listing(data) == after and not list(data.glob(".prepare*"))
    assert {path: content for path, content in listing(tmp_path).items() if path in before} == before


def test_a_field_in_another_compression_is_the_same_field(tmp_path):
    make_slide(tmp_path / "a.tif")
    drawn, data = draw(tmp_path / "a.geojson", *CELLS, *AREAS), tmp_path / "data"
    prepare_tiles(data, tmp_path / "a.tif", drawn, quiet=True)
    path = data / "Raw data/Images/a_region1.png"
    with Image.open(path) as image:
        image.save(path, compress_level=9)
    before = listing(data)
    assert prepare_tiles(data, tmp_path / "a.tif", drawn, quiet=True).written == 0
    write_png(path, np.zeros((90, 80, 3), np.uint8))
    with pytest.raises(InputError, match="a_region1.png: stands in the way"):
        prepare_tiles(data, tmp_path / "a.tif", drawn, quiet=True)
    assert listing(data).keys() == before.keys() and not list(data.glob(".prepare-fields"))


def test_regions_are_split_where_the_user_asks(tmp_path):
    make_slide(tmp_path / "slide7.tif")
    drawn = draw(tmp_path / "drawn.geojson", *CELLS, *AREAS)
    done = prepare_tiles(tmp_path / "data", tmp_path / "slide7.tif", drawn, group_by=r".*region\d+", quiet=True)
    assert {tile.part for tile in done.tiles} == {"train", "test"}


def test_a_region_that_is_no_rectangle_counts_inside_alone(tmp_path):
    full = make_slide(tmp_path / "a.tif")
    triangle = [(100, 50), (200, 50), (100, 150), (100, 50)]  # the upper left half of a square of 100 pixels
    cells = [rectangle(60, 110, 8, 8), rectangle(95, 140, 20, 20), rectangle(130, 180, 8, 8)]  # the last is outside
    drawn = draw(tmp_path / "a.geojson", outline(triangle, "Region*"), *cells)
    done = prepare_tiles(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True)
    assert "1 are no rectangles" in done.table() and "1 of 3 outlines" in done.table()
    rows, columns = np.mgrid[:100, :100] + 0.5
    inner = rows + columns < 100
    cell = np.zeros((100, 100), bool)
    cell[45:65, 40:60] = True
    shown = inner | cell  # the cell that reaches out of the area stays whole
    image = images.read(tmp_path / "data/Raw data/Images/a_region1.png")
    np.testing.assert_array_equal(image[shown], full[50:150, 100:200][shown])
    median = np.median(full[50:150, 100:200][inner], axis=0).astype(np.uint8)
    assert (image[~shown] == median).all()
    cell[10:18, 10:18] = True
    mask = images.read_mask(tmp_path / "data/Train data/Masks/a_region1.png")
    np.testing.assert_array_equal(mask > 0, cell)


def test_without_region_areas_the_field_is_around_what_is_drawn(tmp_path):
    full = make_slide(tmp_path / "a.tif")
    drawn = draw(tmp_path / "a.geojson", *CELLS[:2], rectangle(0, 0, 300, 400, "Ignore*"))
    done = prepare_tiles(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True)
    image = images.read(tmp_path / "data/Raw data/Images/a_region1.png")
    np.testing.assert_array_equal(image, full[: 80 + 32, : 107 + 32])  # the margin ends at the slide's border
    assert "no Region* area in a.tif" in done.table() and "learnt as background" in done.table()
    assert "Region* and export again" in done.table()
    assert prepare_tiles(tmp_path / "data", tmp_path / "a.tif", drawn, quiet=True).written == 0


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
    done = prepare_tiles(*arguments, tile_px=64, test_share=0.5, quiet=True)
    fields = ["s0_region1.png", "s1_region1.png", "s1_region2.png", "s2_region1.png"]
    assert sorted({tile.image for tile in done.tiles}) == ["field.png", *fields]
    assert {tile.group for tile in done.tiles} == {"s0", "s1", "s2", "field"}
    assert {tile.part for tile in done.tiles} == {"train", "test"}
    assert "4 Region* areas of s0.tif, s1.tif, s2.tif" in done.table() and "--group-by" not in done.table()
    raw = {path.name for path in (tmp_path / "data/Raw data/Images").iterdir()}
    assert raw - {"field.png", *fields} == ({"s0.tif", "s1.tif", "s2.tif"} if layout == "Raw data" else set())
    after = listing(tmp_path / "data")
    assert prepare_tiles(*arguments, tile_px=64, test_share=0.5, quiet=True).written == 0
    assert listing(tmp_path / "data") == after
    assert {path: content for path, content in listing(source).items() if path in before} == before


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_region_areas_of_ordinary_images_become_fields_too(tmp_path, dtype):
    source = make_source(tmp_path / "raw", [(120, 150)], dtype, channels=3)
    image = images.read(source / "Images/slide0_field0.tif")
    (source / "Masks/slide0_field0.png").unlink()
    draw(source / "Masks/slide0_field0.geojson", *CELLS[:2], AREAS[0])
    done = prepare_tiles(tmp_path / "data", source, quiet=True)
    name = "slide0_field0_region1" + (".png" if dtype == np.uint8 else ".tif")
    assert [(tile.image, tile.group) for tile in done.tiles] == [(name, "slide0")]
    field = images.read(tmp_path / "data/Raw data/Images" / name)
    assert field.dtype == dtype
    np.testing.assert_array_equal(field, image[10:100, 20:100])
    mask = images.read_mask(tmp_path / "data/Train data/Masks/slide0_field0_region1.png")
    assert np.count_nonzero(mask) == 10 * 12 + 10 * 5 and mask.max() == 255
    assert prepare_tiles(tmp_path / "data", source, quiet=True).written == 0


def test_a_point_beside_outlines_is_said_once(tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {}}
    source = make_source(tmp_path / "raw", [(40, 50)] * 3)
    for i in range(3):
        (source / "Masks" / f"slide{i}_field0.png").unlink()
        draw(source / "Masks" / f"slide{i}_field0.geojson", rectangle(5, 5, 9, 9), *[point] * i)
    done = prepare_tiles(tmp_path / "data", source, quiet=True)
    lines = [line for line in done.remarks if "Point" in line]
    expected = "3 shapes without an area (Point), in slide1_field0.geojson, slide2_field0.geojson"
    assert lines == [f"left out: {expected}"]
    draw(source / "Masks" / "slide0_field0.geojson", point)
    with pytest.raises(InputError, match="slide0_field0.geojson: nothing but shapes without an area .Point."):
        prepare_tiles(tmp_path / "other", source, quiet=True)


def test_class_names_survive_the_cutting(tmp_path):
    make_slide(tmp_path / "a.tif")
    cells = [rectangle(20, 30, 10, 12, "nucleus"), rectangle(15, 25, 40, 40, "cytoplasm")]
    drawn = draw(tmp_path / "a.geojson", AREAS[0], *cells)
    done = prepare_tiles(tmp_path / "data", tmp_path / "a.tif", drawn, classes=3, quiet=True)
    assert "1 = cytoplasm, 2 = nucleus" in done.table()
    mask = images.read_mask(tmp_path / "data/Train data/Masks/a_region1.png")
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
    assert train[1:4] == ["1", "2", "8"]  # 512×400 and, cut off at the slide's border, 467×320: four tiles each
    assert images.size(tmp_path / "data/Raw data/Images/cmu-1-small-region_region2.png") == (467, 320)
    assert {row["group"] for row in rows_of(tmp_path / "data")} == {"cmu-1-small-region"}
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
    done = prepare_tiles(tmp_path / "data", tmp_path / "raw", quiet=True)
    raw = sum(path.is_file() for folder in folders for path in folder.rglob("*"))
    assert len(done.tiles) == 2 * 16 and done.written == raw + 64 + 2
    assert prepare_tiles(tmp_path / "data", quiet=True).written == 0
    for folder in folders:
        union = sum(np.asarray(Image.open(path)) > 0 for path in (folder / "masks").iterdir()) > 0
        mask, _ = stitched(tmp_path / "data", f"{folder.name}.png", "Masks", union.shape, 1)
        np.testing.assert_array_equal(mask[..., 0] > 0, union)


def test_a_tile_looks_to_the_network_as_it_does_in_its_field(tmp_path):
    """An empty tile is not stretched to full contrast: training and prediction take the range of the whole field."""
    field = np.full((64, 128), 200, np.uint8)
    field[20:40, 20:40] = 40
    field[:, 64:] = np.random.default_rng(0).integers(195, 206, (64, 64), np.uint8)
    mask = np.uint8(255) * (field == 40)
    write_png(tmp_path / "raw" / "Images" / "a.png", field)
    write_png(tmp_path / "raw" / "Masks" / "a.png", mask)
    prepare_tiles(tmp_path / "data", tmp_path / "raw", tile_px=64, test_share=0, quiet=True)
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


def test_folders_and_hidden_files_within_a_folder_of_masks_are_no_matter(tmp_path, capsys):
    for name in ("a", "b"):
        folder = tmp_path / "raw" / name
        write_png(folder / "images" / f"{name}.png", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
        write_png(folder / "masks" / "1.png", np.uint8(255) * np.eye(64, dtype=np.uint8))
        (folder / "masks" / ".ipynb_checkpoints").mkdir()
        (folder / "masks" / "old").mkdir()
        (folder / "masks" / "Thumbs.db").write_bytes(b"")
    assert main.main(["prepare", "--source", str(tmp_path / "raw"), "--data", str(tmp_path / "data")]) == 0
    shutil.copytree(tmp_path / "raw", tmp_path / "own" / "Train data")
    options = ["--epochs", "1", "--steps", "1", "--filters", "1", "--batch", "1", "--run", "r"]
    main_root, main.ROOT = main.ROOT, tmp_path
    try:
        assert main.main(["check", "--data", str(tmp_path / "own")]) in (0, 2)
        assert main.main(["train", "--data", str(tmp_path / "own"), *options]) == 0
    finally:
        main.ROOT = main_root
    assert "directory" not in capsys.readouterr().err
