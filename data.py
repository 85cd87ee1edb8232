"""Checked pairs → examples in memory → augmented batches.

The one idea: an augmentation is drawn once and applied twice. `PairedImageDataGenerator` draws the parameters that
Keras' `ImageDataGenerator` would draw, composes them into one matrix and resamples image (linear) and mask (nearest)
with it, so that they cannot fall out of step. Every draw comes from a random generator keyed by (seed, epoch, index):
the same batches for any number of workers, and no global random state.
"""

import warnings
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import keras
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator, Iterator
from tqdm import tqdm

from pairing.examples import MERGED, SEAM, ArrayExamples, Examples
from pairing.masks import IGNORED
from reading import intensity
from reading.files import some
from reading.warp import FILL_MODES, draw_matrix, warp

__all__ = [
    "IGNORED",
    "MERGED",
    "SEAM",
    "ArrayExamples",
    "Examples",
    "PairIterator",
    "PairedImageDataGenerator",
    "TrainingBatches",
    "ValidationBatches",
]

RARE_FOREGROUND = 0.25  # where a class has a smaller share of the pixels, half of the crops are centred on foreground
SPOTS = 4096  # pixels remembered of each image and foreground class, and of what is known, to centre crops on
TRIES = 16  # of a crop, until it holds something known


# ---------------------------------------------------------------------------------------------- paired augmentation


class PairedImageDataGenerator(ImageDataGenerator):
    """Keras' `ImageDataGenerator` for an image and its mask together.

    It takes the same constructor arguments (rotation_range in degrees, width_shift_range, height_shift_range,
    shear_range in degrees, zoom_range, horizontal_flip, vertical_flip, brightness_range, channel_shift_range,
    fill_mode, cval …) and one more:

    elastic_range : float, largest elastic displacement in pixels (0: none), drawn on a grid of `ELASTIC_GRID` ×
        `ELASTIC_GRID` nodes and interpolated smoothly (Simard et al., ICDAR 2003; Ronneberger et al., MICCAI 2015).

    For pairs there are `flow(images, masks)` and `random_pair(image, mask, seed)`. Two generators of the same geometry
    stay in step where one seed is given to both, in `flow`, `random_transform` and `get_random_transform`, also if one
    of them changes colours; a mask that goes through as an image is resampled as one, though.

    For the same draw, images equal those of `ImageDataGenerator.apply_transform`. Differences from it: images of 8
    bits are resampled in 8 bits, to half a grey value; masks are resampled by nearest neighbour, see no colour change
    and are 0 where fill_mode="constant" puts `cval` into the image, one number or one for each channel; draws come
    from a generator that the caller gives, never from NumPy's global state; `width_shift_range` moves columns and
    `height_shift_range` rows, as documented (the original has them exchanged). Raises ValueError for a fill_mode, an
    interpolation_order (1: linear, 0: nearest) or a data_format that there is not.
    """

    ELASTIC_GRID = 6

    def __init__(self, *args, elastic_range=0.0, data_format="channels_last", **kwargs):
        super().__init__(*args, data_format="channels_last", **kwargs)
        self.elastic_range = elastic_range
        for name, value, known in (
            ("fill_mode", self.fill_mode, FILL_MODES),
            ("interpolation_order", self.interpolation_order, (0, 1)),
            ("data_format", data_format, ("channels_last", None)),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(map(str, known))}. Received: {value!r}.")

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
        if self.elastic_range:
            grid = (self.ELASTIC_GRID, self.ELASTIC_GRID, 2)
            draw["elastic"] = rng.uniform(-self.elastic_range, self.elastic_range, grid).astype(np.float32)
        # colours last: a generator without them draws the same geometry
        if self.channel_shift_range:
            draw["channel_shift_intensity"] = rng.uniform(-self.channel_shift_range, self.channel_shift_range)
        if self.brightness_range is not None:
            draw["brightness"] = rng.uniform(*self.brightness_range)
        return draw

    def apply_transform(self, x, transform_parameters):
        """The image of `ImageDataGenerator.apply_transform`, float32, by one resampling.

        x : ndarray (height, width) or (height, width, channels) of any type of number and number of channels. Of 8 bits
        it is resampled in 8 bits. Brightness is for grey values, not for 0…1: those it would make black, as in Keras.
        """
        draw, warped = transform_parameters, self.warp(x, transform_parameters)
        if draw.get("brightness") is not None and warped.dtype != np.uint8 and 0 < warped.max() <= 1:
            warnings.warn(
                "brightness_range received an image of 0 to 1; expected grey values, such as 0 to 255. Divide after "
                "the augmentation, with rescale=1/255.",
                stacklevel=2,
            )
        return by_value(warped, lambda values: self.change_colours(values, draw), draw)

    def apply_to_mask(self, mask, transform_parameters):
        """The mask that belongs to `apply_transform` of its image: by nearest neighbour, of the same dtype.

        mask : ndarray (height, width) or (height, width, channels) of any type of number.
        """
        return self.warp(mask, transform_parameters, nearest=True)

    def random_pair(self, image, mask, seed):
        """Image and mask after one common draw."""
        if image.shape[:2] != mask.shape[:2]:
            raise ValueError(
                f"image of shape {image.shape} and mask of shape {mask.shape} received; expected one height and width. "
                "Give the mask that was drawn on this image."
            )
        draw = self.get_random_transform(image.shape, seed)
        return self.apply_transform(image, draw), self.apply_to_mask(mask, draw)

    def flow(
        self, x, y=None, batch_size=32, shuffle=True, sample_weight=None, seed=None, save_to_dir=None, save_prefix="",
        save_format="png", ignore_class_split=False, subset=None,
    ):  # fmt: skip
        """Batches of augmented images, for `fit` or `next`, and of their masks by the same draws.

        The arguments are those of Keras' `flow`, and so are the batches: x, (x, y) or (x, y, sample_weight).

        x : images (n, height, width, channels), or a list of n of one size. They come back in the generator's dtype,
            after `standardize`.
        y : their masks (n, height, width) or (n, height, width, any); they keep their values and their dtype.
        sample_weight : (n,), or (n, height, width[, any]) for each pixel: these go along as the masks do.
        save_to_dir : a folder for the augmented images, and the masks as `…_mask`, to look at.

        Returns a `PairIterator`. Raises ValueError where the shapes do not belong together.
        """
        further = []  # inputs beside the images, Keras' x = (images, others)
        if isinstance(x, (tuple, list)) and len(x) == 2 and np.ndim(x[0]) == 4:
            x, others = x
            further = [np.asarray(other) for other in (others if isinstance(others, list) else [others])]
        x, y, weights = (None if part is None else _stacked(part) for part in (x, y, sample_weight))
        _refuse_shapes(x, y, weights, further)
        first = int(len(x) * self._validation_split)
        if subset not in (None, "training", "validation"):
            raise ValueError(f"`subset` must be training or validation. Received: {subset!r}.")
        part = {"training": np.s_[first:], "validation": np.s_[:first]}.get(subset, np.s_[:])
        arrays = [None if array is None else array[part] for array in (x.astype(self.dtype), y, weights, *further)]
        return PairIterator(self, arrays, batch_size, shuffle, seed, (save_to_dir, save_prefix, save_format))

    def flow_from_directory(self, *args, **kwargs):
        """Refused: Keras pairs files by their order, and reads 16 bits as 8."""
        raise NotImplementedError(NO_FILES.format("flow_from_directory"))

    def flow_from_dataframe(self, *args, **kwargs):
        """Refused, as `flow_from_directory`."""
        raise NotImplementedError(NO_FILES.format("flow_from_dataframe"))

    def fit(self, x, augment=False, rounds=1, seed=None):
        """As of `ImageDataGenerator`, for the images alone; what it augments follows from `seed`."""
        if augment:
            x, rng = np.asarray(x, self.dtype), np.random.default_rng(seed)
            x = np.stack([self.random_transform(image, rng) for _ in range(rounds) for image in x])
        super().fit(x)

    def warp(self, array, draw, nearest=False, height=None, width=None, centre=None):
        """Resample `array` once by the geometric part of `draw`, as `reading.warp.warp` does.

        Parameters
        ----------
        array : ndarray of shape (H, W) or (H, W, channels).
        draw : dictionary of `get_random_transform`.
        nearest : True for masks (dtype kept, 0 outside), False for images.
        height, width : size of the result in pixels; the array's own by default.
        centre : (row, column) in `array` on which the result is centred; the array's own centre by default.
        """
        height, width = height or array.shape[0], width or array.shape[1]
        matrix = draw_matrix(draw, height, width)
        if centre is not None:
            matrix[:, 2] += np.array(centre) - ((height - 1) / 2, (width - 1) / 2)
        moved, fill = nearest or self.interpolation_order == 0, 0 if nearest else self.cval
        return warp(array, matrix, height, width, moved, self.fill_mode, fill, draw.get("elastic"))

    def change_colours(self, image, draw):
        """Channel shift and brightness of `draw`, on grey values of 0 to 255; float32 in and out, any shape."""
        if draw.get("channel_shift_intensity") is not None:
            image = np.clip(image + np.float32(draw["channel_shift_intensity"]), image.min(), image.max())
        if draw.get("brightness") is not None:
            low, high = image.min(), image.max()
            beyond = low < 0 or high > 255  # such as 16 bits: to 0…255 and back, as ImageDataGenerator does
            if beyond:
                image = (image - low) * (255 / max(high - low, np.float32(1e-30)))
            # ImageDataGenerator goes through an 8-bit Pillow image, which cuts the fractions off twice.
            image = np.floor(np.clip(np.floor(np.clip(image, 0, 255)) * np.float32(draw["brightness"]), 0, 255))
            if beyond:
                image = image / 255 * (high - low) + low
        return image


NO_FILES = (
    "{} received; expected arrays, since files pair here by their names. Read them with `reading.images.read` and "
    "`read_mask` and call `flow(images, masks)`; or call `pairing.pairs.find_pairs` and `data.TrainingBatches`."
)


class PairIterator(Iterator):
    """What `PairedImageDataGenerator.flow` returns: Keras' `Iterator`, whose draws follow from its own seed alone.

    The batch at (seed, epoch, index) is always the same, in any order and by any number of threads. An epoch ends with
    `on_epoch_end`, which `fit` calls, or with its last batch from `next`.
    """

    def __init__(self, generator, arrays, batch_size, shuffle, seed, saving):
        """arrays : images, masks or None, weights or None, then further inputs. saving : folder, prefix, format."""
        super().__init__(len(arrays[0]), batch_size, shuffle, seed)
        if not (self.n and batch_size >= 1):
            raise ValueError(f"{self.n} images in batches of {batch_size} received; expected one or more of both.")
        self.generator, self.saving = generator, saving
        self.images, self.masks, self.weights, *self.further = arrays
        self.key, self.epoch = np.random.SeedSequence(seed).entropy, 0

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise ValueError(f"batch {index} received; expected 0 to {len(self) - 1}.")
        return self._batch(self.epoch, index)

    def on_epoch_end(self):
        self.epoch += 1

    def __next__(self):
        with self.lock:
            place = self.epoch, self.batch_index
            self.batch_index = (self.batch_index + 1) % len(self)
            self.epoch += self.batch_index == 0
            self.total_batches_seen += 1
        return self._batch(*place)

    def _batch(self, epoch, index):
        order = np.random.default_rng([self.key, epoch, 0]).permutation(self.n) if self.shuffle else np.arange(self.n)
        places = range(self.n)[index * self.batch_size : (index + 1) * self.batch_size]
        parts = []
        for place in places:
            rng, which = np.random.default_rng([self.key, epoch, 1, place]), order[place]
            draw = self.generator.get_random_transform(self.images.shape[1:], rng)
            image = self.generator.standardize(self.generator.apply_transform(self.images[which], draw))
            masks = [None if part is None else self._along(part[which], draw) for part in (self.masks, self.weights)]
            parts.append((image.astype(self.images.dtype, copy=False), *masks, *(part[which] for part in self.further)))
            if self.saving[0]:
                self._save(f"{which}_{epoch}", *parts[-1][:2])
        x, y, weights, *further = [None if part[0] is None else np.stack(part) for part in zip(*parts, strict=True)]
        x = [x, *further] if further else x
        return x if y is None else (x, y) if weights is None else (x, y, weights)

    def _along(self, array, draw):
        return array if array.ndim == 0 else self.generator.apply_to_mask(array, draw)

    def _save(self, name, image, mask):
        folder, prefix, kind = self.saving
        # values by their rank, since 1 and 2 cannot be told apart by eye, nor 1 and 0 beside 70000
        ranks = None if mask is None else np.unique(mask, return_inverse=True)[1].reshape(mask.shape)
        for end, array in (("", image), ("_mask", ranks)):
            if array is not None:
                array = array if array.ndim == 3 else array[..., np.newaxis]
                picture = keras.utils.array_to_img(array, data_format="channels_last", scale=True)
                picture.save(Path(folder) / f"{prefix}_{name}{end}.{kind}")


def _stacked(arrays):
    shapes = sorted({str(np.shape(array)) for array in arrays}) if isinstance(arrays, (list, tuple)) else []
    if len(shapes) > 1:
        raise ValueError(
            f"arrays of the shapes {some(shapes)} received; expected one size. Take "
            "`TrainingBatches`, which cuts crops from images of any size."
        )
    return np.asarray(arrays)


def _refuse_shapes(x, y, weights, further):
    """Raise ValueError where what `flow` received are not images with masks and weights of their own."""
    if x.ndim != 4:
        raise ValueError(f"`x` of shape {x.shape} received; expected images (n, height, width, channels).")
    if y is not None and not (y.ndim in (3, 4) and y.shape[:3] == x.shape[:3]):
        raise ValueError(
            f"`y` of shape {y.shape} received; expected masks {x.shape[:3]} or {(*x.shape[:3], 'any')}. For a label of "
            "each image take Keras' own ImageDataGenerator."
        )
    if weights is not None and weights.shape[:3] not in (x.shape[:1], x.shape[:3]):
        raise ValueError(
            f"`sample_weight` of shape {weights.shape} received; expected {x.shape[:1]}, or {x.shape[:3]} for pixels."
        )
    if any(part.shape[:1] != x.shape[:1] or part.shape[1:3] == x.shape[1:3] for part in further):
        raise ValueError(
            f"`x` with further inputs of the shapes {some(str(part.shape) for part in further)} received; expected "
            f"{len(x)} numbers or vectors each, since pictures would not be augmented."
        )


def by_value(image, function, draw):
    """`function` of an image (height, width[, channels]) in float32, by a table of its 256 values where it has 8 bits.

    function : changes float32 (any, any, channels) value by value, to float32; `draw`, which it follows, says whether
        it does: a channel shift looks at the whole image.
    """
    if image.dtype != np.uint8 or draw.get("channel_shift_intensity") is not None:
        return function(image.astype(np.float32, copy=False))
    channels = 1 if image.ndim == 2 else image.shape[2]
    values = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis, np.newaxis], channels, axis=2)
    table = function(values).reshape(1, 256, channels)
    if (table == table[..., :1]).all():
        table = np.ascontiguousarray(table[..., :1])  # looked up in half the time
    return cv2.LUT(image, table).reshape(image.shape)


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


# ---------------------------------------------------------------------------------------------------------- batches


class TrainingBatches(keras.utils.PyDataset):
    """Random augmented crops: batches of float32 (batch, crop, crop, channels) in 0…1 and uint8 (batch, crop, crop, 1).

    Images take turns in proportion to their area, as far as it is known. Where a foreground class is rare, half of the
    crops are centred near a foreground pixel, of each class in the image equally often, `SEAM` being one. Pixels of
    which nothing is known are `IGNORED` in the masks; where an image has some, its other crops lie around what is
    known, and none holds nothing else. Where some masks have seams, the foreground of masks that number nothing is
    `MERGED`. The batch at (seed, epoch, index) is always the same.
    """

    def __init__(self, examples, generator, crop_px, batch, steps, seed, workers=1):
        super().__init__(workers=workers, max_queue_size=8)
        self.examples, self.generator, self.crop_px, self.seed = examples, generator, crop_px, seed
        self.batch, self.steps, self.epoch = batch, steps, 0
        self.turns, self.ignoring = [], False  # whether some pixels are ignored
        pixels = np.zeros(256, np.int64)  # of each class
        self._spots = []  # for each image, for each foreground class in it, some of its pixels as flat indices
        self._known = []  # for each image, some of the pixels that are known; None where all are
        for index in tqdm(range(len(examples)), "ready", unit="image", leave=False, delay=1, disable=None):
            mask = examples[index].mask
            held = intensity.value_counts(mask)
            turns, ignored = min(64, -(-mask.shape[0] // crop_px) * -(-mask.shape[1] // crop_px)), held[IGNORED]
            held[IGNORED] = 0
            self.turns += [index] * (int(-(-turns * held.sum() // mask.size)) if ignored else turns)
            pixels += held
            rng = np.random.default_rng([seed, index])
            drawn = [(value, rng.integers(0, held[value], SPOTS)) for value in np.flatnonzero(held) if value > 0]
            self._spots.append([_places(mask, partial(np.equal, value), ranks) for value, ranks in drawn])
            partly, is_known = ignored and held.any(), partial(np.not_equal, IGNORED)
            self._known.append(_places(mask, is_known, rng.integers(0, held.sum(), SPOTS)) if partly else None)
            self.ignoring |= bool(ignored)
        self.seams = 0.0  # their share of the foreground
        if examples.classes == 1 and pixels[SEAM] > 0:
            self.seams = pixels[SEAM] / pixels[1:].sum()
            pixels[1], pixels[SEAM] = pixels[1:].sum(), 0
        numbered = getattr(examples, "numbered", {}) if self.seams else {}
        self.merged = {index for index, own in numbered.items() if not own}  # whose masks alone number nothing
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
        for _ in range(TRIES):
            draw = self.generator.get_random_transform((size, size), rng)
            centre = self._centre(example.mask.shape, which, rng)
            mask = self.generator.warp(example.mask, draw, nearest=True, height=size, width=size, centre=centre)
            if self._known[which] is None or (mask != IGNORED).any():
                break
        if which in self.merged:
            mask = np.where(mask == 1, np.uint8(MERGED), mask)
        image = self.generator.warp(example.image, draw, height=size, width=size, centre=centre)

        def finish(values):
            return (
                self.generator.change_colours(intensity.normalise(values, example.low, example.high) * 255, draw) / 255
            )

        return by_value(image, finish, draw), mask

    def _centre(self, shape, which, rng):
        size, spots, known = self.crop_px, self._spots[which], self._known[which]
        centre = np.array([rng.uniform(0, length - 1) for length in shape])
        if self.centred and spots and rng.random() < 0.5:
            known = spots[rng.integers(len(spots))]
        if known is not None:
            centre = np.array(np.unravel_index(rng.choice(known), shape), float) + rng.uniform(-size / 4, size / 4, 2)
        # Crops stay inside images larger than a crop and are centred on smaller ones.
        return [
            (n - 1) / 2 if n <= size else float(np.clip(c, (size - 1) / 2, n - 1 - (size - 1) / 2))
            for c, n in zip(centre, shape, strict=True)
        ]


def _places(mask, are_meant, ranks):
    """Flat indices of the pixels with the given ranks, counted from 0, among those of which a function is true."""
    places, before, start = np.zeros(len(ranks), np.int64), 0, 0
    for band in intensity.bands(mask):
        found = np.flatnonzero(are_meant(band))
        here = (ranks >= before) & (ranks < before + len(found))
        places[here] = start + found[ranks[here] - before]
        before, start = before + len(found), start + band.size
    return places


class ValidationBatches(keras.utils.PyDataset):
    """Every known pixel of the validation images once, crop by crop, without augmentation.

    Padding and `IGNORED` pixels have sample weight 0; crops that hold nothing else are left out.
    """

    def __init__(self, examples, crop_px, batch):
        # Of one worker Keras makes a tf.data pipeline with autotuning, whose end may take as long as it did itself.
        super().__init__(workers=2)
        self.examples, self.crop_px, self.batch = examples, crop_px, batch
        self.places, self.ignoring = [], False  # whether some pixels are ignored
        for index in tqdm(range(len(examples)), "ready", unit="image", leave=False, delay=1, disable=None):
            mask = examples[index].mask
            for row, column in product(*(range(0, length, crop_px) for length in mask.shape)):
                part = mask[row : row + crop_px, column : column + crop_px]
                self.places += [(index, row, column)] if (part != IGNORED).any() else []
                self.ignoring |= bool((part == IGNORED).any())

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
        weight = (mask != IGNORED).astype(np.float32)
        pad = [(0, size - mask.shape[0]), (0, size - mask.shape[1])]
        return (
            np.pad(image, [*pad, (0, 0)], mode="symmetric"),
            np.pad(mask, pad, mode="symmetric")[..., np.newaxis],
            np.pad(weight, pad),
        )
