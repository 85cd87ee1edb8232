"""What `prepare` writes into a data folder: tiles, the raw files that they were cut from, and the refusal of the rest.

Nothing that stands there already is changed: it is the same, or in the way.
"""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from filecmp import cmp
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pairing.annotations import suffix_of
from pairing.groups import TILE_TABLE
from preparing.tiles import TILE_OPTIONS, raw_name
from reading import images, intensity
from reading.files import InputError, as_one_name, is_hidden, replacing


def in_the_way(path, reason=", since this prepare would not write it so"):
    """The `InputError` for a file that stands where another would be written."""
    return InputError(
        f"{path}: stands in the way{reason}; nothing was changed. Name an empty folder with --data, or move Train "
        f"data, Test data, {TILE_TABLE} and {TILE_OPTIONS} away first."
    )


def refuse_strangers(data_dir, tiles, copied):
    """`InputError` where two tiles would share a name, or a folder holds files that this run would not write."""
    expected = {f"{part} data/{kind}": set() for part in ("Train", "Test") for kind in ("Images", "Masks")}
    named = set()
    for tile in tiles:
        if as_one_name(tile.file) in named:
            raise InputError(
                f"{tile.image}: its tile would be named {tile.file} like that of another image; expected different "
                "names. Rename one of the images."
            )
        named.add(as_one_name(tile.file))
        for kind in ("Images", "Masks"):
            names, stem = expected[f"{tile.part.capitalize()} data/{kind}"], Path(tile.file).stem
            names |= {f"{stem}.png", f"{stem}.tif"} if kind == "Images" else {f"{stem}.png"}
    if copied is not None:
        expected["Raw data/Images"] = {raw_name(pair) for pair in copied}
        expected["Raw data/Masks"] = {name.split("/")[0] for pair in copied for name in _raw_masks(pair).values()}
    for folder, names in expected.items():
        for path in sorted((data_dir / folder).glob("*")):
            if not is_hidden(path) and path.name not in names:
                raise in_the_way(path)


def _raw_masks(pair):
    """The files of a mask, each with its name in `Raw data/Masks`: one, or a folder of them named after the image."""
    if pair.mask.is_dir():
        files = sorted(path for path in pair.mask.iterdir() if path.is_file() and not is_hidden(path))
        return {path: f"{pair.stem}/{path.name}" for path in files}
    return {pair.mask: pair.stem + (suffix_of(pair.mask) or pair.mask.suffix)}


class TileWriter:
    """Writes what a data folder does not hold yet into a folder aside.

    Parameters
    ----------
    data_dir, aside : paths of the two.
    coding : `masks.MaskCoding` of the masks.
    copying : True where the raw files are to be copied into `Raw data` too.
    cut_dir : folder of the fields that were cut out of slides; these are copied in any case.
    contents : `file_cache.FileCache`, which has read the files.
    """

    def __init__(self, data_dir, aside, coding, copying, cut_dir, contents):
        self.data_dir, self.aside, self.coding = data_dir, aside, coding
        self.copying, self.cut_dir, self.contents = copying, cut_dir, contents

    def write(self, found, tiles, quiet=False):
        """Write the tiles of all pairs `found`; returns the tiles with their final names and intensity ranges."""
        by_image = {}
        for tile in tiles:
            by_image.setdefault(tile.image, []).append(tile)
        stop = threading.Event()

        def work(pair):
            return [] if stop.is_set() else self._write_field(pair, by_image.get(raw_name(pair), ()), stop)

        with ThreadPoolExecutor(2) as pool:
            try:
                bar = tqdm(
                    pool.map(work, found), "cut", len(found), unit="image", leave=False, delay=1, disable=quiet or None
                )
                return [tile for done in bar for tile in done]
            except BaseException:  # Ctrl-C, or one of them failed: drop what waits, end what runs
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def write_text(self, name, text):
        """Write a list of tiles, unless it stands there so; `tiles.read_standing` has refused others' files."""
        if not (self.data_dir / name).exists() or (self.data_dir / name).read_bytes() != text.encode():
            with replacing(self.aside / name) as temporary:
                temporary.write_bytes(text.encode())

    def _write_field(self, pair, tiles, stop):
        image = self.contents.image(pair)
        mask = self.coding.decode(self.contents.mask(pair, image.shape[:2]).values)
        self.contents.forget(pair)
        if self.copying or pair.image.is_relative_to(self.cut_dir):
            self._copy(pair.image, f"Raw data/Images/{raw_name(pair)}")
            for path, name in _raw_masks(pair).items():
                self._copy(path, f"Raw data/Masks/{name}")
        mask = mask * np.uint8(255) if self.coding.classes == 1 else mask
        suffix, done = images.lossless_suffix(image), []
        low, high, least = (" ".join(f"{value:.6g}" for value in end) for end in intensity.spread_of(image))
        for tile in tiles:
            if stop.is_set():
                break
            folder, stem = f"{tile.part.capitalize()} data", Path(tile.file).stem
            tile = replace(tile, file=stem + suffix, low=low, high=high, least=least)
            self._write(f"{folder}/Images/{tile.file}", tile.cut(image))
            self._write(f"{folder}/Masks/{stem}.png", tile.cut(mask))
            done.append(tile)
        return done

    def _copy(self, path, name):
        standing = self.data_dir / name
        if standing.exists():
            if not cmp(path, standing, shallow=False) and not self._is_same_field(path, standing):
                raise in_the_way(standing)
            return
        target = self.aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    def _is_same_field(self, path, standing):
        """True for a field cut from a slide whose pixels stand there, compressed by another version of Pillow."""
        if not path.is_relative_to(self.cut_dir) or path.suffix not in images.IMAGE_SUFFIXES:
            return False
        stored, cut = images.read(standing), images.read(path)
        return stored.dtype == cut.dtype and np.array_equal(stored, cut)

    def _write(self, name, array):
        """Write (height, width[, channels]) as PNG or TIFF by its name, unless the same picture stands there."""
        standing = self.data_dir / name
        if standing.exists():
            stored = images.read_mask(standing) if array.ndim == 2 else images.read(standing)
            if stored.dtype != array.dtype or not np.array_equal(stored, array):
                raise in_the_way(standing)
            return
        images.write(self.aside / name, array)
