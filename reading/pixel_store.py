"""Decoded pixels that memory has no room for: in a temporary file, of which the system keeps in memory what is used."""

import math
import mmap
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

SPARED_BYTES = 10**9  # of the disk, for what else is written there
ALIGNED_TO = 64  # bytes; wider than any pixel


class PixelStore:
    """Arrays that are written once and read again and again; safe to use from threads.

    The file is gone with its process, however that ends: the system removes it, since it has no name (on Windows, one
    that goes when it is closed).

    folder : path of a folder on the disk to use, made where it is missing, once there is something to keep; None: that
        of the system's temporary files.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder or tempfile.gettempdir())
        self.bytes, self.lacking = 0, 0  # kept, and those that the disk had no room for
        self._file, self._map, self._lock = None, b"", threading.Lock()

    def add(self, *arrays):
        """Keep arrays: a list of places for `get`, None where the disk has no room or may not be written to."""
        size = sum(-(-array.nbytes // ALIGNED_TO) * ALIGNED_TO for array in arrays)
        with self._lock:
            try:
                if self._file is None:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._file = tempfile.TemporaryFile(dir=self.folder, prefix=".pixels-")  # noqa: SIM115
                    weakref.finalize(self, self._file.close)
                if shutil.disk_usage(self.folder).free < size + SPARED_BYTES:
                    raise OSError
                places, end = [], self.bytes
                for array in arrays:
                    self._file.seek(end)
                    self._file.write(np.ascontiguousarray(array))
                    places.append((end, array.shape, array.dtype))
                    end += -(-array.nbytes // ALIGNED_TO) * ALIGNED_TO
                self._file.flush()
            except OSError:
                self.lacking += size
                return None
            self.bytes = end
        return places

    def get(self, place):
        """The array that was kept there, to be read only."""
        start, shape, dtype = place
        count = math.prod(shape)
        with self._lock:
            if start + count * dtype.itemsize > len(self._map):  # more was written since; earlier arrays keep theirs
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(self._map, dtype, count, start).reshape(shape)
