"""The page of `correct` in Chromium, by real clicks and keys: what the program has saved after each."""

from contextlib import contextmanager

import numpy as np
import pytest

from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from pairing.pairs import TRAIN
from reading.images import write_png
from tests.browser import chromium
from tests.correcting.served import serving

HEIGHT, WIDTH = 48, 64
IGNORED = 65535


def cells():
    """Three cells: two that touch, and one with a gap of two pixels to the second."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    labels[10:20, 10:20] = 1
    labels[10:20, 20:30] = 2
    labels[10:20, 32:42] = 3
    return labels


class ThreeCells:
    path = "a_network.keras"

    def labels(self, picture):
        return cells()


class NoTraining:
    told = {"state": "idle", "line": "", "progress": 0, "before": None, "after": None, "fields": 0}

    def state(self):
        return self.told

    def start(self):
        self.told = self.told | {"state": "running", "line": "epoch 1 of 5", "progress": 0.2}

    def stop(self):
        self.told = self.told | {"state": "finished", "before": 0.913, "after": 0.927, "fields": 8}


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium() as browser:
            yield browser
    except LookupError as reason:
        pytest.skip(str(reason))


class Page:
    """The page in a browser, with places as (row, column) of the picture, which is shown whole."""

    def __init__(self, browser, client, **options):
        self.client, self.faults, self.crosshair = client, [], None
        self.page = browser.new_page(viewport={"width": 1280, "height": 720}, **options)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda told: told.type == "error" and self.faults.append(told.text))
        self.load()

    def load(self):
        self.page.goto(f"http://127.0.0.1:{self.client.port}/?token={self.client.token}")
        self.said("cells")

    def place(self, row, column):
        """The centre of a pixel on the screen."""
        box = self.page.locator("#stage").bounding_box()
        scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        left, top = box["x"] + (box["width"] - WIDTH * scale) / 2, box["y"] + (box["height"] - HEIGHT * scale) / 2
        return left + (column + 0.5) * scale, top + (row + 0.5) * scale

    @contextmanager
    def held(self, key):
        if key:
            self.page.keyboard.down(key)
        yield
        if key:
            self.page.keyboard.up(key)
        self.crosshair = None

    def click(self, *places, held=None, **options):
        with self.held(held):
            for place in places:
                self.page.mouse.click(*self.place(*place), **options)

    def drag(self, *places, held=None):
        with self.held(held):
            self.page.mouse.move(*self.place(*places[0]))
            self.page.mouse.down()
            for place in places[1:]:
                self.page.mouse.move(*self.place(*place), steps=4)
            self.page.mouse.up()

    def keys(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, row, column, *keys):
        """Moves the crosshair by the arrow keys, a pixel a press, and presses keys there. It starts in the middle."""
        was = self.crosshair or (HEIGHT // 2, WIDTH // 2)
        rows, columns = row - was[0], column - was[1]
        self.keys(*["Control+ArrowDown" if rows > 0 else "Control+ArrowUp"] * abs(rows))
        self.keys(*["Control+ArrowRight" if columns > 0 else "Control+ArrowLeft"] * abs(columns))
        self.crosshair = row, column
        self.keys(*keys)

    def brush(self, size):
        self.page.locator("#size").evaluate("(slider, size) => { slider.value = size }", size)
        self.page.locator("#size").dispatch_event("input")

    def said(self, text):
        self.page.locator("#message", has_text=text).wait_for()

    def saved(self, number="1"):
        self.page.locator("#saved[data-state=saved]").wait_for()
        return self.client.labels(number)[1]


@contextmanager
def a_page(browser, data, **options):
    """A page on two pictures, a.png and b.png, and its server in this process."""
    picture = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
    for name in "ab":
        write_png(data / TRAIN / "Images" / f"{name}.png", picture + np.uint8(ord(name) - ord("a")))
    with serving(Desk(data, find_pictures(data), Masks(data), ThreeCells()), NoTraining()) as client:
        yield Page(browser, client, **options)


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """One page for all acts; each begins with the three cells, since the one before is undone."""
    with a_page(browser, tmp_path_factory.mktemp("page")) as page:
        yield page
        assert not page.faults


# --------------------------------------------------------------------------------------------------------------- acts


def labels(**parts):
    """The three cells, and rectangles with other values: v4="30:40,10:20" makes one the value 4, x4 only where free."""
    found = cells()
    for name, place in parts.items():
        part = found[tuple(slice(*map(int, sides.split(":"))) for sides in place.split(","))]
        part[(part == 0) | (name[0] == "v")] = int(name[1:])
    return found


def same_cells(found, expected):
    """Whether the cells are the same, whatever their numbers; nothing and what is ignored have theirs."""
    pairs = {(int(a), int(b)) for a, b in zip(found.ravel(), expected.ravel(), strict=True)}
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) and all(
        a == b for a, b in pairs if {a, b} & {0, IGNORED}
    )


CORNERS = [(29.5, 9.5), (29.5, 19.5), (39.5, 19.5), (39.5, 9.5)]  # between pixels: rows 30 to 39 lie inside
CENTRES = [(30, 10), (30, 20), (40, 20), (40, 10)]
DRAWN = labels(v4="30:40,10:20")


EITHER_HALF = labels(v4="10:20,15:20"), labels(v4="10:20,14:20")  # the line's own pixels go to one of them
AROUND_CELL = [(4.5, 4.5), (4.5, 14.5), (24.5, 14.5), (24.5, 4.5), (4.5, 4.5)]


def outline_by_keys(p):
    p.keys("o")
    for corner in [*CENTRES[:2], (45, 50)]:
        p.go(*corner, "Space")
    p.keys("Backspace")
    for corner in CENTRES[2:]:
        p.go(*corner, "Space")
    p.keys("Enter")


def brush_with(size, *keys):
    def act(p):
        p.keys("b")
        p.brush(size)
        p.keys(*keys)

    return act


ACTS = {
    "delete by click": (lambda p: (p.keys("d"), p.click((15, 15))), labels(v0="10:20,10:20")),
    "delete the next cell": (lambda p: p.keys("n", "n", "Delete"), labels(v0="10:20,20:30")),
    "delete with the crosshair": (lambda p: (p.keys("d"), p.go(15, 35, "Space")), labels(v0="10:20,32:42")),
    "delete several": (
        lambda p: (p.keys("v"), p.click((15, 15)), p.click((15, 35), held="Shift"), p.keys("Backspace")),
        labels(v0="10:20,10:20") * (labels() != 3),
    ),
    "outline by clicks": (lambda p: (p.keys("o"), p.click(*CORNERS), p.keys("Enter")), DRAWN),
    "outline to its first point": (lambda p: (p.keys("o"), p.click(*CORNERS, CORNERS[0])), DRAWN),
    "outline to a double click": (
        lambda p: (p.keys("o"), p.click(*CORNERS[:3]), p.click(CORNERS[3], click_count=2)),
        DRAWN,
    ),
    "outline in one go": (lambda p: (p.keys("o"), p.drag(*CORNERS, CORNERS[0])), DRAWN),
    "outline by keys": (outline_by_keys, DRAWN),
    "outline around neighbours": (
        lambda p: (p.keys("o"), p.drag(*AROUND_CELL)),
        labels(x4="5:25,5:15"),
    ),
    "outline over neighbours": (
        lambda p: (p.keys("o", "x"), p.drag(*AROUND_CELL), p.keys("x")),
        labels(v4="5:25,5:15"),
    ),
    "brush": (lambda p: (brush_with(1)(p), p.drag((30, 10), (30, 30))), labels(v4="30:31,10:31")),
    "brush by keys": (
        lambda p: (brush_with(1)(p), p.go(30, 10, "Space"), p.go(30, 30, "Space")),
        labels(v4="30:31,10:31"),
    ),
    "brush a ring": (lambda p: (brush_with(1)(p), p.drag(*CENTRES, CENTRES[0])), labels(v4="30:41,10:21")),
    "brush from a cell": (lambda p: (brush_with(1)(p), p.drag((15, 12), (25, 12))), labels(v1="15:26,12:13")),
    "brush from a cell over its neighbour": (
        lambda p: (brush_with(1)(p), p.drag((15, 15), (15, 25), held="Alt")),
        labels(v1="15:16,10:26"),
    ),
    "brush for the selected cell": (
        lambda p: (
            p.keys("v"), p.click((15, 35)), brush_with(1)(p),
            p.drag((30, 30), (30, 40), held="Shift"),
        ),
        labels(v3="30:31,30:41"),
    ),
    "erase from the side": (
        lambda p: (p.keys("e"), p.brush(1), p.drag((5, 10), (19, 10))),
        labels(v0="10:20,10:11"),
    ),
    "erase through the middle": (
        lambda p: (p.keys("e"), p.brush(1), p.drag((5, 14), (25, 14))),
        labels(v0="10:20,14:15", v4="10:20,15:20"),
    ),
    "erase by keys": (
        lambda p: (p.keys("e"), p.brush(1), p.go(10, 35, "Space"), p.go(19, 35, "Space")),
        labels(v0="10:20,35:36", v4="10:20,36:42"),
    ),
    "split": (lambda p: (p.keys("s"), p.drag((5, 14), (25, 14))), EITHER_HALF),
    "split inside": (
        lambda p: (p.keys("s"), p.drag((14, 36), (14, 38))),
        (labels(v4="15:20,32:42"), labels(v4="14:20,32:42")),
    ),
    "split by keys": (
        lambda p: (p.keys("s"), p.go(5, 14, "Space"), p.go(25, 14, "Space")),
        EITHER_HALF,
    ),
    "join what touches": (lambda p: (p.keys("j"), p.click((15, 15), (15, 25))), labels(v1="10:20,20:30")),
    "join over a gap": (
        lambda p: (p.keys("v"), p.click((15, 25)), p.click((15, 35), held="Shift"), p.keys("j")),
        labels(v2="10:20,30:42"),
    ),
    "join by keys": (lambda p: (p.keys("j"), p.go(15, 15, "Space"), p.go(15, 25, "Space")), labels(v1="10:20,20:30")),
    "ignore": (
        lambda p: (p.keys("i"), p.drag((4.5, 4.5), (4.5, 21.5), (24.5, 21.5), (24.5, 4.5), (4.5, 4.5))),
        np.where(labels() == 1, IGNORED, labels(x65535="5:25,5:22")),
    ),
    "ignore by keys": (
        lambda p: (p.keys("i"), [p.go(*corner, "Space") for corner in CENTRES], p.keys("Enter")),
        labels(v65535="30:40,10:20"),
    ),
    "ignore, and take it away": (
        lambda p: (p.keys("i"), p.drag(*CORNERS, CORNERS[0]), p.keys("d"), p.click((35, 15))),
        labels(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_each_act_is_saved_and_undone_and_done_again(page, act):
    do, expected = ACTS[act]
    do(page)
    found = page.saved()
    assert any(same_cells(found, one) for one in (expected if isinstance(expected, tuple) else (expected,))), found
    while page.page.locator("#undo").is_enabled():
        page.keys("Control+z")
    assert np.array_equal(page.saved(), cells())
    while page.page.locator("#redo").is_enabled():
        page.keys("Control+Shift+z")
    assert np.array_equal(page.saved(), found)
    while page.page.locator("#undo").is_enabled():
        page.page.locator("#undo").click()
    assert np.array_equal(page.saved(), cells())
    page.keys("Escape")
    page.crosshair = None
