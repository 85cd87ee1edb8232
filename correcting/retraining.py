"""Training again from the page: `main.py train` as a process of its own, and Dice on held-out fields around it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import filelock
import numpy as np

from correcting.opening import Network
from pairing.masks import IGNORED
from pairing.pairs import TEST, TRAIN, find_pairs, has_files
from reading import images
from reading.files import InputError, counted, sha256, typed, write_json
from scoring.metrics import confusion_counts, scores_from_counts
from weights.model_files import MODEL, NETWORKS
from weights.start import TRAINED_ON

MAIN = Path(__file__).resolve().parents[1] / "main.py"
MINUTES = 2  # of a training; enough to go on from a network, short enough to wait for
POLL_SECONDS = 0.2
OUTPUT = "training.txt"  # beside the working copies: what the training says, open as long as it runs
NOTE = "training.json"  # beside it: which process it is, in which run, and what was measured before
EPOCH = re.compile(r"epoch (\d+)/(\d+):")


class Busy(Exception):
    """A training cannot begin now; its text says why."""


class Stopped(Exception):
    """The user has stopped the training."""


class Trainer:
    """Trains again on the fields that are done, one training at a time. Safe to use from threads.

    desk : `desk.Desk`, whose network the new one becomes. runs : the folder of all runs.
    open_model : as for `opening.Network`. command : what trains, a list of words before `main.py`'s own.
    """

    def __init__(self, desk, runs, open_model, command=(sys.executable, str(MAIN))):
        self.desk, self.runs, self.open_model, self.command = desk, Path(runs), open_model, list(command)
        self._lock, self._thread, self._process, self._stopping = threading.Lock(), None, None, False
        self._told = {"state": "idle", "line": "", "progress": 0.0, "before": None, "after": None}
        self._learnt, self._measured = 0, 0  # numbers of fields
        desk.held = _is_open(desk.folder / OUTPUT)  # by a training that another program has left: `follow_left`

    def state(self):
        """What `GET /api/train` answers."""
        start = self._start_of_it()
        return self._told | {
            "fields": self._measured,
            "done": self._count(),
            "writing": self.desk.is_writing,
            "seconds": 60 * MINUTES,
            "start": str(start) if start else "the weights that come with this program, where they fit",
        }

    def follow_left(self):
        """Follow the training of a program that was killed: it goes on, and none begins beside it.

        To be called once the desk is open, since no other program follows it then.
        """
        if not _is_open(self.desk.folder / OUTPUT):
            return self.desk.hold(False)
        try:
            note = json.loads((self.desk.folder / NOTE).read_text(encoding="utf-8"))
            left, self._measured = _Left(note["process"], self.desk.folder / OUTPUT), note["fields"]
            told = {"state": "running", "line": "", "progress": 0.0, "before": note["before"], "after": None}
            run = Path(note["run"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.desk.folder / OUTPUT}: a training still writes there that an earlier `correct` began; expected "
                "none. Wait until it has ended, and start this again."
            ) from None
        print(f"the training that was begun before still runs, and is followed: {run}")
        self._count()
        self._told, self._process = told, left
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()

    def _count(self):
        """How many fields a training would learn from; of a running one, learns from."""
        if self._told["state"] != "running":
            with suppress(InputError):  # said when a training is begun
                self._learnt = len(self._fields())
        return self._learnt

    def start(self):
        """Begin a training in the background. Raises `Busy` where one runs, or nothing is there to train on."""
        with self._lock:
            if self._told["state"] == "running":
                raise Busy("a training runs already")
            if not self.desk.is_writing and not self._fields():
                raise Busy("nothing to train on yet: mark a field as done first")
            self._stopping = False
            self._told = {"state": "running", "line": "starting", "progress": 0.0, "before": None, "after": None}
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def stop(self):
        """End the training as Ctrl-C does: what is saved of it can be gone on with."""
        with self._lock:
            self._stopping = True
            if self._process:
                self._process.terminate()

    def end(self):
        """Stop, and wait until the training has ended."""
        self.stop()
        if self._thread:
            self._thread.join()

    def _fields(self):
        """The pairs of the training fields."""
        data = self.desk.data
        if not has_files(data, f"{TRAIN}/Images"):
            return []
        return [pair for pair in find_pairs(data / TRAIN, masks="optional") if pair.mask]

    def _run(self, run=None):
        """run : the folder in which a training goes on already; None: one is begun."""
        try:
            if run is None:
                self.desk.hold(True)
            self._told |= self._train(run)
        except Stopped as stop:
            self._told |= {"state": "idle", "line": str(stop) or "stopped"}
        except (InputError, OSError) as error:
            self._told |= {"state": "failed", "line": str(error)}
        except Exception as error:
            self._told |= {"state": "failed", "line": f"a fault of the program ({type(error).__name__}: {error})"}
        finally:
            self.desk.hold(False)

    def _train(self, run):
        """Measure, train, measure; the facts that are new then."""
        before = self.desk.network
        self.desk.masks.forget()
        held_out = self._test_fields()
        if run is None:
            self._measured = len(held_out)
            if held_out:
                self._told |= {"line": f"measuring the network as it is on {counted(len(held_out), 'test field')}"}
                self._told |= {"before": self._dice(before, held_out)}
            run = self._begin()
        after = Network(self._followed(run), self.open_model)
        self._told |= {"progress": 0.97, "line": "measuring the new network"}
        measured, held_out = held_out, self._test_fields()
        what = "test field" if held_out else "validation field"
        held_out = held_out or self._validation_fields(after)
        self._measured = len(held_out)
        if held_out != measured or self._told["before"] is None:  # the same pictures and the same masks for both
            self._told |= {"before": self._dice(before, held_out) if held_out else None}
        new = self._dice(after, held_out) if held_out else None
        self.desk.use(after)
        if new is None:
            line = "trained; no field with a mask is held out to measure on"
        else:
            line = f"Dice {self._told['before']:.3f} before, {new:.3f} now, on {counted(len(held_out), what)}"
        earlier = f"--model {typed(before.path)}"  # the way back, since the new one is in use, better or not
        return {"state": "finished", "progress": 1.0, "after": new, "line": line, "earlier": earlier}

    # ------------------------------------------------------------------------------------------------------ the process

    def _start_of_it(self):
        """The model file that a training would start from: that of the network in use; None where it is a shipped one.

        The shipped ones are chosen by `train`, which knows which of them fits.
        """
        path = Path(self.desk.network.path).with_suffix(NETWORKS[0])
        return path if path.name not in TRAINED_ON and path.is_file() else None

    def _begin(self):
        """Begin the training; the folder of its run."""
        run = time.strftime("corrected_%Y-%m-%d_%H%M%S")
        words = ["train", "--data", self.desk.data, "--runs", self.runs, "--run", run, "--minutes", MINUTES]
        if start := self._start_of_it():
            words += ["--init", start]
        output = self.desk.folder / OUTPUT  # a file: it goes on where this program is ended
        with output.open("wb") as file, self._lock:
            if self._stopping:
                raise Stopped
            if os.name != "nt":  # for as long as the training has it open too: `_is_open`
                filelock.lock_descriptor(file.fileno(), blocking=False)
            self._process = subprocess.Popen(
                [*self.command, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,  # a Ctrl-C is for this program, which then stops that one
            )
            folder, before = (self.runs / run).absolute(), self._told["before"]
            note = {"process": self._process.pid, "run": str(folder), "before": before, "fields": self._measured}
            write_json(self.desk.folder / NOTE, note)
        return self.runs / run

    def _followed(self, run):
        """Wait for the end of the training; the path of the new network."""
        output = self.desk.folder / OUTPUT
        try:
            began = (self.desk.folder / NOTE).stat().st_mtime
            while self._process.poll() is None:
                self._read_progress(output, (time.time() - began) / (60 * MINUTES))
                time.sleep(POLL_SECONDS)
        finally:
            with self._lock:
                process, self._process = self._process, None
        line = self._read_progress(output, 0)
        if self._stopping:
            raise Stopped(line)
        if process.returncode or not (run / MODEL).is_file():
            raise InputError(line or f"the training ended with status {process.returncode}")
        return run / MODEL

    def _read_progress(self, output, share):
        """Tell the last line of the output, and how far the training is: by its epochs, or by its time; the line."""
        lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()] or [""]
        errors = [line for line in lines if line.startswith("error: ")]
        line = (errors or lines)[-1]
        epochs = [match for match in map(EPOCH.match, lines) if match]
        done = int(epochs[-1][1]) / int(epochs[-1][2]) if epochs else 0
        progress = max(self._told["progress"], min(0.95, max(done, share)))
        self._told |= {"line": line, "progress": round(progress, 3)}
        return line

    # ----------------------------------------------------------------------------------------------------------- scores

    def _test_fields(self):
        """[(`pairs.Pair`, "test", SHA-256 of its mask)] of the test fields with a mask."""
        data = self.desk.data
        if not has_files(data, f"{TEST}/Images"):
            return []
        return _with_sums([pair for pair in find_pairs(data / TEST, masks="optional") if pair.mask], "test")

    def _validation_fields(self, network):
        """The same of the training fields that a network was validated on, and not trained."""
        held = set(network.metadata().get("validation", ()))
        return _with_sums([pair for pair in self._fields() if pair.stem in held], "train")

    def _dice(self, network, held_out):
        """Dice of a network on fields, all pixels counted together, as `evaluate` does."""
        counts, beside = [], [pair.stem for pair in self._fields()]
        for pair, part, _ in held_out:
            if self._stopping:
                raise Stopped
            image = images.read(pair.image)
            truth = self.desk.masks.class_ids(pair, part, image.shape[:2])
            mask = network.mask(pair, image, beside)
            counts.append(confusion_counts(truth, mask, ignored=truth == IGNORED))
        return scores_from_counts(np.sum(counts, axis=0)[0])["dice"]


class _Left:
    """What a `subprocess.Popen` tells, of a process that another program began: `output` is open as long as it runs."""

    returncode = None

    def __init__(self, number, output):
        self.number, self.output = int(number), output

    def poll(self):
        return None if _is_open(self.output) else 0

    def terminate(self):
        if _is_open(self.output):  # else another process may have its number by now
            os.kill(self.number, signal.SIGTERM)


def _is_open(path):
    """Whether a training still has the file open that it writes to."""
    try:
        if os.name == "nt":  # where an open file cannot be renamed
            os.replace(path, path)
            return False
        with path.open("rb") as file:
            return not filelock.lock_descriptor(file.fileno(), blocking=False)
    except FileNotFoundError:
        return False
    except OSError:
        return os.name == "nt"


def _with_sums(pairs, part):
    return [(pair, part, sha256(pair.mask)) for pair in pairs]
