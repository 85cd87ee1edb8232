"""A model in numbers of 8 bits: about twice as fast on a processor, and a little less exact.

ONNX Runtime's static quantization: the range of each layer's values is seen on a few images, and weights and values
between layers become whole numbers of 8 bits (Jacob et al., CVPR 2018). The last layer stays in floating point, since
256 steps of its output would be too coarse for probabilities.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pairing.groups import with_tile_table
from pairing.masks import IGNORED, MaskCoding, read_stored_mask_of
from pairing.pairs import find_pairs
from predicting.magnification import scale_in
from predicting.predictor import Predictor
from reading import images
from reading.files import replacing
from scoring import metrics

CALIBRATION_TILES = 16
COMPARED = 8  # images


@dataclass(frozen=True)
class Comparison:
    """The quantized model beside the exact one: mean Dice of both and seconds for `images` images.

    kind : what these images were, by their names, to the training of the model: "validation", "training" or "other".
    """

    images: int
    kind: str
    dice: float
    exact_dice: float
    seconds: float
    exact_seconds: float


def quantize(path, target, data_dir):
    """Write the ONNX file `path` (`export.export_onnx`) in 8 bits to `target` and compare the two.

    data_dir : the data folder with the images that the model was trained on, or others like them, and their masks, in
        `Train data`. Up to `CALIBRATION_TILES` of them set the ranges; compared is on up to `COMPARED` of those that
        the training had held out to validate, else of those that it saw, else of all.

    Returns the `Comparison`. Raises `InputError` where there are no such images; then nothing is written.
    """
    from onnxruntime.quantization import QuantType, quantize_static

    path, target = Path(path), Path(target)
    exact = Predictor(path)
    pairs = with_tile_table(find_pairs(Path(data_dir) / "Train data"), data_dir)
    of_kind = {kind: _named(pairs, exact.metadata.get(kind, ())) for kind in ("validation", "training")} | {
        "other": pairs
    }
    kind = next(kind for kind, found in of_kind.items() if found)
    seen = of_kind["training"] or pairs
    last = _last_nodes(path)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime's advice on preparing the graph, through the root logger
    try:
        with replacing(target) as temporary:
            quantize_static(
                path, temporary, _Tiles(exact, _spread(seen, CALIBRATION_TILES)), per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=last,
            )  # fmt: skip
            return _compare(exact, Predictor(temporary), _spread(of_kind[kind], COMPARED), kind)
    finally:
        logging.getLogger().setLevel(level)


class _Tiles:
    """Calibration data as ONNX Runtime asks for them: one crop from the middle of each image."""

    def __init__(self, predictor, pairs):
        self.predictor, self.pairs = predictor, iter(pairs)

    def get_next(self):
        pair = next(self.pairs, None)
        if pair is None:
            return None
        scale = scale_in(self.predictor, pair.image)
        image = self.predictor.network_input(images.read(pair.image), pair.intensity_range, scale)
        side = self.predictor.layout.grid * -(-self.predictor.metadata["crop_px"] // self.predictor.layout.grid)
        image = np.pad(image, [(0, max(0, side - n)) for n in image.shape[:2]] + [(0, 0)], mode="symmetric")
        row, column = ((n - side) // 2 for n in image.shape[:2])
        return {"image": image[np.newaxis, row : row + side, column : column + side]}


def _spread(items, count):
    """At most `count` of them, evenly."""
    return [items[i] for i in sorted(set(np.linspace(0, len(items) - 1, count).round().astype(int)))]


def _named(pairs, stems):
    stems = set(stems)
    return [pair for pair in pairs if pair.stem in stems]


def _last_nodes(path):
    """Names of the last convolutions, one for each answer, and of all nodes after which no convolution comes."""
    import onnx

    before_a_convolution, last = set(), []  # names of values
    for node in reversed(onnx.load(path).graph.node):
        if before_a_convolution.isdisjoint(node.output):
            last.append(node.name)
        if node.op_type == "Conv" or not before_a_convolution.isdisjoint(node.output):
            before_a_convolution.update(node.input)
    return last


def _compare(exact, quantized, pairs, kind):
    coding = MaskCoding(**exact.metadata["masks"]) if exact.metadata.get("masks") else MaskCoding(None, 1, 1, "")
    counts, seconds = [0, 0], [0.0, 0.0]
    for number, pair in enumerate([pairs[0], *pairs]):  # the first one twice: it warms up
        image = images.read(pair.image)
        truth = coding.class_ids(read_stored_mask_of(pair, image.shape[:2]))
        for i, predictor in enumerate((exact, quantized)):
            started = time.perf_counter()
            scale = scale_in(predictor, pair.image)
            mask = predictor.mask(predictor.probability(image, pair.intensity_range, scale))
            if number:
                seconds[i] += time.perf_counter() - started
                counts[i] = counts[i] + metrics.confusion_counts(truth, mask, predictor.classes, truth == IGNORED)
    exact_dice, dice = (float(np.mean([metrics.scores_from_counts(row)["dice"] for row in rows])) for rows in counts)
    return Comparison(len(pairs), kind, dice, exact_dice, seconds[1], seconds[0])
