"""Scores beside the masks: predictions against the true masks of a folder."""

import zipfile
import zlib
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from measuring.cells import LABELS_SUFFIX
from pairing.file_cache import FileCache
from pairing.groups import with_tile_table
from pairing.masks import MaskCoding
from pairing.objects import components, true_objects
from pairing.objects import left_out as pixels_left_out
from pairing.pairs import find_pairing
from pairing.survey import survey
from predicting.at_start import open_start
from predicting.folder import PROBABILITIES, SUFFIX
from predicting.record import read_record
from reading import images
from reading.files import InputError, counted, write_json
from scoring import calibration, metrics, objects
from scoring.baseline import otsu_mask


def evaluate_folder(
    test_dir,
    predicted_dir,
    classes=None,
    foreground=None,
    truth_classes=None,
    start=None,
    ignore=None,
    truth_ignore=None,
):
    """Compare the masks in `predicted_dir` with those in `test_dir`/Masks and write `scores.json` beside the former.

    The meaning of the mask values is the one that the model was trained with (`predictions.json`, see `record`);
    `foreground` overrides it and `classes` must agree with it. `truth_classes`, `truth_ignore` : of the true masks, as
    `prepare` has noted them. Where `predict_files` left the probabilities of all images scored, `calibration.png` is
    drawn too.
    `start` : function that gives the `predictor.Predictor` of the weights that the training started from, or None.
    `ignore` : values of the true masks that are to be ignored, beside those that the model ignored and `truth_ignore`.

    Images without a mask, and those of which everything is ignored, are left out. Returns the scores, which
    docs/results.md describes, or None where no test image has a mask of which something is known. Raises `InputError`
    where a prediction is missing, has another size than its mask, or is not one that `predictions.json` lists, of the
    image as it is now, and where no mask holds what `ignore` alone names.
    """
    test_dir, predicted_dir = Path(test_dir), Path(predicted_dir)
    record, contents = read_record(predicted_dir), FileCache()
    _refuse_other_classes(record, classes, foreground, truth_classes)
    pairing = find_pairing(test_dir, masks="optional")
    for unread in pairing.unread:
        print(f"not read: {unread}")
    pairs = pairing.pairs
    predicted = _predicted(record, pairs, predicted_dir, contents)
    pairs = [pair for pair in pairs if pair.mask]
    if not pairs:
        return None
    learnt = MaskCoding(**record.masks) if record.masks else None
    known = [*(learnt.ignore if learnt else ()), *(truth_ignore or ())]
    found = survey(pairs, contents=contents, ignore=[*known, *(ignore or ())])
    found.refuse_absent(_newly_named(ignore, learnt, known))
    for line in (*found.left_out(), *found.ignored()):
        print(line)
    unknown = {mask.path for mask in found.unknown}
    pairs = [pair for pair in pairs if pair.mask not in unknown]
    if not pairs:
        return None
    if learnt and foreground is None:
        coding = replace(learnt, ignore=found.ignore)
    else:
        coding = found.coding(record.classes, foreground)
    coding.check(found.mask_values)
    drawn = found.drawn()
    start = start and open_start(start, pairs, predicted, coding.classes)
    if any(record.cells_left_out(path) for path in predicted.values()):
        print("objects are counted as they were predicted: without those at the edges or above the largest size")
    results, steps = [], np.zeros((calibration.STEPS, 2), np.int64)
    kept_path = predicted_dir / PROBABILITIES
    with _open_probabilities(kept_path) as kept:
        for pair in tqdm(pairs, desc="evaluate", unit="image", leave=False, delay=1, disable=None):
            (truth, ignored), result = _result(pair, predicted[pair.stem], record, coding, drawn, contents)
            results.append(result)
            if start:
                start.add(pair.image, contents.image(pair), truth, ignored=ignored)
            contents.forget(pair)
            if steps is not None:
                more = _step_counts(kept, pair.stem, truth, ignored, kept_path)
                steps = None if more is None else steps + more
    names, slides = [pair.stem for pair in pairs], [pair.group for pair in with_tile_table(pairs, test_dir.parent)]
    scores = _all_scores(names, slides, results, record.threshold, coding.classes)
    meaning = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(coding).items()}
    scores |= {"masks": meaning, "model": record.model, "model_sha256": record.model_sha256}  # as the file holds them
    if start:
        scores["start"] = start.scores()
    figure = predicted_dir / "calibration.png"
    scores["calibration"] = None if steps is None else calibration.reliability(steps)
    if scores["calibration"]:
        calibration.draw_reliability(scores["calibration"], figure)
    else:
        figure.unlink(missing_ok=True)
    write_json(predicted_dir / "scores.json", scores)
    return scores


def _newly_named(ignore, learnt, known):
    """What of `ignore` some true mask has to hold: a value that the training ignored may be in none of these."""
    texts_known = learnt and learnt.ignore  # names and colours are numbers in it
    return [one for one in ignore or () if one not in known and not (texts_known and isinstance(one, str))]


def _refuse_other_classes(record, classes, foreground, truth_classes):
    """Raise `InputError` where the predictions have another number of classes than was given, or than the truth."""
    if classes not in (None, record.classes):
        raise InputError(
            f"--classes {classes}, but these predictions have {record.classes}; expected the same number. "
            "Leave the option out, or train and predict with it."
        )
    one_of_them = foreground is not None or (record.masks or {}).get("values")
    if truth_classes not in (None, record.classes) and not (record.classes == 1 and one_of_them):
        raise InputError(
            f"{record.path}: predictions of {counted(record.classes, 'class', 'classes')} by {record.model}, for "
            f"masks that were prepared with --classes {truth_classes}; expected the same number. Say which values the "
            "model is to find with --foreground, or predict with a model of these classes."
        )


def _predicted(record, pairs, folder, contents):
    """{stem: the predicted mask}; `InputError` where one is missing that is to be scored, or another's."""
    found = {}
    for pair in pairs:
        path = folder / f"{pair.stem}{SUFFIX}.png"
        if not path.is_file() and path.with_suffix(".tif").is_file():  # a slide or a large image
            path = path.with_suffix(".tif")
        if path.is_file():
            record.refuse_other(path, pair.image, contents.sha256)
            found[pair.stem] = path
        elif pair.mask:
            raise InputError(f"{path}: no prediction for {pair.image.name}; expected one. Run `predict` first.")
    return found


def _result(pair, path, record, coding, mask_values, contents):
    """(truth, what is counted on one image): class ids (height, width) with what is ignored, bool of the same shape or
    None, and a dictionary for `_all_scores`."""
    if coding.classes > 1 and record.listed is None:  # another program's, in the values of the true masks
        prediction = coding.decode(images.read_mask(path))
    else:
        prediction = MaskCoding(None, 1, coding.classes, "").decode(images.read_mask(path))
    mask = contents.mask(pair, prediction.shape)
    stored = mask.values
    if stored.shape != prediction.shape:
        raise InputError(
            f"{path}: prediction of {prediction.shape[0]}×{prediction.shape[1]} pixels for a mask of "
            f"{stored.shape[0]}×{stored.shape[1]} ({pair.mask.name}); expected one size (height×width). Run "
            "`predict` again."
        )
    truth, ignored = coding.decode(stored), mask.ignored_by(coding.ignore)
    if coding.ignore:
        truth[np.isin(stored, coding.ignore)] = 0  # what is drawn below an Ignore* outline is needed for its size
    labelled = record.cells(path) and coding.classes == 1 and path.suffix == ".png"  # slides have none
    separate = _read_labels(path, prediction.shape) if labelled else None
    labels_of = partial(true_objects, pair, coding=coding, mask_values=mask_values, stored=stored)
    both = truth, prediction, ignored
    left = record.cells_left_out(path) if labelled else {}
    result = _compare(*both, coding.classes) | _match(*both, coding.classes, labels_of, separate, left)
    if record.dark_foreground is not None and coding.classes == 1:
        by_threshold = otsu_mask(contents.image(pair), record.dark_foreground)
        result["otsu"] = metrics.confusion_counts(truth, by_threshold, ignored=ignored)
    return (truth, ignored), result


def _read_labels(mask_path, size):
    """The separate cells that `predict --cells` wrote beside a mask: integer (height, width)."""
    stem = mask_path.name.removesuffix(f"{SUFFIX}.png")
    paths = [mask_path.with_name(f"{stem}{LABELS_SUFFIX}{suffix}") for suffix in (".png", ".tif")]
    path = next(filter(Path.is_file, paths), None)
    if path is None or images.size(path) != size:
        raise InputError(
            f"{mask_path.parent}: no label image of {stem}, or one of another size; expected "
            f"{stem}{LABELS_SUFFIX}.png, which `predict --cells` writes. Run `predict` again."
        )
    return images.read_mask(path)


def _compare(truth, prediction, ignored, classes):
    """The pixels counted on one image, and how far outlines are off; a row is the foreground, or a class 1 … K−1.

    truth, prediction: class ids, uint8 (height, width); ignored: bool of the same shape, or None.
    """
    distances = [objects.hausdorff(truth == n, prediction == n, ignored=ignored) for n in _numbers(classes)]
    return {
        "pixels": metrics.confusion_counts(truth, prediction, classes, ignored),
        "distances": np.array(distances),
        "ignored": np.array([0 if ignored is None else np.count_nonzero(ignored), truth.size]),
    }


def _match(truth, prediction, ignored, classes, true_labels, predicted_labels, left_out):
    """The objects counted on one image, and by what the true ones were told apart.

    truth, prediction, ignored, classes: as of `_compare`; true_labels: function from the foreground of a class to
    (labels, source), as `objects.true_objects` gives them; predicted_labels: the predicted objects where they are
    known, int (height, width), else None for components; left_out: of `Record.cells_left_out`, whose like among the
    true objects are ignored.
    """
    matches, sources = [], set()
    for number in _numbers(classes):
        labels, source = true_labels(truth == number)
        predicted = components(prediction == number) if predicted_labels is None else predicted_labels
        unknown = ignored
        if left_out:
            unlike = pixels_left_out(labels, **left_out)
            unknown = unlike if ignored is None else unlike | ignored
        matches.append(objects.match_objects(labels, predicted, unknown))
        sources.add(source)
    return {"objects": np.array(matches), "sources": sources}


def _numbers(classes):
    return range(1, max(2, classes))


def _all_scores(names, slides, results, threshold, classes):
    """The results of all images as `scores.json` holds them, but for the calibration."""
    matches, distances = (np.array([result[key] for result in results]) for key in ("objects", "distances"))
    by_name = metrics.sorted_by_name(names)
    scores = metrics.score_summary(names, [result["pixels"] for result in results], threshold, classes, slides)
    slides = [slides[i] for i in by_name]
    scores["objects"] = objects.object_scores(matches[by_name], slides)
    scores["objects"]["truth"] = ", ".join(sorted(set().union(*(result["sources"] for result in results))))
    scores["boundary"] = objects.boundary_scores(distances[by_name], slides)
    for image, rows, distance in zip(scores["images"], matches, distances, strict=True):
        own = objects.object_scores(rows[np.newaxis])
        image["objects"] = {key: own[key] for key in ("f1", "ap", "true", "predicted")}
        image["hd95_px"] = float(distance.mean())
    for number, of_class in scores.get("classes", {}).items():
        row = np.s_[by_name, int(number) - 1 : int(number)]
        of_class["objects"] = objects.object_scores(matches[row], slides)
        of_class["boundary"] = objects.boundary_scores(distances[row], slides)
    ignored = np.array([result["ignored"] for result in results])  # pixels ignored, and all, of each image
    if ignored[:, 0].any():
        scores["ignored"] = float(ignored[:, 0].sum() / ignored[:, 1].sum())
        for image, (count, of_all) in zip(scores["images"], ignored.tolist(), strict=True):
            image["ignored"] = count / of_all
    if "otsu" in results[0]:
        scores["otsu"] = metrics.scores_from_counts(sum(result["otsu"] for result in results)[0])
    return scores


def _open_probabilities(path):
    """What `predict_files` kept, to be used in a `with`; None in it where there is nothing."""
    try:
        return zipfile.ZipFile(path) if path.is_file() else nullcontext()
    except zipfile.BadZipFile as error:
        raise _damaged(path) from error


def _step_counts(kept, name, truth, ignored, path):
    """`calibration.step_counts` of one image, None where its probabilities were not kept."""
    entry = f"{name}.npy"
    if kept is None or entry not in kept.NameToInfo:
        return None
    try:
        with kept.open(entry) as file:
            steps = np.lib.format.read_array(file)
            known = ... if ignored is None else ~ignored
            return calibration.step_counts(steps[known], truth[known])
    except (
        ValueError,
        IndexError,
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:  # another size too
        raise _damaged(path) from error


def _damaged(path):
    return InputError(f"{path}: damaged; expected what `predict` writes there. Run `predict` again.")
