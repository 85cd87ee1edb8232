"""The command line as a user meets it: in a process of its own, exit status and all."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import main
import options
from reading import decoding, images
from reading.files import InputError
from reading.images import read, read_mask, write_png
from tests.helpers import copy_program, listing, make_folder, process_state
from training import run_folder
from weights import start

ROOT = Path(__file__).resolve().parents[1]
SHORT = ["--epochs", "1", "--steps", "4", "--filters", "2", "--batch", "2"]


def run(*arguments, cwd=ROOT, script=ROOT / "main.py"):
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"}, timeout=300,
    )  # fmt: skip


def make_data(folder):
    """Six training pairs and two test images, one of them without a mask, of odd sizes and names."""
    make_folder(folder)
    rng = np.random.default_rng(5)
    for name, size in {"test one": (50, 71), "prüf-2": (33, 300)}.items():
        write_png(folder / "Test data" / "Images" / f"{name}.png", rng.integers(0, 256, size, np.uint8))
    write_png(folder / "Test data" / "Masks" / "test one.png", np.eye(50, 71, dtype=np.uint8) * 255)
    return folder


@pytest.mark.slow
def test_the_whole_chain_on_a_folder_of_the_users(tmp_path):
    data = make_data(tmp_path / "my data")
    before = listing(data)
    copy_program(tmp_path)
    script = tmp_path / "main.py"
    done = run("--data", data, "--run", "first try", *SHORT, cwd=tmp_path, script=script)
    assert done.returncode == 0, done.stderr
    out = data / "Test data" / "Predicted images"
    assert read(out / "test one_predict.png").shape == (50, 71, 1)
    assert read(out / "prüf-2_predict.png").shape == (33, 300, 1)
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert [image["name"] for image in scores["images"]] == ["test one"]
    assert {"dice", "iou", "accuracy", "precision", "recall", "threshold", "baseline"} <= set(scores)
    assert (tmp_path / "runs" / "first try" / "curves.png").is_file()
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("test one.png", "prüf-2.png", "How to read Dice", "1 epoch, the one kept: 1"):
        assert words in page
    after = listing(data)
    assert all(after[path] == content for path, content in before.items()), "a user's file was changed"
    # what it wrote can be used again, step by step
    again = run("predict", data / "Test data" / "Images" / "test one.png", "--out", tmp_path / "out", "--probability",
                script=script)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "test one_predict.png").read_bytes() == (out / "test one_predict.png").read_bytes()
    assert (tmp_path / "out" / "test one_probability.png").is_file()
    assert "no scores" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "TensorFlow" not in done.stderr and "oneDNN" not in done.stderr


@pytest.mark.slow
def test_a_fresh_checkout_makes_its_sample_and_works_a_second_time(tmp_path, monkeypatch, shallow):
    """The second time in this process, since what is left of the first lies on the disk."""
    copy_program(tmp_path)
    maker = tmp_path / "preparing" / "sample.py"  # of whole fields, but 4 instead of 30
    text = maker.read_text(encoding="utf-8").replace("train=(12, 2), test=(3, 2)", "train=(3, 1), test=(1, 1)")
    maker.write_text(text, encoding="utf-8")
    done = run("--run", "first", *SHORT, cwd=tmp_path, script=tmp_path / "main.py")
    assert done.returncode == 0, done.stderr
    sample = listing(tmp_path / "data")
    assert len(list((tmp_path / "data" / "Train data" / "Images").iterdir())) == 3
    predicted = [path for path in sample if path.name.endswith("_predict.png")]
    assert predicted and all(read(path).shape == (1024, 1024, 1) for path in predicted)
    for path in predicted:
        path.unlink()
    monkeypatch.setattr(main, "ROOT", tmp_path)
    assert main.main(["--run", "second", *SHORT]) == 0
    assert listing(tmp_path / "data").keys() == sample.keys(), "another sample was made, or nothing predicted"
    for attempt in ("first", "second"):
        assert (tmp_path / "runs" / attempt / "model.keras").is_file()


def broken_image(folder):
    (make_data(folder) / "Train data" / "Images" / "cell3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")


def broken_test_image(folder):
    (make_data(folder) / "Test data" / "Images" / "test one.png").write_bytes(b"")


def no_masks(folder):
    shutil.rmtree(make_data(folder) / "Train data" / "Masks")


def damaged_record(folder):
    (make_data(folder) / "Test data" / "Predicted images").mkdir()
    (folder / "Test data" / "Predicted images" / "predictions.json").write_text("{")


def empty_folder(folder):
    folder.mkdir()


FAULTS = {
    "an empty folder": (empty_folder, [], "no images"),
    "a folder that is not there": (lambda folder: None, [], "no images"),
    "no masks": (no_masks, [], "missing mask: Train data/Images/cell0.png"),
    "an unreadable image": (broken_image, [], "cell3.png"),
    "an unreadable test image": (broken_test_image, [], "test one.png"),
    "a missing model": (make_data, ["predict", "--model", "nowhere.keras"], "nowhere.keras"),
    "a missing image": (make_data, ["predict", "nowhere.png"], "nowhere.png"),
    "no predictions": (make_data, ["evaluate"], "predict"),
    "a foreground value that is not there": (make_data, ["--foreground", "7"], "--foreground 7"),
    "a foreground name that is not there": (make_data, ["--foreground", "Tumor"], "none is --foreground Tumor"),
    "no foreground value": (make_data, ["--foreground", "1,"], "such as 2"),
    "wrong classes": (make_data, ["train", "--classes", "3"], "class ids 0 to 2"),
    "an option that is no number": (make_data, ["--epochs", "many"], "many"),
    "no epochs": (make_data, ["--epochs", "0"], "from 1"),
    "a number that is none": (make_data, ["--classes", "²"], "²"),
    "two words for one option": (make_data, ["--foreground", "1", "2"], "2"),
    "a seed too large": (make_data, ["--seed", "99999999999999999999999"], "from 0"),
    "a run outside of runs": (make_data, ["--run", "../escape"], "escape"),
    "classes and foreground": (make_data, ["train", "--classes", "2", "--foreground", "1"], "Leave one out"),
    "a folder as model": (make_data, ["predict", "--model", "."], "model"),
    "a file for a folder": (make_data, ["predict", "--model", "x.keras", "--out", str(ROOT / "main.py")], "main.py"),
    "a damaged record": (damaged_record, ["evaluate"], "predictions.json"),
    "an unknown command": (make_data, ["fly"], "fly"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_line_and_status_2(tmp_path, fault, capsys):
    make, arguments, named = FAULTS[fault]
    folder = tmp_path / "data"
    make(folder)
    before = listing(tmp_path)
    command, rest = (arguments[:1], arguments[1:]) if arguments and arguments[0].isalpha() else ([], arguments)
    try:
        status = main.main([*command, "--data", str(folder), *rest])
    except SystemExit as stop:  # argparse's own way out
        status = stop.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line
    assert listing(tmp_path) == before, "something was written"


def test_check_names_every_fault_and_draws_a_sheet(tmp_path, capsys):
    data = make_data(tmp_path / "data")
    broken_image(data)
    (data / "Train data" / "Masks" / "cell1.png").unlink()
    before = listing(data)
    assert main.main(["check", "--data", str(data)]) == 2
    said = capsys.readouterr()
    assert "FATAL   unreadable image: Train data/Images/cell3.png" in said.out
    assert "FATAL   missing mask: Train data/Images/cell1.png" in said.out
    (line,) = said.err.splitlines()
    assert line == "error: 2 kinds of fault above would spoil a training; expected none. Mend them and run check again."
    after = listing(data)
    assert read(data / "check.png").shape[2] in (3, 4)
    assert after.keys() - before.keys() == {data / "check.png"}
    assert all(after[path] == content for path, content in before.items()), "a user's file was changed"


def test_raw_fields_alone_are_cut_before_training(tmp_path, monkeypatch):
    make_folder(tmp_path / "data")
    (tmp_path / "data" / "Train data").rename(tmp_path / "data" / "Raw data")
    seen = []

    def train(run, found):
        seen.append((run.settings.foreground, (run.data / "fields.csv").is_file()))
        raise KeyboardInterrupt  # the rest of the chain is tested above

    monkeypatch.setattr("training.train.train", train)
    assert main.main(["--data", str(tmp_path / "data"), "--foreground", "255"]) == 130
    assert seen == [((255,), True)]


def stop(*_):
    """For `main.fit`: the rest of the chain is tested above."""
    raise KeyboardInterrupt


def one_folder_an_image(raw):
    """The layout of the Data Science Bowl 2018, from Images and Masks."""
    for image in sorted((raw / "Images").iterdir()):
        for kind, name in (("images", image.name), ("masks", "nucleus.png")):
            (raw / image.stem / kind).mkdir(parents=True)
            shutil.move(raw / kind.capitalize() / image.name, raw / image.stem / kind / name)
    for kind in ("Images", "Masks"):
        (raw / kind).rmdir()


def one_folder_for_all(raw):
    for mask in (raw / "Masks").iterdir():
        shutil.move(mask, raw / f"{mask.stem}_mask.png")
    for image in (raw / "Images").iterdir():
        shutil.move(image, raw)
    for kind in ("Images", "Masks"):
        (raw / kind).rmdir()


@pytest.mark.parametrize("arrange", [lambda raw: None, one_folder_an_image, one_folder_for_all])
@pytest.mark.parametrize("command", [[], ["prepare"]], ids=["chain", "prepare"])
def test_raw_data_in_any_layout_are_cut_and_never_joined_by_the_sample(tmp_path, monkeypatch, capsys, arrange, command):
    raw = make_folder(tmp_path / "data") / "Raw data"
    (tmp_path / "data" / "Train data").rename(raw)
    arrange(raw)
    before = listing(tmp_path)
    monkeypatch.setattr(main, "fit", stop)
    assert main.main(["check", "--data", str(tmp_path / "data")]) == 2  # there is nothing to train on yet
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert "holds 6 images that are not prepared" in said.out and "python main.py prepare --data" in said.out
    assert "1 fatal, 0 warning" in said.out and listing(tmp_path) == before
    assert main.main([*command, "--data", str(tmp_path / "data")]) == (0 if command else 130)
    assert len((tmp_path / "data" / "fields.csv").read_text().splitlines()) == 1 + 6
    assert {path: content for path, content in listing(tmp_path).items() if path in before} == before
    assert main.main(["prepare", "--data", str(tmp_path / "data")]) == 0
    assert "already prepared" in capsys.readouterr().out


def test_training_folders_in_other_layouts_are_not_called_empty(tmp_path, monkeypatch):
    one_folder_an_image(make_folder(tmp_path) / "Train data")
    monkeypatch.setattr(main, "fit", stop)
    assert main.main(["--data", str(tmp_path)]) == 130
    assert not (tmp_path / "fields.csv").exists()


def test_foreground_is_remembered_and_may_be_another_later(tmp_path, monkeypatch, capsys):
    data = make_folder(tmp_path / "data", classes=3)
    (data / "Train data").rename(data / "Raw data")
    monkeypatch.setattr(main, "ROOT", tmp_path)
    seen = []
    monkeypatch.setattr("training.train.train", lambda run, found: seen.append((run.settings, found)) or 1 / 0)
    for given, expected in (("2", (2,)), (None, (2,)), ("1", (1,)), (None, (2,))):  # prepared by the first
        with pytest.raises(ZeroDivisionError):
            main.main(["--data", str(data), *(["--foreground", given] if given else [])])
        settings, found = seen.pop()
        assert settings.foreground == expected and found.survey.mask_values.keys() == {0, 1, 2}
        assert len(found.pairing.pairs) == len(found.survey.sizes)
        words = {"1": "--foreground 1 now, 2 as", None: "--foreground 2, as `prepare` was told"}.get(given, "")
        assert words in capsys.readouterr().out
    assert main.main(["check", "--data", str(data)]) == 0
    assert "foreground: 2" in capsys.readouterr().out


def test_training_reads_each_file_once(tmp_path, monkeypatch):
    import model

    data = make_data(tmp_path / "data")
    monkeypatch.setattr(main, "ROOT", tmp_path)
    monkeypatch.setattr(model, "unet", lambda *args, **given: 1 / 0)  # all has been read before there is a network
    read_files, real = [], images._read_any
    monkeypatch.setattr(images, "_read_any", lambda path, labels: read_files.append(path) or real(path, labels))
    with pytest.raises(ZeroDivisionError):
        main.main(["train", "--data", str(data)])
    for path in data.rglob("*.png"):
        assert read_files.count(path) == 1, path.name


def test_the_public_set_is_fetched_on_request(tmp_path, monkeypatch):
    from preparing import download

    asked = []
    monkeypatch.setattr(download, "fetch_cervix", asked.append)
    assert main.main(["prepare", "--source", "cervix", "--data", str(tmp_path)]) == 0
    assert asked == [tmp_path]


def test_the_limit_of_pixels_can_be_raised(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10)
    data = make_folder(tmp_path / "data")
    assert main.main(["check", "--data", str(data)]) == 2
    assert "--max-megapixels" in capsys.readouterr().out
    assert main.main(["check", "--data", str(data), "--max-megapixels", "1"]) == 0


@pytest.mark.parametrize("arguments", [["check"], ["evaluate"], ["check", "--max-megapixels", "7"]])
def test_a_program_that_calls_main_finds_its_own_settings_again(tmp_path, arguments):
    def own(number, frame):
        """What the calling program does when it is told to end."""

    made, limit, theirs = make_folder(tmp_path / "data"), decoding.MAX_PIXELS, signal.signal(signal.SIGTERM, own)
    try:
        before = process_state()
        main.main([*arguments, "--data", str(made)])
        assert process_state() == before and limit == decoding.MAX_PIXELS
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, theirs)


def test_check_of_good_data_is_status_0_and_needs_no_keras(tmp_path):
    data = make_folder(tmp_path / "data")
    code = f"import sys, main; print(main.main(['check', '--data', {str(data)!r}]), 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 False\n") and "0 fatal, 0 warning" in done.stdout
    assert "6 images, 6 with masks" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help_answers_and_names_the_commands(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == ""
    assert "--data" in done.stdout


def test_help_and_errors_do_not_wait_for_keras():
    code = "import sys, main\ntry: main.main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"'keras'", "'numpy'", "'cv2'", "'PIL'"} & set(modules.rsplit("[", 1)[1].replace("]", "").split(", "))


def test_options_mean_the_same_before_and_after_a_command():
    parser = main.command_line()
    for arguments in (["--data", "x", "train", "--seed", "3"], ["--seed", "3", "train", "--data", "x"]):
        given = vars(parser.parse_args(arguments))
        command = given.pop("command")
        values = options.for_command(parser, command, given)
        assert command == main.train and values == {"data": Path("x"), "learning": {"seed": 3}}


def test_options_that_a_command_does_not_take_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--filters", "16", "evaluate"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: --filters received, which evaluate does not take")


def test_the_newest_model_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    for age, name in enumerate(["new", "old"]):
        path = tmp_path / "runs" / name / "model.keras"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert run_folder.newest_model(tmp_path / "runs").parent.name == "new"


def test_a_folder_of_runs_that_is_not_there_is_no_reason_for_other_weights(tmp_path, capsys):
    assert main.main(["predict", str(make_folder(tmp_path)), "--runs", str(tmp_path / "norun")]) == 2
    assert "norun: no such folder; expected one with runs in it" in capsys.readouterr().err


def test_before_any_run_the_shipped_weights_predict(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    assert run_folder.newest_model(tmp_path / "runs") == start.PAP_SMEAR and "no run yet" in capsys.readouterr().out
    monkeypatch.setattr(start, "PAP_SMEAR", tmp_path / "missing.keras")
    with pytest.raises(InputError, match="no trained model; expected runs"):
        run_folder.newest_model(tmp_path / "runs")


def test_a_missing_model_is_said_before_anything_is_read(tmp_path, monkeypatch, capsys):
    data = make_data(tmp_path / "data")
    for name in ("predicting.folder.find_images", "checking.doctor.refuse_unfit", "main.quiet_start"):
        monkeypatch.setattr(name, lambda *_, **__: 1 / 0)
    for command in (["predict", "--model"], ["train", "--init"], ["--init"], ["export", "--model"]):
        assert main.main([*command, str(tmp_path / "nowhere.keras"), "--data", str(data)]) == 2
        assert "no model file" in capsys.readouterr().err


def test_a_failed_prediction_leaves_no_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "kept").mkdir()
    out = tmp_path / "kept" / "one" / "two"
    assert main.main(["predict", str(tmp_path / "a.png"), "--model", str(start.PAP_SMEAR), "--out", str(out)]) == 2
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.parametrize("arguments", [[], ["check"], ["predict", "a.png"], ["export", "--model", "m.keras"]])
def test_without_the_requirements_one_line_says_what_to_install(tmp_path, arguments):
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "main.py"), *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no package ") and "-m pip install -r" in line


def test_a_module_of_our_own_that_is_missing_is_a_bug(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "checking.doctor", None)
    with pytest.raises(ModuleNotFoundError):
        main.main(["check", "--data", str(tmp_path)])


def test_classes_given_to_prepare_are_remembered(tmp_path, monkeypatch, capsys):
    data = make_folder(tmp_path / "data", classes=3)
    (data / "Train data").rename(data / "Raw data")
    monkeypatch.setattr(main, "ROOT", tmp_path)
    seen = []
    monkeypatch.setattr("training.train.train", lambda run, found: seen.append(run.settings) or 1 / 0)
    assert main.main(["prepare", "--data", str(data), "--classes", "3"]) == 0
    for command, classes in (
        ([], 3),
        (["train"], 3),
        (["train", "--classes", "3"], 3),
        (["train", "--foreground", "2"], 1),
    ):
        with pytest.raises(ZeroDivisionError):
            main.main([*command, "--data", str(data)])
        assert seen.pop().classes == classes
    assert main.main(["check", "--data", str(data)]) == 0
    assert "--classes 3, as `prepare` was told" in capsys.readouterr().out
    assert main.main(["check", "--data", str(data), "--classes", "1"]) == 0
    assert "--classes 1 now, 3 as `prepare` was told" in capsys.readouterr().out
    assert main.main(["check", "--data", str(data), "--classes", "2"]) == 2  # which the masks do not fit


def test_the_classes_of_the_sample_are_remembered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("preparing.sample.write_sample.__kwdefaults__", {
        "seed": 0, "classes": 1, "colour": False, "numbered": False, "train": (2, 1), "test": (1, 1), "size": 64,
    })  # fmt: skip
    assert main.main(["prepare", "--source", "sample", "--classes", "3", "--data", str(tmp_path)]) == 0
    assert main.main(["check", "--data", str(tmp_path)]) in (0, 2)
    assert "--classes 3, as `prepare` was told" in capsys.readouterr().out
    assert main.main(["prepare", "--source", "cervix", "--classes", "3", "--data", str(tmp_path / "b")]) == 2


@pytest.mark.slow
def test_a_fresh_clone_predicts_without_training(tmp_path):
    from preparing.sample import make_field

    image, mask = make_field(100, 0, size=512)
    write_png(tmp_path / "a.png", image)
    assert main.main(["predict", str(tmp_path / "a.png"), "--model", str(start.PAP_SMEAR), "--out", str(tmp_path)]) == 0
    found, nucleus = read_mask(tmp_path / "a_predict.png") > 0, mask == 2
    assert 2 * (found & nucleus).sum() / (found.sum() + nucleus.sum()) > 0.8


def test_output_that_nobody_reads_to_its_end_is_no_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, ROOT / "main.py", "check", "--data", make_folder(tmp_path)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 141 and not done.stderr
