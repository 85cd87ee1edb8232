"""Pairs by exact name, splits by whole groups, mask values by the whole folder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pairs
from images import InputError, write_png
from pairs import Pair, choose_fit, find_pairs, fitted_size, group_of, mask_coding, resize, split_by_group, survey


def put(folder, *names, value=0, size=(8, 8)):
    for name in names:
        write_png(folder / name, np.full(size, value, np.uint8))


def test_pairs_are_found_by_exact_stem(tmp_path):
    put(tmp_path / "Images", "img1.png", "img10.png", "Zelle ä 3.PNG")
    put(tmp_path / "Masks", "img10.png", "img1.png", "Zelle ä 3.png")
    found = find_pairs(tmp_path)
    assert [(p.image.stem, p.mask.stem) for p in found] == [(p.stem, p.stem) for p in found]
    assert [p.stem for p in found] == ["Zelle ä 3", "img1", "img10"]


@pytest.mark.parametrize(
    ("image_names", "mask_names", "named"),
    [
        ([], [], "no images found"),
        (["a.png", "b.png"], ["a.png"], r"no mask for b\.png"),
        (["a.png"], ["a.png", "c.png"], r"no image for mask c\.png"),
        (["a.png", "a.bmp"], ["a.png"], "share one name"),
        (["img1.png"], ["img10.png"], r"no mask for img1\.png"),
    ],
)
def test_faults_of_a_folder_are_named(tmp_path, image_names, mask_names, named):
    (tmp_path / "Images").mkdir()
    put(tmp_path / "Images", *image_names)
    put(tmp_path / "Masks", *mask_names)
    with pytest.raises(InputError, match=named):
        find_pairs(tmp_path)


def test_an_image_without_a_mask_is_fine_where_masks_are_optional(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png")
    put(tmp_path / "Masks", "a.png")
    assert [p.mask is None for p in find_pairs(tmp_path, masks="optional")] == [False, True]


@pytest.mark.parametrize(
    ("stem", "group"),
    [
        ("slide03_field2", "slide03"),
        ("EDF000_tile_03_04", "EDF000"),
        ("case7-roi2", "case7"),
        ("carcinoma_in_situ_001", "carcinoma_in_situ_001"),
        ("field_01", "field_01"),
        ("img1", "img1"),
    ],
)
def test_the_group_is_what_a_tile_was_cut_from(stem, group):
    assert group_of(stem) == group


@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_no_group_is_on_both_sides(groups, share, seed):
    made = [Pair(f"{i}", None, None, f"g{group}") for i, group in enumerate(groups)]
    training, validation = split_by_group(made, share, seed)
    assert sorted(p.stem for p in training + validation) == sorted(p.stem for p in made)
    assert not {p.group for p in training} & {p.group for p in validation}
    assert training and (validation or len(set(groups)) == 1)
    assert split_by_group(made[::-1], share, seed)[1] == validation[::-1]


@pytest.mark.parametrize(
    ("stored", "keywords", "foreground"),
    [
        ([0, 255], {}, [255]),
        ([0, 1], {}, [1]),
        ([0, 1, 2], {}, [1, 2]),
        ([0, 1, 2], {"foreground": (2,)}, [2]),
        ([0, 128, 255], {"foreground": (128, 255)}, [128, 255]),
        ([0, 3, 700], {}, [3, 700]),  # instance labels
    ],
)
def test_the_meaning_of_mask_values(stored, keywords, foreground):
    coding = mask_coding({value: 10 for value in stored}, **keywords)
    decoded = coding.decode(np.array([stored]))
    np.testing.assert_array_equal(decoded[0], [value in foreground for value in stored])


def test_soft_edges_are_cut_in_the_middle():
    coding = mask_coding({0: 900, 3: 2, 127: 3, 128: 3, 252: 2, 255: 90})
    np.testing.assert_array_equal(coding.decode(np.array([[0, 3, 127, 128, 252, 255]])), [[0, 0, 0, 1, 1, 1]])


def test_class_ids_stay_as_they_are():
    coding = mask_coding({0: 1, 1: 1, 2: 1}, classes=3)
    np.testing.assert_array_equal(coding.decode(np.array([[0, 1, 2]])), [[0, 1, 2]])


@pytest.mark.parametrize(
    ("values", "keywords", "named"),
    [
        ([0], {}, "empty"),
        ([0, 1, 2], {"classes": 2}, "class ids 0 to 1"),
        ([0, 255], {"classes": 3}, "class ids 0 to 2"),
        ([0, 1], {"foreground": (2,)}, "none is --foreground 2"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, keywords, named):
    with pytest.raises(InputError, match=named):
        mask_coding({value: 5 for value in values}, **keywords)


def test_the_survey_names_a_mask_of_another_size_and_counts_the_rest(tmp_path):
    put(tmp_path / "Images", "a.png", "b.png", "c.png")
    put(tmp_path / "Masks", "a.png")
    put(tmp_path / "Masks", "b.png", size=(8, 9))
    (tmp_path / "Masks" / "c.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"b\.png.*8×9.*8×8.*1 more"):
        survey(find_pairs(tmp_path), quiet=True)


def test_a_test_image_that_is_trained_on_is_found_by_content_not_by_name(tmp_path):
    train, test = tmp_path / "Train data", tmp_path / "Test data"
    put(train / "Images", "0.png", value=1)
    put(train / "Images", "1.png", value=2)
    put(test / "Images", "0.png", value=3)  # numbered alike, another picture
    put(test / "Images", "renamed.png", value=2)
    found = pairs.shared_images(find_pairs(train, "optional"), find_pairs(test, "optional"))
    assert found == ["renamed.png"]


def test_single_cell_crops_are_fitted_and_fields_are_not():
    assert choose_fit([(43, 41), (200, 180), (300, 100)], 256)
    assert not choose_fit([(1024, 1024), (43, 41)], 256)
    assert not choose_fit([(256, 256)], 256)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_fitted_size_fills_the_tile(height, width):
    fitted = fitted_size(height, width, 256)
    assert max(fitted) == 256 and min(fitted) >= 1
    assert abs(fitted[0] * width - fitted[1] * height) <= 0.5 * max(height, width) or min(fitted) == 1


@given(data=st.data())
def test_resizing_a_mask_invents_no_class(data):
    size, new = (data.draw(st.tuples(st.integers(1, 50), st.integers(1, 50))) for _ in range(2))
    mask = np.random.default_rng(0).choice([0, 2, 5], size).astype(np.uint8)
    resized = resize(mask, *new, nearest=True)
    assert resized.shape == new and set(np.unique(resized)) <= {0, 2, 5}
