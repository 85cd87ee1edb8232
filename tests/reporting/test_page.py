"""The report page: nothing from outside, everything escaped and labelled, and usable by mouse and by keys alone."""

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairing.masks import MaskCoding
from pairing.pairs import Pair, find_pairs
from predicting.evaluate import evaluate_folder
from reading.files import InputError, write_json
from reading.images import read, write_png
from reporting import picture_layers
from reporting.histogram import MOST_BARS, edges_of, histogram, number, read_columns, title_of
from reporting.page import templates, write_page
from scoring import calibration
from scoring.metrics import SCORES
from tests.browser import chromium
from training import run_card

ODD = "<b>\"quotes\" & 'more' {{ title }} 細胞 🔬"  # the name of a file
BINARY = MaskCoding(None, 1, 1, "")


class Parsed(HTMLParser):
    """What a test asks of a page: its tags with attributes, and its text without script and style."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.entries, self.inside = [], "", "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", tag) if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = "" if tag in ("script", "style") else self.inside

    def handle_data(self, text):
        self.entries += text if self.inside == "entries" else ""
        self.text += "" if self.inside else text


def make_folder(folder, names=("good", ODD, "bad"), truth=True, classes=1):
    """Images of 40×60 with one square; predicted moved by 0, 2, 4 … pixels. Returns (Test data, Predicted images)."""
    rng = np.random.default_rng(0)
    out = folder / "Predicted images"
    for i, name in enumerate(names):
        mask = np.zeros((40, 60), np.uint8)
        mask[10:20, 10:20] = 1
        mask[25:30, 30:40] = classes - 1 or 1
        value = np.uint8(255 if classes == 1 else 1)
        write_png(folder / "Images" / f"{name}.png", rng.integers(0, 99, mask.shape, np.uint8) + mask * np.uint8(50))
        write_png(out / f"{name}_predict.png", np.roll(mask, 2 * i, axis=1) * value)
        if truth:
            write_png(folder / "Masks" / f"{name}.png", mask * value)
    record = {"model": str(folder / "run" / "model.keras"), "classes": classes, "threshold": 0.4, "masks": None}
    write_json(out / "predictions.json", record | {"dark_foreground": False if classes == 1 else None})
    return folder, out


def scored(folder, **options):
    test_dir, out = make_folder(folder, **options)
    return write_page(out, find_pairs(test_dir), evaluate_folder(test_dir, out))


def unscored(folder, **options):
    test_dir, out = make_folder(folder, truth=False, **options)
    images = sorted((test_dir / "Images").iterdir())
    return write_page(out, [Pair(path.stem, path, None, "") for path in images])


# -------------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("make", [scored, unscored])
def test_a_page_is_whole_in_itself_and_labelled(tmp_path, make):
    path = make(tmp_path)
    page = Parsed(path)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), f"{tag} loads {attributes[name]}"
        assert not any(name.startswith("on") for name in attributes), "a script outside of the page's own"
        assert tag != "img" or attributes["alt"]
        assert tag != "svg" or attributes["aria-label"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    script = re.search("<script>(.*?)</script>", path.read_text(encoding="utf-8"), re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert ("html", {"lang": "en"}) in page.tags and [tag for tag, _ in page.tags].count("h1") == 1
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in zip(headings, headings[1:], strict=False))


@pytest.mark.parametrize("make", [scored, unscored])
def test_names_of_files_are_text_and_nothing_else(tmp_path, make):
    path = make(tmp_path)
    page = Parsed(path)
    assert page.text.count(f"{ODD}.png") == 2, "in the gallery and in the table"
    assert "b" not in [tag for tag, attributes in page.tags if not attributes], "a name became a tag"
    assert [entry["file"] for entry in json.loads(page.entries)].count(f"{ODD}.png") == 1
    assert "<b>" not in path.read_text(encoding="utf-8").replace("<b style", "")


def test_nothing_that_comes_from_elsewhere_becomes_markup(tmp_path):
    evil = "</script></title><script>alert('1 & 2')</script><img src=x onerror=\"alert(1)\">"
    test_dir, out = make_folder(tmp_path, names=(ODD, "a", "b"))
    scores = evaluate_folder(test_dir, out)
    scores["classes"] = {evil: {name: scores[name] for name in SCORES}}
    run = tmp_path / f"run {evil}"  # a folder in a folder, since it holds a /
    predictions = {"model": str(run / "model.keras"), "classes": 2, "threshold": None, "masks": {"explanation": evil}}
    write_json(out / "predictions.json", predictions)
    card = {"settings": {"seed": 0, evil: evil}, "versions": {evil: evil}, "start": evil, "trained_on": evil}
    write_json(run / "settings.json", card | {"watchdog": [evil], "best_epoch": evil})
    for path, rows in ((out / "cells.csv", [["image", evil], ["a.png", 1]]),
                       (run / "history.csv", [["epoch", evil], [evil, 0.5]])):  # fmt: skip
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    path = write_page(out, find_pairs(test_dir), scores)
    page = Parsed(path)
    # a class, what the values mean, a column of cells.csv; model and card: seven facts, a setting, two in the history
    assert page.text.count(evil) == 13, "somewhere it is not shown as it is"
    assert evil not in path.read_text(encoding="utf-8") and [tag for tag, _ in page.tags].count("script") == 2
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == []
    assert any(evil in attributes.get("aria-label", "") for tag, attributes in page.tags if tag == "svg")
    assert len(json.loads(page.entries)) == 3


def test_scores_stand_in_the_page_worst_first(tmp_path):
    page = Parsed(scored(tmp_path))
    scores = json.loads((tmp_path / "Predicted images" / "scores.json").read_text(encoding="utf-8"))
    low, high = scores["interval_95"]["dice"]
    for value in (scores["dice"], scores["otsu"]["dice"], scores["baseline"]["accuracy"], scores["objects"]["f1"]):
        assert f"{value:.3f}" in page.text
    assert f"{low:.3f}–{high:.3f}" in page.text and "3 images only" in page.text and "HD95" in page.text
    assert "How to read Dice" in page.text and "probability of 0.4" in page.text
    entries = json.loads(page.entries)
    assert [entry["file"] for entry in entries] == ["bad.png", f"{ODD}.png", "good.png"]
    # good is right; the other squares of 10×10 and 5×10 px, moved by 2 and 4 px, share 8 and 6 of 10 columns
    assert [entry["values"]["dice"] for entry in entries] == [pytest.approx(0.6), pytest.approx(0.8), 1]
    assert entries[0]["facts"] == "Dice 0.600; 2 predicted, 2 true"
    assert all({"image", "overlay", "mask", "errors"} == set(entry["small"]) for entry in entries)


def test_the_calibration_is_shown(tmp_path):
    test_dir, out = make_folder(tmp_path)
    scores = evaluate_folder(test_dir, out)
    assert "Can the probabilities be believed" not in Parsed(write_page(out, find_pairs(test_dir), scores)).text
    counts = np.zeros((calibration.STEPS, 2), np.int64)
    counts[51] = 60, 40  # 0.2 predicted, 0.4 observed
    scores["calibration"] = calibration.reliability(counts)
    calibration.draw_reliability(scores["calibration"], out / "calibration.png")
    page = Parsed(write_page(out, find_pairs(test_dir), scores))
    assert "expected calibration error is 0.200" in page.text
    assert any(tag == "img" and "0.200" in attributes["alt"] for tag, attributes in page.tags)


def test_a_model_no_better_than_a_threshold_is_called_so(tmp_path):
    test_dir, out = make_folder(tmp_path)
    scores = evaluate_folder(test_dir, out)
    for better, dice in ((False, scores["dice"] - 0.1), (True, scores["dice"])):
        scores["otsu"]["dice"] = dice
        assert ("not better than Otsu" in Parsed(write_page(out, find_pairs(test_dir), scores)).text) == better


def test_without_truth_there_are_no_scores(tmp_path):
    page = Parsed(unscored(tmp_path))
    assert "no scores" in page.text and "Dice" not in page.text and "No run card" in page.text
    entries = json.loads(page.entries)
    assert [entry["file"] for entry in entries] == sorted(entry["file"] for entry in entries)
    assert entries[0]["values"] == {"regions": 2, "area": pytest.approx(100 * 150 / 2400)}
    assert "errors" not in entries[0]["small"] and "Nothing is marked" not in page.text


def test_masks_with_nothing_in_them_are_said(tmp_path):
    test_dir, out = make_folder(tmp_path, truth=False)
    for path in out.glob("*_predict.png"):
        write_png(path, np.zeros((40, 60), np.uint8))
    text = Parsed(write_page(out, find_pairs(test_dir, masks="optional"))).text
    assert "3 with nothing marked" in text and "Nothing is marked in any image" in text


def test_classes_have_a_legend_and_scores_of_their_own(tmp_path):
    page = Parsed(scored(tmp_path, classes=3))
    assert {"class 1", "class 2", "wrong class"} <= set(re.findall("class [12]|wrong class", page.text))
    assert "means over the classes" in page.text


def test_only_images_with_a_prediction_are_shown_and_unreadable_ones_with_the_reason(tmp_path):
    test_dir, out = make_folder(tmp_path, truth=False)
    (out / "good_predict.png").unlink()
    (test_dir / "Images" / "bad.png").write_bytes(b"broken")
    write_png(test_dir / "Images" / f"{ODD}.png", np.zeros((9, 9), np.uint8))
    entries = json.loads(
        Parsed(write_page(out, [Pair(p.stem, p, None, "") for p in sorted((test_dir / "Images").iterdir())])).entries
    )
    assert [entry["file"] for entry in entries] == [f"{ODD}.png", "bad.png"]
    assert "9×9 pixels" in entries[0]["text"] and "not a readable image" in entries[1]["text"]
    assert all(entry["facts"] == "cannot be shown" and "small" not in entry for entry in entries)


def test_the_model_is_described_where_its_run_folder_is(tmp_path):
    run = tmp_path / "run"
    card = {"settings": {"seed": 0, "epochs": 7, "loss": "bce"}, "training": ["a", "b"], "validation": ["c"],
            "best_epoch": 6, "seconds": 61.2, "training_tflop": 1.5, "parameters": 1234, "versions": {"keras": "3.1"},
            "scores": {"val_dice": 0.912}, "mean_with_start": {"kept": True}, "watchdog": ["<i>grey</i>"],
            "hardware": run_card.hardware()}  # fmt: skip
    write_json(run / "settings.json", card)
    write_png(run / "curves.png", np.zeros((9, 9), np.uint8))
    (run / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    text = Parsed(scored(tmp_path)).text
    for words in ("2 images, 1 held out", "7 epochs, the one kept: 6, averaged with", "61 s, 1.5 TFLOP",
                  "1,234 parameters", "keras 3.1", "0.912", "<i>grey</i>", "0.2500", '"bce"',
                  "GB of memory"):  # fmt: skip
        assert words in text
    assert "Every epoch" in text
    for other in ('["of another program"]', "{", "{}", '{"settings": {"epochs": 7}}'):
        (run / "settings.json").write_text(other)
        assert "No run card" in Parsed(scored(tmp_path)).text


def test_measurements_of_cells_are_drawn_and_counted(tmp_path):
    test_dir, out = make_folder(tmp_path)
    rows = [["image", "cell", "area_um2", "type"], ["good.png", 1, 10, "a"], ["good", 2, 30, "b"],
            [f"{ODD}.png", 1, "", "a"], ["another.png", 1, 99, "a"]]  # fmt: skip
    with open(out / "cells.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    page = Parsed(write_page(out, find_pairs(test_dir), evaluate_folder(test_dir, out)))
    assert "area, µm²" in page.text and "median 20, middle half 15 to 25; 2 cells" in page.text
    cells = {entry["file"]: entry["values"]["cells"] for entry in json.loads(page.entries)}
    assert cells == {"good.png": 2, f"{ODD}.png": 1, "bad.png": 0}
    (out / "cell_counts.csv").write_text("image,cells,cells_low,cells_high,cells_per_mm2\ngood.png,2,1,4,31.5\n")
    page = Parsed(write_page(out, find_pairs(test_dir)))
    known = {entry["file"]: entry for entry in json.loads(page.entries)}
    assert "2 cells (95 % interval 1–4)" in known["good.png"]["facts"] and "Cells per mm²" in page.text
    assert known["good.png"]["values"]["cells_per_mm2"] == 31.5 and "cells" not in known["bad.png"]["values"]
    record = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    write_json(out / "predictions.json", record | {"cells": False})  # predicted again, without measuring
    assert "area, µm²" not in Parsed(write_page(out, find_pairs(test_dir))).text


# ----------------------------------------------------------------------------------------------------------- pictures


def test_layers_show_what_the_masks_hold(tmp_path):
    truth, mask = np.zeros((2, 300, 300), np.uint8)
    truth[50:100, 50:100] = mask[50:100, 75:125] = 1
    write_png(tmp_path / "a.png", np.full((300, 300), 7, np.uint8))
    write_png(tmp_path / "a mask.png", truth * np.uint8(255))
    seen = picture_layers.layers_of(Pair("a", tmp_path / "a.png", tmp_path / "a mask.png", ""), mask, BINARY)
    assert (seen["width"], seen["height"], seen["regions"], seen["shown_px"]) == (300, 300, 1, 300)

    def pixels(size, kind):
        uri = seen[size][kind]
        (tmp_path / "layer.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
        return read(tmp_path / "layer.png")  # transparency on white

    errors = pixels("large", "errors")
    assert errors.shape == (512, 512, 3), "lines are drawn finer than the pixels of a small image"
    for column, colour in (
        (60, picture_layers.MISSED),
        (85, picture_layers.RIGHT),
        (110, picture_layers.INVENTED),
        (200, (255, 255, 255)),
    ):
        on_white = 255 + (np.array(colour) - 255) * picture_layers.ERROR / 255
        assert np.abs(errors[128, round(column * 512 / 300)] - on_white).max() <= 1
    overlay = pixels("small", "overlay")
    assert overlay.shape == (256, 256, 3)
    edge, inside = overlay[64, 64], overlay[64, 85]
    assert tuple(edge) == (213, 94, 0) and edge[2] < inside[2] < 255, "outlined, and lighter inside"
    assert pixels("small", "image").shape[:2] == (256, 256) and pixels("large", "image").shape[:2] == (300, 300)


def test_an_image_of_another_size_than_its_prediction_is_refused(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(InputError, match="5×6 pixels, and its predicted mask has 5×7"):
        picture_layers.layers_of(Pair("a", tmp_path / "a.png", None, ""), np.zeros((5, 7), np.uint8))


def test_large_pictures_end_where_the_file_would_become_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_layers, "LARGE_BYTES", 1)
    page = Parsed(scored(tmp_path))
    assert [("large" in entry) for entry in json.loads(page.entries)] == [True, False, False]
    assert "the first 1 pictures" in page.text


# --------------------------------------------------------------------------------------------------------- histograms


@given(st.lists(st.floats(-1e6, 1e6) | st.integers(-500, 500) | st.floats(0, 1), min_size=1, max_size=60))
def test_bars_are_equally_wide_and_hold_all_values(values):
    edges = edges_of(np.array(values, np.float64))
    widths = np.diff(edges)
    assert 1 <= len(widths) <= MOST_BARS + 1 and np.allclose(widths, widths[0], rtol=1e-6)
    slack = 1e-6 * widths[0] + 1e-9 * np.abs(edges).max()
    assert edges[0] <= min(values) + slack and max(values) <= edges[-1] + slack


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.85, 0.9, 0.95]), min_size=1))
def test_every_value_is_in_a_bar_of_its_histogram(values):
    assert sum(histogram(values, "F1").counts) == len(values)


def test_a_histogram_by_hand():
    found = histogram([1, 1, 2, 5, np.nan], "a < b")
    assert found.counts == [2, 1, 0, 0, 1] and found.edges == [1, 2, 3, 4, 5, 6]
    text = templates().get_template("page_macros.html").module.histogram(found)
    heights = re.findall(r"<title>(.*?)</title>", text)
    assert heights == ["1 to 2: 2", "2 to 3: 1", "5 to 6: 1", "median 1.5"]
    assert re.findall(r"<rect x=.* y=\"([\d.]+)\"\n width=\"([\d.]+)\" height=\"([\d.]+)\">", text) == [
        ("0.0", "50.5", "110.0"), ("55.0", "50.5", "55.0"), ("55.0", "50.5", "55.0"),
    ]  # fmt: skip
    assert "a &lt; b" in text and "median 1.5, middle half 1 to 2.75; 4 images" in text
    assert histogram([np.nan], "nothing") is None


def test_numbers_are_short():
    shown = {0.9123: "0.912", 12.345: "12.3", 1234.6: "1,235", -9: "−9", 0: "0", 2.5: "2.5", 1e-5: "1e−05",
             float("nan"): "–"}  # fmt: skip
    assert {value: number(value) for value in shown} == shown
    assert title_of("area_um2") == "area, µm²" and title_of("mean_intensity") == "mean intensity"


def test_places_and_numbers_of_cells_are_not_measurements(tmp_path):
    header = "image,cell,class,centroid_row_px,centroid_column_px,top_px,left_px,area_px,feret_max_px,x,row"
    (tmp_path / "a.csv").write_text(header + "\na.png,1,2,3,4,5,6,7,8,9,10\n")
    rows, columns = read_columns(tmp_path / "a.csv", {"a.png": "a.png"})
    assert rows == ["a.png"] and set(columns) == {"area_px", "feret_max_px"}


def test_a_table_without_images_tells_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("cell,area\n1,2\n")
    assert read_columns(tmp_path / "a.csv", {"a": "a"}) == (None, {})
    (tmp_path / "a.csv").write_text("")
    assert read_columns(tmp_path / "a.csv", {"a": "a"}) == (None, {})


# ------------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium() as opened:
            yield opened
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def opened(browser):
    """A function that opens a page; the test fails on anything that it loads or complains of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    complaints = []

    def open_page(path):
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        wanted = (path.as_uri(), "data:")
        page.on("request", lambda request: request.url.startswith(wanted) or complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    context.close()
    assert not complaints


def wait_for(page, selector, count):
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count)


def order(page):
    return page.locator("#gallery .name").all_text_contents()


def test_the_page_works_by_mouse(tmp_path, opened):
    page = opened(scored(tmp_path))
    wait_for(page, ".entry img", 6)  # image and layer of each
    page.evaluate("() => Promise.all([...document.querySelectorAll('.entry img')].map(image => image.decode()))")
    assert order(page)[0] == "bad.png"
    page.locator("#sort").select_option("dice down")
    assert order(page)[0] == "good.png"
    page.locator("#strength-gallery").fill("25")
    assert page.evaluate("getComputedStyle(document.querySelector('.layer')).opacity") == "0.25"
    page.locator(".entry").nth(1).click()
    assert page.locator("#large-name").text_content() == f"{ODD}.png"
    assert "Dice 0.800" in page.locator("#large-facts").text_content()
    assert page.locator("#large-stack .layer").count() == 1
    page.get_by_role("dialog").get_by_label("Errors", exact=True).check()
    assert page.locator("#large-legend .errors").is_visible()
    page.get_by_role("dialog").get_by_label("Image", exact=True).check()
    assert page.locator("#large-stack .layer").count() == 0
    page.get_by_role("button", name="Next").click()
    assert page.locator("#large-name").text_content() == "bad.png"
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#large").is_visible()
    page.get_by_role("button", name="Dice", exact=True).click()
    assert page.locator("#images tbody th").all_text_contents()[0] == "bad.png"
    page.get_by_role("button", name="Dice", exact=True).click()
    assert page.locator("#images tbody th").all_text_contents()[0] == "good.png"
    assert page.locator("th[aria-sort=descending]").text_content() == "Dice"
    page.locator("#row-0").click()
    assert page.locator("#large-name").text_content() == "bad.png"


def focused(page):
    return page.evaluate("document.activeElement.id")


def test_the_page_works_by_keys_alone(tmp_path, opened):
    from playwright.sync_api import expect

    page = opened(scored(tmp_path))
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused(page) == "entry-0":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus is not seen"
    page.keyboard.press("Enter")
    assert page.locator("#large-name").text_content() == "bad.png"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # there is no fourth
    assert page.locator("#large-name").text_content() == "good.png"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#large-name").text_content() == f"{ODD}.png"
    while focused(page) != "strength-large":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("getComputedStyle(document.querySelector('#large-stack .layer')).opacity") == "0.95"
    page.keyboard.press("ArrowRight")
    assert page.locator("#large-name").text_content() == "good.png"
    page.keyboard.press("Escape")
    # a dialog's close event comes a little later; `wait_for_function` needs the eval that the page forbids
    expect(page.locator("#entry-2")).to_be_focused()
    assert not page.locator("#large").is_visible() and focused(page) == "entry-2"


def test_a_narrow_window_and_an_image_that_cannot_be_shown(tmp_path, opened):
    test_dir, out = make_folder(tmp_path, truth=False, names=("a" * 120, ODD, "bad"))
    (test_dir / "Images" / "bad.png").write_bytes(b"broken")
    pairs = [Pair(path.stem, path, None, "") for path in sorted((test_dir / "Images").iterdir())]
    page = opened(write_page(out, pairs))
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator(".entry", has_text="bad.png").click()
    assert "not a readable image" in page.locator("#large-facts").text_content()
    assert page.locator("#large").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_of_many_images_only_those_in_view_are_shown(tmp_path, opened):
    page = opened(unscored(tmp_path, names=[f"image{i}" for i in range(300)]))
    wait_for(page, "#gallery > li:first-child img", 2)
    assert page.locator(".entry").count() == 300 and page.locator(".entry img").count() < 300
    page.locator(".entry").last.scroll_into_view_if_needed()
    wait_for(page, "#gallery > li:last-child img", 2)
    assert order(page)[:3] == ["image0.png", "image1.png", "image2.png"]
    page.locator("#sort").select_option("area up")
    page.locator("#sort").select_option("name up")
    assert order(page)[:3] == ["image0.png", "image1.png", "image2.png"]
