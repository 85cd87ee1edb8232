"""One pass over all images and masks of a folder, so that what is decided from them is decided once for all of it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pairing import annotations, doubts
from pairing.exchanged import refuse_exchanged
from pairing.file_cache import FileCache
from pairing.groups import with_tile_table
from pairing.masks import (
    MOST_CLASSES,
    OUR_GROUND,
    MaskCoding,
    above_zero,
    mask_coding,
    may_ignore,
    read_stored_mask_of,
    value_text,
    values_to_ignore,
)
from pairing.outlines import FIRST_NAMED, left_out_lines
from pairing.pairs import Pairing, find_pairing
from pairing.shades import COLOUR, MAIN_SHARE, SHADES, TINY, colour_points, is_soft
from pairing.topology import Topology, histogram, topology_of
from reading import images, intensity
from reading.files import InputError, counted, some
from reading.folder_lock import while_whole

STRAY = 3  # so many pixels of a value may be an accident
MANY_IN_ONE = 8  # separate pieces a mask, from which on they are many;
MANY, FEW_IN_ONE = 20, 3  # or so many in all masks and so many a mask
LOSSY_SUFFIXES = {".jpg", ".jpeg"}


@dataclass(frozen=True)
class Survey:
    """What one pass over all files of a folder found.

    sizes : list of (height, width) in pixels, one an image.
    colour : True where at least one image carries colour.
    mask_values : dictionary from each value stored in a mask to its number of pixels, those left out that are ignored.
    masks : list of `MaskFacts`, one a mask of which something is known.
    two_channels : list of the names of images with two measured channels (`intensity.has_two_channels`).
    unknown : list of the `MaskFacts` of the masks that are ignored everywhere.
    ignore : the stored values that are ignored.
    numbered : list of the `MaskFacts` of the masks by `correct`, whose meaning is known. They tell nothing of others:
        where there are some, `masks` and `mask_values` are of these alone.
    """

    sizes: list
    colour: bool
    mask_values: dict
    masks: list = field(default_factory=list)
    two_channels: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    ignore: tuple = ()
    numbered: list = field(default_factory=list)

    def span(self):
        """The sizes and kind of the images, for people: `256×256 to 1024×1024 px (height×width), grey`."""
        smallest, largest = (f"{size[0]}×{size[1]}" for size in (min(self.sizes, key=max), max(self.sizes, key=max)))
        spread = smallest if smallest == largest else f"{smallest} to {largest}"
        return f"{spread} px (height×width), {'colour' if self.colour else 'grey'}"

    def background(self):
        """The value around the objects where something shows it; None where the numbers alone decide: 0, or the lowest.

        0 is nothing, so with 0 among the values only a drawing shows another: a sea around many separate pieces. Where
        no mask holds 0, or where some values are below it, what fills the borders of most masks counts as well.
        """
        values, telling = self.mask_values, self.telling()
        borders, nothing = _most(mask.border for mask in telling), self.nothing()
        seas = [mask.topology for mask in telling]
        sea = _most(sea.sea if sea.is_convex or sea.sea == min(values) else None for sea in seas)
        if max(values, default=0) >= FIRST_NAMED:
            return borders
        if min(values, default=0) < 0:  # −1 around numbers from 0 on, or 255 in 8 bits with a sign
            return next(
                (value for value in (sea, borders) if value in (min(values), 0)), 0 if len(values) == 2 else None
            )
        if nothing is None:
            return borders if sea is None else sea
        shown = _shown(seas)
        if nothing == 0:
            plain = len(values) == 2 or max(values) >= COLOUR or is_soft(values) or any(m.lossy for m in self.masks)
            return shown if plain else None
        return shown or (borders if borders == sea else nothing)

    def telling(self):
        """The masks that say what lies around what: those of more than one value."""
        return [mask for mask in self.masks if len(mask.values) > 1]

    def nothing(self):
        """The value that is nothing by its number: 0, else the lowest; None for outlines and where all are colours.

        Among colours, as edges of others make a little black, only much of it is.
        """
        values = self.mask_values
        if not values or max(values) >= FIRST_NAMED:
            return None
        if max(values) < COLOUR:
            return 0 if 0 in values else min(values)
        points, counts = colour_points(list(values)), np.array(list(values.values()))
        lossy = any(mask.lossy for mask in self.masks)
        numbered = not lossy and len(self.drawn()) > MOST_CLASSES  # objects by a colour each, between narrow gaps
        for end in (0, 255):
            pixels = counts[np.abs(points - end).max(1) <= (SHADES if lossy else 0)].sum()
            if pixels and (numbered or pixels >= MAIN_SHARE * counts.sum()):
                return end
        return None

    def drawn(self):
        """`mask_values` without those of smoothed edges, where these are the most: what numbers objects if anything.

        The values of edges nowhere form areas (`topology.Topology.areas`).
        """
        areas = Counter()
        for mask in self.masks:
            areas.update(dict(zip(mask.values.tolist(), (mask.counts * mask.topology.areas).tolist(), strict=True)))
        held = {value: count for value, count in self.mask_values.items() if 2 * areas[value] >= count}
        return held if 2 * len(held) < len(self.mask_values) else self.mask_values

    def coding(self, classes=1, foreground=None):
        """What the mask values of the whole folder mean: `mask_coding`, knowing also each file's values and borders.

        Returns a `MaskCoding`. Raises `InputError` as `mask_coding` does, and for files whose values mean different
        things, such as 0/255 in some and class ids in others, naming them.
        """
        self._refuse_what_cannot_be_read()
        coding = self._coding(classes, foreground)
        if not self.ignore:
            return coding
        ignored = ", ".join(value_text(value, self._names()) for value in self.ignore)
        return replace(coding, ignore=self.ignore, explanation=f"{coding.explanation}; ignored: {ignored}")

    def _coding(self, classes, foreground):
        names = self._names()
        if self.numbered and classes > 1:
            raise InputError(
                f"{some(mask.name for mask in self.numbered)}: made by `correct`, which numbers the cells of one "
                f"class, for {classes} classes; expected masks of these classes. Leave --classes out, or these masks."
            )
        if self.masks == self.numbered:
            return MaskCoding(None, 1, 1, "masks by `correct`, which number their cells; foreground: every cell")
        note = "" if foreground is not None else self._mixture(classes)
        if note:
            coding = above_zero(self.mask_values, names)
            # Not as a threshold, by which numbers of labels are taken for objects: 255 in 0/255 files is all cells.
            return replace(coding, threshold=0, background=0, explanation=coding.explanation + note)
        lossy = any(mask.lossy for mask in self.masks)
        return mask_coding(self.mask_values, classes, foreground, self.background(), names, lossy, self.drawn())

    def _names(self):
        return {value: name for mask in self.masks + self.unknown for value, name in mask.names.items()}

    def refuse_rare(self, coding, foreground):
        """Raise `InputError` where almost no mask holds what --foreground names: mostly it is another value.

        Masks of nothing at all do not count, nor do a few stray pixels.
        """
        drawn = [mask for mask in self.masks if len(mask.values) > 1 or mask.values[0]]
        holding = [mask for mask in drawn if mask.counts[coding.decode(mask.values[np.newaxis])[0] > 0].sum() > STRAY]
        if len(drawn) >= 4 and len(holding) <= max(1, len(drawn) // 20):
            given, named = ",".join(map(str, foreground)), some(mask.name for mask in holding) or "none"
            raise InputError(
                f"--foreground {given}: {len(holding)} of {counted(len(drawn), 'mask')} that something is drawn in "
                f"hold more of it than a stray pixel ({named}); expected it in most of them ({coding.explanation}). "
                "Choose another value; or if it is so rare, take out pictures that do not show it."
            )

    def refuse_absent(self, ignore):
        """Raise `InputError` where no mask holds what --ignore names: mostly it is another value."""
        held = {value for mask in self.masks + self.unknown for value in mask.ignored_values}
        missing = [given for given in ignore or () if not held.intersection(values_to_ignore([given], self._names()))]
        if missing and (len(missing) == len(ignore) or any(isinstance(given, str) for given in missing)):
            listed = some([value_text(value, self._names()) for value in sorted(self.mask_values)], 6)
            raise InputError(
                f"masks hold the values {listed}; none is --ignore {','.join(map(str, missing))}. Choose among the "
                "values they hold."
            )

    def ignored(self):
        """A line for people on how much is ignored, in a list; none where all is known."""
        every = [*self.masks, *self.unknown, *(self.numbered if self.numbered != self.masks else ())]
        masks = [mask for mask in every if mask.ignored]
        if not masks:
            return []
        pixels = sum(mask.ignored + int(mask.counts.sum()) for mask in every)
        share = sum(mask.ignored for mask in masks) / pixels
        shown = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
        line = f"{shown} of the pixels are ignored, in {len(masks)} of {len(every)} masks"
        if self.unknown:
            line += f"; nothing else is in {some(mask.name for mask in self.unknown)}, which teach and test nothing"
        return [line]

    def _refuse_what_cannot_be_read(self):
        """Raise `InputError` for masks of which nothing is known, and for JPEG files whose noise hides what they mean.

        These are values such as 0/1, and any that is to be ignored: its shades would stay.
        """
        if not self.mask_values:
            raise InputError(
                "everything in all masks is ignored; expected some known pixels. Check what is called Ignore*, the "
                "Region* areas and --ignore."
            )
        lossy = [mask.name for mask in self.masks + self.unknown if mask.lossy]
        if lossy and any(value < 256 or value >= COLOUR for value in self.ignore):
            raise InputError(
                f"--ignore for masks of which some are JPEG: {some(lossy)}; expected PNG or TIFF, since JPEG changes "
                "values by a few and some would be left. Export them again from the annotation tool."
            )
        tiny = [mask.name for mask in self.masks if mask.lossy and 0 < mask.values[-1] < TINY]
        if tiny and not is_soft(self.mask_values) and max(self.mask_values) < COLOUR:
            raise InputError(
                f"{len(tiny)} JPEG masks hold only values below {TINY}: {some(tiny)}; expected 0 and 255, since JPEG "
                "changes values by a few. Export them as PNG or TIFF from the annotation tool."
            )

    def _mixture(self, classes):
        """A note on files that are stored differently and mean the same; `InputError` where they cannot.

        For one class, "above 0" is right of 0/1, 0/255, numbers of classes or objects, and outlines alike, as long as 0
        is the background in each. It is not where files of one kind are mostly inverted, where smoothed edges would
        reach down to the small numbers of the others, among colours, whose background may be any, and where a file
        holds 255 beside small numbers, so that 255 may mean "ignore" in it and cells in the others. Several
        classes are numbered by no two kinds alike.
        """
        kinds = {}
        for mask in self.masks:
            kinds.setdefault(_kind(mask.values, mask.lossy), []).append(mask)
        small = kinds.keys() & {"0/1", "class ids"}
        large = kinds.keys() & {"0/255", "colours"} | (
            {"soft 0/255"} & kinds.keys() if is_soft(self.mask_values) else set()
        )
        outlines = kinds.keys() & {"named outlines"}
        if sum(map(bool, (small, large, outlines))) < 2:
            return ""
        mixed = sorted(small | large | outlines)
        ignoring = [mask for mask in self.masks if may_ignore(mask.values)]
        listed = "; ".join(f"{kind} in {some(mask.name for mask in kinds[kind])}" for kind in mixed)
        inverted = any(2 * sum(mask.inverted for mask in kinds[kind]) > len(kinds[kind]) for kind in mixed)
        inverted |= min(self.mask_values) < 0
        if classes > 1 or inverted or not large <= {"0/255"} or ignoring:
            listed += f"; 255 beside small numbers in {some(mask.name for mask in ignoring)}" if ignoring else ""
            raise InputError(
                f"masks of different encodings in one folder: {listed}; expected one meaning of the values. Export "
                "them alike, or choose the values that count with --foreground, or those that do not with --ignore."
            )
        return f"; stored in different ways that mean the same: {listed}"

    def notes(self, coding):
        """Lines for people: `doubts.doubts` and `doubts.oddities` of the masks."""
        found = doubts.doubts(self, coding)
        told = {mask.path for doubt in found for mask in doubt.masks}
        channels = [f"{some(self.two_channels)}: {doubts.TWO_CHANNELS}"] if self.two_channels else []
        return [*map(str, found), *doubts.oddities(self, coding, told), *self.left_out(), *self.ignored(), *channels]

    def left_out(self):
        """A line for people on each kind of what was drawn and is no object, and in which files."""
        return left_out_lines({mask.name: mask.left_out for mask in self.masks + self.unknown})


def _most(votes):
    """What two thirds of the votes are for, or None."""
    votes = Counter(votes)
    value, count = votes.most_common(1)[0] if votes else (None, 0)
    return value if count * 3 >= votes.total() * 2 else None


def _shown(found):
    """The value other than 0 that two thirds of the `topology.Topology`s show around many separate pieces, or None.

    Lines between cells are no sea, which holds most of the pixels; nor is a sheet of cells, whose gaps have sharp
    corners.
    """
    value = _most(one.sea for one in found)
    seas = [one for one in found if one.sea == value]
    if not value or np.mean([sea.share for sea in seas]) <= 0.5:
        return None
    pieces, inside, convex = (sum(getattr(sea, name) for sea in seas) for name in ("pieces", "inside", "convex"))
    many = pieces >= MANY_IN_ONE * len(seas) or (pieces >= MANY and pieces >= FEW_IN_ONE * len(seas))
    return value if many and 2 * inside >= pieces and 2 * convex >= inside else None


@dataclass(frozen=True)
class FolderRead:
    """A folder of images with masks, read once: how they pair, what they hold, and the pixels as long as they last."""

    pairing: Pairing
    survey: Survey
    contents: FileCache


def read_folder(folder, data_dir, quiet=False, ignore=None):
    """Pair and survey `folder`, one of the data folder `data_dir`: a `FolderRead`. Raises `InputError` as both do.

    ignore : as of `survey`. Pairs of which nothing is known are left out.
    """
    contents = FileCache(hashing=True)
    with while_whole(data_dir):
        pairing = find_pairing(folder)
        pairing = replace(pairing, pairs=with_tile_table(pairing.pairs, data_dir))
    found = survey(pairing.pairs, quiet, contents, ignore)
    unknown = {mask.path for mask in found.unknown}
    pairs = [pair for pair in pairing.pairs if pair.mask not in unknown]
    return FolderRead(replace(pairing, pairs=pairs), found, contents)


@dataclass(frozen=True)
class MaskFacts:
    """What one mask holds: its distinct `values` (ascending) and their pixel `counts`, int64 ndarrays of shape (n,);
    the value `border` that is the most frequent one in the outermost pixels; `names`, from value to class name;
    `left_out`, as `outlines.Drawing.left_out`; and its `topology`. All of this of the known pixels alone; of the others
    their number, `ignored`, and which `ignored_values` of --ignore are among them."""

    path: Path
    values: np.ndarray
    counts: np.ndarray
    border: int
    names: dict
    topology: Topology
    left_out: dict = field(default_factory=dict)
    ignored: int = 0
    ignored_values: tuple = ()

    @property
    def lossy(self):
        """True for a kind of file that does not keep values exactly."""
        return _is_lossy(self.path)

    @property
    def inverted(self):
        """True where a value other than 0 lies around convex pieces, as in black cells on white."""
        sea = self.topology
        return bool(sea.sea and sea.share > 0.5 and sea.is_convex)

    @property
    def name(self):
        """The file's name for messages, with its parent for a folder of files, which are all called masks."""
        return f"{self.path.parent.name}/{self.path.name}" if self.path.is_dir() else self.path.name


def survey(pairs, quiet=False, contents=None, ignore=None):
    """Read every image and mask once, so that nothing unreadable turns up in the middle of a training.

    contents : the `file_cache.FileCache` that keeps what is read for those who need it next; None keeps nothing.
    ignore : what --ignore names: mask values, colours, names of outline classes.

    Returns a `Survey`. Raises `InputError` for the first file that cannot be read or a mask of another size than its
    image, saying how many more there are.
    """
    sizes, masks, colour, two_channels, problems = [], [], False, [], []
    with ThreadPoolExecutor(2) as pool:
        for found in tqdm(
            pool.map(lambda pair: _facts_of(pair, contents, ignore), pairs),
            total=len(pairs),
            desc="read",
            unit="image",
            leave=False,
            disable=quiet or None,
            delay=1,
        ):
            if isinstance(found, InputError):
                problems.append(found)
                continue
            size, has_colour, two, mask = found
            sizes.append(size)
            colour |= has_colour
            two_channels += two
            if mask:
                masks.append(mask)
    if problems:
        more = f" (and {counted(len(problems) - 1, 'more file')} with problems)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
    return make_survey(sizes, colour, masks, two_channels, ignore)


def make_survey(sizes, colour, found, two_channels, ignore=None):
    """A `Survey` of the `MaskFacts` `found` of all masks; ignore : as of `survey`."""
    known, unknown = ([mask for mask in found if bool(len(mask.values)) == which] for which in (True, False))
    numbered = [mask for mask in known if mask.values[-1] >= OUR_GROUND]
    masks, values = [mask for mask in known if mask.values[-1] < OUR_GROUND] or numbered, Counter()
    for mask in masks:
        values.update(dict(zip(mask.values.tolist(), mask.counts.tolist(), strict=True)))
    names = {value: name for mask in found for value, name in mask.names.items()}
    ignore = values_to_ignore(ignore, names)
    return Survey(sizes, colour, dict(values), masks, two_channels, unknown, ignore, numbered)


def _facts_of(pair, contents, ignore):
    """(size, whether it has colour, its name in a list if it has two channels, its `MaskFacts` or None) of a pair.

    An `InputError` comes back, not up.
    """
    try:
        image = contents.image(pair) if contents else images.read(pair.image)
        size, mask = image.shape[:2], None
        if pair.mask:
            try:
                stored = contents.mask(pair, size) if contents else read_stored_mask_of(pair, size)
            except InputError:
                refuse_exchanged(pair, image)
                raise
            refuse_exchanged(pair, image, stored.values)
            mask = mask_facts(pair.mask, stored, ignore)
        two_channels = [pair.image.name] if intensity.has_two_channels(image) else []
        return size, not intensity.is_grey(image), two_channels, mask
    except InputError as error:
        return error


def mask_facts(path, stored, ignore=None):
    """The `MaskFacts` of a mask, as `masks.read_stored_mask_of` gives it; ignore : as of `survey`."""
    chosen = values_to_ignore(ignore, stored.names)
    mask, ignored = stored.values, stored.ignored_by(chosen)
    if ignored is None or not ignored.any():
        values, counts = histogram(mask)
        border = _commonest(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]))
        topology = topology_of(mask, values, counts, border, _is_lossy(path))
        return MaskFacts(path, values, counts, border, stored.names, topology, stored.left_out)
    values, counts = histogram(mask[~ignored][:, np.newaxis])
    border = _commonest(_rim(mask, ~ignored)) if len(values) else 0
    topology = Topology(np.ones(len(values), bool))
    if len(values) and stored.ignored is None:  # what is drawn around outlines is never in doubt
        topology = topology_of(np.where(ignored, border, mask), values, counts, border, _is_lossy(path))
    pixels, held = int(np.count_nonzero(ignored)), tuple(value for value in chosen if (mask == value).any())
    return MaskFacts(path, values, counts, border, stored.names, topology, stored.left_out, pixels, held)


def _rim(mask, known):
    """The values of the known pixels along the border of the image; where there are none, along that of their area."""
    ends = ((array[0], array[-1], array[:, 0], array[:, -1]) for array in (mask, known))
    values, of_these = map(np.concatenate, ends)
    if of_these.any():
        return values[of_these]
    return mask[known & (cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)]


def _commonest(values):
    found, times = histogram(values[:, np.newaxis])
    return int(found[times.argmax()])


def _is_lossy(path):
    return path.suffix.lower() in LOSSY_SUFFIXES and not annotations.is_outlines(path)


def _kind(values, lossy):
    """How a mask is stored, from its distinct values: a phrase, or None where it is empty or fits any."""
    above = values[values > 0]
    if not above.size:
        return None
    highest = above[-1]
    if highest >= FIRST_NAMED:
        return "named outlines"
    if highest >= COLOUR:
        return "colours"
    if highest < TINY or (may_ignore(values) and not lossy):
        return None if lossy else "0/1" if highest == 1 else "class ids"
    if highest == 255 and above.size == 1:
        return "0/255"
    return "soft 0/255" if 240 <= highest <= 255 and above.size > 4 else None
