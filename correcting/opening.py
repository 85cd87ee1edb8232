"""The cells that a picture comes with: those of its mask, else those that the network finds."""

import threading

from correcting.working_copy import most_cells
from measuring.cells import find_cells, smallest_area_px
from pairing.masks import IGNORED, read_stored_mask_of
from pairing.objects import true_objects
from pairing.pairs import TEST, TRAIN, find_pairs
from pairing.survey import survey
from predicting.magnification import scale_in
from predicting.predictor import Predictor
from preparing.told import as_told, ignored
from reading import images
from reading.files import NOT_KNOWN, InputError


class Masks:
    """The masks of a data folder, and what their values mean; each part is looked through when it is first asked for.

    Safe to use from threads.
    """

    def __init__(self, data):
        self.data = data
        self._meaning, self._lock = {}, threading.Lock()

    def labels(self, picture):
        """The objects of a picture's mask, uint16 (height, width). Raises `InputError` where it cannot be read."""
        coding, drawn = self._meaning_in(picture.part)
        stored = read_stored_mask_of(picture.pair, (picture.height, picture.width))
        mask = coding.class_ids(stored)
        labels, _ = true_objects(picture.pair, mask == 1, coding, drawn, stored.values)
        labels = most_cells(labels, picture.pair.mask)
        labels[mask == IGNORED] = NOT_KNOWN
        return labels

    def class_ids(self, pair, part, size):
        """The truth of a `pairs.Pair` of size (height, width), as `evaluate` sees it, with `masks.IGNORED`."""
        coding, _ = self._meaning_in(part)
        return coding.class_ids(read_stored_mask_of(pair, size))

    def forget(self):
        """Look through the masks anew when they are next asked for: others have come."""
        with self._lock:
            self._meaning = {}

    def _meaning_in(self, part):
        with self._lock:
            if part not in self._meaning:
                folder = self.data / (TRAIN if part == "train" else TEST)
                pairs = [pair for pair in find_pairs(folder, masks="optional") if pair.mask]
                found = survey(pairs, quiet=True, ignore=ignored(self.data))
                _, foreground, _ = as_told(self.data)
                self._meaning[part] = found.coding(1, foreground), found.drawn()
            return self._meaning[part]


class Network:
    """A trained network, opened when it is first needed. Safe to use from threads.

    path : of a model file. open_model : function that opens one, a `predictor.Predictor`.
    """

    def __init__(self, path, open_model=Predictor):
        self.path, self._open = path, open_model
        self._predictor, self._lock = None, threading.Lock()

    def labels(self, picture):
        """The cells that it finds in a picture, uint16 (height, width)."""
        predictor = self._opened()
        if predictor.classes > 2:
            raise InputError(
                f"{self.path}: a network of {predictor.classes} classes; expected one of one class, cells and "
                "background. Correct several classes in QuPath (docs/own_images.md says how)."
            )
        scale = scale_in(predictor, picture.path)
        probability = predictor.probability(images.read(picture.path), picture.pair.intensity_range, scale)
        smallest = smallest_area_px(scale=scale)
        cells = find_cells(predictor.mask(probability), predictor.classes, smallest, probability, scale)
        return most_cells(cells.labels, picture.path)

    def mask(self, pair, image, beside=()):
        """Class ids, uint8 (height, width), as `predict` finds them in the image of a `pairs.Pair`, already read.

        beside : as for `magnification.scale_in`.
        """
        predictor = self._opened()
        scale = scale_in(predictor, pair.image, beside)
        return predictor.mask(predictor.probability(image, pair.intensity_range, scale))

    def metadata(self):
        """What the model file says of itself, a dictionary."""
        return self._opened().metadata

    def _opened(self):
        with self._lock:
            if self._predictor is None:
                self._predictor = self._open(self.path)
            return self._predictor
