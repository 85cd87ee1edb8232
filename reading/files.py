"""What has nothing to do with pixels: the one error that users see, writing a file whole or not at all, and file names.

Everything here is the standard library's, so that the command line may import it before it knows what it is asked for.
"""

import hashlib
import json
import os
import shlex
import tempfile
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class InputError(ValueError):
    """Something the user gave is wrong. Its text is one line: what was received, what is expected, what to do."""


def typed(value):
    """A path or another value as it is typed into a command: in double quotes, which every system knows, where it can.

    Names with signs that a shell reads within them, such as `$`, are quoted for that shell. A path that begins as an
    option does, `-c.png`, is typed so that it is none.
    """
    value = f"./{value}" if isinstance(value, Path) and str(value).startswith("-") else value
    return f'"{value}"' if os.name == "nt" or not set(str(value)) & set('"$`\\!') else shlex.quote(str(value))


def some(names, show=3):
    """A few of many names, for one line: `a, b, c and 5 more`."""
    names = list(names)
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def counted(number, noun, plural=None):
    """`1 image`, `1,200 images`; plural : where that is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def stem_of(path):
    """A file's name without its ending, of `x.ome.tif` (OME-TIFF) without both; what is made of it is called so.

    >>> stem_of("Images/x.OME.TIF")
    'x'
    """
    return without_ome(Path(path).stem)


def without_ome(stem):
    return stem[:-4] if stem[1:].lower().endswith(".ome") else stem


MADE_BY = "Made by predict of the U-Net for cells"  # a note in the files that show or outline what it found


NUMBERED = "Cells numbered by correct of the U-Net for cells"  # a note in the masks that it writes,
NOT_KNOWN = 65535  # and the value in them where nothing is known


def is_result(path):
    """True for a file that holds the note `MADE_BY`: a mask, label image, overlay or outlines, as `predict` wrote it.

    The note is among the first or last bytes of such a file. It stays with a file that is moved or renamed, and is lost
    when another program saves it anew.
    """
    return _holds(path, MADE_BY)


def is_numbered(path):
    """True for a mask that holds the note `NUMBERED`: 0 is nothing, `NOT_KNOWN` not known, every other value a cell."""
    return _holds(path, NUMBERED)


def _holds(path, note):
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
            file.seek(-min(256, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return note.encode() in start or note.encode() in file.read()
    except OSError:
        return False


def as_one_name(name):
    """Equal for names that some file systems hold for one: those that differ in case alone, or in Unicode's forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def find_twins(paths, name):
    """The first two of `paths` that are `as_one_name` by `name`, a function of a path; None where all are apart."""
    seen = {}
    for path in paths:
        key = as_one_name(name(path))
        if key in seen:
            return seen[key], path
        seen[key] = path
    return None


# ---------------------------------------------------------------------------------------------------------- writing


@contextmanager
def replacing(path):
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    A program killed in the middle leaves no half-written file under the final name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp's files are private to the owner; outputs are to be shared
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def refuse_read_only(folder, remedy):
    """Raise `InputError` where no file can be made in a folder, or the folder itself not; nothing is tried."""
    folder = Path(folder)
    nearest = next((path for path in (folder, *folder.parents) if path.exists()), Path.cwd())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        raise InputError(
            f"{folder}: no file can be made there (a read-only folder or disk); expected to write there. {remedy}"
        )


@contextmanager
def environment(**values):
    """Within the block, variables of the environment that have no value have these; afterwards they have none again."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


_UMASK = os.umask(0)
os.umask(_UMASK)


def settle(path):
    """Wait until a file, or the names in a folder, lie on the disk itself: a power cut then leaves them whole."""
    if os.name == "nt" and Path(path).is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path, value):
    """Write a JSON file atomically: UTF-8, as `json_text` has it."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(value), encoding="utf-8")


def json_text(value):
    """A value as JSON, indented, so that people can read it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def fingerprint(pixels):
    """A few characters that tell pictures apart, from an ndarray: equal for equal pixels alone."""
    digest = hashlib.blake2b(digest_size=8, key=f"{pixels.shape}{pixels.dtype}".encode()[:64])
    for row in np.array_split(pixels, max(1, pixels.nbytes // 2**24)):  # a slide's field is not copied whole
        digest.update(np.ascontiguousarray(row))
    return digest.hexdigest()


def sha256(path):
    """SHA-256 of a file, or of the files directly in a folder in the order of their names, in hexadecimal.

    Hidden files and the operating system's do not count, nor do folders within.
    """
    digest, path = hashlib.sha256(), Path(path)
    inside = (file for file in path.iterdir() if file.is_file() and not is_hidden(file)) if path.is_dir() else [path]
    for file in sorted(inside):
        with open(file, "rb") as content:
            while part := content.read(2**20):
                digest.update(part)
    return digest.hexdigest()


SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def holds_files(folder):
    """True where `folder`, or a folder in it, holds a file that is not hidden and not the operating system's."""
    folder = Path(folder)
    return any(
        path.is_file() and not any(is_hidden(Path(part)) for part in path.relative_to(folder).parts)
        for path in folder.rglob("*")
    )


def is_hidden(path):
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES
