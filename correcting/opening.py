"""The cells that a picture comes with: those of its mask, else those that the network finds."""

from correcting.working_copy import most_cells
from measuring.cells import find_cells
from pairing.masks import read_stored_mask_of
from pairing.objects import true_objects
from pairing.pairs import TEST, TRAIN, find_pairing
from pairing.survey import survey
from predicting.predictor import Predictor
from reading import images
from reading.files import InputError


class Masks:
    """The masks of a data folder, and what their values mean; each part is looked through when it is first asked for.

    foreground : as `prepare` was told, None where it was not.
    """

    def __init__(self, data, foreground=None):
        self.data, self.foreground = data, foreground
        self._meaning = {}

    def labels(self, picture):
        """The objects of a picture's mask, uint16 (height, width). Raises `InputError` where it cannot be read."""
        coding, drawn = self._meaning_in(picture.part)
        stored = read_stored_mask_of(picture.pair, (picture.height, picture.width))
        mask = coding.decode(stored.values)
        return most_cells(true_objects(picture.pair, mask, coding, drawn, stored.values)[0], picture.pair.mask)

    def _meaning_in(self, part):
        if part not in self._meaning:
            folder = self.data / (TRAIN if part == "train" else TEST)
            found = survey([pair for pair in find_pairing(folder, masks="optional").pairs if pair.mask], quiet=True)
            self._meaning[part] = found.coding(1, self.foreground), found.drawn()
        return self._meaning[part]


class Network:
    """The newest network, opened when it is first needed.

    find_model : function that gives the path of a model file. open_model : function that opens one.
    """

    def __init__(self, path, open_model=Predictor):
        self.path, self._open = path, open_model
        self._predictor = None

    def labels(self, picture):
        """The cells that it finds in a picture, uint16 (height, width)."""
        if self._predictor is None:
            self._predictor = self._open(self.path)
        predictor = self._predictor
        if predictor.classes > 2:
            raise InputError(
                f"{self.path}: a network of {predictor.classes} classes; expected one of one class, cells and "
                "background. Correct several classes in QuPath (docs/own_images.md says how)."
            )
        image = images.read(picture.path)
        probability = predictor.probability(image, picture.pair.intensity_range)
        cells = find_cells(predictor.mask(probability), predictor.classes, probability=probability)
        return most_cells(cells.labels, picture.path)
