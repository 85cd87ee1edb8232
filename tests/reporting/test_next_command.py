"""Each command ends with the one that comes next, and that is a command as it stands."""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import main
import options
from predicting.folder import Wanted
from predicting.magnification import Stated
from predicting.record import Record
from reading.images import write_png
from reporting import next_command as following
from tests.helpers import make_folder
from training.run_folder import how_named
from weights.start import PAP_SMEAR


def only_line(capsys):
    """The command that was printed, as its parser takes it: (its name, its arguments)."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    python, file, *arguments = shlex.split(line.removeprefix("next: "))
    assert (python, file) == ("python", "main.py")
    given = vars(main.command_line().parse_args(arguments))
    command = given.pop("command", main.run_all)
    return command, options.for_command(main.command_line(), command, given)


def record(folder, classes=1, masks=("a_predict.png",)):
    return Record(folder / "predictions.json", "m", None, classes, 0.5, None, None, dict.fromkeys(masks, {}), None)


def with_tests(data, masks=True):
    write_png(data / "Test data/Images/a.png", np.zeros((1, 1), np.uint8))
    if masks:
        write_png(data / "Test data/Masks/a.png", np.zeros((1, 1), np.uint8))
    return data


def test_prepare_then_check_then_the_chain(tmp_path, capsys):
    data = tmp_path / "my folder"
    assert main.main(["prepare", "--source", "sample", "--data", str(data)]) == 0
    assert only_line(capsys) == (main.check, {"data": data})
    make_folder(tmp_path)
    assert main.main(["check", "--data", str(tmp_path), "--classes", "1", "--foreground", "255,3"]) == 0
    command, given = only_line(capsys)
    assert command == main.run_all and given["data"] == tmp_path
    assert given["learning"] == {"classes": 1, "foreground": (255, 3)}


@pytest.mark.parametrize("classes", [1, 3])
def test_after_a_training(tmp_path, capsys, classes):
    following.say_after_training(classes, tmp_path, runs=tmp_path / "my runs")
    command, given = only_line(capsys)
    assert command == (main.correct if classes == 1 else main.predict) and given["runs"] == tmp_path / "my runs"
    following.say_after_training(classes, with_tests(tmp_path), runs=following.USUAL["runs"])
    assert only_line(capsys) == (main.predict, {"data": tmp_path, "wanted": {}})


def test_after_a_prediction(tmp_path, capsys):
    data, out, picture = with_tests(tmp_path / "d"), tmp_path / "out", Path("my smear.png")
    given = {"data": data, "model": None, "runs": None, "out": None}
    following.say_after_prediction(record(out), data, [], Wanted(), **given)
    assert only_line(capsys) == (main.evaluate, {"data": data})
    following.say_after_prediction(record(out), data, [picture], Wanted(), **given | {"out": out})
    assert only_line(capsys) == (main.correct, {"data": data, "paths": [picture], "stated": {}})
    for change in ({"classes": 3}, {"masks": ["a_predict.tif"]}):
        following.say_after_prediction(record(out, **change), data, [picture], Wanted(), **given | {"out": out})
        command, values = only_line(capsys)
        assert command == main.predict and values["wanted"] == {"cells": True} and values["out"] == out


def test_what_was_stated_of_the_pictures_is_in_the_command_that_comes_next(tmp_path, capsys):
    told, picture, given = {"diameter": 40.5, "um_per_px": None}, Path("a.png"), {"data": None, "model": None}
    given |= {"runs": None, "out": None}
    stated = replace(record(tmp_path), stated=Stated(**told))
    following.say_after_prediction(stated, tmp_path, [picture], Wanted(), **given)
    command, values = only_line(capsys)
    assert command == main.correct and values["stated"] == {"diameter": 40.5}
    for one in (replace(stated, classes=3), replace(stated, stated=Stated(None, 0.25), classes=3)):
        following.say_after_prediction(one, tmp_path, [picture], Wanted(region=[1, 2, 3, 4]), **given)
        command, values = only_line(capsys)
        said = {name: value for name, value in vars(one.stated).items() if value}
        assert command == main.predict and values["wanted"] == {"cells": True, "region": [1, 2, 3, 4]} | said


def test_corrections_go_into_the_data_folder_and_by_the_runs_that_the_model_is_of(tmp_path, capsys):
    data, runs = with_tests(make_folder(tmp_path / "my folder"), masks=False), tmp_path / "runs dir"
    write_png(data / "Test data/Images/a.png", np.full((40, 40), 200, np.uint8))
    write_png(data / "Test data/Masks/a.png", np.zeros((40, 40), np.uint8))
    (runs / "first").mkdir(parents=True)
    shutil.copy(PAP_SMEAR, runs / "first" / "model.keras")
    card = {"finished": True, "settings": {"seed": 0}, "training": [], "data": str(data)}
    (runs / "first" / "settings.json").write_text(json.dumps(card))
    pictures = data / "Test data" / "Images"
    assert main.main(["predict", str(pictures), "--out", str(tmp_path / "m9"), "--runs", str(runs)]) == 0
    assert only_line(capsys) == (main.correct, {"data": data, "paths": [pictures], "runs": runs, "stated": {}})
    assert main.main(["predict", "--data", str(data), "--runs", str(runs)]) == 0
    assert main.main(["evaluate", "--data", str(data)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f'next: python main.py correct --data "{data}" --runs "{runs}"'


def test_a_model_is_named_where_it_is_not_the_newest_runs(tmp_path):
    for age, name in enumerate(("new", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(b"")
        (tmp_path / name / "settings.json").write_text('{"finished": true, "settings": {"seed": 0}}')
        os.utime(tmp_path / name / "model.keras", (1e9 - age, 1e9 - age))
    (tmp_path / "copied.keras").write_bytes(b"")
    assert how_named(tmp_path / "new" / "model.onnx") == {"runs": None, "model": None}, "gone"
    assert how_named(PAP_SMEAR) == {"runs": None, "model": None}
    assert how_named(tmp_path / "new" / "model.keras") == {"runs": tmp_path, "model": None}
    old, copied = tmp_path / "old" / "model.keras", tmp_path / "copied.keras"
    assert how_named(old) == {"runs": tmp_path, "model": old}
    assert how_named(copied) == {"runs": None, "model": copied}


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("name", ["my data", "a$(touch spoilt)b", 'say "so"', "back`tick`", "plain", "50!"])
def test_a_folder_of_any_name_reaches_the_program_as_it_is(tmp_path, name):
    command = following.with_options("check", data=name).replace("python main.py", "printf '%s|'")
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert shown.split("|")[:-1] == ["check", "--data", name] and not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", [False, True])
def test_a_picture_that_is_named_like_an_option_is_typed_as_a_picture(capsys, option):
    picture = Path("-c.png")
    following.say_correct(1, picture if option else Path("d"), [] if option else [picture])
    command, given = only_line(capsys)
    assert command == main.correct and (given["data"] if option else given["paths"][0]) == picture
