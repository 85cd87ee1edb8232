"""The page of `correct` in Chromium, by real clicks and keys: what the program has saved after each."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes
from skimage.measure import label

from correcting import desk
from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from pairing.pairs import TRAIN
from reading.files import InputError
from reading.images import write_png
from tests.browser import chromium
from tests.correcting.served import serving

HEIGHT, WIDTH = 48, 64
IGNORED = 65535
DOUBLE = 700  # ms, after which a press is no second press of a double click


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


LINE = "Dice 0.913 before, 0.927 now, on 8 test fields"


class NoTraining:
    told = {"state": "idle", "line": "", "progress": 0, "before": None, "after": None}
    told |= {"fields": 0, "done": 1, "seconds": 120, "start": "runs/first/model.keras"}

    def state(self):
        return self.told

    def start(self):
        self.told = self.told | {"state": "running", "line": "epoch 1 of 5", "progress": 0.2}

    def stop(self):
        self.told = self.told | {"state": "finished", "before": 0.913, "after": 0.927, "line": LINE}


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
        self.page.set_default_timeout(15_000)
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

    def until_disabled(self, button, key):
        while self.page.locator(button).is_enabled():
            self.keys(key)

    def undo_all(self):
        """Back to how the page found the cells, with nothing selected."""
        self.until_disabled("#undo", "Control+z")
        self.keys("Escape")
        self.crosshair = None

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
        assert not page.faults, "also what the policy of the page forbids"


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
    page.undo_all()
    assert np.array_equal(page.saved(), cells())
    page.until_disabled("#redo", "Control+Shift+z")
    assert np.array_equal(page.saved(), found)
    page.undo_all()
    assert np.array_equal(page.saved(), cells())


def test_zoom_and_place_change_nothing_but_what_is_seen(page):
    from playwright.sync_api import expect

    zoom = page.page.locator("#zoom")
    whole = zoom.text_content()
    page.page.mouse.move(*page.place(15, 15))
    page.page.mouse.wheel(0, -120)
    expect(zoom).not_to_have_text(whole)
    page.keys("d")
    page.click((15, 15))  # the pixel under the pointer has stayed
    assert same_cells(page.saved(), labels(v0="10:20,10:20"))
    page.keys("Control+z", "1")
    expect(zoom).to_have_text("100 %")
    page.keys(*["+"] * 12)
    expect(zoom).to_have_text("6400 %")
    page.keys("0", "Shift+ArrowLeft")
    page.page.mouse.wheel(30, 40)  # a touchpad
    page.drag((20, 20), (30, 30))
    page.keys("0")
    expect(zoom).to_have_text(whole)
    assert np.array_equal(page.saved(), cells())


def test_everything_fits_and_has_its_name(page):
    size = page.page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [1280, 720]
    assert page.page.get_by_role("toolbar").get_by_role("button", name="Split").get_attribute("aria-pressed") == "false"
    page.page.get_by_role("button", name="Split").click()
    assert page.page.get_by_role("button", name="Split").get_attribute("aria-pressed") == "true"
    page.keys("?")
    assert page.page.get_by_role("dialog", name="Help and keys").is_visible()
    page.keys("Escape")
    for button in page.page.get_by_role("button").all():
        assert button.text_content().strip() or button.get_attribute("aria-label")


# -------------------------------------------------------------------------------------------------- the program answers


def test_a_change_from_another_tab_is_loaded_and_said(page):
    for value in (7, 0):
        version, there = page.client.labels("1")
        there = there.copy()
        there[40:44, 40:44] = value
        assert page.client.edit("1", version, 40, 40, there[40:44, 40:44])[0] == 200
        page.keys("n", "Delete")
        page.said("changed elsewhere")
        assert np.array_equal(page.saved(), there), "the other tab's change stands, this tab's is left out"
        page.keys("v")
        page.click((42, 42))
        page.said("A cell of 16 pixels" if value else "changed elsewhere")
    page.faults.clear()  # the browser notes the refusal


@contextmanager
def edits_met_by(page, meet):
    """Meanwhile `meet` gets every edit on its way as a Playwright route, from the first one on."""
    page.page.route("**/edits", lambda route: route.abort() if route.request.method == "GET" else meet(route))
    while page.page.evaluate("() => fetch('/edits').then(() => true, () => false)"):
        pass  # the browser takes a moment to begin with it
    yield
    page.page.unroute("**/edits")


def test_changes_wait_for_a_program_that_has_ended(page):
    with edits_met_by(page, lambda route: route.abort()):
        page.keys("n", "Delete", "n", "Delete")
        page.page.locator("#saved", has_text="the program has ended").wait_for()
        assert np.array_equal(page.client.labels("1")[1], cells())
        page.keys("PageDown")
        page.said("not saved yet")
    assert same_cells(page.saved(), labels(v0="10:20,10:30"))
    page.undo_all()
    assert np.array_equal(page.saved(), cells())
    page.faults.clear()


def test_a_change_whose_answer_was_lost_is_made_once(page):
    lost = []

    def lose_one(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch())
        route.abort()

    version = page.client.labels("1")[0]
    with edits_met_by(page, lose_one):
        page.keys("n", "Delete", "n", "Delete")
        assert same_cells(page.saved(), labels(v0="10:20,10:30"))
    assert lost[0].status == 200 and page.client.labels("1")[0] == version + 2
    page.undo_all()
    assert np.array_equal(page.saved(), cells())
    page.faults.clear()


def test_a_field_is_done_and_the_next_one_comes(page):
    page.keys("n", "Delete", "f")
    page.said("a.png is done. b.png")
    page.page.locator("#saved[data-state=saved]").wait_for()
    assert [field["state"] for field in page.client.json("GET", "/api/fields")[1]["fields"]] == ["done", "untouched"]
    page.keys("n", "Delete")
    assert same_cells(page.saved("2"), labels(v0="10:20,10:20"))
    page.page.locator("#fields [aria-current=true]", has_text="begun · 2 cells").wait_for()
    page.page.get_by_role("button", name="Previous").click()
    page.said("a.png: 2 cells, done")
    page.keys("Control+z")  # what was done in this field before
    assert np.array_equal(page.saved(), cells())
    page.page.get_by_role("button", name="Open it again").click()
    page.page.locator("#saved[data-state=saved]").wait_for()
    assert page.client.field("a.png")["state"] == "begun"


def states(page):
    return [field["state"] for field in page.client.json("GET", "/api/fields")[1]["fields"]]


def test_a_second_press_of_done_takes_nothing_back_and_marks_nothing_else(page):
    page.page.wait_for_timeout(DOUBLE)
    page.keys("f", "f")
    page.said("a.png is done. b.png")
    page.keys("f")
    assert states(page) == ["done", "begun"]
    page.page.get_by_role("button", name="Previous").click()
    page.said("a.png: 3 cells, done")
    page.page.get_by_role("button", name="Open it again").dblclick()
    page.said("a.png is open again")
    page.page.wait_for_timeout(DOUBLE)
    assert states(page) == ["begun", "begun"]


def test_a_field_that_cannot_be_done_is_not_said_to_be(page):
    why = "elsewhere/a.png: another picture of this name; expected one picture a name"
    told = {"state": "begun", "cells": 3, "problem": why}
    page.page.route("**/state", lambda route: route.fulfill(json=told))
    page.keys("f")
    page.said(f"a.png is not done. {why}")
    page.page.locator("#fields .problem", has_text=why).wait_for()
    wide = "list => list.scrollWidth <= list.clientWidth"
    assert page.page.locator("#fields").evaluate(wide), "the reason goes over several lines"
    page.page.unroute("**/state")


def test_a_field_is_shown_as_being_written_and_what_comes_of_it_is_said(page, monkeypatch):
    free = threading.Event()

    def refuse(*given):
        assert free.wait(30)
        raise InputError("names of masks that do not fit")

    monkeypatch.setattr(desk, "add_field", refuse)
    page.page.wait_for_timeout(DOUBLE)
    page.keys("f")
    page.page.locator("#fields .facts", has_text="done · 3 cells · writing …").wait_for()
    free.set()
    page.said("a.png is not done: names of masks that do not fit.")
    assert states(page)[0] == "begun" and not page.page.locator("#fields", has_text="writing").count()
    page.page.get_by_role("button", name="Previous").click()
    page.said("a.png: 3 cells, begun")


def test_what_is_given_up_for_another_tab_is_counted_and_no_field_called_done(page):
    version, there = page.client.labels("1")
    assert page.client.edit("1", version, 40, 40, np.zeros((4, 4), np.uint16))[0] == 200
    held = []
    with edits_met_by(page, held.append):
        page.keys("n", "Delete", "n", "Delete", "f")
        while not held:
            page.page.wait_for_timeout(10)
        held[0].continue_()
    page.said("Your last 2 changes are not in it, and whether it is done was not changed. a.png: 3 cells, begun")
    assert states(page) == ["begun", "begun"] and np.array_equal(page.saved(), there)
    page.faults.clear()


def test_the_picture_stays_in_its_place_whatever_is_said(page):
    before = page.page.locator("#stage").bounding_box()
    with edits_met_by(page, lambda route: route.abort()):
        page.keys("n", "Delete")
        page.page.locator("#saved", has_text="the program has ended").wait_for()
        assert page.page.locator("#stage").bounding_box() == before
        whole = "text => text.scrollHeight <= text.clientHeight"
        assert page.page.locator("#saved").evaluate(whole)
    page.saved()
    page.undo_all()
    assert np.array_equal(page.saved(), cells())
    page.faults.clear()


def test_training_is_asked_for_followed_and_told(page):
    page.keys("t")
    page.page.get_by_role("dialog").get_by_text("from the 1 field with").wait_for()
    page.page.get_by_role("dialog").get_by_role("button", name="Train", exact=True).click()
    page.page.locator("#training-text", has_text="epoch 1 of 5").wait_for()
    page.page.get_by_role("button", name="Stop").click()
    page.said("Better by 0.014: Dice 0.913 before, 0.927 now, on 8 test fields.")
    assert page.page.get_by_role("button", name="Train again").is_visible()


def test_of_a_worse_network_the_way_back_is_said(arithmetic):
    told = {"before": 0.927, "after": 0.913, "line": "Dice 0.927 before, 0.913 now", "earlier": "--model old.keras"}
    words = arithmetic("training", "resultInWords", told)
    assert words.startswith("Not better, but worse by 0.014") and words.endswith("same command with --model old.keras.")
    assert "--model" not in arithmetic("training", "resultInWords", told | {"after": 0.95})


# ------------------------------------------------------------------------------------------------------ pure arithmetic


@pytest.fixture(scope="module")
def arithmetic(page):
    """Calls a function of a module of the page with arguments of JSON."""

    def call(module, name, *arguments):
        script = """async ([address, name, given]) => {
            const plain = (_, value) => ArrayBuffer.isView(value) ? [...value] : value;
            return JSON.parse(JSON.stringify((await import(address))[name](...given), plain));
        }"""
        return page.page.evaluate(script, [f"/page/{module}.js?token={page.client.token}", name, list(arguments)])

    return call


def as_mask(mask):
    height, width = mask.shape
    return {"row": 0, "column": 0, "height": height, "width": width, "data": mask.astype(int).ravel().tolist()}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.sampled_from([0.3, 0.55, 0.7]))
def test_parts_and_holes_are_those_of_skimage(arithmetic, seed, share):
    mask = np.random.default_rng(seed).random((11, 13)) < share
    parts = arithmetic("geometry", "partsOf", as_mask(mask))
    expected = label(mask, connectivity=1)
    assert same_cells(np.array(parts["numbers"]).reshape(mask.shape), expected)
    assert sorted(parts["sizes"][1:]) == sorted(np.bincount(expected.ravel())[1:])
    holes = np.array(arithmetic("geometry", "holesOf", as_mask(mask))).reshape(mask.shape)
    assert np.array_equal(holes, binary_fill_holes(mask) & ~mask)


@settings(max_examples=15, deadline=None)
@given(points=st.lists(st.tuples(st.floats(-3, 23, width=16), st.floats(-3, 23, width=16)), min_size=3, max_size=7))
def test_an_outline_holds_the_pixels_whose_centres_it_goes_round(arithmetic, points):
    bounds = {"row": 0, "column": 0, "height": 20, "width": 20}
    found = arithmetic("geometry", "fillPolygon", [{"x": x, "y": y} for x, y in points], bounds)
    mask = np.zeros((20, 20), bool)
    if found:
        rows, columns = (slice(found[a], found[a] + found[b]) for a, b in (("row", "height"), ("column", "width")))
        mask[rows, columns] = np.reshape(found["data"], (found["height"], found["width"]))
    centres = np.indices((20, 20)).reshape(2, -1).T[:, ::-1] + 0.5
    turns = winding(np.array(points), centres).reshape(20, 20)
    assert np.array_equal(mask[~np.isnan(turns)], turns[~np.isnan(turns)] != 0)


def winding(points, places):
    """How often a closed line goes round each place: the sum of the angles; nan where the line goes through it."""
    around = points[None] - places[:, None]
    after = np.roll(around, -1, axis=1)
    cross = around[..., 0] * after[..., 1] - around[..., 1] * after[..., 0]
    dot = (around * after).sum(axis=2)
    turns = np.round(np.arctan2(cross, dot).sum(axis=1) / (2 * np.pi))
    return np.where(((np.abs(cross) < 1e-6) & (dot <= 0)).any(axis=1), np.nan, turns)


ANY_ACTS = """async ([token, labels, acts]) => {
    const {Cells} = await import(`/page/cells.js?token=${token}`);
    const {fillPolygon, sweep} = await import(`/page/geometry.js?token=${token}`);
    const cells = new Cells(Uint16Array.from(labels.flat()), labels.length, labels[0].length);
    const patches = [], faults = [];
    const first = cells.now.join();
    const pieces = list => list.map(box => [box.row, box.column, box.height, box.width].join()).sort();
    const facts = of => JSON.stringify([
        [...of.pieces].map(([number, list]) => [number, pieces(list)]).sort((a, b) => a[0] - b[0]),
        [...of.sizes.slice(1)],
    ]);
    for (const {kind, points, flag} of acts) {
        const [{x, y}, to] = points, number = cells.at(Math.floor(y), Math.floor(x));
        const mask = fillPolygon(points, cells.bounds), stroke = sweep(points[0], to, 4, cells.bounds);
        const cell = cells.pieces.has(number) ? number : 0, others = [...cells.pieces.keys()];
        if (kind === "remove" && cell) patches.push(...cells.remove([cell]));
        if (kind === "unignore") patches.push(...cells.unignore(Math.floor(y), Math.floor(x)));
        if (kind === "ignore" && mask) patches.push(...cells.ignore(mask, flag));
        if (kind === "join" && others.length > 2) patches.push(...cells.join([others[0], others.at(-1)]).patches);
        if (kind === "split") patches.push(...cells.split(points, new Set()).patches);
        if (kind === "draw" && mask) {
            const drawn = cell || cells.fresh();
            cells.paint(mask, drawn, flag);
            patches.push(...cells.settle(mask, drawn, {rings: true}));
        }
        if (kind === "erase" && stroke) {
            cells.rub(stroke, flag ? null : cell);
            patches.push(...cells.finish(cells.partAll(stroke)));
        }
        if (cells.now.join() !== cells.before.join()) faults.push(`${kind}: unfinished`);
        const anew = new Cells(cells.now.slice(), cells.height, cells.width);
        if (facts(cells) !== facts(anew)) faults.push(`${kind}: pieces, sizes`);
    }
    for (const patch of patches.toReversed()) cells.write(patch, patch.before);
    if (cells.now.join() !== first) faults.push("undo");
    return faults;
}"""
FAR_APART = """async token => {
    const {Cells} = await import(`/page/cells.js?token=${token}`);
    const side = 1000, labels = new Uint16Array(side * side);
    for (const [number, at] of [[1, 5], [2, 500], [3, 990]]) {
        for (let r = at; r < at + 5; r++) labels.fill(number, r * side + at, r * side + at + 5);
    }
    const cells = new Cells(labels, side, side);
    const acts = [cells.join([1, 2]).patches, cells.join([1, 3]).patches, cells.remove([1])];
    return acts.map(patches => patches.map(({row, column, height, width}) => [row, column, height, width]));
}"""


def test_cells_far_apart_are_joined_and_deleted_without_what_lies_between(page):
    far = [[500, 500, 5, 5], [990, 990, 5, 5]]
    joined = page.page.evaluate(FAR_APART, page.client.token)
    assert joined == [far[:1], far[1:], [[5, 5, 5, 5], *far]]


PLACES = st.builds(lambda x, y: {"x": x / 4, "y": y / 4}, st.integers(0, 95), st.integers(0, 79))
AN_ACT = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["remove", "unignore", "ignore", "join", "split", "draw", "erase"]),
        "points": st.lists(PLACES, min_size=3, max_size=6),
        "flag": st.booleans(),
    }
)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), acts=st.lists(AN_ACT, min_size=3, max_size=12))
def test_any_acts_leave_cells_known_and_are_undone(page, seed, acts):
    start = np.random.default_rng(seed).integers(0, 5, (5, 6)).repeat(4, 0).repeat(4, 1)
    assert page.page.evaluate(ANY_ACTS, [page.client.token, start.tolist(), acts]) == []
