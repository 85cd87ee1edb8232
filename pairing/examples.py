"""Images and masks as training sees them: decoded to class ids, touching objects parted, with their grey values."""

import threading
from dataclasses import dataclass, replace

import numpy as np

from pairing.file_cache import FileCache
from pairing.masks import IGNORED, StoredMask, mask_coding, values_to_ignore
from pairing.objects import areas_of, numbered_objects, seams
from reading import intensity
from reading.arrays import as_image, as_mask
from reading.files import InputError
from reading.pixel_store import PixelStore
from reading.resize import fitted_size, resize

CACHE_BYTES = 3 * 2**27  # of images in memory, 384 MiB; what is beyond lies decoded on the disk
SEAM = 2  # in the masks of one class that training sees: foreground where two objects touch
MERGED = 3  # there: foreground of a mask among numbered ones that numbers nothing, so where objects touch is not known


@dataclass(frozen=True)
class Example:
    """One image in memory: as stored, with the grey values that become 0 and 1; mask : of `masks.MaskCoding.class_ids`,
    and `SEAM`."""

    image: np.ndarray
    mask: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Examples:
    """Images and masks by index, each made once and kept, in memory while `CACHE_BYTES` last, then on the disk.

    Safe to use from threads. Where the disk has no room either (`store.lacking`), the rest is made again each time.

    mask_values : the values drawn in all masks of the folder (`survey.Survey.drawn`), to mark with `SEAM` where
        objects touch, if the masks number them (`objects.numbered_objects`); None: not to.
    contents : `file_cache.FileCache`, where the files have been read already.
    store : `pixel_store.PixelStore`, for what memory has no room for; None: one among the temporary files.
    scales : an attribute, {path of an image: how many times as large it is made}, to be set before any is.
    dark : an attribute to be set where it is known, as for `intensity.to_range`.
    areas : an attribute; with `mask_values`, {index: pixels of each true object} of the images made so far.
    numbered : an attribute; with `mask_values`, {index: whether the mask numbers its objects} of the same.
    """

    def __init__(self, pairs, coding, channels, crop_px, fit, mask_values=None, contents=None, store=None):
        self.pairs, self.coding, self.channels, self.crop_px, self.fit = pairs, coding, channels, crop_px, fit
        self.classes, self.dark = coding.classes, None
        self.mask_values, self.contents = mask_values, contents or FileCache()
        self.store = store or PixelStore()
        self.areas, self.numbered, self.scales = {}, {}, {}
        self._cache, self._bytes, self._stored, self._lock = {}, 0, {}, threading.Lock()

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        if index in self._cache:
            return self._cache[index]
        if index in self._stored:
            places, low, high = self._stored[index]
            return Example(*map(self.store.get, places), low, high)
        pair = self.pairs[index]
        image = intensity.to_channels(self.contents.image(pair), self.channels)
        stored = self.contents.mask(pair, image.shape[:2])
        mask, labels = self.coding.class_ids(stored), None
        low, high = intensity.intensity_range(image, pair.intensity_range, self.dark)
        if self.mask_values is not None:
            labels, _ = numbered_objects(pair, mask, self.coding, self.mask_values, stored.values)
            self.numbered[index] = labels is not None
            objects = np.where(mask == IGNORED, 0, mask) if labels is None else labels
            areas = areas_of(objects == 2 if self.classes == 3 else objects)  # of three, the nuclei
            self.areas[index] = areas * self.scales.get(pair.image, 1) ** 2
        if self.fit or pair.image in self.scales:
            size = fitted_size(*mask.shape, self.crop_px)
            if not self.fit:
                size = [max(1, round(n * self.scales[pair.image])) for n in mask.shape]
            image, mask = resize(image, *size), resize(mask, *size, nearest=True)
        if labels is not None:
            labels = resize(labels.astype(np.float32), *mask.shape, nearest=True)
            mask = np.where(seams(labels), np.uint8(SEAM), mask)
        example = Example(image, mask, low, high)
        self.contents.forget(pair)
        with self._lock:
            if index in self._cache or index in self._stored:  # by another thread
                return example
            if self._bytes < CACHE_BYTES:
                self._cache[index] = example
                self._bytes += image.nbytes + mask.nbytes
            elif places := self.store.add(image, mask):
                self._stored[index] = places, low, high
        return example


class ArrayExamples(list):
    """The `Example`s of images and masks that are arrays in memory.

    images : arrays (height, width), (height, width, 1) or (height, width, 3), whose sizes may differ, or one array of
        them all; grey and colour together become colour. masks : as many (height, width[, 1]), bool or whole numbers.
    classes, foreground : as of `masks.mask_coding`, which finds what the values of all masks mean.
    ignore : values of pixels of which nothing is known.

    `explanation` is a line on that. Raises `InputError` where images and masks do not belong together.
    """

    def __init__(self, images, masks, classes=1, foreground=None, ignore=None):
        if len(images) != len(masks) or len(images) == 0:
            raise InputError(f"{len(images)} images and {len(masks)} masks received; expected as many, one at least.")
        images = [as_image(image, f"image {number}") for number, image in enumerate(images)]
        masks = [as_mask(mask, images[n].shape, f"mask {n}") for n, mask in enumerate(masks)]
        counts = {}
        for mask in masks:
            for value, count in zip(*np.unique(mask, return_counts=True), strict=True):
                counts[int(value)] = counts.get(int(value), 0) + int(count)
        ignore = values_to_ignore(ignore, {})
        counts = {value: count for value, count in counts.items() if value not in ignore}
        if not counts:
            raise InputError("every pixel of the masks is ignored; expected some that are not. Leave a value out.")
        coding = replace(mask_coding(counts, classes, foreground), ignore=ignore)
        coding.check(counts)
        self.classes, self.explanation = classes, coding.explanation
        channels = max(image.shape[2] for image in images)
        images = [intensity.to_channels(image, channels) for image in images]
        super().__init__(
            Example(image, coding.class_ids(StoredMask(mask, {}, {})), *intensity.intensity_range(image))
            for image, mask in zip(images, masks, strict=True)
        )
