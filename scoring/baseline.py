"""The baseline that needs no training: Otsu's threshold on the grey values, image by image.

The one thing to know beforehand is whether the cells are darker or brighter than what is around them; that is found on
annotated images that are not tested on.
"""

import cv2
import numpy as np

from reading import intensity
from scoring.metrics import confusion_counts, scores_from_counts


def otsu_mask(image, dark):
    """Foreground by Otsu's threshold (IEEE Transactions on Systems, Man, and Cybernetics 9, 1979).

    The image becomes grey and 8-bit by the network's own normalisation first. An image of one grey value has no
    foreground.

    Parameters: image, ndarray of shape (height, width, 1 or 3); dark, True where foreground is darker than background.
    Returns uint8 (height, width), 0 and 1.
    """
    grey = intensity.to_channels(image, 1)
    low, high = intensity.intensity_range(grey)
    bands = (np.rint(intensity.normalise(band, low, high) * 255).astype(np.uint8) for band in intensity.bands(grey))
    grey = np.concatenate([*bands])[..., 0]
    if grey.min() == grey.max():
        return np.zeros_like(grey)
    kind = cv2.THRESH_BINARY_INV if dark else cv2.THRESH_BINARY
    return cv2.threshold(grey, 0, 1, kind | cv2.THRESH_OTSU)[1]


def foreground_is_dark(examples):
    """True where Otsu's threshold finds the foreground better on its dark side: by Dice, over the pixels of `examples`.

    Of a large image every second, third, … row and column is taken, about a million pixels.

    examples: iterable of (image, mask, ignored), (height, width, 1 or 3), (height, width) with foreground above 0, and
        bool (height, width), the pixels that do not count.
    """
    dark, bright = 0, 0
    for example in examples:
        stride = max(1, int(np.sqrt(example[1].size / 2**20)))
        image, mask, ignored = (part[::stride, ::stride] for part in example)
        dark = dark + confusion_counts(mask, otsu_mask(image, dark=True), ignored=ignored)[0]
        bright = bright + confusion_counts(mask, otsu_mask(image, dark=False), ignored=ignored)[0]
    return scores_from_counts(dark)["dice"] >= scores_from_counts(bright)["dice"]
