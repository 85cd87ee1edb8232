"""Run folders: one process each, found again after a stop, and no two runs in one another's way.

Locks are the operating system's (filelock): they end with their process, even one that is killed.
"""

import errno
import itertools
import os
import shlex
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from reading import images
from reading.files import InputError, counted, sha256, some, typed
from reading.folder_lock import take
from training import run_card
from weights import start
from weights.model_files import MODEL

FOLDER = "checkpoints"
USUAL = Path(__file__).resolve().parents[1] / "runs"
LOCK = ".lock"
SECONDS = 1.0  # for which `alone` asks for the lock: `is_busy` may hold it for an instant


def by_name(run_dir):
    """The options of a command that name a run; where all runs are elsewhere than beside main.py, that too."""
    runs = Path(run_dir).parent
    elsewhere = "" if runs.resolve() == USUAL else f" --runs {typed(runs)}"
    return f"--run {shlex.quote(Path(run_dir).name)}{elsewhere}"


def new_run(runs):
    """The folder of a new run in `runs`, named by date and time and made at once: no two processes get the same."""
    runs.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%d_%H%M%S")
    for number in itertools.count(1):
        run_dir = runs / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            run_dir.mkdir()
        except FileExistsError:
            continue
        return run_dir


def find_unfinished(runs, name=None):
    """The folder of a run to go on with, and its card.

    Parameters: runs, the folder of all runs; name, of one of them, None for the newest unfinished one in which no other
    process trains now. Raises `InputError` where there is none.
    """
    if name is not None:
        run_dir = Path(runs) / name
        if not run_dir.is_dir():
            raise InputError(f"{run_dir}: no such run; expected a folder in runs. Check --run, and --runs.")
        card = run_card.read_card(run_dir / run_card.CARD)
        if card.get("finished", True):
            raise InputError(
                f"run {name} is finished; expected one that was stopped. {run_card.train_on_from(run_dir)}"
            )
        return run_dir, card
    for path in sorted(Path(runs).glob(f"*/{run_card.CARD}"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            card = run_card.read_card(path)
        except InputError:
            continue
        if not card.get("finished", True) and not is_busy(path.parent):
            return path.parent, card
    raise InputError(f"{runs}: no unfinished run; expected one that was stopped. Start one: python main.py train")


def how_to_go_on(run_dir, command, options=""):
    """One line on a training that was stopped: what is saved, and how to go on, by `command` and further `options`."""
    if not (run_dir / run_card.CARD).is_file():
        return "stopped before training began: nothing to save"
    saved = checkpoints(run_dir)
    epoch = f"epoch {int(saved[0].stem.removeprefix('epoch_'))} is saved" if saved else "no epoch was finished yet"
    return f"stopped; {epoch}. Go on with: {command} --resume {by_name(run_dir)}{options}"


@contextmanager
def alone(run_dir):
    """Make `run_dir` this process' own until the block ends, however it ends. Raises `InputError` where it is taken."""
    folder = Path(run_dir) / FOLDER
    try:
        lock = take(filelock.FileLock(folder / LOCK), SECONDS)
    except filelock.Timeout:
        raise InputError(
            f"{run_dir}: another process is training there now; expected one at a time. Wait for it, or choose "
            "another --run NAME."
        ) from None
    try:
        _sweep(run_dir)
        yield
    finally:
        nothing = not checkpoints(run_dir)
        if nothing:  # removed while it is still this process' own
            with suppress(OSError):  # on Windows, which removes no open file
                (folder / LOCK).unlink()
        lock.release()
        if nothing:
            for path in (folder, Path(run_dir)):
                with suppress(OSError):  # a run that came to nothing leaves no folder; one that holds something stays
                    path.rmdir()


@contextmanager
def plain_disk_errors(run_dir):
    """A full disk or a missing permission as one line, whatever library met it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise InputError(
            f"{run_dir}: {os.strerror(error.errno)}; expected room and permission to write there. The last finished "
            f"epoch is kept: mend that, then go on with python main.py train --resume {by_name(run_dir)}"
        ) from error


def refuse_taken(run_dir):
    """Raise `InputError` where `run_dir` is a file or holds a run."""
    run_dir = Path(run_dir)
    if run_dir.exists() and (not run_dir.is_dir() or any(path.name != FOLDER for path in run_dir.iterdir())):
        card = card_of(run_dir) or {}
        if card.get("finished"):
            raise InputError(
                f"{run_dir}: this run exists already and is finished; expected a new name. "
                f"{run_card.train_on_from(run_dir)}"
            )
        raise InputError(
            f"{run_dir}: this run exists already; expected a new name. Choose another --run NAME, or go on with it: "
            f"python main.py train --resume {by_name(run_dir)}"
        )


def is_busy(run_dir):
    """Whether a process is training in `run_dir` now; nothing there is made, changed or removed."""
    try:
        handle = os.open(Path(run_dir) / FOLDER / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:  # given back at once, and asked for again: another process may be asking too
        free = any(filelock.lock_descriptor(handle, blocking=False) or time.sleep(SECONDS / 20) for _ in range(5))
        return not free
    finally:
        os.close(handle)


def forget(run_dir):
    """Remove all checkpoints: the run is finished, or starts again."""
    for path in checkpoints(run_dir):
        path.unlink()


def _sweep(run_dir):
    """Remove the temporary files that a killed process left in its run folder."""
    for path in (*Path(run_dir).glob(".*"), *(Path(run_dir) / FOLDER).glob(".*")):
        if path.is_file() and path.name != LOCK:
            path.unlink()


def checkpoints(run_dir):
    """Files of checkpoints, the newest first."""
    return sorted((Path(run_dir) / FOLDER).glob("epoch_*.npz"), reverse=True)


def card_of(run_dir):
    """The card of a run folder; None without one that can be read."""
    try:
        return run_card.read_card(Path(run_dir) / run_card.CARD)
    except (InputError, OSError):
        return None


def newest_model(runs):
    """The model file of the newest finished run in the folder `runs`; says which, and what it was trained on.

    Where none is finished, the newest that was stopped or still trains; before the first one, the shipped weights.
    """
    models, finished = _models(runs)
    if not models and start.PAP_SMEAR.is_file():
        print(f"no run yet: predicting with {start.PAP_SMEAR.name}, which was trained on Pap smears")
        return start.PAP_SMEAR
    if not models:
        raise InputError(
            f"{runs}: no trained model; expected runs/<name>/model.keras. "
            "Train one with: python main.py train, or name a file with --model FILE."
        )
    chosen = (finished or models)[-1]
    _tell_passed_over(models, chosen)
    so_far = "" if finished else " as far as it came: no run is finished"
    print(f"predicting with run {chosen.parent.name}, trained on {trained_on(chosen.parent)}{so_far}")
    return chosen


def newest_finished(runs):
    """The model file of the newest finished run in the folder `runs`, to start another training from; says which.

    Raises `InputError` where none is finished.
    """
    models, finished = _models(runs)
    if not finished:
        stopped = (
            f"go on with the one that was stopped, {models[-1].parent.name}: python main.py train --resume "
            f"{by_name(models[-1].parent)}"
            if models
            else "leave --init out for the first training."
        )
        raise InputError(
            f"{runs}: no finished run; expected one for --init newest. Name another folder with --runs, or {stopped}"
        )
    chosen = finished[-1]
    _tell_passed_over(models, chosen)
    print(f"starting from run {chosen.parent.name}, trained on {trained_on(chosen.parent)}")
    return chosen


def has_finished(runs):
    """Whether a run in the folder `runs` is finished, so that another training can go on from it."""
    return bool(_models(runs)[1])


def start_weights(model):
    """The file of the weights that the run of a model started from; None where it was none, or nobody noted it.

    Where it is no more what it was then, or gone, that is said, and None too.
    """
    note = (card_of(Path(model).parent) or {}).get("start_weights")
    found = note and start.find(note)
    if note and not found:
        print(f"{note['path']}, which the training started from, has changed since or is gone: not scored")
    return found


def learnt_test_pictures(init, test_dir):
    """A line on pictures of a test folder that the weights of a training have learnt already; None where none has.

    init : `Settings.init`; of a file, the run that it lies in, and those that this one started from, say what they were
    trained on. Of the shipped weights `start.start_from` looks by itself.
    """
    learnt, model, seen = set(), None if init in ("auto", "none") else Path(init), set()
    while model and model not in seen:
        seen.add(model)
        card = card_of(model.parent) or {}
        learnt |= set(card.get("files", {}).get("images", {}).values())
        model = Path(card["start_weights"]["path"]) if card.get("start_weights") else None
    pictures = images.list_images(test_dir) if learnt and test_dir.is_dir() else []
    known = [path.name for path in pictures if sha256(path) in learnt]
    return known and (
        f"WARNING {len(known)} of {counted(len(pictures), 'test picture')} ({some(known)}): known to what --init names "
        "already. Scores on such pictures say nothing of new ones; leave --init out, or test on others."
    )


def _models(runs):
    """The models in a folder of runs, and those of finished runs among them: two lists of paths, the newest last."""
    models = sorted(Path(runs).glob(f"*/{MODEL}"), key=lambda path: path.stat().st_mtime)
    cards = [card_of(path.parent) or {} for path in models]  # without a card: copied here
    return models, [path for path, card in zip(models, cards, strict=True) if card.get("finished", True)]


def _tell_passed_over(models, chosen):
    newer = [path.parent.name for path in models[models.index(chosen) + 1 :]]
    if newer:
        print(f"passed over, since their training is not finished: {some(reversed(newer))}")


def data_of_model(model):
    """The data folder that a run's model file was trained on, where it is still there; None for any other model."""
    card = card_of(Path(model).parent)
    return card and run_card.data_of(card)


def how_named(model):
    """What is typed for a command to take this model file: {"runs", "model"}, None for what need not be typed.

    Both are None for a file that is gone, and for the shipped weights, which are taken before the first run.
    """
    model = Path(model)
    if not model.is_file() or model == start.PAP_SMEAR:
        return {"runs": None, "model": None}
    if card_of(model.parent) is None:  # of no run
        return {"runs": None, "model": model}
    models, finished = _models(model.parents[1])
    is_newest = model.parent in [path.parent for path in (finished or models)[-1:]]
    return {"runs": model.parents[1], "model": None if is_newest else model}


def trained_on(run_dir):
    """What a run was trained on, in words, from its card."""
    card = card_of(run_dir) or {}
    if "training" not in card:
        return f"what its folder does not tell ({run_card.CARD} is missing)"
    return f"{counted(len(card['training']), 'image')} of {card.get('data', 'a folder that is not known')}"
