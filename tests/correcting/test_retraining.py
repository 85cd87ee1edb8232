"""Training again from the page: its progress, its scores, its end, and what the page shows after it."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from correcting import desk
from correcting.desk import Desk
from correcting.opening import Masks, Network
from correcting.pictures import find_pictures
from correcting.retraining import Trainer
from predicting.magnification import Stated
from predicting.predictor import Predictor
from reading.images import read_mask, write_png
from tests.correcting.served import serving
from tests.helpers import ROOT, make_folder
from weights.start import PAP_SMEAR


class Square:
    """Stands for a `Predictor`: finds a square of so many pixels as the name of its file says."""

    classes, stated = 1, Stated()

    def __init__(self, path):
        self.side = int(path.read_text())
        self.metadata = {"validation": ["cell1"]}

    def scale(self, um_per_px=None):
        return 1.0

    def probability(self, image, intensity_range=None, scale=1.0):
        found = np.zeros((*image.shape[:2], 1), np.float32)
        found[: self.side, : self.side] = 1
        return found

    def mask(self, probability):
        return (probability[..., 0] > 0.5).astype(np.uint8)


STUB = """if True:
    import pathlib, sys, time
    given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    print("a line at the start", given.get("--init"))
    {what}
    folder = pathlib.Path(given["--runs"]) / given["--run"]
    folder.mkdir(parents=True)
    (folder / "model.keras").write_text("10")
    print("epoch 1/1: loss 0.1, Dice 0.900 (1 s)")
"""


def make_data(folder, test=True):
    """Training fields with masks, one picture without, and one to test on: a square of 10 pixels."""
    make_folder(folder, count=3)
    write_png(folder / "Train data" / "Images" / "unmarked.png", np.full((40, 30), 200, np.uint8))
    mask = np.zeros((40, 30), np.uint8)
    mask[:10, :10] = 255
    if test:
        write_png(folder / "Test data" / "Images" / "t.png", np.full((40, 30), 100, np.uint8))
        write_png(folder / "Test data" / "Masks" / "t.png", mask)
    return folder


@contextmanager
def start(data, what="pass", open_model=Square, command=None, follow=False):
    """A served desk and its trainer; `what`: the training in Python. `follow`: one that runs already."""
    (data / "net").mkdir(parents=True, exist_ok=True)
    model = data / "net" / "own.keras"
    model.write_text("5")
    desk = Desk(data, find_pictures(data), Masks(data), Network(model, open_model))
    command = command or [sys.executable, "-c", STUB.format(what=what)]
    trainer = Trainer(desk, data / "runs", open_model, command)
    with serving(desk, trainer) as client:
        if follow:
            trainer.follow_left()
        yield client


def wait(client):
    """The answers of `GET /api/train` until the training has ended."""
    told = [client.json("GET", "/api/train")[1]]
    while told[-1]["state"] == "running":
        time.sleep(0.05)
        told.append(client.json("GET", "/api/train")[1])
    return told


def test_dice_before_and_after_and_the_new_cells(tmp_path):
    with start(make_data(tmp_path), "time.sleep(1)") as client:
        number = client.field("unmarked.png")["id"]
        version, labels = client.labels(number)
        assert (labels[:5, :5] == 1).all() and labels.astype(bool).sum() == 25
        told = client.json("GET", "/api/train")[1]
        assert (told["state"], told["done"], told["before"], told["after"]) == ("idle", 3, None, None)
        assert told["start"].endswith("own.keras")
        status, answer = client.json("POST", "/api/train", {})
        assert (status, answer["state"]) == (202, "running")
        assert client.json("POST", "/api/train", {})[0] == 409
        told = wait(client)
        assert any(one["line"].startswith("a line at the start") and one["line"].endswith("own.keras") for one in told)
        last = told[-1]
        assert (last["state"], last["progress"], last["after"]) == ("finished", 1, 1.0)
        assert last["before"] == pytest.approx(2 * 25 / (25 + 100)) and last["line"].endswith("on 1 test field")
        assert last["earlier"].startswith("--model ") and "own.keras" in last["earlier"]
        assert [one["progress"] for one in told] == sorted(one["progress"] for one in told)
        assert client.edit(number, version, 0, 0, labels[:1, :1])[0] == 409, "those cells are not shown any more"
        version, labels = client.labels(number)
        assert labels.astype(bool).sum() == 100
        assert client.edit(number, version, 0, 0, labels[:1, :1])[0] == 200
        assert client.json("GET", "/api/fields")[1]["model"].endswith("model.keras")


def test_without_test_masks_the_validation_fields_are_measured(tmp_path):
    with start(make_data(tmp_path, test=False)) as client:
        client.json("POST", "/api/train", {})
        last = wait(client)[-1]
        assert last["line"].endswith("on 1 validation field") and last["before"] is not None and last["fields"] == 1


def test_a_failure_is_one_line_and_changes_no_cells(tmp_path):
    with start(make_data(tmp_path), "sys.exit('error: masks are missing; add them')") as client:
        labels = client.labels(client.field("unmarked.png")["id"])
        client.json("POST", "/api/train", {})
        last = wait(client)[-1]
        assert (last["state"], last["line"], last["after"]) == ("failed", "error: masks are missing; add them", None)
        again = client.labels(client.field("unmarked.png")["id"])
        assert again[0] == labels[0] and (again[1] == labels[1]).all()
        assert client.json("POST", "/api/train", {})[0] == 202, "it can be tried again"
        wait(client)


def test_stop_ends_it_and_what_was_done_meanwhile_follows(tmp_path):
    training = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; epoch 1 is saved. Go on with: main.py train"))
    print("ready")
    time.sleep(60)
    """.strip()
    data = make_data(tmp_path)
    mask = data / "Train data" / "Masks" / "unmarked.png"
    with start(data, training) as client:
        client.json("POST", "/api/train", {})
        while client.json("GET", "/api/train")[1]["line"] != "ready":
            time.sleep(0.05)
        number = client.field("unmarked.png")["id"]
        client.labels(number)
        assert client.json("POST", f"/api/fields/{number}/state", {"done": True})[1]["state"] == "done"
        assert not mask.exists(), "the training still reads the fields"
        client.json("POST", "/api/train/stop", {})
        last = wait(client)[-1]
        assert (last["state"], last["line"]) == ("idle", "stopped; epoch 1 is saved. Go on with: main.py train")
        until = time.monotonic() + 10
        while not mask.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert read_mask(mask).astype(bool).sum() == 25


def test_a_training_waits_for_what_is_done_and_not_written_yet(tmp_path, monkeypatch):
    write_png(tmp_path / "Train data" / "Images" / "a.png", np.full((40, 30), 200, np.uint8))
    free, mask = threading.Event(), tmp_path / "Train data" / "Masks" / "a.png"
    write = desk.add_field
    monkeypatch.setattr(desk, "add_field", lambda *given: free.wait(30) and write(*given))
    with start(tmp_path, f"print('mask:', pathlib.Path({str(mask)!r}).exists())") as client:
        assert client.labels(1)[0] == 0
        assert client.json("POST", "/api/fields/1/state", {"done": True})[1]["state"] == "done"
        assert client.json("GET", "/api/train")[1]["writing"] and not mask.exists()
        assert client.json("POST", "/api/train", {})[0] == 202
        time.sleep(0.3)
        assert not (tmp_path / "Corrected" / "training.txt").exists(), "it has not begun"
        free.set()
        assert wait(client)[-1]["state"] == "finished" and not client.json("GET", "/api/train")[1]["writing"]
    assert "mask: True" in (tmp_path / "Corrected" / "training.txt").read_text()


@pytest.mark.skipif(os.name == "nt", reason="a program that is ended there takes its training along")
@pytest.mark.parametrize("stop", [False, True])
def test_the_training_of_a_program_that_was_killed_is_followed(tmp_path, stop):
    """None begins beside it, and no field that it reads changes."""
    data = make_data(tmp_path)
    left = STUB.format(what='time.sleep(60 if (pathlib.Path(given["--data"]) / "long").exists() else 3)')
    if stop:
        (data / "long").touch()
    begin = """if True:
        import os, sys, time
        from tests.correcting.test_retraining import start
        import pathlib
        with start(pathlib.Path(sys.argv[1]), command=[sys.executable, "-c", sys.argv[2]]) as client:
            client.json("POST", "/api/train", {})
            while not client.json("GET", "/api/train")[1]["line"].startswith("a line at the start"):
                time.sleep(0.05)
            os._exit(9)
    """
    subprocess.run([sys.executable, "-c", begin, data, left], cwd=ROOT, check=False, timeout=60)
    with start(data, follow=True) as client:
        assert client.json("GET", "/api/train")[1]["state"] == "running"
        assert client.json("POST", "/api/train", {})[0] == 409
        if stop:
            client.json("POST", "/api/train/stop", {})
        last = wait(client)[-1]
        assert (last["state"], last["after"]) == (("idle", None) if stop else ("finished", 1.0))
        assert last["before"] == pytest.approx(2 * 25 / (25 + 100))
    with start(data, follow=True) as client:
        assert client.json("GET", "/api/train")[1]["state"] == "idle"


def test_without_a_field_there_is_nothing_to_train_on(tmp_path):
    write_png(tmp_path / "Train data" / "Images" / "a.png", np.full((40, 30), 200, np.uint8))
    with start(tmp_path) as client:
        status, answer = client.json("POST", "/api/train", {})
        assert status == 409 and "mark a field as done first" in answer["error"]


@pytest.mark.slow
def test_a_real_training_from_the_page(tmp_path):
    """As short as one can be: the options that make it so take the place of its minutes."""
    short = """if True:
        import runpy, sys
        place = sys.argv.index("--minutes")
        sys.argv[place:place + 2] = "--epochs 1 --steps 4 --batch 2 --filters 2".split()
        sys.argv = ["main.py", *sys.argv[1:]]
        runpy.run_path("main.py", run_name="__main__")
    """
    data = make_folder(tmp_path, count=4)
    desk = Desk(data, find_pictures(data), Masks(data), Network(PAP_SMEAR))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        with serving(desk, Trainer(desk, tmp_path / "runs", Predictor, [sys.executable, "-c", short])) as client:
            number = client.field("cell0.png")["id"]
            client.labels(number)
            client.json("POST", f"/api/fields/{number}/state", {"done": True})
            client.json("POST", "/api/train", {})
            last = wait(client)[-1]
            assert last["state"] == "finished", last["line"]
            assert 0 <= last["after"] <= 1 and "validation field" in last["line"]
            assert client.json("GET", "/api/fields")[1]["model"].startswith(str(tmp_path / "runs" / "corrected_"))
