"""Masks too large for memory: finished bands kept on disk, then one tiled, compressed, pyramidal BigTIFF of them.

Its smaller levels are pages of their own, marked as reduced: OpenSlide, and QuPath through it, read these.
"""

import zlib

import numpy as np

from reading.files import MADE_BY, replacing

TILE_PX = 512
SMALLEST_LEVEL_PX = 1024


class Bands:
    """Masks of successive rows in a folder, one file each; what is there is whole, whenever the program was killed."""

    def __init__(self, folder, rows, height, width, kind="band"):
        """rows : first row of each band; height, width : bytes of the mask; kind : of several masks in one folder."""
        self.folder, self._kind = folder, kind
        self._ends = list(zip(rows, [*rows[1:], height], strict=True))
        self.height, self.width = height, width

    def finished(self):
        """How many bands are there, from the first one on without a gap."""
        return next((n for n in range(len(self._ends)) if not self._path(n).is_file()), len(self._ends))

    def write(self, number, mask):
        """Keep a band, uint8 (rows, width)."""
        with replacing(self._path(number)) as temporary:
            temporary.write_bytes(zlib.compress(mask.tobytes(), 1))

    def read(self, number):
        """A band: its first row, and uint8 (rows, width)."""
        kept = zlib.decompress(self._path(number).read_bytes())
        return self._ends[number][0], np.frombuffer(kept, np.uint8).reshape(-1, self.width)

    def __len__(self):
        return len(self._ends)

    def tiles(self, step):
        """The mask at every `step`-th pixel as tiles of `TILE_PX`, row by row, as `tifffile` takes them."""
        waiting = np.empty((0, -(-self.width // step)), np.uint8)
        for number, (_, end) in enumerate(self._ends):
            first, band = self.read(number)
            waiting = np.concatenate([waiting, band[-first % step :: step, ::step]])
            while len(waiting) >= TILE_PX or (end == self.height and len(waiting)):
                for column in range(0, waiting.shape[1], TILE_PX):
                    tile = waiting[:TILE_PX, column : column + TILE_PX]
                    yield np.pad(tile, [(0, TILE_PX - tile.shape[0]), (0, TILE_PX - tile.shape[1])])
                waiting = waiting[TILE_PX:]

    def _path(self, number):
        return self.folder / f"{number:06}.{self._kind}"


def write_pyramid(path, bands, mpp=None):
    """Write all bands as one TIFF, atomically. mpp : micrometres per pixel, for the file's resolution tags."""
    import tifffile

    with replacing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True) as tiff:
        step = 1
        while step == 1 or max(bands.height, bands.width) / step > SMALLEST_LEVEL_PX / 2:
            tiff.write(
                bands.tiles(step),
                shape=(-(-bands.height // step), -(-bands.width // step)),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                photometric="minisblack",
                compression="zlib",
                subfiletype=int(step > 1),
                resolution=(1e4 / mpp / step,) * 2 if mpp else None,
                resolutionunit="CENTIMETER" if mpp else None,
                metadata=None,
                software=MADE_BY,
            )
            step *= 2
