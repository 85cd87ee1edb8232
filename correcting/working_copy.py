"""The labels of one picture as somebody corrects them: a label image, and a journal of what was changed since.

The journal's first line, its head, says whose labels they are; each other line is an edit, or new facts for the head. A
line is on the disk before the edit is answered, so that whatever ends the program costs the last edit at most. Edits
say what the pixels become, not how they change: played again on labels that have them already, they change nothing. So
the label image may be written anew at any moment, and the journal be emptied after that (`compact`).
"""

import io
import json
import os
import threading
from pathlib import Path

import numpy as np

from correcting.transfer import MOST_CELLS, GzippedLabels, count_pixels, read_edit
from reading import images
from reading.files import NOT_KNOWN, InputError, replacing, settle

CORRECTED = "Corrected"  # in the data folder: the working copies
JOURNAL, LABELS = ".jsonl", "_labels.png"
LONG = 200  # edits, after which a journal is worth compacting


class WorkingCopy:
    """Labels in memory, and where they are kept.

    Parameters
    ----------
    stem : path without ending of its two files, `<stem>_labels.png` and `<stem>.jsonl`; they need not be there.
    labels : uint16 ndarray of shape (height, width): 0 nothing, 1 … 65534 cells, 65535 not known. Becomes its own.
    head : dictionary of what is known of the picture, for JSON; "version" among it, the number of edits so far;
        "cells", how many there are, is added.

    Nothing is written before the first edit. Safe to use from threads.
    """

    def __init__(self, stem, labels, head):
        self.stem, self.labels, self.head = Path(stem), labels, head
        self.pixels = count_pixels(labels)  # of each value
        self.head |= {"cells": _cells(self.pixels)}
        self.lock = threading.RLock()
        self.lines = 0  # in the journal, after its head
        self._compressed = GzippedLabels()
        self._base = None if self.journal.exists() else _png(labels)

    @property
    def journal(self):
        return Path(f"{self.stem}{JOURNAL}")

    @property
    def image(self):
        return Path(f"{self.stem}{LABELS}")

    @property
    def version(self):
        return self.head["version"]

    @property
    def is_kept(self):
        """Whether there is anything of it on the disk."""
        return self._base is None

    def gzipped(self):
        """(version, the labels as `transfer.GzippedLabels` gives them)."""
        with self.lock:
            return self.version, self._compressed.stream(self.labels)

    def edit(self, told):
        """Take over new labels of a rectangle, as `transfer.read_edit` reads them; they are saved when it returns."""
        edit = read_edit(told, self.labels.shape)
        kept = {key: told[key] for key in ("row", "column", "height", "width", "runs")}
        with self.lock:
            pixels = self.pixels - count_pixels(self.labels[edit.place]) + edit.pixels
            cells = _cells(pixels)
            self._append(kept | {"cells": cells}, {"version": self.version + 1, "cells": cells})
            self.labels[edit.place], self.pixels = edit.labels, pixels
            self._compressed.forget(edit.row, len(edit.labels))

    def note(self, **facts):
        """Change facts of the head; they are saved when it returns."""
        with self.lock:
            self._append({"head": facts}, facts)

    def _append(self, line, facts):
        """Write a line to the journal, and wait until it is on the disk; then take over new facts of the head."""
        if self._base is not None:
            _write(self.image, self._base)
            _write(self.journal, _line(self.head) + _line(line))
            self._base = None
        else:
            self._append_to_file(_line(line))
        self.head |= facts
        self.lines += 1

    def _append_to_file(self, content):
        size = os.path.getsize(self.journal)
        with open(self.journal, "ab", buffering=0) as file:
            try:
                _write_all(file, content)
                os.fsync(file.fileno())
            except OSError:
                os.truncate(file.fileno(), size)  # a full disk: no half line for later ones to follow
                raise

    def compact(self):
        """Write the labels anew, and begin the journal anew."""
        version, labels = self.snapshot()
        _write(self.image, _png(labels))  # without the lock: edits go on meanwhile, and play on these labels too
        with self.lock:
            if self.version == version:
                _write(self.journal, _line(self.head))
                self.lines = 0

    def snapshot(self):
        """(version, a copy of the labels)."""
        with self.lock:
            return self.version, self.labels.copy()

    def set_aside(self, folder):
        """Move both files into a folder, out of the way of a new copy."""
        with self.lock:
            for path in (self.image, self.journal):
                if path.exists():
                    move_aside(path, folder)


def read_working_copy(stem):
    """The `WorkingCopy` in two files, with all its edits. Raises `InputError` where one is damaged.

    A last line that was cut short, as when the computer went off while it was written, is dropped.
    """
    head, edits = read_journal(f"{stem}{JOURNAL}")
    labels = images.read_mask(Path(f"{stem}{LABELS}")).astype(np.uint16)
    if labels.shape != (head["height"], head["width"]):
        raise InputError(
            f"{stem}{LABELS}: {labels.shape[0]}×{labels.shape[1]} pixels; expected {head['height']}×{head['width']}, "
            "as its journal says. Move both files away to begin anew with this picture."
        )
    for told in edits:
        edit = read_edit(told, labels.shape)
        labels[edit.place] = edit.labels
    copy = WorkingCopy(stem, labels, head)
    copy.lines = len(edits)
    return copy


def read_journal(path):
    """(head, edits) of a journal: a dictionary as it stands after all lines, and the edits, a list of dictionaries.

    The file is mended where its last line is torn. Raises `InputError` for any other damage.
    """
    path = Path(path)
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        head, *lines = map(json.loads, whole.splitlines())
        edits = []
        for line in lines:
            if "head" in line:
                head |= line["head"]
            else:
                edits.append(line)
        head = head | {"version": head["version"] + len(edits)} | {"cells": (edits or [head])[-1]["cells"]}
        head["picture"], head["height"], head["width"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: damaged; expected what `correct` writes there. Move it away, and {path.stem}{LABELS} with it, to "
            "begin anew with this picture."
        ) from error
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return head, edits


def owners(kept, pictures, data):
    """Which working copy is which picture's, where all are of one content: {stem: picture}.

    A picture's is the one that was made where it lies, or whose training field it is; else, since a picture may have
    been moved, the only one of its name, else the only one at all, where that one's picture is not in its place still.
    No two pictures share one.

    Parameters: kept, {stem: head}; pictures, list of `pictures.Picture`; data, path of the data folder.
    """
    found, kept, left = {}, dict(kept), list(pictures)

    def take(fits):
        for picture in list(left):
            stems = [stem for stem, head in kept.items() if fits(head, picture)]
            rivals = [other for other in left if stems and fits(kept[stems[0]], other)]
            if len(stems) == len(rivals) == 1:
                found[stems[0]] = picture
                left.remove(picture)
                del kept[stems[0]]

    take(lambda head, picture: picture.path.absolute() in _places(head, data))
    take(lambda head, picture: head["name"] == picture.path.name)
    take(lambda head, picture: not any(place.is_file() for place in _places(head, data)))
    return found


def paths_of_copies(data):
    """Where the pictures lay, as texts, that have a working copy in a data folder."""
    return {read_journal(path)[0].get("path") for path in (Path(data) / CORRECTED).glob(f"*{JOURNAL}")}


def _places(head, data):
    """Where the picture of a working copy was, and where its copy in a data folder is."""
    plan = head.get("training") or {}
    places = [Path(head["path"])] if head.get("path") else []
    return [*places, (data / plan["image"]).absolute()] if plan.get("image") else places


def move_aside(path, folder):
    """Move a file or folder into another folder, under a name that is free there; the path that it has now."""
    folder.mkdir(parents=True, exist_ok=True)
    target = free_name(path, folder)
    os.replace(path, target)
    settle(folder)
    return target


def free_name(path, folder):
    """Where `path` can be moved in a folder: its own name, or that with a number."""
    names = (path.name, *(f"{path.stem}_{number}{path.suffix}" for number in range(2, 10000)))
    return next(folder / name for name in names if not (folder / name).exists())


def most_cells(labels, path):
    """Objects as uint16 labels 1 … n, in the order of their numbers; int ndarray of shape (height, width).

    Raises `InputError`, naming `path`, where there are more than can be numbered.
    """
    numbers, place = np.unique(labels, return_inverse=True)
    first = int(numbers[0] != 0)
    if len(numbers) + first > MOST_CELLS:
        raise InputError(
            f"{path}: {len(numbers):,} cells; expected {MOST_CELLS:,} at most. Cut the picture into parts."
        )
    return (place.reshape(labels.shape) + first).astype(np.uint16)


def _cells(pixels):
    return int(np.count_nonzero(pixels[1:NOT_KNOWN]))


def _png(labels):
    file = io.BytesIO()
    images.save_png(file, labels)
    return file.getvalue()


def _line(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _write(path, content):
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        settle(temporary)
    settle(path.parent)


def _write_all(file, content):
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
