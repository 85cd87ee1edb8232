"""Counts first, scores second: masks -> tp, fp, fn, tn -> Dice, IoU, accuracy, precision, recall -> scores.json.

Counts add up over images, scores do not; so the scores of a whole test set are those of its summed counts. How far they
would move with other images is found by drawing the images again (bootstrap). NumPy only.
"""

import os

import numpy as np

from reading.files import InputError

SCORES = ("dice", "iou", "accuracy", "precision", "recall")
RESAMPLES = 2000  # draws of the bootstrap: its limits then repeat to about a hundredth of the interval's width
FEW = 10  # images, or slides; below, the interval is too narrow more often than it says


def confusion_counts(truth, prediction, classes=1, ignored=None):
    """Count the pixels of one image that are right and wrong, class by class.

    Args:
        truth, prediction: integer or bool ndarrays of shape (H, W), class ids. With classes=1 anything above 0 is
            foreground (so 0/1 and 0/255 mean the same); else ids run from 0, the background, to classes - 1.
        classes: int, 1 for foreground against background, K >= 2 for K classes, background included.
        ignored: bool ndarray of shape (H, W), the pixels that count nowhere, whatever their ids; None for none.

    Returns:
        int64 ndarray of shape (foreground classes, 4): tp, fp, fn, tn, one row for the foreground, or for each of the
        classes 1 ... K-1 against all others. Each row sums to H * W, less the pixels ignored.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise InputError(
            f"Received a mask of shape {truth.shape} and a prediction of shape {prediction.shape}, expected the same "
            "(height, width): predict at the image's own size and give both without a channel axis."
        )
    if ignored is not None:
        truth, prediction = truth[~ignored], prediction[~ignored]
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
    return dict(zip(SCORES, _scores(counts_row).tolist(), strict=True))


def _scores(counts):
    """Counts of shape (..., 4) -> float64 scores of shape (..., 5), in the order of `SCORES`."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    right = tp + fp + fn == 0  # nothing to find and nothing found

    def share(part, whole):
        return np.where(right, 1.0, np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))

    dice, iou = share(2 * tp, 2 * tp + fp + fn), share(tp, tp + fp + fn)
    accuracy = share(tp + tn, tp + fp + fn + tn)
    return np.stack([dice, iou, accuracy, share(tp, tp + fp), share(tp, tp + fn)], axis=-1)


def resampled_sums(values, seed=0, slides=None):
    """What the sum over the images would be if other images like them had been taken: the bootstrap.

    As many images as there are are drawn with replacement, `RESAMPLES` times (Efron & Tibshirani, An Introduction to
    the Bootstrap, 1993, chapter 13: the percentile interval of such sums). Images of one slide are alike, so where
    there are several slides are drawn, each with all its images (the cluster bootstrap: Davison & Hinkley, Bootstrap
    Methods and their Application, 1997, section 3.8).

    Args:
        values: ndarray of shape (images, ...), a row an image. One order of the rows gives one result.
        seed: int.
        slides: the slide of each image, a list of names; None where each is of its own.

    Returns:
        float64 ndarray of shape (RESAMPLES, ...).
    """
    values = np.asarray(values, np.float64)
    flat, rng = values.reshape(len(values), -1), np.random.default_rng(seed)
    if slides is not None:
        names, owners = np.unique(slides, return_inverse=True)
        flat = (owners == np.arange(len(names))[:, np.newaxis]).astype(np.float64) @ flat
    sums = [rng.multinomial(len(flat), np.full(len(flat), 1 / len(flat)), 100) @ flat for _ in range(RESAMPLES // 100)]
    return np.concatenate(sums).reshape(RESAMPLES, *values.shape[1:])


def interval_95(resampled):
    """[lower, upper]: the middle 95 % of values of shape (RESAMPLES,)."""
    return np.percentile(resampled, (2.5, 97.5)).tolist()


def count_slides(images, slides=None):
    """How many slides that many images are of, by the slide of each (`resampled_sums`)."""
    return images if slides is None else len(set(slides))


def pooled_scores(counts, slides=None):
    """The scores of several images.

    Args:
        counts: int ndarray of shape (images, rows, 4), tp, fp, fn, tn; a row a class.
        slides: as for `resampled_sums`.

    Returns:
        dict: the five scores of the counts summed over the images, each the mean over the rows; `interval_95`, for each
        score the [lower, upper] limits between which it would lie for 95 of 100 other draws of as many images, or
        slides, None where there is one, which tells nothing of others; `mean_per_image`, the mean of the images' own
        scores.
    """
    counts = np.asarray(counts, np.int64)
    pooled = _scores(counts.sum(axis=0)).mean(axis=0)
    limits = None
    if count_slides(len(counts), slides) > 1:
        drawn = _scores(resampled_sums(counts, slides=slides)).mean(axis=1)  # (RESAMPLES, 5)
        limits = {score: interval_95(column) for score, column in zip(SCORES, drawn.T, strict=True)}
    return {
        **_named(pooled),
        "interval_95": limits,
        "mean_per_image": _named(_scores(counts).mean(axis=(0, 1))),
    }


def score_summary(names, counts_list, threshold, classes=1, slides=None):
    """What `scores.json` holds.

    Args:
        names: the images' names.
        counts_list: for each image its `confusion_counts`, of shape (foreground classes, 4).
        threshold: the probability from which a pixel counted as foreground; kept as it is.
        classes: int, as in `confusion_counts`.
        slides: the slide of each image, as for `resampled_sums`.

    Returns:
        dict: the scores of the counts summed over all images with their intervals and their means over the images (see
        `pooled_scores`), `threshold`, `images` (a list of each image's own scores with its `name`), and `baseline`, the
        scores that an all-background prediction has on these masks: a model that does not beat them has learnt nothing.
        With K >= 2 classes every score, the accuracy too, is the mean over the foreground classes, each against all
        others, and `classes` holds each one's own: `{"1": {"dice", ..., "interval_95", "mean_per_image"}, "2": ...}`.
        Where slides are given, `slides` is their number, and each of `images` has its `slide`. The order of the images
        changes nothing but the order of `images`.
    """
    names = list(names)
    counts = np.array([np.asarray(c, np.int64) for c in counts_list])  # (images, foreground classes, 4)
    expected = (len(names), max(1, classes - 1), 4)
    if not names or counts.shape != expected:
        raise InputError(
            f"Received {len(names)} names and counts of shape {counts.shape}, expected at least one image and counts "
            f"of shape {expected}: one `confusion_counts` of {classes} classes for each name."
        )
    tp, fp, fn, tn = np.moveaxis(counts.sum(axis=0), -1, 0)
    nothing_found = np.stack([0 * tp, 0 * fp, tp + fn, fp + tn], axis=-1)
    order = sorted_by_name(names)
    by_name, slides_by_name = counts[order], slides and [slides[i] for i in order]
    summary = {
        **pooled_scores(by_name, slides_by_name),
        "threshold": threshold,
        "images": [
            {"name": name, **_named(_scores(rows).mean(axis=0))} for name, rows in zip(names, counts, strict=True)
        ],
        "baseline": _named(_scores(nothing_found).mean(axis=0)),
    }
    if classes > 1:
        summary["classes"] = {str(k): pooled_scores(by_name[:, k - 1 : k], slides_by_name) for k in range(1, classes)}
    if slides:
        summary["slides"] = count_slides(len(names), slides)
        for image, slide in zip(summary["images"], slides, strict=True):
            image["slide"] = slide
    return summary


def sorted_by_name(names):
    """Indices that sort the images, so that the bootstrap's draws do not depend on their order."""
    return sorted(range(len(names)), key=lambda i: names[i])


def table(summary):
    """The scores of `evaluate.evaluate_folder` for people: a list of lines."""

    def row(title, scores, form="{:.3f}"):
        return f"{title:18}" + "".join(f"{form.format(*np.atleast_1d(scores[name])):>13}" for name in SCORES)

    def within(limits):
        return " ({:.3f}–{:.3f})".format(*limits) if limits else ""

    count, limits = len(summary["images"]), summary["interval_95"]
    lines = [
        " " * 18 + "".join(f"{name:>13}" for name in SCORES),
        row(f"{count} image{'s' * (count > 1)}, pooled", summary),
    ]
    if limits:
        lines.append(row("  95 % interval", limits, "{:.3f}–{:.3f}"))
    if count > 1:
        lines.append(row("  mean per image", summary["mean_per_image"]))
    for key, scores in summary.get("classes", {}).items():
        lines.append(row(f"  class {key}", scores))
    if "start" in summary:
        lines.append(row("(starting weights)", summary["start"]))
    if "otsu" in summary:
        lines.append(row("(Otsu threshold)", summary["otsu"]))
    lines.append(row("(all background)", summary["baseline"]))
    if "start" in summary:
        before = summary["start"]["dice"]
        lines.append(
            f"the weights it started from, {os.path.basename(summary['start']['weights'])}: Dice {before:.3f} on the "
            f"same images; training changed it by {summary['dice'] - before:+.3f}"
        )
    found, outlines = summary["objects"], summary["boundary"]
    true = "cells that touch in the mask count as one" if "components" in found["truth"] else "as annotated"
    between = found["interval_95"] or {"f1": None, "ap": None}
    lines += [
        f"objects ({true}): {found['predicted']} predicted, {found['true']} true ({found['count_error']:+d}; off by "
        f"{found['mean_count_error']:.1f} an image); at IoU above 0.5 F1 {found['f1']:.3f}{within(between['f1'])}, "
        f"AP {found['ap']:.3f}{within(between['ap'])}",
        f"outlines: HD95 {outlines['hd95_px']:.1f} px"
        + (
            " ({:.1f}–{:.1f}), mean of the images".format(*outlines["interval_95"])
            if limits
            else ", mean of the images" * (count > 1)
        ),
    ]
    if summary["calibration"]:
        start = "" if "classes" in summary else f"foreground from {summary['threshold']:g} on, "
        error = summary["calibration"]["expected_error"]
        lines.append(f"probabilities: {start}expected calibration error {error:.3f}, see calibration.png")
    return lines + cautions(summary)


def cautions(summary):
    """What is to be known of the intervals of a `score_summary`, for people: a list of lines."""
    count = len(summary["images"])
    slides = summary.get("slides", count)
    kind = "image" if slides == count else "slide"
    if slides == 1:
        of_one = f": the {count} images are of one slide, which" if count > 1 else ": one image"
        return [f"no intervals{of_one} tells nothing of the spread between {kind}s"]
    drawn = [f"the intervals draw whole slides, {slides}, since images of one are alike"] if slides < count else []
    few = f"with {slides} {kind}s only, scores on other {kind}s may lie further off than the intervals say"
    return drawn + ([few] if slides < FEW else [])


def _named(values):
    return dict(zip(SCORES, np.asarray(values).tolist(), strict=True))
