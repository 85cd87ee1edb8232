"""How grey values become network input, one rule for training, prediction, slides and exports.

`spread_of` finds what the grey values of an image span, and how little of it must not be stretched to full contrast;
`to_range` makes of it the two grey values that become 0 and 1, `normalise` applies them, and `to_channels` makes grey
of colour or the reverse. Images are (height, width, channels), of the dtypes that `images.read` gives.

The 0.1th and the 99.9th percentile become 0 and 1, so that a few hot or dead pixels do not decide; being percentiles,
they make an 8-bit, a 16-bit and a dark 12-in-16-bit picture of one specimen the same input. Where cells cover less than
a thousandth of the picture, nothing but noise lies between the two. Therefore the span has a *floor*, the largest of

- 10 times the noise (`noise_of`): noise alone then has a standard deviation of a tenth of the input's range. In the
  real fields and cells that the defaults were chosen on the percentiles are at least 21 times the noise apart;
- a quarter of the light, the larger end of the span: shading, and variations of the ground that are smoother than
  noise, stay below, and stained cells take more (of 205 single cells in colour the palest takes 0.30 in the channel
  that shows it least). A share of the light is the same at any exposure and bit depth;
- 16 grey levels of an 8- or 16-bit file, for dark pictures of few values.

Where the percentiles are closer, the extremes of 4×4 blocks' means take their place if they lie further apart: of one
nucleus in sixteen megapixels several blocks are full, of hot pixels none. They are followed up to four times the floor,
so that a piece of dirt, however bright, does not hide what is beside it. What then is missing is added on the side
where the cells would be, so that ground keeps the grey value that it has beside cells.
"""

from typing import NamedTuple

import numpy as np

LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9
RULE = "percentiles above a floor"  # as model files call the rule
RULES = (RULE, "percentiles")  # and what it was in earlier versions, without a floor
NOISES, LIGHT_SHARE, LEVELS = 10, 0.25, 16  # the floor
FURTHEST = 4  # floors
LAG_PX = 2  # between the pixels that tell noise: what neighbours share, JPEG and demosaicing made of noise
BLOCK_PX = 4  # a nucleus 16 px across holds several
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # shares of red, green and blue in a grey value (BT.601)


class Spread(NamedTuple):
    """What the grey values of an image span, in each a number a channel.

    low, high : percentiles, or the extremes of blocks where these are needed (above).
    least : the least span that becomes 0…1; 0 where it is not known, as for tiles of earlier versions.
    """

    low: tuple
    high: tuple
    least: tuple = (0.0,)

    def has_contrast(self):
        """False where no channel spans three quarters of the least, which noise does not: nothing is to be seen."""
        span = np.subtract(self.high, self.low)
        return bool(((span > 0) & (span >= np.array(self.least) * 0.75)).any())

    def without_floor(self):
        """The same span, however small, to be stretched to 0…1."""
        return self._replace(least=(0.0,))


# ---------------------------------------------------------------------------------------------------- normalisation


def is_grey(image):
    """True where an image of shape (height, width, channels) carries no colour (one channel, or all equal)."""
    return image.shape[2] == 1 or all((band == band[..., :1]).all() for band in bands(image))


def has_two_channels(image):
    """True for two measured channels, as of fluorescence, to which `images.read` adds a third that is 0 throughout."""
    if image.shape[2] != 3 or image[::16, ::16, 2].any():  # mostly decided by a few pixels
        return False
    return bool(image[..., 0].any() and image[..., 1].any() and not image[..., 2].any())


def bands(array, pixels=2**20):
    """Successive rows of an array of shape (height, width, …) as views of about `pixels` pixels each.

    What is computed band by band needs no second array of a large image's size.
    """
    rows = max(1, pixels // max(1, array.shape[1]))
    return [array[first : first + rows] for first in range(0, len(array), rows)]


def value_counts(array):
    """Pixels of each value that the dtype of a uint8 or uint16 array can hold: int64 of shape (256,) or (65536,)."""
    # By bands, since bincount makes 64-bit integers of all that it is given.
    return sum(np.bincount(band.ravel(), minlength=np.iinfo(array.dtype).max + 1) for band in bands(array))


def to_channels(image, channels):
    """The image with 1 or 3 channels: colour to grey by ITU-R BT.601 luma, grey to colour by repetition."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    if is_grey(image):
        return image[..., :1]
    # NumPy converts all that it multiplies to float32 first: by bands, so that a slide's field fits into memory.
    return np.concatenate([(band @ LUMINANCE)[..., np.newaxis] for band in bands(image)])


def is_constant(image):
    """True where every pixel of an image has one value, of each channel."""
    return all((band == image[0, 0]).all() for band in bands(image))


def intensity_range(image, known=None, dark=None):
    """Grey values that become 0 and 1 in the network's input, per channel, from the whole image: `to_range` of it.

    Parameters: image, ndarray of shape (height, width, channels); known, the `Spread` of the field that it is a tile of
    (`pairing.pairs.Pair.intensity_range`), which is then given for the image's channels; dark as for `to_range`.
    Returns: (low, high), two float32 ndarrays of shape (channels,), high > low.
    """
    return to_range(spread_of(image) if known is None else in_channels(known, image.shape[2]), dark)


def to_range(spread, dark=None):
    """Grey values that become 0 and 1, of a `Spread`: (low, high), two float32 ndarrays of shape (channels,).

    dark : True where cells are darker than the ground, False where they are brighter, None where neither is known. What
        a span lacks of the least is added below, above, or half on each side.
    """
    low, high = np.float32(spread.low), np.float32(spread.high)
    missing = np.maximum(np.float32(spread.least) - (high - low), 0)
    above = missing * np.float32(0.5 if dark is None else not dark)
    low, high = low - (missing - above), high + above
    return low, np.where(high > low, high, low + 1)


def light(spread):
    """What no stain darkens, in each channel of a `Spread`: float32 (channels,), above 0."""
    high = np.float32(spread.high)
    return np.where(high > 0, high, 1)


def in_channels(known, channels):
    """A field's `Spread`, or its first two values, for an image of 1 or 3 channels made of the field's."""
    spread = Spread(*known)
    if channels == 1 and len(spread.low) == 3:
        return Spread(*((float(np.dot(np.resize(values, 3), LUMINANCE)),) for values in spread))
    return Spread(*(tuple(np.resize(values, channels).tolist()) for values in spread))


def sampling_step(height, width):
    """Every so-many-th row and column: about a million pixels tell enough."""
    return max(1, int(np.sqrt(height * width / 2**20)))


def sampled(rows, step):
    """Every `step`-th column of some rows, and those `LAG_PX` and twice that to its right, as far as there are."""
    return [rows[:, shift::step] for shift in (0, LAG_PX, 2 * LAG_PX)]


def spread_of(image):
    """The `Spread` of an image, ndarray of shape (height, width, channels)."""
    step = sampling_step(*image.shape[:2])
    tall = BLOCK_PX * max(1, 2**18 // image.shape[1])  # so that blocks are whole in all bands but the last
    parts = (image[first : first + tall] for first in range(0, len(image), tall))
    return spread_of_sample(sampled(image[::step], step), parts)


def spread_of_sample(sample, parts):
    """The `Spread` of an image of which `sampled` pixels are given.

    parts : iterable of the whole image, rows after rows, multiples of `BLOCK_PX` of them; looked at only where needed.
    """
    pixels = sample[0].reshape(-1, sample[0].shape[2])
    low, high = _percentiles(pixels, (LOW_PERCENTILE, HIGH_PERCENTILE))
    light = np.maximum(np.abs(low), np.abs(high))
    steps = np.full(len(low), LEVELS * (pixels.dtype.kind == "u"))
    least = np.max([NOISES * noise_of(*sample), LIGHT_SHARE * light, steps], axis=0)
    sparse = high - low < least
    if sparse.any():
        lowest, highest = _extremes(parts, low, high)
        lowest, highest = np.maximum(lowest, high - FURTHEST * least), np.minimum(highest, low + FURTHEST * least)
        low, high = np.where(sparse, lowest, low), np.where(sparse, highest, high)
    return Spread(*(tuple(values.astype(float).tolist()) for values in (low, high, least)))


def noise_of(first, second, third):
    """Standard deviation of the noise, per channel, from pixels in a row: float64 of shape (channels,).

    By the median of the second difference, which neither edges nor gradients change much, as in Immerkær's estimate
    (Computer Vision and Image Understanding 64, 1996); 0 for an image too narrow for it.
    """
    width = third.shape[1]
    if not width:
        return np.zeros(first.shape[2])
    whole = first.dtype.kind == "u"
    first, second, third = (
        pixels[:, :width].astype(np.int32 if whole else np.float32) for pixels in (first, second, third)
    )
    bent = np.abs(first - 2 * second + third).reshape(-1, first.shape[2])
    middle = _middles(bent) if whole else np.median(bent, axis=0)
    return middle / (0.6745 * np.sqrt(6))


def _middles(numbers):
    """The median of each column of whole numbers (n, channels), the lower one of two: counted, which is faster."""
    return np.array([np.searchsorted(np.bincount(column).cumsum(), len(numbers) / 2) for column in numbers.T])


def _extremes(parts, low, high):
    """The least and the largest of `low`, `high` and the means of 4×4 blocks, per channel."""
    for part in parts:
        height, width = (n // BLOCK_PX for n in part.shape[:2])
        if height and width:
            part = part[: height * BLOCK_PX, : width * BLOCK_PX]
            rows = np.add.reduce(part.reshape(height, BLOCK_PX, -1), axis=1, dtype=np.float32)
            means = np.add.reduce(rows.reshape(height * width, BLOCK_PX, -1), axis=1) / BLOCK_PX**2
            low, high = np.minimum(low, means.min(axis=0)), np.maximum(high, means.max(axis=0))
    return low, high


def _percentiles(pixels, shares):
    """`np.percentile` of each column of (n, channels); whole numbers are counted, which is ten times as fast."""
    if pixels.dtype not in (np.uint8, np.uint16):
        return np.percentile(pixels, shares, axis=0)
    place = np.array(shares) / 100 * (len(pixels) - 1)
    below, part = np.floor(place), (place % 1)[:, np.newaxis]
    ranks = np.concatenate([below, np.ceil(place)])
    sums = (np.bincount(column).cumsum() for column in pixels.T)
    found = np.stack([np.searchsorted(total, ranks, side="right") for total in sums], axis=1).astype(float)
    lower, upper = found[: len(below)], found[len(below) :]
    return lower + (upper - lower) * part


def normalise(image, low, high):
    """Network input from grey values: float32 of the image's shape, `low` to 0 and `high` to 1, clipped to 0…1."""
    return np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)


# ------------------------------------------------------------------------------------------------------- probabilities


def to_8_bits(probability):
    """Probabilities 0…1 of any shape in 8 bits: uint8, 255 for 1; half a step is 0.002."""
    return np.rint(probability * 255).astype(np.uint8)
