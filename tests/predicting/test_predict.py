"""Every image comes back at its own size; masks, records and scores are what the contract says."""

import json

import numpy as np
import pytest

import model as networks
from predicting.evaluate import evaluate_folder
from predicting.folder import predict_files
from predicting.predictor import Predictor
from reading.files import InputError
from reading.images import read, write_png
from scoring.metrics import SCORES, table
from weights.files import load, save


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    import keras

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    card = {"classes": 1, "channels": 1, "crop_px": 32, "fit": False, "threshold": 0.5, "masks": None}
    save(networks.unet(1, 1, filters=2, depth=2, normalization="none"), path, card)
    return path


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (32, 32), (33, 90), (101, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_comes_back_at_its_own_size(model_file, size, channels):
    probability = Predictor(model_file).probability(np.random.default_rng(0).integers(0, 256, (*size, channels)))
    assert probability.shape == (*size, 1) and probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


def test_small_images_are_fitted_where_training_fitted_them(tmp_path, model_file):
    network, card = load(model_file)
    save(network, tmp_path / "fit.keras", card | {"fit": True})
    assert Predictor(tmp_path / "fit.keras").probability(np.zeros((11, 20, 1), np.uint8)).shape == (11, 20, 1)


def test_masks_are_written_as_the_contract_says(tmp_path, model_file):
    rng = np.random.default_rng(0)
    write_png(tmp_path / "a b.png", rng.integers(0, 256, (20, 41), np.uint8))
    written = predict_files(Predictor(model_file), [tmp_path / "a b.png"], tmp_path / "out", keep_probability=True)
    assert [path.name for path in written] == ["a b_predict.png"]
    mask = read(written[0])
    assert mask.shape == (20, 41, 1) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
    probability = read(tmp_path / "out" / "a b_probability.png")
    assert probability.dtype == np.uint16
    np.testing.assert_array_equal(probability >= 32768, mask == 255)


def test_classes_are_written_as_ids_with_a_colour_preview(tmp_path):
    save(networks.unet(3, 3, filters=2, depth=2), tmp_path / "m.keras", {"crop_px": 32})
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    (mask,) = predict_files(Predictor(tmp_path / "m.keras"), [tmp_path / "a.png"], tmp_path / "out")
    assert set(np.unique(read(mask))) <= {0, 1, 2}
    assert read(tmp_path / "out" / "a_predict_colour.png").shape == (40, 40, 3)


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path, model_file):
    for folder in ("x", "y"):
        write_png(tmp_path / folder / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="named a"):
        predict_files(Predictor(model_file), [tmp_path / "x/a.png", tmp_path / "y/a.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_bad_image_does_not_keep_the_others_from_their_masks(tmp_path, model_file):
    for name in "ac":
        write_png(tmp_path / f"{name}.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text('{"model": "an older one"}')
    with pytest.raises(InputError, match=r"b\.png.*2 of 3 masks"):
        predict_files(Predictor(model_file), [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").glob("*.png"))] == ["a_predict.png", "c_predict.png"]
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["model"] == str(model_file)


@pytest.fixture
def predicted(tmp_path):
    """Two test images: tp 2, fp 1, fn 1, tn 4 in the first; an empty mask predicted empty in the second."""
    truth = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], np.uint8)
    guess = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], np.uint8)
    for name, masks in {"a": (truth, guess), "b": (0 * truth, 0 * guess)}.items():
        write_png(tmp_path / "Images" / f"{name}.png", truth)
        write_png(tmp_path / "Masks" / f"{name}.png", masks[0] * 255)
        write_png(tmp_path / "Predicted images" / f"{name}_predict.png", masks[1] * 255)
    record = {"model": "m", "classes": 1, "threshold": 0.4, "masks": None}
    (tmp_path / "Predicted images" / "predictions.json").write_text(json.dumps(record))
    return tmp_path


def test_scores_by_hand(predicted):
    card = evaluate_folder(predicted, predicted / "Predicted images")
    assert card == json.loads((predicted / "Predicted images" / "scores.json").read_text())
    assert card["dice"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert card["accuracy"] == pytest.approx((16 - 2) / 16)
    assert card["threshold"] == 0.4
    assert [image["dice"] for image in card["images"]] == [pytest.approx(2 / 3), 1]
    assert card["baseline"]["dice"] == 0 and card["baseline"]["accuracy"] == pytest.approx(13 / 16)


def test_objects_and_outlines_by_hand(predicted):
    card = evaluate_folder(predicted, predicted / "Predicted images")
    first, second = card["images"]
    # a: true columns 0-2 of the upper row, predicted columns 0-1 and 3: IoU of the first is 2/3, the second is invented
    assert first["objects"] == {"f1": 2 / 3, "ap": 1 / 2, "true": 1, "predicted": 2}
    # distances of the true pixels 0, 0, 1 (95 %: 0.9), of the predicted ones 0, 0, 1
    assert first["hd95_px"] == pytest.approx(0.9) and second["hd95_px"] == 0
    assert second["objects"] == {"f1": 1, "ap": 1, "true": 0, "predicted": 0}
    assert card["boundary"] == {"hd95_px": pytest.approx(0.45), "interval_95": [0, pytest.approx(0.9)]}
    assert {key: card["objects"][key] for key in ("count_error", "mean_count_error", "truth")} == {
        "count_error": 1, "mean_count_error": 0.5, "truth": "components",
    }  # fmt: skip
    assert card["interval_95"]["dice"] == [pytest.approx(2 / 3), 1]
    assert card["calibration"] is None and "otsu" not in card  # predictions of another program


def test_the_otsu_baseline_by_hand(predicted):
    record = predicted / "Predicted images" / "predictions.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"dark_foreground": False}))
    card = evaluate_folder(predicted, predicted / "Predicted images")
    # both images show the mask of a: found in a (tp 3), where b has nothing to find (fp 3)
    assert card["otsu"]["dice"] == pytest.approx(2 * 3 / (2 * 3 + 3))


def test_what_was_predicted_is_calibrated(tmp_path, model_file):
    rng = np.random.default_rng(0)
    for name, size in {"ä b": (40, 41), "c": (33, 60)}.items():
        write_png(tmp_path / "Images" / f"{name}.png", rng.integers(0, 256, size, np.uint8))
        write_png(tmp_path / "Masks" / f"{name}.png", (rng.random(size) < 0.3) * np.uint8(255))
    out, model = tmp_path / "Predicted images", Predictor(model_file)
    predict_files(model, sorted((tmp_path / "Images").iterdir()), out)
    card = evaluate_folder(tmp_path, out)
    bins = card["calibration"]["bins"]
    probability = np.concatenate([model.probability(read(p)).ravel() for p in sorted((tmp_path / "Images").iterdir())])
    counts = np.histogram(np.rint(probability * 255) / 255, np.arange(21) / 20)[0]
    assert [b["pixels"] for b in bins] == counts.tolist() and counts.sum() == 40 * 41 + 33 * 60
    assert read(out / "calibration.png").std() > 0
    # one image only is predicted again: what was kept does not speak of both any more
    (out / "report.html").touch()
    predict_files(model, [tmp_path / "Images" / "c.png"], out)
    assert not (out / "report.html").exists()
    assert evaluate_folder(tmp_path, out)["calibration"] is None
    assert not (out / "calibration.png").exists()
    (out / "probabilities.npz").write_bytes(b"PK\3\4 broken")
    with pytest.raises(InputError, match=r"probabilities\.npz: damaged"):
        evaluate_folder(tmp_path, out)


def test_classes_have_objects_of_their_own(tmp_path):
    truth = np.zeros((1, 8), np.uint8)
    truth[0] = [1, 1, 0, 2, 2, 0, 2, 0]
    guess = np.array([[1, 1, 0, 2, 2, 0, 0, 0]], np.uint8)
    write_png(tmp_path / "Images" / "a.png", truth)
    write_png(tmp_path / "Masks" / "a.png", truth)
    write_png(tmp_path / "Predicted images" / "a_predict.png", guess)
    record = {"model": "m", "classes": 3, "threshold": 0.5, "masks": None, "dark_foreground": True}
    (tmp_path / "Predicted images" / "predictions.json").write_text(json.dumps(record))
    card = evaluate_folder(tmp_path, tmp_path / "Predicted images")
    assert card["classes"]["1"]["objects"]["f1"] == 1
    assert card["classes"]["2"]["objects"]["f1"] == 2 / 3  # tp 1, fn 1
    assert card["objects"]["f1"] == pytest.approx(5 / 6) and card["objects"]["true"] == 3
    # class 2: true pixels 0, 0 and 2 px away from a predicted one (95 %: 1.8)
    assert card["classes"]["2"]["boundary"]["hd95_px"] == pytest.approx(1.8)
    assert card["boundary"]["hd95_px"] == pytest.approx(0.9)
    assert card["interval_95"] is None and "otsu" not in card  # one image; one threshold makes no classes
    assert json.loads(json.dumps(card)) == card


@pytest.mark.parametrize("change", [{}, {"classes": 3}])
def test_the_table_says_what_the_scores_are(predicted, change):
    folder = predicted / "Predicted images"
    (folder / "predictions.json").write_text(
        json.dumps({"classes": 1, "threshold": 0.4, "masks": None, "dark_foreground": True} | change)
    )
    if change:
        for path in [*(predicted / "Masks").iterdir(), *folder.glob("*_predict.png")]:
            write_png(path, (read(path)[..., 0] > 0).astype(np.uint8))
    card = evaluate_folder(predicted, folder)
    lines = table(card)
    assert all(len(line) < 170 for line in lines)
    (pooled,) = [line.split() for line in lines if line.startswith("2 images, pooled")]
    assert pooled[3:] == [f"{card[name]:.3f}" for name in SCORES]
    text = "\n".join(lines)
    assert "95 % interval" in text and "all background" in text and "HD95" in text and "2 images only" in text
    assert ("Otsu" in text) == (not change) and ("class 2" in text) == bool(change)


def test_a_missing_prediction_is_named(predicted):
    (predicted / "Predicted images" / "b_predict.png").unlink()
    with pytest.raises(InputError, match=r"b_predict\.png"):
        evaluate_folder(predicted, predicted / "Predicted images")


def test_images_without_masks_are_left_out(predicted):
    (predicted / "Masks" / "b.png").unlink()
    assert len(evaluate_folder(predicted, predicted / "Predicted images")["images"]) == 1
    (predicted / "Masks" / "a.png").unlink()
    assert evaluate_folder(predicted, predicted / "Predicted images") is None


def test_two_images_of_one_name_are_both_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.png and .*a\.tif share the name a; expected one") as error:
        predict_files(None, [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "a.tif"], tmp_path)
    assert "\n" not in str(error.value)
