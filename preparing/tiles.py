"""Tiles of a field: where they lie, which are kept, and what `prepare` keeps of them in tiles.csv and tiles.json."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from pairing.groups import TILE_TABLE
from reading import stacks
from reading.files import InputError

TILE_OPTIONS = "tiles.json"  # beside it: which values of the raw masks are foreground in the tiles


@dataclass(frozen=True)
class Cutting:
    """How fields are cut into tiles, and what becomes of them. Raises `InputError` for a value out of range.

    tile_px : side of a tile. An image shorter than this keeps its own length: nothing is enlarged.
    overlap_px : pixels that neighbouring tiles share at least, three quarters of tile_px at most.
    keep_empty : share, 0…1, of the training tiles without foreground that is kept. Test tiles are all kept, since a
        score must count what is found where nothing is.
    test_share : share of the groups that is kept for testing, 0 up to but not including 1.
    group_by : regular expression or CSV file for `groups.grouped_by`; None: groups by file name (`groups.groups_of`).
    classes, foreground : as in `survey.Survey.coding`. Masks are written with 0 and 255, or with the class ids.
    seed : decides which groups are tested and which empty tiles are kept.
    stack : how stacks of planes are read as one picture, `stacks.HOW`.
    """

    tile_px: int = 256
    overlap_px: int = 0
    keep_empty: float = 1.0
    test_share: float = 0.2
    group_by: str | Path | None = None
    classes: int = 1
    foreground: tuple | None = None
    seed: int = 0
    stack: str | int | None = field(default_factory=lambda: stacks.HOW)

    def __post_init__(self):
        tile_px, most = self.tile_px, self.tile_px * 3 // 4
        if tile_px < 1:
            raise InputError(f"tile size {tile_px}; expected at least 1 pixel. Leave it out for 256.")
        if not 0 <= self.overlap_px <= most:  # each pixel is then in up to 16 tiles; beyond, in thousands
            raise InputError(
                f"overlap {self.overlap_px}; expected 0 to {most}, three quarters of the tile size of {tile_px}. "
                "Choose a smaller one."
            )
        if not 0 <= self.keep_empty <= 1:
            raise InputError(
                f"share of empty tiles {self.keep_empty}; expected 0 (none kept) to 1 (all). Choose one of these."
            )
        if not 0 <= self.test_share < 1:
            raise InputError(
                f"share for testing {self.test_share}; expected 0 up to, not including, 1. Leave it out for 0.2."
            )

    def recorded(self):
        """What `tiles.json` keeps of it, a dictionary: all but the groups, which `tiles.csv` has."""
        kept = {name: getattr(self, name) for name in OPTIONS}
        kept |= {"foreground": self.foreground and sorted(self.foreground, key=str)}
        return kept | ({"stack": self.stack} if self.stack else {})


OPTIONS = {
    "tile_px": "--tile-size", "overlap_px": "--overlap", "keep_empty": "--keep-empty", "test_share": "--test-share",
    "seed": "--seed", "classes": "--classes", "foreground": "--foreground",
}  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """One row of `tiles.csv`; all lengths in pixels.

    file : the tile in `<part> data/Images`; its mask in `<part> data/Masks` has the same stem and is a PNG.
    image : the field in `Raw data/Images` that it was cut from.
    row, column : where its first pixel lies in the field.
    height, width : how much of the field it holds, from its first pixel on.
    pad_bottom, pad_right : rows and columns after that, which are the field mirrored at its border.
    group : slide, patient or field; all tiles of one are in one part.
    part : "train" or "test".
    foreground : share of its height × width pixels that the mask marks, 0…1.
    low, high, least : the `intensity.Spread` of the field, one number a channel with spaces between; known once the
        field is read to be cut.
    """

    file: str
    image: str
    row: int
    column: int
    height: int
    width: int
    pad_bottom: int
    pad_right: int
    group: str
    part: str
    foreground: float
    low: str = ""
    high: str = ""
    least: str = ""

    def cut(self, field):
        """The tile of a field or mask of shape (H, W) or (H, W, channels)."""
        return field[
            np.ix_(
                _mirrored(self.row, self.height + self.pad_bottom, field.shape[0]),
                _mirrored(self.column, self.width + self.pad_right, field.shape[1]),
            )
        ]


def tile_spans(length, tile, overlap):
    """Where tiles lie along an axis of `length` pixels: a list of (first, pixels, padding).

    Tiles start every tile − overlap pixels; the last one reaches past the end by `padding`. An axis no longer than a
    tile is one tile of its own length.

    >>> tile_spans(600, 256, 0)
    [(0, 256, 0), (256, 256, 0), (512, 88, 168)]
    """
    if length <= tile:
        return [(0, length, 0)]
    starts = range(0, length - overlap, tile - overlap)
    return [(first, min(tile, length - first), max(0, first + tile - length)) for first in starts]


def plan_tiles(pair, mask, part, cutting):
    """The tiles of one field, from the pair and its class ids, (height, width) integers; a list of `Tile`."""
    rows, columns = (tile_spans(length, cutting.tile_px, cutting.overlap_px) for length in mask.shape)
    whole = len(rows) == len(columns) == 1
    tiles = []
    for i, (row, height, pad_bottom) in enumerate(rows):
        for j, (column, width, pad_right) in enumerate(columns):
            marked = np.count_nonzero(mask[row : row + height, column : column + width])
            tiles.append(
                Tile(
                    file=f"{pair.stem}.png" if whole else f"{pair.stem}_tile_{i:02d}_{j:02d}.png",
                    image=raw_name(pair),
                    row=row,
                    column=column,
                    height=height,
                    width=width,
                    pad_bottom=pad_bottom,
                    pad_right=pad_right,
                    group=pair.group,
                    part=part,
                    foreground=float(f"{marked / (height * width):.6g}"),
                )  # fmt: skip
            )
    return tiles


def drop_empty(tiles, cutting):
    """Keep the share `keep_empty` of the training tiles without foreground; returns (tiles, their number).

    The order of `tiles` stays. The number is that of the empty training tiles before.
    """
    empty = [i for i, tile in enumerate(tiles) if tile.part == "train" and tile.foreground == 0]
    order = np.random.default_rng([cutting.seed, 0xE397]).permutation(len(empty))
    dropped = {empty[i] for i in order[round(cutting.keep_empty * len(empty)) :]}
    return [tile for i, tile in enumerate(tiles) if i not in dropped], len(empty)


def _mirrored(first, count, length):
    """Indices first … first + count − 1 of an axis, those past its end mirrored back (…, c, d | d, c, …)."""
    index = np.arange(first, first + count)
    return np.where(index < length, index, 2 * length - 1 - index)


def raw_name(pair):
    return pair.image.name


def _in_order(foreground):
    """What --foreground names, numbers and texts, in an order of its own, so that two of them can be compared."""
    return sorted(str(value).casefold() for value in foreground)


def table_text(tiles, columns=None):
    """The text of `tiles.csv`; columns: their names, where they are not all."""
    text, columns = io.StringIO(), columns or [column.name for column in fields(Tile)]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(tile) for tile in tiles)
    return text.getvalue()


def options_text(cutting, meaning, left_out):
    """The text of `tiles.json`: how the tiles were cut, what the masks mean, and the fields of which none was kept."""
    return _json_text(cutting.recorded() | {"meaning": meaning, "left_out": sorted(left_out)})


def _json_text(value):
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_standing(data_dir, cutting):
    """What an earlier run cut into a data folder.

    Parameters: cutting, `Cutting`, to be compared with that of before.
    Returns (tiles, left_out): list of `Tile`, [] where none was cut, and the set of the fields of which no tile was
    kept. Raises `InputError` where the options differ, and where `tiles.csv` or `tiles.json` is not as it was written.
    """
    data_dir, options, tiles, left_out = Path(data_dir), cutting.recorded(), [], set()
    away = (
        f"name an empty folder with --data, or move Train data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away first."
    )
    path = data_dir / TILE_TABLE
    try:
        if path.exists():
            text = path.read_bytes().decode()
            rows = csv.DictReader(io.StringIO(text, newline=""))
            known = [column for column in fields(Tile) if column.name != "least" or column.name in rows.fieldnames]
            for row in rows:  # of an earlier version where it has no `least`
                tiles.append(Tile(**{column.name: column.type(row[column.name]) for column in known}))
            if table_text(tiles, [column.name for column in known]) != text:
                raise ValueError
        path = data_dir / TILE_OPTIONS
        if path.exists():
            text = path.read_bytes().decode()
            cut = json.loads(text)
            left_out = set(cut["left_out"])
            if _json_text(cut) != text:
                raise ValueError
            then, now = ({"stack": None} | given for given in (cut, options))  # noted where it was given
            other = [
                f"{option} {_shown(then[name])}, now {_shown(now[name])}"
                for name, option in (OPTIONS | {"stack": "--stack"}).items()
                if then[name] != now[name]
            ]
            if other:
                raise InputError(
                    f"{path}: the tiles there were cut with {'; '.join(other)}; expected the options of before. Give "
                    f"these, {away}"
                )
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: stands in the way, not as prepare wrote it; nothing was changed. To go on, {away}"
        ) from error
    return tiles, left_out


def _shown(value):
    return "not given" if value is None else ",".join(map(str, value)) if isinstance(value, list) else value


def _told(data_dir):
    """What `prepare` was told of the masks: (classes, foreground in an order of its own or None, meaning in words).

    None where it was not asked. Raises `InputError` for a damaged file.
    """
    path = Path(data_dir) / TILE_OPTIONS
    if not path.is_file():
        return None
    try:
        cut = json.loads(path.read_text(encoding="utf-8"))
        used = cut["foreground"] and _in_order(cut["foreground"])
        return int(cut["classes"]), used, cut["meaning"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged; expected what `prepare` writes there. Delete it and run: python main.py prepare "
            f'--data "{data_dir}" with the options of before.'
        ) from error


def prepared_classes(data_dir):
    """The --classes that `prepare` was told for a data folder; None where it has written none of the masks there."""
    told = _told(data_dir)
    return None if told is None else told[0]


def classes_in_tiles(data_dir, classes=None, foreground=None):
    """The number of classes to learn in a data folder: as given, else as `prepare` was told, else 1.

    Parameters: classes, None where not given; foreground, as in `foreground_in_tiles`, of which one is enough to learn
    one class of several. Raises `InputError` where the tiles hold several classes and another number is given.
    """
    prepared = prepared_classes(data_dir)
    if prepared in (None, 1):
        return classes or 1
    if foreground is not None and classes in (None, 1):
        return 1
    if classes not in (None, prepared):
        raise InputError(
            f"--classes {classes} received, but by {Path(data_dir) / TILE_OPTIONS} the masks were prepared with "
            f"--classes {prepared}; expected the same. Leave the option out, or name with --foreground those of the "
            f"values 1 to {prepared - 1} that are to be found as one class."
        )
    return prepared


def foreground_in_tiles(data_dir, classes=1, foreground=None):
    """The mask values that count as foreground in a data folder, tiles of `prepare_tiles` or not.

    In such tiles foreground is 255, whatever it was in the raw masks. So the values that they were cut with become
    None here (detect), others are refused, and without tiles `foreground` comes back as it is.

    Parameters: classes, foreground, as in `survey.Survey.coding`. Raises `InputError` for another meaning of the masks
    than the one they were cut with.
    """
    told = _told(data_dir)
    if told is None or told[0] > 1 or (classes == 1 and foreground is None):
        return foreground
    _, used, meaning = told
    if classes > 1 or _in_order(foreground) != used:
        given = f"--classes {classes}" if classes > 1 else f"--foreground {','.join(map(str, foreground))}"
        path = Path(data_dir) / TILE_OPTIONS
        raise InputError(
            f"{given} received, but by {path} the tiles were cut for one class ({meaning}); expected the same. Leave "
            f"the option out, or move Train data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away to cut them anew."
        )
    return None


def stack_of_tiles(data_dir):
    """How the stacks that tiles were cut from became one picture, as `stacks.HOW`; None where there were none.

    `foreground_in_tiles`, asked first, refuses a damaged `tiles.json`.
    """
    path = Path(data_dir) / TILE_OPTIONS
    return json.loads(path.read_text(encoding="utf-8")).get("stack") if path.is_file() else None
