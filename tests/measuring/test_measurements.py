"""Measurements by hand, and against the programs that define them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPoint

from measuring.cells import Cells, find_cells
from measuring.measurements import measure


def one_class(labels):
    return Cells(labels.astype(np.int32), np.ones(labels.max(), np.uint8))


@pytest.fixture
def rectangle():
    """3 × 4 pixels at row 2, column 5 of a grey image."""
    labels = np.zeros((8, 12), int)
    labels[2:5, 5:9] = 1
    image = np.zeros((8, 12, 1), np.uint16)
    image[2:5, 5:9, 0] = np.arange(12).reshape(3, 4)
    probability = np.where(labels, 0.75, 0.1)[..., np.newaxis]
    return one_class(labels), image, probability


def test_a_rectangle_by_hand(rectangle):
    expected = {
        "cell": 1, "centroid_row_px": 3, "centroid_column_px": 6.5,
        "top_px": 2, "left_px": 5, "height_px": 3, "width_px": 4,
        "area_px": 12, "perimeter_px": 2 * (2 + 3), "eccentricity": np.sqrt(1 - (9 - 1) / (16 - 1)),
        "solidity": 1, "feret_max_px": 5, "feret_min_px": 3,
        "intensity_mean": 5.5, "intensity_sd": np.sqrt((12**2 - 1) / 12), "confidence": 0.75,
    }  # fmt: skip
    table = measure(*rectangle)
    assert list(table) == list(expected)
    for name, value in expected.items():
        assert table[name].tolist() == [pytest.approx(value)], name


def test_micrometres(rectangle):
    pixels, micrometres = measure(*rectangle), measure(*rectangle, um_per_px=0.5)
    assert micrometres["area_um2"] == pixels["area_px"] / 4
    for name in ("perimeter", "feret_max", "feret_min"):
        assert micrometres[f"{name}_um"] == pixels[f"{name}_px"] / 2
    assert micrometres["centroid_row_px"] == pixels["centroid_row_px"]


def test_a_block_counts_from_the_whole_image(rectangle):
    block, whole = measure(*rectangle, corner=(100, 30)), measure(*rectangle)
    moved = {"top_px": 100, "centroid_row_px": 100, "left_px": 30, "centroid_column_px": 30}
    for name in whole:
        assert block[name] == whole[name] + moved.get(name, 0)


def test_nothing_to_measure_gives_no_rows():
    table = measure(one_class(np.zeros((3, 4), int)), np.zeros((3, 4, 1), np.uint8), np.zeros((3, 4, 1)))
    assert all(len(column) == 0 for column in table.values()) and "area_px" in table


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_hulls_are_shapelys_and_the_rest_is_scikit_images(seed):
    from skimage.measure import regionprops

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (7, 7)) * (rng.random((7, 7)) < 0.6)
    labels = np.unique(labels, return_inverse=True)[1].reshape(7, 7)
    labels[0, 0] = 0
    if labels.max() == 0 or len(np.unique(labels)) != labels.max() + 1:
        return
    image = rng.integers(0, 256, (7, 7, 1), np.uint8)
    table = measure(one_class(labels), image, rng.random((7, 7, 1)))
    for index, region in enumerate(regionprops(labels, image[..., 0])):
        rows, columns = np.nonzero(labels == index + 1)
        corners = [(x + dx, y + dy) for y, x in zip(rows, columns, strict=True) for dx in (0, 1) for dy in (0, 1)]
        hull = MultiPoint(corners).convex_hull
        assert table["solidity"][index] == pytest.approx(len(rows) / hull.area)
        angles = np.linspace(0, np.pi, 3601)
        across = np.array(hull.exterior.coords) @ np.array([np.cos(angles), np.sin(angles)])
        widths = np.ptp(across, axis=0)
        assert table["feret_max_px"][index] == pytest.approx(widths.max(), abs=1e-3)
        assert table["feret_min_px"][index] == pytest.approx(widths.min(), abs=1e-2)
        assert table["intensity_mean"][index] == pytest.approx(region.intensity_mean)
        assert table["intensity_sd"][index] == pytest.approx(region.intensity_std)
        assert table["perimeter_px"][index] == pytest.approx(region.perimeter)
        assert table["eccentricity"][index] == pytest.approx(region.eccentricity)


@pytest.mark.parametrize("dtype, white", [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 4095)])
def test_the_optical_density_of_haematoxylin(dtype, white):
    """Light through haematoxylin alone, of density 0.8 along its vector, and through none, at any bit depth."""
    vector = np.array([0.65, 0.70, 0.29])  # Ruifrok & Johnston, as in scikit-image
    image = np.full((40, 40, 3), white, dtype)
    image[10:14, 10:14] = np.rint(white * 10 ** (-0.8 * vector))
    labels = np.zeros((40, 40), int)
    labels[10:14, 10:14], labels[30:34, 30:34] = 1, 2
    image[30:34, 30, 0] -= 1  # so that the picture is no copy of one grey
    table = measure(one_class(labels), image, np.ones((40, 40, 1)))
    assert table["haematoxylin_od_mean"] == pytest.approx([0.8, 0], abs=0.01)


def test_the_ratio_of_nucleus_and_cytoplasm():
    mask = np.zeros((12, 30), np.uint8)
    mask[1:11, 1:11], mask[3:7, 3:8], mask[3:8, 20:25] = 1, 2, 2  # 100 pixels, 20 of them nucleus; a bare nucleus
    probability = np.stack([(mask == k) * 0.5 + 0.2 for k in range(3)], axis=-1)
    table = measure(find_cells(mask, 3), np.zeros((12, 30, 1), np.uint8), probability, um_per_px=2)
    assert table["area_um2"].tolist() == [80, 100] and table["cytoplasm_area_um2"].tolist() == [320, 0]
    assert table["nucleus_cytoplasm_ratio"][0] == 20 / 80 and np.isnan(table["nucleus_cytoplasm_ratio"][1])
    assert table["confidence"] == pytest.approx([0.7, 0.7])
