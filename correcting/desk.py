"""All pictures that are corrected, the few that lie open in memory, and the work that is done in the background."""

import threading
import time
from collections import OrderedDict
from pathlib import Path
from weakref import WeakValueDictionary

import filelock

from correcting.pictures import Picture
from correcting.training_fields import (
    add_field,
    is_astray,
    is_behind,
    is_changed_elsewhere,
    refuse_field,
    remove_field,
    renamed,
    write_cells,
)
from correcting.transfer import picture_png
from correcting.working_copy import CORRECTED, JOURNAL, LONG, WorkingCopy, owners, read_journal, read_working_copy
from pairing.pairs import Pair
from preparing.field_table import standing_fields
from preparing.standing import EARLIER
from reading.files import InputError, refuse_read_only, sha256, stem_of
from reading.folder_lock import take

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
        self.data, self.folder = Path(data), Path(data) / CORRECTED
        self.pictures = {picture.id: picture for picture in pictures}
        self.masks, self.network = masks, network
        self.first_version = 0  # of labels that nobody has edited; another one for another network's
        self._copies, self._pngs = OrderedDict(), OrderedDict()  # by id, those used last at the end
        self._alive = WeakValueDictionary()  # copies that somebody may still write to: none is opened twice
        self._heads, self._failed, self._edited = {}, {}, {}
        self._wanted, self._ending = [], False
        self._behind = {}  # ids of pictures whose training fields are to be made or unmade, in order
        self.held, self.writing = False, threading.RLock()  # of training fields
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=task, daemon=True) for task in (self._work, self._write_fields)]

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
            self._kept, stems = self._find_copies()
            self._stems = {picture.id: stem for stem, picture in stems.items()}
            self._heads = {picture.id: self._kept[stem] for stem, picture in stems.items()}
            self._go_on(stems)
        except BaseException:
            self._lock.release()
            raise
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self.bring_all_in_line()
        for number in list(self._edited):
            self._settle(number)
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
            self._edited |= {other: -SETTLED for other in self._edited if other != number}  # left alone: at once
            self._changed.notify_all()
            if copy is not None:
                self._copies.move_to_end(number)
        return copy and copy.gzipped()

    def edit(self, number, told):
        """Take over an edit; (version, cells) after it. Raises `WrongVersion`, and `InputError` for a malformed one."""
        copy = self._copy(number)
        with copy.lock:
            if type(told.get("version")) is not int or told["version"] != copy.version:  # True would equal 1
                raise WrongVersion(copy.version)
            copy.edit(told)
            answer = copy.version, copy.head["cells"]
        self._note_edit(number, copy)
        return answer

    def set_done(self, number, done):
        """Note whether a picture is done; what `POST …/state` answers.

        The journal says it then, on the disk. The training field is made behind that, in the order of the answers, and
        by the next start where the program is ended before.
        """
        copy, picture = self._copy(number), self.pictures[number]
        try:
            if done and not copy.head.get("training"):
                refuse_field(self.data, picture)
        except InputError as error:
            picture.problem = str(error)
        else:
            picture.problem = None
            copy.note(done=done, path=str(picture.path.absolute()))
            self._note_edit(number, copy)
            with self._changed:
                self._behind[number] = True
                self._changed.notify_all()
        field = self._field(picture)
        return {key: field[key] for key in ("state", "cells", "problem", "writing")}

    @property
    def is_writing(self):
        """Whether training fields are on their way to the disk."""
        with self._changed:
            return bool(self._behind) and not self.held

    def use(self, network):
        """From now on pictures that nobody has edited come with the cells of another network."""
        with self._changed:
            self.network, self.first_version = network, self.first_version + 1
            self._failed.clear()
            for number in [number for number in self._copies if number not in self._heads]:
                self._alive.pop(number, None)
                del self._copies[number]
            self._changed.notify_all()

    # -------------------------------------------------------------------------------------------------- what lies where

    def _find_copies(self):
        """({stem of each working copy: its head}, {stem: the picture that it is of}, for those that are listed)."""
        kept = {path.with_suffix(""): read_journal(path)[0] for path in sorted(self.folder.glob(f"*{JOURNAL}"))}
        self._rename(kept)
        sizes, alike = {head["bytes"] for head in kept.values()}, {}
        for picture in self.pictures.values():
            if picture.path.stat().st_size in sizes:
                alike.setdefault(picture.sha256, []).append(picture)
        stems = {}
        for digest, pictures in alike.items():
            fitting = {stem: head for stem, head in kept.items() if head["picture"] == digest}
            stems |= owners(fitting, pictures, self.data)
        return kept, stems

    def _rename(self, kept):
        """Note the new names of training fields that were renamed since. kept : {stem of each copy: its head}."""
        astray = {stem: head for stem, head in kept.items() if is_astray(self.data, head)}
        taken = [head["training"]["mask"] for stem, head in kept.items() if head.get("training") and stem not in astray]
        fields = standing_fields(self.data) if astray else []
        for stem, head in astray.items():
            facts = renamed(self.data, head, fields, taken)
            if facts:
                read_working_copy(stem).note(**facts)
                kept[stem] = head | facts
                taken.append(facts["training"]["mask"])

    def _stem(self, picture):
        """The path without ending of a picture's working copy, whether there is one or not; no other picture's."""
        with self._changed:
            if picture.id not in self._stems:
                taken = {stem.name.casefold() for stem in (*self._stems.values(), *self._kept)}
                name = stem_of(picture.path)
                names = (name, *(f"{name}_{number}" for number in range(2, 10**6)))
                self._stems[picture.id] = self.folder / next(one for one in names if one.casefold() not in taken)
            return self._stems[picture.id]

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
            "writing": picture.id in self._behind and not self.held,
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
        while True:
            with self._changed:
                task, number = self._next()
                while task is None and not self._ending:
                    self._changed.wait(1)
                    task, number = self._next()
                if self._ending:
                    return
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
            if time.monotonic() > moment + SETTLED and not self.held:
                return self._settle, number
        return None, None

    def _open(self, number):
        """Read or make the labels of a picture; the `WorkingCopy`."""
        picture = self.pictures[number]
        with picture.lock:
            while True:
                version, copy = self.first_version, self._alive.get(number)
                if copy is None and number in self._heads:
                    copy = read_working_copy(self._stem(picture))
                copy = copy or self._first_copy(picture, version)
                copy.gzipped()
                with self._changed:
                    if version == self.first_version or copy.is_kept:  # else the network is another one by now
                        self._alive[number] = copy
                        self._keep(self._copies, number, copy)
                        return copy

    def _first_copy(self, picture, version):
        """The `WorkingCopy` of a picture that nobody has edited yet."""
        source = self.masks if picture.pair.mask else self.network
        head = {"picture": picture.sha256, "bytes": picture.path.stat().st_size, "name": picture.path.name}
        head |= {"path": str(picture.path.absolute())}
        head |= {"height": picture.height, "width": picture.width, "version": version, "done": False}
        return WorkingCopy(self._stem(picture), source.labels(picture), head)

    def _settle(self, number):
        """What can wait until a picture is left alone for a moment."""
        with self._changed:
            self._edited.pop(number, None)
        copy = self._copy(number)
        if copy.lines > LONG:
            copy.compact()
        self._bring_in_line(self.pictures[number], copy)
        if copy.head["done"]:
            write_cells(f"{copy.stem}.geojson", copy)

    def _write_fields(self):
        """Make and unmake training fields in the order in which they were answered for, and nothing else meanwhile."""
        while True:
            with self._changed:
                while not self._ending and (self.held or not self._behind):
                    self._changed.wait(1)
                if self._ending:
                    return
                number = next(iter(self._behind))
            picture = self.pictures[number]
            try:
                self._bring_in_line(picture, self._copy(number))
            except Exception as error:  # a fault of the program, or a damaged copy: others are written all the same
                picture.problem = f"no training field yet: {type(error).__name__}: {error}"
                self._behind.pop(number, None)

    def _bring_in_line(self, picture, copy):
        """Make or unmake the training field of a picture, as its working copy says; not while a training reads them."""
        with self.writing:
            if self.held:
                return
            done = not is_behind(copy.head) or self._try_to_write(picture, copy)
            with self._changed:
                if not done or not is_behind(copy.head):  # else it was answered anew meanwhile
                    self._behind.pop(picture.id, None)

    def _try_to_write(self, picture, copy):
        """Whether it could be done; what was in the way is the picture's problem."""
        try:
            picture.problem = None
            if copy.head["done"]:
                picture.problem = add_field(self.data, picture, copy)
            else:
                remove_field(self.data, picture, copy)
            return True
        except InputError as error:
            copy.note(done=False, training=None, written=None)
            picture.problem = str(error)
        except OSError as error:  # tried again when it is edited, and at the next start
            picture.problem = f"no training field yet: {error.filename or ''}: {error.strerror or error}"
        return False

    def hold(self, held):
        """While it is held no training field changes, since a training reads them; what was done then follows."""
        with self.writing:
            self.held = False
            self.bring_all_in_line()
            self.held = held

    def bring_all_in_line(self):
        """Make training fields of all that is done and not written yet, and unmake those that were taken back."""
        for picture in self.pictures.values():
            head = self._heads.get(picture.id)
            if head and is_behind(head):
                self._bring_in_line(picture, self._copy(picture.id))

    def _go_on(self, stems):
        """Finish what an end in the middle has left, and take over what other programs have done to fields since."""
        for stem, head in list(self._kept.items()):
            copy, picture = None, stems.get(stem) or _unlisted(head)
            if is_behind(head) and picture is None:
                print(f"{head['name']}: is done, but no training field yet; expected it at {head.get('path')} still")
            elif is_behind(head):
                copy = read_working_copy(stem)
                self._bring_in_line(picture, copy)
            elif is_changed_elsewhere(self.data, head):
                copy = self._follow(read_working_copy(stem))
            if copy and stem in stems:
                self._heads[stems[stem].id] = copy.head

    def _follow(self, copy):
        """Take over that the mask of a training field was changed or taken away; the copy, None where it is no more."""
        mask = self.data / copy.head["training"]["mask"]
        if not mask.exists():
            print(f"{mask}: taken away since; its field is no training field any more, its cells are as they were")
            copy.note(done=False, training=None, written=None)
            return copy
        print(f"{mask}: changed by another program since; its cells are taken from there now")
        copy.set_aside(self.data / EARLIER)
        del self._kept[copy.stem]
        for number in [number for number, stem in self._stems.items() if stem == copy.stem]:
            del self._heads[number], self._stems[number]
        return None


def _unlisted(head):
    """The `Picture` that a working copy is of, where it is not among those to correct now; None where it is gone."""
    path = Path(head.get("path", ""))
    if not path.is_file() or sha256(path) != head["picture"]:
        return None
    return Picture(0, Pair(stem_of(path), path, None, stem_of(path)), "new", head["height"], head["width"])
