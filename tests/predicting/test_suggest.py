"""What to annotate next: laws of the order, the places, and what a user sees of it."""

import csv
import shlex
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import main
from predicting import suggest
from predicting.magnification import Stated
from predicting.predictor import Predictor
from reading import images
from reading.files import InputError
from reporting.suggest_page import PAGE, TABLE
from weights.start import PAP_SMEAR

SIZE = 160


def smear(seed, nuclei=4, texture=0.0):
    """A bright field with dark discs; texture : amplitude of stripes all over it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    picture = 220 + rng.normal(0, 3, (SIZE, SIZE)) + texture * np.sin(columns / 4)
    for row, column in rng.uniform(20, SIZE - 20, (nuclei, 2)):
        picture[np.hypot(rows - row, columns - column) < 8] -= 120
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(PAP_SMEAR)


def write(folder, **pictures):
    for name, picture in pictures.items():
        images.write_png(folder / f"{name}.png", picture)
    return sorted(folder.iterdir())


def names(found):
    return [one.path.stem for one in found]


def test_the_order_does_not_depend_on_the_order_of_the_files(predictor, tmp_path):
    paths = write(tmp_path, **{f"p{i}": smear(i, nuclei=2 + i) for i in range(5)})
    orders = [names(suggest.rank(predictor, given, ())[0]) for given in (paths, paths[::-1], paths[2:] + paths[:2])]
    assert orders[0] == orders[1] == orders[2]
    assert sorted(orders[0]) == [path.stem for path in paths]


def test_what_is_stated_of_the_pictures_counts_and_is_in_the_command_that_comes_next(tmp_path, capsys):
    for i in range(2):
        images.write_png(tmp_path / "new" / f"{i}.png", cv2.resize(smear(i), None, fx=4, fy=4))
    arguments = [str(tmp_path / "new"), "--data", str(tmp_path / "data"), "--model", str(PAP_SMEAR)]
    assert main.main(["suggest", *arguments, "--diameter", "64"]) == 0
    command = shlex.split(capsys.readouterr().out.partition("next: python main.py ")[2].splitlines()[0])
    assert main.command_line().parse_args(command).diameter == 64
    told = Predictor(PAP_SMEAR, stated=Stated(64))
    (first, *_) = csv.DictReader((tmp_path / "data" / "Suggested" / TABLE).read_text().splitlines())
    path = tmp_path / "new" / first["image"]
    assert float(first["doubt"]) == pytest.approx(suggest.look_at(told, path).doubt, abs=1e-3)
    assert suggest.look_at(told, path).doubt < suggest.look_at(Predictor(PAP_SMEAR), path).doubt
    assert main.main(["suggest", *arguments, "--diameter", "0.1"]) == 2
    assert capsys.readouterr().err.count("--diameter 0.1") == 1


def test_of_two_equal_pictures_the_second_falls(predictor, tmp_path):
    paths = write(tmp_path, a=smear(0), a_again=smear(0), b=smear(1, 5), c=smear(2, 6), d=smear(3, 3))
    found, _ = suggest.rank(predictor, paths)
    assert names(found)[-1] == "a_again"
    assert found[-1].gain == 0 and found[-1].reason.startswith("nearly the same as a.png above")


def test_what_is_annotated_is_left_out_and_its_copy_in_another_format_comes_last(predictor, tmp_path, capsys):
    write(tmp_path / "data" / "Train data" / "Images", known=smear(0))
    paths = write(tmp_path / "new", other=smear(1, 6), third=smear(2, 2))
    shutil.copy(tmp_path / "data" / "Train data" / "Images" / "known.png", tmp_path / "new" / "copy.png")
    images.write_tiff(tmp_path / "new" / "again.tif", smear(0))
    paths, annotated = suggest.to_rank(sorted((tmp_path / "new").iterdir()), tmp_path / "data")
    assert "left out, since the data folder has them already: copy.png" in capsys.readouterr().out
    found, _ = suggest.rank(predictor, paths, annotated)
    assert sorted(names(found)) == ["again", "other", "third"]
    assert names(found)[-1] == "again" and found[-1].unlikeness == 0


def test_a_field_that_was_cut_into_tiles_is_known(tmp_path):
    source, data = tmp_path / "source", tmp_path / "data"
    fields = {f"f{i}": smear(i) for i in range(2)}
    write(source / "Images", **fields)
    write(source / "Masks", **{name: np.uint8(255) * (field < 130) for name, field in fields.items()})
    assert main.main(f"prepare --source {source} --data {data} --tile-size 64".split()) == 0
    write(tmp_path / "source" / "Images", new=smear(2))
    found, _ = suggest.to_rank(sorted((source / "Images").iterdir()), data)
    assert [path.stem for path in found] == ["new"]


def test_another_kind_of_picture_comes_first(predictor, tmp_path):
    annotated = write(tmp_path / "data", **{f"known{i}": smear(i, nuclei=6) for i in range(4)})
    alike = {f"p{i}": smear(10 + i, nuclei=6) for i in range(5)}
    paths = write(tmp_path / "new", **alike, z_odd=smear(20, texture=40))
    found, _ = suggest.rank(predictor, paths, annotated)
    assert names(found)[0] == "z_odd" and "unlike everything that is annotated" in found[0].reason
    assert all(one.unlikeness < found[0].unlikeness for one in found[1:])


@given(st.integers(2, 12), st.integers(0, 3), st.integers(0, 2**32 - 1), st.sampled_from([4, 200]))
def test_gains_never_grow_and_each_picture_stands_once(count, known, seed, greedy):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggest, "GREEDY", greedy)
        order, gains = suggest.order(rng.random(count), rng.normal(size=(count, 4)), rng.normal(size=(known, 4)))
    assert sorted(order) == list(range(count))
    assert all(one >= other - 1e-9 for one, other in zip(gains, gains[1:], strict=False))


def test_doubt_decides_between_pictures_that_are_equally_unlike():
    corners = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    assert suggest.order(np.array([0.1, 0.1, 0.5, 0.1]), corners, np.zeros((1, 2)))[0][0] == 2


def test_outlines_are_no_doubt_and_areas_are():
    rows, columns = np.mgrid[0:96, 0:96]
    distance = np.hypot(rows - 48, columns - 48)
    sharp = 1 / (1 + np.exp(2 * (distance - 20)))  # certain on both sides of three pixels
    assert suggest.unsure_of(sharp[..., None]).mean() < 0.01
    assert suggest.unsure_of(np.where(distance < 20, 0.5, 0.0)[..., None])[48, 48] == pytest.approx(1)
    assert suggest.unsure_of(np.full((9, 9, 3), 1 / 3)) == pytest.approx(1)


@settings(max_examples=50)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 90), st.integers(1, 700)), elements=st.sampled_from([0, 1])))
def test_places_lie_inside_and_apart(unsure):
    places = suggest.places_of(unsure)
    for row, column, height, width in places:
        assert 0 <= row <= row + height <= unsure.shape[0] and 0 <= column <= column + width <= unsure.shape[1]
    for i, one in enumerate(places):
        assert all(abs(one[0] - other[0]) >= one[2] or abs(one[1] - other[1]) >= one[3] for other in places[:i])
    if not unsure.any():
        assert places == []


def test_a_place_is_where_the_doubt_is():
    unsure = np.zeros((400, 600), np.float32)
    unsure[100:130, 500:530] = 1
    ((row, column, height, width),) = suggest.places_of(unsure)
    assert row <= 100 and column <= 500 and row + height >= 130 and column + width >= 530


def test_the_command_ranks_what_can_be_read_and_names_the_rest(tmp_path, capsys):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    write(pictures, **{"a": smear(0), "<b>b & c": smear(1, 6), "blank": np.full((SIZE, SIZE), 230, np.uint8)})
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:300])
    assert main.main(f"suggest {pictures} --model {PAP_SMEAR} --data {tmp_path} --out {out}".split()) == 2
    said = capsys.readouterr()
    assert "broken.png" in said.err and "python main.py correct" in said.out
    with open(out / TABLE, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] and rows[-1]["image"] == "blank.png"
    page = (out / PAGE).read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and "<b>b" not in page and "<script" not in page and "broken.png" in page
    assert main.main(f"suggest {pictures}/a.png --model {PAP_SMEAR} --data {tmp_path} --out {out}".split()) == 0


def test_a_table_of_somebody_else_is_kept(tmp_path, capsys):
    write(tmp_path / "pictures", a=smear(0))
    (tmp_path / TABLE).write_text("my own\n")
    command = f"suggest {tmp_path / 'pictures'} --model {PAP_SMEAR} --data {tmp_path} --out {tmp_path}"
    assert main.main(command.split()) == 2
    assert "no file that `suggest` wrote" in capsys.readouterr().err
    assert (tmp_path / TABLE).read_text() == "my own\n"


def test_nothing_left_to_rank_is_said(tmp_path, real_data):
    slide = real_data / "slides" / "cmu-1-small-region.svs"
    with pytest.raises(InputError, match="nothing left to rank of 1 picture"):
        suggest.to_rank([slide], tmp_path)
