"""Probabilities against the truth: how far they can be trusted, and from which one on a pixel counts as foreground.

Everything is counted in histograms, which add up over tiles and images. NumPy; Matplotlib where it draws.
"""

import numpy as np

from reading.files import replacing
from scoring.metrics import confusion_counts, resampled_sums, score_summary

BINS = 20
STEPS = 256  # probabilities are stored in 8 bits, 255 for certain foreground: half a step is 0.002
THRESHOLDS = np.arange(1, 100) / 100


# ---------------------------------------------------------------------------------------------------------- threshold


def threshold_counts(probability, truth):
    """Count the pixels between neighbouring `THRESHOLDS`.

    probability: float32 ndarray of any shape, 0…1; truth: integers or bool of the same shape, foreground above 0.
    Returns an int64 ndarray of shape (100, 2): background and foreground pixels with a probability below 0.01, from
    0.01 to below 0.02, …, from 0.99 on. Counts of parts of an image add up.
    """
    # in float32, as `probability >= threshold` compares
    bins = np.searchsorted(THRESHOLDS.astype(np.float32), np.asarray(probability, np.float32).ravel(), side="right")
    both = bins * 2 + (np.asarray(truth).ravel() > 0)
    return np.bincount(both, minlength=2 * (len(THRESHOLDS) + 1)).reshape(-1, 2)


def confusion_at(counts, threshold):
    """tp, fp, fn, tn, int64 (4,), where a pixel counts as foreground from `threshold`, one of `THRESHOLDS`, on.

    counts: of `threshold_counts`, shape (100, 2).
    """
    start = int(np.argmin(np.abs(THRESHOLDS - threshold))) + 1
    (fn, tp), (tn, fp) = ((column[:start].sum(), column[start:].sum()) for column in counts.T[::-1])
    return np.array([tp, fp, fn, tn], np.int64)


def best_threshold(counts):
    """The one of `THRESHOLDS` that gives the pooled pixels the best Dice, but 0.5 as long as images do not agree on it.

    What is best for a few images is partly chance, and moving for it makes new images worse. So of all thresholds from
    which the best does not differ in 95 % of the draws of as many images (`metrics.resampled_sums`), the one nearest to
    0.5 is taken; with a single image, which tells nothing of others, 0.5.

    counts: of `threshold_counts`, one an image: shape (images, 100, 2). Returns a float.
    """
    if len(counts) < 2:
        return 0.5
    best = _dice(np.sum(counts, axis=0)).argmax()
    drawn = _dice(resampled_sums(counts))  # (draws, thresholds)
    as_good = THRESHOLDS[np.percentile(drawn[:, [best]] - drawn, 2.5, axis=0) <= 0]
    return float(as_good[np.argmin(np.abs(as_good - 0.5))])


def _dice(counts):
    """Dice at each of `THRESHOLDS`, (..., 99), from counts (..., 100, 2); 1 with nothing to find and nothing found."""
    counts = np.asarray(counts, np.float64)
    found = counts.sum(axis=-2, keepdims=True) - counts.cumsum(axis=-2)  # background and foreground above each limit
    fp, tp = np.moveaxis(found[..., :-1, :], -1, 0)
    both = tp + fp + counts[..., 1].sum(axis=-1, keepdims=True)  # predicted + true pixels
    return np.divide(2 * tp, both, out=np.ones_like(tp), where=both > 0)


def validation_scores(network, checks, pairs, classes):
    """The scores of the validation images (see `metrics.score_summary`), from the crops that validation counts.

    Of a binary network the threshold is the one that `best_threshold` chooses on these pixels, so the scores may be a
    little better than those of new images; of classes the most probable one counts.

    Parameters: network, keras.Model; checks, the `data.ValidationBatches` of `pairs`; classes, as in
    `settings.Settings`.
    """
    shape = (len(THRESHOLDS) + 1, 2) if classes == 1 else (classes - 1, 4)
    counts = np.zeros((len(pairs), *shape), np.int64)
    places = iter(checks.places)
    for batch, truths, weights in checks:
        probabilities = network.predict_on_batch(batch)
        for probability, truth, weight in zip(probabilities, truths, weights, strict=True):
            known, truth = weight > 0, truth[..., 0]  # neither padding nor ignored
            counts[next(places)[0]] += (
                threshold_counts(probability[..., 0][known], truth[known])
                if classes == 1
                else confusion_counts(truth, probability.argmax(-1), classes, ~known)
            )
    threshold = 0.5
    if classes == 1:
        threshold = best_threshold(counts)
        counts = [[confusion_at(of_image, threshold)] for of_image in counts]
    return score_summary([pair.stem for pair in pairs], counts, threshold, classes)


def step_counts(steps, truth):
    """Background and foreground pixels of each of the 256 `steps`: int64 (256, 2).

    steps: uint8 ndarray of `to_8_bits`; truth: of the same shape, foreground above 0.
    """
    return np.bincount(steps.ravel().astype(np.int64) * 2 + (truth.ravel() > 0), minlength=2 * STEPS).reshape(-1, 2)


def reliability(counts):
    """Predicted probability against observed share of foreground.

    counts: of `step_counts`, summed over the pixels in question; at least one pixel.
    Returns a dictionary: `expected_error`, Σ pixels of a bin / all pixels · |mean probability − share of foreground|
    (the expected calibration error of Guo et al., ICML 2017), 0 for perfect; and `bins`, 20 of equal width from 0 to 1,
    each with `from`, `to`, `pixels`, `foreground` (pixels of the truth), and their `mean_probability` and
    `foreground_share`, None in an empty bin. Most pixels of a field are clear background, and they make the expected
    error small: the bins tell more.
    """
    step = np.arange(STEPS)
    bin_of = np.minimum(step * BINS // (STEPS - 1), BINS - 1)
    pixels, foreground, total = np.zeros((3, BINS))
    np.add.at(pixels, bin_of, counts.sum(axis=1))
    np.add.at(foreground, bin_of, counts[:, 1])
    np.add.at(total, bin_of, counts.sum(axis=1) * step / (STEPS - 1))
    return {
        "expected_error": float(np.abs(total - foreground).sum() / pixels.sum()),
        "bins": [
            {
                "from": i / BINS,
                "to": (i + 1) / BINS,
                "pixels": int(n),
                "foreground": int(f),
                "mean_probability": float(t / n) if n else None,
                "foreground_share": float(f / n) if n else None,
            }
            for i, (n, f, t) in enumerate(zip(pixels, foreground, total, strict=True))
        ],
    }


def draw_reliability(found, path):
    """The reliability diagram as a PNG: observed share over predicted probability, and below it the pixels in each bin.

    found: of `reliability`.
    """
    from matplotlib.figure import Figure

    bins = [b for b in found["bins"] if b["pixels"]]
    figure = Figure(figsize=(5, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="#8a8f98", linewidth=1, label="as often as predicted")
    above.plot(
        [b["mean_probability"] for b in bins], [b["foreground_share"] for b in bins], "o-", color="#0072b2",
        label="this model", clip_on=False,
    )  # fmt: skip
    above.set(ylabel="observed share of foreground", xlim=(0, 1), ylim=(0, 1))
    above.set_title(f"expected calibration error {found['expected_error']:.3f}")
    above.legend(frameon=False, loc="upper left")
    below.bar([b["from"] for b in bins], [b["pixels"] for b in bins], width=1 / BINS, align="edge", color="#56b4e9")
    below.set(xlabel="predicted probability of foreground", ylabel="pixels", yscale="log")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
