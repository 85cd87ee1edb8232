"""A trained model as a function from an image of any size to probabilities and a mask.

An image is padded by reflection, predicted in overlapping windows and cropped: each image comes back at its own size.
One of another magnification is brought to that which the network learnt before (`scale`), and its probabilities back.
Intensities are normalised from the whole image, never from a window.
"""

import numpy as np

from predicting.engine import open_network
from predicting.magnification import Stated, of_use, scale_of
from predicting.sliding_window import GRID_PX, OVERLAP_PX, Layout, average_flips, predict_bands, predict_in_windows
from reading import intensity
from reading.arrays import as_image
from reading.resize import Rescaled, fitted_size, parts_of, resize
from weights.model_files import model_file


class Predictor:
    """A trained model with what it must know about its input, read from one file."""

    def __init__(self, path, flips=False, stated=Stated()):  # noqa: B008 - it cannot be changed
        """Load `path`, a model.keras of this project, its export, or an .h5/.hdf5 file of the classic lineage.

        A run folder stands for the model in it.

        flips : average over the image and its three mirror images; takes four times as long.
        stated : `magnification.Stated`, of the images that it will be given.

        Raises `InputError` where the model cannot make use of what is stated.
        """
        self.path, self.flips = model_file(path), flips
        network, metadata = open_network(self.path)
        self.predict_window = average_flips(network) if flips else network
        self.metadata = {
            "crop_px": 256,
            "fit": False,
            "normalisation": "percentiles",
            "dark_foreground": None,
            "threshold": 0.5,
            "depth": 4,
            "apart": False,
        } | metadata
        self.stated = of_use(self.metadata, stated, self.path)
        self.classes, self.channels = self.metadata["classes"], self.metadata["channels"]
        self.threshold = self.metadata["threshold"]
        grid = max(GRID_PX, 2 ** self.metadata["depth"])
        overlap = grid * -(-OVERLAP_PX // grid)
        self.layout = Layout(overlap=overlap, grid=grid, smallest=self.metadata["crop_px"])
        self.answers = self.classes + self.metadata["apart"]  # channels of what the network gives
        self.background = np.eye(self.answers, dtype=np.float32)[0] * (self.classes > 1)

    def scale(self, um_per_px=None, reduced=1):
        """How many times as large the network is to see an image: `magnification.scale_of`, as for its parameters."""
        return scale_of(self.metadata, self.stated, um_per_px, reduced)

    def probability(self, image, intensity_range=None, scale=1.0):
        """Probabilities, float32 (height, width, classes), of one image.

        Of a network that keeps objects apart a channel more, its second answer (`model.with_apart`).

        image : ndarray, grey (height, width) or (height, width, 1), or colour (height, width, 3), of real numbers; bool
            counts as 0 and 255. Raises `InputError` for other shapes, such as RGBA, and for NaN. One of one value holds
            nothing: the network is not asked.
        intensity_range : for a tile, the spread of its field (`pairs.Pair.intensity_range`); None: the image's own.
        scale : how many times as large the network is to see it, of `scale`.
        """
        image = as_image(image)
        if intensity.is_constant(image):
            return np.tile(self.background, (*image.shape[:2], 1))
        seen = self.network_input(image, intensity_range)
        if scale != 1:
            frame = Rescaled(*seen.shape[:2], scale)
            return np.concatenate([band for _, band in self.rescaled_bands(frame, frame.reader(parts_of(seen)))])
        result = predict_in_windows(self.predict_window, seen, self.background, self.layout)
        return resize(result, *image.shape[:2])

    def rescaled_bands(self, frame, read, first=0):
        """Probabilities of an image of another magnification, band by band, at its own size.

        frame : `resize.Rescaled`. read : of the image as the network sees it, as for `sliding_window.predict_bands`.
        first : number of the band to start with. Yields as `Rescaled.back`.
        """
        rows, _ = self.layout.starts(frame.seen_height)
        size = frame.seen_height, frame.seen_width
        bands = predict_bands(self.predict_window, read, *size, self.background, self.layout, max(0, first - 1))
        yield from frame.back(bands, rows, first)

    def network_input(self, image, intensity_range=None, scale=1.0):
        """What the network gets of an image, float32: normalised, single cells at the size at which it was trained.

        intensity_range, scale : as for `probability`.
        """
        seen = intensity.to_channels(image, self.channels)
        seen = self.normalise(seen, self.to_range(self.spread(seen, intensity_range)))
        if self.metadata["fit"]:
            return resize(seen, *fitted_size(*image.shape[:2], self.metadata["crop_px"]))
        if scale == 1:
            return seen
        frame = Rescaled(*image.shape[:2], scale)
        return frame.reader(parts_of(seen))(0, 0, frame.seen_height, frame.seen_width)

    def spread(self, image, known=None):
        """The `intensity.Spread` of an image in the network's channels; `known`, that of the field of a tile."""
        if known is not None:
            return intensity.in_channels(known, self.channels)
        return intensity.spread_of(intensity.to_channels(image, self.channels))

    def to_range(self, spread):
        """Grey values that become 0 and 1, as for `normalise`, by the rule that the network was trained with."""
        if self.metadata["normalisation"] != intensity.RULE:
            spread = spread.without_floor()
        return intensity.to_range(spread, self.metadata["dark_foreground"])

    def normalise(self, image, intensity_range):
        """Network input, float32, from an image of `channels` channels and its `to_range`."""
        if self.metadata["normalisation"] in intensity.RULES:
            return intensity.normalise(image, *intensity_range)
        return image.astype(np.float32) / (255 if image.dtype == np.uint8 else 65535)  # the classic lineage's rule

    def mask(self, probability):
        """Class ids, uint8 (height, width), from what `probability` gives."""
        if self.classes == 1:
            return (probability[..., 0] >= self.threshold).astype(np.uint8)
        return probability.argmax(-1).astype(np.uint8)
