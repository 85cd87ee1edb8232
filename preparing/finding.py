"""Where `prepare` takes its fields from: a source that is only read, or what stands in `Raw data`."""

import shutil
from contextlib import contextmanager
from pathlib import Path

from pairing import pairs
from pairing.coco_pairs import pair_by_coco
from pairing.naming import IMAGE_FOLDERS
from pairing.tile_names import slide_of
from preparing.fields import cut_fields
from preparing.told import UNFINISHED
from reading import images, slides
from reading.files import InputError, holds_files, is_hidden, stem_of, typed

CUT = ".prepare-fields"  # what is cut out of slides and into tiles stands here while it works


def find(data_dir, source, annotations):
    """The `pairs.Pairing` to prepare, and the folder or file from which it is copied into `Raw data` first, or None."""
    raw_dir = data_dir / "Raw data"
    if source is None and annotations is not None:
        raise InputError(f"{annotations}: annotations of no image; expected --source FILE beside it. Name the image.")
    if source is None and is_cut_short(data_dir):
        raise InputError(
            f"{data_dir / UNFINISHED}: left by a prepare that was cut short, so {raw_dir} may not be whole; expected "
            "it to be run again with the same --source. Do that, or delete this folder."
        )
    source = raw_dir if source is None else Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such folder; expected one with Images and Masks in it. Check the path.")
    if source.is_file():
        return pairs.Pairing([_annotated(source, annotations)], f"{source.name} ↔ {annotations}"), source.resolve()
    if annotations is not None:
        raise InputError(
            f"{annotations}: annotations for a folder ({source}); expected one image file with --annotations. "
            "Put the files of annotations beside the images instead."
        )
    if (source / "Raw data").is_dir():
        own = pairs.own_pictures(source)
        if own is None:
            source = source / "Raw data"
        elif own.parent.resolve() != source.resolve() or own.name.casefold() not in IMAGE_FOLDERS:
            raise InputError(
                f"{source}: images in {own} and a folder Raw data beside them; expected one place. Name the folder "
                "with --source that holds your images alone, or move them into Raw data with their masks."
            )
    copied_from = None if source.resolve() == raw_dir.resolve() else source.resolve()
    return pairs.find_pairing(source, with_slides=True), copied_from


def is_cut_short(data_dir):
    """True where `data_dir` holds the rest of a `prepare_fields` that was killed before all of `Raw data` was there."""
    aside = Path(data_dir) / UNFINISHED
    return (aside / "Raw data").exists() or (aside.exists() and not holds_files(aside.parent / "Raw data"))


def refuse_forgotten_source(data_dir):
    """Raise `InputError` where `data_dir`, without raw images, holds the user's own: those in it wait for --source.

    The sample belongs into a folder of its own.
    """
    data_dir = Path(data_dir)
    if own := pairs.own_pictures(data_dir):
        raise InputError(
            f"{data_dir}: no Raw data, but images found in {own}: run python main.py prepare "
            f"--source {typed(data_dir)} --data my_folder"
        )
    expected = {"readme.md", "check.png", *(f"{part} data" for part in ("raw", "train", "test"))}
    for path in sorted(data_dir.glob("*")):
        if not is_hidden(path) and path.name.casefold() not in expected:
            raise InputError(
                f"{path}: stands where the sample would be written; expected an empty folder, or your images in "
                f"{data_dir / 'Raw data'}. Name another with --data."
            )


def _annotated(image, annotations):
    if annotations is None:
        raise InputError(
            f"{image}: one image without a mask; expected a folder with Images and Masks, or --annotations FILE "
            "beside --source FILE. Name one of these."
        )
    if not Path(annotations).is_file():
        raise InputError(f"{annotations}: no such file; expected annotations such as a GeoJSON. Check the path.")
    if image.suffix.lower() not in images.IMAGE_SUFFIXES | slides.SUFFIXES:
        raise InputError(
            f"{image}: no image or slide by its name; expected TIFF, PNG, JPEG, {', '.join(sorted(slides.SUFFIXES))}. "
            "Export it as TIFF, in QuPath for example."
        )
    stem, mask = stem_of(image), Path(annotations)
    return pairs.Pair(stem, image, pair_by_coco([image], [mask])[0].get(image, mask), slide_of(stem))


@contextmanager
def fields_of(pairing, data_dir, quiet):
    """(pairs, remarks) of `fields.cut_fields`, as long as the block lasts."""
    cut_dir = data_dir / CUT
    shutil.rmtree(cut_dir, ignore_errors=True)
    try:
        found, remarks = cut_fields(pairing.pairs, cut_dir, quiet)
        # In `Raw data`, beside slides, stand the fields that an earlier version cut out of them.
        cut = {pair.stem for pair in found if pair.image.is_relative_to(cut_dir)}
        yield [pair for pair in found if pair.stem not in cut or pair.image.is_relative_to(cut_dir)], remarks
    finally:
        shutil.rmtree(cut_dir, ignore_errors=True)
