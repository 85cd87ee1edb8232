"""Training fields cut into tiles, on request: pieces of the picture and of its mask, as they are stored."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pairing import annotations
from pairing.masks import IGNORED
from pairing.outlines import IGNORE, from_pixels
from pairing.pairs import Pair, mask_sources
from pairing.qupath_geojson import write_geojson
from pairing.shades import COLOUR
from pairing.survey import LOSSY_SUFFIXES
from reading import images, intensity
from reading.files import NUMBERED, InputError, is_numbered, replacing
from reading.pixel_size import um_per_px


@dataclass(frozen=True)
class Piece:
    """What becomes one picture of `Train data` or `Test data`: a field, or a tile of one.

    pair : `pairs.Pair` of its files, as they are to be copied.
    part : "train" or "test".
    cut_from, row, column, spread : as in `field_table.Field`; spread the `intensity.Spread`, None of whole fields.
    foreground, pixels : how many of its known pixels the mask marks, and how many there are.
    """

    pair: Pair
    part: str
    foreground: int
    pixels: int
    cut_from: str = ""
    row: int = 0
    column: int = 0
    spread: intensity.Spread | None = None


def tile_starts(length, tile, overlap):
    """Where tiles begin along an axis of `length` pixels: a list of numbers.

    They follow each other every tile − overlap pixels; the last one moves inward to end with the axis. An axis no
    longer than a tile is one tile of its own length.

    >>> tile_starts(600, 256, 0)
    [0, 256, 344]
    """
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def drop_empty(pieces, told):
    """`pieces` with the share `keep_empty` of the tiles without foreground; their order stays."""
    empty = [i for i, piece in enumerate(pieces) if piece.cut_from and not piece.foreground]
    order = np.random.default_rng([told.seed, 0xE397]).permutation(len(empty))
    dropped = {empty[i] for i in order[round(told.keep_empty * len(empty)) :]}
    return [piece for i, piece in enumerate(pieces) if i not in dropped]


def counts_of(ids):
    """(pixels of the foreground, known pixels) of a mask of `masks.MaskCoding.class_ids`."""
    known = ids != IGNORED
    return np.count_nonzero(known & (ids > 0)), np.count_nonzero(known)


def cut_tiles(pair, image, stored, ids, told, folder):
    """The tiles of one training field: a list of `Piece`, written to `folder`/Images and `folder`/Masks.

    Parameters
    ----------
    pair : `pairs.Pair` of the field.
    image, stored, ids : its pixels (height, width, channels), its `masks.StoredMask`, and the class ids of that.
    told : `told.Told`.

    Tiles of which everything is ignored are left out. A field no larger than a tile stays as it is. Raises `InputError`
    for a mask that cannot be cut and stay the same.
    """
    height, width = ids.shape
    rows, columns = (tile_starts(length, told.tile_px, told.overlap_px) for length in ids.shape)
    if len(rows) == len(columns) == 1:
        return [Piece(pair, "train", *counts_of(ids))]
    if pair.mask.suffix.lower() in LOSSY_SUFFIXES and pair.mask.is_file():
        raise InputError(
            f"{pair.mask}: a JPEG mask, whose edges only the whole of it explains; expected another kind to be cut "
            "into tiles. Save it as PNG, or leave --tile-size out."
        )
    spread, size, pieces = intensity.spread_of(image), um_per_px(pair.image), []
    suffix = images.lossless_suffix(image, size)
    for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
        stem = f"{pair.stem}_tile_{i:02d}_{j:02d}"
        place = np.s_[row : min(row + told.tile_px, height), column : min(column + told.tile_px, width)]
        counts = counts_of(ids[place])
        if not counts[1]:
            continue
        tile = replace(pair, stem=stem, image=folder / "Images" / f"{stem}{suffix}")
        images.write(tile.image, image[place], um_per_px=size)
        tile = replace(tile, mask=_cut_mask(pair.mask, stored, place, folder / "Masks" / stem))
        pieces.append(Piece(tile, "train", *counts, pair.image.name, row, column, spread))
    return pieces


def _cut_mask(source, stored, place, target):
    """Write the part of a mask at `place`; returns its path, `target` with an ending. stored: `masks.StoredMask`."""
    (height, width), (row, column) = stored.values[place].shape, (one.start for one in place)
    if source.is_dir():
        for part in mask_sources(source):
            values = images.read_mask(part) if not annotations.is_outlines(part) else None
            if values is None or values[place].any():
                _cut_mask(part, stored if values is None else stored._replace(values=values), place, target / part.stem)
        if not target.exists():  # nothing here: one empty file says so
            images.write(target / "nothing.png", np.zeros((height, width), np.uint8))
        return target
    if annotations.is_outlines(source):
        drawing, path = annotations.read_drawing(source), target.with_name(f"{target.name}.geojson")
        shapes = [shape.moved(-row, -column) for shape in drawing.shapes if _reaches(shape, row, column, height, width)]
        unknown = None if stored.ignored is None else from_pixels(IGNORE, stored.ignored[place])
        write_geojson(path, [*shapes, *filter(None, [unknown])], {"image": source.name, "row": row, "column": column})
        return path
    path = target.with_name(f"{target.name}.png")
    if is_numbered(source):
        images.write_png(path, images.read_mask(source)[place], NUMBERED)
        return path
    values = stored.values[place]
    if values.max() >= COLOUR:
        grey = np.where(values < COLOUR, values, 0)
        channels = [np.where(values < COLOUR, grey, values >> shift & 255) for shift in (16, 8, 0)]
        values = np.stack(channels, axis=-1).astype(np.uint8)
    elif values.min() >= 0 and values.max() < 2**16:
        values = values.astype(np.uint8 if values.max() < 2**8 else np.uint16)
    else:
        path = target.with_name(f"{target.name}.npy")
        with replacing(path) as temporary:
            np.save(temporary, values)
        return path
    images.write(path, values)
    return path


def _reaches(shape, row, column, height, width):
    top, left, tall, wide = shape.box()
    return top < row + height and top + tall > row and left < column + width and left + wide > column
