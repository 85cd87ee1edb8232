"""Counts first, scores second: masks -> tp, fp, fn, tn -> Dice, IoU, accuracy, precision, recall -> scores.json.

Counts add up over images, scores do not; so the scores of a whole test set are those of its summed counts. NumPy only.
"""

import numpy as np

from images import InputError

SCORES = ("dice", "iou", "accuracy", "precision", "recall")


def confusion_counts(truth, prediction, classes=1):
    """Count the pixels of one image that are right and wrong, class by class.

    Args:
        truth, prediction: integer or bool ndarrays of shape (H, W), class ids. With classes=1 anything above 0 is
            foreground (so 0/1 and 0/255 mean the same); else ids run from 0, the background, to classes - 1.
        classes: int, 1 for foreground against background, K >= 2 for K classes, background included.

    Returns:
        int64 ndarray of shape (foreground classes, 4): tp, fp, fn, tn, one row for the foreground, or for each of the
        classes 1 ... K-1 against all others. Each row sums to H * W.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise InputError(
            f"Received a mask of shape {truth.shape} and a prediction of shape {prediction.shape}, expected the same "
            "(height, width): predict at the image's own size and give both without a channel axis."
        )
    for what, mask in (("mask", truth), ("prediction", prediction)):
        if mask.dtype.kind not in "bui":
            raise InputError(f"Received a {what} of type {mask.dtype}, expected integer class ids: threshold it first.")
        if classes > 1 and mask.size and not 0 <= mask.min() <= mask.max() < classes:
            raise InputError(
                f"Received a {what} with values from {mask.min()} to {mask.max()}, expected class ids from 0 to "
                f"{classes - 1}: correct the mask, or the number of classes."
            )
    if classes == 1:
        truth, prediction = truth > 0, prediction > 0
    k = max(2, classes)
    pairs = truth.ravel().astype(np.int64) * k + prediction.ravel().astype(np.int64)
    matrix = np.bincount(pairs, minlength=k * k).reshape(k, k)  # rows: truth, columns: prediction
    tp = np.diag(matrix)
    fp = matrix.sum(axis=0) - tp
    fn = matrix.sum(axis=1) - tp
    return np.stack([tp, fp, fn, matrix.sum() - tp - fp - fn], axis=1)[1:].astype(np.int64)


def scores_from_counts(counts_row):
    """The five scores of one class, each a float from 0 to 1.

        dice      = 2 tp / (2 tp + fp + fn)           recall    = tp / (tp + fn)
        iou       = tp / (tp + fp + fn)               precision = tp / (tp + fp)
        accuracy  = (tp + tn) / (tp + fp + fn + tn)

    Nothing to find and nothing found (tp = fp = fn = 0) is right: every score is 1. In all other cases a ratio of
    0 / 0 is 0: the precision where something was there and nothing was found, the recall where nothing was there and
    something was found. So exchanging truth and prediction exchanges precision and recall and leaves the rest.

    Args:
        counts_row: tp, fp, fn, tn, whole numbers: one row of `confusion_counts`, or a sum of such rows.
    """
    tp, fp, fn, tn = (int(n) for n in counts_row)
    if tp + fp + fn == 0:
        return dict.fromkeys(SCORES, 1.0)
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
    }


def scorecard(names, counts_list, threshold, classes=1):
    """What `scores.json` holds.

    Args:
        names: the images' names.
        counts_list: for each image its `confusion_counts`, of shape (foreground classes, 4).
        threshold: the probability from which a pixel counted as foreground; kept as it is.
        classes: int, as in `confusion_counts`.

    Returns:
        dict: the five scores of the counts summed over all images, `threshold`, `images` (a list of the same scores
        with the image's `name`), and `baseline`, the scores that an all-background prediction has on these masks: a
        model that does not beat them has learnt nothing. With K >= 2 classes every score, the accuracy too, is the
        mean over the foreground classes, each against all others, and `classes` holds each one's own:
        `{"1": {"dice", ...}, "2": ...}`.
    """
    names = list(names)
    counts = np.array([np.asarray(c, np.int64) for c in counts_list])  # (images, foreground classes, 4)
    expected = (len(names), max(1, classes - 1), 4)
    if not names or counts.shape != expected:
        raise InputError(
            f"Received {len(names)} names and counts of shape {counts.shape}, expected at least one image and counts "
            f"of shape {expected}: one `confusion_counts` of {classes} classes for each name."
        )
    total = counts.sum(axis=0)
    tp, fp, fn, tn = total.T
    nothing_found = np.stack([0 * tp, 0 * fp, tp + fn, fp + tn], axis=1)
    card = {
        **_mean_scores(total),
        "threshold": threshold,
        "images": [{"name": name, **_mean_scores(rows)} for name, rows in zip(names, counts, strict=True)],
        "baseline": _mean_scores(nothing_found),
    }
    if classes > 1:
        card["classes"] = {str(i): scores_from_counts(row) for i, row in enumerate(total, start=1)}
    return card


def _mean_scores(rows):
    """(foreground classes, 4) counts -> each score's mean over the classes."""
    per_class = [scores_from_counts(row) for row in rows]
    return {score: sum(scores[score] for scores in per_class) / len(per_class) for score in SCORES}
