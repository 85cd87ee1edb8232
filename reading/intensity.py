"""How grey values become network input, one rule for training, prediction, slides and exports.

`intensity_range` finds the two grey values of an image that become 0 and 1, `normalise` applies them, and `to_channels`
makes grey of colour or the reverse. Images are (height, width, channels), of the dtypes that `images.read` gives.
"""

import numpy as np

LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # shares of red, green and blue in a grey value (BT.601)


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


def intensity_range(image, known=None):
    """Grey values that become 0 and 1 in the network's input, per channel, from the whole image.

    The 0.1th and 99.9th percentiles, so that a few hot or dead pixels do not decide. Being percentiles, they make an
    8-bit, a 16-bit and a dark 12-in-16-bit picture of one specimen the same network input.

    Parameters: image, ndarray of shape (height, width, channels); known, the range of the field that it is a tile of
    (`pairing.pairs.Pair.intensity_range`), which is then given for the image's channels.
    Returns: (low, high), two float32 ndarrays of shape (channels,), high > low.
    """
    if known is not None:
        return tuple(np.resize(np.float32(values), image.shape[2]) for values in known)
    stride = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / 2**20)))  # about a million pixels tell enough
    pixels = image[::stride, ::stride].reshape(-1, image.shape[2])
    low, high = _percentiles(pixels, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return low.astype(np.float32), np.where(high > low, high, low + 1).astype(np.float32)


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
