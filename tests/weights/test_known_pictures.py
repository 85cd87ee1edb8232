"""Pictures that weights were trained on are known again, however they were saved since; others are not."""

import csv
import zipfile
from itertools import count, islice

import cv2
import numpy as np
import pytest

from preparing.sample import make_field
from reading import images
from weights.known_pictures import any_known, remember
from weights.metadata import MEMBER, parse
from weights.start import PAP_SMEAR


@pytest.fixture(scope="module")
def fields():
    """Eight synthetic fields with cells in the middle, where tiles are cut out below: uint8 (768, 768, 1)."""
    made = (np.atleast_3d(make_field(slide, 0, size=768)[0]) for slide in count())
    return list(islice((field for field in made if field[300:512, 256:501].std() > 20), 8))


def saved_as_jpeg(picture, quality=40):
    _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.atleast_3d(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))


def scaled(picture, factor):
    return np.atleast_3d(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def tinted(picture):
    return np.clip(picture * np.array([0.6, 0.35, 0.7]) + np.array([60, 20, 80]), 0, 255).astype(np.uint8)


CHANGES = {
    "as it was": lambda p: p,
    "tinted": tinted,
    "JPEG": saved_as_jpeg,
    "tinted and JPEG": lambda p: saved_as_jpeg(tinted(p)),
    "half the size": lambda p: scaled(p, 0.5),
    "a third larger": lambda p: scaled(p, 1.33),
    "a thumbnail": lambda p: scaled(p, 0.3),
    "12 in 16 bits": lambda p: p.astype(np.uint16) * 16 + 300,
    "fractions": lambda p: (p / 255).astype(np.float32),
    "darker": lambda p: (255 * (p / 255) ** 2).astype(np.uint8),
    "noisy": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 8, p.shape), 0, 255).astype(np.uint8),
    "trimmed": lambda p: p[13:-20, 7:],
    "a tile": lambda p: p[300:600, 201:501],
    "a tinted tile as JPEG": lambda p: saved_as_jpeg(tinted(p[256:512, 256:512])),
    "a tile of half the size": lambda p: scaled(p, 0.5)[60:330, 50:320],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_known_field_is_known_again(fields, name):
    changed = [CHANGES[name](picture) for picture in fields[:4]]
    assert all(any_known([picture], list(map(remember, fields[:4]))) for picture in changed)
    assert not any_known(changed, list(map(remember, fields[4:])))


def test_pictures_that_show_little_are_not_known(fields):
    kept = list(map(remember, fields))
    noise = np.random.default_rng(0).normal(200, 3, (512, 512, 1)).astype(np.uint8)
    spot = cv2.circle(np.full((300, 300), 200, np.uint8), (150, 150), 40, 90, -1)[..., None]
    assert not any_known([noise, spot, np.full((600, 600, 3), 255, np.uint8), fields[0][:40, :50]], kept)


def test_the_shipped_weights_know_their_real_fields_and_no_others(real_data):
    with zipfile.ZipFile(PAP_SMEAR) as file:
        kept = parse(file.read(MEMBER))["trained_on"]
    for row in csv.DictReader((real_data / "cervix_cc0" / "index.csv").read_text(encoding="utf-8").splitlines()):
        (path,) = (real_data / "cervix_cc0" / "stage1_train" / row["source_id"] / "images").iterdir()
        picture = images.read(path)
        changed = [tinted(picture[..., :1]), saved_as_jpeg(scaled(picture, 0.6))]
        assert [any_known([p], kept) for p in changed] == [row["split"] == "train"] * 2
    cells = [images.read(path) for path in sorted((real_data / "herlev" / "Images").iterdir())[::10]]
    assert not any_known(cells, kept)
