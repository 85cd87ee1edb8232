"""How large the report of many images is, how long it takes to write, and how soon a browser shows it.

    python benchmarks/report_page.py [--images 500] [--size 256] [--out DIR]

The images are parts of a synthetic field; the masks "predicted" are the true ones moved by a few pixels. Needs Chromium
and the packages of requirements-dev.txt.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pairing.pairs import find_pairs
from predicting.evaluate import evaluate_folder
from predicting.folder import SUFFIX
from predicting.record import RECORD
from preparing.sample import make_field
from reading import images
from reading.files import write_json
from reporting.page import write_page
from tests.browser import chromium


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=256, help="side of an image, px")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep images and report (default: a folder deleted)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args.out or Path(folder), args.images, args.size)


def measure(folder, count, size):
    out = folder / "Predicted images"
    write_folder(folder, count, size)
    card = evaluate_folder(folder, out)
    started, cpu = time.time(), time.process_time()
    path = write_page(out, find_pairs(folder), card)
    print(f"{count} images of {size}×{size}: {time.time() - started:.1f} s to write "
          f"({time.process_time() - cpu:.1f} s of processor time), {path.stat().st_size / 1e6:.1f} MB")  # fmt: skip
    with chromium() as browser:
        for attempt in ("first", "second"):
            print(f"{attempt} opening: {first_view(browser, path):.2f} s until the first pictures are seen")


def first_view(browser, path):
    """Seconds from opening the page to the first eight pictures of the gallery, with their masks, being there."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri(), wait_until="commit")
    seconds = page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('.entry img')];"
        "return all.length >= 16 && all.slice(0, 16).every(i => i.complete && i.naturalWidth) && performance.now() }"
    ).json_value()
    page.close()
    return seconds / 1000


def write_folder(folder, count, size, seed=0):
    """`count` images with masks, and masks beside them that might have been predicted."""
    rng = np.random.default_rng(seed)
    field, truth = make_field(24, 0)
    for i in range(count):
        row, column = rng.integers(0, max(1, len(field) - size), 2)
        part = np.s_[row : row + size, column : column + size]
        name = f"slide{i // 20}_tile{i % 20}"
        mask = (truth[part] > 0) * np.uint8(255)
        images.write_png(folder / "Images" / f"{name}.png", field[part])
        images.write_png(folder / "Masks" / f"{name}.png", mask)
        guess = np.roll(mask, tuple(rng.integers(-3, 4, 2)), axis=(0, 1))
        images.write_png(folder / "Predicted images" / f"{name}{SUFFIX}.png", guess)
    record = {"model": "none", "classes": 1, "threshold": 0.5, "masks": None, "dark_foreground": True}
    write_json(folder / "Predicted images" / RECORD, record)


if __name__ == "__main__":
    sys.exit(main())
