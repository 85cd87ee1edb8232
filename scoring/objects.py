"""Cells rather than pixels: which objects were found, how many too many or too few, how far their outlines are off.

An object of a mask is a connected component of its foreground, pixels touching by sides or corners (8-connectivity).
Cells that touch in a mask are therefore one object, in the truth and in the prediction alike, unless the truth numbers
them itself (`pairing.objects.true_objects`). Scores of objects are sums over images of found, invented and missed ones,
like pixels.
"""

import cv2
import numpy as np

from reading.files import InputError
from scoring import metrics

MATCH_IOU = 0.5
PERCENTILE = 95


def match_objects(truth, prediction, ignored=None, overlap=MATCH_IOU):
    """How many objects were found, invented and missed.

    A true and a predicted object are one where their intersection over union is above `overlap`. No two predictions can
    fulfil that for one true object, nor the reverse: each of them would hold more than half of it, and they do not
    overlap. So the pairs are unique and no assignment has to be sought.

    Where some pixels are `ignored`, objects are compared by the others. One with more than half of its pixels ignored
    counts neither as invented nor as missed, and two such that match do not count as found.

    truth, prediction: integer ndarrays of shape (height, width), 0 on background, another number on each object, in
    any order and with gaps. ignored: bool (height, width), or None for none. overlap: 0.5 to below 1.
    Returns an int64 ndarray (4,): tp matched, fp predicted without partner, fn true without partner, and 0, since there
    is no number of objects that are rightly not there.
    """
    if truth.shape != prediction.shape:
        raise InputError(
            f"Received true objects of shape {truth.shape} and predicted ones of shape {prediction.shape}, expected "
            "the same (height, width): predict at the image's own size."
        )
    true_whole, predicted_whole = _sizes(truth), _sizes(prediction)
    if ignored is not None:
        truth, prediction = np.where(ignored, 0, truth), np.where(ignored, 0, prediction)
    true_sizes, predicted_sizes = _sizes(truth), _sizes(prediction)
    both = (truth > 0) & (prediction > 0)
    pairs, shared = np.unique(np.stack([truth[both], prediction[both]]).astype(np.int64), axis=1, return_counts=True)
    matches = {
        t: p
        for (t, p), count in zip(pairs.T.tolist(), shared.tolist(), strict=True)
        if count > overlap * (true_sizes[t] + predicted_sizes[p] - count)
    }
    known_true = {t for t, size in true_sizes.items() if 2 * size >= true_whole[t]}
    known_predicted = {p for p, size in predicted_sizes.items() if 2 * size >= predicted_whole[p]}
    tp = sum(t in known_true or p in known_predicted for t, p in matches.items())
    fp, fn = len(known_predicted - set(matches.values())), len(known_true - matches.keys())
    return np.array([tp, fp, fn, 0], np.int64)


def _sizes(labels):
    """Pixels of each object: {number: count}."""
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def object_scores(counts, slides=None):
    """The scores of the objects of several images.

    counts: int ndarray of shape (images, rows, 4), of `match_objects`; a row a class. slides: the slide of each image,
    as for `metrics.resampled_sums`.
    Returns a dictionary:
        f1 = 2 tp / (2 tp + fp + fn), ap = tp / (tp + fp + fn), both of the counts summed over the images, each the mean
            over the rows. This "average precision at IoU 0.5" is that of the Data Science Bowl 2018 (Caicedo et al.,
            Nature Methods 16, 2019) and of StarDist (Schmidt et al., MICCAI 2018), not an area under a curve.
        true, predicted : how many objects there are, summed over images and rows.
        count_error = predicted − true.
        mean_count_error : |predicted − true| of an image, summed over the rows, the mean over the images.
        interval_95 : {"f1": [lower, upper], "ap": …}, None for one image or slide; see `metrics.pooled_scores`.
    No object where none is: f1 and ap are 1; objects on one side only: 0.
    """
    pooled = metrics.pooled_scores(counts, slides)  # with objects for pixels, Dice is F1 and IoU is this AP
    limits = pooled["interval_95"]
    tp, fp, fn, _ = np.moveaxis(np.asarray(counts), -1, 0)
    return {
        "f1": pooled["dice"],
        "ap": pooled["iou"],
        "true": int((tp + fn).sum()),
        "predicted": int((tp + fp).sum()),
        "count_error": int((fp - fn).sum()),
        "mean_count_error": float(np.abs(fp - fn).sum(axis=1).mean()),
        "interval_95": limits and {"f1": limits["dice"], "ap": limits["iou"]},
    }


# ---------------------------------------------------------------------------------------------------------- boundaries


def border_pixels(mask, ignored=None):
    """The outermost pixels of a mask's foreground: bool (height, width).

    Those with a background pixel above, below, left or right of them; beyond the image's border is background. Pixels
    that are `ignored`, bool (height, width), are no border and make none of their neighbours.
    """
    if ignored is not None:
        return border_pixels((mask > 0) | ignored) & ~ignored
    inside = np.pad(mask > 0, 1)
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~core


def hausdorff(truth, prediction, percentile=PERCENTILE, ignored=None):
    """How far the outlines of two masks are apart, in pixels; HD95 with the default percentile.

    For each pixel of one outline the distance to the nearest of the other, between pixel centres; of these the 95th
    percentile; of the two directions the larger one (Huttenlocher et al., PAMI 15, 1993, with a percentile for the
    maximum; as in Maier-Hein et al., Nature Methods 21, 2024). So a twentieth of an outline may lie anywhere.

    Two empty masks are 0 apart. Where one is empty there is no distance; the image's diagonal, which no distance
    exceeds, stands for it, so that a missed image counts and means stay finite.

    truth, prediction: ndarrays of shape (height, width), foreground above 0; ignored: bool of that shape, the pixels
    in which no outline is looked for, or None. Returns a float.
    """
    one, other = border_pixels(truth, ignored), border_pixels(prediction, ignored)
    if not one.any() or not other.any():
        return 0.0 if one.any() == other.any() else float(np.hypot(*truth.shape))
    # One box around both is enough, and smaller than the image.
    rows, columns = (np.flatnonzero((one | other).any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    one, other = one[box], other[box]
    return max(float(np.percentile(_distance_to(b)[a], percentile)) for a, b in ((one, other), (other, one)))


def _distance_to(pixels):
    """Distance of each pixel to the nearest of `pixels`, float32 (height, width); exact, not the 3×3 approximation."""
    return cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def boundary_scores(distances, slides=None):
    """{"hd95_px": the mean over images and classes, "interval_95": its limits, None for one image or slide}.

    distances: float ndarray of shape (images, classes), of `hausdorff`; slides: as for `object_scores`.
    """
    distances = np.asarray(distances, np.float64).mean(axis=1)
    sums = metrics.resampled_sums(distances, slides=slides)
    drawn = sums / metrics.resampled_sums(np.ones(len(distances)), slides=slides)  # slides differ in their images
    return {
        "hd95_px": float(distances.mean()),
        "interval_95": metrics.interval_95(drawn) if metrics.count_slides(len(distances), slides) > 1 else None,
    }
