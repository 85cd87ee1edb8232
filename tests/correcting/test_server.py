"""The server of the page, asked as the page asks it, and as others would."""

import os
import signal

import cv2
import numpy as np
import pytest

from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from reading.files import InputError
from tests.correcting.served import NoNetwork, running, serving
from tests.helpers import make_folder

# what a terminal that is closed sends, where it is not told to be ignored, as within `nohup`
HEARD = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
CLOSED = signal.SIGHUP if HEARD else signal.SIGTERM


def open_desk(data, paths=()):
    return Desk(data, find_pictures(data, paths), Masks(data), NoNetwork())


@pytest.fixture
def client(tmp_path):
    make_folder(tmp_path, count=3)
    with serving(open_desk(tmp_path)) as client:
        yield client


def test_the_page_gets_picture_and_cells_and_gives_edits_back(client, tmp_path):
    field = client.field("cell1.png")
    assert (field["height"], field["width"], field["part"], field["state"]) == (48, 48, "train", "untouched")
    status, headers, png = client.ask("GET", f"/api/fields/{field['id']}/picture")
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert status == 200 and headers["Content-Type"] == "image/png"
    assert (shown == cv2.imread(str(tmp_path / "Train data/Images/cell1.png"), cv2.IMREAD_UNCHANGED)).all()
    version, labels = client.labels(field["id"])
    mask = cv2.imread(str(tmp_path / "Train data/Masks/cell1.png"), cv2.IMREAD_UNCHANGED)
    assert (labels == mask // 255).all()
    changed = labels.copy()
    changed[3:9, 40:48] = [[5, 0, 65535, 65535, 7, 7, 7, 7]] * 6
    assert client.edit(field["id"], version, 3, 40, changed[3:9, 40:48]) == (200, {"version": 1, "cells": 3})
    assert client.edit(field["id"], version, 0, 0, labels[:1, :1])[1]["version"] == 1, "of another tab"
    assert client.edit(field["id"], version, 0, 0, labels[:1, :1])[0] == 409
    version, now = client.labels(field["id"])
    assert version == 1 and (now == changed).all()
    assert client.field("cell1.png") | {"problem": None} == field | {"state": "begun", "cells": 3}


def test_a_second_one_on_the_same_folder_is_told(client, tmp_path):
    with pytest.raises(InputError, match="another `correct` works there"), open_desk(tmp_path):
        pass


def test_a_folder_without_pictures_of_its_own_is_answered_with_the_command_that_was_asked(tmp_path):
    folder = make_folder(tmp_path / "mine", count=1) / "Train data"
    with pytest.raises(InputError, match=f'no images to correct .*python main.py correct "{folder}/Images"'):
        find_pictures(tmp_path / "data", [folder])
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no images to correct; .*python main.py correct my_image.png"):
        find_pictures(tmp_path / "data", [tmp_path / "none"])


def test_a_page_that_is_open_still_goes_on_with_the_next_one(tmp_path):
    """Whatever ended the one before, since changes may wait in the page; not where other pictures have its numbers."""
    make_folder(tmp_path, count=2)
    with running("--data", tmp_path) as (process, first):
        version, labels = first.labels(1)
        kept = tmp_path / "Corrected" / ".address.json"
        assert kept.stat().st_mode & 0o077 == 0 or os.name == "nt"
        process.kill()
    with running("--data", tmp_path) as (process, second):
        assert (second.port, second.token) == (first.port, first.token)
        assert first.edit(1, version, 0, 0, labels[:1, :1])[0] == 200, "the page goes on"
        first.connection.close()
        process.send_signal(CLOSED)
        assert process.wait(30) == 143
    with running("--data", tmp_path) as (process, third):
        assert (third.port, third.token) == (first.port, first.token)
        version, labels = third.labels(1)
        assert version == 1 and first.edit(1, version, 0, 0, labels[:1, :1])[0] == 200
        first.connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with running(tmp_path / "Train data/Images/cell1.png", "--data", tmp_path) as (process, fourth):
        assert fourth.token != first.token, "other pictures"
