"""The scale at which the network sees images: their own pixels, or single cells scaled to fill a training crop."""

import cv2


def choose_fit(sizes, crop_px):
    """True where the images are single-cell crops, to be brought to the size of the training crops; False for fields.

    The rule: when more than half of the training images have both sides smaller than a crop, the size of a picture
    is the size of its cell, not a magnification. Then every image, in training and in prediction, is scaled so that
    its longer side fills the crop. Otherwise every image keeps its pixels.

    Parameters: sizes, list of (height, width) in pixels; crop_px, side of the training crops.
    """
    return sum(max(size) < crop_px for size in sizes) * 2 > len(sizes)


def resize(array, height, width, nearest=False):
    """Resample (height, width[, channels]): by area when shrinking, linearly when growing, nearest for masks."""
    if array.shape[:2] == (height, width):
        return array
    if nearest:
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinking = height * width < array.shape[0] * array.shape[1]
    resized = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized.reshape(height, width, *array.shape[2:])


def fitted_size(height, width, crop_px):
    """Size (height, width) at which the longer side is `crop_px`, the aspect ratio kept."""
    scale = crop_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
