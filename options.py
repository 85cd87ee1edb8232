"""The options of the command line: their names, what they may hold, and their help.

An option that is not given has no value here: its default stands where it is used, in `training.settings.Settings`,
`preparing.told.Told` or the command itself.
"""

import argparse
import inspect
from pathlib import Path

# Options that a command takes together, as one dictionary of those that were given.
GROUPS = {
    "learning": (
        "seed", "epochs", "steps", "batch", "classes", "foreground", "ignore", "filters", "loss", "init",
        "um_per_px",
    ),
    "cutting": (
        "seed", "classes", "foreground", "ignore", "tile_px", "overlap_px", "keep_empty", "test_share", "group_by",
    ),
    "wanted": (
        "probability", "cells", "exclude_edges", "um_per_px", "min_area", "max_area", "qupath", "flips", "mpp",
        "region", "diameter",
    ),
    "stated": ("diameter", "um_per_px"),
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"error: {message}; all options: python {self.prog} --help\n")


def make_parser(description, commands):
    """The parser of the command line.

    description : text above the options. commands : {name: function}; the docstring of a function is its help. The
    command is kept under "command".
    """
    common, seed, masks, fitting, showing, runs = _common(), _seed(), _masks(), _fitting(), _showing(), _runs()
    network, pixel, diameter = _network(), _pixel_size(), _diameter()
    parser = Parser(
        prog="main.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common, seed, masks, fitting, runs, showing, pixel],
        argument_default=argparse.SUPPRESS,
    )
    parents = {
        "prepare": [seed, masks, _cutting()],
        "check": [masks],
        "train": [seed, masks, fitting, runs, pixel],
        "predict": [
            _pictures("*", "images or folders (default: Test data/Images)"),
            _writing(),
            showing,
            network,
            _predicting(),
            diameter,
            pixel,
            runs,
        ],
        "suggest": [
            _pictures("+", "pictures without masks, or folders of them"),
            _suggesting(),
            network,
            diameter,
            pixel,
            runs,
        ],
        "evaluate": [masks, _writing()],
        "correct": [_correcting(), diameter, pixel, runs],
        "export": [_exporting()],
    }
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, function in commands.items():
        command = subparsers.add_parser(
            name,
            help=function.__doc__.split("\n")[0],
            description=function.__doc__,
            parents=[common, *parents[name]],
            argument_default=argparse.SUPPRESS,
        )
        command.set_defaults(command=function)
    return parser


def for_command(parser, command, given):
    """The keyword arguments of a command from the options that were given, {name: value}, some of them in `GROUPS`.

    An option that the command does not take ends the program with one line.
    """
    taken, rest = {}, dict(given)
    parameters = inspect.signature(command).parameters
    for group in GROUPS.keys() & parameters.keys():
        taken[group] = {name: given[name] for name in GROUPS[group] if name in given}
        rest = {name: value for name, value in rest.items() if name not in taken[group]}
    for name in rest.keys() - parameters.keys():
        parser.error(f"--{name.replace('_', '-')} received, which {command.__name__} does not take; leave it out")
    return taken | rest


def _group():
    return argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)


def _common():
    """What every command takes."""
    group = _group()
    group.add_argument("--data", type=Path, metavar="DIR", help="the data folder (default: data, beside main.py)")
    group.add_argument(
        "--max-megapixels", type=whole_number(1), metavar="N", help="refuse images that claim more (default: 500)"
    )
    group.add_argument(
        "--stack",
        type=stack_reading,
        metavar="focus|min|max|mean|N",
        help="how a z-stack becomes one picture: the sharpest plane at each place, a projection, or plane N "
        "(default: stacks are refused)",
    )
    return group


def _masks():
    """What the values of the masks mean."""
    group = _group()
    group.add_argument(
        "--classes",
        type=whole_number(1, 255),
        metavar="K",
        help="1: binary; K: class ids 0…K-1 (default: as prepared, else 1)",
    )
    group.add_argument(
        "--foreground",
        type=mask_values,
        metavar="V[,V…]",
        help="mask values that count as foreground: numbers, colours such as '#ff0000', names of outline classes",
    )
    group.add_argument(
        "--ignore",
        type=mask_values,
        metavar="V[,V…]",
        help="mask values of pixels of which nothing is known, such as 255 beside class ids: they count nowhere "
        "(default: as prepared, else none)",
    )
    return group


def _seed():
    """The one number that every random draw follows."""
    group = _group()
    group.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), metavar="N", help="one seed gives one result (default: 0)"
    )
    return group


def _fitting():
    """How a network is trained."""
    group = _group()
    group.add_argument(
        "--run", type=run_name, metavar="NAME", help="name of the folder of this run (default: date and time)"
    )
    group.add_argument("--epochs", type=whole_number(1), metavar="N", help="passes over the data (default: 5)")
    group.add_argument("--steps", type=whole_number(1), metavar="N", help="batches an epoch (default: by the data)")
    group.add_argument("--batch", type=whole_number(1), metavar="N", help="crops a batch (default: 4)")
    group.add_argument("--filters", type=whole_number(1), metavar="F", help="filters of the first level (default: 8)")
    group.add_argument(
        "--loss",
        choices=("bce", "dice_bce"),
        help="cross-entropy alone or with Dice loss (default: bce, of 3 classes dice_bce)",
    )
    group.add_argument(
        "--init",
        metavar="newest|FILE|RUN|none",
        help="weights to start from: of your newest finished run, of a file or a run, none (default: the shipped ones "
        "where they fit)",
    )
    going = group.add_mutually_exclusive_group()
    going.add_argument(
        "--resume", action="store_true", help="go on with the run named by --run, or the newest that was stopped"
    )
    going.add_argument(
        "--minutes",
        type=number(1e6, "minutes, such as 10 or 0.5"),
        metavar="M",
        help="choose --epochs and --steps to fill M minutes",
    )
    going.add_argument(
        "--from-card", type=Path, metavar="FILE", help="repeat a run with the settings in its settings.json"
    )
    return group


def _runs():
    """Where trained networks are."""
    group = _group()
    group.add_argument(
        "--runs", type=Path, metavar="DIR", help="the folder of all runs (default: runs, beside main.py)"
    )
    return group


def _writing():
    """Where masks are."""
    group = _group()
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="where the masks are (default: Test data/Predicted images)"
    )
    return group


def _showing():
    """What is written beside the masks."""
    group = _group()
    group.add_argument("--probability", action="store_true", help="write 16-bit probability images too")
    group.add_argument("--cells", action="store_true", help="separate, measure and export the cells too")
    group.add_argument(
        "--exclude-edges",
        action="store_true",
        help="leave out cells that touch the edge of the picture, or of the region of a slide",
    )
    group.add_argument(
        "--min-area",
        type=number(float("inf"), "a number above 0, such as 0.25"),
        metavar="A",
        help="smallest cell, in square micrometres where the size of a pixel is known, else in pixels",
    )
    group.add_argument(
        "--max-area",
        type=number(float("inf"), "a number above 0, such as 0.25"),
        metavar="A",
        help="largest cell, in the same unit (default: no limit)",
    )
    group.add_argument(
        "--qupath",
        choices=("annotations", "detections"),
        help="what cells are in QuPath: annotations can be reshaped there, of detections it shows any number (default: "
        "annotations of pictures, detections of slides)",
    )
    return group


def _pixel_size():
    """How large the pixels of the pictures are."""
    group = _group()
    group.add_argument(
        "--um-per-px",
        type=number(float("inf"), "a number above 0, such as 0.25"),
        metavar="X",
        help="size of a pixel of all pictures, micrometres (default: as TIFF files state); where a model knows its "
        "own, pictures are brought to that",
    )
    return group


def _diameter():
    """How large the objects of the pictures are."""
    group = _group()
    group.add_argument(
        "--diameter",
        type=number(float("inf"), "a number above 0, such as 20"),
        metavar="D",
        help="pixels across a typical object in these pictures, where their magnification is not that of the pictures "
        "learnt (default: as those, or by the size of a pixel where model and file know it)",
    )
    return group


def _cutting():
    """How fields are made ready."""
    group = _group()
    group.add_argument(
        "--source",
        metavar="sample|cervix|FOLDER|FILE",
        help="the synthetic sample, the public real fields (download), or your images with masks "
        "(default: Raw data; where empty, the sample)",
    )
    group.add_argument(
        "--annotations", type=Path, metavar="FILE", help="what was drawn on the image or slide that --source names"
    )
    group.add_argument(
        "--corrected",
        type=Path,
        metavar="DIR",
        help="a folder of `predict --cells` in which you corrected cells (GeoJSON, ROI sets, label images): make "
        "training fields of them (--source: where the pictures are now)",
    )
    group.add_argument(
        "--tile-size",
        dest="tile_px",
        type=whole_number(16),
        metavar="N",
        help="cut the training fields into tiles of N px (default: fields stay whole)",
    )
    group.add_argument(
        "--overlap",
        dest="overlap_px",
        type=whole_number(0),
        metavar="N",
        help="px that neighbouring tiles share (default: 0)",
    )
    group.add_argument(
        "--keep-empty", type=float, metavar="SHARE", help="0…1 of the tiles without foreground (default: 1)"
    )
    group.add_argument(
        "--test-share", type=float, metavar="SHARE", help="of the groups, kept for testing (default: 0.2)"
    )
    group.add_argument(
        "--group-by", metavar="PATTERN|CSV", help="what is never split: a pattern of file names, or columns file,group"
    )
    group.add_argument("--colour", action="store_true", help="the sample in colour (default: grey)")
    return group


def _pictures(how_many, meaning):
    """Which pictures a command looks at; how_many : as argparse's `nargs`."""
    group = _group()
    group.add_argument("paths", nargs=how_many, type=Path, metavar="PATH", help=meaning)
    return group


def _network():
    """By which network."""
    group = _group()
    group.add_argument(
        "--model",
        type=Path,
        metavar="FILE|RUN",
        help="the trained network, or the folder of its run (default: the newest finished run's)",
    )
    return group


def _suggesting():
    """Where suggestions go."""
    group = _group()
    group.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the page and the table go (default: Suggested, in the data folder)",
    )
    return group


def _predicting():
    """How pictures are predicted."""
    group = _group()
    group.add_argument("--flips", action="store_true", help="average over mirror images: four times slower")
    group.add_argument(
        "--mpp",
        type=number(100, "micrometres per pixel, such as 0.5"),
        metavar="X",
        help="bring slides to X µm per pixel, those of the training images (default: full resolution)",
    )
    group.add_argument(
        "--region",
        type=rectangle,
        metavar="X,Y,W,H",
        help="only this part of a slide, in pixels of the full resolution",
    )
    return group


def _correcting():
    """Which pictures are corrected, and where the page opens."""
    group = _group()
    group.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="images or folders (default: Train data/Images and Test data/Images)",
    )
    group.add_argument(
        "--model",
        type=Path,
        metavar="FILE|RUN",
        help="the network that finds the first cells (default: the newest finished run's)",
    )
    group.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the page's address, and open no browser"
    )
    return group


def _exporting():
    """What is exported, and how."""
    group = _group()
    group.add_argument("--model", type=Path, metavar="FILE", help="the .keras file, or run, to export")
    group.add_argument(
        "--format",
        choices=("onnx", "int8"),
        help="onnx (default); int8: in numbers of 8 bits, faster on most processors and a little less exact, by the "
        "images and masks of Train data that the model was trained on (or those of --data)",
    )
    return group


def whole_number(smallest, largest=2**31 - 1):
    """A parser of whole numbers from `smallest` to `largest`."""

    def parse(text):
        if not text.isdecimal() or not smallest <= int(text) <= largest:
            raise argparse.ArgumentTypeError(f"{text!r} received; expected a whole number from {smallest} to {largest}")
        return int(text)

    return parse


def number(limit, expected):
    """A parser of numbers above 0 and below `limit`, `expected` in words."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < limit:
            raise argparse.ArgumentTypeError(f"{text!r} received; expected {expected}")
        return value

    return parse


def stack_reading(text):
    """`focus` → "focus"; `3` → 3, for `reading.stacks.HOW`."""
    if text in ("focus", "min", "max", "mean"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} received; expected focus, min, max, mean or a plane's number from 1"
        )
    return int(text)


def rectangle(text):
    """`10,20,300,400` → [10, 20, 300, 400]."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} received; expected x,y,width,height, such as 1000,2000,512,512")
    return [int(part) for part in parts]


def mask_values(text):
    """`0,2` → (0, 2); `Tumor,#ff0000` → ("Tumor", "#ff0000"), for `masks.mask_coding` to look up."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} received; expected mask values such as 2 or 1,2 or Tumor")
    return tuple(int(part) if part.removeprefix("-").isdecimal() else part for part in parts)


def run_name(text):
    """The name of a folder in `runs`."""
    if not text or text in (".", "..") or any(sign in text for sign in "/\\"):
        raise argparse.ArgumentTypeError(f"{text!r} received; expected a name for a folder in runs, such as first_try")
    return text
