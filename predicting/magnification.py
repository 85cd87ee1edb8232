"""How many times as large the network is to see a picture, so that its objects have the size of those it learnt.

A model knows how many pixels across its objects are (`objects` of its metadata, of `pairing.objects.sizes`), and where
that was stated the micrometres of one of its pixels (`um_per_px`).
"""

from dataclasses import dataclass
from math import log

import numpy as np

from pairing.objects import areas_of, sizes
from reading.files import InputError
from reading.pixel_size import ALIKE, um_per_px

OTHER = 1.4  # times as large or small are other cells: no training field of benchmarks/magnification.py by itself,
# nor all at 0.7 to 1.4 times their size by more than that, but all at half or twice
MOST, LEAST = 8, 1 / 16  # times as large: beyond, a number is wrong, or hardly anything was photographed of an object


@dataclass(frozen=True)
class Stated:
    """What was stated of the pictures that are predicted.

    diameter : pixels across a typical object in them. um_per_px : micrometres of one of their pixels. None: not stated.
    """

    diameter: float | None = None
    um_per_px: float | None = None


def of_use(metadata, stated, model):
    """What of a `Stated` decides how a model sees pictures: a `Stated`, in which the rest is None.

    Raises `InputError` where a diameter cannot be, or is stated to a model that cannot make use of it. model : path of
    its file.
    """
    if stated.diameter is None:
        return Stated(um_per_px=stated.um_per_px if metadata.get("um_per_px") else None)
    given = f"--diameter {stated.diameter:g}"
    if metadata["fit"]:
        raise InputError(
            f"{given}: {model} learnt single cells, each scaled to fill {metadata['crop_px']} pixels, and scales every "
            "picture so; expected a model of fields. Leave --diameter out."
        )
    if not metadata.get("objects"):
        raise InputError(
            f"{given}: {model} does not say how large the objects were that it learnt (an earlier version trained it, "
            "or its masks held none); expected a model that does. Train it anew, or scale the pictures yourself."
        )
    use = Stated(stated.diameter)
    scale_of(metadata, use)  # refuses one out of all proportion
    return use


def scale_of(metadata, stated, um_per_px=None, reduced=1):
    """How many times as large, in each direction, the network is to see a picture; 1.0: as it is, pixel by pixel.

    metadata : of the model. stated : `Stated`; a diameter decides before a pixel's size. um_per_px : what the file
    states of the picture, which --um-per-px overrides. reduced : how many pixels of the file, along a side, one of the
    picture measures: a slide may be read smaller than it is.

    Raises `InputError` where it is out of all proportion.
    """
    if metadata["fit"]:
        return 1.0
    size, own = (stated.um_per_px or 0) * reduced or um_per_px, metadata.get("um_per_px")
    if stated.diameter:
        typical = metadata["objects"]["typical_px"]
        scale, why = typical / stated.diameter, f"--diameter {stated.diameter:g}"
        learnt, remedy = f"{typical:.3g} pixels", "Measure a typical object in the picture's own pixels."
    elif size and own:
        scale, learnt = size / own, f"{own:.3g} µm"
        why = f"--um-per-px {size:g}" if stated.um_per_px else f"{size:.3g} µm per pixel, which the file states"
        remedy = "Say what is true with --um-per-px, or with --diameter how many pixels a typical object is across."
    else:
        return 1.0
    if not LEAST <= scale <= MOST:
        raise InputError(
            f"{why}: the model learnt at {learnt}, so the picture would be seen {scale:.3g} times as large; expected "
            f"{LEAST:.3g} to {MOST} times. {remedy}"
        )
    return 1.0 if abs(log(scale)) < log(ALIKE) else scale


def scale_in(predictor, path, beside=()):
    """`Predictor.scale` of the picture in a file: by what was stated, else by what the file states.

    beside : stems of the training fields of the data folder in which it lies. Where the model learnt one of them, the
        picture is seen as these were, since a stated diameter is of other pictures.
    """
    size = um_per_px(path)
    if predictor.stated.diameter and not set(beside).isdisjoint(predictor.metadata.get("training", ())):
        return scale_of(predictor.metadata, Stated(), size)
    return predictor.scale(size)


class SizesFound:
    """Collects how large the objects found in pictures are, to compare them with those that the model learnt."""

    def __init__(self, predictor):
        self._predictor, self._areas, self.scale = predictor, [], 1.0

    def add(self, mask, scale):
        """mask : of `Predictor.mask`, or some rows of one; scale : how many times as large the network saw its picture.

        What the border of these rows cuts does not count.
        """
        self.scale = scale
        classes = self._predictor.classes
        objects = mask > 0 if classes == 1 else mask == 2 if classes == 3 else mask  # of three the nuclei, as learnt
        self._areas.append(areas_of(objects) * scale**2)

    def others(self):
        """What `predictions.json` notes of objects of quite another size than those learnt; None where they are alike.

        {"found_px", "learnt_px"}: their typical diameters, the first in pixels of pictures seen as large as the last.
        """
        learnt, found = self._predictor.metadata.get("objects"), sizes(np.concatenate(self._areas or [[]]))
        if not learnt or not found or self._predictor.metadata["fit"]:
            return None
        seen, typical = found["typical_px"], learnt["typical_px"]
        if abs(log(seen / typical)) < log(OTHER):
            return None
        return {"found_px": round(seen / self.scale, 1), "learnt_px": typical}
