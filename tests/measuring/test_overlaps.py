"""Cells that overlap are whole: outlines and measurements share pixels, and nothing changes where none overlap."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from main import main
from measuring.cell_files import CellWriter, features, write_geojson, write_rois
from measuring.cells import find_cells
from measuring.measurements import measure
from measuring.whole_cells import boxed, common, joined, parted_cells, polygonise_whole, upper
from pairing.annotations import read_annotation, read_shapes
from pairing.outlines import filled
from pairing.polygons import polygonise
from preparing.sample import numbered_field
from preparing.whole_cells import make_whole_cells
from reading import images
from tests.helpers import ByBrightness


def disc(size, row, column, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def smear(size, *cells, nucleus=0.2, colour=False, bright=False):
    """Translucent discs (row, column, radius), each with a nucleus: picture, mask of three classes, the true cells."""
    whole = [disc(size, *cell) for cell in cells]
    nuclei = np.any([disc(size, row, column, nucleus * radius) for row, column, radius in cells], 0)
    dark = 0.4 * np.sum(whole, 0) + nuclei
    mask = np.where(nuclei, 2, np.any(whole, 0)).astype(np.uint8)
    image = np.rint(20 + 60 * dark if bright else 230 * np.exp(-dark)).astype(np.uint8)[..., np.newaxis]
    return np.repeat(image, 3, 2) if colour else image, mask, whole


def on_canvas(cell, size):
    pixels = np.zeros(size, bool)
    pixels[cell.place()] = cell.pixels
    return pixels


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


SIZE, TWO = (120, 160), ((60, 55, 40), (60, 105, 40))  # 27 % of each is shared


@pytest.mark.parametrize("how", [{}, {"colour": True}, {"bright": True}])
@pytest.mark.parametrize("times", [1, 3])
def test_two_discs_that_overlap_come_back_whole(times, how):
    size = tuple(times * side for side in SIZE)
    image, mask, true = smear(size, *np.multiply(TWO, times), **how)
    found, parted = find_cells(mask, 3, image=image), find_cells(mask, 3)
    assert len(found) == 2
    for cell, half, one in zip(found.whole, parted.whole, true, strict=True):
        assert dice(on_canvas(cell, size), one) > 0.97 > 0.95 > dice(on_canvas(half, size), one)


def test_a_small_cell_within_a_large_one_is_whole_and_so_is_that():
    image, mask, true = smear((130, 130), (60, 50, 48), (68, 80, 16))
    found = find_cells(mask, 3, image=image)
    assert all(dice(on_canvas(c, mask.shape), one) > 0.95 for c, one in zip(found.whole, true, strict=True))
    labels = upper(found.whole, found.labels)
    assert (labels == 2).sum() == found.whole[1].pixels.sum(), "the smaller one lies on top"
    assert ((labels > 0) == (mask > 0)).all() and (labels[found.labels > 0] == found.labels[found.labels > 0]).all()


def same(cells, others):
    return len(cells) == len(others) and all(
        one[:2] == other[:2] and np.array_equal(one.pixels, other.pixels)
        for one, other in zip(cells, others, strict=True)
    )


@pytest.mark.parametrize("grey", [0, 150, 255])
def test_where_the_shared_part_is_not_darker_cells_are_parted_as_without_a_picture(grey):
    image, mask, _ = smear(SIZE, *TWO)
    image[mask == 1] = grey
    assert same(find_cells(mask, 3, image=image).whole, find_cells(mask, 3).whole)
    assert same(find_cells(mask, 3, image=0 * image).whole, find_cells(mask, 3).whole)


def test_cells_that_touch_are_parted_though_one_is_darker():
    image, mask, _ = smear(SIZE, (60, 40, 38), (60, 117, 38))
    image[:, 79:] = np.where(mask[:, 79:, np.newaxis] == 1, 90, image[:, 79:])
    assert same(find_cells(mask, 3, image=image).whole, find_cells(mask, 3).whole)


places = st.tuples(st.integers(0, 89), st.integers(0, 119), st.integers(8, 40))


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(places, min_size=1, max_size=7), seed=st.integers(0, 99))
def test_whole_cells_hold_their_nuclei_and_together_all_cytoplasm(cells, seed):
    size = (90, 120)
    image, mask, _ = smear(size, *cells)
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    found, parted = find_cells(mask, 3, 4, image=image), find_cells(mask, 3, 4)
    np.testing.assert_array_equal(found.labels, parted.labels)
    assert len(found.whole) == len(found)
    covered = np.zeros(size, int)
    for number, cell in enumerate(found.whole, start=1):
        pixels = on_canvas(cell, size)
        assert (pixels[found.labels == number]).all()
        assert all(side.any() for edge in (0, -1) for side in (cell.pixels[edge], cell.pixels[:, edge])), "a tight box"
        covered += pixels
    np.testing.assert_array_equal(covered > 0, upper(parted.whole, parted.labels) > 0)
    labels = upper(found.whole, found.labels)
    assert set(np.unique(labels)) - {0} == set(range(1, len(found) + 1))
    for (one, other), (place, both) in common(found.whole).items():
        shared = on_canvas(found.whole[one], size) & on_canvas(found.whole[other], size)
        np.testing.assert_array_equal(shared[place], both)
        assert shared.sum() == both.sum() > 0


def test_a_piece_wider_than_opencv_takes():
    image, mask, _ = smear(SIZE, *TWO)
    alone = find_cells(mask, 3, image=image).whole
    wide = 33_000
    far = np.pad(image, ((0, 0), (wide, 0), (0, 0)), constant_values=230)
    strip = np.pad(mask, ((0, 0), (wide, 0)))
    strip[60, : wide + 20] = 1
    strip[58:63, 100:105] = 2  # a nucleus at the other end
    found = find_cells(strip, 3, image=far)
    assert len(found) == 3
    for one, cell in zip(alone, found.whole[:2], strict=True):
        reached = on_canvas(cell, strip.shape)[:, wide:]
        assert dice(on_canvas(one, mask.shape), reached) > 0.97


def test_a_picture_of_16_bits_gives_the_same_cells():
    image, mask, _ = smear(SIZE, *TWO)
    deep = image.astype(np.uint16) * np.uint16(256)
    assert same(find_cells(mask, 3, image=image).whole, find_cells(mask, 3, image=deep).whole)


def test_measurements_and_outlines_are_of_whole_cells(tmp_path):
    image, mask, _ = smear(SIZE, *TWO)
    probability = np.eye(3)[mask]
    cells = find_cells(mask, 3, probability=probability, image=image)
    writer = CellWriter(tmp_path)
    writer.add("a.png", image, mask, probability)
    table = measure(cells, image, probability)
    sizes = np.array([cell.pixels.sum() for cell in cells.whole])
    ((_, both),) = common(cells.whole).values()
    np.testing.assert_array_equal(table["cytoplasm_area_px"], sizes - table["area_px"])
    assert table["cytoplasm_area_px"].sum() == (mask == 1).sum() + both.sum() > (mask == 1).sum()
    np.testing.assert_allclose(table["nucleus_cytoplasm_ratio"], table["area_px"] / table["cytoplasm_area_px"])
    for name in ("a.geojson", "a_rois.zip"):
        areas = sorted(int(filled(outline, SIZE)[1].sum()) for outline in read_shapes(tmp_path / name)[0])
        assert areas[-2:] == sorted(sizes.tolist()), "the nuclei are smaller"
    written = json.loads((tmp_path / "a.geojson").read_text())["features"]
    one, other = (shape(f["geometry"]) for f in written if f["properties"]["classification"]["name"] == "cell")
    assert one.intersection(other).area == both.sum()
    labels = images.read_mask(tmp_path / "a_cell_labels.png")
    np.testing.assert_array_equal(labels, upper(cells.whole, cells.labels))


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(places, min_size=2, max_size=6), share=st.floats(0.1, 0.7))
def test_what_is_read_back_are_the_same_classes(tmp_path_factory, cells, share):
    size, folder = (90, 120), tmp_path_factory.mktemp("overlapping")
    image, mask, _ = smear(size, *cells, nucleus=share)
    found = find_cells(mask, 3, 4, image=image)
    table, outlines = measure(found, image, np.eye(3)[mask]), polygonise(found.labels)
    whole = polygonise_whole(found.whole, size)
    write_rois(folder / "a.zip", found, outlines, whole)
    write_geojson(folder / "a.geojson", features(found, table, outlines, whole, role="annotation"))
    classes = np.where(found.labels > 0, 2, upper(found.whole, found.labels) > 0)
    np.testing.assert_array_equal(read_annotation(folder / "a.zip", size)[0], classes)
    read, names, *_ = read_annotation(folder / "a.geojson", size)
    named = {name: value for value, name in names.items()}
    np.testing.assert_array_equal((read == named.get("cell", -1)) + 2 * (read == named.get("nucleus", -1)), classes)


def test_outlines_are_those_of_each_cell_alone():
    image, mask, _ = smear((100, 140), (50, 40, 35), (50, 75, 35), (40, 100, 30), (70, 90, 25))
    whole = find_cells(mask, 3, image=image).whole
    assert len(common(whole)) > 2
    together = polygonise_whole(whole, mask.shape)
    assert list(together) == [1, 2, 3, 4]
    for number, cell in enumerate(whole, start=1):
        alone = polygonise(on_canvas(cell, mask.shape).astype(np.int32))[1]
        rings = [[ring.tolist() for part in parts for ring in part] for parts in (alone, together[number])]
        assert rings[0] == rings[1]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_boxes_of_pixels(seed):
    rng = np.random.default_rng(seed)
    labels = (rng.integers(0, 4, (9, 12)) * (rng.random((9, 12)) < 0.4) * 1000).astype(np.int32)
    cells = parted_cells(labels)
    assert set(cells) == set(np.unique(labels)) - {0}
    for number, cell in cells.items():
        np.testing.assert_array_equal(on_canvas(cell, labels.shape), labels == number)
        assert same([boxed(labels == number)], [cell])
        place, rim = cell.rim(labels.shape)
        drawn = np.zeros(labels.shape, bool)
        drawn[place] = rim
        around = np.pad(labels, 1, mode="edge") == number
        inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        np.testing.assert_array_equal(drawn, (labels == number) & ~inner)
    for one in cells.values():
        for other in cells.values():
            either = on_canvas(one, labels.shape) | on_canvas(other, labels.shape)
            assert same([joined(one, other)], [boxed(either)])


def test_predict_writes_whole_cells(tmp_path, monkeypatch):
    """The stand-in takes what is bright for nuclei and what is grey for cytoplasm."""
    image, mask, _ = smear(SIZE, *TWO, bright=True)
    image[mask == 2] = 250
    image[mask == 1] += 80
    images.write_png(tmp_path / "a.png", image[..., 0])
    monkeypatch.setattr("predicting.predictor.Predictor", lambda model, **seeing: ByBrightness(3))
    assert main(["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--cells"]) == 0
    header, *rows = (tmp_path / "out" / "cells.csv").read_text().splitlines()
    areas = [float(row.split(",")[header.split(",").index("cytoplasm_area_px")]) for row in rows]
    assert len(areas) == 2 and sum(areas) > 1.1 * (mask == 1).sum()


def test_the_sample_knows_its_whole_cells():
    image, classes, cells, layers = make_whole_cells(1, 0, size=256, seed=5)
    again, same_classes, nuclei = numbered_field(1, 0, size=256, seed=5)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(classes, same_classes)
    covered = np.zeros(layers.shape, int)
    for row, column, pixels in cells:
        place = np.s_[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        covered[place] += pixels
        assert (nuclei[place][pixels] > 0).any() and (classes[place][pixels] > 0).all()
    assert (covered <= layers).all() and (covered > 1).any() and (classes[layers > 0] > 0).all()
