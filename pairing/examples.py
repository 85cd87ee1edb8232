"""Images and masks as training sees them: decoded to class ids, touching objects parted, with their grey values."""

import threading
from dataclasses import dataclass

import numpy as np

from pairing.file_cache import FileCache
from pairing.objects import numbered_objects, seams
from reading import intensity
from reading.resize import fitted_size, resize

CACHE_BYTES = 3 * 2**27  # of images in memory, 384 MiB; what is beyond is read again for each crop
SEAM = 2  # in the masks of one class that training sees: foreground where two objects touch


@dataclass(frozen=True)
class Example:
    """One image in memory: as stored, with the grey values that become 0 and 1."""

    image: np.ndarray
    mask: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Examples:
    """Images and masks by index, each made once and kept while `CACHE_BYTES` last; safe to use from threads.

    mask_values : the values stored in all masks of the folder (`survey.Survey.mask_values`), to mark with `SEAM` where
        objects touch, if the masks number them (`objects.numbered_objects`); None: not to.
    contents : `file_cache.FileCache`, where the files have been read already.
    """

    def __init__(self, pairs, coding, channels, crop_px, fit, mask_values=None, contents=None):
        self.pairs, self.coding, self.channels, self.crop_px, self.fit = pairs, coding, channels, crop_px, fit
        self.classes = coding.classes
        self.mask_values, self.contents = mask_values, contents or FileCache()
        self._cache, self._bytes, self._lock = {}, 0, threading.Lock()

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        if index in self._cache:
            return self._cache[index]
        pair = self.pairs[index]
        image = intensity.to_channels(self.contents.image(pair), self.channels)
        stored = self.contents.mask(pair, image.shape[:2]).values
        mask, labels = self.coding.decode(stored), None
        low, high = intensity.intensity_range(image, pair.intensity_range)
        if self.mask_values is not None:
            labels, _ = numbered_objects(pair, mask, self.coding, self.mask_values, stored)
        if self.fit:
            size = fitted_size(*mask.shape, self.crop_px)
            image, mask = resize(image, *size), resize(mask, *size, nearest=True)
        if labels is not None:
            labels = resize(labels.astype(np.float32), *mask.shape, nearest=True)
            mask = np.where(seams(labels), np.uint8(SEAM), mask)
        example = Example(image, mask, low, high)
        self.contents.forget(pair)
        with self._lock:
            if self._bytes < CACHE_BYTES and index not in self._cache:
                self._cache[index] = example
                self._bytes += image.nbytes + mask.nbytes
        return example
