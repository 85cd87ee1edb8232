"""How long `python main.py check` takes: 1,000 pairs of 256×256 pixels cut from the synthetic sample.

python benchmarks/check.py [--pairs 1000] [--size 256]
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from preparing.canvas import NUCLEUS
from preparing.sample import make_field
from reading.images import write_png


def write_tiles(data, count, size):
    """Tiles of as many fields as needed, four in five to train on, without overlaps."""
    per_side = 1024 // size
    fields = -(-count // per_side**2)
    number = 0
    for field in range(fields):
        image, mask = make_field(field, 0, size=1024)
        for row, column in np.ndindex(per_side, per_side):
            if number == count:
                return
            part = "Test data" if field >= 0.8 * fields else "Train data"
            cut = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
            name = f"slide{field:03}_tile_{row}_{column}.png"
            write_png(data / part / "Images" / name, image[cut])
            write_png(data / part / "Masks" / name, np.uint8(255) * (mask[cut] == NUCLEUS))
            number += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256, help="pixels (default: 256)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_tiles(data, args.pairs, args.size)
        started = time.time()
        command = [sys.executable, str(ROOT / "main.py"), "check", "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
        seconds = time.time() - started
    findings = re.findall(r"^(FATAL|WARNING|NOTE)", done.stdout, re.MULTILINE)
    print(
        f"{args.pairs} pairs of {args.size}×{args.size}: {seconds:.1f} s, "
        f"exit {done.returncode}, {len(findings)} findings"
    )
    print(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
