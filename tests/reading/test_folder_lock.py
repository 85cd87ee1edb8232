"""One process at a time in a folder, and work that is there wholly or not at all."""

import os
import subprocess
import sys

import pytest

from reading.files import InputError
from reading.folder_lock import in_turn, while_whole, written_aside
from tests.helpers import ROOT, listing


@pytest.mark.parametrize("there", [True, False])
def test_one_command_waits_while_another_one_works(tmp_path, there):
    """Also where they have their temporary files elsewhere, as other users and jobs on a cluster have."""
    folder, temporary = tmp_path / "data", tmp_path / "temporary"
    temporary.mkdir()
    if there:
        folder.mkdir()
    code = """if True:
        import pathlib, sys, time
        from reading.folder_lock import in_turn
        folder = pathlib.Path(sys.argv[1])
        with in_turn(folder):
            print("in", flush=True)
            time.sleep(0.5)
            (folder / "done").touch()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert other.stdout.readline() == "in\n"
    with while_whole(folder):
        assert (folder / "done").exists()
    assert other.wait() == 0
    other.stdout.close()
    assert [path.name for path in folder.iterdir()] == ["done"]


def test_a_block_within_a_block_does_not_wait_for_itself(tmp_path):
    with in_turn(tmp_path), in_turn(tmp_path / "x" / ".."):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_folder_made_for_its_lock_alone_is_taken_away(tmp_path):
    with in_turn(tmp_path / "new" / "out"):
        assert (tmp_path / "new" / "out").is_dir()
    assert not (tmp_path / "new").exists()
    with while_whole(tmp_path / "new"):  # who reads makes none
        assert not (tmp_path / "new").exists()


def test_where_no_file_can_be_made_the_turn_is_still_taken(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    with in_turn(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "x" and not capsys.readouterr().out


def test_files_are_moved_when_all_are_there(tmp_path):
    with written_aside(tmp_path / "new", ".aside", order=lambda path: path.name != "b") as aside:
        (aside.path / "sub").mkdir(parents=True)
        (aside.path / "sub" / "a").write_text("1")
        (aside.path / "b").write_text("2")
        assert not (tmp_path / "new" / "b").exists()
    assert aside.moved == 2
    assert {path.relative_to(tmp_path / "new").as_posix() for path in listing(tmp_path / "new")} == {"sub/a", "b"}


def test_a_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), written_aside(tmp_path / "new", ".aside") as aside:
        aside.path.mkdir(parents=True)
        (aside.path / "a").write_text("1")
        1 / 0  # noqa: B018
    assert not (tmp_path / "new").exists()


def test_what_stands_there_is_not_written_over_unless_it_is_named(tmp_path):
    (tmp_path / "a").write_text("old")
    for replaced, left in (((), "old"), ([tmp_path.__class__("a")], "new")):
        try:
            with written_aside(tmp_path, ".aside", replaced=replaced) as aside:
                aside.path.mkdir(exist_ok=True)
                (aside.path / "a").write_text("new")
        except InputError:
            assert not replaced
        assert (tmp_path / "a").read_text() == left


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / ".aside").mkdir()
    (tmp_path / ".aside" / "rest").write_text("half")
    with written_aside(tmp_path, ".aside"):
        pass
    assert not list(tmp_path.iterdir())
