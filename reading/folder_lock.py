"""One process at a time in a folder, and its work written aside: moved into place when all of it is there.

Locks are the operating system's (filelock): they end with their process, even one that is killed.
"""

import getpass
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from reading.files import InputError

LOCK = ".in-use"


@contextmanager
def in_turn(folder):
    """Wait until no other process works in a folder, which is made where it is missing; let others wait until the end.

    The lock is a hidden file in the folder, so that it holds for all users and for every computer that shares the disk.
    It is gone at the end, and so is a folder that was made for it and stayed empty. Where no file can be made there,
    the lock lies among the temporary files, for this user on this computer alone: who may not write there only reads.
    A block within a block, on the same folder, waits for nothing, nor do threads of one process.
    """
    folder = Path(folder).resolve()
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        lock = _acquired(folder)
        try:
            yield
        finally:
            _release(lock)
    finally:
        for path in made:
            with suppress(OSError):  # it was never made, or holds something by now
                path.rmdir()


def while_whole(folder):
    """`in_turn` for who only reads: what is listed in the block is no half of what another process writes.

    Waits for nothing where the folder is not there.
    """
    return in_turn(folder) if Path(folder).is_dir() else nullcontext()


def take(lock, seconds):
    """Acquire a `filelock.FileLock`, whose folder is made where it is missing; returns it.

    Raises `filelock.Timeout` where another process has held it for so many seconds; with -1, waits for it.
    """
    while True:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # whoever held it has just taken the folder away, which was empty
            lock.acquire(seconds)
            return lock


def _acquired(folder):
    try:
        return _wait_for(folder / LOCK, folder)
    except (OSError, NotImplementedError):  # a read-only folder, a disk without locks
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        owner = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
        return _wait_for(Path(tempfile.gettempdir()) / f"unet-{owner}-{name}.lock", folder)


def _wait_for(path, folder):
    # For all users of a shared folder; filelock takes no lock on a file that was removed while it waited.
    lock = filelock.FileLock(path, mode=0o666, is_singleton=True, thread_local=False)
    try:
        return take(lock, 0)
    except filelock.Timeout:
        print(f"waiting for another command that works in {folder}", flush=True)
        return take(lock, -1)


def _release(lock):
    if lock.lock_counter == 1:
        with suppress(OSError):  # Windows removes no open file; filelock does so there when it is closed
            os.unlink(lock.lock_file)
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
    folder = Path(folder)
    with in_turn(folder):
        aside = Aside(folder / name)
        shutil.rmtree(aside.path, ignore_errors=True)
        try:
            yield aside
        except BaseException:
            shutil.rmtree(aside.path, ignore_errors=True)
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
