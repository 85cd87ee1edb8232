"""Which pictures to annotate next, and where in them the network is in doubt.

Two numbers decide. *Doubt*: the share of what the network finds, or half sees, of which it is not sure (uncertainty
sampling: Settles, Active Learning Literature Survey, 2009, section 3.1). *Unlikeness*: how far the picture, as the
network gets it, is from the pictures that are annotated. The next picture is the one that leaves all others nearest to
an annotated one, times its doubt, as Yang et al. choose (Suggestive Annotation, MICCAI 2017: uncertain, then
representative). Each choice counts as annotated for the next, so that of two alike the second waits. The sum over all
pictures rather than the furthest one (Sener and Savarese, ICLR 2018), and doubt only half trusted, since with few
annotated pictures typical ones teach more than odd ones, and doubt alone chooses worse than chance (Hacohen, Dekel and
Weinshall, ICML 2022; Chen et al., MIDL 2023).

Over the 16 real fields of docs/results.md and the weights that have seen none of them, doubt has a rank correlation of
0.86 with 1 - Dice; disagreement of the four mirror images, in four times the time, one of 0.73 to 0.77. What the order
is worth, benchmarks/suggest.py measures.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pairing.groups import field_ranges
from pairing.pairs import RAW, TEST, TRAIN
from predicting.magnification import scale_in
from preparing.field_table import read_fields
from reading import images
from reading.files import InputError, counted, sha256, some, stem_of
from reading.intensity import sampling_step
from reading.large_images import is_large

EDGE_PX = 5  # narrower doubt is that about the exact place of an outline, which every outline has
EMPTY = (
    0.001  # of a picture's area: what is added to what is found, so that little doubt in an empty picture stays little
)
PLACES, LEAST_SHARE = 5, 0.2  # places in a picture: at most so many, of at least this share of the first one's doubt
PLACE_PX, PLACE_SHARE = 64, 0.1  # side of a place: at least, and as a share of the picture's shorter side
MAP_PX, LEAST_DOUBT = 512, 0.002  # side of the map on which places are found; mean doubt around one, at least
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
LEVELS = 5  # of a pyramid, each half as large as the last: texture of 1 to 16 px
LEAST_STEP = 0.03  # differences of a feature below it are noise: of a share of the range of grey values, or in per cent
MOST_KNOWN = 100  # annotated pictures that others are compared with; of more, so many evenly chosen
GREEDY = 200  # choices made one after the other; the rest stands as it is then
MUCH, TWIN = 1.25, 0.25  # times the usual that count as much, and as nearly nothing


@dataclass
class Look:
    """What the network makes of one picture.

    doubt : 0…1. features : float64 (n,). places : (row, column, height, width) in pixels, most doubtful first.
    contrast : whether anything is to be seen in it.
    """

    path: Path
    doubt: float
    features: np.ndarray
    places: list
    contrast: bool


@dataclass(frozen=True)
class Suggestion:
    """One picture in the order in which to annotate.

    gain : what decided, relative to the first picture's, 0…1. doubt : 0…1. unlikeness : distance to the nearest
    annotated picture, 1 being the usual distance between pictures; None where nothing is annotated. places : as `Look`.
    reason : in words.
    """

    path: Path
    gain: float
    doubt: float
    unlikeness: float | None
    places: list
    reason: str


def to_rank(paths, data_dir):
    """Those of `paths` that are no slides, and of other content than a data folder's pictures; says what is left out.

    Returns (paths, those of the training pictures, which are annotated). Raises `InputError` where nothing is left.
    """
    paths = list({path.resolve(): path for path in paths}.values())
    large = [path for path in paths if is_large(path)]
    if large:
        print(
            f"left out, since only fields are ranked: {some(path.name for path in large)}. Cut fields out of slides "
            "first (docs/slides.md)"
        )
    folders = [Path(data_dir) / part / "Images" for part in (TRAIN, TEST)]
    train, test = (images.list_images(folder) if folder.is_dir() else [] for folder in folders)
    fields = {Path(data_dir, RAW, "Images", row.cut_from) for row in read_fields(data_dir) if row.cut_from}
    annotated = [*train, *test, *fields]
    asked = [*annotated, *paths] if annotated else []
    bar = tqdm(asked, "checksums", unit="image", leave=False, delay=1, disable=None)
    content = {path: _content(path) for path in bar}
    contents = {content[path] for path in annotated}
    known = [path for path in paths if path not in large and content.get(path) in contents]
    if known:
        print(f"left out, since the data folder has them already: {some(path.name for path in known)}")
    left = [path for path in paths if path not in large and path not in known]
    if not left:
        raise InputError(
            f"{paths[0].parent}: nothing left to rank of {counted(len(paths), 'picture')}; expected some that are "
            "neither slides nor in the data folder already. Name others."
        )
    return left, train


def _content(path):
    """What tells a file's content; its path where it cannot be read, which is said later."""
    try:
        return sha256(path)
    except OSError:
        return path


def rank(predictor, paths, annotated=()):
    """The order in which to annotate pictures.

    Parameters
    ----------
    predictor : `predictor.Predictor`.
    paths : of pictures, none of them large (`large_images.is_large`); their order does not matter.
    annotated : paths of pictures that are annotated. What cannot be read of them is left out.

    Returns a list of `Suggestion`, the first to annotate first, and the `InputError` of each picture that cannot be
    read. Raises `InputError` where none can be read.
    """
    paths, unreadable, looks = sorted(paths, key=lambda path: (path.name, str(path))), [], []
    ranges = field_ranges([*paths, *annotated])
    for path in tqdm(paths, "look", unit="image", leave=False, delay=1, disable=None):
        try:
            looks.append(look_at(predictor, path, ranges.get(path)))
        except InputError as error:
            unreadable.append(error)
    if not looks:
        raise InputError("; ".join(dict.fromkeys(map(str, unreadable))))
    known = sorted(annotated)
    known = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, MOST_KNOWN).astype(int))] if known else []
    names, features, beside = [], [], {stem_of(path) for path in annotated}
    for path in tqdm(known, "annotated", unit="image", leave=False, delay=1, disable=None):
        with suppress(InputError):
            scale = scale_in(predictor, path, beside)
            features.append(features_of(predictor.network_input(images.read(path), ranges.get(path), scale)))
            names.append(path.name)
    seen = [look for look in looks if look.contrast]
    blank = [look for look in looks if not look.contrast]
    last = [Suggestion(look.path, 0.0, look.doubt, None, [], "nothing is to be seen in it") for look in blank]
    return (_in_order(seen, names, features) if seen else []) + last, unreadable


def look_at(predictor, path, intensity_range=None):
    """The `Look` at one picture file. Raises `InputError` where it cannot be read."""
    image = images.read(path)
    spread = predictor.spread(image, intensity_range)
    scale = scale_in(predictor, path)
    probability = predictor.probability(image, spread, scale)[..., : predictor.classes]
    unsure = unsure_of(probability, scale)
    found = probability[..., 0] if probability.shape[2] == 1 else 1 - probability[..., 0]
    area = unsure.mean()
    doubt = float(area / (area + (found >= 0.5).mean() + EMPTY))
    features = features_of(predictor.network_input(image, spread, scale))
    return Look(path, doubt, features, places_of(unsure), spread.has_contrast())


def unsure_of(probability, scale=1.0):
    """How unsure a network is of each pixel, 0…1 (0.5 for 0.11), but of the exact place of an outline: (height, width).

    The entropy of the probabilities, of which a morphological opening leaves what is at least `EDGE_PX` wide for the
    network. probability : float32 (height, width, classes). scale : how many times as large it saw the picture.
    """
    shares = np.moveaxis(probability, 2, 0)
    shares = [shares[0], 1 - shares[0]] if len(shares) == 1 else shares
    entropy = -sum(share * np.log(np.clip(share, 1e-6, 1)) for share in shares) / np.log(len(shares))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, round(EDGE_PX / scale)),) * 2)
    return cv2.morphologyEx(np.clip(entropy, 0, 1).astype(np.float32), cv2.MORPH_OPEN, disc)


def places_of(unsure):
    """The squares with most doubt, none upon another: a list of (row, column, height, width), most doubtful first."""
    height, width = unsure.shape
    side = min(height, width, max(PLACE_PX, round(PLACE_SHARE * min(height, width))))
    step = -(-max(height, width) // MAP_PX)
    map_ = cv2.resize(unsure, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    map_ = cv2.GaussianBlur(map_, (0, 0), side / step / 4, borderType=cv2.BORDER_CONSTANT)
    places, least = [], max(LEAST_DOUBT, LEAST_SHARE * float(map_.max()))
    while len(places) < PLACES and map_.max() >= least:
        row, column = map(int, np.unravel_index(map_.argmax(), map_.shape))
        top, left = (int(np.clip(n * step - side // 2, 0, most - side)) for n, most in ((row, height), (column, width)))
        if all(max(abs(top - place[0]), abs(left - place[1])) >= side for place in places):
            places.append((top, left, side, side))
        near = -(-side // step)
        map_[max(0, row - near + 1) : row + near, max(0, column - near + 1) : column + near] = 0
    return places


def features_of(seen):
    """What a picture looks like to a network, float64 (n,): grey values and texture, whatever its size.

    Of each channel quantiles, and of each level of a Laplacian pyramid (Burt and Adelson, 1983) how strong the detail
    is and how evenly it is spread, since few cells make few strong details.
    seen : float32 (height, width, channels), of `Predictor.network_input`.
    """
    step, features = sampling_step(*seen.shape[:2]), []
    for channel in np.moveaxis(seen, 2, 0):
        features += np.quantile(channel[::step, ::step], QUANTILES).tolist()
        for _ in range(LEVELS):
            small = cv2.pyrDown(channel)
            detail = np.abs(channel - cv2.pyrUp(small, dstsize=channel.shape[::-1]))
            strength = np.sqrt(np.square(detail, dtype=np.float64).mean()) + 1e-3
            features += [np.log(strength), np.log((detail.mean() + 1e-4) / strength)]
            channel = small
    return np.array(features)


def order(doubts, features, known):
    """The order in which to annotate, and what decided: (list of indices, list of gains ≥ 0).

    doubts : (n,), 0…1. features : (n, m). known : (k, m), of annotated pictures; k may be 0, and the first one is then
        the picture most like all others.
    """
    from scipy.spatial.distance import cdist

    scaled, scaled_known = _scaled(features, known)
    between = cdist(scaled, scaled)
    nearest = cdist(scaled, scaled_known).min(1) if len(known) else np.full(len(features), between.max() or 1.0)
    usual = np.mean(doubts) or 1
    trust = (doubts + usual) / (2 * usual)
    chosen, gains = [], trust * np.maximum(nearest - between, 0).sum(1)
    decided = []
    for _ in range(min(GREEDY, len(features))):
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        decided.append(float(gains[chosen[-1]]))
        nearest = np.minimum(nearest, between[chosen[-1]])
        gains = trust * np.maximum(nearest - between, 0).sum(1)
    rest = np.argsort(-gains, kind="stable")
    rest = rest[~np.isin(rest, chosen)]
    return chosen + rest.tolist(), decided + gains[rest].tolist()


def _scaled(features, known):
    """Both in units of each feature's standard deviation over all of them, so that distances can be added."""
    everything = np.concatenate([features, known])
    scale = np.maximum(everything.std(0), LEAST_STEP) * np.sqrt(everything.shape[1])
    return features / scale, known / scale


def _in_order(looks, names, known):
    """A list of `Suggestion` of pictures in which something is to be seen. names, known: as `_words` has them."""
    from scipy.spatial.distance import cdist

    doubts, features = np.array([look.doubt for look in looks]), np.stack([look.features for look in looks])
    known = np.stack(known) if known else np.zeros((0, features.shape[1]))
    scaled, scaled_known = _scaled(features, known)
    between = cdist(scaled, scaled)
    usual = _usual(cdist(scaled_known, scaled_known) if len(known) > 2 else between)
    found, above = [], []
    indices, gains = order(doubts, features, known)
    for i, gain in zip(indices, gains, strict=True):
        apart = cdist(scaled[i : i + 1], scaled_known)[0] / usual
        words = [_likeness(apart, names, between[i, above] / usual, [looks[j].path.name for j in above])]
        words.append(_doubtful(looks[i].doubt, np.median(doubts)))
        unlike = float(apart.min()) if len(known) else None
        reason = "; ".join(filter(None, words))
        found.append(Suggestion(looks[i].path, gain / (gains[0] or 1), looks[i].doubt, unlike, looks[i].places, reason))
        above.append(i)
    return found


def _usual(between):
    """The usual distance from a picture to the one nearest to it; 1 where there are no two different ones."""
    apart = between + np.where(np.eye(len(between), dtype=bool), np.inf, 0)
    nearest = apart.min(1)[np.isfinite(apart.min(1))]
    return (float(np.median(nearest)) if len(nearest) else 0) or 1.0


def _likeness(apart, names, from_above, names_above):
    """What a picture is like, in words: `apart`, its distances to the annotated ones, and to those above it."""
    if len(from_above) and from_above.min() < TWIN:
        return f"nearly the same as {names_above[int(from_above.argmin())]} above"
    if not len(apart):
        if not len(from_above):
            return "most like all the others, so that what it teaches serves them too"
        return "unlike those above" if from_above.min() > MUCH else ""
    if apart.min() < TWIN:
        return f"nearly the same as {names[int(apart.argmin())]}, which is annotated"
    if apart.min() > 2 * MUCH:
        return "unlike everything that is annotated"
    return "rather unlike what is annotated" if apart.min() > MUCH else f"like {names[int(apart.argmin())]}"


def _doubtful(doubt, usual):
    """How doubtful a picture is, in words."""
    share = f"the network is in doubt about {doubt:.0%} of what it sees there"
    if doubt > MUCH * usual:
        return f"{share}, more than usual here"
    return f"{share}, less than usual here" if doubt * MUCH < usual else share
