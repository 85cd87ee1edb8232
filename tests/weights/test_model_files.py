"""Which model file a path means: a file, or what is in a run folder."""

import os

import pytest

from reading.files import InputError
from weights.model_files import NETWORKS, model_file


def test_a_run_folder_stands_for_its_network(tmp_path):
    run = tmp_path / "first try (2)"
    run.mkdir()
    for name in ("model_int8.onnx", "model.onnx"):
        (run / name).touch()
    assert model_file(run) == run / "model.onnx"
    (run / "model.keras").touch()
    for path in (run, str(run) + os.sep, run / "model.keras"):
        assert model_file(path) == run / "model.keras"


@pytest.mark.parametrize("named", ["nowhere", "nowhere.keras", "empty", "weights", "one/model.onnx"])
def test_what_is_no_model_is_one_line(tmp_path, named):
    for path in ("weights/a.keras", "weights/b.keras", "one/model.onnx", "one/model.keras", "empty/history.csv"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(InputError) as error:
        model_file(tmp_path / named, NETWORKS)
    line = str(error.value)
    assert "\n" not in line and named in line
    assert "a.keras, b.keras" in line or named != "weights"
    assert str(tmp_path / "one" / "model.keras") in line or "onnx" not in named
