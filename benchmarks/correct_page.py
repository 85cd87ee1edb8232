"""How long the page of `correct` computes for an act and its frame, and how soon edits and "done" are answered.

    python benchmarks/correct_page.py [--size 4096] [--cells 2000]

The picture is a synthetic field, repeated; the cells are ellipses in rows. Needs Chromium and the packages of
requirements-dev.txt.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from pairing.pairs import TRAIN
from preparing.sample import make_field
from reading.images import write_png
from tests.browser import chromium
from tests.correcting.served import serving


class Rows:
    """In place of a network: ellipses of 40 to 70 pixels in rows."""

    path = "rows.keras"

    def __init__(self, count):
        self.count = count

    def labels(self, picture):
        labels = np.zeros((picture.height, picture.width), np.uint16)
        rng, a_row = np.random.default_rng(0), int(np.ceil(self.count**0.5))
        pitch = picture.width / a_row
        for k in range(self.count):
            centre = [int((place + 0.5) * pitch) for place in (k % a_row, k // a_row)]
            axes = rng.integers(20, 35, 2).tolist()
            cv2.ellipse(labels, centre, axes, 0, 0, 360, k + 1, -1)
        return labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="side of the picture, px")
    parser.add_argument("--cells", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        data = Path(folder)
        times = -(-args.size // 1024)
        picture = np.tile(make_field(0, 0, size=1024, colour=True)[0], (times, times, 1))[: args.size, : args.size]
        write_png(data / TRAIN / "Images" / "large.png", picture)
        with serving(Desk(data, find_pictures(data), Masks(data), Rows(args.cells)), Idle()) as client:
            measure(browser.new_page(viewport={"width": 1280, "height": 720}), client)


class Idle:
    def state(self):
        return {"state": "idle", "line": "", "progress": 0, "before": None, "after": None, "fields": 0}


def measure(page, client):
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{client.port}/?token={client.token}")
    page.locator("#message", has_text="cells").wait_for()
    page.evaluate(
        """() => {
            window.saved = [];
            window.marked = [];
            new PerformanceObserver(list => {
                for (const {name, responseEnd, requestStart} of list.getEntries()) {
                    if (name.endsWith("/edits")) window.saved.push(responseEnd - requestStart);
                    if (name.endsWith("/state")) window.marked.push(responseEnd - requestStart);
                }
            }).observe({type: "resource"});
        }"""
    )
    clock = Clock(page)
    box, key = page.locator("#stage").bounding_box(), page.keyboard.press
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    line = [(-60, -40), (-20, -10), (20, 10), (60, 40)]
    around = [(-50, -50), (50, -50), (50, 50), (-50, 50), (-50, -50)]

    def drag(tool, places, size):
        """The longest step of a drag, its release with what comes of it counted as one."""
        key(tool)
        places = [(right * size, down * size) for right, down in places]
        page.mouse.move(x + places[0][0], y + places[0][1])
        steps = [clock.ms(page.mouse.down)]
        steps += [clock.ms(lambda place=place: page.mouse.move(x + place[0], y + place[1])) for place in places[1:]]
        return max(*steps, clock.ms(page.mouse.up))

    def joined():
        for name in ("v", "Escape", "n", "n"):
            key(name)
        page.keyboard.down("Shift")
        page.mouse.click(x, y)
        page.keyboard.up("Shift")
        page.wait_for_timeout(200)
        return clock.ms(lambda: key("j"))

    print(page.locator("#message").text_content())
    print(f"{'act':20}{'whole picture':>16}{'at 100 %':>12}   ms of processor time, the longest step of three tries")
    for name, act in {
        "next cell": lambda size: clock.ms(lambda: key("n")),
        "move": lambda size: drag("m", line, 1),
        "zoom": lambda size: max(clock.ms(lambda: key("+")), clock.ms(lambda: key("-"))),
        "delete": lambda size: (key("n"), clock.ms(lambda: key("Delete")))[1],
        "brush": lambda size: drag("b", line, size),
        "erase": lambda size: drag("e", line, size),
        "outline": lambda size: drag("o", around, size),
        "split": lambda size: drag("s", line, size),
        "join": lambda size: joined(),
        "ignore area": lambda size: drag("i", around, size),
        "ignore a large area": lambda size: drag("i", around, 3),
        "undo": lambda size: clock.ms(lambda: key("Control+z")),
        "redo": lambda size: clock.ms(lambda: key("Control+y")),
    }.items():
        longest = []
        for zoom, size in (("0", 0.15), ("1", 1)):  # the same pixels of the picture at both
            key(zoom)
            page.wait_for_timeout(200)
            longest.append(max(act(size) for _ in range(3)))
        print(f"{name:20}{longest[0]:16.0f}{longest[1]:12.0f}")
    saved = page.evaluate("() => window.saved")
    print(f"{len(saved)} edits saved, each in {np.median(saved):.0f} ms (median; longest {max(saved):.0f})")
    for _ in range(10):  # done, and open again
        key("f")
        page.wait_for_timeout(800)  # else it is the second of a double press
        page.locator("#fields .facts", has_not_text="writing").wait_for()
    marked = page.evaluate("() => window.marked")
    print(f"{len(marked)} times done or open again, each in {np.median(marked):.0f} ms (median; {max(marked):.0f})")


class Clock:
    """Processor time of the page's own thread, which others on the machine do not lengthen as they do the seconds."""

    def __init__(self, page):
        self.page, self.session = page, page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent(self):
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(1000 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    def ms(self, act):
        """Of an act and the frame that shows it."""
        before = self.spent()
        act()
        self.page.wait_for_timeout(150)
        return self.spent() - before


if __name__ == "__main__":
    main()
