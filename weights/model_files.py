"""Which model file a user names: the file itself, or the folder of the run that trained it. Nothing is opened here."""

from pathlib import Path

from reading.files import InputError, some

MODEL = "model.keras"  # in a run folder
NETWORKS = (".keras", ".h5", ".hdf5")  # from which a training can start, and which can be exported
EXPORT = ".onnx"


def model_file(path, suffixes=(*NETWORKS, EXPORT)):
    """The model file that a path means, a Path: of a run folder the network in it.

    suffixes : of the files that will do. Raises `InputError` where there is none.
    """
    path = Path(path)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.suffix.lower() in suffixes]
        named = [file for file in found if file.stem == Path(MODEL).stem]
        if not named:
            held = f"holds {some(file.name for file in found)}" if found else "holds no model file"
            raise InputError(
                f"{path}: a folder that {held}; expected {MODEL} in it, as a run writes after its first epoch. Name a "
                "model file, or another run folder."
            )
        return next((file for file in named if file.name == MODEL), named[0])
    if not path.is_file():
        raise InputError(f"There is no model file {path}: train one first, or correct the path.")
    if path.suffix.lower() == EXPORT and EXPORT not in suffixes:
        beside = path.with_suffix(".keras")
        there = f"Name {beside} instead." if beside.is_file() else "Name that one."
        raise InputError(f"{path}: an export; expected the .keras file that it was made from. {there}")
    return path
