"""The files of a folder, each decoded once, for all who need them: doctor, survey, run card, training, scores."""

import threading

from pairing import annotations
from pairing.masks import read_stored_mask_of
from reading import images
from reading.files import sha256

KEPT_BYTES = 3 * 2**27  # of pixels, 384 MiB; what is beyond is read again by the next who needs it


class FileCache:
    """Reads images and masks and keeps them while `KEPT_BYTES` last. Safe to use from threads.

    hashing : True where the SHA-256 of all files will be asked for: each is then computed when the file is read.
    """

    def __init__(self, hashing=False):
        self.hashing = hashing
        self._kept, self._bytes, self._hashes = {}, 0, {}
        self._lock = threading.Lock()

    def image(self, pair):
        """The image of a pair, as `images.read` gives it."""
        return self._get(pair.image, lambda: images.read(pair.image))

    def mask(self, pair, size):
        """The stored mask of a pair, as `masks.read_stored_mask_of` gives it."""
        return self._get(pair.mask, lambda: read_stored_mask_of(pair, size))

    def sha256(self, path):
        """As `files.sha256`: of a file, of a folder of files, one an object, or of the file that a part belongs to."""
        path = annotations.file_of(path)
        if path not in self._hashes:
            self._hashes[path] = sha256(path)
        return self._hashes[path]

    def forget(self, pair):
        """Drop the pixels of a pair that nobody needs any more."""
        with self._lock:
            for path in (pair.image, pair.mask):
                self._bytes -= _bytes_of(self._kept.pop(path, None))

    def _get(self, path, read):
        kept = self._kept.get(path)
        if kept is None:
            kept = read()
            if self.hashing:
                self.sha256(path)  # now, while the system still has the file in memory
            with self._lock:
                if self._bytes < KEPT_BYTES and path not in self._kept:
                    self._kept[path] = kept
                    self._bytes += _bytes_of(kept)
        return kept


def _bytes_of(kept):
    """Of an image, of a `StoredMask`, or of nothing."""
    array = kept[0] if isinstance(kept, tuple) else kept
    return 0 if array is None else array.nbytes
