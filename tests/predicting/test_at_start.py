"""Whether training helped: the weights it started from, scored on the same test images as what became of them."""

import json

import numpy as np
import pytest

import main
import model as networks
from predicting import at_start
from predicting.folder import predict_files
from predicting.predictor import Predictor
from reading.images import write_png
from scoring.metrics import SCORES
from weights import start
from weights.files import save

CARD = {"classes": 1, "channels": 1, "crop_px": 32, "fit": False, "threshold": 0.5, "masks": None}


def make_model(path, seed, classes=1):
    import keras

    keras.utils.set_random_seed(seed)
    save(networks.unet(1, classes, filters=2, depth=2), path, CARD | {"classes": classes})
    return path


@pytest.fixture
def trained(tmp_path):
    """A run that started from other weights, its predictions of two test images, and these weights."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        mask = np.kron(rng.integers(0, 2, (4, 5)), np.ones((10, 10))) > 0
        image = np.uint8(60 + 120 * mask + rng.integers(0, 20, mask.shape))
        write_png(tmp_path / "data/Test data/Images" / f"{name}.png", image)
        write_png(tmp_path / "data/Test data/Masks" / f"{name}.png", np.uint8(255) * mask)
    weights, run = tmp_path / "before.keras", tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    make_model(weights, 1)
    model = make_model(run / "model.keras", 2)
    card = {"finished": True, "settings": {"seed": 0}, "training": [], "start_weights": start.noted(weights)}
    (run / "settings.json").write_text(json.dumps(card))
    predict(tmp_path / "data", model)
    return tmp_path / "data", weights


def predict(data, model, out="Test data/Predicted images"):
    predict_files(Predictor(model), sorted((data / "Test data/Images").iterdir()), data / out)


def evaluate(data, out="Test data/Predicted images"):
    assert main.main(["evaluate", "--data", str(data), "--out", str(data / out)]) == 0
    return json.loads((data / out / "scores.json").read_text())


def test_the_weights_it_started_from_get_the_scores_that_their_own_masks_get(trained, capsys):
    data, weights = trained
    row = evaluate(data)["start"]
    said = capsys.readouterr().out
    predict(data, weights, "before")
    alone = evaluate(data, "before")
    assert row == {"weights": str(weights)} | {name: alone[name] for name in SCORES}
    assert "start" not in alone  # nobody knows where these began
    assert "(starting weights)" in said and f"started from, before.keras: Dice {row['dice']:.3f}" in said
    page = (data / "Test data/Predicted images/report.html").read_text()
    assert "the weights it started from" in page and page.count("starting weights") >= 2  # a bar and a row


def test_weights_that_are_no_more_what_they_were_get_no_row(trained, capsys):
    data, weights = trained
    make_model(weights, 3)
    assert "start" not in evaluate(data)
    assert f"{weights}, which the training started from, has changed since or is gone" in capsys.readouterr().out


def test_weights_of_other_classes_and_too_many_pixels_are_said(trained, capsys, monkeypatch):
    data, weights = trained
    make_model(weights, 3, classes=3)
    card = data.parent / "runs/first/settings.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"start_weights": start.noted(weights)}))
    assert "start" not in evaluate(data) and "not scored: they know 3 classes" in capsys.readouterr().out
    monkeypatch.setattr(at_start, "MOST_PIXELS", 3000)
    assert "start" not in evaluate(data) and "megapixels of test images are more" in capsys.readouterr().out


def test_shipped_weights_are_found_in_another_copy_of_the_program(tmp_path):
    assert start.find(start.noted(start.SAMPLE) | {"path": str(tmp_path / "elsewhere.keras")}) == start.SAMPLE
    assert start.noted(None) is None
