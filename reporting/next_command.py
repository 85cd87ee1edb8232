"""The one command that comes next: the line with which each command ends, ready to be pasted."""

from pathlib import Path

from pairing.pairs import has_files
from reading.files import typed

ROOT = Path(__file__).resolve().parents[1]
USUAL = {"data": ROOT / "data", "runs": ROOT / "runs"}  # need not be named


def say_next(command, **given):
    """Print it. given : {name of an option: its value, None for nothing}."""
    print(f"next: {with_options(command, **given)}")


def with_options(command, **given):
    """A command as it is typed. given : as for `say_next`."""
    told = {name: value for name, value in given.items() if value not in (None, USUAL.get(name))}
    told = {name: f"{value:g}" if isinstance(value, float) else typed(value) for name, value in told.items()}
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in told.items())
    return " ".join(filter(None, ["python main.py", command])) + options


def say_correct(classes, data, paths=(), **given):
    """Print `correct_command`."""
    print(f"next: {correct_command(classes, data, paths, **given)}")


def correct_command(classes, data, paths=(), **given):
    """How outlines that a network of so many classes found are corrected: in the browser, which knows one class.

    Several are corrected in QuPath: the command writes what it reads, of the training pictures where none are named.

    data : path of the data folder. paths : of the pictures, none for all of the data folder.
    """
    if classes == 1:
        return with_options(" ".join(["correct", *map(typed, paths)]), data=data, **given)
    pictures = " ".join(map(typed, paths or [data / "Train data" / "Images"]))
    return with_options(f"predict {pictures} --cells", out=data / "Found cells", **given)


def say_after_training(classes, data, **given):
    """Print what comes after a training on a data folder, by a network of so many classes."""
    if has_files(data, Path("Test data", "Images")):
        say_next("predict", data=data, **given)
    else:
        say_correct(classes, data, **given)


def say_after_prediction(record, home, paths, wanted, **given):
    """Print what comes after a prediction.

    record : `record.Record` of the folder. home : path of the data folder that corrections belong into. paths : what
    was named, nothing for the test images. wanted : `folder.Wanted`; the cells of several classes, and of slides, are
    corrected in QuPath. given : the options as they were typed, `data` and `out` among them.
    """
    if record.others and paths:
        found, learnt = record.others["found_px"], record.others["learnt_px"]
        again = " ".join(["predict", *map(typed, paths), *wanted.typed(), f"--diameter {found:g}"])
        command = with_options(again, **given)
        print(
            f"what was found is typically {found:g} pixels across, what the model learnt {learnt:g}; where pictures "
            f"have another magnification, say so, with the true size in place of {found:g} if you know it: {command}"
        )
    slides = any(name.endswith(".tif") for name in record.listed)
    if not paths and has_files(home, Path("Test data", "Masks")):
        say_next("evaluate", data=home, out=given["out"])
    elif record.classes == 1 and not slides:
        say_correct(1, home, paths, model=given["model"], runs=given["runs"], **vars(record.stated))
    elif wanted.with_cells():  # which are corrected in QuPath, and put into Raw data
        say_next("prepare", data=home)
    else:
        words = ["predict", *map(typed, paths), "--cells", *wanted.typed()]
        say_next(" ".join(words), **given, **vars(record.stated))
