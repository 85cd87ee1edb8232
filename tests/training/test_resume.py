"""Trainings that are stopped, killed or run out of memory, and end as if nothing had happened."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import keras
import pytest

from reading.files import InputError
from reading.images import read, write_png
from tests.helpers import copy_program, listing, make_folder
from tests.kill_chain import TINY, result
from training import budget, run_card, run_folder, train
from training.run import Run
from training.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class StopAt(keras.callbacks.Callback):
    """Raises `error` after a step of an epoch, both counted from 0; the first time only."""

    def __init__(self, epoch, step, error):
        super().__init__()
        self.place, self.error = (epoch, step), error

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            self.place = None
            raise self.error


class ResourceExhaustedError(Exception):
    """Of TensorFlow's name."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A data folder with a run that was never stopped and one that was stopped in its fourth epoch."""
    folder = make_folder(tmp_path_factory.mktemp("data"), count=4)
    train.train(Run(folder, folder / "whole", Settings(**TINY)), quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train.train(
            Run(folder, folder / "stopped", Settings(**TINY)), quiet=True, callbacks=[StopAt(3, 1, KeyboardInterrupt)]
        )
    return folder


@pytest.fixture
def stopped(whole, tmp_path):
    return shutil.copytree(whole / "stopped", tmp_path / "stopped")


def go_on(data, run_dir):
    settings, unknown = run_card.settings_of(run_card.read_card(run_dir / run_card.CARD))
    assert settings == Settings(**TINY) and not unknown
    return train.train(Run(data, run_dir, settings, resume=True))


def test_a_training_that_was_stopped_ends_as_if_it_never_had_been(whole, stopped, capsys):
    line = run_folder.how_to_go_on(stopped, "python main.py train")
    end = f'--resume --run stopped --runs "{stopped.parent}"'
    assert line == f"stopped; epoch 3 is saved. Go on with: python main.py train {end}"
    card = go_on(whole, stopped)
    assert result(stopped) == result(whole / "whole")
    assert "going on after epoch 3 of 6" in capsys.readouterr().out
    assert len(card["resumes"]) == 1 and card["finished"]
    assert {path.name for path in stopped.iterdir()} == {path.name for path in (whole / "whole").iterdir()}
    with pytest.raises(InputError, match="finished"):
        go_on(whole, stopped)


def test_a_checkpoint_cut_short_costs_one_epoch_and_a_line(whole, stopped, capsys):
    newest = run_folder.checkpoints(stopped)[0]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    (stopped / ".model.1.partial.keras").write_bytes(b"what a killed process leaves")
    go_on(whole, stopped)
    assert result(stopped) == result(whole / "whole")
    said = capsys.readouterr().out
    assert f"checkpoint {newest} is damaged" in said and "going on after epoch 2 of 6" in said
    assert not (stopped / ".model.1.partial.keras").exists()


def test_other_data_or_a_damaged_best_model_are_refused_and_nothing_is_lost(whole, stopped, tmp_path):
    data = shutil.copytree(whole / "Train data", tmp_path / "data" / "Train data").parent
    image = data / "Train data" / "Images" / "cell1.png"
    write_png(image, 255 - read(image)[..., 0])
    before = listing(stopped)
    with pytest.raises(InputError, match=r"images changed: cell1\.png"):
        go_on(data, stopped)
    (stopped / "model.keras").write_bytes(b"PK")
    before[stopped / "model.keras"] = b"PK"
    with pytest.raises(InputError, match=r"model\.keras cannot be read"):
        go_on(whole, stopped)
    assert {path for path in listing(stopped) if path.suffix == ".npz"} == {p for p in before if p.suffix == ".npz"}


def test_where_memory_runs_out_batches_are_halved(whole, tmp_path, capsys):
    settings = Settings(**TINY | {"epochs": 2})
    stop = StopAt(1, 1, ResourceExhaustedError())
    card = train.train(Run(whole, tmp_path / "halved", settings), callbacks=[stop])
    assert "training starts again from the same seed with batches of 1" in capsys.readouterr().out
    assert card["restarts"] == [{"reason": "memory ran out with batches of 2", "batch": 1}]
    assert card["settings"]["batch"] == 1
    with pytest.raises(InputError, match="batches of 1"):
        train.train(
            Run(whole, tmp_path / "failed", Settings(**TINY | {"batch": 1, "epochs": 1})),
            quiet=True,
            callbacks=[StopAt(0, 1, MemoryError())],
        )


def test_a_run_repeated_from_its_card_is_the_same(whole, tmp_path, capsys):
    card = run_card.read_card(whole / "whole" / run_card.CARD)
    settings, _ = run_card.settings_of(card)
    train.train(Run(whole, tmp_path / "again", settings, card=card | {"hardware": card["hardware"] | {"cpu": "Z80"}}))
    assert result(tmp_path / "again") == result(whole / "whole")
    assert re.findall("not as then: (.*)", capsys.readouterr().out) == [
        f"cpu: Z80 then, {card['hardware']['cpu']} here"
    ]


def test_a_card_from_before_there_was_a_choice_of_format(whole):
    card = run_card.read_card(whole / "whole" / run_card.CARD)
    assert card["settings"]["steps"] == TINY["steps"]
    del card["settings"]["precision"]
    settings, lines = run_card.settings_of(card)
    assert settings.precision == "float32" and not lines
    card["settings"]["steps"] = None
    assert run_card.settings_of(card)[1] == ["setting steps: not in the card, chosen by this version of the program"]


def test_minutes_choose_a_training_that_fits(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(budget, "rehearse", lambda *args, **keywords: budget.Speed(1.0, 4.0, 10.0, 6.0))
    monkeypatch.setattr("training.fitting.time.time", lambda: 2e9)
    settings = Settings(**TINY | {"steps": 8})
    card = train.train(Run(whole, tmp_path / "timed", settings, minutes=1, started=2e9 - 19))
    # of 60 s 19 are gone, 10 and 6 go to start and end; an epoch of 8 steps, a fiftieth more for the watchdog's looks,
    # is 12.2 s: two of them fit
    assert (card["settings"]["epochs"], card["settings"]["steps"], card["minutes"]) == (2, 8, 1)
    assert "--minutes 1: 2 epochs of 8 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_timing_changes_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "plan", lambda *args: (2, 5))  # whatever the speed of this machine
    chosen = train.train(Run(whole, tmp_path / "timed", Settings(**TINY), minutes=0.1), quiet=True)
    settings, _ = run_card.settings_of(chosen)
    train.train(Run(whole, tmp_path / "again", settings), quiet=True)
    assert result(tmp_path / "again") == result(tmp_path / "timed")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks, which Windows has not")
def test_kills_lose_nothing(tmp_path):
    """Three kills; `python tests/kill_chain.py FOLDER 20 0` makes twenty, in five minutes."""
    make_folder(tmp_path, count=4)
    arguments = [sys.executable, str(ROOT / "tests" / "kill_chain.py"), str(tmp_path), "3", "0"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 3 and found["same"] and found["runs"] >= 1
    assert len(set(found["killed_at"])) > 1, "the kills did not come at different epochs"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_the_command_that_goes_on(tmp_path, number, status):
    copy_program(tmp_path)
    data = make_folder(tmp_path / "my data", count=4)
    card = tmp_path / "card.json"  # no option of the command line makes a network as small
    card.write_text(json.dumps({"settings": asdict(Settings(**TINY | {"epochs": 1000}))}), encoding="utf-8")
    command = [sys.executable, "main.py", "train", "--data", str(data), "--run", "r", "--from-card", str(card)]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while len(run_folder.checkpoints(tmp_path / "runs" / "r")) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(number)
    _, error = running.communicate(timeout=60)
    assert running.returncode == status
    (line,) = error.strip().splitlines()[-1:]
    assert re.fullmatch(
        r"stopped; epoch \d+ is saved\. Go on with: python main\.py train --resume --run r --data \".*my data\"", line
    )
