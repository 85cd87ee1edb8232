"""Pictures of another magnification are brought to that which the model learnt, and everything back to their own."""

import json
import shlex
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
import tifffile

import main
from correcting.opening import Network
from correcting.pictures import find_pictures
from predicting import whole_slides
from predicting.folder import Wanted, predict_files
from predicting.magnification import Stated, of_use, scale_in
from predicting.predictor import Predictor
from reading import images
from reading.files import InputError
from weights.files import load, save
from weights.start import PAP_SMEAR


def smear(height=300, width=400, times=1, seed=0):
    """Dark discs on light ground, uint8 (height, width) times `times`, and where they are."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((height * times, width * times), np.uint8)
    for x, y in rng.integers(20, (width - 20, height - 20), (25, 2)):
        cv2.circle(truth, (int(x * times), int(y * times)), 10 * times, 1, -1)
    light = cv2.GaussianBlur(225 - 130.0 * truth, (0, 0), times)
    return (light + rng.normal(0, 3, truth.shape)).clip(0, 255).astype(np.uint8), truth


def dice(truth, mask):
    return 2 * ((truth > 0) & (mask > 0)).sum() / ((truth > 0).sum() + (mask > 0).sum())


def opened(**stated):
    return Predictor(PAP_SMEAR, stated=Stated(**stated))


@pytest.fixture(scope="module")
def metric_model(tmp_path_factory):
    """A copy of the shipped weights that knows its µm per pixel, 0.5."""
    path = tmp_path_factory.mktemp("metric") / "model.keras"
    network, metadata = load(PAP_SMEAR)
    save(network, path, metadata | {"um_per_px": 0.5})
    main.main(["export", "--model", str(path)])
    return path


def test_a_stated_diameter_finds_what_is_there_at_another_magnification():
    image, truth = smear(150, 180, times=6)
    told = opened(diameter=120)
    with_it = told.mask(told.probability(image, scale=told.scale()))
    plain = opened()
    without = plain.mask(plain.probability(image, scale=plain.scale()))
    assert with_it.shape == truth.shape
    assert dice(truth, with_it) > 0.9 > dice(truth, without)


def test_the_size_learnt_changes_no_bit():
    image, _ = smear()
    as_learnt = opened(diameter=opened().metadata["objects"]["typical_px"])
    assert as_learnt.scale() == 1
    expected = opened().probability(image)
    np.testing.assert_array_equal(as_learnt.probability(image, scale=as_learnt.scale()), expected)


def test_a_model_without_sizes_refuses_a_diameter_and_else_works_as_ever(tmp_path):
    network, metadata = load(PAP_SMEAR)
    del metadata["objects"]
    save(network, tmp_path / "old.keras", metadata)
    with pytest.raises(
        InputError, match=r"--diameter 20: .*old\.keras does not say how large.*; expected .*[.] .*[.]$"
    ):
        Predictor(tmp_path / "old.keras", stated=Stated(20))
    assert Predictor(tmp_path / "old.keras", stated=Stated(None, 0.3)).scale(0.25) == 1
    save(network, tmp_path / "cells.keras", metadata | {"fit": True})
    with pytest.raises(InputError, match=r"learnt single cells, .*Leave --diameter out[.]$"):
        Predictor(tmp_path / "cells.keras", stated=Stated(20))


@pytest.mark.parametrize("diameter", [0.5, 9000])
def test_what_is_out_of_all_proportion_is_refused(diameter):
    with pytest.raises(InputError, match=f"--diameter {diameter:g}: .*; expected 0.0625 to 8 times[.] Measure"):
        opened(diameter=diameter).scale()


def test_predict_writes_everything_at_the_picture_s_size_and_notes_what_was_said(tmp_path, capsys):
    image, truth = smear(times=2)
    images.write_png(tmp_path / "a.png", image)
    out = tmp_path / "out"
    arguments = ["predict", str(tmp_path / "a.png"), "--out", str(out), "--model", str(PAP_SMEAR), "--cells"]
    assert main.main([*arguments, "--probability", "--diameter", "40"]) == 0
    for name in ("a_predict.png", "a_probability.png", "a_labels.png"):
        assert images.read(out / name).shape[:2] == truth.shape
    assert dice(truth, images.read_mask(out / "a_predict.png")) > 0.9
    assert json.loads((out / "predictions.json").read_text())["stated"] == {"diameter": 40, "um_per_px": None}
    assert main.main([*arguments[:-1], "--diameter", "1"]) == 2
    assert "error: " in capsys.readouterr().err


def test_small_cells_stay_cells_where_the_network_sees_them_enlarged(tmp_path):
    image, truth = smear()
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)  # discs of 5 px: 19 pixels
    images.write_png(tmp_path / "a.png", small)
    arguments = ["predict", str(tmp_path / "a.png"), "--out", str(tmp_path), "--model", str(PAP_SMEAR), "--cells"]
    assert main.main([*arguments, "--diameter", "5"]) == 0
    assert images.read_mask(tmp_path / "a_labels.png").max() >= 15


def test_a_large_picture_in_bands_gives_what_it_gives_in_memory_also_after_a_stop(tmp_path, monkeypatch):
    image, _ = smear(400, 100, times=3)
    tifffile.imwrite(tmp_path / "a.tif", image)
    monkeypatch.setattr("reading.large_images.LARGE_PIXELS", 1000)
    for diameter in (60, 15):
        told = opened(diameter=diameter)
        expected = told.mask(told.probability(image, scale=told.scale())) * 255
        target = tmp_path / f"{diameter}.tif"
        written = []

        def stop(number, *rest, kept=whole_slides._write, written=written):
            kept(number, *rest)
            written.append(number)
            if number == 1 and len(written) == 2:
                raise KeyboardInterrupt

        if diameter == 15:  # several bands
            monkeypatch.setattr(whole_slides, "_write", stop)
            with pytest.raises(KeyboardInterrupt):
                whole_slides.predict_whole(told, tmp_path / "a.tif", target, Wanted(diameter=diameter))
        whole_slides.predict_whole(told, tmp_path / "a.tif", target, Wanted(diameter=diameter))
        assert written == sorted(set(written))
        np.testing.assert_array_equal(tifffile.imread(target, level=0), expected)
        shutil.rmtree(target.with_name(f".{diameter}.partial"), ignore_errors=True)


def metric(**stated):
    """The shipped weights as if they knew their µm per pixel, 0.5."""
    predictor = opened()
    predictor.metadata["um_per_px"] = 0.5
    predictor.stated = of_use(predictor.metadata, Stated(**stated), PAP_SMEAR)
    return predictor


def test_the_size_of_a_pixel_decides_where_model_and_file_know_it():
    assert metric().scale(0.25) == 0.5 and metric().scale(None) == 1
    assert metric(um_per_px=1.0).scale(0.25) == 2 and metric(um_per_px=1.0).scale(0.25, reduced=2) == 4
    assert metric().scale(0.51) == 1  # the same magnification
    assert opened(um_per_px=1.0).scale(0.25) == 1  # a model that knows none
    assert metric(diameter=2 * metric().metadata["objects"]["typical_px"]).scale(9) == 0.5
    with pytest.raises(InputError, match=r"9 µm per pixel, which the file states: .*; expected .*[.] Say what is true"):
        metric().scale(9)


def test_a_tiff_s_own_resolution_brings_it_to_scale(tmp_path):
    image, truth = smear(times=2)
    sides = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}  # 0.25 µm
    tifffile.imwrite(tmp_path / "a.tif", image, **sides)
    predict_files(metric(), [tmp_path / "a.tif"], tmp_path / "out")
    assert metric().scale(0.25) == 0.5
    by_hand = metric().mask(metric().probability(image, scale=0.5))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "out" / "a_predict.png") > 0, by_hand > 0)
    assert dice(truth, by_hand) > 0.9


def test_what_the_network_gets_is_the_picture_at_the_size_it_is_seen():
    image, _ = smear(times=2)
    told = opened(diameter=45.3)
    seen = told.network_input(image[..., None], scale=0.5)
    assert seen.shape == (300, 400, 1) and seen.min() >= 0 and seen.max() <= 1


def test_fields_beside_those_that_a_model_learnt_are_seen_as_these_were(tmp_path):
    images.write_png(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    told = opened(diameter=2 * opened().metadata["objects"]["typical_px"])
    learnt = told.metadata["training"][0]
    assert scale_in(told, tmp_path / "a.png") == scale_in(told, tmp_path / "a.png", ["other"]) == 0.5
    assert scale_in(told, tmp_path / "a.png", ["other", learnt]) == 1


def test_cells_to_correct_and_the_scores_around_a_training_follow_predict(tmp_path):
    image, truth = smear(times=4)
    images.write_png(tmp_path / "a.png", image)
    network = Network(PAP_SMEAR, partial(Predictor, stated=Stated(80)))
    (picture,) = find_pictures(tmp_path, [tmp_path / "a.png"])
    by_predict = opened(diameter=80)
    expected = by_predict.mask(by_predict.probability(image, scale=by_predict.scale()))
    np.testing.assert_array_equal(network.mask(picture.pair, image), expected)
    np.testing.assert_array_equal(
        network.mask(picture.pair, image, ["EDF000"]), opened().mask(opened().probability(image))
    )
    assert dice(truth, network.labels(picture)) > 0.9


def test_correct_refuses_before_the_page_what_the_model_cannot_make_use_of(tmp_path, capsys):
    images.write_png(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    arguments = [str(tmp_path / "a.png"), "--data", str(tmp_path / "d"), "--model", str(PAP_SMEAR), "--no-browser"]
    assert main.main(["correct", *arguments, "--diameter", "0.1"]) == 2
    out, error = capsys.readouterr()
    assert "the page" not in out and error.startswith("error: --diameter 0.1: ") and error.count("\n") == 1


def test_a_slide_s_cells_of_another_size_are_said_too_with_the_part_that_was_predicted(tmp_path, capsys):
    image, _ = smear(600, 800)
    small = np.repeat(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[..., None], 3, 2)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for step in (1, 4):
            tiff.write(
                small[::step, ::step], tile=(128, 128), photometric="rgb", metadata=None, subfiletype=int(step > 1)
            )
    arguments = ["predict", str(tmp_path / "a.tif"), "--out", str(tmp_path / "out"), "--model", str(PAP_SMEAR)]
    assert main.main([*arguments, "--region", "0,0,400,290"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "what the model learnt" in line]
    command = shlex.split(line.partition("python main.py ")[2])
    assert 6 < float(command[command.index("--diameter") + 1]) < 15
    assert command[command.index("--region") + 1] == "0,0,400,290"
    assert main.main(command) == 0
    assert "what the model learnt" not in capsys.readouterr().out


def test_one_line_says_that_cells_have_another_size_with_the_command(tmp_path, capsys):
    image, _ = smear()
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for name, picture in (("small", small), ("own", image)):
        images.write_png(tmp_path / f"{name}.png", picture)
        arguments = ["predict", str(tmp_path / f"{name}.png"), "--out", str(tmp_path / name), "--model", str(PAP_SMEAR)]
        assert main.main(arguments) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "what the model learnt" in line]
        if name == "own":
            assert not lines
            continue
        (line,) = lines
        command = shlex.split(line.partition("python main.py ")[2])
        assert 6 < float(command[command.index("--diameter") + 1]) < 15
        assert main.main(command) == 0
        assert "what the model learnt" not in capsys.readouterr().out
