"""The notebooks run from top to bottom, each in a clean copy of the repository, and leave the files they promise."""

import json

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from reading.images import read, read_mask, write_png
from tests.helpers import copy_program

# Put in the place of the parameters: a few small fields instead of the whole sample, a few steps of a thin network.
SMALL_SAMPLE = """
from preparing.sample import write_sample
write_sample.__kwdefaults__.update(size=320, train=(3, 1), test=(2, 1))
"""


def run(name, folder, parameters):
    """Run a notebook in a copy of the code in `folder`; returns what its cells printed."""
    copy_program(folder)
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    named = {line.split(" = ")[0] for line in parameters.splitlines()}
    assert all(word in cell.source for word in named), "a parameter that the notebook does not have"
    cell.source += SMALL_SAMPLE + parameters
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr" and "Warning" in output.text]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3, "pictures are missing"
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


@pytest.mark.slow
def test_data_prepare_makes_the_sample_and_shows_it(tmp_path):
    printed = run("dataPrepare", tmp_path, 'data_dir = "my data"')
    assert "3 images with masks" in printed and "foreground: above 0" in printed
    made = list((tmp_path / "my data" / "Train data" / "Masks").iterdir())
    assert len(made) == 3 and read_mask(made[0]).shape == (320, 320)
    assert "learn from: 2 images" in printed and "check on: 1 images" in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_train_unet_leaves_a_run_folder(tmp_path):
    printed = run("trainUnet", tmp_path, "epochs = 2\nsteps = 3\nfilters = 4")
    (run_dir,) = (tmp_path / "runs").iterdir()
    promised = {"model.keras", "settings.json", "history.csv", "curves.png", "architecture.png"}
    assert {path.name for path in run_dir.iterdir()} >= promised
    assert all(name in printed for name in promised)
    card = json.loads((run_dir / "settings.json").read_text(encoding="utf-8"))
    assert (card["settings"]["epochs"], card["settings"]["steps"], card["settings"]["filters"]) == (2, 3, 4)


@pytest.mark.slow
def test_predicting_images_works_before_any_training_and_predicts_an_image_of_ones_own(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (70, 333, 3), np.uint8)
    write_png(tmp_path / "somewhere" / "my smear.png", noise)
    printed = run("predicting_images", tmp_path, 'my_image = "somewhere/my smear.png"')
    assert "no run yet" in printed and "weights/pap_smear.keras" in printed
    out_dir = tmp_path / "data" / "Test data" / "Predicted images"
    images = sorted((tmp_path / "data" / "Test data" / "Images").iterdir())
    assert len(images) == 2
    for path in [*images, tmp_path / "somewhere" / "my smear.png"]:
        assert read_mask(out_dir / f"{path.stem}_predict.png").shape == read(path).shape[:2]
    scores = json.loads((out_dir / "scores.json").read_text(encoding="utf-8"))
    assert [image["name"] for image in scores["images"]] == [path.stem for path in images]
    assert f"{scores['dice']:.3f}" in printed
    assert "cells in my smear.png" in printed and (out_dir / "cells.csv").is_file()
