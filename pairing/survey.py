"""One pass over all images and masks of a folder, so that what is decided from them is decided once for all of it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pairing import annotations
from pairing.exchanged import refuse_exchanged
from pairing.file_cache import FileCache
from pairing.groups import with_tile_table
from pairing.masks import COLOUR, TINY, above_zero, is_soft, mask_coding, may_ignore, read_stored_mask_of
from pairing.outlines import FIRST_NAMED, left_out_lines
from pairing.pairs import Pairing, find_pairing
from reading import images, intensity
from reading.files import InputError, counted, some
from reading.folder_lock import while_whole

STRAY = 3  # so many pixels of a value may be an accident
LOSSY_SUFFIXES = {".jpg", ".jpeg"}


@dataclass(frozen=True)
class Survey:
    """What one pass over all files of a folder found.

    sizes : list of (height, width) in pixels, one an image.
    colour : True where at least one image carries colour.
    mask_values : dictionary from each value stored in a mask to its number of pixels.
    masks : list of `MaskFacts`, one a mask.
    """

    sizes: list
    colour: bool
    mask_values: dict
    masks: list = field(default_factory=list)

    def span(self):
        """The sizes and kind of the images, for people: `256×256 to 1024×1024 px (height×width), grey`."""
        smallest, largest = (f"{size[0]}×{size[1]}" for size in (min(self.sizes, key=max), max(self.sizes, key=max)))
        spread = smallest if smallest == largest else f"{smallest} to {largest}"
        return f"{spread} px (height×width), {'colour' if self.colour else 'grey'}"

    def background(self):
        """The value that fills the borders of at least two thirds of the masks; None where no value does.

        Masks of a single value say nothing and have no vote.
        """
        votes = Counter(mask.border for mask in self.masks if len(mask.values) > 1)
        value, count = votes.most_common(1)[0] if votes else (None, 0)
        return value if votes and count * 3 >= votes.total() * 2 else None

    def coding(self, classes=1, foreground=None):
        """What the mask values of the whole folder mean: `mask_coding`, knowing also each file's values and borders.

        Returns a `MaskCoding`. Raises `InputError` as `mask_coding` does, and for files whose values mean different
        things, such as 0/255 in some and class ids in others, naming them.
        """
        names = {value: name for mask in self.masks for value, name in mask.names.items()}
        self._refuse_tiny_jpeg()
        note = "" if foreground is not None else self._mixture(classes)
        if note:
            coding = above_zero(self.mask_values, names)
            # Not as a threshold, by which numbers of labels are taken for objects: 255 in 0/255 files is all cells.
            return replace(coding, threshold=0, background=0, explanation=coding.explanation + note)
        lossy = any(mask.lossy for mask in self.masks)
        return mask_coding(self.mask_values, classes, foreground, self.background(), names, lossy)

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

    def _refuse_tiny_jpeg(self):
        """Raise `InputError` for JPEG files of values such as 0/1: their noise is as large as what they mean."""
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
                "them alike, or choose the values that count with --foreground."
            )
        return f"; stored in different ways that mean the same: {listed}"

    def notes(self, coding):
        """Lines for people about masks without foreground, with nothing else, or contrary to the other masks."""
        shares = []
        for mask in self.masks:
            is_foreground = coding.decode(mask.values[np.newaxis])[0] > 0
            border = coding.decode(np.array([[mask.border]]))[0, 0] > 0
            shares.append((mask.name, mask.counts[is_foreground].sum() / mask.counts.sum(), border))
        lines = []
        for text, names in (
            ("without any foreground", [name for name, share, _ in shares if share == 0]),
            ("with foreground everywhere", [name for name, share, _ in shares if share == 1]),
            ("with foreground along the border and in most of the area, perhaps inverted",
             [name for name, share, border in shares if border and 0.5 < share < 1]),
        ):  # fmt: skip
            if names:
                lines.append(f"{len(names)} of {len(shares)} masks {text}: {some(names)}")
        return lines + self.left_out()

    def left_out(self):
        """A line for people on each kind of what was drawn and is no object, and in which files."""
        return left_out_lines({mask.name: mask.left_out for mask in self.masks})


@dataclass(frozen=True)
class FolderRead:
    """A folder of images with masks, read once: how they pair, what they hold, and the pixels as long as they last."""

    pairing: Pairing
    survey: Survey
    contents: FileCache


def read_folder(folder, data_dir, quiet=False):
    """Pair and survey `folder`, one of the data folder `data_dir`: a `FolderRead`. Raises `InputError` as both do."""
    contents = FileCache(hashing=True)
    with while_whole(data_dir):
        pairing = find_pairing(folder)
        pairing = replace(pairing, pairs=with_tile_table(pairing.pairs, data_dir))
    return FolderRead(pairing, survey(pairing.pairs, quiet, contents), contents)


@dataclass(frozen=True)
class MaskFacts:
    """What one mask holds: its distinct `values` (ascending) and their pixel `counts`, int64 ndarrays of shape (n,);
    the value `border` that is the most frequent one in the outermost pixels; `names`, from value to class name;
    `left_out`, as `outlines.Drawing.left_out`."""

    path: Path
    values: np.ndarray
    counts: np.ndarray
    border: int
    names: dict
    left_out: dict = field(default_factory=dict)

    @property
    def lossy(self):
        """True for a kind of file that does not keep values exactly."""
        return self.path.suffix.lower() in LOSSY_SUFFIXES and not annotations.is_outlines(self.path)

    @property
    def inverted(self):
        """True where a value other than 0 fills most of the border and of the area."""
        return self.border != 0 and 2 * self.counts[self.values == self.border].sum() > self.counts.sum() > 0

    @property
    def name(self):
        """The file's name for messages, with its parent for a folder of files, which are all called masks."""
        return f"{self.path.parent.name}/{self.path.name}" if self.path.is_dir() else self.path.name


def survey(pairs, quiet=False, contents=None):
    """Read every image and mask once, so that nothing unreadable turns up in the middle of a training.

    contents : the `file_cache.FileCache` that keeps what is read for those who need it next; None keeps nothing.

    Returns a `Survey`. Raises `InputError` for the first file that cannot be read or a mask of another size than its
    image, saying how many more there are.
    """
    sizes, values, masks, colour, problems = [], {}, [], False, []
    with ThreadPoolExecutor(2) as pool:
        for found in tqdm(
            pool.map(lambda pair: _facts_of(pair, contents), pairs),
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
            size, has_colour, mask = found
            sizes.append(size)
            colour |= has_colour
            if mask:
                masks.append(mask)
                for value, count in zip(mask.values.tolist(), mask.counts.tolist(), strict=True):
                    values[value] = values.get(value, 0) + count
    if problems:
        more = f" (and {len(problems) - 1} more files with problems)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
    return Survey(sizes, colour, values, masks)


def _facts_of(pair, contents):
    """(size, whether it has colour, its `MaskFacts` or None) of a pair; an `InputError` comes back, not up."""
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
            mask = mask_facts(pair.mask, *stored)
        return size, not intensity.is_grey(image), mask
    except InputError as error:
        return error


def mask_facts(path, mask, names, left_out):
    """The `MaskFacts` of a mask, as `masks.read_stored_mask_of` gives it."""
    values, counts = _histogram(mask)
    around, times = _histogram(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])[:, np.newaxis])
    return MaskFacts(path, values, counts, int(around[times.argmax()]), names, left_out)


def _histogram(array):
    if array.dtype in (np.uint8, np.uint16):  # ten times faster than sorting
        counts = intensity.value_counts(array)
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(array, return_counts=True)
    return values.astype(np.int64), counts


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
