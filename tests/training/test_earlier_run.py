"""What the version before the rooms wrote still works: a run that it left unfinished, its model, its card.

earlier_run is a run of commit 47204f7, stopped in its fourth epoch: `kill_chain.TINY` on `make_folder(…, count=4)`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import model as networks
from predicting.predictor import Predictor
from reading.files import sha256
from tests.helpers import make_folder
from training import run_card, run_folder, train
from training.run import Run
from training.settings import Settings
from weights.files import load, transfer

EARLIER = Path(__file__).parent / "earlier_run"


@pytest.fixture
def earlier(tmp_path):
    """(data folder, run folder): the run, and its data with the checksums that this version of Pillow gives them."""
    data, folder = make_folder(tmp_path / "data", count=4), shutil.copytree(EARLIER, tmp_path / "run")
    card = json.loads((folder / run_card.CARD).read_text(encoding="utf-8"))
    files = (data / "Train data").rglob("*.png")
    hashes = {(path.parent.name.lower(), path.name): sha256(path) for path in files}
    assert {(kind, name) for kind in ("images", "masks") for name in card["files"][kind]} == hashes.keys()
    card["files"] = {kind: {name: hashes[kind, name] for name in card["files"][kind]} for kind in ("images", "masks")}
    (folder / run_card.CARD).write_text(json.dumps(card), encoding="utf-8")
    return data, folder


def test_it_goes_on(earlier, capsys):
    data, folder = earlier
    assert "tile_px" in json.loads((folder / run_card.CARD).read_text(encoding="utf-8"))["settings"]
    found, before = run_folder.find_unfinished(folder.parent)
    settings, lines = run_card.settings_of(before)
    assert found == folder and settings.crop_px == 32 and not lines
    card = train.train(Run(data, folder, settings, before, resume=True))
    assert "going on after epoch 3 of 6" in capsys.readouterr().out
    assert card["finished"] and len((folder / "history.csv").read_text().splitlines()) == 7
    assert card["settings"]["crop_px"] == 32


def test_its_model_predicts_and_is_started_from(earlier):
    network, metadata = load(EARLIER / "model.keras")
    assert metadata["crop_px"] == 32 and "tile_px" not in metadata
    predictor = Predictor(EARLIER / "model.keras")
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 1), np.uint8)
    assert predictor.probability(image).shape == (40, 52, 1) and predictor.layout.smallest == 32
    new = networks.unet(filters=2, depth=1, dropout=0.2)
    assert transfer(network, new) == []
    batch = np.random.default_rng(1).random((1, 32, 48, 1), np.float32)
    np.testing.assert_array_equal(new.predict_on_batch(batch), network.predict_on_batch(batch))


def test_its_card_is_repeated(earlier, tmp_path):
    data, folder = earlier
    card = run_card.read_card(folder / run_card.CARD)
    settings, _ = run_card.settings_of(card)
    assert settings == Settings(**card["settings"] | {"augmentation": settings.augmentation})
    repeated = train.train(Run(data, tmp_path / "again", settings, card), quiet=True)
    assert repeated["finished"] and repeated["settings"]["crop_px"] == 32
