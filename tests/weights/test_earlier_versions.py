"""Model files and run cards of earlier versions still work."""

import json

import numpy as np
import pytest

import model as networks
from predicting.predictor import Predictor
from training.run_card import read_card, settings_of
from weights.files import load, save, transfer


@pytest.fixture
def earlier(tmp_path):
    """A model file as the version before wrote it."""
    network = networks.unet(filters=2, depth=4)
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 0.4, weight.shape) for weight in network.get_weights()])
    save(network, tmp_path / "model.keras", {"classes": 1, "channels": 1, "tile_px": 64, "fit": True, "depth": 4})
    return tmp_path / "model.keras"


def test_its_models_predict_and_are_started_from(earlier):
    old, metadata = load(earlier)
    assert metadata["crop_px"] == 64 and "tile_px" not in metadata
    predictor = Predictor(earlier)
    assert predictor.network_input(np.zeros((30, 40, 1), np.uint8)).shape == (48, 64, 1)
    new = networks.unet(filters=2, depth=4)
    assert transfer(old, new) == []
    image = np.random.default_rng(1).random((1, 32, 48, 1), np.float32)
    np.testing.assert_allclose(new.predict_on_batch(image), old.predict_on_batch(image), atol=1e-5)


def test_its_run_cards_are_read(tmp_path):
    settings = {"seed": 3, "tile_px": 128, "filters": 8, "steps": 9}
    (tmp_path / "settings.json").write_text(json.dumps({"tile_px": 128, "settings": settings, "finished": False}))
    card = read_card(tmp_path / "settings.json")
    found, lines = settings_of(card)
    assert (found.seed, found.crop_px, card["crop_px"]) == (3, 128, 128)
    assert not [line for line in lines if "crop_px" in line or "tile_px" in line]
