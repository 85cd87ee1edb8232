"""Raw fields with masks → tiles in `Train data` and `Test data`, and `tiles.csv`, which says where each came from.

Whole groups (slides, patients, fields) go to training or to testing, never parts of one. Pixels are copied, never
resampled: putting the tiles back by `tiles.csv` gives the field and its mask exactly. Nothing that stands in the data
folder already is changed: a second run finds its own files and has nothing to do, or adds the tiles of new pictures.
"""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from filecmp import cmp
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pairing import pairs
from pairing.groups import TILE_TABLE, group_of, grouped_by, split_by_group
from pairing.masks import MaskCoding, read_mask_of
from pairing.naming import IMAGE_FOLDERS
from pairing.survey import survey
from preparing.fields import cut_fields
from preparing.tiles import TILE_OPTIONS, drop_empty, options_text, plan_tiles, raw_name, read_standing, table_text
from reading import images, intensity, slides
from reading.files import InputError, holds_files, is_hidden, replacing, some

TILE_TABLE = TILE_TABLE
ASIDE = ".prepare-unfinished"  # everything is written here first and moved when it is whole
FIELDS = ".prepare-fields"  # what is cut out of slides stands here while it works


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
            lines.append(f"{padded} tiles at the border of their field are filled up by reflection")
        return "\n".join(lines)


def prepare_tiles(
    data_dir, source=None, annotations=None, *, tile_px=256, overlap_px=0, keep_empty=1.0, test_share=0.2,
    group_by=None, classes=1, foreground=None, seed=0, quiet=False,
):  # fmt: skip
    """Copy raw images and masks into `Raw data`, and cut them into `Train data` and `Test data`.

    Parameters
    ----------
    data_dir : path of the data folder; made where it is missing.
    source : folder of images with masks, in any form that `pairs.find_pairs` knows, or one image file; it is only
        read. None: what stands in `Raw data`. Of slides, and of images with Region* areas, the fields that
        `regions.cut_fields` finds are taken in their place, as PNG with outlines as GeoJSON.
    annotations : file with what was drawn on `source`, where that is one image or slide.
    tile_px : side of a tile. An image shorter than this keeps its own length: nothing is enlarged.
    overlap_px : pixels that neighbouring tiles share at least, three quarters of tile_px at most.
    keep_empty : share, 0…1, of the training tiles without foreground that is kept. Test tiles are all kept, since a
        score must count what is found where nothing is.
    test_share : share of the groups that is kept for testing, 0 up to but not including 1.
    group_by : regular expression or CSV file for `groups.grouped_by`; None: groups by file name (`pairs.group_of`).
    classes, foreground : as in `survey.Survey.coding`. Masks are written with 0 and 255, or with the class ids.
    seed : decides which groups are tested and which empty tiles are kept.
    quiet : False prints how image and mask were paired, before the work begins, and shows progress.

    Where `data_dir` was prepared before with the same options, groups keep their part and fields their tiles; new ones
    are added, and of new groups as many are tested as `test_share` of all groups still lacks.

    Returns a `Prepared`. Raises `InputError`, with nothing written, for an unreadable image, a missing mask, an option
    out of range, or a file in the data folder that stands in the way.
    """
    _check_options(tile_px, overlap_px, keep_empty, test_share)
    data_dir = Path(data_dir)
    pairing, copying = _find(data_dir, source, annotations)
    if not quiet:
        print(f"{len(pairing.pairs)} pairs: {pairing.explanation}", flush=True)
    options = {"tile_px": tile_px, "overlap_px": overlap_px, "keep_empty": keep_empty, "test_share": test_share}
    options |= {
        "seed": seed,
        "classes": classes,
        "foreground": None if foreground is None else sorted(foreground, key=str),
    }
    standing, left_out = read_standing(data_dir, options)
    with _fields_of(pairing, data_dir, copying, quiet) as (found, remarks):
        found = found if group_by is None else grouped_by(found, group_by)
        found = sorted(found, key=lambda pair: pair.stem)
        _refuse_changes(data_dir, found, standing)

        seen = survey(found, quiet=quiet)
        coding = seen.coding(classes, foreground)
        tested = _tested_groups(found, standing, left_out, test_share, seed)
        planned = []
        for pair, size in zip(found, tqdm(seen.sizes, "plan", unit="image", leave=False, delay=1), strict=True):
            mask = coding.decode(read_mask_of(pair, size))
            planned += plan_tiles(pair, mask, "test" if pair.group in tested else "train", tile_px, overlap_px)
        tiles, empty = _kept(planned, standing, left_out, keep_empty, seed)
        if not any(tile.part == "train" for tile in tiles):
            raise InputError(
                f"no training tile is left: none holds foreground and --keep-empty is {keep_empty}; expected some. "
                "Keep more empty tiles, or choose another --seed."
            )
        _refuse_strangers(data_dir, tiles, found if copying else None)

        aside, made = data_dir / ASIDE, not data_dir.exists()
        shutil.rmtree(aside, ignore_errors=True)
        try:
            tiles = _write_aside(data_dir, found, tiles, coding, copying, quiet)
            if changed := set(standing) - set(tiles):
                raise _in_the_way(data_dir / TILE_TABLE, f", since {some(sorted({t.image for t in changed}))} changed")
            gone = {tile.image for tile in planned} - {tile.image for tile in tiles}
            _write_text(data_dir, TILE_OPTIONS, options_text(options, coding.explanation, gone))
            _write_text(data_dir, TILE_TABLE, table_text(tiles))
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            if made:
                with suppress(OSError):  # it holds something by now
                    data_dir.rmdir()
            raise
    remarks = [*remarks, coding.explanation, *seen.notes(coding)]
    return Prepared(tiles, empty, coding, remarks, _move(aside, data_dir))


def _check_options(tile_px, overlap_px, keep_empty, test_share):
    if tile_px < 1:
        raise InputError(f"tile size {tile_px}; expected at least 1 pixel. Leave it out for 256.")
    if not 0 <= overlap_px <= tile_px * 3 // 4:  # each pixel is then in up to 16 tiles; beyond, in thousands
        raise InputError(
            f"overlap {overlap_px}; expected 0 to {tile_px * 3 // 4}, three quarters of the tile size of {tile_px}. "
            "Choose a smaller one."
        )
    if not 0 <= keep_empty <= 1:
        raise InputError(f"share of empty tiles {keep_empty}; expected 0 (none kept) to 1 (all). Choose one of these.")
    if not 0 <= test_share < 1:
        raise InputError(f"share for testing {test_share}; expected 0 up to, not including, 1. Leave it out for 0.2.")


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
    return pairs.Pair(image.stem, image, Path(annotations), group_of(image.stem))


@contextmanager
def _fields_of(pairing, data_dir, copying, quiet):
    """(pairs, remarks) of `regions.cut_fields`, as long as the block lasts."""
    shutil.rmtree(data_dir / FIELDS, ignore_errors=True)
    try:
        found, remarks = cut_fields(pairing.pairs, data_dir / FIELDS, quiet)
        if not copying:  # beside slides in `Raw data` stand the fields that an earlier run cut out of them
            cut = {pair.stem for pair in found if _is_cut(pair.image, data_dir)}
            found = [pair for pair in found if pair.stem not in cut or _is_cut(pair.image, data_dir)]
        yield found, remarks
    finally:
        shutil.rmtree(data_dir / FIELDS, ignore_errors=True)


def _is_cut(path, data_dir):
    return path.is_relative_to(data_dir / FIELDS)


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


def _tested_groups(found, standing, left_out, share, seed):
    """The groups whose tiles are kept for testing: those of before, and of new ones as many as `share` asks for."""
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


def _kept(planned, standing, left_out, keep_empty, seed):
    """The planned tiles to write: of fields that were cut before the same as then; (tiles, empty training tiles)."""
    known = {tile.image for tile in standing} | left_out
    stems = {(tile.image, Path(tile.file).stem) for tile in standing}
    new = set(drop_empty([tile for tile in planned if tile.image not in known], keep_empty, seed)[0])
    empty = sum(tile.part == "train" and tile.foreground == 0 for tile in planned)
    return [tile for tile in planned if tile in new or (tile.image, Path(tile.file).stem) in stems], empty


# ------------------------------------------------------------------------------------------------- writing and moving


def _refuse_strangers(data_dir, tiles, copied):
    """`InputError` where two tiles would share a name, or a folder holds files that this run would not write."""
    expected = {f"{part} data/{kind}": set() for part in ("Train", "Test") for kind in ("Images", "Masks")}
    for tile in tiles:
        for kind in ("Images", "Masks"):
            names, stem = expected[f"{tile.part.capitalize()} data/{kind}"], Path(tile.file).stem
            if tile.file in names:
                raise InputError(
                    f"{tile.image}: its tile would be named {tile.file} like that of another image; expected different "
                    "names. Rename one of the images."
                )
            names |= {f"{stem}.png", f"{stem}.tif"} if kind == "Images" else {f"{stem}.png"}
    if copied is not None:
        expected["Raw data/Images"] = {raw_name(pair) for pair in copied}
        expected["Raw data/Masks"] = {name.split("/")[0] for pair in copied for name in _raw_masks(pair).values()}
    for folder, names in expected.items():
        for path in sorted((data_dir / folder).glob("*")):
            if not is_hidden(path) and path.name not in names:
                raise _in_the_way(path)


def _in_the_way(path, reason=", since this prepare would not write it so"):
    return InputError(
        f"{path}: stands in the way{reason}; nothing was changed. Name an empty folder with --data, or move Train "
        f"data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away first."
    )


def _raw_masks(pair):
    """The files of a mask, each with its name in `Raw data/Masks`: one, or a folder of them named after the image."""
    if pair.mask.is_dir():
        files = sorted(path for path in pair.mask.iterdir() if path.is_file() and not is_hidden(path))
        return {path: f"{pair.stem}/{path.name}" for path in files}
    return {pair.mask: pair.stem + pair.mask.suffix}


def _write_aside(data_dir, found, tiles, coding, copying, quiet):
    """Write what `data_dir` does not hold yet into its folder `ASIDE`; returns the tiles with their final names."""
    by_image = {}
    for tile in tiles:
        by_image.setdefault(tile.image, []).append(tile)

    stop = threading.Event()

    def work(pair):
        if stop.is_set():
            return []
        image = images.read(pair.image)
        mask = coding.decode(read_mask_of(pair, image.shape[:2]))
        if copying or _is_cut(pair.image, data_dir):
            _copy(pair.image, data_dir, f"Raw data/Images/{raw_name(pair)}")
            for path, name in _raw_masks(pair).items():
                _copy(path, data_dir, f"Raw data/Masks/{name}")
        mask = mask * np.uint8(255) if coding.classes == 1 else mask
        suffix, done = images.lossless_suffix(image), []
        low, high = (" ".join(f"{value:.6g}" for value in levels) for levels in intensity.intensity_range(image))
        for tile in by_image.get(raw_name(pair), ()):
            if stop.is_set():
                break
            folder, stem = f"{tile.part.capitalize()} data", Path(tile.file).stem
            tile = replace(tile, file=stem + suffix, low=low, high=high)
            _write(data_dir, f"{folder}/Images/{tile.file}", tile.cut(image))
            _write(data_dir, f"{folder}/Masks/{stem}.png", tile.cut(mask))
            done.append(tile)
        return done

    with ThreadPoolExecutor(2) as pool:
        try:
            bar = tqdm(pool.map(work, found), "cut", len(found), unit="image", leave=False, delay=1, disable=quiet)
            return [tile for done in bar for tile in done]
        except BaseException:  # Ctrl-C, or one of them failed: drop what waits, end what runs
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _copy(path, data_dir, name):
    if (data_dir / name).exists():
        if not cmp(path, data_dir / name, shallow=False) and not _is_same_field(path, data_dir, name):
            raise _in_the_way(data_dir / name)
        return
    target = data_dir / ASIDE / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _is_same_field(path, data_dir, name):
    """True for a field cut from a slide whose pixels stand there already, compressed by another version of Pillow."""
    if not _is_cut(path, data_dir) or path.suffix not in images.IMAGE_SUFFIXES:
        return False
    standing, cut = images.read(data_dir / name), images.read(path)
    return standing.dtype == cut.dtype and np.array_equal(standing, cut)


def _write(data_dir, name, array):
    """Write (height, width[, channels]) as PNG or TIFF by its name, unless the same picture stands there already."""
    if (data_dir / name).exists():
        stored = images.read_mask(data_dir / name) if array.ndim == 2 else images.read(data_dir / name)
        if stored.dtype != array.dtype or not np.array_equal(stored, array):
            raise _in_the_way(data_dir / name)
        return
    images.write(data_dir / ASIDE / name, array)


def _write_text(data_dir, name, text):
    """Write `tiles.csv` or `tiles.json` aside, unless it stands there so; `read_standing` has refused others' files."""
    if not (data_dir / name).exists() or (data_dir / name).read_bytes() != text.encode():
        with replacing(data_dir / ASIDE / name) as temporary:
            temporary.write_bytes(text.encode())


def _move(aside, data_dir):
    """Move what was written aside to its place, `tiles.json` and `tiles.csv` last; returns the number of files."""
    records = [aside / TILE_OPTIONS, aside / TILE_TABLE]
    paths = sorted(path for path in aside.rglob("*") if path.is_file() and path not in records)
    paths += [path for path in records if path.exists()]
    for path in paths:
        target = data_dir / path.relative_to(aside)
        if target.exists() and path not in records:  # it came while this ran
            raise _in_the_way(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    shutil.rmtree(aside, ignore_errors=True)
    return len(paths)
