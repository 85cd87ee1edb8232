"""Scores where a part of the true masks is ignored: those of the known part alone."""

import json

import numpy as np
import pytest

from pairing.pairs import find_pairs
from predicting.evaluate import evaluate_folder
from reading.files import InputError
from reading.images import write_png
from reporting.page import write_page
from scoring.metrics import confusion_counts
from scoring.objects import border_pixels, hausdorff, match_objects


def discs(rng, size=80, count=6):
    rows, columns = np.mgrid[:size, :size]
    mask = np.zeros((size, size), np.uint8)
    for row, column in rng.uniform(8, size - 8, (count, 2)):
        mask[np.hypot(rows - row, columns - column) < 7] = 1
    return mask


def folder_of(path, truths, predictions):
    """Test images with masks and their predictions, as another program's."""
    for name, (truth, prediction) in enumerate(zip(truths, predictions, strict=True)):
        write_png(path / "Images" / f"{name}.png", np.full(truth.shape, 9 + name, np.uint8))
        write_png(path / "Masks" / f"{name}.png", truth)
        write_png(path / "Predicted images" / f"{name}_predict.png", prediction * np.uint8(255))
    record = {"model": "m.keras", "classes": 1, "threshold": 0.5, "masks": None}
    (path / "Predicted images" / "predictions.json").write_text(json.dumps(record))
    return path


def test_what_is_predicted_where_nothing_is_known_changes_no_score(tmp_path):
    rng = np.random.default_rng(0)
    truths, predictions = ([discs(rng) for _ in range(3)] for _ in range(2))
    ignored = np.zeros(truths[0].shape, bool)
    ignored[:, 50:] = True
    found = []
    for number, noise in enumerate((0, 1)):
        masks = [np.where(ignored, 128, truth * 255).astype(np.uint8) for truth in truths]
        masks.append(np.full_like(masks[0], 128))  # nothing is known of the last
        others = [np.where(ignored & (discs(rng) > 0), noise, one).astype(np.uint8) for one in predictions]
        folder = folder_of(tmp_path / str(number), masks, [*others, truths[0]])
        found.append(evaluate_folder(folder, folder / "Predicted images", ignore=(128,)))
    keys = ("dice", "iou", "accuracy", "precision", "recall", "baseline", "ignored", "masks")
    assert {key: found[0][key] for key in keys} == {key: found[1][key] for key in keys}
    counts = sum(confusion_counts(t[:, :50], p[:, :50]) for t, p in zip(truths, predictions, strict=True))[0]
    assert found[0]["dice"] == pytest.approx(2 * counts[0] / (2 * counts[0] + counts[1] + counts[2]))
    assert found[0]["ignored"] == 30 / 80 and [image["name"] for image in found[0]["images"]] == ["0", "1", "2"]
    page = write_page(folder / "Predicted images", find_pairs(folder, masks="optional"), found[1])
    assert "ignored" in page.read_text(encoding="utf-8").split("Colours of the errors")[1].split("</ul>")[0]


def test_a_value_that_no_true_mask_holds_is_refused(tmp_path):
    masks = [np.uint8(255) * (np.eye(40) > 0)] * 2
    masks[0][:9, :9] = 128
    folder = folder_of(tmp_path, masks, masks)
    for absent in (7, "#00ff00"):
        with pytest.raises(InputError, match=f"none is --ignore {absent}"):
            evaluate_folder(folder, folder / "Predicted images", ignore=(absent,))
    assert evaluate_folder(folder, folder / "Predicted images", ignore=(128,), truth_ignore=(7,))["ignored"] > 0


def test_objects_mostly_ignored_count_nowhere():
    truth, prediction, ignored = np.zeros((30, 60), int), np.zeros((30, 60), int), np.zeros((30, 60), bool)
    ignored[:, 20:40] = True
    truth[2:8, 2:8], prediction[2:8, 2:8] = 1, 1  # found
    truth[2:8, 17:27] = 2  # missed, but 7 of its 10 columns are ignored
    prediction[20:26, 18:30] = 3  # invented, but mostly where nothing is known
    prediction[20:26, 2:8] = 4  # invented
    truth[20:26, 36:48], prediction[20:26, 35:47] = 5, 5  # found, and compared by its known part
    prediction[12:16, 22:30] = 6  # wholly ignored
    assert match_objects(truth, prediction, ignored).tolist() == [2, 1, 0, 0]
    nothing = np.zeros_like(ignored)
    np.testing.assert_array_equal(match_objects(truth, prediction, nothing), match_objects(truth, prediction))


def test_outlines_are_not_looked_for_where_nothing_is_known():
    truth, ignored = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    truth[5:15, 5:15] = True
    prediction = truth.copy()
    prediction[5:15, 15:25] = True  # right, for all that is known
    ignored[:, 15:] = True
    assert hausdorff(truth, prediction, ignored=ignored) == 0 < hausdorff(truth, prediction)
    assert (
        not border_pixels(prediction, ignored)[:, 15:].any() and not border_pixels(prediction, ignored)[7:13, 14].any()
    )
