"""The embedded sample: deterministic, plausible, and careful with other people's files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pairing.objects import touching
from preparing import sample
from preparing.canvas import SMALLEST, Canvas
from preparing.sample import make_field, make_specimen, numbered_field, write_sample

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train": (2, 2), "test": (1, 2), "size": 96}


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def read(path):
    cv2 = pytest.importorskip("cv2")
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., ::-1]


def test_same_seed_same_field_and_every_key_counts():
    image, classes = make_field(3, 2, size=128, seed=7)
    again, classes_again = make_field(3, 2, size=128, seed=7)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(classes, classes_again)
    for slide, field, seed in ((3, 2, 8), (3, 1, 7), (2, 2, 7)):
        assert not np.array_equal(image, make_field(slide, field, size=128, seed=seed)[0])


def test_slides_differ_and_fields_of_a_slide_share_its_look():
    looks = {make_specimen(slide, 0) for slide in range(20)}
    assert len(looks) == 20
    assert make_specimen(4, 0) == make_specimen(4, 0) != make_specimen(4, 1)


@pytest.mark.parametrize("size", [1, 33, 256])
@pytest.mark.parametrize("colour", [False, True])
def test_shapes_dtypes_values(size, colour):
    image, classes = make_field(0, 0, size=size, colour=colour)
    assert image.shape == ((size, size, 3) if colour else (size, size)) and image.dtype == np.uint8
    assert classes.shape == (size, size) and classes.dtype == np.uint8
    assert set(np.unique(classes)) <= {0, 1, 2}


def test_colour_and_grey_show_the_same_field():
    grey, classes = make_field(1, 0, size=512)
    colour, classes_colour = make_field(1, 0, size=512, colour=True)
    np.testing.assert_array_equal(classes, classes_colour)
    assert np.corrcoef(grey.ravel(), colour.mean(2).ravel())[0, 1] > 0.9
    assert np.abs(colour.astype(int)[..., 0] - colour[..., 2])[classes > 0].mean() > 3  # not grey


def test_foreground_is_rare_and_everything_is_visible():
    shares = []
    for slide in range(4):
        image, classes = make_field(slide, 0, size=512)
        background, cytoplasm, nuclei = (float(np.median(image[classes == k])) for k in range(3))
        assert background > cytoplasm > nuclei + 20
        shares.append([(classes == 2).mean(), (classes >= 1).mean()])
    nuclear, cellular = np.mean(shares, axis=0)
    assert 0.005 < nuclear < 0.06
    assert 0.1 < cellular < 0.7


def test_nuclei_are_darker_than_their_surroundings():
    cv2 = pytest.importorskip("cv2")
    image, classes = make_field(1, 0, size=512)
    nuclei = (classes == 2).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(nuclei)
    darker = []
    for i in range(1, count):
        if stats[i, cv2.CC_STAT_AREA] < 60:
            continue
        one = (labels == i).astype(np.uint8)
        ring = (cv2.dilate(one, np.ones((15, 15))) > 0) & (cv2.dilate(nuclei, np.ones((5, 5))) == 0)
        darker.append(np.median(image[ring]) - np.median(image[one > 0]))
    assert len(darker) > 5
    assert np.mean(np.array(darker) > 10) > 0.95


def test_each_nucleus_has_a_number_of_its_own_also_where_two_touch():
    touch, sizes = [], []
    for slide in range(4):
        image, classes, nuclei = numbered_field(slide, 1, size=512)
        plain = make_field(slide, 1, size=512)
        np.testing.assert_array_equal(plain[0], image)
        np.testing.assert_array_equal(plain[1], classes)
        np.testing.assert_array_equal(nuclei > 0, classes == 2)
        numbers, first = np.unique(nuclei[nuclei > 0], return_index=True)
        assert numbers.tolist() == list(range(1, nuclei.max() + 1)) and (np.diff(first) > 0).all()
        edges = np.concatenate([nuclei[0], nuclei[-1], nuclei[:, 0], nuclei[:, -1]])
        inner = np.setdiff1d(numbers, edges)
        sizes += np.bincount(nuclei.ravel())[inner].tolist()
        touch += np.isin(inner, nuclei[touching(nuclei)]).tolist()
    assert min(sizes) >= SMALLEST and np.mean(np.array(sizes) < 100) > 0.15  # lobes of leukocytes
    assert 0.2 < np.mean(touch) < 0.6


def test_the_upper_nucleus_is_whole_and_a_sliver_of_the_lower_one_is_its_own():
    canvas = Canvas(np.random.default_rng(0), 64, 1)
    parts = np.zeros((40, 40), int)
    parts[10:20, 5:20], parts[10:20, 20:35] = 1, 2  # two that touch
    canvas.mark_nuclei(parts, 20, 20)
    canvas.mark_nuclei(parts == 1, 20, 26)  # one on both of them
    inside = np.s_[sample.MARGIN : sample.MARGIN + 64, sample.MARGIN : sample.MARGIN + 64]
    assert canvas.nuclei_within(inside)[10, 5:36].tolist() == [1] * 6 + [2] * 15 + [3] * 9 + [0]
    canvas.mark_nuclei(parts == 1, 20, 21)  # leaves one column of the first
    left = canvas.nuclei_within(inside)
    assert left[10, 5:36].tolist() == [1] * 16 + [2] * 5 + [3] * 9 + [0]
    assert (canvas.classes[inside] == 2).sum() == (left > 0).sum()


def test_global_random_state_untouched():
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    make_field(0, 0, size=64)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_write_sample_binary(tmp_path):
    assert write_sample(tmp_path / "a", seed=1, **SMALL) == 6
    written = files(tmp_path / "a")
    assert "Train data/Images/slide01_field0.png" in written
    for split in ("Train data", "Test data"):
        images = {name.split("/")[2] for name in written if name.startswith(f"{split}/Images/")}
        masks = {name.split("/")[2] for name in written if name.startswith(f"{split}/Masks/")}
        assert images == masks and images
        for name in masks:
            mask = read(tmp_path / "a" / split / "Masks" / name)
            assert mask.shape == (96, 96) and mask.dtype == np.uint8
            assert set(np.unique(mask)) <= {0, 255}
    slides = [{n.split("/")[2].split("_")[0] for n in written if n.startswith(s)} for s in ("Train data", "Test data")]
    assert len(slides[0]) == 2 and len(slides[1]) == 1 and not slides[0] & slides[1]
    write_sample(tmp_path / "b", seed=1, **SMALL)
    assert files(tmp_path / "b") == written
    write_sample(tmp_path / "c", seed=2, **SMALL)
    assert files(tmp_path / "c") != written


def test_write_sample_with_numbered_nuclei(tmp_path):
    options = {"train": (1, 1), "test": (1, 1), "size": 512}
    for numbered in (False, True):
        write_sample(tmp_path / str(numbered), numbered=numbered, **options)
    plain, numbers = (
        read(tmp_path / kind / "Test data" / "Masks" / "slide01_field0.png") for kind in ("False", "True")
    )
    assert numbers.dtype == np.uint16 and numbers.max() > 3
    np.testing.assert_array_equal(plain > 0, numbers > 0)


def test_write_sample_three_classes_in_colour(tmp_path):
    write_sample(tmp_path, classes=3, colour=True, train=(1, 1), test=(1, 1), size=256)
    image = read(tmp_path / "Train data" / "Images" / "slide00_field0.png")
    mask = read(tmp_path / "Train data" / "Masks" / "slide00_field0.png")
    expected_image, expected_mask = make_field(0, 0, size=256, colour=True)
    np.testing.assert_array_equal(image, expected_image)
    np.testing.assert_array_equal(mask, expected_mask)
    assert set(np.unique(mask)) == {0, 1, 2}


@pytest.mark.parametrize("split", ["Train data", "Test data"])
@pytest.mark.parametrize("kind", ["Images", "Masks"])
def test_existing_files_are_never_overwritten(tmp_path, split, kind):
    mine = tmp_path / split / kind / "slide00_field0.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(ValueError, match="already contains files") as error:
        write_sample(tmp_path, **SMALL)
    assert "\n" not in str(error.value) and str(mine.parent) in str(error.value)
    assert mine.read_bytes() == b"mine"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]


def test_empty_folders_and_hidden_files_are_no_obstacle(tmp_path):
    (tmp_path / "Train data" / "Images").mkdir(parents=True)
    (tmp_path / "Train data" / "Images" / ".gitkeep").touch()
    assert write_sample(tmp_path, **SMALL) == 6


def test_wrong_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: classes=2"):
        write_sample(tmp_path, classes=2)


def test_import_is_light():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from preparing import sample; " + (
        "print([m for m in ('keras', 'tensorflow', 'scipy', 'skimage', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_stains_are_comparable():
    for vector in sample.STAINS.values():
        assert vector.mean() == pytest.approx(1, abs=1e-5) and (vector >= 0).all()


def test_a_sample_that_was_cut_short_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    real, made = sample.write_png, []

    def stop_at_the_third(path, array):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(path)
        real(path, array)

    monkeypatch.setattr(sample, "write_png", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sample.write_sample(tmp_path, size=64, train=(2, 1), test=(1, 1))
    assert not list(tmp_path.glob("*/Images/*"))
    monkeypatch.setattr(sample, "write_png", real)
    assert sample.write_sample(tmp_path, size=64, train=(2, 1), test=(1, 1)) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
