"""fields.csv: one row for each picture that `prepare` put into `Train data` and `Test data`."""

import csv
import io
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from pairing.annotations import is_outlines
from pairing.groups import FIELD_TABLE, read_table, with_tile_table
from pairing.pairs import TEST, TRAIN, Pair, find_pairing, has_files
from preparing.told import PREPARED, read_noted
from reading import images
from reading.files import NOT_KNOWN, InputError, as_one_name, is_numbered, replacing, sha256, stem_of, write_json
from reading.pixel_size import um_per_px


@dataclass(frozen=True)
class Field:
    """One row of `fields.csv`.

    file : the picture in `<part> data/Images`.
    mask : its mask in `<part> data/Masks`, a file or a folder of files.
    group : slide, patient or field; all pictures of one are in one part.
    part : "train" or "test".
    image_sha256, mask_sha256 : of what the two were copied from (`files.sha256`), as it was then; "" where that was
        nothing in `Raw data`, so that they stay as they are whatever is prepared.
    cut_from : of a tile, the field in `Raw data/Images` that it is a piece of; else "".
    row, column : where in that field its first pixel lies.
    low, high, least : of a tile, the `intensity.Spread` of that field, one number a channel with spaces between.
    um_per_px : micrometres per pixel that the picture states, which training goes by; "" where it states none.
    """

    file: str
    mask: str
    group: str
    part: str
    image_sha256: str = ""
    mask_sha256: str = ""
    cut_from: str = ""
    row: int = 0
    column: int = 0
    low: str = ""
    high: str = ""
    least: str = ""
    um_per_px: str = ""

    @property
    def folder(self):
        return f"{self.part.capitalize()} data"

    @property
    def field(self):
        """The name by which the whole field is known, whatever the case of its letters (`name_of`)."""
        return name_of(self.cut_from or self.file)

    def stands_in(self, data_dir):
        """True where both its files are in a data folder."""
        pair = self.pair(data_dir)
        return pair.image.is_file() and pair.mask.exists()

    def pair(self, data_dir):
        """Its files in a data folder, as a `pairs.Pair`."""
        inside = Path(data_dir) / self.folder
        return Pair(stem_of(self.file), inside / "Images" / self.file, inside / "Masks" / self.mask, self.group)


def name_of(path):
    """A picture's or a field's name, equal for those that differ in case, Unicode's forms or ending alone."""
    return as_one_name(stem_of(path))


def read_fields(data_dir):
    """The rows of a data folder's `fields.csv`: a list of `Field`, [] without one. `InputError` for a damaged one."""
    path = Path(data_dir) / FIELD_TABLE
    if not path.is_file():
        return []
    try:
        rows = [
            Field(**{column.name: column.type(row[column.name]) for column in fields(Field)})
            for row in ({"um_per_px": ""} | row for row in read_table(path))  # which earlier versions did not note
        ]
        if not all(row.file and row.mask and row.group and row.part in ("train", "test") for row in rows):
            raise ValueError("a cell without what belongs there")
        return rows
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not as prepare wrote it; expected a row a picture, with the columns "
            f"{', '.join(column.name for column in fields(Field))}. Put the table of before back, or name an empty "
            "folder with --data."
        ) from error


def standing_fields(data_dir):
    """What stands in a data folder, whoever put it there: a list of (`pairs.Pair`, "train" or "test").

    Groups are those of `fields.csv`, where it has the picture; masks are None where there is none.
    """
    return [
        (pair, part)
        for folder, part in ((TRAIN, "train"), (TEST, "test"))
        if has_files(data_dir, f"{folder}/Images")
        for pair in with_tile_table(find_pairing(Path(data_dir, folder), masks="optional").pairs, data_dir)
    ]


def of_same_content(fields, image, digest=None):
    """Yield those of `standing_fields` whose picture has the bytes of another one.

    fields : iterable of (`pairs.Pair`, part). image : path of the other. digest : its SHA-256 where it is known.
    """
    size = image.stat().st_size
    for pair, part in fields:
        if pair.image.stat().st_size == size:
            digest = digest or sha256(image)
            if sha256(pair.image) == digest:
                yield pair, part


def stated_size(image):
    """The column `um_per_px` of a picture file."""
    size = um_per_px(image)
    return f"{size:.6g}" if size else ""


def fields_text(rows):
    """The text of `fields.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(Field)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def clear_half_written(data_dir):
    """Remove what a program that was killed as it wrote a record left beside it; for who works there alone."""
    for name in map(Path, (FIELD_TABLE, PREPARED)):
        for path in Path(data_dir).glob(f".{name.stem}.????????{name.suffix}"):  # as `files.replacing` names it
            path.unlink()


def note_mask(data_dir, part, file, mask, group=None):
    """Note in `fields.csv` that the picture `file` of "train" or "test" has the mask `mask` now; a name or None: none.

    A picture without a row gets one where `group` is given, in a new table where there is none; one that came from
    nowhere in `Raw data` and has no mask any more loses its row.
    """
    rows = read_fields(data_dir)
    own = [row for row in rows if (row.part, row.file) == (part, file)]
    if own and mask is None and not own[0].image_sha256:
        rows.remove(own[0])
    elif own and mask is not None:
        rows[rows.index(own[0])] = replace(own[0], mask=mask)
    elif mask is not None and group is not None:
        new = Field(file, mask, group, part)
        rows.append(replace(new, um_per_px=stated_size(new.pair(data_dir).image)))
    else:
        return
    path = Path(data_dir) / FIELD_TABLE
    if rows:
        with replacing(path) as temporary:
            temporary.write_text(fields_text(rows), encoding="utf-8", newline="")
    else:
        path.unlink()


def note_not_known(data_dir):
    """Note in `prepared.json`, where there is one, that the value `NOT_KNOWN` of numbered masks is to be ignored.

    The masks say so themselves, until another program saves them. It is not noted where another mask of the folder
    holds the value, which means cells there (0 and 65535 of 16 bits).
    """
    noted = read_noted(data_dir)
    if noted is None or NOT_KNOWN in (noted["ignore"] or ()):
        return
    others = [pair.mask for pair, _ in standing_fields(data_dir) if pair.mask and not is_numbered(pair.mask)]
    if not any(map(_holds_not_known, others)):
        write_json(Path(data_dir) / PREPARED, noted | {"ignore": [*(noted["ignore"] or ()), NOT_KNOWN]})


def _holds_not_known(mask):
    if mask.is_dir() or is_outlines(mask):
        return False
    try:
        return NOT_KNOWN in images.read_mask(mask)
    except InputError:  # of colours, which are other values; or damaged, which others say
        return False
