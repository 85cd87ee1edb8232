"""Where the images of a data folder come from: one's own, the public set, or the sample while there is nothing else."""

from pathlib import Path

from pairing.groups import FIELD_TABLE
from pairing.pairs import has_files
from preparing.corrected import prepare_corrected
from preparing.field_table import read_fields
from preparing.finding import is_cut_short, refuse_forgotten_source
from preparing.prepare import prepare_fields
from preparing.told import PREPARED, read_noted
from reading.files import InputError, counted, holds_files, refuse_read_only, typed, write_json
from reading.folder_lock import in_turn


def fill(data_dir, source=None, annotations=None, colour=False, corrected=None, **told):
    """Fill a data folder, saying what is done.

    Parameters
    ----------
    data_dir : path of the data folder.
    source : "sample", "cervix", or what `prepare.prepare_fields` takes; None: what stands in `Raw data`; where that is
        empty, the sample.
    annotations : as for `prepare_fields`.
    colour : True for the sample in colour.
    corrected : folder of predictions whose corrected cells become training fields; `source` is then where pictures are
        looked for (`corrected.prepare_corrected`).
    told : fields of `told.Told`; of them the sample takes seed and classes.

    Raises `InputError` as the three do.
    """
    data_dir = Path(data_dir)
    refuse_read_only(data_dir, "Name another folder with --data DIR.")
    if corrected is not None:
        if annotations is not None or colour or told:
            raise InputError(
                "--corrected received with options other than --data and --source; expected these alone, since all "
                "else is as the folder was prepared. Leave the others out."
            )
        print(*prepare_corrected(data_dir, corrected, source), sep="\n")
        return
    with in_turn(data_dir):
        _fill(data_dir, source, annotations, colour, told)


def _fill(data_dir, source, annotations, colour, told):
    nothing = source is None and not (holds_files(data_dir / "Raw data") or is_cut_short(data_dir))
    if source == "sample" or (nothing and annotations is None):
        if nothing and read_fields(data_dir):
            raise InputError(
                f"{data_dir}: no Raw data to prepare from, and fields that are ready, as by `correct`; expected "
                "--source FOLDER, to add pictures with masks. To train on those that are there: "
                f"python main.py train --data {typed(data_dir)}"
            )
        if nothing:
            refuse_forgotten_source(data_dir)
        from preparing.sample import write_sample

        classes = told.get("classes", 1)
        write_sample(data_dir, seed=told.get("seed", 0), classes=classes, colour=colour)
        if classes > 1:  # to be remembered, as of one's own
            meaning = "0 background, 1 cytoplasm, 2 nucleus"
            write_json(data_dir / PREPARED, {"classes": classes, "foreground": None, "meaning": meaning})
        print(f"sample images and masks written to {data_dir / 'Train data'} and {data_dir / 'Test data'}")
    elif source == "cervix":
        from preparing.download import fetch_cervix

        if told.get("classes", 1) > 1:
            raise InputError(
                f"--classes {told['classes']} received, but the masks of the public set have one class, the nuclei; "
                "expected no such option. Leave it out."
            )
        fetch_cervix(data_dir)
    else:
        done = prepare_fields(data_dir, source, annotations, **told)
        print(done.table())
        if done.written:
            print(f"{counted(done.written, 'file')} written to {data_dir}; what is where: {data_dir / FIELD_TABLE}")
        else:
            print(f"already prepared: {data_dir} holds all of this")
        if source is None:
            say_sources(data_dir)


def say_sources(data_dir):
    """Say that only `Raw data` was looked at, where there are sources that it was copied from."""
    for source in sorted({noted["from"] for noted in (read_noted(data_dir) or {}).get("copied", {}).values()}):
        if Path(source).exists():
            more = " --annotations FILE" if Path(source).is_file() else ""
            again = f"python main.py prepare --source {typed(source)}{more} --data {typed(data_dir)}"
            print(f"looked at {data_dir / 'Raw data'} alone; for what changed in {source}: {again}")


def fill_if_empty(data_dir, named, **told):
    """`fill`, but nothing where there are images to train on.

    named : True where the user named the folder, which is then filled with no sample. Raises `InputError` there.
    """
    data_dir = Path(data_dir)
    if has_files(data_dir) or holds_files(data_dir / "Train data"):
        print(f"1 prepare: images found in {data_dir}")
        return
    if named and not (holds_files(data_dir / "Raw data") or is_cut_short(data_dir)):
        refuse_forgotten_source(data_dir)
        raise InputError(
            f"{data_dir}: no images; expected 'Train data/Images' and 'Train data/Masks' in it, or whole fields "
            f"in 'Raw data/Images' and 'Raw data/Masks'. Put your images "
            f"there, or make the sample there with: python main.py prepare --data {typed(data_dir)}"
        )
    print("1 prepare")
    fill(data_dir, **told)
