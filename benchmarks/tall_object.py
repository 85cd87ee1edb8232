"""What one object as long as its slide costs: seconds and memory of finding and measuring all cells, band by band.

    python benchmarks/tall_object.py [--rows 2560 10240] [--width 1024]

Cells beside a line from the top to the bottom, a frame around all of them, or neither. Each runs in a process of its
own: its seconds of the processor, and the most memory that it held. Time should grow as the rows do, and memory with
the rectangle around the object alone: not for a line, as the image for a frame.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np

from measuring.cell_files import CellWriter

BAND = 256
OBJECTS = ("cells alone", "line", "frame")


def bands(shape, rows, width):
    """(mask, image, probability) of a band after the other: cells 18 pixels wide, and the long object."""
    cell = cv2.circle(np.zeros((32, 32), np.uint8), (16, 16), 9, 1, -1)
    cells = np.tile(cell, (BAND // 32, width // 32))
    for row in range(0, rows, BAND):
        mask = cells.copy()
        if shape == "line":
            mask[:, 28:36] = 1
        elif shape == "frame":
            mask[:, :3] = mask[:, -3:] = 1
            if row == 0:
                mask[:3] = 1
            if row + BAND >= rows:
                mask[-3:] = 1
        yield mask, mask[..., np.newaxis] * np.uint8(90), mask[..., np.newaxis] * np.float32(0.9)


def once(shape, rows, width):
    """Find and measure the cells of one image; prints seconds, MB and cells."""
    with tempfile.TemporaryDirectory() as folder:
        count = CellWriter(folder).add_bands("a.tif", bands(shape, rows, width), 1)
    print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, count)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2560, 10240])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--once", choices=OBJECTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        once(args.once, args.rows[0], args.width)
        return
    print(f"{'object':12}{'rows':>8}{'seconds':>9}{'MB':>9}{'cells':>8}{'ratio':>7}")
    for shape in OBJECTS:
        first = None
        for rows in args.rows:
            command = [sys.executable, __file__, "--once", shape, "--rows", str(rows), "--width", str(args.width)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, more, count = map(float, done.stdout.split())
            first = first or seconds
            print(f"{shape:12}{rows:8}{seconds:9.2f}{more:9.0f}{count:8.0f}{seconds / first:7.2f}", flush=True)


if __name__ == "__main__":
    main()
