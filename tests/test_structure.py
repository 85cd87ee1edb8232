"""The shape of the repository: imports go one way, Keras loads only where it is needed, notebooks hold no outputs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Which modules of the project each may import; a module not listed here fails the test until it is placed.
# fmt: off
MAY_IMPORT = {
    "images": set(),
    "outlines": set(),
    "annotations": {"images", "outlines"},
    "scale": set(),
    "slides": {"images"},
    "pairs": {"images", "annotations", "slides"},
    "regions": {"images", "annotations", "slides", "pairs"},
    "masks": {"images", "annotations", "pairs"},
    "survey": {"images", "annotations", "masks"},
    "metrics": {"images"},
    "objects": {"images", "annotations", "pairs", "masks", "metrics"},
    "cells": {"calibration", "objects"},
    "measure": {"images", "outlines"},
    "cell_files": {"images", "annotations", "cells", "measure", "outlines", "report"},
    "calibration": {"images", "metrics"},
    "otsu": {"images", "metrics"},
    "convolutions": set(),
    "model": {"images", "convolutions"},
    "sample": {"images"},
    "tiles": {"images", "pairs"},
    "prepare": {"tiles", "images", "pairs", "slides", "regions", "masks", "survey"},
    "download": {"images"},
    "data": {"images", "masks", "objects", "scale"},
    "tiling": set(),
    "engine": {"images", "model"},
    "predict": {"images", "scale", "calibration", "engine", "tiling"},
    "streams": {"images", "slides"},
    "pyramid": {"images"},
    "whole": {"calibration", "images", "engine", "pyramid", "scale", "streams", "tiling"},
    "evaluate": {
        "images", "pairs", "masks", "survey", "metrics", "objects", "cells", "calibration", "otsu", "predict",
    },
    "onnx_graph": {"images", "convolutions"},
    "export": {"images", "model", "engine", "onnx_graph"},
    "quantization": {"images", "metrics", "masks", "pairs", "predict"},
    "losses": set(),
    "watchdog": set(),
    "start": {"images", "model"},
    "run_card": {"images", "start"},
    "run_folder": {"images", "run_card"},
    "checkpoints": {"images", "run_card", "run_folder"},
    "budget": {"heap", "images"},
    "progress": set(),
    "precision": set(),
    "heap": set(),
    "fitting": {
        "images", "model", "calibration", "start", "watchdog", "run_card", "run_folder", "checkpoints", "budget",
        "heap",
    },
    "train": {
        "start", "images", "pairs", "survey", "scale", "otsu", "model", "data", "losses", "run_card", "run_folder",
        "progress", "fitting", "precision",
    },
    "report": {"images", "scale"},
    "histogram": set(),
    "gallery": {"images", "masks", "objects", "predict", "report", "scale"},
    "page": {"gallery", "histogram", "images", "masks", "metrics", "predict"},
    "likeness": {"images", "pairs"},
    "looks": {"images", "annotations", "pairs", "masks", "likeness"},
    "findings": {"images"},
    "mask_checks": {"images", "pairs", "masks", "survey", "findings"},
    "image_checks": {"pairs", "likeness", "findings"},
    "sheet": {"images", "pairs", "masks", "report"},
    "doctor": {
        "images", "pairs", "survey", "prepare", "looks", "likeness", "findings", "mask_checks", "image_checks",
    },
    "options": set(),
    "main": {
        "options",
        "images", "pairs", "sample", "prepare", "download", "doctor", "sheet", "predict", "evaluate", "train", "export",
        "quantization",
        "slides", "streams", "whole", "report", "metrics", "tiles", "start", "page", "cell_files", "run_card",
        "run_folder",
    },
}
# fmt: on
MAY_IMPORT_KERAS = {
    "convolutions",
    "model",
    "data",
    "losses",
    "watchdog",
    "checkpoints",
    "budget",
    "progress",
    "precision",
    "heap",
    "fitting",
    "train",
    "onnx_graph",
    "export",
}  # fmt: skip


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.stem)
def test_imports_go_one_way(path):
    ours = set(imports_of(path)) & {other.stem for other in ROOT.glob("*.py")}
    assert ours <= MAY_IMPORT[path.stem]
    assert "tensorflow" not in set(imports_of(path)), "model and training code is backend-neutral"
    if path.stem not in MAY_IMPORT_KERAS:
        assert "keras" not in set(imports_of(path))


LIGHT = [
    "images", "annotations", "slides", "pairs", "regions", "masks", "survey", "metrics", "objects", "calibration",
    "otsu", "sample", "prepare", "download", "doctor", "tiling", "engine", "predict", "evaluate", "streams", "pyramid",
    "whole", "report", "page", "run_card", "run_folder", "main", "outlines", "cells", "measure", "cell_files",
    "quantization",
]  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_load_keras(module):
    code = f"import sys, {module}; sys.exit('keras' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_module_shadows_another():
    assert not (ROOT / "data" / "__init__.py").exists()


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)
    assert any("parameters" in cell["metadata"].get("tags", []) for cell in cells)
    assert 8 <= len(cells) <= 22 and all(len("".join(cell["source"]).splitlines()) <= 14 for cell in cells)
