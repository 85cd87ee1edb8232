"""Seconds from the command to the first step of a training, on the synthetic sample.

    python benchmarks/start_up.py [--rounds 3]

Of these, "Python with Keras" is what `import training.train` takes in a new process; the rest is the look at the images
and the first step itself, in which TensorFlow traces the network.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from real_data import ROOT, run  # puts the repository on the path

from preparing.sample import write_sample


def keras_seconds():
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import training.train"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def first_step_seconds(data):
    run_dir = ROOT / "runs" / f"benchmark_start_up_{os.getpid()}"
    try:
        run("train", "--data", data, "--run", run_dir.name, "--epochs", 1, "--steps", 2)
        return json.loads((run_dir / "settings.json").read_text(encoding="utf-8"))["first_step_seconds"]
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_sample(folder)
        seconds = [(keras_seconds(), first_step_seconds(folder)) for _ in range(args.rounds)]
    for title, values in zip(("Python with Keras", "first step done"), np.array(seconds).T, strict=True):
        print(f"{title:20}{np.median(values):6.1f} s   ({values.min():.1f} to {values.max():.1f})")


if __name__ == "__main__":
    main()
