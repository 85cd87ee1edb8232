"""Fields with masks → `Train data` and `Test data`, whole and as they are, and `fields.csv`, which says what is where.

Whole groups (slides, patients, fields) go to training or to testing, never parts of one. Files are copied byte for
byte; only on request are the training fields cut into tiles. A second run takes over what has changed, in the source or
in `Raw data`; the split stays, and nothing that the user edited is overwritten.
"""

import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pairing.file_cache import FileCache
from pairing.groups import FIELD_TABLE, grouped_by
from pairing.masks import MaskCoding
from pairing.survey import survey
from preparing import earlier
from preparing.field_table import Field, clear_half_written, fields_text, name_of, stated_size
from preparing.finding import CUT, fields_of, find
from preparing.split import before, change_lines, parts_of
from preparing.standing import KEEP, SAME, TAKE, Copies, files_of, named, put_away
from preparing.tiles import Piece, counts_of, cut_tiles, drop_empty
from preparing.told import PREPARED, UNFINISHED, told_again
from reading import images
from reading.files import InputError, as_one_name, counted, json_text, replacing, some, stem_of
from reading.folder_lock import in_turn, written_aside
from reading.stacks import as_one

RECORDS = [Path(PREPARED), Path(FIELD_TABLE)]


@dataclass
class Prepared:
    """What `prepare_fields` did.

    rows : list of `field_table.Field`, the rows of `fields.csv`.
    pieces : list of `tiles.Piece`, one for each of the rows.
    coding : the `masks.MaskCoding` by which the masks were read.
    remarks : list of lines for people: which fields were cut out of slides, what the mask values mean, what is odd.
    changes : the same on what is not as it was when the folder was prepared before.
    empty : number of tiles without foreground that were left out.
    written : number of files written; 0 where everything stood there already.
    """

    rows: list
    pieces: list
    coding: MaskCoding
    remarks: list
    changes: list = field(default_factory=list)
    empty: int = 0
    written: int = 0

    def table(self):
        """A short text for people."""
        tiles = any(piece.cut_from for piece in self.pieces)
        head = f"{'':8}{'groups':>8}{'fields':>8}{'tiles' if tiles else '':>8}{'empty':>8}{'foreground':>12}"
        lines = [*self.remarks, head]
        for part in ("train", "test"):
            pieces = [piece for piece in self.pieces if piece.part == part]
            area, marked = (sum(getattr(piece, name) for piece in pieces) for name in ("pixels", "foreground"))
            counts = (
                len({piece.pair.group for piece in pieces}),
                len({piece.cut_from or piece.pair.stem for piece in pieces}),
                len(pieces) if tiles and part == "train" else "",
                sum(piece.foreground == 0 for piece in pieces),
            )
            share = f"{marked / area:12.1%}" if area else f"{'–':>12}"
            lines.append(f"{part:8}" + "".join(f"{count:>8}" for count in counts) + share)
        if len({row.group for row in self.rows}) == 1:
            lines.append("one group only, which is not split: nothing is kept for testing")
        if self.empty:
            lines.append(f"{counted(self.empty, 'empty tile')} left out")
        return "\n".join([*lines, *self.changes])


def prepare_fields(data_dir, source=None, annotations=None, quiet=False, **options):
    """Copy fields and their masks into `Raw data`, and from there into `Train data` and `Test data`.

    Parameters
    ----------
    data_dir : path of the data folder; made where it is missing.
    source : folder of images with masks, in any form that `pairs.find_pairs` knows, or one image file; it is only
        read. None: what stands in `Raw data`. Of slides, the fields that `fields.cut_fields` finds are taken in
        their place, as PNG or TIFF with outlines as GeoJSON.
    annotations : file with what was drawn on `source`, where that is one image or slide.
    quiet : False prints how image and mask were paired, before the work begins, and shows progress.
    options : the fields of `told.Told`: what is kept for testing, what the masks mean, whether tiles are cut.

    Where `data_dir` was prepared before, what is not given is as it was told then, fields keep their part, and what
    has changed since is taken over (`standing.decide`). Of new groups as many are tested as `test_share` of all groups
    still lacks. A folder that an earlier version prepared is taken over (`earlier`).

    Returns a `Prepared`. Raises `InputError`, with nothing written, for an unreadable image, a missing mask, an option
    out of range, a file in the data folder that stands in the way, and what was changed in two places.
    """
    data_dir = Path(data_dir)
    with in_turn(data_dir):
        clear_half_written(data_dir)
        known = before(data_dir)
        told, lines = told_again(known.noted, options)
        pairing, copied_from = find(data_dir, source, annotations)
        if not quiet:
            print(f"{counted(len(pairing.pairs), 'pair')}: {pairing.explanation}", flush=True)
            for unread in pairing.unread:
                print(f"not read: {unread}", flush=True)
        with as_one(told.stack), fields_of(pairing, data_dir, quiet) as (found, remarks):
            found = found if told.group_by is None else grouped_by(found, told.group_by)
            found = sorted(found, key=lambda pair: pair.stem)
            copies = Copies(data_dir, data_dir / CUT, known.tiles)
            done = _Preparing(data_dir, told, known, copies, copied_from, quiet).run(found)
    done.remarks = [*lines, *remarks, *done.remarks]
    return done


class _Preparing:
    """One run of `prepare_fields`, when it is known what there is.

    known : `split.Before`. copies : `standing.Copies`. copied_from : the source; None where that is `Raw data`.
    """

    def __init__(self, data_dir, told, known, copies, copied_from, quiet):
        self.data_dir, self.told, self.known, self.copies = data_dir, told, known, copies
        self.copied_from, self.quiet = copied_from, quiet
        self.bar = partial(tqdm, unit="image", leave=False, delay=1, disable=quiet or None)
        self.copied = dict((known.noted or {}).get("copied", {}))
        self.copied_before = {as_one_name(stem): noted for stem, noted in self.copied.items()}
        self.renamed, self.replaced, self.moved, self.contents = {}, [], set(), set()

    def run(self, found):
        names = {as_one_name(pair.stem) for pair in found}
        if self.copied_from is not None:
            self._refuse_same_names(found)
        others, gone = self.known.apart(names, self.copied_from)
        absent = [row for row in others if not row.stands_in(self.data_dir)]  # deleted, or put away before a kill
        others, gone = [row for row in others if row not in absent], gone + absent
        split = parts_of(found, self.known, others, self.told, self.copies)
        found, parts, self.renamed = split.found, split.parts, split.seen.renamed
        gone += split.seen.displaced
        self._note_moved(split, names)
        self.contents = {self.copies.hash(path) for pair in found for path in (pair.image, pair.mask)}
        self._refuse_moved_and_edited(found)
        self._refuse_too_large(found)
        raw_gone = [] if self.copied_from is None else self._raw_gone(names)
        found = found if self.copied_from is None else [self._through_raw(pair) for pair in found]
        contents = FileCache()
        pairs = found + [row.pair(self.data_dir) for row in others]
        seen = survey(pairs, self.quiet, contents, self.told.ignore)
        seen.refuse_absent(set(self.told.ignore or ()) - set((self.known.noted or {}).get("ignore") or ()))
        coding = seen.coding(self.told.classes, self.told.foreground)
        if self.told.foreground:
            seen.refuse_rare(coding, self.told.foreground)
        pieces, empty = self._pieces(found, parts, coding, contents, others)
        self._refuse_one_name(pieces, others)
        self._refuse_strangers(pieces, names)
        rows, changes = self._plan(pieces)
        stale = [row for row in self.known.rows if row not in others and row not in gone]
        self._plan_stale(stale, rows)
        self.copies.refuse_clashes()
        changes |= {"replaced": self.replaced, "absent": absent}
        changes = change_lines(self.known, split, gone, changes)
        rows = sorted([*rows, *others], key=lambda row: (row.part, row.file))
        left_out = sorted(
            {pair.image.name for pair in found} - {piece.cut_from or piece.pair.image.name for piece in pieces}
        )
        noted = self.told.recorded() | {"meaning": coding.explanation, "left_out": left_out, "copied": self.copied}
        if corrected := (self.known.noted or {}).get("corrected"):
            names = {row.field: stem for stem, row in self.renamed.items()}
            lost = {row.field for row in split.seen.displaced} - names.keys()
            noted["corrected"] = {
                names.get(as_one_name(stem), stem): value
                for stem, value in corrected.items()
                if as_one_name(stem) not in lost
            }
        if "test" in {row.part for row in self.known.rows} - {row.part for row in rows}:
            changes.append(
                "no test picture is left, so nothing can be scored: of the next new slides or patients, some are tested"
            )
        pieces = pieces + [self._piece(row, coding, contents) for row in others]
        written = self._write(rows, noted, gone, raw_gone)
        if written and self.known.rows and not changes and not self.copies.copied:
            changes.append(
                "no picture or mask has changed; records alone are written: options, groups, where pictures came from"
            )
        notes = [coding.explanation, *seen.notes(coding)]
        return Prepared(rows, pieces, coding, notes, changes, empty, written)

    # -------------------------------------------------------------------------------------------------------- renamed

    def _note_moved(self, split, names):
        """Note the stems of pictures whose name, or whose name of before, is another picture's: `moved`."""
        seen = split.seen
        displaced = {row.field for row in seen.displaced}
        self.moved = {stem for stem, row in seen.renamed.items() if row.field in names}
        self.moved |= {stem for stem in split.parts if as_one_name(stem) in displaced}

    def _refuse_moved_and_edited(self, found):
        """Raise `InputError` for a copy that was edited and would have to follow to a name that another picture had.

        A prepare that was killed has looked already, and moved a part.
        """
        if (self.data_dir / UNFINISHED).exists():
            return
        for pair in found:
            row = self.renamed.get(pair.stem)
            if pair.stem not in self.moved or row is None:
                continue
            noted = self.copied_before.get(row.field, {}) if self.copied_from is not None else {}
            for kind, source, raw, recorded in (
                ("Images", pair.image, noted.get("image"), row.image_sha256),
                ("Masks", pair.mask, noted.get("mask"), row.mask_sha256),
            ):
                places = [("Raw data", raw)] if raw else []
                places += [] if row.cut_from else [(row.folder, recorded)]
                for folder, before_it in places:
                    there = self.copies.standing(f"{folder}/{kind}", row.field)
                    if there and self.copies.hash(there) not in (before_it, self.copies.hash(source)):
                        raise InputError(
                            f"{there}: edited since it was copied, and its picture is named {pair.stem} now, where "
                            f"names have changed hands; expected the edited one in the source. Put it beside {source} "
                            f"as {named(pair.stem, there)}, take away what was there for {pair.stem}, and run this "
                            "again; nothing was changed."
                        )

    # ------------------------------------------------------------------------------------------------------ Raw data

    def _refuse_same_names(self, found):
        """Raise `InputError` for pictures named as others are that were copied from another source.

        A source that is gone, of which a picture is among those found, has been moved here.
        """
        known = [(pair, self.copied_before.get(as_one_name(pair.stem))) for pair in found]
        known = [(pair, noted) for pair, noted in known if noted and noted["from"] != str(self.copied_from)]
        same = [noted for pair, noted in known if self.copies.hash(pair.image) == noted["image"]]
        moved = {noted["from"] for noted in same if not Path(noted["from"]).exists()}
        clashes = [both for both in known if both[1] not in same and both[1]["from"] not in moved]
        if clashes:
            pair, noted = clashes[0]
            there = self.copies.standing("Raw data/Images", pair.stem)
            raise InputError(
                f"{pair.image}: another picture is here under this name, {there and there.name}, copied from "
                f"{noted['from']} ({some(pair.image.name for pair, _ in clashes)}); expected one name for one "
                "picture. Rename those of one of the two, or name another folder with --data; nothing was changed."
            )

    def _through_raw(self, pair):
        """The pair, copied into `Raw data`, or as it was edited there."""
        stem = pair.stem
        old = self.renamed[stem].field if stem in self.renamed else as_one_name(stem)
        noted, taken = self.copied_before.get(old, {}), {"from": str(self.copied_from)}
        plan = partial(self.copies.plan, stem=stem)
        follows = stem in self.renamed and stem not in self.moved
        was = self.copies.under_name_of_before("Raw data/Masks", old) if follows else None
        standing = [self.copies.standing(f"Raw data/{kind}", stem) for kind in ("Images", "Masks")]
        recorded = [noted.get("image"), noted.get("mask")]
        if stem in self.moved:
            recorded = self._give_way(standing)
        image, taken["image"], name = plan(pair.image, "Raw data/Images", pair.image.name, recorded=recorded[0])
        mask, taken["mask"], mask_name = plan(
            pair.mask, "Raw data/Masks", named(stem, pair.mask), recorded=recorded[1], was=was
        )
        if image == TAKE and self.told.tile_px:  # of whole fields, the copies that are learnt from are kept
            self.replaced += filter(None, standing)
        if image == KEEP:
            pair = replace(pair, image=self.data_dir / "Raw data/Images" / name)
        if mask == KEEP:
            pair = replace(pair, mask=standing[1] or was)
        self.copied = {known: value for known, value in self.copied.items() if as_one_name(known) != as_one_name(stem)}
        self.copied[stem] = taken
        return pair

    def _raw_gone(self, names):
        """What of `Raw data` was copied from the source and is not there any more: paths below the data folder."""
        found = []
        for stem, noted in list(self.copied.items()):
            if as_one_name(stem) not in names and noted["from"] == str(self.copied_from):
                found += [self.copies.standing(f"Raw data/{kind}", stem) for kind in ("Images", "Masks")]
                del self.copied[stem]
        return [path.relative_to(self.data_dir) for path in found if path]

    # ------------------------------------------------------------------------------------------- Train and Test data

    def _pieces(self, found, parts, coding, contents, others):
        """(what is to stand in `Train data` and `Test data`, number of empty tiles left out)."""
        pieces, folder = [], self.data_dir / CUT
        for pair in self.bar(found, "cut" if self.told.tile_px else "read"):
            image = contents.image(pair)
            stored = contents.mask(pair, image.shape[:2])
            ids = coding.class_ids(stored)
            contents.forget(pair)
            if self.told.tile_px and parts[pair.stem] == "train":
                pieces += cut_tiles(pair, image, stored, ids, self.told, folder)
            else:
                pieces.append(Piece(pair, parts[pair.stem], *counts_of(ids)))
        kept = drop_empty(pieces, self.told)
        if any(each.part == "train" for each in [*kept, *others]):
            return kept, len(pieces) - len(kept)
        if "train" in parts.values():
            raise InputError(
                f"no training tile is left: none holds foreground and --keep-empty is {self.told.keep_empty}; "
                "expected some. Keep more empty tiles, or choose another --seed."
            )
        raise InputError(
            f"no picture is left to learn from: {some(parts)} {'is' if len(parts) == 1 else 'are'} tested, as before; "
            "expected some of other slides or patients. Put these beside them; nothing was changed."
        )

    def _piece(self, row, coding, contents):
        """The `Piece` of what this source does not speak of, to be counted with the others."""
        pair = row.pair(self.data_dir)
        ids = coding.class_ids(contents.mask(pair, images.size(pair.image)))
        contents.forget(pair)
        return Piece(pair, row.part, *counts_of(ids), row.cut_from)

    def _plan(self, pieces):
        """Plan the copies of all pieces; returns (rows of `fields.csv`, {what changed: the fields})."""
        rows, changes = [], {"mask": {}, "picture": {}, "kept": {}, "back": {}}
        cut_short = (self.data_dir / UNFINISHED).exists()
        before_by_name = {(row.part, name_of(row.file)): row for row in self.known.rows}
        for piece in pieces:
            pair, folder = piece.pair, f"{piece.part.capitalize()} data"
            old = before_by_name.get((piece.part, as_one_name(pair.stem)))
            places = [f"{folder}/{kind}" for kind in ("Images", "Masks")]
            standing = [self.copies.standing(place, pair.stem) for place in places]
            was = [None, None]
            is_moved = (stem_of(piece.cut_from) if piece.cut_from else pair.stem) in self.moved
            old_shas = [old and old.image_sha256, old and old.mask_sha256]
            if not piece.cut_from and is_moved:
                old, old_shas = self.renamed.get(pair.stem), self._give_way(standing)
            elif not piece.cut_from and pair.stem in self.renamed:
                old = self.renamed[pair.stem]
                old_shas = [old.image_sha256, old.mask_sha256]
                was = [self.copies.under_name_of_before(place, old.field) for place in places]
            plan = partial(self.copies.plan, stem=pair.stem)
            image, image_sha, file = plan(pair.image, places[0], pair.image.name, recorded=old_shas[0], was=was[0])
            recorded = old_shas[1]
            if old and not old.image_sha256 and image == SAME:  # it came by `correct`, whose mask stays: an edited copy
                recorded = self.copies.hash(pair.mask)
            mask, mask_sha, mask_file = plan(
                pair.mask, places[1], named(pair.stem, pair.mask), recorded=recorded, was=was[1]
            )
            if old and not piece.cut_from and not is_moved and image == TAKE and old.image_sha256 != image_sha:
                self.replaced += filter(None, standing)
            shown = Path(piece.cut_from).stem or pair.stem
            if piece.cut_from and is_moved:
                old = None
            if old and old.mask_sha256 not in ("", mask_sha):
                changes["mask"][shown] = piece.part
            if old and old.image_sha256 not in ("", image_sha):
                changes["picture"][shown] = piece.part
            if old and old not in self.renamed.values() and None in standing and not cut_short:
                changes["back"][shown] = piece.part
            if KEEP in (image, mask):
                changes["kept"][shown] = piece.part
            low, high, least = (" ".join(f"{value:.6g}" for value in end) for end in piece.spread or ((), (), ()))
            rows.append(
                Field(
                    file,
                    mask_file,
                    pair.group,
                    piece.part,
                    image_sha,
                    mask_sha,
                    piece.cut_from,
                    piece.row,
                    piece.column,
                    low,
                    high,
                    least,
                    stated_size(pair.image),
                )  # fmt: skip
            )
        return rows, changes

    def _give_way(self, standing):
        """The checksums of what stands under a name that is another picture's now, so that it is taken for a copy.

        Of what is found nowhere else now, a copy is kept.
        """
        there = [path and self.copies.hash(path) for path in standing]
        if any(content and content not in self.contents for content in there):
            self.replaced += filter(None, standing)
        return there

    def _plan_stale(self, stale, rows):
        """Plan the removal of what stood for a field that is now a whole, or other tiles; none that was edited."""
        made = {(row.part, name_of(row.file)) for row in rows}
        for row in stale:
            if (row.part, name_of(row.file)) in made:
                continue
            for kind, name, recorded in (("Images", row.file, row.image_sha256), ("Masks", row.mask, row.mask_sha256)):
                path = self.data_dir / row.folder / kind / name
                if path.exists() and self.copies.hash(path) != recorded:
                    raise InputError(
                        f"{path}: changed since prepare wrote it, and by the options given it would go; expected the "
                        "options of before, so that it stays. Give these, or delete the file; nothing was changed."
                    )
                files = [] if not path.exists() else files_of(path) if path.is_dir() else [path]
                self.copies.gone += [file.relative_to(self.data_dir) for file in files]

    def _refuse_one_name(self, pieces, others):
        """Raise `InputError` where two pictures would be written under one name."""
        named = {name_of(row.file): row.file for row in others}
        for piece in pieces:
            name = as_one_name(piece.pair.stem)
            if name in named:
                raise InputError(
                    f"{piece.cut_from or piece.pair.image.name}: what is made of it would be named {piece.pair.stem} "
                    f"like {named[name]}; expected different names. Rename one of the images."
                )
            named[name] = piece.cut_from or piece.pair.image.name

    def _refuse_strangers(self, pieces, names):
        """Raise `InputError` for files in the folders that no `prepare` put there."""
        known = {f"{part} data/{kind}": set() for part in ("Train", "Test") for kind in ("Images", "Masks")}
        ours = [(f"{piece.part.capitalize()} data", as_one_name(piece.pair.stem)) for piece in pieces]
        for folder, name in ours + [(row.folder, name_of(row.file)) for row in self.known.rows]:
            known[f"{folder}/Images"].add(name)
            known[f"{folder}/Masks"].add(name)
        if self.copied_from is not None:
            noted = {as_one_name(stem) for stem in (self.known.noted or {}).get("copied", {})}
            raw = names | noted | {row.field for row in self.known.rows}
            known |= {f"Raw data/{kind}": raw for kind in ("Images", "Masks")}
        self.copies.refuse_strangers(known)

    # ------------------------------------------------------------------------------------------------------- writing

    def _write(self, rows, noted, gone, raw_gone):
        """Write what was planned; returns the number of files written."""
        made = {(row.part, name_of(row.file)) for row in rows}
        places = [
            (f"{row.folder}/{kind}", name_of(row.file))
            for row in gone
            if (row.part, name_of(row.file)) not in made
            for kind in ("Images", "Masks")
        ]
        away = [path.relative_to(self.data_dir) for place in places if (path := self.copies.standing(*place))]
        with written_aside(self.data_dir, UNFINISHED, _order, {*self.copies.copied, *RECORDS}) as aside:
            self.copies.copy_into(aside.path, partial(self.bar, desc="copy"))
            _write_text(self.data_dir, aside.path, PREPARED, json_text(noted))
            _write_text(self.data_dir, aside.path, FIELD_TABLE, fields_text(rows))
            for path in self.replaced:
                put_away(self.data_dir, path.relative_to(self.data_dir), copy=True)
            for path in (*away, *raw_gone):
                if (self.data_dir / path).exists():
                    put_away(self.data_dir, path)
            for path in self.copies.leaving:
                put_away(self.data_dir, path, earlier.KEPT_IN)
            self.copies.remove_gone()
        for name in earlier.records(self.data_dir):
            put_away(self.data_dir, Path(name), earlier.KEPT_IN)
        return aside.moved

    def _refuse_too_large(self, found):
        """Raise `InputError` where the copies that are not there yet have no room on the disk."""
        needed = 0
        for pair in found:
            for kind, path in (("Images", pair.image), ("Masks", pair.mask)):
                there = [self.copies.standing(f"{part}/{kind}", pair.stem) for part in ("Train data", "Test data")]
                copies = not any(there)
                copies += self.copied_from is not None and not self.copies.standing(f"Raw data/{kind}", pair.stem)
                files = files_of(path) if path.is_dir() else [path]
                needed += copies * sum(file.stat().st_size for file in files)
        free = shutil.disk_usage(self.data_dir).free
        if needed > free:
            raise InputError(
                f"{self.data_dir}: {needed / 1e9:.3g} GB are to be copied there, and {free / 1e9:.3g} GB are free on "
                "this disk; expected room for all of it. Make room, or name a folder on another disk with --data."
            )


def _write_text(data_dir, aside, name, text):
    """Write a record, unless it stands there so."""
    if not (data_dir / name).exists() or (data_dir / name).read_bytes() != text.encode():
        with replacing(aside / name) as temporary:
            temporary.write_bytes(text.encode())


def _order(path):
    """Files are moved by name, the two that list the others last: what they list is there then."""
    return RECORDS.index(path) if path in RECORDS else -1, path
