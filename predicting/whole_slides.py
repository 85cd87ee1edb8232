"""Whole slides and other images too large for memory: read, predicted and written band by band.

An interrupted prediction goes on from its last finished band when the same command is given again.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from tqdm import tqdm

from predicting.overview import OVERVIEW, write_overview
from predicting.sliding_window import OUTER_PX, predict_bands
from reading import intensity
from reading.files import InputError, replacing, sha256, stem_of
from reading.intensity import to_8_bits
from reading.large_images import SMALL, open_source
from reading.pyramid import Bands, write_pyramid
from reading.resize import Rescaled, resize

MEASURED_ROWS = 256  # of a slide 100,000 px wide they are 75 MB of pixels
FLAT = 0.1  # of the slide's range of intensities; what stays closer to its background, SMALL times reduced, is empty


def probability_bands(predictor, source, first=0, frame=None):
    """The probabilities of a source (reading/large_images.py), band by band from the top.

    Tiles that are all background, as a look at `SMALL` times reduced pixels tells, are not predicted.

    frame : `resize.Rescaled`, where the network is to see it at another magnification; None: pixel by pixel.

    Yields (row, probability): the first row, and float32 (rows, width, classes). `first`, number of the first band.
    """
    spread_out = intensity.to_channels(source.spread_pixels(), predictor.channels)
    intensity_range = predictor.to_range(source.spread(predictor.channels))
    empty = _most_common(predictor.normalise(spread_out, intensity_range))
    end = (frame.seen_height, frame.seen_width) if frame else (source.height, source.width)

    def normalised(pixels):
        return predictor.normalise(intensity.to_channels(pixels, predictor.channels), intensity_range)

    def is_empty(small, row, column, height, width):
        outer = OUTER_PX // SMALL  # inside the image it does not count
        rows = slice(outer if row else 0, None if row + height == end[0] else -outer)
        columns = slice(outer if column else 0, None if column + width == end[1] else -outer)
        return np.abs(small[rows, columns] - empty).max() < FLAT

    def read_pixels(*place):
        return normalised(source.read(*place))

    read_seen = frame.reader(read_pixels) if frame else read_pixels

    def read(*place):
        small = None if frame else source.read_small(*place)
        if small is not None and is_empty(normalised(small), *place):
            return None
        image = read_seen(*place)
        height, width = (max(1, n // SMALL) for n in image.shape[:2])
        if small is None and is_empty(resize(image, height, width).reshape(height, width, -1), *place):
            return None
        return image

    if frame:
        yield from predictor.rescaled_bands(frame, read, first)
    else:
        predict, background = predictor.predict_window, predictor.background
        yield from predict_bands(predict, read, source.height, source.width, background, predictor.layout, first)


def predict_whole(predictor, path, target, wanted, cells=None, found=None):
    """Write the mask of a slide or a large TIFF as a pyramidal TIFF, `target`, and a small picture of it beside it.

    wanted : `folder.Wanted`; of it `mpp` and `region` as for `large_images.open_source`, `flips` as the predictor has
        it.
    cells : `cell_files.CellWriter`, which separates, measures and writes the cells too; None for the mask alone.
    found : `magnification.SizesFound`, to which the sizes of what is found are added; None: nowhere.

    An earlier, interrupted prediction of the same file by the same model with the same options goes on.

    Returns False where nothing is to be seen in the picture (`intensity.Spread.has_contrast`), else True. Raises
    `InputError` where the file or an option is wrong; nothing is left then.
    """
    path = Path(path)
    with closing(open_source(path, wanted.mpp, wanted.region)) as source:
        scale = predictor.scale(source.mpp, source.place[2])
        options = [wanted.mpp, wanted.region, wanted.flips, cells is not None, scale]
        bands = _predict_source(predictor, source, path, target, scale, options, cells)
        for number in range(len(bands)) if found else ():
            found.add(bands.read(number)[1], scale)
        shutil.rmtree(bands.folder)
        return source.spread(predictor.channels).has_contrast()


def _predict_source(predictor, source, path, target, scale, options, cells):
    """As `predict_whole`. Returns the `pyramid.Bands` of the mask, whose folder is to be removed."""
    folder = target.with_name(f".{target.stem}.partial")
    plan = json.dumps(
        [sha256(predictor.path), path.stat().st_size, path.stat().st_mtime_ns, str(path.resolve()), options]
    )
    kept = folder / "plan.json"
    if not (kept.is_file() and kept.read_text(encoding="utf-8") == plan):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with replacing(kept) as temporary:
            temporary.write_text(plan, encoding="utf-8")
    frame = None if scale == 1 else Rescaled(source.height, source.width, scale)
    rows, _ = predictor.layout.starts(frame.seen_height if frame else source.height)
    rows = frame.starts(rows) if frame else rows
    bands = Bands(folder, rows, source.height, source.width)
    probabilities = (
        Bands(folder, rows, source.height, source.width * predictor.answers, "probability") if cells else None
    )
    first = bands.finished()
    done = source.height if first == len(rows) else rows[first]
    try:
        with (
            ThreadPoolExecutor(1) as writer,
            tqdm(
                total=round(source.height * source.width / 1e6, 1), initial=round(done * source.width / 1e6, 1),
                desc=path.name, unit="MP", leave=False, delay=1, disable=None,
            ) as bar,
        ):  # fmt: skip
            writing = None
            if first < len(rows):
                for number, (_, probability) in enumerate(probability_bands(predictor, source, first, frame), first):
                    mask = predictor.mask(probability)
                    if writing:
                        writing.result()
                    writing = writer.submit(_write, number, probability, probabilities, mask, bands, predictor.classes)
                    bar.update(round(mask.size / 1e6, 3))
                writing.result()
        write_pyramid(target, bands, source.mpp)
        write_overview(target.with_name(f"{stem_of(path)}{OVERVIEW}"), source, bands)
        if cells:
            grey = intensity.is_grey(source.spread_pixels())
            light = None if grey else intensity.light(source.spread(3))  # in colour, also where the network sees grey
            parts = _measured_bands(source, bands, probabilities, predictor, path.name)
            cells.add_bands(path, parts, predictor.classes, source.mpp, light, source.place, scale)
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return bands


def _write(number, probability, probabilities, mask, bands, classes):
    """Keep a band; the mask last, since it is what counts as finished."""
    if probabilities:
        probabilities.write(number, to_8_bits(probability))
    bands.write(number, mask * np.uint8(255 if classes == 1 else 1))


def _measured_bands(source, bands, probabilities, predictor, name):
    """(mask, image, probability) of a few rows after the other, for `CellWriter.add_bands`."""
    with tqdm(total=len(bands), desc=f"{name}: cells", unit="band", leave=False, delay=1, disable=None) as bar:
        for number in range(len(bands)):
            (first, mask), (_, kept) = bands.read(number), probabilities.read(number)
            for row in range(0, len(mask), MEASURED_ROWS):
                part = slice(row, row + MEASURED_ROWS)
                image = source.read(first + row, 0, len(mask[part]), source.width)
                probability = kept[part].reshape(len(image), source.width, predictor.answers) / np.float32(255)
                yield (mask[part] > 0 if predictor.classes == 1 else mask[part]).astype(np.uint8), image, probability
            bar.update()


def _most_common(image):
    """The most common value of a normalised image (height, width, channels), one a channel, of 64 steps."""
    counts = [
        np.bincount((channel.ravel() * 63.99).astype(np.int64), minlength=64) for channel in image.transpose(2, 0, 1)
    ]
    return np.float32([(count.argmax() + 0.5) / 64 for count in counts])
