"""Where there is no cell, none is found: the network sees noise as noise, and is not asked about nothing."""

import numpy as np
import pytest
import tifffile

import main
import model as networks
from predicting.predictor import Predictor
from predicting.whole_slides import probability_bands
from reading import intensity, large_images
from reading.images import read, write_png
from weights.files import load, save
from weights.start import PAP_SMEAR

ROWS, COLUMNS = np.mgrid[:320, :352]
RNG = np.random.default_rng(3)
NOISE = RNG.normal(0, 1, ROWS.shape)
SHADING = 15 * (ROWS / 160 - 1) ** 2 + 15 * (COLUMNS / 176 - 1) ** 2
CELL = 130.0 * np.clip((10 - np.hypot(ROWS - 150, 1.15 * (COLUMNS - 90))) / 2, 0, 1)
DUST = 180.0 * ((abs(ROWS - 50) < 2) & (abs(COLUMNS - 250) < 2))
FIELDS = {
    "white": (255 + 0 * NOISE, 0), "half": (128 + 0 * NOISE, 0), "black": (0 * NOISE, 0), "noise": (220 + 2 * NOISE, 0),
    "strong noise": (205 + 8 * NOISE, 0), "dark noise": (3 + NOISE, 0), "shading": (225 - SHADING + NOISE, 0),
    "dust": (222 - DUST + 2 * NOISE, 0), "a cell": (226 - CELL + NOISE, 1),
    "a cell in noise": (226 - CELL + 8 * NOISE, 1), "a cell and shading": (226 - CELL - SHADING + 2 * NOISE, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each field in grey and colour, 8 and 16 bits."""
    folder = tmp_path_factory.mktemp("fields")
    for name, (field, _) in FIELDS.items():
        stored = field.clip(0, 255).round()
        write_png(folder / f"{name} 8.png", stored.astype(np.uint8))
        write_png(folder / f"{name} colour.png", np.repeat(stored.astype(np.uint8)[..., np.newaxis], 3, axis=2))
        tifffile.imwrite(folder / f"{name} 12 in 16.tif", (stored * 16).astype(np.uint16))
    return folder


def test_the_shipped_weights_find_what_is_there_and_nothing_else(folder, tmp_path, capsys):
    assert main.main(["predict", str(folder), "--model", str(PAP_SMEAR), "--out", str(tmp_path), "--cells"]) == 0
    found = [line.split(",")[0] for line in (tmp_path / "cells.csv").read_text().splitlines()[1:]]
    for path in folder.iterdir():
        name = path.stem.rsplit(" 8")[0].rsplit(" colour")[0].rsplit(" 12")[0]
        assert found.count(path.name) == FIELDS[name][1], path.name
        if not FIELDS[name][1] and name != "dust":
            assert not read(tmp_path / f"{path.stem}_predict.png").any(), path.name
    said = capsys.readouterr().out
    assert "no contrast in " in said
    said = next(line for line in said.splitlines() if "no contrast in " in line)
    assert "a cell" not in said and "dust" not in said


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    import keras

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save(networks.unet(1, 1, filters=2, depth=2), path, {"crop_px": 32})
    return path


@pytest.mark.parametrize("rule", ["percentiles", intensity.RULE, "divide by 255"])
@pytest.mark.parametrize("value", [0, 200, 255])
def test_the_network_is_not_asked_about_an_image_of_one_value(small_model, tmp_path, rule, value):
    network, metadata = load(small_model)
    save(network, tmp_path / "m.keras", metadata | {"normalisation": rule})
    predictor = Predictor(tmp_path / "m.keras")
    predictor.predict_window = None
    for channels in (1, 3):
        probability = predictor.probability(np.full((20, 30, channels), value, np.uint8))
        assert probability.shape == (20, 30, 1) and not probability.any()


def test_a_model_keeps_the_rule_that_it_was_trained_by(small_model, tmp_path):
    noise = (220 + 2 * NOISE).round().astype(np.uint8)[..., np.newaxis]
    network, metadata = load(small_model)
    seen = {}
    for rule in ("percentiles", intensity.RULE):
        save(network, tmp_path / "m.keras", metadata | {"normalisation": rule, "dark_foreground": True})
        seen[rule] = Predictor(tmp_path / "m.keras").network_input(noise)
    low, high = np.percentile(noise, (0.1, 99.9))
    np.testing.assert_allclose(seen["percentiles"], np.clip((noise - low) / (high - low), 0, 1), atol=1e-6)
    assert seen[intensity.RULE].std() < 0.07 and seen[intensity.RULE].min() > 0.5


@pytest.mark.parametrize("name", FIELDS)
def test_a_large_image_of_few_cells_gives_what_it_gives_at_once(folder, tmp_path, monkeypatch, name):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 1000)
    image = read(folder / f"{name} 12 in 16.tif")
    tifffile.imwrite(tmp_path / "a.tif", image[..., 0], rowsperstrip=24, compression="zlib")
    predictor, source = Predictor(PAP_SMEAR), large_images.open_source(tmp_path / "a.tif")
    bands = np.concatenate([band for _, band in probability_bands(predictor, source)])
    source.close()
    expected = predictor.mask(predictor.probability(image))
    assert (predictor.mask(bands) != expected).sum() <= 2
