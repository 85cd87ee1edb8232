"""`PairedImageDataGenerator` as people use Keras' class: arrays of any type, `flow` by pairs, two flows by one seed."""

import warnings

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from data import PairedImageDataGenerator
from reading.images import read

GEOMETRY = {"rotation_range": 70, "zoom_range": 0.3, "horizontal_flip": True, "height_shift_range": 0.2}
FILLS = ({}, {"fill_mode": "constant", "cval": 99}, {"fill_mode": "wrap"}, {"fill_mode": "reflect", "elastic_range": 3})
DTYPES = ("?", "i1", "u1", "u2", ">u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8", "c8")


@pytest.fixture
def pairs():
    """Five images of two blocks each, and the masks that mark them: (5, 32, 48, 1) float32 and (5, 32, 48) uint32."""
    masks = np.zeros((5, 32, 48), np.uint32)
    rng = np.random.default_rng(3)
    for mask in masks:
        for number in (70_000, 3_000_000_000):
            row, column = rng.integers(2, 20), rng.integers(2, 34)
            mask[row : row + 10, column : column + 10] = number
    return (masks > 0).astype(np.float32)[..., np.newaxis] * 200, masks


def in_step(images, masks):
    """True where images are bright where their masks are not 0, but for pixels on the outlines."""
    images, masks = np.asarray(images).reshape(masks.shape) > 100, masks > 0
    return (images != masks).mean() < 0.02 and masks.any()


# ---------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("options", FILLS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mask_comes_back_in_the_numbers_that_it_came_in(dtype, options):
    ids = np.random.default_rng(0).integers(0, 4, (24, 40)).astype(np.uint8)
    kind = np.dtype(dtype)
    largest = np.iinfo(kind).max if kind.kind in "iu" else 1 if kind.kind == "b" else 6e4
    table = np.array([0, 1, largest, 1 if kind.kind == "b" else 7], kind)
    generator = PairedImageDataGenerator(**GEOMETRY, **options)
    for seed in range(3):
        draw = generator.get_random_transform(ids.shape, seed)
        expected = table[generator.apply_to_mask(ids, draw)]
        for channels in ((), (1,), (3,), (7,)):
            mask = np.tile(table[ids].reshape(24, 40, *(1 for _ in channels)), channels or 1)
            found = generator.apply_to_mask(mask, draw)
            assert found.dtype == kind and found.shape == mask.shape
            assert set(np.unique(found)) <= set(table)
            one = found[..., -1] if channels else found
            assert (one != expected).mean() < 0.005  # halfway between two pixels OpenCV takes this one or that


@pytest.mark.parametrize("options", [*FILLS, {"brightness_range": (0.4, 0.5)}, {"channel_shift_range": 30}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f8"])
@pytest.mark.parametrize("channels", [(), (1,), (2,), (4,), (5,)], ids=str)
def test_images_of_any_number_of_channels_are_moved_channel_by_channel(channels, dtype, options):
    image = np.random.default_rng(1).integers(0, 200, (20, 30, *channels)).astype(dtype)
    image.flat[:2] = 0, 199
    image.flags.writeable = False
    generator = PairedImageDataGenerator(**GEOMETRY, **options)
    moved, _ = generator.random_pair(image, np.zeros((20, 30), bool), seed=5)
    assert moved.dtype == np.float32 and moved.shape == image.shape
    if channels and "channel_shift_range" not in options:  # it looks at all channels together
        for channel in range(*channels):
            alone, _ = generator.random_pair(image[..., channel], np.zeros((20, 30), bool), seed=5)
            np.testing.assert_allclose(moved[..., channel], alone, atol=1.01 if dtype == "u1" else 0.02)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("order", [0, 1])
def test_cval_is_for_images_alone_and_may_be_of_each_channel(dtype, order):
    image = np.full((40, 40, 3), (230, 220, 240), dtype)
    mask = np.ones((40, 40), np.uint8)
    generator = PairedImageDataGenerator(
        rotation_range=60, fill_mode="constant", cval=(230, 220, 240), interpolation_order=order
    )
    moved, drawn = generator.random_pair(image, mask, 2)
    np.testing.assert_allclose(moved, image, atol=1e-3)
    assert set(np.unique(drawn)) == {0, 1}
    with pytest.raises(ValueError, match="cval of 3 numbers.*each of 1 channel"):
        generator.random_pair(image[..., :1], mask, 2)


@pytest.mark.parametrize(
    "wrong", [{"fill_mode": "edge"}, {"interpolation_order": 3}, {"data_format": "channels_first"}]
)
def test_options_that_there_are_not_are_refused(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be one of .*Received: "):
        PairedImageDataGenerator(**wrong)


def test_an_image_and_a_mask_of_other_sizes_are_no_pair():
    with pytest.raises(ValueError, match=r"\(20, 30, 1\).*\(30, 20\).*one height and width"):
        PairedImageDataGenerator().random_pair(np.zeros((20, 30, 1)), np.zeros((30, 20)), 0)


def test_brightness_beyond_8_bits_is_that_of_keras():
    image = np.random.default_rng(0).integers(900, 40_000, (16, 16, 1)).astype(np.float32)
    draw = {"brightness": 1.3}
    expected = ImageDataGenerator().apply_transform(image, draw)
    found = PairedImageDataGenerator().apply_transform(image.astype(np.uint16), draw)
    assert np.abs(found - expected).max() < 2 * 40_000 / 255
    with pytest.warns(UserWarning, match="image of 0 to 1.*rescale"):
        PairedImageDataGenerator().apply_transform(image / 40_000, draw)


# ------------------------------------------------------------------------------------------------------------ flow


def test_flow_gives_pairs_by_one_draw(pairs):
    images, masks = pairs
    generator = PairedImageDataGenerator(**GEOMETRY, brightness_range=(0.8, 1), rescale=1 / 2)
    flow = generator.flow(images, masks, batch_size=2, seed=1)
    shapes = []
    for _ in range(2 * len(flow)):
        x, y = next(flow)
        assert in_step(2 * x, y) and set(np.unique(y)) <= {0, 70_000, 3_000_000_000}
        shapes.append((x.shape, y.shape))
        assert x.dtype == np.float32 and y.dtype == np.uint32
    assert shapes == 2 * [((n, 32, 48, 1), (n, 32, 48)) for n in (2, 2, 1)]
    assert len(flow) == 3
    x, y = flow[2]
    assert in_step(2 * x, y)


@pytest.mark.parametrize("form", ["x", "xy", "xyw", "further"])
def test_batches_have_the_forms_of_keras(pairs, form):
    images, masks = pairs
    weights, ages = np.arange(5.0), np.arange(5)
    given = {
        "x": (images,), "xy": (images, masks), "xyw": (images, masks, 2, False, weights),
        "further": ((images, ages), masks, 2, False),
    }[form]  # fmt: skip
    ours = next(PairedImageDataGenerator().flow(*given))
    theirs = next(ImageDataGenerator().flow(*given))

    def compare(a, b):
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape
            if form in ("xyw", "further"):  # in their order
                np.testing.assert_array_equal(a, b)
        else:
            for one, other in zip(a, b, strict=True):
                compare(one, other)

    compare(ours, theirs)


def test_a_batch_follows_from_seed_epoch_and_index_and_changes_no_global_state(pairs):
    generator = PairedImageDataGenerator(**GEOMETRY)
    before = np.random.get_state()[1].copy()
    first, second, other = (generator.flow(*pairs, batch_size=2, seed=seed) for seed in (7, 7, 8))
    second.on_epoch_end()
    later = [second[index] for index in (2, 0, 1)]
    [next(first) for _ in range(3)]
    found = [next(first) for _ in range(3)]
    for (x, y), (again, mask) in zip([found[2], found[0], found[1]], later, strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, mask)
    assert any((next(other)[0] != x).any() for x, _ in found[:2])
    generator.fit(pairs[0], augment=True, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("shuffle", [False, True])
def test_two_flows_of_one_seed_stay_in_step_also_where_one_changes_colours(pairs, shuffle):
    images, masks = pairs
    shown = (masks > 0).astype(np.float32)[..., np.newaxis] * 255
    of_images = PairedImageDataGenerator(**GEOMETRY, elastic_range=2, brightness_range=(0.8, 1), channel_shift_range=9)
    of_masks = PairedImageDataGenerator(**GEOMETRY, elastic_range=2, interpolation_order=0)
    both = zip(
        of_images.flow(images, batch_size=2, shuffle=shuffle, seed=4),
        of_masks.flow(shown, batch_size=2, shuffle=shuffle, seed=4),
        strict=True,
    )
    for _, (x, y) in zip(range(7), both, strict=False):
        assert set(np.unique(y)) == {0, 255} and in_step(x, y)
    x, y = (
        generator.random_transform(array[0], seed=9) for generator, array in ((of_images, images), (of_masks, shown))
    )
    assert in_step(x, y)


def test_weights_of_pixels_go_along_and_subsets_keep_their_own(pairs):
    images, masks = pairs
    generator = PairedImageDataGenerator(**GEOMETRY, fill_mode="constant", validation_split=0.4)
    weights = (masks > 0).astype(np.float32)
    x, y, w = next(generator.flow(images, masks, sample_weight=weights, seed=1))
    np.testing.assert_array_equal(w > 0, y > 0)
    numbers = np.arange(5)
    parts = [
        next(generator.flow(images, masks, shuffle=False, sample_weight=numbers, subset=subset))
        for subset in ("validation", "training")
    ]
    assert [part[2].tolist() for part in parts] == [[0, 1], [2, 3, 4]]
    assert [len(part[0]) for part in parts] == [2, 3]


def test_a_network_is_fitted_to_a_flow(pairs):
    images, masks = pairs
    model = keras.Sequential([keras.Input((32, 48, 1)), keras.layers.Conv2D(1, 1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    flow = PairedImageDataGenerator(**GEOMETRY).flow(list(images), list(masks > 0), batch_size=2, seed=0)
    assert len(model.fit(flow, epochs=2, verbose=0).history["loss"]) == 2
    assert flow.epoch >= 2  # each other crops than the one before


def test_what_is_yielded_can_be_looked_at(pairs, tmp_path):
    images, masks = pairs
    next(PairedImageDataGenerator(**GEOMETRY).flow(images, masks, 5, seed=0, save_to_dir=tmp_path, save_prefix="a"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"a_{i}_0{end}.png" for i in range(5) for end in ("", "_mask")]
    for i in range(5):
        image, mask = (read(tmp_path / f"a_{i}_0{end}.png") for end in ("", "_mask"))
        assert in_step(image, mask)


@pytest.mark.parametrize(
    ("x", "y", "options", "says"),
    [
        ((5, 8, 8), None, {}, r"`x` of shape \(5, 8, 8\).*\(n, height, width, channels\)"),
        ((5, 8, 8, 1), (5,), {}, r"`y` of shape \(5,\).*masks \(5, 8, 8\).*ImageDataGenerator"),
        ((5, 8, 8, 1), (5, 8, 9), {}, r"`y` of shape \(5, 8, 9\)"),
        ((5, 8, 8, 1), (4, 8, 8), {}, r"`y` of shape \(4, 8, 8\)"),
        ((5, 8, 8, 1), (5, 8, 8), {"sample_weight": np.ones(4)}, r"`sample_weight` of shape \(4,\)"),
        ((5, 8, 8, 1), None, {"subset": "test"}, "`subset` must be training or validation"),
        ((5, 8, 8, 1), None, {"subset": "validation"}, "0 images"),
        ((5, 8, 8, 1), None, {"batch_size": 0}, "batches of 0"),
    ],
)
def test_what_are_no_pairs_is_refused(x, y, options, says):
    with pytest.raises(ValueError, match=says) as error:
        PairedImageDataGenerator().flow(np.zeros(x), None if y is None else np.zeros(y), **options)
    assert "\n" not in str(error.value)


def test_lists_of_several_sizes_and_files_are_told_what_to_call():
    generator = PairedImageDataGenerator()
    with pytest.raises(ValueError, match="one size.*TrainingBatches"):
        generator.flow([np.zeros((8, 8, 1)), np.zeros((8, 9, 1))])
    for method in (generator.flow_from_directory, generator.flow_from_dataframe):
        with pytest.raises(NotImplementedError, match=rf"{method.__name__}.*flow\(images, masks\).*find_pairs"):
            method("folder", class_mode=None)


def test_no_other_inherited_method_looks_at_the_global_state():
    """What Keras' class can do, all decided: a method that comes with a new version of Keras fails here."""
    inherited = {name for name in vars(ImageDataGenerator) if not name.startswith("_")}
    own = {name for name in vars(PairedImageDataGenerator) if not name.startswith("_")}
    assert inherited - own == {"standardize", "random_transform"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = np.ones((4, 4, 1), np.float32)
        assert PairedImageDataGenerator(rescale=3).standardize(image).max() == 3
