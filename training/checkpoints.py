"""Checkpoints: the whole state of a training after each epoch, so that it can go on as if it had never stopped.

A checkpoint is a zip file (NumPy's .npz) of every variable of network and optimiser, each with its CRC-32, and of
progress.json. The last two are kept. A new one gets its name only when it lies safely on the disk.
"""

import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from reading.files import InputError, settle, typed
from training.run_card import CARD
from training.run_folder import FOLDER, checkpoints

PROGRESS = "progress.json"
KEPT = 2


def variables_of(network):
    """All variables of a compiled network and its optimiser, in an order that is always the same.

    Among them are running statistics, random states of dropout, the optimiser's moments, averages and step count.
    """
    network.optimizer.build(network.trainable_variables)
    counted = {id(variable) for variable in network.metrics_variables}  # start from zero with each epoch
    own = [variable for variable in network.variables if id(variable) not in counted]
    return [*own, *network.optimizer.variables]


def write(run_dir, network, progress):
    """Write the checkpoint of an epoch.

    Parameters: network, compiled keras.Model; progress, a dictionary for JSON, with "epoch", the number of finished
    ones. One variable at a time is copied. Raises `InputError` where it cannot be written; nothing is lost then.
    """
    path = Path(run_dir) / FOLDER / f"epoch_{progress['epoch']:06}.npz"
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            variables = variables_of(network)
            archive.writestr(PROGRESS, json.dumps(progress | {"variables": len(variables)}))
            for index, variable in enumerate(variables):
                with archive.open(f"{index:05}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, ops.convert_to_numpy(variable), allow_pickle=False)
        settle(temporary)
        os.replace(temporary, path)
        settle(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    for old in checkpoints(run_dir)[KEPT:]:
        old.unlink()


def restore(run_dir, network, say):
    """Put the newest whole checkpoint into `network`.

    Parameters: network, compiled keras.Model of the same settings; say, function that shows a line where a checkpoint
    is damaged. Returns its progress, None where no epoch was finished. Raises `InputError` where none is whole or
    they are of another network; all files are then as they were.
    """
    saved = checkpoints(run_dir)
    for path in saved:
        try:
            return _read(path, network)
        except _OtherNetwork as error:
            raise InputError(
                f"{path} is of another network than the settings of run {Path(run_dir).name} make here ({error}); "
                "expected a run of this version of the program. Nothing was changed; go on with the version that began "
                f"it, or start again: python main.py train --from-card {typed(Path(run_dir) / CARD)}"
            ) from error
        except Exception as error:  # whatever a damaged archive makes zipfile, json or NumPy raise
            reason = str(error).strip().split("\n")[0]
            say(
                f"checkpoint {path} is damaged ({reason})"
                + (": going on from the one before it" if path != saved[-1] else "")
            )
    if saved:
        raise InputError(
            f"{saved[0].parent}: no whole checkpoint; expected one of the last {KEPT} epochs. Nothing was changed; "
            f"start again: python main.py train --from-card {typed(Path(run_dir) / CARD)}"
        )
    return None


class _OtherNetwork(Exception):
    """What a whole checkpoint holds does not fit the network."""


def _read(path, network):
    variables = variables_of(network)
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not match its checksum")
        progress, held = json.loads(archive.read(PROGRESS)), len(archive.namelist()) - 1
        count = progress.pop("variables", held)  # not in checkpoints of earlier versions
        if held != count:
            raise ValueError(f"it lists {held} of its {count} variables")
        if held != len(variables):
            raise _OtherNetwork(f"it holds {held} variables, expected {len(variables)}")
        for index, variable in enumerate(variables):
            with archive.open(f"{index:05}.npy") as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
            if array.shape != tuple(variable.shape):
                raise _OtherNetwork(f"{variable.path} has shape {array.shape}, expected {tuple(variable.shape)}")
            variable.assign(array)
    return progress


class Checkpoint(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch; must stand where the network holds the weights that training goes on from.

    Parameters
    ----------
    run_dir : the run's folder.
    history : {name: [value of each epoch]}, carried on here.
    progress : function giving what else to keep, a dictionary for JSON.
    """

    def __init__(self, run_dir, history, progress):
        super().__init__()
        self.run_dir, self.history, self.progress = run_dir, history, progress

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        write(self.run_dir, self.model, {"epoch": epoch + 1, "history": self.history} | self.progress())
