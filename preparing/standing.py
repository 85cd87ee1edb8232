"""What stands in a data folder already, against what is to stand there: what is copied, kept, and put away.

Each copy is judged by three checksums: of its source now, of the source as it was when it was copied (recorded), and of
the copy now. Where only the source changed, it is copied again; where only the copy changed, somebody edited it, and it
stays; where both changed, in different ways, nobody but the user knows which of them is meant.
"""

import shutil
from pathlib import Path

import numpy as np

from pairing.annotations import file_of, suffix_of
from pairing.naming import pairing_key
from pairing.pairs import mask_sources
from preparing.told import UNFINISHED
from reading import images
from reading.files import InputError, as_one_name, is_hidden, sha256, some, typed

SAME, TAKE, KEEP, CLASH, STRANGER = "same", "take", "keep", "clash", "stranger"
KEPT_IN = "Earlier fields"  # where pictures go that are not prepared any more,
EARLIER = "Earlier masks"  # and masks that corrected ones replace


def decide(source, recorded, standing):
    """What becomes of a copy, by three checksums: one of the five words above.

    recorded : "" or None where nothing was copied. standing : None where there is no copy.
    """
    if standing is None:
        return TAKE
    if standing == source:
        return SAME
    if not recorded:
        return STRANGER
    if source == recorded:
        return KEEP
    return TAKE if standing == recorded else CLASH


class Copies:
    """What is to be copied into a data folder and what is to leave it.

    cut_dir : folder of what was cut out of slides and fields just now; a picture there is the same as a standing one of
        the same pixels, which another version of Pillow compressed.
    leaving : paths below the data folder of files that will be put away, and so count as not there.

    copied : {path below the data folder: where it is copied from}. gone : what others replace, paths below it.
    """

    def __init__(self, data_dir, cut_dir, leaving=()):
        self.data_dir, self.cut_dir, self.leaving = data_dir, cut_dir, set(leaving)
        self.copied, self.gone, self._clashes = {}, [], []
        self._standing, self._hashes = {}, {}

    def hash(self, path):
        if path not in self._hashes:
            self._hashes[path] = sha256(path)
        return self._hashes[path]

    def standing(self, folder, stem):
        """The file or folder that stands in a folder such as `Train data/Masks` for a picture, whatever its ending."""
        if folder not in self._standing:
            inside = self.data_dir / folder
            found = mask_sources(inside) if inside.is_dir() else ()
            self._standing[folder] = {as_one_name(pairing_key(path)): path for path in found}
        return self._standing[folder].get(as_one_name(stem))

    def plan(self, source, folder, name, stem, recorded, was=None):
        """Judge one copy, `source` → `folder`/`name`, of the picture `stem`, and plan it where it is to be made.

        was : the copy under the name that the picture had before, which counts where there is none under this; what was
        edited in it follows to the new name.
        Returns (what `decide` says, the checksum of the source, the name that will stand there).
        Raises `InputError` for a file of the user's that stands there.
        """
        there, now = self.standing(folder, stem), self.hash(source)
        place = Path(folder, name)
        renamed = there is None and was is not None
        there = was if renamed else there
        if there is not None and there.relative_to(self.data_dir) in self.leaving:
            if self.hash(there) == now and there.name == name:  # came before an earlier prepare was killed
                self.leaving.discard(place)
            else:
                there = None
        if there is not None and there.name == name and self._same_pixels(source, there):
            # Of the same bytes the record may be older: an earlier prepare was killed.
            return SAME, now if self.hash(there) == now else recorded or self.hash(there), name
        standing = None if there is None or self._half_moved(place) else self.hash(there)
        verdict = decide(now, recorded, standing)
        if verdict == STRANGER:
            raise in_the_way(there)
        if verdict == SAME and there.name != name:
            verdict = TAKE
        if verdict == KEEP:
            name = named(stem, there) if renamed else there.name
            source, place = there, Path(folder, name)
        if verdict == TAKE or (verdict == KEEP and renamed):
            files = files_of(source) if source.is_dir() else [source]
            targets = {place / file.name if source.is_dir() else place: file for file in files}
            self.copied |= targets
            before = [] if there is None or renamed else files_of(there) if there.is_dir() else [there]
            self.gone += [path for path in (file.relative_to(self.data_dir) for file in before) if path not in targets]
        elif verdict == CLASH:
            self._clashes.append((source, there))
        return verdict, now, name

    def under_name_of_before(self, folder, stem):
        """What stands in a folder for a picture that has another name now; None: nothing does.

        A prepare that was killed may have put it away already.
        """
        there = self.standing(folder, stem)
        if there is None and (self.data_dir / UNFINISHED).exists():
            there = self.standing(f"{KEPT_IN}/{folder}", stem)
        return there

    def refuse_clashes(self):
        """Raise `InputError` where a source and its copy have both been changed."""
        if self._clashes:
            source, there = self._clashes[0]
            names = some(there.name for _, there in self._clashes)
            keep = "copy it over the second"
            if named("", source).lower() != named("", there).lower():  # what is read as its ending says
                keep = f"put it beside the second as {named(pairing_key(source), there)} and take {source.name} away,"
            raise InputError(
                f"{there}: changed since it was copied, and so was {source}, otherwise ({names}); expected one of the "
                f"two. Delete the first to take the second, or {keep} to keep it, and run this again; nothing was "
                "changed."
            )

    def refuse_strangers(self, known):
        """Raise `InputError` for a file that this program did not put into a folder.

        known : {folder: the `as_one_name` of the pictures that have one there}.
        """
        for folder, names in known.items():
            for path in sorted((self.data_dir / folder).glob("*")):
                ours = as_one_name(pairing_key(path)) in names or path.relative_to(self.data_dir) in self.leaving
                if not is_hidden(path) and not ours:
                    raise in_the_way(path)

    def copy_into(self, aside, bar):
        """Copy what was planned into the folder `aside`. bar: a progress bar's iterator."""
        for target, source in bar(self.copied.items()):
            path = aside / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)

    def remove_gone(self):
        """Remove what others replace: copies as `prepare` wrote them."""
        for path in self.gone:
            (self.data_dir / path).unlink(missing_ok=True)
            if len(path.parts) > 3:  # a folder of files, one an object
                _remove_empty(self.data_dir / path.parent)

    def _same_pixels(self, source, there):
        if not source.is_relative_to(self.cut_dir) or {source.suffix, there.suffix} - {".png", ".tif"}:
            return False
        if self.hash(source) == self.hash(there):
            return True
        stored, cut = images.read(there), images.read(source)
        return stored.dtype == cut.dtype and np.array_equal(stored, cut)

    def _half_moved(self, place):
        """True for a folder of files of which a prepare that was killed has moved a part."""
        return (self.data_dir / place).is_dir() and (self.data_dir / UNFINISHED / place).is_dir()


def files_of(folder):
    return sorted(path for path in folder.iterdir() if path.is_file() and not is_hidden(path))


def named(stem, path):
    """What a picture or mask is called in a data folder, a file or a folder of files: `stem` with its ending."""
    return stem if path.is_dir() else stem + (suffix_of(path) or path.suffix)


def put_away(data_dir, path, kept_in=KEPT_IN, copy=False):
    """Move a file or folder, of a path below the data folder, to the same path in `kept_in`; nothing is overwritten.

    copy : True leaves it where it is, too.
    """
    source, target = data_dir / path, data_dir / place_away(data_dir, path, kept_in)
    if target.exists():  # the same
        if not copy:
            shutil.rmtree(source) if source.is_dir() else source.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    else:
        shutil.move(source, target)


def place_away(data_dir, path, kept_in=KEPT_IN):
    """Where `put_away` moves a file or folder: a path below the data folder, free, or that of one like it."""
    target, number = Path(kept_in, path), 1
    while (data_dir / target).exists() and sha256(data_dir / target) != sha256(data_dir / path):
        number += 1
        target = Path(kept_in, path).with_name(f"{path.stem} ({number}){path.suffix}")
    return target


def refuse_shared_mask(data_dir, folder, mask):
    """Raise `InputError` for a mask that cannot be moved alone: one of many in a file, or one that lies elsewhere.

    folder : "Train data" or "Test data".
    """
    if file_of(mask) != mask or mask.parent != data_dir / folder / "Masks":
        raise InputError(
            f"{mask}: no mask of its own in {data_dir / folder / 'Masks'}; expected one a picture, which can be moved. "
            f"Bring the folder in order first: python main.py prepare --source {typed(data_dir)} --data my_folder"
        )


def in_the_way(path, reason=", since this prepare would not write it so"):
    """The `InputError` for a file that stands where another would be written."""
    return InputError(
        f"{path}: stands in the way{reason}; nothing was changed. Move it away, or name an empty folder with --data."
    )


def _remove_empty(folder):
    if folder.is_dir() and not files_of(folder):
        shutil.rmtree(folder)
