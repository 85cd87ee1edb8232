"""How many cells there truly are: the number found with an interval, and both per square millimetre.

The model, whose constants `benchmarks/counts.py` found on real training fields that the networks had not seen:

- each cell found is one of its own with a chance that depends on its confidence alone (`chance_of_own`), each on its
  own, as coins are thrown;
- for each cell found, `MISSED` others are not found or lie merged with another: a Poisson number;
- a picture as a whole is counted too high or too low by a factor whose logarithm is `SPREAD` wide. Pictures differ far
  more than the first two say, so this is most of the interval; over several pictures it is taken as common to all, as
  one network's errors may well be.
"""

from dataclasses import dataclass, field

import numpy as np

OWN = (13.5, -9.2)  # slope and intercept of the log-odds over the confidence
MISSED = 0.15
SPREAD = 0.13
TIMES = 2.5  # Student's 97.5 % for eight fields, with what their own mean is uncertain


@dataclass
class Tally:
    """What is counted of one image beside the cells that are kept.

    um_per_px : micrometres per pixel, None where unknown. classes : of the network, 1 or K.
    extent : height and width of the image, in pixels; of bands, of those that have come. inner : whether cells at the
    edge are left out. touching_edge : how many cells touch the edge, also where they are left out. too_large : how many
    were left out since they are larger than the largest. sizes : heights and widths of the boxes of the cells kept,
    int (n, 2), in parts.
    """

    um_per_px: float | None
    classes: int
    extent: tuple = (0, 0)
    inner: bool = False
    touching_edge: int = 0
    too_large: int = 0
    sizes: list = field(default_factory=list)

    def area_mm2(self):
        """The area in which the cells kept were counted, square millimetres; None where the size of a pixel is unknown.

        That of the image; where cells at the edge are left out, the area in which such cells can lie without touching
        it, so that cells over area is what an endless field would have (Miles, in Stochastic Geometry, Wiley 1974;
        Serra, Image Analysis and Mathematical Morphology, 1982, on Miles and Lantuéjoul): a cell h pixels high and w
        wide has (H − 1 − h) × (W − 1 − w) places in an image of H × W.
        """
        if self.um_per_px is None:
            return None
        height, width = self.extent
        sizes = np.concatenate(self.sizes) if self.sizes else np.zeros((0, 2))
        area = height * width
        if self.inner and len(sizes):
            places = (height - 1 - sizes[:, 0]) * (width - 1 - sizes[:, 1])
            area = len(sizes) / np.sort(1 / places).sum()
        return float(area * (self.um_per_px / 1000) ** 2)


def chance_of_own(confidence):
    """The chance that a cell found is one of its own, neither nothing nor part of another: float64, 0…1.

    confidence : ndarray of mean probabilities, as in cells.csv.
    """
    slope, intercept = OWN
    return 1 / (1 + np.exp(-(slope * np.asarray(confidence, np.float64) + intercept)))


def expected(confidence):
    """(mean, variance) of the true number of cells of one image, without the spread between images."""
    chances = np.sort(chance_of_own(confidence))  # the sum then does not hang on the order
    missed = MISSED * len(chances)
    return float(chances.sum() + missed), float((chances * (1 - chances)).sum() + missed)


def interval(confidences):
    """The limits between which the true number of cells of one or several images lies, (low, high), whole numbers.

    confidences : of the cells of each image, list of ndarrays. None without a cell: of what was missed then, nothing is
    known.
    """
    if not sum(map(len, confidences)):
        return None
    mean, variance = np.sum([expected(one) for one in confidences], axis=0)
    factor = np.exp(TIMES * np.sqrt(variance / mean**2 + SPREAD**2))
    return int(np.floor(mean / factor)), int(np.ceil(mean * factor))
