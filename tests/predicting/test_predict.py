"""Every image comes back at its own size; masks, records and scores are what the contract says."""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

import main
import model as networks
from measuring.cell_files import CellWriter
from pairing.groups import tile_ranges
from pairing.masks import MaskCoding
from predicting.evaluate import evaluate_folder
from predicting.folder import Wanted, find_images, predict_files, predict_paths
from predicting.predictor import Predictor
from preparing.prepare import prepare_fields
from reading import intensity
from reading.files import InputError, sha256
from reading.images import read, read_mask, write_png
from scoring.metrics import SCORES, table
from weights.files import load, save
from weights.start import PAP_SMEAR


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


def test_arrays_of_a_program_s_own_are_taken_or_refused_in_one_line(model_file):
    predictor, grey = Predictor(model_file), np.eye(20, 30, dtype=bool)
    expected = predictor.probability(np.uint8(grey)[..., None] * 255)
    for same in (grey, grey[..., None], np.uint16(grey) * 999, np.float64(grey), np.int64(grey)):
        np.testing.assert_allclose(predictor.probability(same), expected, atol=1e-5)
    for wrong in (
        np.zeros((20, 30, 4), np.uint8),
        np.full((20, 30, 1), np.nan),
        np.zeros((0, 30)),
        [[0]],
        grey[None, None],
    ):
        with pytest.raises(InputError, match="^image: .*; expected .*[.] .*[.]$"):
            predictor.probability(wrong)


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


@pytest.mark.parametrize(
    "names", [("x/a.png", "y/a.png"), ("A.png", "a.tif"), ("a.OME.tif", "a.png"), ("ö.png", "o\u0308.tif")]
)
def test_images_of_one_name_do_not_overwrite_each_other(tmp_path, model_file, names):
    paths = [tmp_path / name for name in names]
    for path in paths:
        write_png(path, np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="named (a|after)"):
        predict_files(Predictor(model_file), paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_made_of_an_ome_tiff_has_its_name_alone(tmp_path, model_file):
    write_png(tmp_path / "a.ome.tif", np.zeros((8, 8), np.uint8))
    predict_files(
        Predictor(model_file), [tmp_path / "a.ome.tif"], tmp_path / "out", True, cells=CellWriter(tmp_path / "out")
    )
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"a_predict.png", "a_probability.png", "a_labels.png", "a.geojson", "a_overlay.png"} <= made
    assert not any(".ome" in name for name in made)


def make_wells(folder):
    for name in ("w0.png", "w1.tif"):
        write_png(folder / name, np.random.default_rng(3).integers(0, 99, (40, 40), np.uint8))
    return folder


def predict_in_place(model_file, folder):
    """The paths that a second command finds in a folder where the first one wrote all that it can write."""
    wanted = Wanted(probability=True, cells=True)
    found = find_images([folder])
    predict_paths(lambda: Predictor(model_file), found, folder, wanted)
    return found


def test_results_in_the_folder_of_the_pictures_are_not_pictures(tmp_path, model_file, capsys):
    folder = make_wells(tmp_path)
    wells = [folder / "w0.png", folder / "w1.tif"]
    assert predict_in_place(model_file, folder) == predict_in_place(model_file, folder) == wells
    (folder / "predictions.json").unlink()  # as after a stop in the middle
    (folder / "w0_predict.png").rename(folder / "first try.png")
    assert find_images([folder]) == wells
    assert "not read" not in capsys.readouterr().out
    assert find_images([folder / "w1_overlay.png"]) == [folder / "w1_overlay.png"]  # named by its name


def test_a_picture_of_the_users_is_a_picture_whatever_its_name(tmp_path, model_file):
    folder = make_wells(tmp_path)
    write_png(folder / "other_predict.png", np.zeros((40, 40), np.uint8))
    assert folder / "other_predict.png" in predict_in_place(model_file, folder)
    write_png(folder / "w1_predict.png", np.full((40, 40), 7, np.uint8))  # now a picture, in the place of a mask
    before = (folder / "w1_predict.png").read_bytes()
    with pytest.raises(InputError, match=r"w1_predict\.png: would be overwritten by what is predicted of w1\.tif"):
        predict_in_place(model_file, folder)
    assert (folder / "w1_predict.png").read_bytes() == before


def test_outlines_that_a_person_drew_are_not_overwritten(tmp_path, model_file):
    folder = make_wells(tmp_path)
    (folder / "w0.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match=r"w0\.geojson: would be overwritten"):
        predict_in_place(model_file, folder)
    assert not (folder / "w0_predict.png").exists()


@pytest.mark.parametrize("name", ["cells.csv", "cell_counts.csv", "report.html"])
def test_tables_and_pages_that_somebody_else_made_are_not_overwritten(tmp_path, model_file, name):
    folder = make_wells(tmp_path)
    (folder / name).write_text("well;my own notes")
    with pytest.raises(InputError, match=rf"{name}: no file that `predict` wrote"):
        predict_in_place(model_file, folder)
    assert (folder / name).read_text() == "well;my own notes" and not (folder / "w0_predict.png").exists()


def test_pictures_further_down_and_files_of_other_kinds_are_said(tmp_path, capsys):
    folder = make_wells(tmp_path / "plate")
    make_wells(folder / "B")
    (folder / "x.czi").write_bytes(b"ZISRAWFILE")
    assert len(find_images([folder])) == 2
    said = capsys.readouterr().out
    assert f'not read: 2 pictures in {folder / "B"}; for them: python main.py predict "{folder / "B"}"' in said
    assert "not read: plate holds 1 .czi file (Zeiss: x.czi)" in said
    with pytest.raises(InputError, match=f'python main.py predict "{folder}"'):
        find_images([tmp_path])
    (tmp_path / "only").mkdir()
    (tmp_path / "only/x.czi").write_bytes(b"ZISRAWFILE")
    with pytest.raises(InputError, match="no images to predict; only holds 1 .czi file .*Bio-Formats"):
        find_images([tmp_path / "only"])


def test_what_cellpose_made_is_no_picture(tmp_path, capsys):
    folder = make_wells(tmp_path)
    write_png(folder / "w0_cp_masks.png", np.zeros((40, 40), np.uint16))
    write_png(folder / "w0_flows.tif", np.zeros((40, 40, 3), np.uint8))
    np.save(folder / "w1_seg.npy", {"masks": 0}, allow_pickle=True)
    write_png(folder / "x_cp_masks.png", np.zeros((40, 40), np.uint16))  # of no picture here
    assert [path.name for path in find_images([folder])] == ["w0.png", "w1.tif", "x_cp_masks.png"]
    assert "w0_cp_masks.png, w0_flows.tif, w1_seg.npy made by Cellpose" in capsys.readouterr().out


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


def test_pictures_of_one_slide_count_as_one_in_the_intervals(predicted):
    data = predicted.rename(predicted.parent / "Test data")  # in a data folder, whose table knows the slides
    table_file = data.parent / "tiles.csv"
    table_file.write_text("file,group\na.png,patient 1\nb.png,patient 1\n")
    card = evaluate_folder(data, data / "Predicted images")
    assert card["slides"] == 1 and {image["slide"] for image in card["images"]} == {"patient 1"}
    assert card["interval_95"] is card["objects"]["interval_95"] is card["boundary"]["interval_95"] is None
    assert "the 2 images are of one slide" in table(card)[-1] and "mean per image" in "".join(table(card))
    table_file.unlink()
    card = evaluate_folder(data, data / "Predicted images")
    assert card["slides"] == 2 and card["interval_95"]["dice"] == [pytest.approx(2 / 3), 1]


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


# ------------------------------------------------------------------------------------ one picture, one mask; one record


def cut_folder(folder):
    """A dark field of 40×120, half of it noise alone, cut into tiles of 40: one picture whose tiles differ much."""
    rng = np.random.default_rng(3)
    for name in "ab":
        field = rng.integers(90, 100, (40, 120), np.uint8)
        field[8:20, 8:20] = 20
        write_png(folder / "raw" / "Images" / f"{name}.png", field)
        write_png(folder / "raw" / "Masks" / f"{name}.png", np.uint8(255) * (field == 20))
    prepare_fields(folder / "data", folder / "raw", tile_px=40, test_share=0.5, quiet=True)
    return folder / "data"


@pytest.mark.parametrize("ask", ["folder", "each", "linked", "from within"])
def test_a_tile_has_one_mask_whichever_way_it_is_asked_for(tmp_path, model_file, monkeypatch, ask):
    data = cut_folder(tmp_path)
    tiles = sorted((data / "Train data/Images").iterdir())
    predictor = Predictor(model_file)
    ranges = tile_ranges(data)
    expected = [predictor.mask(predictor.probability(read(tile), ranges[tile.name])) for tile in tiles]
    if ask == "linked":
        (tmp_path / "links").mkdir()
        for tile in tiles:
            (tmp_path / "links" / tile.name).symlink_to(tile)
        tiles = sorted((tmp_path / "links").iterdir())
    if ask == "from within":
        monkeypatch.chdir(tiles[0].parent)
        tiles = [Path(tile.name) for tile in tiles]
    main.main(["predict", *map(str, tiles if ask != "folder" else [tiles[0].parent]), "--model", str(model_file),
               "--out", str(tmp_path / "out")])  # fmt: skip
    for tile, mask in zip(tiles, expected, strict=True):
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / f"{tile.stem}_predict.png"), mask * 255)
    own = predictor.mask(predictor.probability(read(tiles[-1])))
    assert not np.array_equal(own, expected[-1]), "the field's intensities make no difference here"


def test_a_tile_in_colour_is_as_light_to_a_network_that_sees_grey_as_in_its_field():
    rng, ends = np.random.default_rng(0), ((200, 250), (20, 120), (60, 160))
    stain = cv2.GaussianBlur(rng.random((64, 64)), (0, 0), 3)
    stain = (stain - stain.min()) / np.ptp(stain)
    field = np.stack([low + (high - low) * stain for low, high in ends], -1).round().astype(np.uint8)
    predictor = Predictor(PAP_SMEAR)
    whole = predictor.network_input(field)[:32, :32]
    tile = predictor.network_input(field[:32, :32], intensity.spread_of(field))
    assert abs(tile - whole).mean() < 0.15 and np.corrcoef(tile.ravel(), whole.ravel())[0, 1] > 0.99


@pytest.fixture
def scored(tmp_path, model_file):
    """Two test images and their masks by a model: what `evaluate` takes."""
    rng = np.random.default_rng(1)
    for name in "ab":
        write_png(tmp_path / "Images" / f"{name}.png", rng.integers(0, 256, (32, 40), np.uint8))
        write_png(tmp_path / "Masks" / f"{name}.png", (rng.random((32, 40)) < 0.3) * np.uint8(255))
    predict_files(Predictor(model_file), sorted((tmp_path / "Images").iterdir()), tmp_path / "out")
    return tmp_path


def another_model(folder):
    save(networks.unet(1, 3, filters=2, depth=2), folder / "other.keras", {"crop_px": 32})
    return Predictor(folder / "other.keras")


def an_own_picture_of_one_name(folder, model_file):
    write_png(folder / "own" / "a.png", np.zeros((32, 40), np.uint8))
    predict_files(Predictor(model_file), [folder / "own" / "a.png"], folder / "out")


def an_own_picture_by_another_model(folder, model_file):
    write_png(folder / "own" / "mine.png", np.zeros((32, 40), np.uint8))
    predict_files(another_model(folder), [folder / "own" / "mine.png"], folder / "out")


def one_mask_by_another_model(folder, model_file):
    predict_files(another_model(folder), [folder / "Images" / "b.png"], folder / "out")


def one_mask_another_way(folder, model_file):
    predict_files(Predictor(model_file, flips=True), [folder / "Images" / "b.png"], folder / "out")


def a_mask_changed_by_hand(folder, model_file):
    write_png(folder / "out" / "a_predict.png", np.zeros((32, 40), np.uint8))


def an_image_replaced(folder, model_file):
    write_png(folder / "Images" / "b.png", np.zeros((32, 40), np.uint8))


def a_mask_of_another_program(folder, model_file):
    write_png(folder / "Images" / "c.png", np.zeros((32, 40), np.uint8))
    write_png(folder / "Masks" / "c.png", np.uint8(255) * np.eye(32, 40, dtype=np.uint8))
    write_png(folder / "out" / "c_predict.png", np.zeros((32, 40), np.uint8))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (an_own_picture_of_one_name, "a_predict.png: made of another picture"),
        (an_own_picture_by_another_model, "a_predict.png: not among the masks by"),
        (one_mask_by_another_model, "a_predict.png: not among the masks by"),
        (one_mask_another_way, "a_predict.png: not among the masks by"),
        (a_mask_changed_by_hand, "a_predict.png: changed since"),
        (an_image_replaced, "b_predict.png: made of another picture"),
        (a_mask_of_another_program, "c_predict.png: not among the masks by"),
    ],
)
def test_masks_that_the_record_does_not_speak_of_are_not_scored(scored, model_file, change, named):
    assert evaluate_folder(scored, scored / "out")["images"]
    change(scored, model_file)
    with pytest.raises(InputError, match="Run `predict` again") as error:
        evaluate_folder(scored, scored / "out")
    assert named in str(error.value) and "\n" not in str(error.value)


def test_masks_that_one_model_made_one_after_the_other_are_scored_together(scored, model_file):
    before = evaluate_folder(scored, scored / "out")
    write_png(scored / "own.png", np.zeros((20, 20), np.uint8))
    for path in (scored / "own.png", scored / "Images" / "b.png"):
        predict_files(Predictor(model_file), [path], scored / "out")
    after = evaluate_folder(scored, scored / "out")
    assert after | {"calibration": None} == before | {"calibration": None}
    assert after["model"] == str(model_file) and len(after["model_sha256"]) == 64


def test_the_model_is_recorded_for_whoever_looks_from_elsewhere(scored, model_file, monkeypatch):
    monkeypatch.chdir(model_file.parent)
    predict_files(Predictor(model_file.name), [scored / "Images" / "a.png"], scored / "out")
    record = json.loads((scored / "out" / "predictions.json").read_text())
    assert record["model"] == str(model_file) and record["predicted"].keys() == {"a_predict.png", "b_predict.png"}


def test_classes_stored_as_other_values_are_scored_by_their_ids(tmp_path):
    """A model of three classes from masks of 0, 128 and 255 writes 0, 1 and 2."""
    truth = np.uint8([[0, 128, 255, 0]])
    write_png(tmp_path / "Images" / "a.png", np.zeros((1, 4), np.uint8))
    write_png(tmp_path / "Masks" / "a.png", truth)
    save(networks.unet(1, 3, filters=2, depth=2), tmp_path / "m.keras",
         {"crop_px": 32, "masks": asdict(MaskCoding(None, 1, 3, "", palette=(0, 128, 255)))})  # fmt: skip
    predict_files(Predictor(tmp_path / "m.keras"), [tmp_path / "Images" / "a.png"], tmp_path / "out")
    mask = tmp_path / "out" / "a_predict.png"
    write_png(mask, np.uint8([[0, 1, 2, 0]]))
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    record["predicted"]["a_predict.png"]["sha256"] = sha256(mask)
    (tmp_path / "out" / "predictions.json").write_text(json.dumps(record))
    assert evaluate_folder(tmp_path, tmp_path / "out")["dice"] == 1
