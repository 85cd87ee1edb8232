"""Files that are there and that nobody reads are said, with what would help; the program's own and systems' are not."""

import numpy as np
import pytest
from PIL import Image

import main
from pairing.pairs import find_pairing
from pairing.unread import unread_in
from reading.files import InputError
from reading.images import write_png
from tests.helpers import listing, make_folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"something")


def make_pairs(folder, masks="{}.png"):
    for number in range(3):
        write_png(folder / "Images" / f"f{number}.png", np.full((8, 8), number, np.uint8))
        write_png(folder / "Masks" / masks.format(f"f{number}"), np.eye(8, dtype=np.uint8))
    return folder


@pytest.mark.parametrize(
    "names, masks, said",
    [
        (["a.nd2", "b.ND2"], False, "Images holds 2 .nd2 files (Nikon: a.nd2, b.ND2), which are not read; expected"),
        (["a.lif"], False, "Images holds 1 .lif file (Leica: a.lif), which is not read; expected PNG"),
        (["a.heic"], False, "save them as PNG or TIFF."),
        (["a.mat"], True, "Images holds 1 .mat file (files of arrays: a.mat), which is not read; expected pictures"),
        (["a.txt"], True, "perhaps outlines of YOLO"),
        (["a.ndjson", "b.csv"], True, "Export the outlines again as COCO JSON"),
        (["a.txt", "b.csv", "c.xlsx"], False, "Images holds 1 .txt file, 1 .csv file, 1 .xlsx file, which are"),
        (["a"], False, "Images holds 1 file without an ending (a), which is not read"),
        (["well.ome.zarr/0/0"], False, "OME-Zarr"),
        (["plate B/1/x.tif", "plate B/y.png"], False, "Images/plate B holds 2 files (x.tif, y.png), which are"),
    ],
)  # fmt: skip
def test_each_kind_is_said_with_what_helps(tmp_path, names, masks, said):
    touch(tmp_path / "Images", *names)
    found = unread_in(tmp_path / "Images", (), masks)
    assert found and any(said in str(unread) for unread in found), [*map(str, found)]
    assert not any("\n" in str(unread) for unread in found)
    assert {path.name for unread in found for path in unread.files} == {name.split("/")[-1] for name in names} - {
        "0"
    } | ({"well.ome.zarr"} if "well" in names[0] else set())


def test_systems_and_the_programs_own_files_are_not_spoken_of(tmp_path):
    touch(
        tmp_path, ".DS_Store", "._f0.png", "Thumbs.db", "desktop.ini", "__MACOSX/._x.png", "@eaDir/x.jpg", "tiles.csv",
        "predictions.json", "report.html", "cells.csv", ".ipynb_checkpoints/a.png",
    )  # fmt: skip
    assert unread_in(tmp_path, ()) == []


@pytest.mark.parametrize("name", ["f0.xml", "f0.npz", "f0.txt", "more/f0.png.bak"])
def test_masks_in_another_format_are_the_reason_that_there_are_none(tmp_path, name):
    folder = make_pairs(tmp_path)
    for path in (folder / "Masks").iterdir():
        path.unlink()
    touch(folder / "Masks", name)
    with pytest.raises(InputError, match="no mask for f0.png") as refused:
        find_pairing(folder)
    assert ("which is not read; expected" in str(refused.value)) == ("more" not in name)


def test_images_in_another_format_are_the_reason_that_there_are_none(tmp_path):
    touch(tmp_path / "Images", "f0.oib", "f1.oib")
    with pytest.raises(InputError, match=r"holds 2 \.oib files .*Bio-Formats"):
        find_pairing(tmp_path)


def test_what_lies_beside_whole_pairs_is_told_once(tmp_path):
    folder = make_pairs(tmp_path)
    touch(folder, "Images/f9.czi", "Masks/classes.txt", "notes.docx", "plateB/Images/x.png", "Images/more/z.tif")
    lines = [str(unread) for unread in find_pairing(folder).unread]
    assert len(lines) == 5
    for part in ("Images holds 1 .czi file", "Masks holds 1 .txt file", ".docx file", "Images/more holds 1 file"):
        assert sum(part in line for line in lines) == 1, part
    assert sum(f'prepare --source "{folder / "plateB"}"' in line for line in lines) == 1
    assert not find_pairing(make_pairs(tmp_path / "plain")).unread


def test_what_cellpose_leaves_beside_a_picture(tmp_path):
    for number in range(3):
        write_png(tmp_path / f"f{number}.png", np.full((8, 8), number, np.uint8))
        write_png(tmp_path / f"f{number}_cp_masks.tif", np.eye(8, dtype=np.uint8))
        Image.new("RGB", (8, 8)).save(tmp_path / f"f{number}_flows.tif")
        Image.new("RGB", (8, 8)).save(tmp_path / f"f{number}_outlines_cp_masks.png")
        np.save(tmp_path / f"f{number}_seg.npy", {"masks": None}, allow_pickle=True)
        touch(tmp_path, f"f{number}_cp_outlines.txt", f"f{number}_rois.zip")
    found = find_pairing(tmp_path)
    assert [(pair.image.name, pair.mask.name) for pair in found.pairs] == [
        (f"f{n}.png", f"f{n}_cp_masks.tif") for n in range(3)
    ]
    (line,) = map(str, found.unread)
    assert "15 files of Cellpose beside its masks" in line


def test_arrays_beside_pictures_of_their_name_are_masks(tmp_path):
    for number in range(3):
        write_png(tmp_path / f"f{number}.png", np.full((8, 8), number, np.uint8))
        np.save(tmp_path / f"f{number}.npy", np.eye(8))
    assert [pair.mask.name for pair in find_pairing(tmp_path).pairs] == ["f0.npy", "f1.npy", "f2.npy"]


def test_nested_sets_are_named_with_the_command(tmp_path):
    make_pairs(tmp_path / "mine/train")
    with pytest.raises(InputError) as refused:
        find_pairing(tmp_path / "mine")
    assert f'python main.py prepare --source "{tmp_path / "mine/train"}"' in str(refused.value)


def test_the_commands_say_it(tmp_path, capsys):
    data = make_folder(tmp_path / "data")
    touch(data / "Train data/Images", "more.czi")
    touch(data / "Train data/Masks", "labels.txt")
    before = listing(data)
    main.main(["check", "--data", str(data)])
    said = capsys.readouterr().out
    assert "WARNING file not read: Train data/Images/more.czi" in said and "Bio-Formats" in said
    assert "file not read: Train data/Masks/labels.txt" in said
    assert {path for path in listing(data) if path.name != "check.png"} == set(before)
    source = make_pairs(tmp_path / "source")
    touch(source / "Images", "x.nd2")
    assert main.main(["prepare", "--source", str(source), "--data", str(tmp_path / "new")]) == 0
    assert "not read: Images holds 1 .nd2 file (Nikon: x.nd2)" in capsys.readouterr().out
