"""A slide gives the mask that its pixels give at once, also when killed on the way; broken ones give one line."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openslide
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import main
from predicting import overview, whole_slides
from predicting.evaluate import evaluate_folder
from predicting.folder import Wanted, predict_paths
from predicting.predictor import Predictor
from reading import images, large_images, show
from reading.files import InputError, is_result
from reading.large_images import open_source
from reading.pyramid import TILE_PX, Bands, write_pyramid
from reading.slides import open_slide
from weights.start import PAP_SMEAR

ROOT = Path(main.__file__).parent


def smear(height, width, blank=True, seed=0):
    """Dark discs on light ground with some noise, uint8 (height, width, 3); the right half empty."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    field = 225 + rng.normal(0, 3, (height, width))
    for row, column in rng.integers(0, (height, width // 2 if blank else width), (height * width // 8000, 2)):
        near = np.s_[max(0, row - 9) : row + 10, max(0, column - 9) : column + 10]
        field[near][(rows[near] - row) ** 2 + (columns[near] - column) ** 2 < 70] = 70
    return np.repeat(field.clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, 2)


def write_slide(path, full, levels=3):
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            step = 4**level
            part = full[: full.shape[0] // step * step, : full.shape[1] // step * step].astype(np.float32)
            part = part.reshape(part.shape[0] // step, step, -1, step, 3).mean((1, 3)).astype(np.uint8)
            tiff.write(
                part, tile=(128, 128), photometric="rgb", compression="zlib", metadata=None,
                subfiletype=int(level > 0), resolution=(20000 / step,) * 2, resolutionunit="CENTIMETER",
            )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def predictor():
    return Predictor(PAP_SMEAR)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    full = smear(1300, 2500)
    return write_slide(tmp_path_factory.mktemp("slide") / "a.tif", full), full


def predict(predictor, path, out, **keywords):
    target = out / f"{path.stem}_predict.tif"
    whole_slides.predict_whole(predictor, path, target, Wanted(**keywords))
    return target


def test_a_slide_gives_what_its_pixels_give_at_once(predictor, slide, tmp_path):
    path, full = slide
    target = predict(predictor, path, tmp_path)
    mask = tifffile.imread(target)
    expected = predictor.mask(predictor.probability(full)) * 255
    assert mask.shape == expected.shape and mask.dtype == np.uint8 and expected.any()
    # nothing is lost in the empty half, which is not predicted
    np.testing.assert_array_equal(mask, expected)
    assert {file.name for file in tmp_path.iterdir()} == {target.name, "a_overview.png"}


def test_empty_tiles_are_not_predicted(predictor, slide, monkeypatch):
    calls = []
    predict_window = predictor.predict_window
    monkeypatch.setattr(predictor, "predict_window", lambda tile: calls.append(1) or predict_window(tile))
    source = open_source(slide[0])
    list(whole_slides.probability_bands(predictor, source))
    with_skipping = len(calls)
    monkeypatch.setattr(whole_slides, "FLAT", 0)
    list(whole_slides.probability_bands(predictor, source))
    assert 0 < with_skipping < len(calls) - with_skipping


def test_a_region_is_that_part(predictor, slide, tmp_path):
    path, full = slide
    mask = tifffile.imread(predict(predictor, path, tmp_path, region=[100, 200, 700, 600]))
    expected = predictor.mask(predictor.probability(full[200:800, 100:800])) * 255
    np.testing.assert_array_equal(mask, expected)
    with pytest.raises(InputError, match="inside its 2500×1300 pixels"):
        open_source(path, region=[0, 0, 2501, 10])


def test_the_mask_lies_on_the_slide(predictor, slide, tmp_path):
    target = predict(predictor, slide[0], tmp_path)
    with openslide.OpenSlide(target) as opened:
        assert opened.dimensions == (2500, 1300) and opened.level_count == 3
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        full = np.asarray(opened.read_region((0, 0), 0, opened.dimensions))[..., 0]
        half = np.asarray(opened.read_region((0, 0), 1, opened.level_dimensions[1]))[..., 0]
    with tifffile.TiffFile(target) as tiff:
        assert tiff.is_bigtiff and all(page.is_tiled and page.compression == 8 for page in tiff.pages)
        np.testing.assert_array_equal(tiff.pages[0].asarray(), full)
    np.testing.assert_array_equal(half, full[::2, ::2])


def test_another_resolution(predictor, slide, tmp_path):
    path, full = slide
    source = open_source(path, mpp=1.0)
    assert (source.height, source.width, source.mpp) == (650, 1250, 1.0)
    expected = full[:, :, :1].reshape(650, 2, 1250, 2).mean((1, 3))
    read = source.read(100, 50, 200, 300)[..., 0]
    assert np.abs(read - expected[100:300, 50:350]).mean() < 3
    np.testing.assert_array_equal(read[40:90, 30:99], source.read(140, 80, 50, 69)[..., 0])  # the same in any tile
    assert open_slide(predict(predictor, path, tmp_path, mpp=1.0)).mpp == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4),
    width=st.integers(1, 1300),
    step=st.sampled_from([1, 2, 4]),
)
def test_bands_come_back_at_any_step(tmp_path_factory, sizes, width, step):
    height = sum(sizes)
    mask = np.random.default_rng(width).integers(0, 2, (height, width), np.uint8)
    ends = np.cumsum(sizes)
    rows = [0, *map(int, ends[:-1])]
    bands = Bands(tmp_path_factory.mktemp("bands"), rows, height, width)
    for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
        assert bands.finished() == number
        bands.write(number, mask[row:end])
    tiles, across = list(bands.tiles(step)), -(-len(range(0, width, step)) // TILE_PX)
    joined = np.block([tiles[i : i + across] for i in range(0, len(tiles), across)])
    expected = mask[::step, ::step]
    np.testing.assert_array_equal(joined[: expected.shape[0], : expected.shape[1]], expected)
    assert joined.shape == tuple(TILE_PX * -(-n // TILE_PX) for n in expected.shape)


@pytest.mark.parametrize(
    "layout", [{}, {"rowsperstrip": 7}, {"compression": "zlib"}, {"tile": (64, 96), "compression": "zlib"}]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_large_plain_tiff_is_read_in_parts(predictor, tmp_path, monkeypatch, layout, dtype):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 10000)
    full = smear(300, 260, blank=False)[..., :1].astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, full[..., 0], photometric="minisblack", **layout)
    assert large_images.is_large(path)
    source = open_source(path)
    for row, column, height, width in ((0, 0, 300, 260), (13, 100, 99, 70), (299, 259, 1, 1)):
        np.testing.assert_array_equal(source.read(row, column, height, width), full[row:, column:][:height, :width])
    source.close()
    mask = tifffile.imread(predict(predictor, path, tmp_path))
    np.testing.assert_array_equal(mask, predictor.mask(predictor.probability(full)) * 255)
    with pytest.raises(InputError, match="no slide"):
        open_source(path, mpp=1)


def test_small_images_are_read_at_once(tmp_path):
    images.write_png(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    assert not large_images.is_large(tmp_path / "a.png")


def test_an_interrupted_prediction_goes_on(predictor, slide, tmp_path, monkeypatch):
    path, _ = slide
    expected = predict(predictor, path, tmp_path / "at once").read_bytes()
    for stop in (1, 2):

        def failing(*arguments, stop=stop, original=whole_slides.probability_bands):
            for number, band in enumerate(original(*arguments)):
                if number == stop:
                    raise KeyboardInterrupt
                yield band

        out = tmp_path / str(stop)
        with monkeypatch.context() as patch:
            patch.setattr(whole_slides, "probability_bands", failing)
            if stop == 2:
                patch.setattr(whole_slides, "write_pyramid", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                predict(predictor, path, out)
        assert not list(out.glob("*.tif"))
        seen = []
        with monkeypatch.context() as patch:
            original = whole_slides.probability_bands
            patch.setattr(whole_slides, "probability_bands", lambda *a, o=original, s=seen: s.append(a[2]) or o(*a))
            target = predict(predictor, path, out)
        assert seen == ([1] if stop == 1 else [])  # after the last band only the file is left to write
        assert target.read_bytes() == expected
        assert {file.name for file in out.iterdir()} == {target.name, "a_overview.png"}


def test_large_images_are_scored_too(predictor, slide, tmp_path):
    images.write_png(tmp_path / "Images" / "a.png", slide[1])
    images.write_png(tmp_path / "Masks" / "a.png", predictor.mask(predictor.probability(slide[1])) * 255)
    predict_paths(lambda: predictor, [slide[0]], tmp_path / "out", Wanted())
    card = evaluate_folder(tmp_path, tmp_path / "out")
    assert card["dice"] == 1 and card["calibration"] is None


@pytest.mark.slow
def test_killed_and_given_again(slide, tmp_path):
    command = [sys.executable, ROOT / "main.py", "predict", slide[0], "--model", PAP_SMEAR, "--out"]
    subprocess.run([*command, tmp_path / "at once"], check=True, capture_output=True)
    started = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "killed").glob(".a_predict.partial/*.band")) and started.poll() is None:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    subprocess.run([*command, tmp_path / "killed"], check=True, capture_output=True)
    first, second = (tmp_path / name / "a_predict.tif" for name in ("at once", "killed"))
    assert first.read_bytes() == second.read_bytes()


def cells_of(folder):
    """What `--cells` wrote: the rows of cells.csv without the column of file names, and the GeoJSON features."""
    with (folder / "cells.csv").open(newline="") as file:
        rows = [{k: float(v or "nan") for k, v in row.items() if k != "image"} for row in csv.DictReader(file)]
    (path,) = folder.glob("*.geojson")
    return rows, json.loads(path.read_text())["features"]


def test_the_cells_of_a_slide_are_those_of_its_pixels(slide, tmp_path, capsys):
    path, full = slide
    field = tmp_path / "field.png"
    images.write_png(field, full)
    for source in (path, field):
        options = ["--cells", "--um-per-px", "0.5", "--out", str(tmp_path / source.suffix[1:])]
        assert main.main(["predict", str(source), "--model", str(PAP_SMEAR), *options]) == 0
    assert "cells, one a row" in capsys.readouterr().out
    (of_slide, outlines), (of_field, others) = (cells_of(tmp_path / name) for name in ("tif", "png"))
    assert len(of_slide) == len(of_field) == len(outlines) > 100

    def by_place(rows):
        return sorted(rows, key=lambda row: (row["top_px"], row["left_px"]))

    for here, there in zip(by_place(of_slide), by_place(of_field), strict=True):
        assert abs(here.pop("confidence") - there.pop("confidence")) < 0.004  # kept in 8 bits between two passes
        assert {k: v for k, v in here.items() if k != "cell"} == pytest.approx(
            {k: v for k, v in there.items() if k != "cell"}, rel=1e-5, nan_ok=True
        )
    places = [{str(feature["geometry"]) for feature in features} for features in (outlines, others)]
    assert places[0] == places[1]
    assert sorted(p.name for p in (tmp_path / "tif").iterdir() if "report" not in p.name) == [
        "a.geojson", "a_overview.png", "a_predict.tif", "cell_counts.csv", "cells.csv", "predictions.json",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["slide", "without levels", "large TIFF"])
def test_a_slide_gets_a_small_picture_with_its_outlines_which_the_page_shows(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 1000)
    full = smear(1700, 2600)
    if kind == "large TIFF":
        tifffile.imwrite(path := tmp_path / "a.tif", full, photometric="rgb", rowsperstrip=64)
    else:
        path = write_slide(tmp_path / "a.svs", full, levels=3 if kind == "slide" else 1)
    monkeypatch.setattr(overview, "LONGEST_PX", 200)
    out = tmp_path / "out"
    assert main.main(["predict", str(path), "--model", str(PAP_SMEAR), "--out", str(out)]) == 0
    small = images.read(out / "a_overview.png").astype(int)
    assert max(small.shape) <= 200 and small.shape[1] > small.shape[0]
    outlined = (small == show.OUTLINE_COLOUR).all(-1)
    mask = tifffile.imread(out / "a_predict.tif") > 0
    step = -(-mask.shape[1] // small.shape[1])
    for row, column in np.argwhere(outlined):  # each dot has something near it in the mask, and the empty half none
        near = mask[max(0, row - 1) * step : (row + 2) * step, max(0, column - 1) * step : (column + 2) * step]
        assert near.any()
    assert outlined[:, : small.shape[1] // 2].sum() > 20
    assert is_result(out / "a_overview.png")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "1 predicted mask<" in page and page.count("data:image/jpeg") == 1 and "a_predict.tif" in page


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), step=st.integers(1, 9), first=st.integers(1, 39),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30)
def test_a_mask_made_smaller_keeps_what_is_marked(tmp_path_factory, height, width, step, first, seed):
    mask = (np.random.default_rng(seed).random((height, width)) < 0.05).astype(np.uint8) * 255
    rows = [0, first] if first < height else [0]
    bands = Bands(tmp_path_factory.mktemp("bands"), rows, height, width)
    for number, part in enumerate(np.split(mask, rows[1:])):
        bands.write(number, part)
    tall, wide = (-(-n // step) for n in (height, width))
    padded = np.pad(mask, [(0, tall * step - height), (0, wide * step - width)])
    expected = padded.reshape(tall, step, wide, step).max((1, 3))
    np.testing.assert_array_equal(overview.reduced_mask(bands, step), expected)


def test_outlines_lie_on_the_slide_also_of_a_part_at_another_resolution(slide, tmp_path):
    path, _ = slide
    for name, options in {
        "all": [], "part": ["--region", "200,100,900,700"], "coarse": ["--region", "200,100,900,700", "--mpp", "0.6"],
    }.items():  # fmt: skip
        command = ["predict", str(path), "--cells", "--model", str(PAP_SMEAR), "--out", str(tmp_path / name)]
        assert main.main([*command, *options]) == 0
    everything, part, coarse = (
        shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in cells_of(tmp_path / name)[1]])
        for name in ("all", "part", "coarse")
    )
    inside = shapely.box(300, 200, 1000, 700)  # where the part's edge plays no role
    everything, part, coarse = (shapely.intersection(shape, inside) for shape in (everything, part, coarse))
    assert part.area > 0 and shapely.symmetric_difference(everything, part).area < 0.02 * part.area
    assert shapely.symmetric_difference(everything, coarse).area < 0.3 * everything.area


def test_the_stain_of_a_colour_slide_is_measured_against_the_light_of_all_of_it(tmp_path):
    full = smear(700, 900, blank=False)
    full[350:] = np.uint8(full[350:] * [0.7, 0.8, 0.9])  # a tinted lower half
    path, field = write_slide(tmp_path / "a.tif", full), tmp_path / "field.png"
    images.write_png(field, full)
    stains = []
    for source in (path, field):
        out = tmp_path / source.suffix[1:]
        command = ["predict", str(source), "--model", str(PAP_SMEAR), "--cells", "--um-per-px", "0.5"]
        assert main.main([*command, "--out", str(out)]) == 0
        stains.append(sorted(row["haematoxylin_od_mean"] for row in cells_of(out)[0]))
    assert len(stains[0]) > 20 and stains[0] == pytest.approx(stains[1], rel=1e-4)


def counts_of(folder):
    with (folder / "cell_counts.csv").open(newline="") as file:
        return {row["image"]: row["um_per_px"] for row in csv.DictReader(file)}


def test_the_size_of_a_pixel_of_a_slide_brought_to_another_resolution(slide, tmp_path):
    path, _ = slide  # 0.5 µm a pixel, it says; in truth 0.25, says the option
    for name, options in {"stated": [], "given": ["--um-per-px", "0.25"]}.items():
        command = ["predict", str(path), "--cells", "--mpp", "1", "--region", "0,0,600,600", "--model", str(PAP_SMEAR)]
        assert main.main([*command, *options, "--out", str(tmp_path / name)]) == 0
    assert counts_of(tmp_path / "stated") == {"a.tif": "1"}
    assert counts_of(tmp_path / "given") == {"a.tif": "0.5"}


def test_a_large_tiff_states_its_resolution_too(tmp_path, monkeypatch):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 500_000)
    for name, size in {"large": 800, "small": 300}.items():
        path = tmp_path / "in" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, smear(size, size)[..., 0], resolution=(40000, 40000), resolutionunit="CENTIMETER")
    command = ["predict", str(tmp_path / "in"), "--cells", "--model", str(PAP_SMEAR), "--out", str(tmp_path / "out")]
    assert main.main(command) == 0
    assert counts_of(tmp_path / "out") == {"large.tif": "0.25", "small.tif": "0.25"}
    assert (tmp_path / "out" / "large_predict.tif").is_file()


def test_a_slide_alone_leaves_the_report_of_other_images(slide, tmp_path, capsys):
    images.write_png(tmp_path / "field.png", slide[1][:300, :300])
    for path in (tmp_path / "field.png", slide[0]):
        options = ["--probability", "--out", str(tmp_path / "out")]
        options += ["--region", "0,0,300,300"] if path == slide[0] else []
        assert main.main(["predict", str(path), "--model", str(PAP_SMEAR), *options]) == 0
        assert ("--probability: kept for images" in capsys.readouterr().out) == (path == slide[0])
        assert (tmp_path / "out" / "field_probability.png").is_file()
        assert (tmp_path / "out" / "report.html").is_file() and (tmp_path / "out" / "probabilities.npz").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--region", "0,0,9999,9"], "inside its 2500×1300"), (["--mpp", "0.01"], "expected 0.125 or")],
)
def test_wrong_options_are_said_before_anything_is_predicted(slide, tmp_path, capsys, options, said):
    command = ["predict", str(slide[0]), "--model", str(PAP_SMEAR), "--out", str(tmp_path / "out"), *options]
    assert main.main(command) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_damaged_slide_leaves_nothing(predictor, slide, tmp_path):
    path = tmp_path / "a.svs"
    content = bytearray(slide[0].read_bytes())
    with tifffile.TiffFile(slide[0]) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    for offset, count in list(zip(offsets, counts, strict=True))[-60:]:
        content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    with pytest.raises(InputError, match="a.svs: ") as error:
        predict(predictor, path, tmp_path / "out")
    assert "\n" not in str(error.value) and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["a.svs", "a.png"])
def test_where_nothing_can_be_read_the_folder_of_results_stays_as_it_was(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"neither slide nor image")
    out = tmp_path / "out"
    out.mkdir()
    earlier = {
        file: file.encode() for file in ("predictions.json", "probabilities.npz", "cells.csv", "cell_counts.csv")
    }
    for file, text in earlier.items():
        (out / file).write_bytes(text)
    command = ["predict", str(tmp_path / name), "--model", str(PAP_SMEAR), "--out", str(out), "--cells"]
    assert main.main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == earlier


def test_every_slide_of_the_folder(real_data, tmp_path, capsys):
    for path in sorted((real_data / "slides").iterdir()):
        if path.name == "cmu-1-small-region.svs":
            continue
        status = main.main(["predict", str(path), "--model", str(PAP_SMEAR), "--out", str(tmp_path / path.stem)])
        lines = capsys.readouterr().err.strip().splitlines()
        written = list((tmp_path / path.stem).glob("*_predict.*"))
        if path.name in ("small.svs", "boxes.tiff"):
            assert status == 0 and len(written) == 1, path.name
        else:
            assert status == 2 and len(lines) == 1 and path.name in lines[0], path.name
            assert not (tmp_path / path.stem).exists(), path.name
        assert not list((tmp_path / path.stem).glob(".*"))


def test_a_real_slide(real_data, predictor, tmp_path):
    path = tmp_path / "cmu.svs"
    shutil.copy(real_data / "slides" / "cmu-1-small-region.svs", path)
    mask = tifffile.imread(predict(predictor, path, tmp_path, region=[300, 400, 1200, 900]))
    with open_slide(path) as opened:
        expected = predictor.mask(predictor.probability(opened.read_region(400, 300, 900, 1200))) * 255
    np.testing.assert_array_equal(mask, expected)


def test_write_pyramid_of_a_single_pixel(tmp_path):
    bands = Bands(tmp_path, [0], 1, 1)
    bands.write(0, np.full((1, 1), 255, np.uint8))
    write_pyramid(tmp_path / "a.tif", bands)
    assert tifffile.imread(tmp_path / "a.tif").tolist() == [[255]]
