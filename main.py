"""Segment cells with a U-Net: prepare → train → predict → evaluate.

python main.py                        the whole chain; on the embedded sample while the data folder is empty
python main.py --data my_folder       the same on your own images and masks
python main.py predict my_image.tif   masks for any image, by the newest model
"""

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from options import UNSET, make_parser
from training.run_folder import newest_model

ROOT = Path(__file__).resolve().parent


def main(arguments=None):
    """Run the command line. Returns the exit status: 0 done, 2 the input or an option is wrong."""
    parser = command_line()
    args = parser.parse_args(arguments, argparse.Namespace(**UNSET))
    if args.minutes and (args.epochs or args.steps):
        parser.error("--minutes received with --epochs or --steps, which it chooses; leave one out")
    args.started = time.time()
    args.data_given = args.data is not None
    args.data = args.data or ROOT / "data"
    command = args.command or run_all
    stop_on_sigterm()
    from reading import images
    from reading.files import InputError

    images.MAX_PIXELS = int(args.max_megapixels * 1e6) if args.max_megapixels else images.MAX_PIXELS
    try:
        command(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:  # not about a path: a bug
            raise
        reason = error.strerror or type(error).__name__
        print(f"error: {error.filename}: {reason}; expected a path that can be used. Choose another.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(stop if stop.args else "stopped", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    return 0


def command_line():
    """The parser of all options."""
    return make_parser(__doc__, prepare, check, train, predict, evaluate, export)


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what `kill` and a computer that shuts down send."""


def stop_on_sigterm():
    """Let SIGTERM end the program as Ctrl-C does."""

    def stop(number, frame):
        raise Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


# ---------------------------------------------------------------------------------------------------------- commands


def run_all(args):
    """prepare if there is nothing yet, train, predict, evaluate."""
    from pairing import pairs
    from training.run_folder import in_turn

    take_up(args)
    with in_turn(ROOT / "runs", args.data):
        prepare_if_empty(args)
    print("2 train")
    args.model = train(args)
    print("3 predict")
    if pairs.has_files(args.data, "Test data/Images"):
        with in_turn(ROOT / "runs", args.data):
            predict(args, page=False)  # `evaluate` writes it, with the scores
            print("4 evaluate")
            evaluate(args)
    else:
        print(f"no test images: put some in {args.data / 'Test data' / 'Images'}, then run: python main.py predict")


def prepare_if_empty(args):
    """The first step of the chain: nothing where there are images to train on."""
    from pairing import pairs
    from preparing.prepare import is_cut_short, refuse_forgotten_source
    from reading.files import holds_files

    if not (pairs.has_files(args.data) or holds_files(args.data / "Train data")):
        if args.data_given and not (holds_files(args.data / "Raw data") or is_cut_short(args.data)):
            refuse_forgotten_source(args.data)
            raise pairs.InputError(
                f"{args.data}: no images; expected 'Train data/Images' and 'Train data/Masks' in it, or whole fields "
                f"in 'Raw data/Images' and 'Raw data/Masks'. Put your images "
                f'there, or make the sample there with: python main.py prepare --data "{args.data}"'
            )
        print("1 prepare")
        prepare(args)
    else:
        print(f"1 prepare: images found in {args.data}")


def prepare(args):
    """Cut your images and masks into tiles for training and testing; without any, make the sample."""
    from preparing.prepare import TILE_TABLE, is_cut_short, prepare_tiles, refuse_forgotten_source
    from reading.files import holds_files

    nothing = args.source is None and not (holds_files(args.data / "Raw data") or is_cut_short(args.data))
    if args.source == "sample" or (nothing and args.annotations is None):
        if nothing:
            refuse_forgotten_source(args.data)
        from preparing.sample import write_sample

        write_sample(args.data, seed=args.seed or 0, classes=args.classes or 1, colour=args.colour)
        print(f"sample images and masks written to {args.data / 'Train data'} and {args.data / 'Test data'}")
        return
    if args.source == "cervix":
        from preparing.download import fetch_cervix

        fetch_cervix(args.data)
        return
    names = (
        "annotations",
        "tile_px",
        "overlap_px",
        "keep_empty",
        "test_share",
        "group_by",
        "classes",
        "foreground",
        "seed",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    done = prepare_tiles(args.data, args.source, **given)
    print(done.table())
    if done.written:
        print(f"{done.written} files written to {args.data}; where each tile came from: {args.data / TILE_TABLE}")
    else:
        print(f"already prepared: {args.data} holds all of this")
    args.foreground = None  # in the tiles it is 255 now


def check(args):
    """Say what in the data folder would spoil a training, worst first, and draw a contact sheet to look at."""
    from checking import contact_sheet, doctor
    from reading.files import InputError

    apply_preparation(args)
    started = time.time()
    diagnosis = doctor.examine(args.data, args.classes or 1, args.foreground)
    print(*diagnosis.summary, sep="\n")
    for finding in diagnosis.findings:
        print(f"\n{finding}")
    counts = [f"{sum(f.severity == name for f in diagnosis.findings)} {name}" for name in doctor.SEVERITIES]
    images_read = f"{len(diagnosis.all_facts)} image{'s' * (len(diagnosis.all_facts) != 1)}"
    print(f"\n{', '.join(counts)}; {images_read} in {time.time() - started:.1f} s")
    path = args.data / "check.png"
    try:
        if drawn := contact_sheet.write_sheet(diagnosis, path):
            print(f"look at {drawn} of the images with their masks outlined: {path}")
    except OSError as error:  # a folder that only its owner may write to
        print(f"no contact sheet: {error}")
    if fatal := sum(finding.severity == "fatal" for finding in diagnosis.findings):
        counted, them = ("1 kind", "it") if fatal == 1 else (f"{fatal} kinds", "them")
        raise InputError(
            f"{counted} of fault above would spoil a training; expected none. Mend {them} and run check again."
        )


def check_quickly(args):
    """Refuse data that cannot be trained on, warn of test images that are trained on; returns the `Diagnosis`."""
    from checking import doctor

    apply_preparation(args)
    diagnosis = doctor.examine(args.data, args.classes or 1, args.foreground, thorough=False)
    diagnosis.refuse()
    for finding in diagnosis.findings:
        if finding.kind == "leakage":
            print(finding)
    return diagnosis


def apply_preparation(args):
    """Once `prepare` has cut tiles by --foreground, the option stands for 255 in them."""
    from preparing.tiles import foreground_in_tiles

    given = args.foreground
    args.foreground = foreground_in_tiles(args.data, args.classes or 1, given)
    if args.foreground != given:
        print(f"--foreground {','.join(map(str, given))}: `prepare` has applied it; in the tiles foreground is 255")


LEARNING = ("seed", "epochs", "steps", "batch", "classes", "foreground", "filters", "loss", "init")


def take_up(args):
    """Find, once, the run of --resume or the card of --from-card, and let its data folder and masks count."""
    if args.card or not (args.resume or args.from_card):
        return
    from training import run_card, run_folder

    if args.resume:
        args.run_dir, args.card = run_folder.find_unfinished(ROOT / "runs", args.run)
    else:
        args.card = run_card.read(args.from_card)
    use_data_of(args.card, args)
    if args.foreground:
        apply_preparation(args)
    given = {name: getattr(args, name) for name in LEARNING}
    run_card.refuse_others(args.card, given, f"run {args.run_dir.name}" if args.resume else args.from_card)


def use_data_of(card, args):
    """Take the data folder of a run card, where it is still there and the command names none."""
    data = Path(card.get("data", args.data))
    if not args.data_given and data.is_dir():
        args.data = data


def train(args):
    """Train a network and keep it in a run folder."""
    from training import run_card, run_folder

    take_up(args)
    if args.card:
        args.classes, args.foreground = args.card["settings"]["classes"], args.card["settings"]["foreground"]
        args.foreground = args.foreground and tuple(args.foreground)
    diagnosis = check_quickly(args)  # now, rather than after Keras has loaded or minutes of training
    with quiet_start():
        from training import train as training
        from training.settings import Settings

    if args.card:
        settings, lines = run_card.settings_of(args.card, Settings)
        for line in lines:
            print(f"not as then: {line}")
    else:
        given = {name: getattr(args, name) for name in LEARNING if getattr(args, name) is not None}
        settings = Settings(**given)
    run_dir = args.run_dir or run_folder.new_run(ROOT / "runs", args.run)
    try:
        card = training.train(
            args.data, run_dir, settings, found=diagnosis.training, resume=args.resume, minutes=args.minutes,
            started=args.started, like=None if args.resume else args.card,
        )  # fmt: skip
    except KeyboardInterrupt as stop:
        data = f' --data "{args.data}"' if args.data_given else ""
        stop.args = (run_folder.how_to_go_on(run_dir, f"python main.py{' train' if args.command else ''}", data),)
        raise
    finally:
        with suppress(OSError):  # only where nothing was written
            run_dir.rmdir()

    from reporting.figures import draw_curves

    draw_curves(run_dir / "history.csv", run_dir / "curves.png")
    export_quietly(run_dir / "model.keras")
    print(f"trained in {card['seconds']:.0f} s ({card['training_tflop']} TFLOP); run folder: {run_dir}")
    return run_dir / "model.keras"


def export_quietly(model):
    """The export from which `predict` starts faster; without one it takes the model itself."""
    from predicting.export import export_onnx
    from reading.files import InputError

    try:
        with quiet_start():
            export_onnx(model, model.with_suffix(".onnx"))
    except InputError as error:
        print(f"no ONNX export: {error}")


def predict(args, page=True):
    """Write a mask for each image named, or for each test image, and the page that shows them."""
    from pairing.groups import tile_ranges
    from pairing.pairs import Pair
    from predicting.folder import SUFFIX, predict_files, refuse_shared_names, write_record
    from predicting.predictor import Predictor
    from predicting.whole_slides import predict_whole
    from reading import images
    from reading.files import InputError
    from reading.large import is_large, open_source
    from reading.slides import SUFFIXES
    from reporting.page import write_page

    test_dir = args.data / "Test data"
    paths = []
    for given in args.paths or [test_dir / "Images"]:
        paths += images.list_images(given, SUFFIXES) if given.is_dir() or not args.paths else [given]
    if not paths:
        raise InputError(
            f"{(args.paths or [test_dir / 'Images'])[0]}: no images to predict; expected PNG, TIFF or JPEG files. "
            "Put images there, or name them: python main.py predict my_image.png"
        )
    for path in paths:
        if not path.is_file():  # said before the seconds that loading a model takes
            raise InputError(f"{path}: no such file or folder; expected images there. Check the path.")
    refuse_shared_names(paths)
    large = {path: is_large(path) for path in paths}
    fields, slides = ([path for path in paths if large[path] == kind] for kind in (False, True))
    if args.mpp or args.region:
        for path in slides:  # wrong options, before anything is predicted
            open_source(path, args.mpp, args.region).close()
    model = args.model or newest_model(ROOT / "runs")
    out_dir = args.out or test_dir / "Predicted images"
    out_dir.mkdir(parents=True, exist_ok=True)
    with quiet_start():
        predictor = Predictor(model, args.flips)
    ranges = {} if args.paths else tile_ranges(args.data)
    if fields and (args.mpp or args.region):
        raise InputError(f"{fields[0]}: no slide; expected one with --mpp and --region. Leave these options out.")
    writer = None
    if args.cells or args.um_per_px or args.min_area:
        from measuring.cell_files import TABLE, CellWriter

        writer = CellWriter(out_dir, args.um_per_px, args.min_area)
    if args.probability and slides:
        print("--probability: kept for images, not for slides and large TIFFs, which get their masks alone")
    broken = []
    try:
        if fields:
            predict_files(predictor, fields, out_dir, args.probability, ranges, writer)
    except InputError as error:
        broken.append(error)
    for path in slides:
        target = out_dir / f"{path.stem}{SUFFIX}.tif"
        try:
            predict_whole(predictor, path, target, args.mpp, args.region, args.flips, writer)
            write_record(predictor, out_dir, writer is not None)
        except InputError as error:
            broken.append(error)
    if writer and slides and writer.tables:
        writer.finish()  # once more, now with the slides
    if broken:
        raise InputError("; ".join(map(str, broken)))
    print(f"{len(paths)} mask{'s' if len(paths) > 1 else ''} written to {out_dir} by {model}")
    if writer:
        print(f"{writer.total()} cells, one a row: {out_dir / TABLE}")
    if fields and page:  # slides are for QuPath, not for a page
        pairs = [Pair(path.stem, path, None, path.stem, ranges.get(path.name)) for path in fields]
        print(f"to look at them, open {write_page(out_dir, pairs)}")


def export(args):
    """Write a trained model as ONNX beside it, for other programs; `predict` then starts faster."""
    from reading.files import InputError

    if args.model is None:
        raise InputError("no model named; expected one to export. Name it with --model FILE.")
    with quiet_start():
        from predicting.export import export_onnx
    target = args.model.with_suffix(".onnx")
    difference = export_onnx(args.model, target)
    print(f"{target} written; largest difference of a probability to Keras: {difference:.1e}")
    if args.format == "int8":
        from predicting.quantize import quantize
        from training import run_card

        card = args.model.with_name(run_card.CARD)
        if card.is_file():  # the images that it was trained on, wherever they lie
            use_data_of(run_card.read(card), args)
        small = args.model.with_name(f"{args.model.stem}_int8.onnx")
        found = quantize(target, small, args.data)
        ones = f"{found.images} {found.kind} image{'s' * (found.images > 1)}"
        print(
            f"{small} written: Dice {found.dice:.4f} where the exact model has {found.exact_dice:.4f} ({ones}), in "
            f"{found.seconds / found.exact_seconds:.0%} of its time. To use it: python main.py predict --model "
            f'"{small}"'
        )


def evaluate(args):
    """Score the predictions against the test masks."""
    from pairing.groups import with_tile_table
    from pairing.pairs import find_pairs
    from predicting.evaluate import evaluate_folder
    from reporting.page import write_page
    from scoring.metrics import table

    apply_preparation(args)
    out_dir = args.out or args.data / "Test data" / "Predicted images"
    card = evaluate_folder(args.data / "Test data", out_dir, args.classes, args.foreground)
    page = write_page(out_dir, with_tile_table(find_pairs(args.data / "Test data", masks="optional"), args.data), card)
    if card is None:
        print(f"no masks in {args.data / 'Test data' / 'Masks'}: nothing to score against")
    else:
        print(*table(card), sep="\n")
        worst = min(card["images"], key=lambda image: image["dice"])
        print(f"lowest Dice {worst['dice']:.3f}: {worst['name']}; scores of each image: {out_dir / 'scores.json'}")
    print(f"to look at them, open {page}")


@contextmanager
def quiet_start():
    """Hide what TensorFlow's libraries write to standard error while they load; none of it is about the user's data.

    They write to the file descriptor itself, before any log level is heeded. Python's own errors still appear, since
    they are raised.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
