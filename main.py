"""Segment cells with a U-Net: prepare → train → predict → evaluate.

python main.py                        the whole chain; on the embedded sample while the data folder is empty
python main.py --data my_folder       the same on your own images and masks
python main.py predict my_image.tif   masks for any image, by the newest model
python main.py suggest many_pictures  which of many pictures to annotate next
"""

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

if sys.version_info < (3, 11):  # noqa: UP036 - said here, in words that an older Python reads too
    received = "Python " + ".".join(map(str, sys.version_info[:2])) + " (" + sys.executable + ")"
    print("error: " + received + " received; expected 3.11, 3.12 or 3.13. Install one of these.", file=sys.stderr)
    sys.exit(2)

import options

ROOT = Path(__file__).resolve().parent
TEST_IMAGES, PREDICTED = Path("Test data", "Images"), Path("Test data", "Predicted images")
NOTHING = MappingProxyType({})


def main(arguments=None):
    """Run the command line. Returns the exit status: 0 done, 2 the input or an option is wrong."""
    parser = command_line()
    given = vars(parser.parse_args(arguments))
    if "minutes" in given and given.keys() & {"epochs", "steps"}:
        parser.error("--minutes received with --epochs or --steps, which it chooses; leave one out")
    command, megapixels, stack = (given.pop(name, None) for name in ("command", "max_megapixels", "stack"))
    command = command or run_all
    values = options.for_command(parser, command, given)
    try:
        with stopped_by_signals():
            return run_command(command, values, megapixels, stack)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package in sys.stdlib_module_names or (ROOT / package).exists() or (ROOT / f"{package}.py").exists():
            raise
        python = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"
        newer = ", made for Python 3.11 to 3.13" if sys.version_info > (3, 14) else ""
        print(
            f"error: no package {package} in {python}; expected those of requirements.txt{newer}. Install them: "
            f'"{sys.executable}" -m pip install -r "{ROOT / "requirements.txt"}"',
            file=sys.stderr,
        )
        return 2


def run_command(command, values, megapixels, stack):
    """Run a command with its keyword arguments. Returns the exit status."""
    from reading.decoding import at_most
    from reading.files import InputError
    from reading.stacks import as_one

    try:
        with at_most(megapixels), as_one(stack):
            command(**values)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own last word fails neither
        return 141
    except OSError as error:
        if error.filename is None:  # not about a path: a bug
            raise
        reason = error.strerror or type(error).__name__
        print(f"error: {error.filename}: {reason}; expected a path that can be used. Choose another.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be closed
            print(stop if stop.args else "stopped", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    return 0


def command_line():
    """The parser of all options."""
    commands = (prepare, check, train, predict, evaluate, suggest, correct, export)
    return options.make_parser(__doc__, {command.__name__: command for command in commands})


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: what `kill`, a computer that shuts down and a terminal that is closed send."""


@contextmanager
def stopped_by_signals():
    """Within, SIGTERM and SIGHUP end the program as Ctrl-C does; afterwards they do what they did before."""

    def stop(number, frame):
        raise Terminated

    before = {}
    if threading.current_thread() is threading.main_thread():  # no other can set one
        for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
            handler = signal.getsignal(number)  # None: one that Python could not put back
            if handler is not None and (number == signal.SIGTERM or handler is not signal.SIG_IGN):  # as by `nohup`
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------------------------------------------------- commands


def run_all(
    data=None, run=None, runs=None, resume=False, minutes=None, from_card=None, learning=NOTHING, wanted=NOTHING
):
    """prepare if there is nothing yet, train, predict, evaluate."""
    from pairing.pairs import has_files
    from predicting.record import refuse_corrected
    from preparing.sources import fill_if_empty
    from reading.files import refuse_read_only, typed
    from reading.folder_lock import in_turn
    from reporting.next_command import say_correct

    runs = runs or ROOT / "runs"
    training = begin(data, runs, run, resume, minutes, from_card, learning)
    kept = {name: learning[name] for name in ("seed", "classes", "foreground", "ignore") if name in learning}
    with in_turn(training.data):  # so that no other chain fills it in between
        fill_if_empty(training.data, data is not None, **kept)
    if has_files(training.data, TEST_IMAGES):  # before the training rather than after it
        train_alone = f"python main.py train --data {typed(training.data)}"
        copy = f"Copy {training.data} to your disk; or train alone ({train_alone}), then predict with --out DIR."
        refuse_read_only(training.data / PREDICTED, copy)
        if wanted:
            refuse_corrected(training.data / PREDICTED)
    print("2 train")
    model = fit(training, "python main.py", data, runs)
    print("3 predict")
    if not has_files(training.data, TEST_IMAGES):
        print(f"no test images in {training.data / TEST_IMAGES}: nothing to score")
        return say_correct(training.settings.classes, training.data, runs=runs)
    with in_turn(training.data / PREDICTED):
        predict([], training.data, model, wanted=wanted, page=False)  # `evaluate` writes it, with the scores
        print("4 evaluate")
        settings = training.settings
        evaluate(training.data, None, settings.classes, settings.foreground, settings.ignore)


def prepare(data=None, source=None, annotations=None, colour=False, corrected=None, cutting=NOTHING):
    """Copy your images and masks into folders for training and testing; without any, make the sample."""
    from preparing.sources import fill
    from reporting.next_command import say_next
    from training.run_folder import has_finished

    fill(data or ROOT / "data", source, annotations, colour, corrected, **cutting)
    goes_on = corrected is not None and has_finished(ROOT / "runs")
    say_next("train --init newest" if goes_on else "check", data=data)


def check(data=None, classes=None, foreground=None, ignore=None):
    """Say what in the data folder would spoil a training, worst first, and draw a contact sheet to look at."""
    from checking.doctor import check_folder, refuse_absent
    from preparing.told import say_as_told, stack_of
    from reading import stacks
    from reading.folder_lock import while_whole
    from reporting.next_command import say_next

    data = data or ROOT / "data"
    with while_whole(data):
        told = say_as_told(data, classes, foreground, ignore)
        with stacks.as_one(stack_of(data, stacks.HOW)):
            refuse_absent(check_folder(data, *told).training, ignore)
    foreground, ignore = (values and ",".join(map(str, values)) for values in (foreground, ignore))
    say_next("", data=data, classes=classes, foreground=foreground, ignore=ignore)


def train(data=None, run=None, runs=None, resume=False, minutes=None, from_card=None, learning=NOTHING):
    """Train a network and keep it in a run folder."""
    from reporting.next_command import say_after_training

    runs = runs or ROOT / "runs"
    training = begin(data, runs, run, resume, minutes, from_card, learning)
    fit(training, "python main.py train", data, runs)
    say_after_training(training.settings.classes, training.data, runs=runs)


def predict(paths=(), data=None, model=None, runs=None, out=None, wanted=NOTHING, page=True):
    """Write a mask for each image named, or for each test image, and the page that shows them."""
    from pairing.groups import field_ranges
    from pairing.pairs import Pair
    from predicting.folder import Wanted, find_images, predict_paths
    from predicting.record import read_record
    from reading.files import counted, refuse_read_only, stem_of
    from reading.folder_lock import in_turn, while_whole
    from reporting.next_command import say_after_prediction
    from reporting.page import write_page
    from training.run_folder import data_of_model

    given = {"data": data, "out": out, "model": model, "runs": runs}
    data = data or ROOT / "data"
    out, wanted = out or data / PREDICTED, Wanted(**wanted)
    refuse_read_only(out, "Choose another place with --out DIR.")
    model = chosen_model(model, runs)
    with nullcontext() if paths else while_whole(data):
        found = find_images(paths or [data / TEST_IMAGES])
    with in_turn(out), ExitStack() as as_trained:
        cells = predict_paths(lambda: open_predictor(model, as_trained, **wanted.seeing()), found, out, wanted)
        print(f"{counted(len(found), 'mask')} written to {out} by {model}")
        if cells:
            print(*cells.summary(), sep="\n")
        if page:
            ranges = field_ranges(found)
            pairs = [Pair(stem_of(path), path, None, stem_of(path), ranges.get(path)) for path in found]
            print(f"to look at them, open {write_page(out, pairs)}")
            home = given["data"] or (data_of_model(model) if paths else None) or data
            say_after_prediction(read_record(out), home, paths, wanted, **given)


def evaluate(data=None, out=None, classes=None, foreground=None, ignore=None):
    """Score the predictions against the test masks."""
    from pairing.groups import with_tile_table
    from pairing.pairs import find_pairs
    from predicting.evaluate import evaluate_folder
    from predicting.record import read_record
    from preparing.told import prepared_classes, say_as_told
    from reading.folder_lock import in_turn, while_whole
    from reading.stacks import as_one
    from reporting.next_command import say_correct
    from reporting.page import write_page
    from scoring.metrics import table
    from training.run_folder import how_named

    data = data or ROOT / "data"
    tests, out = data / "Test data", out or data / PREDICTED
    with in_turn(out), while_whole(data):
        _, foreground, told = say_as_told(data, classes, foreground)
        record = read_record(out)
        with as_one(record.stack):
            start = partial(started_from, record)
            of_truth = {"truth_classes": prepared_classes(data), "truth_ignore": told}
            scores = evaluate_folder(tests, out, classes, foreground, start=start, ignore=ignore, **of_truth)
            page = write_page(out, with_tile_table(find_pairs(tests, masks="optional"), data), scores)
    if scores is None:
        print(f"no masks in {tests / 'Masks'}: nothing to score against")
    else:
        print(*table(scores), sep="\n")
        worst = min(scores["images"], key=lambda image: image["dice"])
        print(f"lowest Dice {worst['dice']:.3f}: {worst['name']}; scores of each image: {out / 'scores.json'}")
    print(f"to look at them, open {page}")
    say_correct(record.classes, data, **how_named(record.model), **vars(record.stated))


def correct(paths=(), data=None, model=None, runs=None, browser=True, stated=NOTHING):
    """Correct cells in the browser, on a page of this computer alone; what is done becomes training data."""
    from correcting.serve import correct as serve_page
    from preparing.told import prepared_classes, stack_of
    from reading.files import InputError
    from reading.stacks import as_one
    from training.run_folder import newest_model
    from weights.model_files import model_file

    data, runs = data or ROOT / "data", runs or ROOT / "runs"
    told = prepared_classes(data) or 1
    if told > 1:
        raise InputError(
            f"{data}: prepared with --classes {told}; expected one class, since `correct` shows cells and background. "
            "Correct several classes in QuPath (docs/own_images.md says how)."
        )

    chosen = model_file(model) if model else newest_model(runs)
    with as_one(stack_of(data)):
        serve_page(data, paths, chosen, load_predictor, runs, browser, stated)


def suggest(paths, data=None, model=None, runs=None, out=None, stated=NOTHING):
    """Say which of many pictures to annotate next, and where in them the network is in doubt."""
    from predicting.folder import list_pictures
    from predicting.magnification import Stated
    from predicting.suggest import rank, to_rank
    from reading.files import InputError, counted, refuse_read_only
    from reading.folder_lock import in_turn, while_whole
    from reporting.next_command import correct_command
    from reporting.suggest_page import PAGE, TABLE, refuse_others_files, write_suggestions
    from training.run_folder import data_of_model

    told = {"model": model, "runs": runs, **stated}
    model = chosen_model(model, runs)
    data = data or data_of_model(model) or ROOT / "data"
    out = out or data / "Suggested"
    refuse_read_only(out, "Choose another place with --out DIR.")
    with while_whole(data):
        pictures, annotated = to_rank(list_pictures(paths, "suggest"), data)
    with in_turn(out), ExitStack() as as_trained:
        refuse_others_files(out)
        predictor = open_predictor(model, as_trained, stated=Stated(**stated))
        found, unreadable = rank(predictor, pictures, annotated)
        command = correct_command(predictor.classes, data, [one.path for one in found[:2]], **told)
        write_suggestions(out, found, model, command, unreadable)
    print(f"{counted(len(found), 'picture')} ranked by {model}; first {found[0].path.name}: {found[0].reason}")
    print(f"all in order: {out / TABLE}; to look at them, open {out / PAGE}")
    print(f"next: {command}")
    if unreadable:
        raise InputError(f"{'; '.join(map(str, unreadable))} (all others are ranked)")


def export(model=None, format="onnx", data=None):
    """Write a trained model as ONNX beside it, for other programs; `predict` then starts faster."""
    from reading.files import InputError, counted, typed
    from training import run_card
    from weights.model_files import NETWORKS, model_file

    if model is None:
        raise InputError("no model named; expected one to export. Name it with --model FILE.")
    model = model_file(model, NETWORKS)
    with quiet_start():
        from predicting.export import export_onnx
    target = model.with_suffix(".onnx")
    difference = export_onnx(model, target)
    print(f"{target} written; largest difference of a probability to Keras: {difference:.1e}")
    if format == "int8":
        from predicting.quantize import quantize

        card = model.with_name(run_card.CARD)
        trained_on = run_card.data_of(run_card.read_card(card)) if card.is_file() else None
        small = model.with_name(f"{model.stem}_int8.onnx")
        found = quantize(target, small, data or trained_on or ROOT / "data")
        ones = counted(found.images, f"{found.kind} image")
        print(
            f"{small} written: Dice {found.dice:.4f} where the exact model has {found.exact_dice:.4f} ({ones}), in "
            f"{found.seconds / found.exact_seconds:.0%} of its time. To use it: python main.py predict --model "
            f"{typed(small)}"
        )


# ---------------------------------------------------------------------------------------------------------- training


def begin(data, runs, name, resume, minutes, from_card, learning):
    """The `run.Run` that these options describe: a new one, one to go on with, or one to repeat."""
    from reading import stacks
    from reading.files import refuse_read_only
    from training import run_card, run_folder
    from training.run import Run
    from training.settings import Settings
    from weights.model_files import NETWORKS, model_file

    learning = {**learning, "stack": stacks.HOW} if stacks.HOW else learning
    started, folder, card = time.time(), None, None
    if learning.get("init", "none") != "none":  # a missing file is said before any other is read
        newest = learning["init"] == "newest"
        init = run_folder.newest_finished(runs) if newest else model_file(learning["init"], NETWORKS)
        learning = learning | {"init": os.path.abspath(init)}
    if resume:
        folder, card = run_folder.find_unfinished(runs, name)
    elif name:
        folder = runs / name
        run_folder.refuse_taken(folder)
    if from_card:
        card = run_card.read_card(from_card / run_card.CARD if from_card.is_dir() else from_card)
    refuse_read_only(folder or runs, "Choose another place for the runs with --runs DIR.")
    data = data or (card and run_card.data_of(card)) or ROOT / "data"
    if card is None:
        settings = Settings(**({"classes": None} | learning))  # not given: as `prepare` was told
        return Run(data, folder, settings, minutes=minutes, started=started)
    if learning.keys() & {"foreground", "ignore"}:
        from preparing.told import say_as_told

        given = (learning.get(name) for name in ("classes", "foreground", "ignore"))
        _, foreground, ignore = say_as_told(data, *given)
        learning = learning | {"foreground": foreground, "ignore": ignore}
    run_card.refuse_others(card, learning, f"run {folder.name}" if resume else from_card)
    settings, lines = run_card.settings_of(card)
    for line in lines:
        print(f"not as then: {line}")
    return Run(data, folder, settings, card, resume, minutes, started)


def fit(run, command, data, runs):
    """Train a run: check its data, fit, draw the curves, export. Returns the model file.

    command, data : what the user typed, to be told how to go on after a stop. runs : the folder of all runs.
    """
    from checking.doctor import refuse_absent, refuse_unfit
    from preparing.told import say_as_told, stack_of
    from reading.folder_lock import while_whole
    from reading.stacks import as_one
    from training import run_folder

    settings = run.settings
    with while_whole(run.data):
        given, told = settings.ignore, say_as_told(run.data, settings.classes, settings.foreground, settings.ignore)
        settings.classes, settings.foreground, settings.ignore = told
        settings.stack = stack_of(run.data, settings.stack)
        # now, rather than after Keras has loaded or minutes of training
        with as_one(settings.stack):
            found = refuse_unfit(run.data, *told)
        refuse_absent(found, given)
    with quiet_start():
        from training.train import train as fit_network
    run.folder = run.folder or run_folder.new_run(runs)
    try:
        with as_one(settings.stack):
            card = fit_network(run, found=found)
    except KeyboardInterrupt as stop:
        stop.args = (run_folder.how_to_go_on(run.folder, command, data_option(data)),)
        raise
    finally:
        with suppress(OSError):  # only where nothing was written
            run.folder.rmdir()
    from reporting.figures import draw_curves

    draw_curves(run.folder / "history.csv", run.folder / "curves.png")
    model = run.folder / "model.keras"
    export_quietly(model)
    print(f"trained in {card['seconds']:.0f} s ({card['training_tflop']} TFLOP); run folder: {run.folder}")
    return model


def chosen_model(model, runs):
    """The model file that --model names, else the newest run's; says which."""
    from reading.files import InputError
    from training.run_folder import newest_model
    from weights.model_files import model_file

    if runs and not runs.is_dir():
        raise InputError(f"{runs}: no such folder; expected one with runs in it. Correct --runs, or name a --model.")
    return model_file(model) if model else newest_model(runs or ROOT / "runs")


def load_predictor(model, **seeing):
    """The `Predictor` of a model file; seeing : its other arguments."""
    with quiet_start():
        from predicting.predictor import Predictor

        return Predictor(model, **seeing)


def open_predictor(model, as_trained, **seeing):
    """As `load_predictor`; until `as_trained`, an ExitStack, ends, stacks are read as in its training."""
    from reading import stacks

    predictor = load_predictor(model, **seeing)
    as_trained.enter_context(stacks.as_trained(predictor.metadata.get("settings", {}).get("stack")))
    return predictor


def data_option(data):
    """The end of a command that is to work on the same data folder; empty for the usual one."""
    from reading.files import typed

    return f" --data {typed(data)}" if data else ""


def started_from(record):
    """The `predictor.Predictor` of the weights from which the model of a `record.Record` was trained; None of none."""
    from training.run_folder import start_weights

    weights = None if record.listed is None else start_weights(record.model)
    return weights and load_predictor(weights, **record.seeing())


def export_quietly(model):
    """The export from which `predict` starts faster; without one it takes the model itself."""
    from predicting.export import export_onnx
    from reading.files import InputError

    try:
        with quiet_start():
            export_onnx(model, model.with_suffix(".onnx"))
    except InputError as error:
        print(f"no ONNX export: {error}")


@contextmanager
def quiet_start():
    """Hide what TensorFlow's libraries write to standard error while they load; none of it is about the user's data.

    They write to the file descriptor itself, before any log level is heeded. Python's own errors still appear, since
    they are raised.
    """
    from reading.files import environment

    sys.stderr.flush()
    with environment(TF_CPP_MIN_LOG_LEVEL="3"), open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
