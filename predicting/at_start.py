"""The weights that a training started from on the same test images: whether training helped, in scores."""

import os

import numpy as np

from pairing.groups import field_ranges
from predicting.magnification import scale_in
from reading import images
from reading.files import InputError, counted
from scoring import metrics

MOST_PIXELS = 200_000_000  # of all test images; two cores predict that in about a minute and a half


class AtStart:
    """Scores of starting weights, image by image.

    predictor : `predictor.Predictor` of them; paths : of all images to be scored.
    """

    def __init__(self, predictor, paths):
        self.predictor, self.ranges, self.counts = predictor, field_ranges(paths), []

    def add(self, path, image, truth, **ignoring):
        """Predict one image, ndarray (height, width, channels), and count its pixels against its truth."""
        scale = scale_in(self.predictor, path)
        mask = self.predictor.mask(self.predictor.probability(image, self.ranges.get(path), scale))
        self.counts.append(metrics.confusion_counts(truth, mask, self.predictor.classes, **ignoring))

    def scores(self):
        """{"weights": path of the file, "dice", …}: of the pixels of all images, the mean over the classes."""
        pooled = metrics.pooled_scores(np.array(self.counts))
        weights = os.path.abspath(self.predictor.path)
        return {"weights": weights} | {name: pooled[name] for name in metrics.SCORES}


def open_start(open_predictor, pairs, predicted, classes):
    """The `AtStart` of the images of `pairs`; None where there are no such weights, or they cannot be scored, said why.

    open_predictor : function that gives the `predictor.Predictor` of the weights, or None.
    predicted : {stem: the predicted mask}. classes : of the model that they became.
    """
    pixels = sum(int(np.prod(images.size(predicted[pair.stem]))) for pair in pairs)
    if pixels > MOST_PIXELS:
        print(
            f"the weights it started from are not scored: {pixels / 1e6:,.0f} megapixels of test images are more than "
            f"{MOST_PIXELS / 1e6:.0f}"
        )
        return None
    try:
        predictor = open_predictor()
    except InputError as error:  # such as of weights that do not know the size of their objects
        print(f"the weights it started from are not scored: {error}")
        return None
    if predictor and predictor.classes != classes:
        print(f"the weights it started from are not scored: they know {counted(predictor.classes, 'class', 'classes')}")
        return None
    return predictor and AtStart(predictor, [pair.image for pair in pairs])
