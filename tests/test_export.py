"""The export computes what Keras computes, stands for its own model alone, and whatever is wrong with it is no loss."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine
import model as networks
from export import LARGEST_DIFFERENCE, export_onnx
from images import InputError
from predict import Predictor
from start import PAP_SMEAR

ROOT = Path(engine.__file__).parent


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model file with its export beside it."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    network = networks.unet(3, 3, filters=2, depth=2)
    networks.save(network, path, {"classes": 3, "channels": 3, "tile_px": 32, "threshold": 0.4})
    assert export_onnx(path, path.with_suffix(".onnx")) <= LARGEST_DIFFERENCE
    return path


def test_the_export_predicts_what_keras_predicts(exported):
    image = np.random.default_rng(0).integers(0, 256, (70, 45, 3), np.uint8)
    by_keras, card = engine._open_keras(exported)
    by_onnx, copy = engine.open_network(exported.with_suffix(".onnx"))
    assert card == copy
    tiles = image[np.newaxis, :64, :32] / np.float32(255)
    np.testing.assert_allclose(by_onnx(tiles), by_keras(tiles), atol=1e-5)
    first, second = (Predictor(exported.with_suffix(suffix)) for suffix in (".keras", ".onnx"))
    assert first.card == second.card and second.threshold == 0.4
    np.testing.assert_array_equal(first.probability(image), second.probability(image))  # one and the same engine


def test_an_export_of_another_model_is_not_used(exported, tmp_path):
    path = tmp_path / "model.keras"
    networks.save(networks.unet(1, 1, filters=2, depth=2), path, {})
    path.with_suffix(".onnx").write_bytes(exported.with_suffix(".onnx").read_bytes())
    assert engine.open_network(path)[1]["channels"] == 1
    path.with_suffix(".onnx").write_bytes(b"torn")
    assert engine.open_network(path)[1]["channels"] == 1
    with pytest.raises(InputError, match=r"model\.onnx cannot be read") as error:
        engine.open_network(path.with_suffix(".onnx"))
    assert "\n" not in str(error.value)


def test_an_export_that_differs_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("export.LARGEST_DIFFERENCE", -1)
    with pytest.raises(InputError, match="differ by up to"):
        export_onnx(exported, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_the_shipped_weights_predict_without_keras():
    assert engine._open_onnx(PAP_SMEAR.with_suffix(".onnx"), engine.fingerprint(PAP_SMEAR))
    code = "import sys; from predict import Predictor; from start import PAP_SMEAR; Predictor(PAP_SMEAR)"
    code = code.replace("from start import PAP_SMEAR", f"PAP_SMEAR = {str(PAP_SMEAR)!r}")
    check = "; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code + check], cwd=ROOT, env={"PATH": ""}).returncode == 0
