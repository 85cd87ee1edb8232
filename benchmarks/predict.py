"""Speed of prediction on the real Pap-smear fields: this program beside plain `model.predict`, in one run.

    python benchmarks/predict.py FOLDER [--part "Train data"]

FOLDER as for `python benchmarks/real_data.py cervix`. Four ways, by turns on each field:

program     what `python main.py predict` does to an image in memory, normalisation included
8 bits      the same with `--model` of `python main.py export --format int8`, by the training fields
same tiles  `model.predict` over the tiles that the program cuts
usual       `model.predict` over tiles of 512 px that share 64, blended: what most code does, and this program did

Megapixels are those of the fields. CPU seconds a megapixel depend less than the clock on what else the machine does.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from real_data import write_cervix  # puts the repository on the path

from predicting.export import export_onnx
from predicting.predictor import Predictor
from predicting.quantize import quantize
from predicting.sliding_window import predict_in_windows
from preparing import download
from scoring import metrics
from weights.files import load
from weights.start import PAP_SMEAR


def predict_usual(network, image, tile=512, overlap=64):
    """`model.predict` over evenly spread square tiles; (height, width, classes)."""
    starts = [
        np.linspace(0, n - tile, -(-(n - overlap) // (tile - overlap))).astype(int) // 16 * 16 for n in image.shape[:2]
    ]
    places = [(row, column) for row in starts[0] for column in starts[1]]
    tiles = np.stack([image[row : row + tile, column : column + tile] for row, column in places])
    ramp = np.minimum(1, (np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5) / overlap)
    window = np.outer(ramp, ramp)[..., np.newaxis].astype(np.float32)
    total, weight = np.zeros((*image.shape[:2], 1), np.float32), np.zeros((*image.shape[:2], 1), np.float32)
    for (row, column), result in zip(places, network.predict(tiles, batch_size=4, verbose=0), strict=True):
        total[row : row + tile, column : column + tile] += result * window
        weight[row : row + tile, column : column + tile] += window
    return total / weight


def in_eight_bits(path, folder):
    """The predictor of the model file in numbers of 8 bits."""
    with tempfile.TemporaryDirectory() as temporary:
        write_cervix(folder, Path(temporary) / "data")
        model = Path(shutil.copy(path, temporary))
        export_onnx(model, model.with_suffix(".onnx"))
        quantize(model.with_suffix(".onnx"), model.with_name("int8.onnx"), Path(temporary) / "data")
        return Predictor(model.with_name("int8.onnx"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("Train data", "Test data"), default="Test data")
    parser.add_argument("--model", type=Path, default=PAP_SMEAR)
    args = parser.parse_args()
    predictor, (network, _) = Predictor(args.model), load(args.model)

    def normalised(image):
        return predictor.normalise(image, predictor.to_range(predictor.spread(image)))

    def plain(tiles):
        return network.predict(tiles, verbose=0)

    ways = {
        "program": predictor.probability,
        "8 bits": in_eight_bits(args.model, args.folder).probability,
        "same tiles": lambda image: predict_in_windows(
            plain, normalised(image), predictor.background, predictor.layout
        ),
        "usual": lambda image: predict_usual(network, normalised(image)),
    }
    spent = {name: [] for name in ways}
    counts = {name: np.zeros((1, 4), np.int64) for name in ways}
    fields = [field for field in download.read_registry() if field.part == args.part]
    for number, field in enumerate([fields[0], *fields]):  # the first one twice: it warms up
        picture, *nuclei = (args.folder / field.source / file for file in field.files)
        picture, labels = download.merge(picture, nuclei)
        for name, way in ways.items():
            clock, cpu = time.perf_counter(), time.process_time()
            probability = way(picture[..., np.newaxis])
            seconds = (time.perf_counter() - clock, time.process_time() - cpu)
            if number:
                spent[name].append(np.divide(seconds, picture.size / 1e6))
                counts[name] += metrics.confusion_counts((labels > 0).astype(np.uint8), predictor.mask(probability), 1)
    print(f"{'':12}{'MP/s, median':>14}{'best':>8}{'CPU s/MP, median':>19}{'Dice':>9}")
    for name in ways:
        clock, cpu = np.array(spent[name]).T
        dice = metrics.scores_from_counts(counts[name][0])["dice"]
        print(f"{name:12}{1 / np.median(clock):14.2f}{1 / clock.min():8.2f}{np.median(cpu):19.3f}{dice:9.4f}")


if __name__ == "__main__":
    main()
