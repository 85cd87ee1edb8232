"""Raw fields with masks → tiles in `Train data` and `Test data`, and `tiles.csv`, which says where each came from.

Whole groups (slides, patients, fields) go to training or to testing, never parts of one. Pixels are copied, never
resampled: putting the tiles back by `tiles.csv` gives the field and its mask exactly. Nothing that stands in the data
folder already is changed: a second run finds its own files and has nothing to do, or adds the tiles of new pictures.
"""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pairing import pairs
from pairing.coco_pairs import pair_by_coco
from pairing.file_cache import FileCache
from pairing.groups import TILE_TABLE, grouped_by, split_by_group
from pairing.masks import MaskCoding
from pairing.naming import IMAGE_FOLDERS
from pairing.survey import survey
from pairing.tile_names import slide_of
from preparing.fields import cut_fields
from preparing.tile_files import TileWriter, in_the_way, refuse_strangers
from preparing.tiles import (
    TILE_OPTIONS,
    Cutting,
    drop_empty,
    options_text,
    plan_tiles,
    raw_name,
    read_standing,
    table_text,
)
from reading import images, slides
from reading.files import InputError, counted, holds_files, is_hidden, some, stem_of
from reading.folder_lock import in_turn, written_aside

ASIDE = ".prepare-unfinished"  # everything is written here first and moved when it is whole
FIELDS = ".prepare-fields"  # what is cut out of slides stands here while it works
RECORDS = [Path(TILE_OPTIONS), Path(TILE_TABLE)]


@dataclass(frozen=True)
class Prepared:
    """What `prepare_tiles` did.

    tiles : list of `Tile`, the rows of `tiles.csv`.
    empty : number of empty training tiles that the fields hold, kept or not.
    coding : the `masks.MaskCoding` by which the masks were read.
    remarks : list of lines for people: which fields were cut out of slides, what the mask values mean, what is odd.
    written : number of files written; 0 where everything stood there already.
    """

    tiles: list
    empty: int
    coding: MaskCoding
    remarks: list
    written: int

    def table(self):
        """A short text for people."""
        lines = [*self.remarks, f"{'':8}{'groups':>8}{'images':>8}{'tiles':>8}{'empty':>8}{'foreground':>12}"]
        for part in ("train", "test"):
            tiles = [tile for tile in self.tiles if tile.part == part]
            area = sum(tile.height * tile.width for tile in tiles)
            marked = sum(tile.height * tile.width * tile.foreground for tile in tiles)
            counts = (
                len({tile.group for tile in tiles}),
                len({tile.image for tile in tiles}),
                len(tiles),
                sum(tile.foreground == 0 for tile in tiles),
            )
            share = f"{marked / area:12.1%}" if area else f"{'–':>12}"
            lines.append(f"{part:8}" + "".join(f"{count:8}" for count in counts) + share)
        if len({tile.group for tile in self.tiles}) == 1:
            lines.append("one group only, which is not split: nothing is kept for testing")
        kept = sum(tile.part == "train" and tile.foreground == 0 for tile in self.tiles)
        if kept < self.empty:
            lines.append(f"{self.empty - kept} of {self.empty} empty training tiles were left out")
        padded = sum(tile.pad_bottom + tile.pad_right > 0 for tile in self.tiles)
        if padded:
            lines.append(f"{counted(padded, 'tile')} at the border of a field filled up by reflection")
        return "\n".join(lines)


def prepare_tiles(data_dir, source=None, annotations=None, quiet=False, **options):
    """Copy raw images and masks into `Raw data`, and cut them into `Train data` and `Test data`.

    Parameters
    ----------
    data_dir : path of the data folder; made where it is missing.
    source : folder of images with masks, in any form that `pairs.find_pairs` knows, or one image file; it is only
        read. None: what stands in `Raw data`. Of slides, and of images with Region* areas, the fields that
        `fields.cut_fields` finds are taken in their place, as PNG with outlines as GeoJSON.
    annotations : file with what was drawn on `source`, where that is one image or slide.
    quiet : False prints how image and mask were paired, before the work begins, and shows progress.
    options : the fields of `tiles.Cutting`: how tiles are cut, what is kept for testing, what the masks mean.

    Where `data_dir` was prepared before with the same options, groups keep their part and fields their tiles; new ones
    are added, and of new groups as many are tested as `test_share` of all groups still lacks.

    Returns a `Prepared`. Raises `InputError`, with nothing written, for an unreadable image, a missing mask, an option
    out of range, or a file in the data folder that stands in the way.
    """
    cutting, data_dir = Cutting(**options), Path(data_dir)
    with in_turn(data_dir):
        pairing, copying = _find(data_dir, source, annotations)
        if not quiet:
            print(f"{counted(len(pairing.pairs), 'pair')}: {pairing.explanation}", flush=True)
            for unread in pairing.unread:
                print(f"not read: {unread}", flush=True)
        standing, left_out = read_standing(data_dir, cutting)
        with _fields_of(pairing, data_dir, copying, quiet) as (found, remarks):
            found = found if cutting.group_by is None else grouped_by(found, cutting.group_by)
            found = sorted(found, key=lambda pair: pair.stem)
            _refuse_changes(data_dir, found, standing)
            contents = FileCache()
            seen = survey(found, quiet, contents)
            coding = seen.coding(cutting.classes, cutting.foreground)
            if cutting.foreground:
                seen.refuse_rare(coding, cutting.foreground)
            tested = _tested_groups(found, standing, left_out, cutting)
            planned = []
            for pair, size in zip(
                found, tqdm(seen.sizes, "plan", unit="image", leave=False, delay=1, disable=quiet or None), strict=True
            ):
                mask = coding.decode(contents.mask(pair, size).values)
                planned += plan_tiles(pair, mask, "test" if pair.group in tested else "train", cutting)
            tiles, empty = _kept(planned, standing, left_out, cutting)
            if not any(tile.part == "train" for tile in tiles):
                raise InputError(
                    f"no training tile is left: none holds foreground and --keep-empty is {cutting.keep_empty}; "
                    "expected some. Keep more empty tiles, or choose another --seed."
                )
            refuse_strangers(data_dir, tiles, found if copying else None)
            with written_aside(data_dir, ASIDE, _order, RECORDS, in_the_way) as aside:
                writer = TileWriter(data_dir, aside.path, coding, copying, data_dir / FIELDS, contents)
                tiles = writer.write(found, tiles, quiet)
                if changed := set(standing) - set(tiles):
                    changed = some(sorted({tile.image for tile in changed}))
                    raise in_the_way(data_dir / TILE_TABLE, f", since {changed} changed")
                gone = {tile.image for tile in planned} - {tile.image for tile in tiles}
                writer.write_text(TILE_OPTIONS, options_text(cutting, coding.explanation, gone))
                writer.write_text(TILE_TABLE, table_text(tiles))
    return Prepared(tiles, empty, coding, [*remarks, coding.explanation, *seen.notes(coding)], aside.moved)


def _order(path):
    """Files are moved by name, the two that list the others last: what they list is there then."""
    return RECORDS.index(path) if path in RECORDS else -1, path


# ------------------------------------------------------------------------------------------------------------- finding


def _find(data_dir, source, annotations):
    """The `pairs.Pairing` to cut, and True where they are to be copied into `Raw data` first."""
    raw_dir = data_dir / "Raw data"
    if source is None and annotations is not None:
        raise InputError(f"{annotations}: annotations of no image; expected --source FILE beside it. Name the image.")
    if source is None and is_cut_short(data_dir):
        raise InputError(
            f"{data_dir / ASIDE}: left by a prepare that was cut short, so {raw_dir} may not be whole; expected it to "
            "be run again with the same --source. Do that, or delete this folder."
        )
    source = raw_dir if source is None else Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such folder; expected one with Images and Masks in it. Check the path.")
    if source.is_file():
        return pairs.Pairing([_annotated(source, annotations)], f"{source.name} ↔ {annotations}"), True
    if annotations is not None:
        raise InputError(
            f"{annotations}: annotations for a folder ({source}); expected one image file with --annotations. "
            "Put the files of annotations beside the images instead."
        )
    if (source / "Raw data").is_dir():
        own = pairs.own_pictures(source)
        if own is None:
            source = source / "Raw data"
        elif own.parent.resolve() != source.resolve() or own.name.casefold() not in IMAGE_FOLDERS:
            raise InputError(
                f"{source}: images in {own} and a folder Raw data beside them; expected one place. Name the folder "
                "with --source that holds your images alone, or move them into Raw data with their masks."
            )
    return pairs.find_pairing(source, with_slides=True), source.resolve() != raw_dir.resolve()


def is_cut_short(data_dir):
    """True where `data_dir` holds the rest of a `prepare_tiles` that was killed before all of `Raw data` was there."""
    aside = Path(data_dir) / ASIDE
    return (aside / "Raw data").exists() or (aside.exists() and not holds_files(aside.parent / "Raw data"))


def refuse_forgotten_source(data_dir):
    """Raise `InputError` where `data_dir`, without raw images, holds the user's own: those in it wait for --source.

    The sample belongs into a folder of its own.
    """
    data_dir = Path(data_dir)
    if own := pairs.own_pictures(data_dir):
        raise InputError(
            f"{data_dir}: no Raw data, but images found in {own}: run python main.py prepare "
            f'--source "{data_dir}" --data my_folder'
        )
    expected = {"readme.md", "check.png", *(f"{part} data" for part in ("raw", "train", "test"))}
    for path in sorted(data_dir.glob("*")):
        if not is_hidden(path) and path.name.casefold() not in expected:
            raise InputError(
                f"{path}: stands where the sample would be written; expected an empty folder, or your images in "
                f"{data_dir / 'Raw data'}. Name another with --data."
            )


def _annotated(image, annotations):
    if annotations is None:
        raise InputError(
            f"{image}: one image without a mask; expected a folder with Images and Masks, or --annotations FILE "
            "beside --source FILE. Name one of these."
        )
    if not Path(annotations).is_file():
        raise InputError(f"{annotations}: no such file; expected annotations such as a GeoJSON. Check the path.")
    if image.suffix.lower() not in images.IMAGE_SUFFIXES | slides.SUFFIXES:
        raise InputError(
            f"{image}: no image or slide by its name; expected TIFF, PNG, JPEG, {', '.join(sorted(slides.SUFFIXES))}. "
            "Export it as TIFF, in QuPath for example."
        )
    stem, mask = stem_of(image), Path(annotations)
    return pairs.Pair(stem, image, pair_by_coco([image], [mask])[0].get(image, mask), slide_of(stem))


@contextmanager
def _fields_of(pairing, data_dir, copying, quiet):
    """(pairs, remarks) of `fields.cut_fields`, as long as the block lasts."""
    shutil.rmtree(data_dir / FIELDS, ignore_errors=True)
    try:
        found, remarks = cut_fields(pairing.pairs, data_dir / FIELDS, quiet)
        if not copying:  # beside slides in `Raw data` stand the fields that an earlier run cut out of them
            cut = {pair.stem for pair in found if pair.image.is_relative_to(data_dir / FIELDS)}
            found = [pair for pair in found if pair.stem not in cut or pair.image.is_relative_to(data_dir / FIELDS)]
        yield found, remarks
    finally:
        shutil.rmtree(data_dir / FIELDS, ignore_errors=True)


# -------------------------------------------------------------------------------------------- what stands there already


def _refuse_changes(data_dir, found, standing):
    """`InputError` where a field that tiles were cut from is not there any more, or is of another group now."""
    groups = {raw_name(pair): pair.group for pair in found}
    gone = sorted({tile.image for tile in standing} - groups.keys())
    if gone:
        raise InputError(
            f"{data_dir / TILE_TABLE}: lists tiles of {some(gone)}, which this prepare was not given; expected all "
            "pictures of before, and new ones beside them. Put the new ones with their masks into Raw data and leave "
            f"--source out, or move Train data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away first."
        )
    moved = [tile for tile in standing if tile.group != groups[tile.image]]
    if moved:
        raise InputError(
            f"{data_dir / TILE_TABLE}: {moved[0].image} is of group {moved[0].group}, and of "
            f"{groups[moved[0].image]} now; "
            "expected the groups of before. Give the same --group-by, name an empty folder with --data, or move Train "
            f"data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away first."
        )


def _tested_groups(found, standing, left_out, cutting):
    """The groups whose tiles are kept for testing: those of before, and of new ones as many as `share` asks for."""
    share, seed = cutting.test_share, cutting.seed
    if not share:
        return set()
    if not standing:
        return {pair.group for pair in split_by_group(found, share, seed)[1]}
    tested = {tile.group for tile in standing if tile.part == "test"}
    trained = {tile.group for tile in standing if tile.part == "train"}
    trained |= {pair.group for pair in found if raw_name(pair) in left_out}  # of test fields no tile is left out
    new = [pair for pair in found if pair.group not in tested | trained]
    groups = {pair.group for pair in found}
    lacking = (max(1, int(share * len(groups))) if len(groups) > 1 else 0) - len(tested)
    return tested | set(_shuffled({pair.group for pair in new}, seed)[: max(0, lacking)])


def _shuffled(groups, seed):
    groups = sorted(groups)
    return [groups[i] for i in np.random.default_rng([seed, 0x5EED]).permutation(len(groups))]


def _kept(planned, standing, left_out, cutting):
    """The planned tiles to write: of fields that were cut before the same as then; (tiles, empty training tiles)."""
    known = {tile.image for tile in standing} | left_out
    stems = {(tile.image, Path(tile.file).stem) for tile in standing}
    new = set(drop_empty([tile for tile in planned if tile.image not in known], cutting)[0])
    empty = sum(tile.part == "train" and tile.foreground == 0 for tile in planned)
    return [tile for tile in planned if tile in new or (tile.image, Path(tile.file).stem) in stems], empty
