"""The shape of the repository: imports go one way, Keras loads only where it is needed, files stay small."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The rooms, from the ground up: which others each may import. A room that is not listed fails the tests.
MAY_IMPORT = {
    "reading": set(),
    "model": set(),
    "pairing": {"reading"},
    "scoring": {"reading"},
    "weights": {"model", "reading"},
    "data": {"reading", "pairing"},
    "preparing": {"reading", "pairing"},
    "checking": {"reading", "pairing"},
    "measuring": {"reading", "pairing"},
    "predicting": {"reading", "pairing", "data", "preparing", "checking", "measuring", "scoring", "weights"},
    "training": {"data", "model", "weights", "scoring", "pairing", "reading"},
    "reporting": {"reading", "pairing", "scoring", "predicting", "training.run_card"},
    "correcting": {"reading", "pairing", "measuring", "scoring", "weights", "preparing", "predicting"},
}
MAY_IMPORT_KERAS = {
    "model", "data", "training.train", "training.fitting", "training.losses", "training.callbacks", "training.watchdog",
    "training.averaging", "training.budget", "training.checkpoints", "training.precision", "training.stopping",
    "weights.files", "predicting.export", "predicting.onnx_graph",
}  # fmt: skip
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 500, 80, 8
LONGER = {"data.flow": "takes what Keras' method takes"}  # functions that may be longer, or take more, and why

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in [*ROOT.glob("*.py"), *(path for room in MAY_IMPORT for path in (ROOT / room).glob("*.py"))]
}


def imports_of(path):
    """Modules that a file imports, anywhere in it: `reading.images` for `from reading import images` too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inner)


def test_every_room_is_listed():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == {room for room in MAY_IMPORT if (ROOT / room).is_dir() and room != "data"}
    assert {path.stem for path in ROOT.glob("*.py")} <= {"main", "options", "model", "data"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room):
    for module, path in MODULES.items():
        if module.split(".")[0] != room:
            continue
        for name in imports_of(path):
            other = name.split(".")[0]
            if other in MAY_IMPORT and other != room or other in ("main", "options"):
                assert other in MAY_IMPORT[room] or name in MAY_IMPORT[room], f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_frameworks_are_imported_where_they_belong(module):
    imported = {name.split(".")[0] for name in imports_of(MODULES[module])}
    assert "tensorflow" not in imported, "model and training code is backend-neutral"
    if module not in MAY_IMPORT_KERAS:
        assert "keras" not in imported


def test_the_modules_that_may_import_keras_are_there():
    assert MODULES.keys() >= MAY_IMPORT_KERAS


LIGHT = sorted(MODULES.keys() - MAY_IMPORT_KERAS)


def test_light_modules_do_not_load_keras():
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    assert not {'keras', 'matplotlib'} & set(sys.modules), name"
    done = subprocess.run([sys.executable, "-c", code, *LIGHT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_small(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and f"{module}.{node.name}" not in LONGER:
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            assert len(given) - bool(given[:1] and given[0].arg == "self") <= MOST_PARAMETERS, node.name
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, node.name


def untyped_values(text):
    """(line, value) of what commands that are shown to people hold in quotes of their own, or in none, in a source."""
    of_paths = re.compile("--(data|source|out|runs|model|init|from-card|corrected|annotations) [\"']?$")
    for node in ast.walk(ast.parse(text)):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        texts = [part.value if isinstance(part, ast.Constant) else "" for part in parts]
        is_command = "main.py" in "".join(texts)
        for before, part in zip(texts, parts[1:], strict=False):
            quoted = of_paths.search(before) or is_command and before.endswith(('"', "'"))
            if quoted and isinstance(part, ast.FormattedValue) and not ast.unparse(part.value).startswith("typed("):
                yield node.lineno, ast.unparse(part.value)


@pytest.mark.parametrize("module", MODULES)
def test_values_in_commands_that_are_shown_are_typed_for_a_shell(module):
    """By `reading.files.typed`: plain quotes break at a `$`, a quote or a backquote in a path."""
    found = list(untyped_values(MODULES[module].read_text(encoding="utf-8")))
    assert not found


def test_values_that_are_not_typed_are_found():
    shown = ["f\"python main.py predict '{path}'\"", 'f"run: python main.py check --data {x}"', "f'--source \"{x.y}\"'"]
    assert all(list(untyped_values(text)) for text in shown)
    assert not list(untyped_values('f"python main.py check --data {typed(x)} --classes {n}, of {name}"'))


def test_no_module_shadows_another():
    assert not (ROOT / "data" / "__init__.py").exists()


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)
    assert any("parameters" in cell["metadata"].get("tags", []) for cell in cells)
    assert 8 <= len(cells) <= 22 and all(len("".join(cell["source"]).splitlines()) <= 14 for cell in cells)
