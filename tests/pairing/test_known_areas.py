"""Partial annotation: what Region* and Ignore* areas and --ignore leave known, in every format that can name them."""

import json

import numpy as np
import pytest
from roifile import ImagejRoi

from pairing.annotations import read_annotation
from pairing.examples import ArrayExamples, Examples
from pairing.file_cache import FileCache
from pairing.masks import IGNORED, read_stored_mask_of
from pairing.pairs import Pair
from pairing.survey import survey
from reading.files import InputError
from reading.images import write_png

SIZE = (40, 50)
DRAWN = [  # name, left, top, right, bottom
    ("Region*", 4, 4, 24, 24), ("Region*", 30, 2, 48, 12), ("cell", 8, 8, 14, 14), ("cell", 20, 16, 28, 20),
    ("cell", 32, 30, 38, 36), ("Ignore*", 32, 4, 36, 8), ("cell", 33, 5, 35, 7),
]  # fmt: skip


def ring(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def geojson(drawn):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring(*corners), [*corners[:2]]]]},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, *corners in drawn
    ]
    return {"type": "FeatureCollection", "features": features}


def labelme(drawn):
    shapes = [{"label": name, "points": ring(*corners), "shape_type": "polygon"} for name, *corners in drawn]
    return {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}


def coco(drawn):
    names = sorted({name for name, *_ in drawn})
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": 1, "category_id": names.index(name), "segmentation": [np.ravel(ring(*corners)).tolist()]}
            for name, *corners in drawn
        ],
    }


def write(folder, kind, drawn):
    """The file of a format with these rectangles drawn in it."""
    path = folder / ("a.zip" if kind is None else "a.json" if kind is not geojson else "a.geojson")
    if kind is not None:
        path.write_text(json.dumps(kind(drawn)))
        return path
    for number, (name, *corners) in enumerate(drawn):
        roi = ImagejRoi.frompoints(ring(*corners), name=f"{name}-{number}" if number else name)
        roi.tofile(path)  # added to those before
    return path


def expected(drawn=DRAWN):
    """Class ids by what the words of the documentation say, pixel by pixel."""

    def held(*names):
        found = np.zeros(SIZE, bool)
        for name, left, top, right, bottom in drawn:
            found[top:bottom, left:right] |= name in names
        return found

    known, ids = held("Region*"), held("cell").astype(np.uint8)
    known[16:20, 20:28] = True  # the cell that reaches out of its region
    ids[~known | held("Ignore*")] = IGNORED
    return ids


@pytest.mark.parametrize("kind", [geojson, labelme, coco, None], ids=["geojson", "labelme", "coco", "imagej"])
def test_regions_and_ignored_areas_in_every_format(tmp_path, kind):
    pair = Pair("a", tmp_path / "a.png", write(tmp_path, kind, DRAWN), "a")
    write_png(pair.image, np.random.default_rng(0).integers(0, 200, SIZE).astype(np.uint8))
    found = survey([pair], quiet=True)
    coding = found.coding()
    ids = coding.class_ids(read_stored_mask_of(pair, SIZE))
    np.testing.assert_array_equal(ids, expected())
    assert sum(found.mask_values.values()) == (ids != IGNORED).sum()
    assert found.masks[0].left_out == {"outside the Region* areas": 1, "in an area that is ignored": 1}
    assert f"{(ids == IGNORED).mean():.1%} of the pixels are ignored, in 1 of 1 masks" in found.notes(coding)
    example = Examples([pair], coding, 1, 32, False, found.drawn())[0]
    np.testing.assert_array_equal(example.mask, expected())


def test_a_region_without_cells_is_background_and_a_larger_outline_ends_at_it(tmp_path):
    path = write(tmp_path, geojson, [("Region*", 4, 4, 24, 24)])
    mask, *_, ignored = read_annotation(path, SIZE)
    assert not mask.any() and (~ignored).sum() == 400
    path = write(tmp_path, geojson, [("Region*", 4, 4, 24, 24), ("Tumour", 2, 2, 40, 38)])
    assert (~read_annotation(path, SIZE)[-1]).sum() == 400  # no cell: others may lie in it that are not outlined


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("value", [128, 200])
def test_ignored_values_decide_nothing(tmp_path, background, value):
    """Masks with ignored areas mean what they mean without, whatever lies around the cells."""
    pairs, cells = [], 255 - background
    for number in range(4):
        mask = np.full((64, 64), background, np.uint8)
        for top, left in np.random.default_rng(number).permutation([(8, 8), (8, 40), (40, 8), (40, 40), (24, 24)]):
            mask[top : top + 9, left : left + 9] = cells
        mask[:, :7] = value
        mask[18:22] = value
        for kind in ("Images", "Masks"):
            write_png(tmp_path / kind / f"{number}.png", mask)
        pairs.append(Pair(str(number), *(tmp_path / kind / f"{number}.png" for kind in ("Images", "Masks")), "g"))
    found = survey(pairs, quiet=True, ignore=(value,))
    coding = found.coding()
    found.refuse_absent((value,))
    with pytest.raises(InputError, match="none is --ignore 7"):
        found.refuse_absent((7,))
    for pair in pairs:
        stored = FileCache().mask(pair, (64, 64))
        ids = coding.class_ids(stored)
        np.testing.assert_array_equal(ids == IGNORED, stored.values == value)
        known = ids != IGNORED
        np.testing.assert_array_equal(ids[known], stored.values[known] == (cells if background == 0 else 0))


def test_what_is_ignored_everywhere_is_left_out_and_said(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    for name, values in (("a", mask + 255), ("b", mask + np.eye(20, dtype=np.uint8))):
        for kind in ("Images", "Masks"):
            write_png(tmp_path / kind / f"{name}.png", values)
    pairs = [Pair(n, *(tmp_path / kind / f"{n}.png" for kind in ("Images", "Masks")), n) for n in "ab"]
    found = survey(pairs, quiet=True, ignore=(255,))
    assert [mask.name for mask in found.unknown] == ["a.png"] and found.mask_values == {0: 380, 1: 20}
    assert "ignored: 255" in found.coding().explanation and "a.png" in found.ignored()[0]
    with pytest.raises(InputError, match="everything in all masks is ignored"):
        survey(pairs[:1], quiet=True, ignore=(255,)).coding()


def test_arrays_with_an_ignored_value():
    masks = np.random.default_rng(0).choice([0, 1, 2, 255], (3, 20, 20)).astype(np.uint8)
    examples = ArrayExamples(masks, masks, classes=3, ignore=(255,))
    np.testing.assert_array_equal([example.mask for example in examples], masks)
    with pytest.raises(InputError, match="class ids 0 to 2.*--ignore 255"):
        ArrayExamples(masks, masks, classes=3)
    with pytest.raises(InputError, match="every pixel of the masks is ignored"):
        ArrayExamples(masks, masks, ignore=(0, 1, 2, 255))
