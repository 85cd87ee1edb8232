"""Checked pairs → examples in memory → augmented batches.

The one idea: an augmentation is drawn once and applied twice. `PairedImageDataGenerator` draws the parameters that
Keras' `ImageDataGenerator` would draw, composes them into one matrix and resamples image (linear) and mask (nearest)
with it, so that they cannot fall out of step. Every draw comes from a random generator keyed by (seed, epoch, index):
the same batches for any number of workers, and no global random state.
"""

import math
import threading
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from pairing.file_cache import FileCache
from pairing.objects import numbered_objects, seams
from reading import intensity
from reading.resize import fitted_size, resize

cv2.setNumThreads(1)  # parallelism is across examples, in worker threads; OpenCV's own would fight the network's

CACHE_BYTES = 3 * 2**27  # of images in memory, 384 MiB; what is beyond is read again for each crop
RARE_FOREGROUND = 0.25  # where a class has a smaller share of the pixels, half of the crops are centred on foreground
SEAM = 2  # in the masks of one class that training sees: foreground where two objects touch
SPOTS = 4096  # foreground pixels remembered of each image and class, to centre crops on


# ---------------------------------------------------------------------------------------------- paired augmentation

_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}  # exactly SciPy's; others by coordinates


class PairedImageDataGenerator(ImageDataGenerator):
    """Keras' `ImageDataGenerator` for an image and its mask together.

    It takes the same constructor arguments (rotation_range in degrees, width_shift_range, height_shift_range,
    shear_range in degrees, zoom_range, horizontal_flip, vertical_flip, brightness_range, channel_shift_range,
    fill_mode, cval …) and one more:

    elastic_range : float, largest elastic displacement in pixels (0: none), drawn on a grid of `ELASTIC_GRID` ×
        `ELASTIC_GRID` nodes and interpolated smoothly (Simard et al., ICDAR 2003; Ronneberger et al., MICCAI 2015).

    For the same draw, images equal those of `ImageDataGenerator.apply_transform`. Differences from it: images of 8
    bits are resampled in 8 bits, to half a grey value; masks are resampled by nearest neighbour and see no colour
    change; draws come from a generator that the caller gives, never
    from NumPy's global state; `width_shift_range` moves columns and `height_shift_range` rows, as documented (the
    original has them exchanged).
    """

    ELASTIC_GRID = 6

    def __init__(self, *args, elastic_range=0.0, **kwargs):
        super().__init__(*args, data_format="channels_last", **kwargs)
        self.elastic_range = elastic_range

    def get_random_transform(self, img_shape, seed=None):
        """One draw of the parameters.

        Parameters: img_shape, (height, width, …) of the result; seed, an int or a `numpy.random.Generator`.
        Returns the dictionary of `ImageDataGenerator`, with "elastic" (grid, grid, 2) in pixels where asked for.
        """
        rng = np.random.default_rng(seed)
        zx, zy = rng.uniform(*self.zoom_range, 2) if tuple(self.zoom_range) != (1, 1) else (1, 1)
        draw = {
            "theta": rng.uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0,
            "tx": _draw_shift(self.width_shift_range, img_shape[1], rng),
            "ty": _draw_shift(self.height_shift_range, img_shape[0], rng),
            "shear": rng.uniform(-self.shear_range, self.shear_range) if self.shear_range else 0,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": bool(self.horizontal_flip and rng.random() < 0.5),
            "flip_vertical": bool(self.vertical_flip and rng.random() < 0.5),
            "channel_shift_intensity": None,
            "brightness": None,
        }
        if self.channel_shift_range:
            draw["channel_shift_intensity"] = rng.uniform(-self.channel_shift_range, self.channel_shift_range)
        if self.brightness_range is not None:
            draw["brightness"] = rng.uniform(*self.brightness_range)
        if self.elastic_range:
            grid = (self.ELASTIC_GRID, self.ELASTIC_GRID, 2)
            draw["elastic"] = rng.uniform(-self.elastic_range, self.elastic_range, grid).astype(np.float32)
        return draw

    def apply_transform(self, x, transform_parameters):
        """The image of `ImageDataGenerator.apply_transform`, float32, by one resampling. x: (height, width, channels).

        Images of 8 bits are resampled in 8 bits.
        """
        warped = self.warp(x, transform_parameters)
        return by_value(warped, lambda values: self.change_colours(values, transform_parameters), transform_parameters)

    def apply_to_mask(self, mask, transform_parameters):
        """The mask that belongs to `apply_transform` of its image: (height, width) integers, nearest neighbour."""
        return self.warp(mask, transform_parameters, nearest=True)

    def random_pair(self, image, mask, seed):
        """Image and mask after one common draw."""
        draw = self.get_random_transform(image.shape, seed)
        return self.apply_transform(image, draw), self.apply_to_mask(mask, draw)

    def warp(self, array, draw, nearest=False, height=None, width=None, centre=None):
        """Resample `array` once by the geometric part of `draw`.

        Parameters
        ----------
        array : ndarray of shape (H, W) or (H, W, channels).
        draw : dictionary of `get_random_transform`.
        nearest : True for masks (dtype kept), False for images: linear; uint8 stays, unless the fill_mode puts any
            number around them, all others become float32.
        height, width : size of the result in pixels; the array's own by default.
        centre : (row, column) in `array` on which the result is centred; the array's own centre by default.
        """
        rows, columns = array.shape[:2]
        height, width = height or rows, width or columns
        matrix = draw_matrix(draw, height, width)
        if centre is not None:
            matrix[:, 2] += np.array(centre) - ((height - 1) / 2, (width - 1) / 2)
        # Only what the result can see is converted and read: a 256-pixel crop does not touch the rest of a field.
        (top, bottom), (left, right) = _visible(matrix, height, width, rows, columns, self._reach())
        part = array[top:bottom, left:right]
        if (top, left, bottom, right) != (0, 0, rows, columns):
            matrix[:, 2] -= (top, left)
        if not nearest and (part.dtype != np.uint8 or self.fill_mode == "constant"):
            part = part.astype(np.float32, copy=False)
        # OpenCV resamples four channels faster than three
        padded = not nearest and array.ndim == 3 and array.shape[2] == 3
        part = cv2.cvtColor(part, cv2.COLOR_RGB2RGBA) if padded else np.ascontiguousarray(part)
        warped = self._resample(part, matrix, height, width, nearest, draw.get("elastic"))
        if padded:
            return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
        return warped if array.ndim == 2 else warped.reshape(height, width, array.shape[2])

    def _reach(self):
        """Pixels beyond the affine footprint that may be read; everything where borders depend on the whole image."""
        return self.elastic_range * 2 + 2 if self.fill_mode in _BORDERS else np.inf

    def _resample(self, array, matrix, height, width, nearest, elastic):
        interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        border = _BORDERS.get(self.fill_mode, cv2.BORDER_REPLICATE)
        if elastic is None and self.fill_mode in _BORDERS:
            # OpenCV warps in half the time where it has no border to make up, so that is made first
            (top, bottom), (left, right) = (
                (max(0, math.ceil(-low)), max(0, math.ceil(high) - length + 1))
                for (low, high), length in zip(_footprint(matrix, height, width), array.shape[:2], strict=True)
            )
            if top or bottom or left or right:
                array = cv2.copyMakeBorder(array, top, bottom, left, right, border)
                matrix = matrix + [[0, 0, top], [0, 0, left]]
            return cv2.warpAffine(
                array, _swap(matrix), (width, height), flags=interpolation | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            )  # fmt: skip
        grid_rows, grid_columns = np.mgrid[0:height, 0:width].astype(np.float64)
        source = [m[0] * grid_rows + m[1] * grid_columns + m[2] for m in matrix]
        if elastic is not None:
            moves = cv2.resize(elastic, (width, height), interpolation=cv2.INTER_CUBIC)
            source = [s + moves[..., axis] for axis, s in enumerate(source)]
        outside = np.zeros((height, width), bool)
        for axis, length in enumerate(array.shape[:2]):
            if self.fill_mode == "constant":
                outside |= (source[axis] < 0) | (source[axis] > length - 1)
            elif self.fill_mode == "wrap":
                source[axis] = _wrap(source[axis], length)
        if nearest:  # OpenCV rounds halves to even; SciPy, and so ImageDataGenerator, rounds them up
            source = [np.floor(s + 0.5) for s in source]
        source = [s.astype(np.float32) for s in source]
        warped = cv2.remap(array, source[1], source[0], interpolation, borderMode=border)
        warped[outside] = self.cval
        return warped

    def change_colours(self, image, draw):
        """Channel shift and brightness of `draw`, on grey values of 0 to 255; float32 in and out, any shape."""
        if draw.get("channel_shift_intensity") is not None:
            image = np.clip(image + np.float32(draw["channel_shift_intensity"]), image.min(), image.max())
        if draw.get("brightness") is not None:
            # ImageDataGenerator goes through an 8-bit Pillow image, which cuts the fractions off twice.
            image = np.floor(np.clip(np.floor(np.clip(image, 0, 255)) * np.float32(draw["brightness"]), 0, 255))
        return image


def by_value(image, function, draw):
    """`function` of an image (height, width, channels) in float32, by a table of its 256 values where it has 8 bits.

    function : changes float32 (any, any, channels) value by value, to float32; `draw`, which it follows, says whether
        it does: a channel shift looks at the whole image.
    """
    if image.dtype != np.uint8 or draw.get("channel_shift_intensity") is not None:
        return function(image.astype(np.float32, copy=False))
    channels = image.shape[2]
    values = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis, np.newaxis], channels, axis=2)
    table = function(values).reshape(1, 256, channels)
    if (table == table[..., :1]).all():
        table = np.ascontiguousarray(table[..., :1])  # looked up in half the time
    return cv2.LUT(image, table).reshape(image.shape)


def draw_matrix(draw, height, width):
    """The (2, 3) matrix from a result's (row, column, 1) to the source's (row, column), flips included.

    The composition of `ImageDataGenerator`: rotation · shift · shear · zoom about the centre, in (column, row) order.
    Like the original it takes the centre of a (height, width) array as (height/2, width/2) before the axes are
    exchanged, which is the true centre for square results only.
    """
    theta, shear = math.radians(draw.get("theta", 0)), math.radians(draw.get("shear", 0))
    zx, zy, tx, ty = (draw.get(name, default) for name, default in (("zx", 1), ("zy", 1), ("tx", 0), ("ty", 0)))
    cos, sin = math.cos(theta), math.sin(theta)
    # rotation · shear · zoom, as ((a, b), (c, d))
    a, b = cos * zx, -math.sin(theta + shear) * zy
    c, d = sin * zx, math.cos(theta + shear) * zy
    x, y = height / 2 - 0.5, width / 2 - 0.5
    shift_x = cos * tx - sin * ty + x - a * x - b * y
    shift_y = sin * tx + cos * ty + y - c * x - d * y
    # in (row, column) order, and flipped: row → height − 1 − row
    matrix = [[d, c, shift_y], [b, a, shift_x]]
    for axis, length in ((0, height), (1, width)):
        if draw.get(("flip_vertical", "flip_horizontal")[axis]):
            for row in matrix:
                row[2] += row[axis] * (length - 1)
                row[axis] = -row[axis]
    return np.array(matrix)


def _draw_shift(shift_range, length, rng):
    if not np.any(shift_range):
        return 0
    if np.ndim(shift_range):
        shift = rng.choice(shift_range) * rng.choice([-1, 1])
    elif isinstance(shift_range, int):
        shift = rng.integers(-shift_range, shift_range + 1)
    else:
        shift = rng.uniform(-shift_range, shift_range)
    return shift * length if np.max(shift_range) < 1 else shift


def _swap(matrix):
    """A (row, column) matrix in OpenCV's (x, y) order."""
    return np.array([[matrix[1, 1], matrix[1, 0], matrix[1, 2]], [matrix[0, 1], matrix[0, 0], matrix[0, 2]]])


def _wrap(position, length):
    """SciPy's "wrap": a period of length − 1, the first and last pixel being one."""
    if length == 1:
        return np.zeros_like(position)
    return np.where((position < 0) | (position > length - 1), np.mod(position, length - 1), position)


def _footprint(matrix, height, width):
    """Lowest and highest row, and column, of the source that a result of this size sees."""
    ends = []
    for of_row, of_column, start in matrix.tolist():
        steps = of_row * (height - 1), of_column * (width - 1)
        ends.append((start + sum(min(0, step) for step in steps), start + sum(max(0, step) for step in steps)))
    return ends


def _visible(matrix, height, width, rows, columns, reach):
    """First row and column of the source that a result needs, and the ones after the last; `reach` pixels more.

    Of borders that it sees across, as much is needed inside as is seen outside, since reflection repeats it.
    """
    spans = []
    for (low, high), length in zip(_footprint(matrix, height, width), (rows, columns), strict=True):
        low, high, last = low - reach, high + reach, length - 1
        first, end = min(low, 2 * last - high), max(high, -low)
        spans.append((0, length) if first < 1 and end > last - 1 else (max(0, int(first)), min(length, int(end) + 2)))
    return spans


# ---------------------------------------------------------------------------------------------------------- batches


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


class TrainingBatches(keras.utils.PyDataset):
    """Random augmented crops: batches of float32 (batch, crop, crop, channels) in 0…1 and uint8 (batch, crop, crop, 1).

    Images take turns in proportion to their area. Where a foreground class is rare, half of the crops are centred near
    a foreground pixel, of each class in the image equally often, `SEAM` being one. The batch at (seed, epoch, index) is
    always the same.
    """

    def __init__(self, examples, generator, crop_px, batch, steps, seed, workers=1):
        super().__init__(workers=workers, max_queue_size=8)
        self.examples, self.generator, self.crop_px, self.seed = examples, generator, crop_px, seed
        self.batch, self.steps, self.epoch = batch, steps, 0
        self.turns = []
        pixels = np.zeros(256, np.int64)  # of each class
        self._spots = []  # for each image, for each foreground class in it, some of its pixels as flat indices
        for index in range(len(examples)):
            mask = examples[index].mask
            self.turns += [index] * min(64, -(-mask.shape[0] // crop_px) * -(-mask.shape[1] // crop_px))
            held = intensity.value_counts(mask)
            pixels += held
            rng = np.random.default_rng([seed, index])
            drawn = [(value, rng.integers(0, held[value], SPOTS)) for value in np.flatnonzero(held) if value > 0]
            self._spots.append([_places(mask, value, ranks) for value, ranks in drawn])
        self.seams = 0.0  # their share of the foreground
        if examples.coding.classes == 1 and pixels[SEAM] > 0:
            self.seams = pixels[SEAM] / pixels[1:].sum()
            pixels[1], pixels[SEAM] = pixels[1:].sum(), 0
        self.class_shares = pixels / pixels.sum()
        self.foreground_share = pixels[1:].sum() / pixels.sum()
        rarest = pixels[1:][pixels[1:] > 0].min(initial=pixels.sum()) / pixels.sum()
        self.centred = rarest < RARE_FOREGROUND  # whether half of the crops are centred on foreground
        self.crops_once = len(self.turns)

    def __len__(self):
        return self.steps

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, index):
        crops = [self.crop(self.epoch, index * self.batch + i) for i in range(self.batch)]
        return np.stack([image for image, _ in crops]), np.stack([mask for _, mask in crops])[..., np.newaxis]

    def crop(self, epoch, index):
        """One augmented crop: float32 (crop, crop, channels) in 0…1 and uint8 (crop, crop)."""
        lap, place = divmod(index, len(self.turns))
        which = self.turns[np.random.default_rng([self.seed, epoch, lap, 1]).permutation(len(self.turns))[place]]
        rng = np.random.default_rng([self.seed, epoch, index, 2])
        example, size = self.examples[which], self.crop_px
        draw = self.generator.get_random_transform((size, size), rng)
        centre = self._centre(example.mask.shape, self._spots[which], rng)
        image = self.generator.warp(example.image, draw, height=size, width=size, centre=centre)
        mask = self.generator.warp(example.mask, draw, nearest=True, height=size, width=size, centre=centre)

        def finish(values):
            return (
                self.generator.change_colours(intensity.normalise(values, example.low, example.high) * 255, draw) / 255
            )

        return by_value(image, finish, draw), mask

    def _centre(self, shape, spots, rng):
        size = self.crop_px
        centre = np.array([rng.uniform(0, length - 1) for length in shape])
        if self.centred and spots and rng.random() < 0.5:
            of_class = spots[rng.integers(len(spots))]
            centre = np.array(np.unravel_index(rng.choice(of_class), shape), float) + rng.uniform(
                -size / 4, size / 4, 2
            )
        # Crops stay inside images larger than a crop and are centred on smaller ones.
        return [
            (n - 1) / 2 if n <= size else float(np.clip(c, (size - 1) / 2, n - 1 - (size - 1) / 2))
            for c, n in zip(centre, shape, strict=True)
        ]


def _places(mask, value, ranks):
    """Flat indices of those pixels of a value that have the given ranks among all of them, counted from 0."""
    places, before, start = np.zeros(len(ranks), np.int64), 0, 0
    for band in intensity.bands(mask):
        found = np.flatnonzero(band == value)
        here = (ranks >= before) & (ranks < before + len(found))
        places[here] = start + found[ranks[here] - before]
        before, start = before + len(found), start + band.size
    return places


class ValidationBatches(keras.utils.PyDataset):
    """Every pixel of the validation images once, crop by crop, without augmentation; padding has sample weight 0."""

    def __init__(self, examples, crop_px, batch):
        # Of one worker Keras makes a tf.data pipeline with autotuning, whose end may take as long as it did itself.
        super().__init__(workers=2)
        self.examples, self.crop_px, self.batch = examples, crop_px, batch
        self.places = []
        for index in range(len(examples)):
            height, width = examples[index].mask.shape
            self.places += [(index, r, c) for r in range(0, height, crop_px) for c in range(0, width, crop_px)]

    def __len__(self):
        return -(-len(self.places) // self.batch)

    def __getitem__(self, index):
        crops = [self._crop(*place) for place in self.places[index * self.batch : (index + 1) * self.batch]]
        return tuple(np.stack(arrays) for arrays in zip(*crops, strict=True))

    def _crop(self, index, row, column):
        example, size = self.examples[index], self.crop_px
        part = np.s_[row : row + size, column : column + size]
        image = intensity.normalise(example.image[part], example.low, example.high)
        mask = example.mask[part]
        weight = np.ones(mask.shape, np.float32)
        pad = [(0, size - mask.shape[0]), (0, size - mask.shape[1])]
        return (
            np.pad(image, [*pad, (0, 0)], mode="symmetric"),
            np.pad(mask, pad, mode="symmetric")[..., np.newaxis],
            np.pad(weight, pad),
        )
