"""What is done becomes a training field, and ceases to be one when it is taken back; nothing of the user's is lost."""

import json
import os
import shutil
import threading
import time

import cv2
import numpy as np
import pytest

from checking.doctor import refuse_unfit
from correcting import desk, training_fields
from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from pairing.examples import SEAM, Examples
from pairing.masks import IGNORED
from pairing.objects import true_objects
from pairing.survey import read_folder
from preparing.field_table import read_fields
from preparing.prepare import prepare_fields
from preparing.sources import fill
from preparing.told import Told, ignored, read_noted
from reading.files import InputError, write_json
from reading.folder_lock import in_turn
from reading.images import read_mask, write_png
from tests.correcting.served import NoNetwork, running, serving
from tests.helpers import listing, make_folder


def open_desk(data, *paths):
    return Desk(data, find_pictures(data, paths), Masks(data), NoNetwork())


def without_copies(folder):
    return {path: content for path, content in listing(folder).items() if "Corrected" not in path.parts}


def set_done(client, name, done=True):
    """Ask for it, and wait until it is written; the field then."""
    status, answer = client.json("POST", f"/api/fields/{client.field(name)['id']}/state", {"done": done})
    assert status == 200
    while (field := client.field(name))["writing"]:
        time.sleep(0.01)
    return field


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


def test_a_new_picture_of_a_patient_that_is_tested_on_by_group_by_is_never_learnt_from(tmp_path):
    source = make_folder(tmp_path / "source", count=4) / "Train data"
    for path in source.rglob("cell*.png"):
        path.rename(path.with_name(f"p{int(path.stem[4:]) // 2}-{path.stem}.png"))
    data = tmp_path / "data"
    done = prepare_fields(data, source, quiet=True, group_by="^p[0-9]+")
    (tested,) = {row.group for row in done.rows if row.part == "test"}
    new = tmp_path / f"{tested}-new.png"
    write_png(new, np.full((40, 30), 200, np.uint8))
    with serving(open_desk(data, new)) as client:
        change(client, new.name)
        assert f"the other pictures of {tested}" in set_done(client, new.name)["problem"]
    assert {row.file: (row.group, row.part) for row in read_fields(data)}[new.name] == (tested, "test")


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
    opened = open_desk(tmp_path)
    with serving(opened) as client:
        opened.hold(True)
        labels = change(client, "cell0.png")
        assert set_done(client, "cell0.png")["state"] == "done"
        assert without_copies(tmp_path) == before
        opened.hold(False)
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


def slow_disk(patch):
    """Training fields are written once the returned event is set."""
    free = threading.Event()

    def write(*given):
        assert free.wait(30)
        return training_fields.add_field(*given)

    patch.setattr(desk, "add_field", write)
    return free


def test_done_is_answered_before_it_is_written_and_can_be_taken_back_meanwhile(tmp_path, monkeypatch):
    data, new = make_folder(tmp_path / "data", count=2), tmp_path / "new.png"
    write_png(new, np.full((40, 30), 200, np.uint8))
    before, free = listing(data), slow_disk(monkeypatch)
    with serving(open_desk(data, data / "Train data" / "Images", new)) as client:

        def tell(number, done):
            status, answer = client.json("POST", f"/api/fields/{number}/state", {"done": done})
            assert status == 200
            return answer["state"], answer["writing"]

        labels = {number: client.labels(number)[1] for number in (1, 2, 3)}
        assert [tell(number, True) for number in (1, 2, 3)] == [("done", True)] * 3
        assert without_copies(data) == before, "answered before"
        assert tell(2, False) == ("begun", True)
        free.set()
        while any(field["writing"] for field in client.json("GET", "/api/fields")[1]["fields"]):
            time.sleep(0.01)
        masks = data / "Train data" / "Masks"
        assert (read_mask(masks / "cell0.png") == labels[1]).all()
        assert (masks / "cell1.png").read_bytes() == before[masks / "cell1.png"]
        assert (read_mask(masks / "new.png") == labels[3]).all()


@pytest.mark.skipif(os.name == "nt", reason="a lock of another process is waited for in another way there")
def test_what_was_answered_as_done_outlives_a_kill_before_it_was_written(tmp_path):
    data, new = make_folder(tmp_path / "data", count=2), tmp_path / "new.png"
    write_png(new, np.full((40, 30), 200, np.uint8))
    masks, names, labels = data / "Train data" / "Masks", ("cell1.png", "new.png"), {}
    told = data / "Train data" / "Images", new, "--data", data
    with running(*told) as (process, client), in_turn(data):  # another program works there: nothing can be written
        before = without_copies(data)
        for name in names:
            labels[name] = change(client, name)
            answer = client.json("POST", f"/api/fields/{client.field(name)['id']}/state", {"done": True})[1]
            assert answer["state"] == "done" and answer["writing"]
        process.kill()
        process.wait()
        assert without_copies(data) == before
    with serving(open_desk(data)):
        for name in names:
            assert (read_mask(masks / name) == labels[name]).all()
    with serving(open_desk(data)) as client:
        for name in names:
            field = client.field(name)
            assert (
                field["state"] == "done"
                and not field["writing"]
                and (client.labels(field["id"])[1] == labels[name]).all()
            )
    assert (data / "Train data" / "Images" / "new.png").read_bytes() == new.read_bytes()


def of_others(kind):
    """Masks of other programs, {name: pixels}, and what is foreground in them by --foreground."""
    rng = np.random.default_rng(2)
    discs = np.zeros((5, 60, 60), np.uint8)
    for mask in discs:
        for number in range(1, 13):
            row, column = rng.integers(6, 54, 2)
            cv2.circle(mask, (int(column), int(row)), 4, number, -1)
    drawn = discs > 0
    masks = {
        "0 and 255": drawn * np.uint8(255),
        "class ids": np.where(drawn, np.uint8(2), (np.arange(60) < 20).astype(np.uint8)),
        "black cells on white": np.where(drawn, np.uint8(0), np.uint8(255)),
        "many labels": discs.astype(np.uint16) + drawn * np.arange(0, 60, 12, dtype=np.uint16)[:, None, None],
        "colours": np.where(drawn[..., None], np.uint8([255, 0, 0]), np.uint8([0, 0, 255])),
    }[kind]
    return masks, (2,) if kind == "class ids" else None


@pytest.mark.parametrize("kind", ["0 and 255", "class ids", "black cells on white", "many labels", "colours"])
def test_masks_of_both_kinds_mean_what_they_meant(tmp_path, kind):
    """A corrected mask changes nothing in what others mean, and is itself read right whatever they are."""
    masks, foreground = of_others(kind)
    folder = tmp_path / "Train data"
    for number, mask in enumerate(masks):
        write_png(folder / "Images" / f"a{number}.png", np.full((60, 60), 100 + number, np.uint8))
        write_png(folder / "Masks" / f"a{number}.png", mask)
    write_json(tmp_path / "prepared.json", Told(foreground=foreground).recorded() | {"meaning": ""})
    before = read_folder(folder, tmp_path, quiet=True)
    coding = before.survey.coding(1, foreground)
    expected = [coding.class_ids(before.contents.mask(pair, (60, 60))) for pair in before.pairing.pairs]
    with serving(open_desk(tmp_path)) as client:
        labels = change(client, "a1.png")
        assert ((labels > 0) & (labels < 900)).sum() > 0.5 * expected[1].sum()
        assert set_done(client, "a1.png")["problem"] is None
    after = read_folder(folder, tmp_path, quiet=True, ignore=ignored(tmp_path))
    now = after.survey.coding(1, foreground)
    known = labels != 65535
    for number, pair in enumerate(after.pairing.pairs):
        ids = now.class_ids(after.contents.mask(pair, (60, 60)))
        if number == 1:
            assert (ids[known] == (labels > 0)[known]).all() and (ids[~known] == IGNORED).all()
            assert (true_objects(pair, ids, now, after.survey.drawn())[0] == np.where(known, labels, 0)).all()
        else:
            assert (ids == expected[number]).all()


def test_few_cells_alone_in_a_folder_keep_their_numbers(tmp_path):
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8))
    data = tmp_path / "data"
    with serving(open_desk(data, tmp_path / "a.png")) as client:
        labels = np.zeros((40, 30), np.uint16)
        labels[10:20, 5:10], labels[10:20, 10:15] = 1, 2  # two that touch
        assert client.edit(1, client.labels(1)[0], 0, 0, labels)[0] == 200
        set_done(client, "a.png")
    with pytest.raises(InputError, match="fields that are ready.*python main.py train --data"):
        fill(data)
    found = read_folder(data / "Train data", data, quiet=True)
    examples = Examples(found.pairing.pairs, found.survey.coding(), 1, 32, False, found.survey.drawn(), found.contents)
    assert (examples[0].mask[10:20, 9:11] == SEAM).all()


def test_two_pictures_of_one_content_have_a_working_copy_each(tmp_path):
    """Neither loses its cells, new ones as well as fields; one that is moved finds its own again."""
    data, new = tmp_path / "data", tmp_path / "new"
    make_folder(data, count=2)
    for name in ("cell1.png", "x.png"):
        (data / "Train data" / "Images" / name).write_bytes((data / "Train data/Images/cell0.png").read_bytes())
    for name in ("a.png", "b.png"):
        write_png(new / name, np.full((40, 30), 200, np.uint8))
    for paths, names in (((new,), ("a.png", "b.png")), ((), ("cell0.png", "cell1.png", "x.png"))):
        with serving(open_desk(data, *paths)) as client:
            for number, name in enumerate(names, 1):
                version, labels = client.labels(client.field(name)["id"])
                mark = np.full((4, 4), 500 + number, np.uint16)
                assert client.edit(client.field(name)["id"], version, 20, 20, mark)[0] == 200
            set_done(client, names[0])
        with serving(open_desk(data, *paths)) as client:
            for number, name in enumerate(names, 1):
                assert client.field(name)["state"] == ("done" if number == 1 else "begun")
                assert client.labels(client.field(name)["id"])[1][21, 21] == 500 + number
    (new / "b.png").rename(tmp_path / "moved.png")
    (data / "Train data" / "Images" / "a.png").unlink()  # of the same content
    (data / "Train data" / "Masks" / "a.png").unlink()
    with serving(open_desk(data, tmp_path / "moved.png")) as client:
        assert client.labels(1)[1][21, 21] == 502


def test_a_field_without_cells_is_empty_and_no_training_learns_from_it_alone(tmp_path):
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8))
    data = tmp_path / "data"
    with serving(open_desk(data, tmp_path / "a.png")) as client:
        assert client.edit(1, client.labels(1)[0], 0, 0, np.zeros((40, 30), np.uint16))[0] == 200
        assert set_done(client, "a.png")["problem"] is None
    [mask] = (data / "Train data" / "Masks").iterdir()
    found = read_folder(data / "Train data", data, quiet=True)
    assert not found.survey.coding().class_ids(found.contents.mask(found.pairing.pairs[0], (40, 30))).any()
    with pytest.raises(InputError, match="All masks are empty: there is nothing to learn"):
        refuse_unfit(data)
    assert not read_mask(mask).any()


def test_a_source_that_brings_another_mask_of_a_corrected_picture_leaves_the_corrected_one(tmp_path, capsys):
    data, later = tmp_path / "data", tmp_path / "later"
    make_folder(tmp_path / "first", count=4)
    make_folder(later, count=6)
    for kind in ("Images", "Masks"):
        for number in range(4):
            (later / "Train data" / kind / f"cell{number}.png").unlink()
    prepare_fields(data, tmp_path / "first" / "Train data", quiet=True)
    with serving(open_desk(data, later / "Train data" / "Images")) as client:
        labels = change(client, "cell4.png")
        set_done(client, "cell4.png")
    for _ in range(2):
        done = prepare_fields(data, later / "Train data", quiet=True)
        assert (read_mask(data / "Train data" / "Masks" / "cell4.png") == labels).all()
        assert any("cell4" in line and "kept" in line for line in done.changes), done.changes
    assert {row.file for row in read_fields(data)} == {f"cell{number}.png" for number in range(6)}


def test_a_corrected_picture_that_prepare_renames_stays_done_and_can_be_taken_back(tmp_path, capsys):
    source, data = make_folder(tmp_path / "source", count=4) / "Train data", tmp_path / "data"
    prepare_fields(data, source, quiet=True, test_share=0)
    with serving(open_desk(data)) as client:
        labels = change(client, "cell0.png")
        set_done(client, "cell0.png")
    for kind in ("Images", "Masks"):
        (source / kind / "cell0.png").rename(source / kind / "new.png")
    prepare_fields(data, source, quiet=True)
    masks = data / "Train data" / "Masks"
    before = sorted(masks.iterdir())
    with serving(open_desk(data)) as client:
        field = client.field("new.png")
        assert field["state"] == "done" and (client.labels(field["id"])[1] == labels).all()
        assert (read_mask(masks / "new.png") == labels).all()
        set_done(client, "new.png", False)
        assert (masks / "new.png").read_bytes() == (source / "Masks" / "new.png").read_bytes()
        set_done(client, "new.png")
    assert "taken away since" not in capsys.readouterr().out and sorted(masks.iterdir()) == before
    with serving(open_desk(data)) as client:
        assert client.field("new.png")["state"] == "done"


def test_corrections_follow_names_that_are_exchanged_by_hand(tmp_path):
    """Written already, or to be written at the next start."""
    make_folder(tmp_path, count=3)
    before = listing(tmp_path)
    with serving(open_desk(tmp_path)) as client:
        first = change(client, "cell0.png")
        set_done(client, "cell0.png")
        set_done(client, "cell1.png")
    with serving(opened := open_desk(tmp_path)) as client:
        opened.hold(True)
        first = np.where(first == 900, 901, first).astype(np.uint16)
        assert client.edit(1, client.labels(1)[0], 0, 0, first)[0] == 200
    images, masks = (tmp_path / "Train data" / kind for kind in ("Images", "Masks"))
    for old, new in (("cell0", "kept"), ("cell1", "cell0"), ("kept", "cell1")):
        for folder in (images, masks):
            (folder / f"{old}.png").rename(folder / f"{new}.png")
    with serving(open_desk(tmp_path)) as client:
        assert [client.field(name)["state"] for name in ("cell0.png", "cell1.png")] == ["done", "done"]
        assert (read_mask(masks / "cell1.png") == first).all()
        for name, was in (("cell0.png", "cell1.png"), ("cell1.png", "cell0.png")):
            set_done(client, name, False)
            assert (masks / name).read_bytes() == before[masks / was]
    assert set(without_copies(tmp_path)) == set(before)


def test_of_two_pictures_of_one_content_each_correction_stays_with_its_own(tmp_path):
    make_folder(tmp_path, count=1)
    folders = [tmp_path / "Train data" / kind for kind in ("Images", "Masks")]
    for folder in folders:
        shutil.copy(folder / "cell0.png", folder / "twin.png")
    with serving(open_desk(tmp_path)) as client:
        for name in ("cell0.png", "twin.png"):
            set_done(client, name)
    for folder in folders:
        (folder / "cell0.png").rename(folder / "zebra.png")
    with serving(open_desk(tmp_path)) as client:
        assert {client.field(name)["state"] for name in ("twin.png", "zebra.png")} == {"done"}
        set_done(client, "zebra.png", False)
        assert client.field("twin.png")["state"] == "done"
