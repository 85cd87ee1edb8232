"""For tests/training/test_resume.py: trains in child processes, killed at random moments, and goes on each time.

    python tests/kill_chain.py FOLDER KILLS SEED

Keras loads once; each child is a fork of this process, made before Keras computes anything. Prints one line of JSON:
kills, the epochs that were finished at each, runs that ended, and whether all of them ended like the one never killed.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training import run_card, run_folder, train
from training.precision import FLOAT32
from training.run import Run
from training.settings import Settings

TINY = {
    "crop_px": 32, "filters": 2, "depth": 1, "batch": 2, "steps": 4, "epochs": 6, "dropout": 0.2, "init": "none",
    "precision": FLOAT32, "loss": "bce",
}  # fmt: skip
HERE = TINY | {"precision": "auto"}  # what this machine trains in


def fork(function):
    """The process id of a child that runs `function`."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return child


def fit(data, run_dir):
    resume = (run_dir / run_card.CARD).is_file()
    if resume and run_card.read_card(run_dir / run_card.CARD)["finished"]:
        return  # killed on its way out
    train.train(Run(data, run_dir, Settings(**HERE), resume=resume), quiet=True)


def result(run_dir):
    """What must be equal to the last bit: weights and scores."""
    import zipfile

    with zipfile.ZipFile(run_dir / "model.keras") as archive:
        weights = archive.read("model.weights.h5")
    return weights, (run_dir / "history.csv").read_bytes(), (run_dir / "scores.json").read_bytes()


def finished(run_dir):
    """The number of epochs that a killed training would not lose."""
    saved = run_folder.checkpoints(run_dir)
    return int(saved[0].stem.removeprefix("epoch_")) if saved else 0


def main(data, kills, seed):
    began = time.monotonic()
    _, status = os.waitpid(fork(lambda: fit(data, data / "whole")), 0)
    assert status == 0
    seconds = time.monotonic() - began
    rng, killed_at, runs, same = random.Random(seed), [], 0, []
    while len(killed_at) < kills:
        run_dir = data / f"killed{runs}"
        child = fork(lambda run_dir=run_dir: fit(data, run_dir))
        # a moment after none to two more epochs, however fast or busy the computer is
        enough, pause = finished(run_dir) + rng.randrange(3), rng.uniform(0, 0.3) * seconds
        status, deadline = None, None
        while status is None and (deadline is None or time.monotonic() < deadline):
            if deadline is None and finished(run_dir) >= enough:
                deadline = time.monotonic() + pause
            done, code = os.waitpid(child, os.WNOHANG)
            status = code if done else None
            time.sleep(0.002)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed_at.append(finished(run_dir))
        else:
            assert status == 0
            same.append(result(run_dir) == result(data / "whole"))
            runs += 1
    if (data / f"killed{runs}" / run_card.CARD).is_file():
        _, status = os.waitpid(fork(lambda: fit(data, data / f"killed{runs}")), 0)
        assert status == 0
        same.append(result(data / f"killed{runs}") == result(data / "whole"))
    print(json.dumps({"kills": len(killed_at), "killed_at": killed_at, "runs": len(same), "same": all(same)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
