"""Run folders and run cards: one process each, found again after a stop, and one line for what cannot be."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import main
from reading.files import InputError, sha256
from reading.images import write_png
from tests.helpers import listing
from training import run_card, run_folder

ROOT = Path(__file__).resolve().parents[2]


def make_run(folder, name, finished=False, age=0, **settings):
    run_dir = folder / "runs" / name
    run_dir.mkdir(parents=True)
    card = {"finished": finished, "data": str(folder / "data"), "settings": {"seed": 0, "classes": 1, **settings}}
    (run_dir / run_card.CARD).write_text(json.dumps(card))
    os.utime(run_dir / run_card.CARD, (1e9 - age, 1e9 - age))
    return run_dir


def test_one_process_a_run_folder(tmp_path):
    with run_folder.alone(tmp_path / "run"):
        assert run_folder.is_busy(tmp_path / "run")
        with pytest.raises(InputError, match="another process"), run_folder.alone(tmp_path / "run"):
            pass
    assert not (tmp_path / "run").exists()  # it came to nothing


@pytest.mark.parametrize("saved", [True, False])
def test_to_ask_whether_a_run_is_busy_changes_nothing(tmp_path, saved):
    folder = tmp_path / "run" / run_folder.FOLDER
    folder.mkdir(parents=True)
    for name in (run_folder.LOCK, ".epoch_000002.77.npz", *(["epoch_000001.npz"] if saved else [])):
        (folder / name).write_text(name)
    before = listing(tmp_path)
    assert not run_folder.is_busy(tmp_path / "run") and not run_folder.is_busy(tmp_path / "none")
    assert listing(tmp_path) == before


def test_to_ask_does_not_get_in_the_way_of_a_run(tmp_path):
    run, ends = tmp_path / "run", threading.Event()

    def ask():
        while not ends.wait(0.001):
            run_folder.is_busy(run)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for number in range(10):
            with run_folder.alone(run):
                (run / run_folder.FOLDER / f".epoch_{number}.npz").write_text("being written")
                time.sleep(0.005)
                assert run_folder.is_busy(run)
                os.replace(run / run_folder.FOLDER / f".epoch_{number}.npz", run / run_folder.FOLDER / "epoch_1.npz")
    finally:
        ends.set()
        for thread in asking:
            thread.join()
    assert len(run_folder.checkpoints(run)) == 1


def test_no_two_runs_get_one_name(tmp_path):
    names = [run_folder.new_run(tmp_path).name for _ in range(5)]
    assert len(set(names)) == 5


def test_the_newest_unfinished_run_that_nobody_works_on_is_taken(tmp_path):
    make_run(tmp_path, "old", age=9)
    newer = make_run(tmp_path, "newer", age=5)
    busy = make_run(tmp_path, "busy", age=3)
    make_run(tmp_path, "finished", finished=True, age=1)
    with run_folder.alone(busy):
        assert run_folder.find_unfinished(tmp_path / "runs")[0] == newer
    assert run_folder.find_unfinished(tmp_path / "runs")[0] == busy


FAULTS = {
    "a finished run": (["--resume", "--run", "done"], "run done is finished"),
    "a finished run again": (["--run", "done"], "python main.py train --run NEW_NAME --init"),
    "weights that are not there": (["--init", "nowhere.keras"], "no model file nowhere.keras"),
    "weights of a folder without": (["--init", str(Path(__file__).parent)], "a folder that holds no model file"),
    "no such run": (["--resume", "--run", "nowhere"], "no such run"),
    "another number": (["--resume", "--run", "half", "--batch", "8"], "--batch 8 received, but run half has batch 4"),
    "other classes": (["--resume", "--classes", "3"], "--classes 3 received, but run half has classes 1"),
    "resume and minutes": (["--resume", "--minutes", "3"], "not allowed with"),
    "no minutes": (["--minutes", "0"], "expected minutes"),
    "minutes and steps": (["--minutes", "1", "--steps", "9"], "--steps"),
    "runs where nothing can be written": (["--runs", str(Path(__file__) / "runs")], "another place for the runs"),
    "a run elsewhere": (["--resume", "--runs", "elsewhere", "--run", "half"], "no such run"),
    "no card": (["--from-card", "nowhere.json"], "nowhere.json: no such file"),
    "not a card": (["--from-card", __file__], "not a run card"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", [[], ["train"]], ids=["chain", "train"])
def test_wrong_options_are_one_line_and_status_2(tmp_path, monkeypatch, capsys, fault, command):
    make_run(tmp_path, "done", finished=True)
    make_run(tmp_path, "half", batch=4)
    monkeypatch.setattr(main, "ROOT", tmp_path)
    arguments, named = FAULTS[fault]
    before = listing(tmp_path)
    try:
        status = main.main([*command, *arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line
    assert {path: content for path, content in listing(tmp_path).items() if path in before} == before


def test_runs_elsewhere_are_found_and_named(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "other disk"
    run_dir = make_run(folder, "half", batch=4)
    monkeypatch.setattr(main, "ROOT", tmp_path)
    assert main.main(["train", "--runs", str(folder / "runs"), "--resume", "--batch", "8"]) == 2
    assert "run half has batch 4" in capsys.readouterr().err
    assert run_folder.how_to_go_on(run_dir, "python main.py").endswith(f'--run half --runs "{folder / "runs"}"')
    assert run_folder.by_name(ROOT / "runs" / "half") == "--run half"


def test_what_differs_from_a_card_is_said_line_by_line():
    card = {"versions": {"keras": "3.0"}, "files": {"images": {"a.png": "1", "b.png": "2"}, "masks": {}}}
    now = {"versions": {"keras": "3.15"}, "files": {"images": {"a.png": "9", "c.png": "3"}, "masks": {}}}
    assert run_card.differences(card, now, ["versions", "files"]) == [
        "keras: 3.0 then, 3.15 here", "images changed: a.png", "images missing: b.png", "images new: c.png"
    ]  # fmt: skip
    assert not run_card.differences(now, now, ["versions", "files"])


def with_model(run_dir, age, **card):
    (run_dir / "model.keras").touch()
    os.utime(run_dir / "model.keras", (time.time() - age,) * 2)
    stored = json.loads((run_dir / "settings.json").read_text())
    (run_dir / "settings.json").write_text(json.dumps(stored | card))
    return run_dir / "model.keras"


def test_the_newest_finished_run_predicts_and_says_what_it_was_trained_on(tmp_path, capsys):
    with_model(make_run(tmp_path, "older", finished=True, age=9), 9)
    model = with_model(make_run(tmp_path, "done", finished=True, age=5), 5, training=["a"], data="/smears")
    with_model(make_run(tmp_path, "goes on", age=1), 1)
    assert run_folder.newest_model(tmp_path / "runs") == model
    said = capsys.readouterr().out
    assert "run done, trained on 1 image of /smears" in said and "not finished: goes on" in said


def test_without_a_finished_run_the_newest_is_taken_and_called_unfinished(tmp_path, capsys):
    with_model(make_run(tmp_path, "first", age=9), 9)
    model = with_model(make_run(tmp_path, "second", age=5), 5, training=["a", "b"], data="/smears")
    assert run_folder.newest_model(tmp_path / "runs") == model
    assert "2 images of /smears as far as it came: no run is finished" in capsys.readouterr().out


def test_init_newest_is_the_newest_finished_run_and_is_noted_as_the_file_it_was(tmp_path, capsys):
    runs = tmp_path / "runs"
    with_model(make_run(tmp_path, "older", finished=True, age=9), 9)
    model = with_model(make_run(tmp_path, "done", finished=True, age=5), 5, training=["a"], data="/smears")
    with_model(make_run(tmp_path, "goes on", age=1), 1)
    run = main.begin(tmp_path, runs, None, False, None, None, {"init": "newest"})
    assert run.settings.init == str(model)
    said = capsys.readouterr().out
    assert "starting from run done, trained on 1 image of /smears" in said and "not finished: goes on" in said


def test_init_newest_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished run; expected one for --init newest.*leave --init out"):
        run_folder.newest_finished(tmp_path / "runs")
    with_model(make_run(tmp_path, "stopped"), 1)
    with pytest.raises(InputError, match="--init newest.*train --resume --run stopped --runs"):
        run_folder.newest_finished(tmp_path / "runs")


def test_test_pictures_that_the_starting_weights_have_learnt_are_said(tmp_path):
    """The second run started from the first, which was trained on a picture that is tested on now."""
    tests = tmp_path / "Test data" / "Images"
    for name, value in (("a.png", 1), ("b.png", 2)):
        write_png(tests / name, np.full((4, 4), value, np.uint8))
    cards = {"first": {"x.png": sha256(tests / "b.png")}, "second": {"y.png": "0" * 64}}
    for name, learnt in cards.items():
        card = {"settings": {"seed": 0}, "files": {"images": learnt}, "start_weights": None}
        if name == "second":
            card["start_weights"] = {"path": str(tmp_path / "runs" / "first" / "model.keras"), "sha256": ""}
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "settings.json").write_text(json.dumps(card))
    line = run_folder.learnt_test_pictures(str(tmp_path / "runs" / "second" / "model.keras"), tests)
    assert line.startswith("WARNING 1 of 2 test pictures (b.png)")
    (tests / "b.png").unlink()
    assert not run_folder.learnt_test_pictures(str(tmp_path / "runs" / "second" / "model.keras"), tests)
    assert not run_folder.learnt_test_pictures("auto", tests)
