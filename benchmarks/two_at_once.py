"""Whether two commands on one data folder lose anything: pairs of them, the second started at a random moment.

python benchmarks/two_at_once.py [--pairs 20] [--seed 0] [--trainings 0.05]

Each command has temporary files of its own, as two users or two jobs of a cluster have. After each pair the data
folder must be what one of the two would have left alone, no half of a folder may have been read, nothing that stood
there may have changed, no hidden file may be left, and no traceback may have been written. `--trainings`: the share of
pairs with a training in them, which takes longest.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from preparing.canvas import NUCLEUS
from preparing.sample import make_field
from reading.images import write_png

FIELDS = 5
TILES = ["--tile-size", "64"]
COMMANDS = ("prepare", "prepare others", "prepare more", "check", "predict", "evaluate", "train")
STATES = {  # what a data folder holds before, and the commands that mean something there
    "empty": COMMANDS[:2] + COMMANDS[3:],
    "prepared": ("prepare", "prepare more", "check", "predict", "evaluate", "train"),
    "predicted": ("prepare", "prepare more", "check", "predict", "evaluate", "train"),
}


def write_fields(folder, numbers):
    """Small fields of the sample with their masks, 0 and 255."""
    for number in numbers:
        image, mask = make_field(number, 0, size=256)
        write_png(folder / "Images" / f"slide{number:02}.png", image[:160, :160])
        write_png(folder / "Masks" / f"slide{number:02}.png", ((mask == NUCLEUS) * 255).astype("uint8")[:160, :160])


def arguments(command, data, sources):
    """The command line of a command on a data folder."""
    extra = {
        "prepare": ["--source", sources["own"], *TILES],
        "prepare others": ["--source", sources["others"], *TILES],
        "prepare more": ["--source", sources["more"], *TILES],
        "predict": ["--model", ROOT / "weights" / "pap_smear.keras"],
        "train": ["--epochs", "1", "--steps", "2", "--filters", "2", "--runs", data.parent / "runs"],
    }
    return [command.split()[0], "--data", data, *extra.get(command, [])]


def start(command, data, sources, temporary):
    temporary.mkdir()
    whole = [sys.executable, ROOT / "main.py", *arguments(command, data, sources)]
    return subprocess.Popen(
        list(map(str, whole)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        env=os.environ | {"TMPDIR": str(temporary)},
    )  # fmt: skip


def contents(data):
    """SHA-256 of what `prepare` writes, by name."""
    folders = [data / f"{part} data" / kind for part in ("Raw", "Train", "Test") for kind in ("Images", "Masks")]
    paths = [path for folder in (*folders, data) for path in folder.glob("*") if path.is_file()]
    known = {".png", ".csv", ".json"}
    return {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.suffix in known and path.name != "check.png"
    }


def faults(before, data, expected, ends):
    """What is wrong after a pair; ends : dictionary from a command's (place, name) to its (status, output)."""
    found, after = [], contents(data)
    if after not in expected:
        found.append(f"the data folder is that of neither command: {len(after)} files")
    if lost := [name for name in before if name not in after or (after[name] != before[name] and "/" in name)]:
        found.append(f"lost or changed: {lost[0]} and {len(lost) - 1} more")
    if hidden := [path.name for path in data.rglob(".*")]:
        found.append(f"left: {hidden[0]}")
    tests = {sum(name.startswith("Test data/Images/") for name in one) for one in (*expected, before)}
    read = {sum(bool(re.match("(Train|Test) data/Images", name)) for name in one) for one in (*expected, before)}
    for (_, command), (status, output) in ends.items():
        if "Traceback" in output or status not in (0, 2):
            found.append(f"{command}: status {status}: {output.strip()[-300:]}")
        for pattern, whole in ((r"(\d+) masks? written", tests), (r"; (\d+) images? in", read)):
            counted = re.search(pattern, output)
            if counted and int(counted[1]) not in whole:
                found.append(f"{command}: {counted[0]}, half of a folder; expected one of {sorted(whole)}")
    return found


def make_templates(folder, sources):
    """The data folders of `STATES`, and what `prepare` of each source leaves: {state: path}, {command: contents}."""
    made, ends_in = {"empty": None}, {}
    for name, commands in {
        "prepared": ["prepare"],
        "predicted": ["prepare", "predict", "evaluate"],
        "others": ["prepare others"],
        "more": ["prepare", "prepare more"],
    }.items():
        made[name] = folder / "templates" / name
        for number, command in enumerate(commands):
            process = start(command, made[name], sources, folder / f"tmp {name}{number}")
            output, _ = process.communicate()
            assert process.returncode == 0, output
        if commands[-1].startswith("prepare"):
            ends_in[commands[-1]] = contents(made[name])
    return made, ends_in


def run_pair(pair, data, sources, wait):
    """Start two commands, the second `wait` seconds later: {(place, command): (status, output)}."""
    processes = []
    for place, command in enumerate(pair):
        processes.append(start(command, data, sources, data.parent.with_name(f"{data.parent.name} tmp {place}")))
        if not place:
            time.sleep(wait)
    ends = {}
    for key, process in zip(enumerate(pair), processes, strict=True):
        output, _ = process.communicate(timeout=600)
        ends[key] = process.returncode, output
    return ends


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair, to go on (default: 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trainings", type=float, default=0.05, metavar="SHARE", help="(default: 0.05)")
    args = parser.parse_args()
    told, wrong, waited, began = Counter(), 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sources = {name: folder / name for name in ("own", "others", "more")}
        for name, numbers in (("own", range(FIELDS)), ("others", range(20, 25)), ("more", range(FIELDS + 2))):
            write_fields(sources[name], numbers)
        templates, ends_in = make_templates(folder, sources)
        for number in range(args.first, args.first + args.pairs):
            rng = random.Random(f"{args.seed} {number}")
            state, training, pair = rng.choice(list(STATES)), rng.random() < args.trainings, []
            while not pair or ("train" in pair) != training:
                pair = [rng.choice(STATES[state]) for _ in range(2)]
            data = folder / f"pair{number}" / "data"
            if templates[state]:
                shutil.copytree(templates[state], data)
            before = contents(data)
            ends = run_pair(pair, data, sources, rng.uniform(0, 6 if pair[0] == "train" else 0.8))
            for (_, command), (status, output) in ends.items():
                waited += "waiting for another command" in output
                line = re.sub(rf"{re.escape(str(folder))}[^:]*", "…", output.strip().split("\n")[-1])
                told[command, status, line[:90] if status else ""] += 1
            expected = [before, *(ends_in[command] for command in pair if command in ends_in)]
            if found := faults(before, data, expected, ends):
                wrong += 1
                print(f"pair {number} ({state}; {' + '.join(pair)}): {'; '.join(found)}", flush=True)
            shutil.rmtree(data.parent, ignore_errors=True)
    print(f"{'command':16}{'status':>8}{'times':>8}  its last line, where it refused")
    for (command, status, line), count in sorted(told.items()):
        print(f"{command:16}{status:8}{count:8}  {line}")
    seconds = time.monotonic() - began
    print(f"{args.pairs} pairs in {seconds:.0f} s: {wrong} with something lost, changed or halved; {waited} waited")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
