"""What is done becomes a training field, and ceases to be one when it is taken back; nothing of the user's is lost."""

import json

import numpy as np
import pytest

from correcting import training_fields
from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from preparing.field_table import read_fields
from preparing.prepare import prepare_fields
from preparing.told import read_noted
from reading.images import read_mask, write_png
from tests.correcting.served import NoNetwork, serving
from tests.helpers import listing, make_folder


def open_desk(data, *paths):
    return Desk(data, find_pictures(data, paths), Masks(data), NoNetwork())


def without_copies(folder):
    return {path: content for path, content in listing(folder).items() if "Corrected" not in path.parts}


def set_done(client, name, done=True):
    status, answer = client.json("POST", f"/api/fields/{client.field(name)['id']}/state", {"done": done})
    assert status == 200
    return answer


def change(client, name):
    """Draw a cell of the number 900 and ignore a corner; the labels then."""
    number = client.field(name)["id"]
    version, labels = client.labels(number)
    labels = labels.copy()
    labels[20:24, 20:25], labels[:3, :3] = 900, 65535
    for place in (np.s_[20:24, 20:25], np.s_[:3, :3]):
        status, answer = client.edit(number, version, place[0].start or 0, place[1].start or 0, labels[place])
        assert status == 200
        version = answer["version"]
    return labels


def test_a_field_with_a_mask_is_written_and_taken_back(tmp_path):
    make_folder(tmp_path, count=3)
    before = listing(tmp_path)
    mask = tmp_path / "Train data" / "Masks" / "cell1.png"
    with serving(open_desk(tmp_path)) as client:
        labels = change(client, "cell1.png")
        assert set_done(client, "cell1.png")["state"] == "done"
        assert (read_mask(mask) == labels).all()
        earlier = tmp_path / "Earlier masks" / "cell1.png"
        assert earlier.read_bytes() == before[mask]
        assert set_done(client, "cell1.png", False)["state"] == "begun"
        assert without_copies(tmp_path) == before
        assert set_done(client, "cell1.png")["problem"] is None
        assert (read_mask(mask) == labels).all() and earlier.read_bytes() == before[mask]
    shapes = json.loads((tmp_path / "Corrected" / "cell1.geojson").read_text())["features"]
    classes = [shape["properties"]["classification"]["name"] for shape in shapes]
    assert sorted(classes) == ["Ignore*", "cell", "cell"]


def test_a_new_picture_becomes_a_training_field_with_its_own_bytes(tmp_path):
    data, picture = tmp_path / "data", tmp_path / "elsewhere" / "new one.png"
    rng = np.random.default_rng(1)
    write_png(picture, rng.integers(0, 255, (40, 30, 3), np.uint8))
    with serving(open_desk(data, picture)) as client:
        assert client.field("new one.png")["part"] == "new"
        labels = change(client, "new one.png")
        set_done(client, "new one.png")
        assert client.field("new one.png")["part"] == "train"
    assert (data / "Train data" / "Images" / "new one.png").read_bytes() == picture.read_bytes()
    assert (read_mask(data / "Train data" / "Masks" / "new one.png") == labels).all()
    with serving(open_desk(data)) as client:  # known by its content, without being named
        assert client.field("new one.png")["state"] == "done"
        assert (client.labels(1)[1] == labels).all()
        set_done(client, "new one.png", False)
    assert without_copies(data) == {}


def test_a_picture_to_test_on_stays_one(tmp_path):
    make_folder(tmp_path, count=2)
    write_png(tmp_path / "Test data" / "Images" / "t.png", np.full((40, 30), 200, np.uint8))
    with serving(open_desk(tmp_path)) as client:
        labels = change(client, "t.png")
        set_done(client, "t.png")
        assert client.field("t.png")["part"] == "test"
    assert (read_mask(tmp_path / "Test data" / "Masks" / "t.png") == labels).all()
    assert not (tmp_path / "Train data" / "Images" / "t.png").exists()


def test_nothing_is_learnt_from_a_slide_that_is_tested_on(tmp_path):
    data, new = tmp_path / "data", tmp_path / "slide7_field2.png"
    write_png(data / "Test data" / "Images" / "slide7_field1.png", np.full((40, 30), 200, np.uint8))
    write_png(new, np.full((40, 30), 100, np.uint8))
    with serving(open_desk(data, new)) as client:
        answer = set_done(client, new.name)
        assert answer["state"] == "done" and "tested on, and not learnt from" in answer["problem"]
    assert (data / "Test data" / "Masks" / new.name).exists() and not (data / "Train data").exists()


def test_the_table_of_fields_stays_true(tmp_path):
    data, new = tmp_path / "data", tmp_path / "new.png"
    make_folder(tmp_path / "mine", count=4)
    write_png(new, np.full((40, 30), 100, np.uint8))
    prepare_fields(data, tmp_path / "mine" / "Train data", quiet=True)
    before = listing(data)
    with serving(
        Desk(data, find_pictures(data, [data / "Train data" / "Images", new]), Masks(data), NoNetwork())
    ) as client:
        name = client.json("GET", "/api/fields")[1]["fields"][0]["name"]
        labels = {one: change(client, one) for one in (name, new.name)}
        set_done(client, name)
        set_done(client, new.name)
    assert read_noted(data)["ignore"] == [65535]
    assert {row.file for row in read_fields(data)} == {"new.png", *(f"cell{i}.png" for i in range(4))}
    done = prepare_fields(data, tmp_path / "mine" / "Train data", quiet=True)
    for one, wanted in labels.items():  # neither is overwritten
        assert (read_mask(data / "Train data" / "Masks" / one) == wanted).all(), done.table()
    with serving(open_desk(data)) as client:
        set_done(client, name, False)
        set_done(client, new.name, False)
    after = without_copies(data)
    assert {path: after[path] for path in before if path.name != "prepared.json"} == {
        path: content for path, content in before.items() if path.name != "prepared.json"
    }


def test_outlines_are_moved_aside_and_come_back(tmp_path):
    make_folder(tmp_path, count=2)
    mask = tmp_path / "Train data" / "Masks" / "cell0.png"
    mask.unlink()
    square = [[[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]]]
    outlines = mask.with_suffix(".geojson")
    outlines.write_text(json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}}))
    before = listing(tmp_path)
    with serving(open_desk(tmp_path)) as client:
        version, labels = client.labels(1)
        assert labels.max() == 1 and labels[10:30, 10:30].all() and labels.astype(bool).sum() == 400
        set_done(client, "cell0.png")
        assert not outlines.exists() and (tmp_path / "Earlier masks" / "cell0.geojson").exists()
        set_done(client, "cell0.png", False)
        assert without_copies(tmp_path) == before


def test_another_picture_of_the_same_name_is_not_mixed_up(tmp_path):
    make_folder(tmp_path / "data", count=2)
    other = tmp_path / "other" / "cell0.png"
    write_png(other, np.full((40, 30), 200, np.uint8))
    with serving(open_desk(tmp_path / "data")) as client:
        change(client, "cell0.png")
    before = without_copies(tmp_path)
    with serving(open_desk(tmp_path / "data", other)) as client:
        assert client.field("cell0.png")["state"] == "untouched"
        change(client, "cell0.png")
        answer = set_done(client, "cell0.png")
        assert answer["state"] == "begun" and "another picture of this name" in answer["problem"]
    assert without_copies(tmp_path) == before
    assert {path.name for path in (tmp_path / "data" / "Corrected").glob("*.jsonl")} == {"cell0.jsonl", "cell0_2.jsonl"}


def test_names_that_pair_by_a_convention_keep_it(tmp_path):
    make_folder(tmp_path, count=3)
    for path in (tmp_path / "Train data" / "Masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    with serving(open_desk(tmp_path)) as client:
        labels = change(client, "cell2.png")
        assert set_done(client, "cell2.png")["problem"] is None
    assert (read_mask(tmp_path / "Train data" / "Masks" / "cell2_mask.png") == labels).all()


def test_a_later_edit_of_a_done_field_reaches_its_mask(tmp_path):
    make_folder(tmp_path, count=3)
    mask = tmp_path / "Train data" / "Masks" / "cell0.png"
    with serving(open_desk(tmp_path)) as client:
        set_done(client, "cell0.png")
        labels = change(client, "cell0.png")
    assert (read_mask(mask) == labels).all()
    earlier = list((tmp_path / "Earlier masks").iterdir())
    assert len(earlier) == 1 and read_mask(earlier[0]).max() == 255


def test_while_a_training_reads_the_fields_none_changes(tmp_path):
    make_folder(tmp_path, count=3)
    before = listing(tmp_path)
    desk = open_desk(tmp_path)
    with serving(desk) as client:
        desk.hold(True)
        labels = change(client, "cell0.png")
        assert set_done(client, "cell0.png")["state"] == "done"
        assert without_copies(tmp_path) == before
        desk.hold(False)
        assert (read_mask(tmp_path / "Train data" / "Masks" / "cell0.png") == labels).all()


def test_a_mask_that_another_program_has_changed_is_taken_over(tmp_path, capsys):
    make_folder(tmp_path, count=3)
    mask = tmp_path / "Train data" / "Masks" / "cell0.png"
    with serving(open_desk(tmp_path)) as client:
        change(client, "cell0.png")
        set_done(client, "cell0.png")
    new = np.zeros((48, 48), np.uint8)
    new[5:9, 5:9] = 255
    write_png(mask, new)
    with serving(open_desk(tmp_path)) as client:
        assert client.field("cell0.png")["state"] == "untouched"
        assert (client.labels(1)[1] == new // 255).all()
    assert "cell0.png: changed by another program since" in capsys.readouterr().out


@pytest.mark.parametrize("moment", range(6))
def test_an_end_in_the_middle_is_finished_at_the_next_start(tmp_path, monkeypatch, moment):
    """Whatever step of the writing is the last one: the note, the move, the picture, the mask."""
    data, picture = tmp_path / "data", tmp_path / "new.png"
    make_folder(data, count=2)
    write_png(picture, np.full((40, 30), 200, np.uint8))
    names = {"new.png": picture, "cell0.png": data / "Train data" / "Images" / "cell0.png"}
    before = listing(data)
    wanted = {}
    for name, path in names.items():
        with monkeypatch.context() as patch, serving(open_desk(data, path)) as client:
            wanted[name] = change(client, name)
            die_after(patch, moment)
            client.json("POST", f"/api/fields/{client.field(name)['id']}/state", {"done": True})
    with serving(open_desk(data)) as client:
        for name in names if moment else ["cell0.png"]:  # before the picture was copied, nothing of it is listed
            assert client.field(name)["state"] == "done"
    for name, labels in wanted.items():
        assert (read_mask(data / "Train data" / "Masks" / name) == labels).all()
    with serving(open_desk(data)) as client:
        for name in names:
            set_done(client, name, False)
    assert without_copies(data) == before


def die_after(patch, count):
    """Steps of `training_fields` fail from the one after `count` on, as if the program had ended."""
    left = [count]

    def step(function):
        def run(*given, **named):
            if left[0] <= 0:
                raise OSError(5, "ended")
            left[0] -= 1
            return function(*given, **named)

        return run

    for name in ("_move", "replacing", "settle"):
        patch.setattr(training_fields, name, step(getattr(training_fields, name)))
