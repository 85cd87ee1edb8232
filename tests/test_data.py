"""The law of augmentation: one draw, applied twice. ImageDataGenerator itself is the outside reference."""

import json
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from data import (
    IGNORED,
    MERGED,
    SEAM,
    ArrayExamples,
    Examples,
    PairedImageDataGenerator,
    TrainingBatches,
    ValidationBatches,
)
from pairing.masks import mask_coding
from pairing.objects import touching
from pairing.pairs import Pair, find_pairs
from pairing.survey import survey
from reading.files import InputError
from reading.images import write, write_png

FILL_MODES = ("nearest", "reflect", "wrap", "constant")

draws = st.fixed_dictionaries(
    {
        "theta": st.floats(-180, 180),
        "tx": st.floats(-20, 20),
        "ty": st.floats(-20, 20),
        "shear": st.floats(-45, 45),
        "zx": st.floats(0.5, 2),
        "zy": st.floats(0.5, 2),
        "flip_horizontal": st.booleans(),
        "flip_vertical": st.booleans(),
        "channel_shift_intensity": st.none() | st.floats(-60, 60),
        "brightness": st.none() | st.floats(0.3, 1.8),
    }
)


def random_image(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def stock(image, draw, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls a SciPy name that SciPy has deprecated
        return ImageDataGenerator(**keywords).apply_transform(image, draw)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@settings(max_examples=60)
@given(draw=draws, seed=st.integers(0, 99), shape=st.sampled_from([(31, 31, 1), (32, 32, 3), (24, 41, 1), (40, 17, 3)]))
def test_equals_image_data_generator_for_the_same_draw(fill_mode, draw, seed, shape):
    image = random_image(seed, shape)
    ours = PairedImageDataGenerator(fill_mode=fill_mode, cval=7).apply_transform(image, draw)
    reference = stock(image, draw, fill_mode=fill_mode, cval=7)
    difference = np.abs(ours - reference) / 255
    # Two kinds of pixel have no one right answer in floating point: those that the draw takes exactly to the edge of
    # the image (inside or outside?) and those whose brightness falls exactly on a whole grey value before it is cut.
    allowed = np.zeros(difference.shape, bool)
    if fill_mode in ("constant", "wrap"):
        allowed |= near_edge(draw, shape)[..., None]
    if draw["brightness"] is not None:
        warped = stock(image, draw | {"brightness": None}, fill_mode=fill_mode, cval=7)
        for value in (warped, np.floor(warped + 1e-3) * draw["brightness"], np.floor(warped) * draw["brightness"]):
            allowed |= np.abs(value - np.rint(value)) < 0.05
    assert difference[~allowed].max(initial=0) < 1e-3
    assert difference[allowed & ~near_edge(draw, shape)[..., None]].max(initial=0) < 2.5 / 255


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@settings(max_examples=40)
@given(draw=draws, seed=st.integers(0, 99), shape=st.sampled_from([(31, 31, 1), (32, 32, 3), (24, 41, 3)]))
def test_8_bit_images_are_resampled_to_half_a_grey_value(fill_mode, draw, seed, shape):
    image = random_image(seed, shape)
    generator = PairedImageDataGenerator(fill_mode=fill_mode, cval=7)
    geometry = draw | NO_COLOUR
    exact = generator.apply_transform(image, geometry)
    found = generator.apply_transform(image.astype(np.uint8), geometry)
    assert found.dtype == np.float32 and found.shape == exact.shape
    assert np.abs(found - exact).max() <= 0.51
    coloured = generator.apply_transform(image.astype(np.uint8), draw)
    np.testing.assert_array_equal(coloured, generator.change_colours(found, draw))


def near_edge(draw, shape):
    """Pixels that come from within 1e-3 of the border lines row 0, row h−1, column 0 and column w−1."""
    from data import draw_matrix

    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    source = np.einsum("ak,khw->ahw", draw_matrix(draw, *shape[:2]), np.stack([rows, columns, np.ones_like(rows)]))
    close = np.zeros(shape[:2], bool)
    for position, length in zip(source, shape[:2], strict=True):
        # "wrap" repeats the border lines with a period of length − 1
        offset = np.mod(position, max(1, length - 1))
        close |= np.minimum(offset, max(1, length - 1) - offset) < 1e-3
    return close


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@settings(max_examples=60)
@given(draw=draws, seed=st.integers(0, 99), shape=st.sampled_from([(31, 31), (24, 41)]), elastic=st.booleans())
def test_a_mask_warps_exactly_as_an_image_of_itself(fill_mode, draw, seed, shape, elastic):
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 4, shape).astype(np.uint8)
    if elastic:
        draw = draw | {"elastic": rng.uniform(-4, 4, (6, 6, 2)).astype(np.float32)}
    generator = PairedImageDataGenerator(fill_mode=fill_mode, elastic_range=4 * elastic)
    warped = generator.apply_to_mask(mask, draw)
    as_image = generator.warp(mask[..., np.newaxis].astype(np.float32), draw, nearest=True)[..., 0]
    np.testing.assert_array_equal(warped, as_image)
    assert warped.dtype == mask.dtype
    if not elastic:
        with_ties = ties(draw, shape)
        reference = stock(mask[..., np.newaxis], draw | NO_COLOUR, fill_mode=fill_mode, interpolation_order=0)[..., 0]
        near = near_edge(draw, shape) if fill_mode in ("constant", "wrap") else False
        np.testing.assert_array_equal(warped[~(with_ties | near)], reference[~(with_ties | near)])


NO_COLOUR = {"channel_shift_intensity": None, "brightness": None}


def ties(draw, shape):
    """Pixels whose source lies halfway between two pixels, to within 2e-3."""
    from data import draw_matrix

    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    source = np.einsum("ak,khw->ahw", draw_matrix(draw, *shape), np.stack([rows, columns, np.ones_like(rows)]))
    return (np.abs(source - np.floor(source) - 0.5) < 2e-3).any(0)


@settings(max_examples=40)
@given(draw=draws, seed=st.integers(0, 99))
def test_image_and_mask_stay_in_step(draw, seed):
    # A smooth disc as image and its own half-level set as mask: after any draw the level set of the image is the mask,
    # but for pixels on the outline.
    rows, columns = np.mgrid[0:64, 0:64]
    centre = np.random.default_rng(seed).uniform(20, 44, 2)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    image = (255 / (1 + np.exp(distance - 12)))[..., np.newaxis].astype(np.float32)
    mask = (image[..., 0] >= 127.5).astype(np.uint8)
    generator = PairedImageDataGenerator(fill_mode="reflect", elastic_range=3)
    draw = draw | NO_COLOUR | {"elastic": np.random.default_rng(seed).uniform(-3, 3, (6, 6, 2)).astype(np.float32)}
    level_set = generator.apply_transform(image, draw)[..., 0] >= 127.5
    warped = generator.apply_to_mask(mask, draw)
    union = (level_set | (warped > 0)).sum()
    assert (level_set != (warped > 0)).sum() <= 0.25 * max(union, 40)


def test_a_crop_is_a_part_of_the_whole():
    image = random_image(1, (200, 300, 1))
    generator = PairedImageDataGenerator(fill_mode="reflect")
    crop = generator.warp(image, {}, height=64, width=64, centre=(99.5, 149.5))
    np.testing.assert_array_equal(crop, image[68:132, 118:182])
    draw = {"theta": 30, "zx": 1.1, "zy": 0.9}
    square = image[:200, :200]
    whole = generator.warp(square, draw)
    middle = generator.warp(square, draw, height=64, width=64, centre=(99.5, 99.5))
    np.testing.assert_allclose(middle, whole[68:132, 68:132], atol=0.05)


def test_colour_changes_leave_the_mask_alone():
    generator = PairedImageDataGenerator(brightness_range=(0.3, 0.5), channel_shift_range=50)
    image, mask = random_image(0, (32, 32, 3)), np.random.default_rng(0).integers(0, 3, (32, 32))
    new_image, new_mask = generator.random_pair(image, mask, seed=1)
    np.testing.assert_array_equal(new_mask, mask)
    assert new_image.mean() < 0.6 * image.mean()


def test_width_shift_moves_columns_and_height_shift_rows():
    image = np.zeros((21, 21, 1), np.float32)
    image[10, 10] = 255
    moved = PairedImageDataGenerator(width_shift_range=[5], fill_mode="constant").random_pair(image, image[..., 0], 3)
    row, column = np.argwhere(moved[0][..., 0] > 100)[0]
    assert row == 10 and abs(column - 10) == 5


def test_draws_stay_in_their_ranges():
    generator = PairedImageDataGenerator(
        rotation_range=20, zoom_range=0.2, shear_range=10, width_shift_range=0.1, brightness_range=(0.5, 1.5),
        channel_shift_range=9, elastic_range=4,
    )  # fmt: skip
    found = [generator.get_random_transform((100, 200, 1), seed) for seed in range(300)]
    for key, limit in {"theta": 20, "shear": 10, "tx": 20, "channel_shift_intensity": 9}.items():
        values = np.array([draw[key] for draw in found])
        assert -limit <= values.min() < -0.9 * limit and 0.9 * limit < values.max() <= limit
    assert all(0.8 <= draw["zx"] <= 1.2 and 0.5 <= draw["brightness"] <= 1.5 for draw in found)
    assert all(draw["ty"] == 0 and not draw["flip_horizontal"] for draw in found)
    assert max(np.abs(draw["elastic"]).max() for draw in found) <= 4


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(100, 90), (40, 130), (64, 64)]):
        write_png(tmp_path / "Images" / f"f{i}.png", rng.integers(0, 256, (height, width), np.uint8))
        write_png(tmp_path / "Masks" / f"f{i}.png", (rng.random((height, width)) > 0.9).astype(np.uint8) * 255)
    return tmp_path


def make_batches(folder, seed=0, workers=1):
    pairs = find_pairs(folder)
    examples = Examples(pairs, mask_coding(survey(pairs).mask_values), channels=1, crop_px=64, fit=False)
    generator = PairedImageDataGenerator(
        rotation_range=90, zoom_range=0.2, brightness_range=(0.8, 1.2), elastic_range=2
    )
    return TrainingBatches(examples, generator, crop_px=64, batch=3, steps=6, seed=seed, workers=workers)


def test_what_memory_has_no_room_for_is_decoded_once_and_gives_the_same_crops(folder, monkeypatch):
    expected = [make_batches(folder)[i] for i in range(6)]
    monkeypatch.setattr("pairing.examples.CACHE_BYTES", 1)  # the first image alone
    monkeypatch.setattr("pairing.file_cache.KEPT_BYTES", 0)
    batches, read = make_batches(folder), []
    monkeypatch.setattr("reading.images.read", read.append)
    assert batches.examples.store.bytes >= 40 * 130 + 64 * 64
    for one, other in zip(expected, (batches[i] for i in range(6)), strict=True):
        for array, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, again)
    assert not read


def epochs_through_keras(folder, workers, epochs=2):
    """The batches as `fit` receives them: through Keras' own adapter, with its threads."""
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    adapter = PyDatasetAdapter(make_batches(folder, workers=workers))
    received = []
    for _ in range(epochs):
        adapter.on_epoch_begin()
        received += [tuple(np.asarray(array) for array in batch) for batch in adapter.get_numpy_iterator()]
        adapter.on_epoch_end()
    return received


def test_same_seed_same_batches_for_any_number_of_workers(folder):
    reference = epochs_through_keras(folder, workers=0)
    assert len(reference) == 12
    for workers in (1, 4):
        for (image, mask), (expected_image, expected_mask) in zip(
            epochs_through_keras(folder, workers), reference, strict=True
        ):
            np.testing.assert_array_equal(image, expected_image)
            np.testing.assert_array_equal(mask, expected_mask)
    first, later = reference[0][0], reference[6][0]
    assert not np.array_equal(first, later), "a new epoch must bring new draws"
    assert not np.array_equal(first, make_batches(folder, seed=1)[0][0])


def test_global_random_state_is_untouched(folder):
    import random

    np.random.seed(7)
    random.seed(7)
    expected = np.random.random(3).tolist(), random.random()
    np.random.seed(7)
    random.seed(7)
    epochs_through_keras(folder, workers=4, epochs=1)
    assert (np.random.random(3).tolist(), random.random()) == expected


def test_batches_have_the_shapes_and_ranges_of_the_contract(folder):
    image, mask = make_batches(folder)[0]
    assert image.shape == (3, 64, 64, 1) and image.dtype == np.float32
    assert mask.shape == (3, 64, 64, 1) and mask.dtype == np.uint8
    assert image.min() >= 0 and image.max() <= 1 and set(np.unique(mask)) <= {0, 1}


def test_every_epoch_and_every_crop_brings_a_new_draw(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    write_png(tmp_path / "Images" / "a.png", picture)
    write_png(tmp_path / "Masks" / "a.png", (picture > 200) * np.uint8(255))
    batches = make_batches(tmp_path)
    crops = [batches.crop(epoch, index)[0] for epoch in (0, 1) for index in (0, 1)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(crops) for b in crops[:i])


def test_rare_foreground_gets_half_of_the_crops(tmp_path):
    image = np.zeros((512, 512), np.uint8)
    image[:, ::2] = 200
    mask = np.zeros((512, 512), np.uint8)
    mask[20:24, 20:24] = 255
    write_png(tmp_path / "Images" / "a.png", image)
    write_png(tmp_path / "Masks" / "a.png", mask)
    batches = make_batches(tmp_path)
    hits = [batches.crop(0, i)[1].any() for i in range(200)]
    assert 0.4 < np.mean(hits) < 0.65  # by chance alone it would be about 0.02


def test_a_rare_class_is_sought_out_beside_a_common_one(tmp_path):
    mask = np.ones((512, 512), np.uint8)
    mask[:100] = 0
    mask[300:304, 300:304] = 2
    write_png(tmp_path / "Images" / "a.png", mask * 80)
    write_png(tmp_path / "Masks" / "a.png", mask)
    pairs = find_pairs(tmp_path)
    examples = Examples(pairs, mask_coding(survey(pairs).mask_values, classes=3), channels=1, crop_px=64, fit=False)
    batches = TrainingBatches(examples, PairedImageDataGenerator(), crop_px=64, batch=2, steps=1, seed=0)
    hits = [(batches.crop(0, i)[1] == 2).any() for i in range(200)]
    assert 0.15 < np.mean(hits) < 0.4  # half of the crops are centred on foreground, half of these on class 2


def test_validation_counts_every_pixel_once(folder):
    pairs = find_pairs(folder)
    examples = Examples(pairs, mask_coding(survey(pairs).mask_values), channels=1, crop_px=64, fit=False)
    batches = ValidationBatches(examples, crop_px=64, batch=4)
    weight = sum(batches[i][2].sum() for i in range(len(batches)))
    foreground = sum((batches[i][2] * batches[i][1][..., 0]).sum() for i in range(len(batches)))
    assert weight == 100 * 90 + 40 * 130 + 64 * 64
    assert foreground == sum(examples[i].mask.sum() for i in range(3))


def numbered(folder, kind):
    """One image of ten pairs of squares that touch along a side; the true numbers, and its pair."""
    labels = np.zeros((64, 160), np.uint16)
    for number in range(20):
        pair, side = divmod(number, 2)
        row, column = divmod(pair, 5)
        top, left = 4 + 30 * row, 4 + 30 * column + 12 * side
        labels[top : top + 12, left : left + 12] = number + 1
    write_png(folder / "image.png", np.zeros(labels.shape, np.uint8))
    if kind == "labels":
        mask = folder / "mask.png"
        write_png(mask, labels)
    elif kind == "files":
        mask = folder / "masks"
        for number in range(1, 21):
            write_png(mask / f"{number}.png", np.uint8(255) * (labels == number))
    else:
        mask = folder / "mask.json"
        shapes = []
        for number in range(1, 21):
            rows, columns = np.nonzero(labels == number)
            corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]) + 1, int(rows[-1]) + 1]]
            shapes.append({"label": "nucleus", "shape_type": "rectangle", "points": corners})
        mask.write_text(json.dumps({"shapes": shapes, "imageHeight": 64, "imageWidth": 160}))
    return labels, Pair("image", folder / "image.png", mask, "image")


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize("kind", ["labels", "files", "outlines"])
def test_where_numbered_objects_touch_is_a_seam(tmp_path, kind, fit):
    labels, pair = numbered(tmp_path, kind)
    found = survey([pair], quiet=True)
    examples = Examples([pair], found.coding(), 1, 160 if not fit else 320, fit, found.mask_values)
    if fit:
        labels = labels.repeat(2, 0).repeat(2, 1)
    expected = (labels > 0).astype(np.uint8)
    expected[touching(labels)] = SEAM
    np.testing.assert_array_equal(examples[0].mask, expected)
    assert (expected == SEAM).sum() == (10 * 2 * 24 if fit else 10 * 2 * 12)
    plain = Examples([pair], found.coding(), 1, 160 if not fit else 320, fit)
    np.testing.assert_array_equal(plain[0].mask, labels > 0)
    batches = TrainingBatches(examples, PairedImageDataGenerator(), 64, batch=1, steps=1, seed=0)
    assert batches.seams == pytest.approx((expected == SEAM).sum() / (expected > 0).sum())
    assert batches.foreground_share == pytest.approx((labels > 0).mean())


def test_masks_that_number_nothing_among_others_that_do_are_merged(tmp_path):
    labels = np.zeros((40, 60), np.uint8)
    for number in range(20):
        row, column = divmod(number, 5)
        labels[10 * row : 10 * row + 8, 12 * column : 12 * column + 12] = number + 1
    for name, mask in (("a", labels), ("b", np.uint8(255) * (labels > 0))):
        write_png(tmp_path / "Images" / f"{name}.png", np.zeros((40, 60), np.uint8))
        write_png(tmp_path / "Masks" / f"{name}.png", mask)
    found = find_pairs(tmp_path)
    for pairs, values in ((found, {0, 1, SEAM, MERGED}), (found[:1], {0, 1, SEAM}), (found[1:], {0, 1})):
        seen = survey(pairs, quiet=True)
        examples = Examples(pairs, seen.coding(), 1, 64, False, seen.drawn())
        batches = TrainingBatches(examples, PairedImageDataGenerator(), 64, batch=4, steps=1, seed=0)
        crops = batches[0][1][..., 0]
        assert set(np.unique(crops).tolist()) == values
        assert not (np.any(crops == MERGED, (1, 2)) & np.any((crops == 1) | (crops == SEAM), (1, 2))).any()
        assert batches.foreground_share == pytest.approx((labels > 0).mean())


# ------------------------------------------------------------------------------------------------ arrays in memory


def arrays(colour=False):
    """Three images of different sizes and types, bright where their masks are True."""
    masks = [np.zeros(shape, bool) for shape in ((70, 90), (40, 130), (64, 64))]
    for mask in masks:
        mask[10:30, 20:45] = True
    images = [(mask * 200).astype(dtype) for mask, dtype in zip(masks, (np.uint8, np.uint16, np.float64), strict=True)]
    return [np.dstack([images[0]] * 3) if colour else images[0], images[1], images[2][..., None]], masks


def test_the_lines_of_the_docs_train_on_arrays():
    text = (Path(__file__).parents[1] / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?ArrayExamples.*?)```", text, re.DOTALL)
    images, masks = arrays()
    network = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1, activation="sigmoid")])
    network.compile(keras.optimizers.Adam(0.3), "binary_crossentropy")
    found = {"images": images, "masks": masks, "network": network}
    exec(code.replace("crop_px=256", "crop_px=32").replace("steps=250", "steps=20"), found)
    x, y = found["batches"][0]
    assert (
        x.shape == (4, 32, 32, 1)
        and x.dtype == np.float32
        and y.shape == (4, 32, 32, 1)
        and set(np.unique(y)) <= {0, 1}
    )
    assert ((network.predict(x, verbose=0) > 0.5) == y).mean() > 0.9


@pytest.mark.parametrize("colour", [False, True])
def test_arrays_and_files_give_the_same_batches(tmp_path, colour):
    images, masks = arrays(colour)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        write(tmp_path / "Images" / f"{number}.tif", image.astype(np.float32) if image.dtype == float else image)
        write_png(tmp_path / "Masks" / f"{number}.png", mask.astype(np.uint8) * 255)
    pairs = find_pairs(tmp_path)
    of_files = Examples(pairs, survey(pairs, quiet=True).coding(), 3 if colour else 1, 32, False)
    for kind in (TrainingBatches, ValidationBatches):
        options = (PairedImageDataGenerator(rotation_range=90), 32, 4, 3, 0) if kind is TrainingBatches else (32, 4)
        first, second = (kind(examples, *options)[0] for examples in (of_files, ArrayExamples(images, masks)))
        for ours, theirs in zip(first, second, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_classes_of_arrays_and_what_does_not_belong_together():
    images, masks = arrays()
    numbers = [mask * np.int64(2) for mask in masks]
    numbers[0][:5] = 1
    assert [set(np.unique(example.mask)) for example in ArrayExamples(images, numbers, classes=3)][0] == {0, 1, 2}
    assert set(np.unique(ArrayExamples(images, numbers, foreground=[1])[0].mask[:5])) == {1}
    for wrong in ((images, masks[:2]), ([], []), (images, masks[::-1]), ([images[0][..., None, None]], masks[:1])):
        with pytest.raises(InputError, match="received; expected"):
            ArrayExamples(*wrong)


def partly_known(count=3, size=120):
    """`Example`s of which a corner is known, another place and size in each, with one cell in it."""
    rng = np.random.default_rng(0)
    masks = np.full((count, size, size), IGNORED, np.uint8)
    for number, mask in enumerate(masks):
        mask[: 30 + 10 * number, :25] = 0
        mask[5:15, 5:15] = 1
    images = rng.integers(0, 256, masks.shape).astype(np.uint8)
    return ArrayExamples(images, masks, ignore=(IGNORED,))


def test_crops_hold_something_known_and_classes_are_shares_of_it():
    examples = partly_known()
    batches = TrainingBatches(
        examples, PairedImageDataGenerator(rotation_range=180, zoom_range=(0.8, 1.25)), 32, 4, 1, 0
    )
    crops = [batches.crop(0, index)[1] for index in range(60)]
    assert batches.ignoring and all((crop != IGNORED).any() for crop in crops)
    assert set(np.unique(crops)) == {0, 1, IGNORED}
    known = sum(int((example.mask != IGNORED).sum()) for example in examples)
    assert batches.foreground_share == pytest.approx(3 * 100 / known)
    assert batches.crops_once == sum(-(-16 * (30 + 10 * n) * 25 // 120**2) for n in range(3))  # by the known area


def test_validation_counts_every_known_pixel_once():
    examples = partly_known()
    checks = ValidationBatches(examples, 32, 4)
    batches = [checks[i] for i in range(len(checks))]
    weights = np.concatenate([weight for _, _, weight in batches])
    truth = np.concatenate([mask[..., 0] for _, mask, _ in batches])
    assert checks.ignoring and weights.sum() == sum((example.mask != IGNORED).sum() for example in examples)
    assert not (truth[weights > 0] == IGNORED).any() and weights.any(axis=(1, 2)).all()


def test_seams_end_where_nothing_is_known(tmp_path):
    labels = np.zeros((40, 40), np.uint16)
    for number in range(1, 20):
        labels[2 * number - 2 : 2 * number, 4:30] = number
    labels[:, 20:] = 65535
    write_png(tmp_path / "Images" / "a.png", np.zeros((40, 40), np.uint8))
    write_png(tmp_path / "Masks" / "a.png", labels)
    found = find_pairs(tmp_path)
    seen = survey(found, quiet=True, ignore=(65535,))
    mask = Examples(found, seen.coding(), 1, 32, False, seen.drawn())[0].mask
    assert (mask[:, 20:] == IGNORED).all() and (mask[:, :20] != IGNORED).all()
    assert not (mask[:, 19] == SEAM).any() or (mask[2:36, 10] == mask[2:36, 19]).all()  # as far from the edge
