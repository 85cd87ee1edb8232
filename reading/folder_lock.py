"""One process at a time in a folder, and its work written aside: moved into place when all of it is there.

Locks are the operating system's (filelock): they end with their process, even one that is killed.
"""

import getpass
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from reading.files import InputError


@contextmanager
def in_turn(folder):
    """Wait until no other process of this user on this computer works in a folder; let others wait until the end.

    The lock lies among the temporary files (`tempfile.gettempdir`), so that a folder which is only read, or not there
    yet, can be locked too, and nothing is left in it. A block within a block, on the same folder, waits for nothing,
    nor do threads of one process.
    """
    name = hashlib.sha256(str(Path(folder).resolve()).encode()).hexdigest()[:16]
    owner = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    path = Path(tempfile.gettempdir()) / f"unet-{owner}-{name}.lock"
    lock = filelock.FileLock(path, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"waiting for another command that works in {folder}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass
class Aside:
    """A folder to write into, and how many files of it have been moved into place."""

    path: Path
    moved: int = 0


def _in_the_way(target):
    return InputError(f"{target}: came while this ran; expected no such file. Move it away and run this again.")


@contextmanager
def written_aside(folder, name, order=None, replaced=(), in_the_way=_in_the_way):
    """Work in `folder` alone, writing into a folder `name` in it, whose files are moved up when the block ends well.

    Where the block fails, nothing is left. A process that is killed, or meets a file in the way while it moves, leaves
    the folder `name`, which the next one clears before it begins, and has moved a part of the files, in their order.

    Parameters
    ----------
    folder : path; made where it is missing, and gone again where the block fails.
    name : of the folder to write into; a hidden one.
    order : key function of the paths below it, by which they are sorted to be moved; None: by name.
    replaced : paths below `folder` that take the place of a file which stands there.
    in_the_way : function of the path of any other file that stands where one is to be moved; gives the error to raise.

    Yields an `Aside`.
    """
    folder, made = Path(folder), not Path(folder).exists()
    with in_turn(folder):
        aside = Aside(folder / name)
        shutil.rmtree(aside.path, ignore_errors=True)
        try:
            yield aside
        except BaseException:
            shutil.rmtree(aside.path, ignore_errors=True)
            if made:
                with suppress(OSError):  # it was never made, or holds something by now
                    folder.rmdir()
            raise
        paths = [path.relative_to(aside.path) for path in aside.path.rglob("*") if path.is_file()]
        for path in sorted(paths, key=order):
            target = folder / path
            if target.exists() and path not in replaced:
                raise in_the_way(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside.path / path, target)
            aside.moved += 1
        shutil.rmtree(aside.path, ignore_errors=True)
