"""Labels and their journal: every edit is kept, whatever ends the program and whenever."""

import gzip
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from correcting import working_copy
from correcting.transfer import GzippedLabels, read_edit, runs_of
from correcting.working_copy import WorkingCopy, read_working_copy
from reading.files import InputError
from reading.images import read_mask, write_png
from tests.correcting.served import running
from tests.helpers import make_folder

HEAD = {"picture": "x", "bytes": 1, "name": "a.png", "version": 0, "done": False}


def new_copy(stem, height=30, width=40):
    return WorkingCopy(stem, np.zeros((height, width), np.uint16), HEAD | {"height": height, "width": width})


def random_edit(rng, shape):
    """New labels of a rectangle: a cell, an eraser's stroke, something ignored; (row, column, labels)."""
    row, column = rng.integers(0, shape[0] - 8), rng.integers(0, shape[1] - 8)
    height, width = rng.integers(1, 9, 2)
    value = rng.choice([0, 65535, rng.integers(1, 500)])
    labels = np.where(rng.random((height, width)) < 0.7, value, rng.integers(0, 3)).astype(np.uint16)
    return int(row), int(column), labels


def as_told(row, column, labels):
    return {"row": row, "column": column, "height": len(labels), "width": labels.shape[1], "runs": runs_of(labels)}


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, 65535])))
def test_runs_give_the_labels_that_they_were_made_of(labels):
    told = as_told(3, 1, labels)
    assert (read_edit(told, (20, 20)).labels == labels).all()


def test_the_gzipped_labels_are_the_labels_after_every_edit():
    rng, stream = np.random.default_rng(0), GzippedLabels()
    labels = np.zeros((700, 30), np.uint16)
    for row in (0, 255, 256, 511, 690):
        assert gzip.decompress(stream.stream(labels)) == labels.tobytes()
        labels[row : row + 10] = rng.integers(0, 65536, labels[row : row + 10].shape)
        stream.forget(row, 10)
    assert gzip.decompress(stream.stream(labels)) == labels.tobytes()


def test_a_journal_cut_at_any_byte_loses_its_last_edit_at_most(tmp_path):
    rng, copy = np.random.default_rng(3), new_copy(tmp_path / "a")
    states = [copy.labels.copy()]
    for _ in range(4):
        copy.edit(as_told(*random_edit(rng, copy.labels.shape)))
        states.append(copy.labels.copy())
    content = copy.journal.read_bytes()
    starts = [0, *(place + 1 for place, byte in enumerate(content) if byte == 10)]
    for length in range(starts[1], len(content) + 1):
        copy.journal.write_bytes(content[:length])
        found = read_working_copy(tmp_path / "a")
        edits = sum(start <= length for start in starts) - 2
        assert found.version == edits and (found.labels == states[edits]).all()
        assert found.head["cells"] == len(set(np.unique(found.labels)) - {0, 65535})
        found.edit(as_told(0, 0, np.full((2, 2), 7, np.uint16)))  # goes on after the torn line
        again = read_working_copy(tmp_path / "a")
        assert again.version == edits + 1 and (again.labels == found.labels).all()


def test_a_journal_played_again_on_newer_labels_changes_nothing(tmp_path):
    """As where the program ends between the two steps of compacting."""
    rng, copy = np.random.default_rng(4), new_copy(tmp_path / "a")
    for _ in range(30):
        copy.edit(as_told(*random_edit(rng, copy.labels.shape)))
    shutil.copy(copy.journal, tmp_path / "journal")
    copy.compact()
    assert copy.journal.read_bytes().count(b"\n") == 1
    compacted = read_working_copy(tmp_path / "a")
    assert compacted.version == 30 and (compacted.labels == copy.labels).all()
    shutil.copy(tmp_path / "journal", copy.journal)
    again = read_working_copy(tmp_path / "a")
    assert again.version == 30 and (again.labels == copy.labels).all()


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    copy = new_copy(tmp_path / "a")
    copy.edit(as_told(0, 0, np.full((2, 2), 7, np.uint16)))
    before = copy.journal.read_bytes()

    def fill(file, content):
        file.write(content[:9])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(working_copy, "_write_all", fill)
        copy.edit(as_told(0, 0, np.full((2, 2), 8, np.uint16)))
    assert copy.journal.read_bytes() == before and copy.version == 1 and copy.labels.max() == 7
    copy.edit(as_told(0, 0, np.full((2, 2), 9, np.uint16)))
    assert read_working_copy(tmp_path / "a").labels.max() == 9


def test_damage_is_one_line(tmp_path):
    copy = new_copy(tmp_path / "a")
    copy.edit(as_told(0, 0, np.full((2, 2), 7, np.uint16)))
    content = copy.journal.read_bytes()
    copy.journal.write_bytes(b"{}\n" + content)
    with pytest.raises(InputError, match="a.jsonl: damaged"):
        read_working_copy(tmp_path / "a")
    copy.journal.write_bytes(content)
    write_png(copy.image, np.zeros((3, 3), np.uint16))
    with pytest.raises(InputError, match="3×3 pixels; expected 30×40"):
        read_working_copy(tmp_path / "a")


@pytest.mark.slow
def test_fifty_corrections_on_three_fields_outlive_every_kill(tmp_path):
    """The server is killed between any two edits, and asked again: what it has answered is there."""
    make_folder(tmp_path, count=3)
    names = [f"cell{number}.png" for number in range(3)]
    rng, wanted, versions, left = np.random.default_rng(5), {}, {}, 50
    for lot in (1, 2, 17, 30):
        with running("--data", tmp_path) as (process, client):
            numbers = {name: client.field(name)["id"] for name in names}
            for name in names:
                version, labels = client.labels(numbers[name])
                assert version == versions.get(name, 0) and (labels == wanted.get(name, labels)).all()
                wanted[name], versions[name] = labels.copy(), version
            for _ in range(lot):
                name = names[left % 3]
                row, column, labels = random_edit(rng, wanted[name].shape)
                status, answer = client.edit(numbers[name], versions[name], row, column, labels)
                assert (status, answer["version"]) == (200, versions[name] + 1)
                wanted[name][row : row + len(labels), column : column + labels.shape[1]] = labels
                versions[name], left = versions[name] + 1, left - 1
                saved = read_working_copy(tmp_path / "Corrected" / name.removesuffix(".png"))
                assert saved.version == versions[name] and (saved.labels == wanted[name]).all()
            process.kill()
    assert left == 0
    with running("--data", tmp_path) as (process, client):
        for name in names:
            assert client.json("POST", f"/api/fields/{client.field(name)['id']}/state", {"done": True})[0] == 200
        process.terminate()
        process.wait(30)
    for name in names:
        assert (read_mask(tmp_path / "Train data" / "Masks" / name) == wanted[name]).all()
