"""The run card, settings.json: what a run was made from, so that it can be continued, repeated and compared.

It is written when training starts ("finished": false) and again when it has ended.
"""

import csv
import json
import platform
import subprocess
import time
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from tqdm import tqdm

from reading.files import InputError, replacing, sha256, some, typed
from reading.machine import cores
from training.settings import FLOAT32, Settings
from weights import start as weights
from weights.metadata import with_present_names
from weights.model_files import NETWORKS, model_file

CARD = "settings.json"
PACKAGES = ("numpy", "opencv-python-headless", "pillow", "tifffile", "imagecodecs")  # what pixels pass through
NETWORK = 2  # raised where `model.unet` makes another network of the same options; 1 normalised after both convolutions
BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}  # Keras' name → the package's


# ------------------------------------------------------------------------------------------------ what a run is made of


def versions(backend):
    """{"network": `NETWORK`, "python", "keras", "backend", the backend's package, …: version}.

    backend: `keras.backend.backend()`.
    """
    packages = ["keras", *([BACKENDS[backend]] if backend in BACKENDS else []), *PACKAGES]
    found = {name: _version(name) for name in packages}
    return {"network": NETWORK, "python": platform.python_version(), "backend": backend} | found


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:  # another build of it, such as tensorflow-cpu
        return None


def hardware():
    """{"system", "cpu", "cores", "memory_gb", "gpu"}; gpu: names of NVIDIA cards, [] where there are none."""
    return {
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": _gpu_models(),
    }


def _cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _gpu_models():
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return asked.stdout.split("\n")[:-1] if asked.returncode == 0 else []


def hash_files(pairs, contents):
    """{"images" and "masks": {name: SHA-256}} of a list of `pairs.Pair`; a mask of many files counts as one.

    contents : `file_cache.FileCache`, which has hashed what it has read.
    """
    hashes = {"images": {}, "masks": {}}
    for pair in tqdm(pairs, "checksums", unit="image", leave=False, delay=1, disable=None):
        hashes["images"][pair.image.name] = contents.sha256(pair.image)
        hashes["masks"][pair.mask.name if pair.mask.is_file() else pair.stem] = contents.sha256(pair.mask)
    return hashes


def hash_init(init):
    """SHA-256 of each of the weights that `Settings.init` may start from: a list, empty where there are none."""
    paths = {"auto": (weights.PAP_SMEAR, weights.SAMPLE), "none": ()}.get(init)
    if paths is None:
        paths = [model_file(init, NETWORKS)]
    return [sha256(path) for path in paths if path.is_file()]


# ------------------------------------------------------------------------------------------------------- reading cards


def read_card(path):
    """The card in a file. Raises `InputError` where it is not the card of a run."""
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
        card = with_present_names(card)
        card["settings"] = with_present_names(card["settings"])
        card["settings"]["seed"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the {CARD} of a run. Check the path.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a run card; expected the {CARD} of a run. Name another file.") from error
    return card


def data_of(card):
    """The data folder of a run's card, where it is still there; else None."""
    data = card.get("data")
    return Path(data) if data and Path(data).is_dir() else None


def train_on_from(run_dir):
    """What to do with a run that is finished: a sentence with the command."""
    return f"To train on from its network: python main.py train --run NEW_NAME --init {typed(run_dir)}"


def settings_of(card):
    """The `settings.Settings` of a card, and a line for each that this version does not know."""
    known = {field.name for field in fields(Settings)}
    # all there was before there was a choice
    stored = {"precision": FLOAT32, "stack": None, "ignore": None, "um_per_px": None} | _with_tuples(card["settings"])
    lines = [f"setting {name}: unknown to this version of the program" for name in sorted(stored.keys() - known)]
    settings = Settings(**{name: value for name, value in stored.items() if name in known})
    for name in sorted(known - stored.keys()):
        lines.append(f"setting {name}: not in the card, here {getattr(settings, name)}")
    if settings.steps is None:
        lines.append("setting steps: not in the card, chosen by this version of the program")
    return settings, lines


def _with_tuples(value):
    """JSON's lists as tuples, as `Settings` has them."""
    if isinstance(value, dict):
        return {name: _with_tuples(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value


def refuse_others(card, given, where):
    """Raise `InputError` where an option given, {name: value or None}, is not the card's. where: names the card."""
    for name, value in given.items():
        stored = _with_tuples(card["settings"]).get(name)
        if value is not None and value != stored:
            raise InputError(
                f"--{name} {_text(value)} received, but {where} has {name} {_text(stored)}; expected the same. Leave "
                f"--{name} out, or start a new run."
            )


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def differences(card, now, parts=("versions", "hardware", "init_sha256", "files")):
    """One line for each thing in which a card differs from `now`, a dictionary of the same `parts`."""
    lines = []
    for part in parts:
        if part == "files":
            for kind, hashes in now["files"].items():
                lines += _changed_files(kind, card.get("files", {}).get(kind, {}), hashes)
            continue
        if part == "init_sha256":
            if card.get(part) != now[part]:
                lines.append("starting weights: another file than then")
            continue
        before = card.get(part, {})
        for name in sorted(before.keys() | now[part].keys()):
            then, here = before.get(name), now[part].get(name)
            if then != here:
                lines.append(f"{name}: {_text(then) or 'none'} then, {_text(here) or 'none'} here")
    return lines


def _changed_files(kind, then, here):
    groups = {
        "changed": [name for name in then if here.get(name, then[name]) != then[name]],
        "missing": [name for name in then if name not in here],
        "new": [name for name in here if name not in then],
    }
    return [f"{kind} {state}: {some(names)}" for state, names in groups.items() if names]


# ------------------------------------------------------------------------------------------------------- writing cards


def begin(run, read, backend, say):
    """The part of a run's card that is known at the start and that prediction need not know, a dictionary.

    A run that goes on carries on its card. Raises `InputError` where its data have changed since.

    Parameters: run, `run.Run`; read, `survey.FolderRead` of its data; backend, `keras.backend.backend()`; say, function
    that shows a line on what differs from the run that is gone on with, or repeated.
    """
    card = {
        "finished": False,
        "data": str(run.data.resolve()),
        "restarts": [],
        "resumes": [],
        "files": hash_files(read.pairing.pairs, read.contents),
        "versions": versions(backend),
        "hardware": hardware(),
        "init_sha256": hash_init(run.settings.init),
        "minutes": run.minutes,
    }
    if not run.resume:
        for line in differences(run.card, card) if run.card else ():
            say(f"not as then: {line}")
        return card
    before = read_card(run.folder / CARD)
    if before["finished"]:
        raise InputError(
            f"run {run.folder.name} is finished; expected one that was stopped. {train_on_from(run.folder)}"
        )
    if changed := differences(before, card, ["files"]):
        raise InputError(
            f"run {run.folder.name}: its training data are not what they were ({'; '.join(changed)}); expected the "
            "same files. Put them back, or start a new run."
        )
    for line in differences(before, card, ["versions", "hardware"]):
        say(f"not as before: {line}; results may differ in the last digits")
    kept = {name: before[name] for name in ("minutes", "restarts", "start", "start_weights") if name in before}
    return card | kept | {"resumes": [*before["resumes"], time.strftime("%Y-%m-%d %H:%M:%S")]}


def write_history(path, history):
    """Write {name: [value of each epoch]} as CSV, a row an epoch."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*history.values(), strict=True), start=1))
