"""All pictures that are corrected, the few that lie open in memory, and the work that is done in the background."""

import threading
import time
from collections import OrderedDict
from pathlib import Path
from weakref import WeakValueDictionary

import filelock

from correcting.transfer import picture_png
from correcting.working_copy import JOURNAL, LONG, WorkingCopy, read_journal, read_working_copy
from reading.files import InputError, refuse_read_only, stem_of
from reading.folder_lock import take

CORRECTED = "Corrected"  # in the data folder: the working copies
LOCK = ".in-use"
AHEAD = 2  # pictures after the one that is looked at, which are made ready
OPEN = 5  # pictures in memory
SETTLED = 3.0  # seconds after an edit


class WrongVersion(Exception):
    """An edit of labels that are not the present ones; `version` is that of these."""

    def __init__(self, version):
        self.version = version


class Desk:
    """Everything that the page can ask for, by the id of a picture. Safe to use from threads.

    Parameters
    ----------
    data : path of the data folder. pictures : list of `pictures.Picture`.
    masks : `opening.Masks`. network : `opening.Network`.

    To be used in a `with`: nobody else corrects in that folder meanwhile, and all is saved at its end. Raises
    `InputError` where somebody does.
    """

    def __init__(self, data, pictures, masks, network):
        self.folder = Path(data) / CORRECTED
        self.pictures = {picture.id: picture for picture in pictures}
        self.masks, self.network = masks, network
        self.first_version = 0  # of labels that nobody has edited; another one for another network's
        self._copies, self._pngs = OrderedDict(), OrderedDict()  # by id, those used last at the end
        self._alive = WeakValueDictionary()  # copies that somebody may still write to: none is opened twice
        self._heads, self._failed, self._edited = {}, {}, {}
        self._wanted, self._ending = [], False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        refuse_read_only(self.folder, "Copy the folder to your disk, and name it with --data.")
        try:
            self._lock = take(filelock.FileLock(self.folder / LOCK, mode=0o666, thread_local=False), 0)
        except filelock.Timeout:
            raise InputError(
                f"{self.folder}: another `correct` works there; expected one at a time. Use the page that it has "
                "opened, or end it first (Ctrl-C where it runs)."
            ) from None
        try:
            self._stems = self._find_copies()
        except BaseException:
            self._lock.release()
            raise
        self._worker.start()
        return self

    def __exit__(self, *error):
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._worker.join()
        self._lock.release()

    # ------------------------------------------------------------------------------------------- what the page asks for

    def fields(self):
        """What `GET /api/fields` answers: a list of dictionaries."""
        return [self._field(picture) for picture in self.pictures.values()]

    def picture(self, number):
        """The bytes of a PNG. Raises `InputError` where the picture cannot be read."""
        picture = self.pictures[number]
        png = self._pngs.get(number)
        if png is None:
            with picture.lock:
                png = self._pngs.get(number) or picture_png(picture.path, picture.pair.intensity_range)
            self._keep(self._pngs, number, png)
        return png

    def labels(self, number):
        """(version, gzipped labels) of a picture, or None while they are made.

        Raises `InputError` where they cannot be made.
        """
        with self._changed:
            if number in self._failed:
                raise self._failed.pop(number)
            copy = self._copies.get(number)
            self._wanted = self._after(number)
            self._changed.notify_all()
            if copy is not None:
                self._copies.move_to_end(number)
        return copy and copy.gzipped()

    def edit(self, number, told):
        """Take over an edit; (version, cells) after it. Raises `WrongVersion`, and `InputError` for a malformed one."""
        copy = self._copy(number)
        with copy.lock:
            if told.get("version") != copy.version:
                raise WrongVersion(copy.version)
            copy.edit(told)
            answer = copy.version, copy.head["cells"]
        self._note_edit(number, copy)
        return answer

    def set_done(self, number, done):
        """Note whether a picture is done; what `POST …/state` answers."""
        copy = self._copy(number)
        copy.note(done=done)
        self._note_edit(number, copy)
        field = self._field(self.pictures[number])
        return {key: field[key] for key in ("state", "cells", "problem")}

    # -------------------------------------------------------------------------------------------------- what lies where

    def _find_copies(self):
        """{SHA-256 of a picture: stem of its working copy}; the pictures that have one are told by it."""
        stems, heads = {}, {}
        for path in sorted(self.folder.glob(f"*{JOURNAL}")):
            head, _ = read_journal(path)
            stems[head["picture"]], heads[head["picture"]] = path.with_suffix(""), head
        sizes = {head["bytes"] for head in heads.values()}
        for picture in self.pictures.values():
            if picture.path.stat().st_size in sizes and picture.sha256 in heads:
                self._heads[picture.id] = heads[picture.sha256]
        return stems

    def _stem(self, picture):
        """The path without ending of a picture's working copy, whether there is one or not."""
        if picture.sha256 not in self._stems:
            taken = {stem.name.casefold() for stem in self._stems.values()}
            name = stem_of(picture.path)
            names = (name, *(f"{name}_{number}" for number in range(2, 10**6)))
            self._stems[picture.sha256] = self.folder / next(one for one in names if one.casefold() not in taken)
        return self._stems[picture.sha256]

    def _field(self, picture):
        copy = self._copies.get(picture.id)
        head = self._heads.get(picture.id) or (copy and copy.head) or {}
        state = "untouched" if picture.id not in self._heads else "done" if head.get("done") else "begun"
        return {
            "id": picture.id,
            "name": picture.path.name,
            "height": picture.height,
            "width": picture.width,
            "part": picture.part,
            "state": state,
            "cells": head.get("cells"),
            "problem": picture.problem,
        }

    def _copy(self, number):
        """The open working copy of a picture, opened where it is not."""
        with self._changed:
            copy = self._copies.get(number)
        return copy or self._open(number)

    def _note_edit(self, number, copy):
        with self._changed:
            self._heads[number] = copy.head
            self._edited[number] = time.monotonic()
            self._changed.notify_all()

    def _keep(self, kept, number, value):
        with self._changed:
            kept[number] = value
            kept.move_to_end(number)
            while len(kept) > OPEN:
                kept.popitem(last=False)

    def _after(self, number):
        """The picture that is looked at, and the next ones."""
        ids = list(self.pictures)
        place = ids.index(number)
        return ids[place : place + 1 + AHEAD]

    # ---------------------------------------------------------------------------------------------- in the background

    def _work(self):
        while not self._ending:
            with self._changed:
                task, number = self._next()
                if task is None:
                    self._changed.wait(1)
                    continue
            try:
                task(number)
            except InputError as error:
                self._failed[number] = error
            except Exception as error:  # a fault of the program ends neither it nor the other pictures
                self._failed[number] = InputError(f"{self.pictures[number].path}: {type(error).__name__}: {error}")

    def _next(self):
        """(function, id) of what is most urgent; (None, None) where nothing is."""
        for number in self._wanted:
            if number not in self._copies and number not in self._failed:
                return self._open, number
            if number not in self._pngs and number not in self._failed:
                return self.picture, number
        for number, moment in list(self._edited.items()):
            if time.monotonic() > moment + SETTLED:
                return self._settle, number
        return None, None

    def _open(self, number):
        """Read or make the labels of a picture; the `WorkingCopy`."""
        picture = self.pictures[number]
        with picture.lock:
            stem, copy = self._stem(picture), self._alive.get(number)
            if copy is not None:
                pass
            elif number in self._heads:
                copy = read_working_copy(stem)
            else:
                first, version = (self.masks if picture.pair.mask else self.network), self.first_version
                head = {"picture": picture.sha256, "bytes": picture.path.stat().st_size, "name": picture.path.name}
                head |= {"height": picture.height, "width": picture.width, "version": version, "done": False}
                copy = WorkingCopy(stem, first.labels(picture), head)
            copy.gzipped()
            self._alive[number] = copy
            self._keep(self._copies, number, copy)
        return copy

    def _settle(self, number):
        with self._changed:
            del self._edited[number]
        copy = self._copies.get(number)
        if copy and copy.lines > LONG:
            copy.compact()
