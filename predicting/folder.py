"""Images, slides and folders of them → masks in a folder, with the record of which model wrote them."""

import zipfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from measuring.cell_files import COUNTS, TABLE, CellWriter
from measuring.cells import LABELS_SUFFIX
from measuring.selection import refuse_none_between
from pairing.groups import field_ranges
from pairing.naming import MASK_FOLDERS, of_cellpose
from pairing.unread import FOLDERS_OF_SYSTEMS, OWN, unread_in
from predicting.magnification import SizesFound, Stated, scale_in
from predicting.record import refuse_corrected, write_record
from predicting.whole_slides import predict_whole
from reading import images, intensity, pixel_size, slides
from reading.files import (
    MADE_BY,
    InputError,
    counted,
    find_twins,
    is_hidden,
    is_result,
    replacing,
    some,
    stem_of,
    typed,
)
from reading.large_images import is_large, open_source
from reading.show import colour_preview

SUFFIX = "_predict"
PROBABILITIES = "probabilities.npz"  # the foreground probability of each image in 8 bits, for the calibration
PAGE = "report.html"  # `reporting.page.write_page` writes it


@dataclass(frozen=True)
class Wanted:
    """What is written beside the masks, and how slides are read.

    probability : keep 16-bit probability images too. cells : separate, measure and export the cells.
    exclude_edges, um_per_px, min_area, max_area, qupath : as for `cell_files.CellWriter`; one of them asks for cells as
        well.
    flips : average over mirror images. mpp, region : of slides, as for `large_images.open_source`.
    diameter : pixels across a typical object in the pictures, as for `magnification.Stated`.
    """

    probability: bool = False
    cells: bool = False
    exclude_edges: bool = False
    um_per_px: float | None = None
    min_area: float | None = None
    max_area: float | None = None
    qupath: str | None = None
    flips: bool = False
    mpp: float | None = None
    region: list | None = None
    diameter: float | None = None

    def seeing(self):
        """How the network is to see the pictures: keyword arguments of `predictor.Predictor`."""
        return {"flips": self.flips, "stated": Stated(self.diameter, self.um_per_px)}

    def typed(self):
        """What decides which cells of which pixels are found, as it is typed: a list of words."""
        words = ["--cells"] if self.with_cells() else []
        words += [f"--mpp {self.mpp:g}"] if self.mpp else []
        return words + ([f"--region {','.join(map(str, self.region))}"] if self.region else [])

    def with_cells(self):
        """Whether cells are wanted, by name or by an option that is about them."""
        return any((self.cells, self.exclude_edges, self.um_per_px, self.min_area, self.max_area, self.qupath))


def find_images(given, command="predict"):
    """The image and slide files that paths name, folders standing for what is in them: a list of paths.

    command : for what the pictures are wanted.

    Raises `InputError` where there are none, where one is missing, and where two masks would get one name.
    """
    paths = list_pictures(given, command)
    refuse_shared_names(paths)
    return paths


def list_pictures(given, command):
    """As `find_images`, but files may share a name."""
    paths = []
    for path in map(Path, given):
        paths += _pictures(path, command) if path.is_dir() else [path]
    if not paths:
        raise _no_pictures(given[0], command)
    for path in paths:
        if not path.is_file():  # said before the seconds that loading a model takes
            raise InputError(f"{path}: no such file or folder; expected images there. Check the path.")
    return paths


def _no_pictures(folder, command):
    """The `InputError` for a folder without pictures: what it holds instead, or where there are some."""
    inner = _pictures_within(Path(folder))
    if inner:
        names = some(sub.relative_to(folder).as_posix() for sub in inner)
        return InputError(
            f"{folder}: no images to {command} in it, but in {names}; expected the folder that holds them. Name that: "
            f"python main.py {command} {typed(next(iter(inner)))}"
        )
    for unread in unread_in(folder, ()):
        if not unread.aside:
            return InputError(f"{folder}: no images to {command}; {unread}")
    return InputError(
        f"{folder}: no images to {command}; expected PNG, TIFF or JPEG files. "
        f"Put images there, or name them: python main.py {command} my_image.png"
    )


def _pictures(folder, command):
    """The pictures directly in a folder but those that `predict` or Cellpose made there; says what is left out."""
    there = images.list_images(folder, slides.SUFFIXES)
    paths = [path for path in there if not is_result(path) and path.name.lower() not in OWN]
    others = of_cellpose(paths)
    if others:
        print(f"{folder}: {some(sorted(path.name for path in others))} made by Cellpose beside its pictures: left out")
    paths = [path for path in paths if path not in others]
    if paths:
        for unread in unread_in(folder, there, below=False):
            print(f"not read: {unread}")
        for sub, count in _pictures_within(folder).items():
            print(f"not read: {counted(count, 'picture')} in {sub}; for them: python main.py {command} {typed(sub)}")
    return paths


def _pictures_within(folder):
    """{folder below this one: how many pictures lie in it}, without those that hold results."""
    found = {}
    for sub in sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path)):
        if sub.name.lower() not in FOLDERS_OF_SYSTEMS | set(MASK_FOLDERS):
            pictures = [path for path in images.list_images(sub, slides.SUFFIXES) if not is_result(path)]
            found |= {sub: len(pictures)} if pictures else _pictures_within(sub)
    return found


def predict_paths(open_model, paths, out_dir, wanted):
    """Write the masks of images, slides and large TIFFs into a folder.

    Parameters
    ----------
    open_model : function that gives the `predictor.Predictor`, called once the options have been found to fit.
    paths : of `find_images`. out_dir : path of the folder.
    wanted : `Wanted`.

    Returns the `cell_files.CellWriter`, None without cells. Raises `InputError`, after the masks of all others are
    written, for what cannot be read.
    """
    out_dir, large = Path(out_dir), {}
    for path in tqdm(paths, "sizes", unit="image", leave=False, delay=1, disable=None):
        large[path] = is_large(path)
    fields, whole = ([path for path in paths if large[path] == kind] for kind in (False, True))
    if wanted.mpp or wanted.region:
        for path in whole:  # wrong options, before anything is predicted
            open_source(path, wanted.mpp, wanted.region).close()
        if fields:
            raise InputError(f"{fields[0]}: no slide; expected one with --mpp and --region. Leave these options out.")
    if wanted.probability and whole:
        print("--probability: kept for images, not for slides and large TIFFs, which get their masks alone")
    _refuse_to_overwrite(paths, out_dir, wanted.with_cells())
    made, broken, cells = _missing(out_dir), [], None
    out_dir.mkdir(parents=True, exist_ok=True)
    try:
        predictor = open_model()
        found = SizesFound(predictor)
        _refuse_sizes(predictor, large, wanted)
        if wanted.with_cells():
            sizes = wanted.um_per_px, wanted.min_area, wanted.max_area
            cells = CellWriter(out_dir, *sizes, wanted.exclude_edges, wanted.qupath)
        try:
            if fields:
                predict_files(predictor, fields, out_dir, wanted.probability, cells, found)
        except InputError as error:
            broken.append(error)
        for path in whole:
            try:
                target = out_dir / f"{stem_of(path)}{SUFFIX}.tif"
                if not predict_whole(predictor, path, target, wanted, cells, found):
                    say_flat([path.name])
                write_record(predictor, out_dir, {target: path}, cells, found.others())
            except InputError as error:
                broken.append(error)
        if cells and whole and cells.tables:
            cells.finish()  # once more, now with the slides
    finally:
        with suppress(OSError):  # only where nothing was written
            for folder in made:
                folder.rmdir()
    if broken:
        raise InputError("; ".join(map(str, broken)))
    return cells


def refuse_shared_names(paths):
    """Raise `InputError` where two masks would get one name."""
    if twins := find_twins(map(Path, paths), stem_of):
        one, other = twins
        case = "" if stem_of(one) == stem_of(other) else " but for upper and lower case"
        raise InputError(
            f"{one} and {other} share the name {stem_of(other)}{case}; expected one image a name, since masks are "
            "named after them. Rename one, or predict them one by one with another --out for each."
        )


def _refuse_sizes(predictor, large, wanted):
    """Raise `InputError` where the largest cell that is wanted is smaller than the smallest one.

    large : {path: whether it is read part by part}.
    """
    for path, in_parts in large.items() if wanted.max_area else ():
        size, reduced = pixel_size.um_per_px(path), 1
        try:
            if in_parts:
                with closing(open_source(path, wanted.mpp, wanted.region)) as source:
                    size, reduced = source.mpp, source.place[2]
            scale = predictor.scale(size, reduced)
        except InputError:  # said of this one when its turn comes
            continue
        refuse_none_between(bool(wanted.um_per_px or size), wanted.min_area, wanted.max_area, path, scale)


def _refuse_to_overwrite(paths, out_dir, with_cells):
    """Raise `InputError` where a result would take the place of a picture, or of what somebody else made."""
    if with_cells:
        refuse_corrected(out_dir, set(map(stem_of, paths)))
    pictures = {path.resolve(): path for path in map(Path, paths)}
    endings = [f"{SUFFIX}.png", f"{SUFFIX}.tif", f"{SUFFIX}_colour.png", "_probability.png"]
    corrected = [f"{LABELS_SUFFIX}.png", f"{LABELS_SUFFIX}.tif", ".geojson", "_rois.zip"]  # or drawn, by people
    endings += [*corrected, "_overlay.png"] if with_cells else []
    for path in pictures:
        for ending in endings:
            target = (out_dir / f"{stem_of(path)}{ending}").resolve()
            if target in pictures or (ending in corrected and target.is_file() and not is_result(target)):
                raise InputError(
                    f"{target}: would be overwritten by what is predicted of {path.name}; expected no such file, or "
                    "one that `predict` wrote. Choose another place with --out DIR."
                )
    refuse_others(out_dir / name for name in (PAGE, *((TABLE, COUNTS) if with_cells else ())))


def refuse_others(targets, command="predict"):
    """Raise `InputError` where a page or a table that would be written is there, and is not this program's own.

    Its own, of whichever version, are known by how they begin, as long as nobody has saved them anew.
    """
    for path in targets:
        if not path.is_file():
            continue
        with path.open("rb") as file:
            start = file.read(4096)
        tables = start.startswith((b"image,cell", b"rank,image"))
        if not (tables if path.suffix == ".csv" else b"default-src 'none'; img-src data:" in start):
            raise InputError(
                f"{path}: no file that `{command}` wrote, and it would be overwritten; expected no such file. Move or "
                "rename it, or choose another place with --out DIR."
            )


def say_flat(names):
    """A line on images in which nothing is to be seen, where there are any."""
    if names:
        print(f"no contrast in {some(names)}: nothing is to be seen there but noise, if that")


def _missing(folder):
    """The folder and those above it that are not there yet, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def predict_files(predictor, paths, out_dir, keep_probability=False, cells=None, found=None):
    """Write `<stem>_predict.png` for each image of `paths` into `out_dir`.

    Binary masks hold 0 and 255; with K classes the mask holds class ids and `<stem>_predict_colour.png` shows them.
    `<stem>_probability.png` (16-bit, 65535 = certain foreground) is written on request. `predictions.json` lists the
    masks and their model (`record`), and `probabilities.npz` keeps the probability of foreground in 8 bits, so that
    `evaluate_folder` can compare it with whatever truth there will be. A tile in a data folder that `prepare` cut has
    the intensities of its field, whoever asks.

    cells : `cell_files.CellWriter`, which separates, measures and writes the cells of each image, and their tables;
        None for masks alone.
    found : `magnification.SizesFound`, where other pictures are predicted besides.

    Returns the list of mask paths, in the order of `paths`. Raises `InputError` for an image that cannot be read, after
    the masks of all others are written.
    """
    refuse_shared_names(paths)
    out_dir, written, unreadable, flat, ranges = Path(out_dir), {}, [], [], field_ranges(paths)
    two_channels, found = [], found or SizesFound(predictor)
    bar = tqdm([Path(path) for path in paths], desc="predict", unit="image", leave=False, delay=1, disable=None)
    with (
        replacing(out_dir / PROBABILITIES) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in bar:
            try:
                image = images.read(path)
                scale = scale_in(predictor, path)
            except InputError as error:
                unreadable.append(error)
                continue
            two_channels += [path.name] if intensity.has_two_channels(image) else []
            spread = predictor.spread(image, ranges.get(path))
            probability = predictor.probability(image, spread, scale)
            if not spread.has_contrast():
                flat.append(path.name)
            mask = predictor.mask(probability)
            found.add(mask, scale)
            target = out_dir / f"{stem_of(path)}{SUFFIX}.png"
            if not written:
                for name in (PROBABILITIES, PAGE):  # they speak of all masks in the folder, which change now
                    (out_dir / name).unlink(missing_ok=True)
            images.write_png(target, mask * np.uint8(255) if predictor.classes == 1 else mask, MADE_BY)
            if predictor.classes > 1:
                images.write_png(target.with_name(f"{stem_of(path)}{SUFFIX}_colour.png"), colour_preview(mask), MADE_BY)
            foreground = probability[..., 0] if predictor.classes == 1 else 1 - probability[..., 0]
            if keep_probability:
                images.write_png(
                    target.with_name(f"{stem_of(path)}_probability.png"),
                    np.rint(foreground * 65535).astype(np.uint16),
                    MADE_BY,
                )
            with archive.open(f"{stem_of(path)}.npy", "w") as file:
                np.lib.format.write_array(file, intensity.to_8_bits(foreground))
            if cells:
                cells.add(path, image, mask, probability, predictor.classes, scale)
            written[target] = path
        if paths and not written:  # the folder stays as it was
            raise InputError(f"{unreadable[0]} (no mask was written)")
    write_record(predictor, out_dir, written, cells, found.others())
    if two_channels:
        became = (
            "red and green" if predictor.channels == 3 else "one grey value, the second twice as bright as the first"
        )
        print(f"{some(two_channels)}: two channels, which became {became}")
    if cells:
        cells.finish()
    say_flat(flat)
    if unreadable:
        raise InputError(f"{unreadable[0]} ({len(written)} of {len(paths)} masks were written to {out_dir})")
    return list(written)
