"""Outlines become exactly the pixels whose centres they enclose."""

import base64
import gzip
import json
import zipfile

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from pairing.annotations import read_annotation, read_drawing, read_shapes
from pairing.outlines import Shape, inside, is_region, name_value, rasterise
from pairing.qupath_geojson import write_geojson
from reading.files import InputError
from reading.images import write_png

SQUARE = [(2, 1), (6, 1), (6, 4), (2, 4)]  # x, y: columns 2 to 5, rows 1 to 3
HOLE = [(3, 2), (5, 2), (5, 3), (3, 3)]  # columns 3 and 4 of row 2


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def labelme(*shapes, height=8, width=10):
    made = [{"label": label, "points": points, "shape_type": kind} for label, points, kind in shapes]
    return {"version": "5.5.0", "shapes": made, "imageHeight": height, "imageWidth": width}


def feature(kind, coordinates, name=None):
    properties = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


@given(
    points=st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), min_size=3, max_size=12),
    size=st.tuples(st.integers(1, 30), st.integers(1, 40)),
)
def test_a_pixel_is_inside_when_its_centre_is(points, size):
    ring = np.array(points)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    # even-odd winding number by angles, with the distance to the outline, independent of the code under test
    start, end = ring[np.newaxis] - centres[:, np.newaxis], np.roll(ring, -1, 0)[np.newaxis] - centres[:, np.newaxis]
    turn = np.arctan2(start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0], (start * end).sum(-1)).sum(1)
    expected = np.rint(turn / (2 * np.pi)).astype(int) % 2 == 1
    edge = end - start
    nearest = np.clip(-(start * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-12), 0, 1)
    distance = np.hypot(*np.moveaxis(start + nearest[..., np.newaxis] * edge, -1, 0)).min(1)
    clear = distance > 1e-6  # a centre on the outline itself may go either way
    np.testing.assert_array_equal(inside([ring], *size).ravel()[clear], expected[clear])


@given(centre=st.tuples(st.floats(0, 40), st.floats(0, 30)), radius=st.floats(1, 20), corners=st.integers(3, 40))
def test_the_fill_agrees_with_matplotlib(centre, radius, corners):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + 0.1234
    ring = np.array(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rows, columns = np.mgrid[:30, :40]
    expected = Outline(ring).contains_points(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1))
    assert (inside([ring], 30, 40).ravel() != expected).sum() <= 1  # a centre that rounding puts on the outline


@given(rings=st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=6), max_size=3))
def test_the_fill_is_even_odd_over_rings(rings):
    rings = [np.array(ring, float) for ring in rings]
    alone = [inside([ring], 9, 9) for ring in rings]
    np.testing.assert_array_equal(inside(rings, 9, 9), np.logical_xor.reduce([np.zeros((9, 9), bool), *alone]))


def test_whole_pixels_tile_without_gap_or_overlap():
    left, right = np.array([(0, 0), (5, 0), (5, 8), (0, 8)], float), np.array([(5, 0), (9, 0), (9, 8), (5, 8)], float)
    np.testing.assert_array_equal(inside([left], 8, 9) + 0 + inside([right], 8, 9), np.ones((8, 9)))


def test_labelme_polygons_rectangles_and_circles(tmp_path):
    shapes = ("nucleus", SQUARE, "polygon"), ("2", [(9, 7), (8, 5)], "rectangle")
    mask, names, *_ = read_annotation(write(tmp_path / "a.json", labelme(*shapes)), (8, 10))
    expected = np.zeros((8, 10), int)
    expected[1:4, 2:6] = name_value("nucleus")
    expected[5:7, 8:9] = 2
    np.testing.assert_array_equal(mask, expected)
    assert names == {name_value("nucleus"): "nucleus", 2: "2"}
    circle = write(tmp_path / "b.json", labelme(("", [(5, 4), (5, 1)], "circle")))
    mask, *_ = read_annotation(circle, (8, 10))
    rows, columns = np.mgrid[:8, :10]
    np.testing.assert_array_equal(mask, np.hypot(rows + 0.5 - 4, columns + 0.5 - 5) < 3)


def polygons(*shapes):
    """LabelMe JSON of polygons: (label, points) or (label, points, group id)."""
    made = [{"label": label, "points": points, "group_id": (*more, None)[0]} for label, points, *more in shapes]
    return {"version": "5.5.0", "shapes": made, "imageHeight": 60, "imageWidth": 80}


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def boxes(*filled):
    """A mask of 60×80 pixels: rectangles of a value each, later ones on top."""
    mask = np.zeros((60, 80), int)
    for value, left, top, right, bottom in filled:
        mask[top:bottom, left:right] = value
    return mask


OUTER, HOLE_IN_IT, ISLAND = (10, 10, 50, 50), (20, 20, 40, 40), (25, 25, 35, 35)


@pytest.mark.parametrize("word", ["_background_", "__background__", "Background"])
@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([("a", OUTER), ("", HOLE_IN_IT)], [(1, *OUTER), (0, *HOLE_IN_IT)]),
        ([("", HOLE_IN_IT), ("a", OUTER)], [(1, *OUTER), (0, *HOLE_IN_IT)]),  # the hole drawn first
        ([("a", OUTER), ("", HOLE_IN_IT), ("a", ISLAND)], [(1, *OUTER), (0, *HOLE_IN_IT), (1, *ISLAND)]),
        ([("a", ISLAND), ("", HOLE_IN_IT), ("a", OUTER)], [(1, *OUTER), (0, *HOLE_IN_IT), (1, *ISLAND)]),
        ([("a", OUTER), ("", (40, 0, 80, 60))], [(1, *OUTER), (0, 40, 0, 80, 60)]),  # larger, over one side of it
        ([("", (40, 0, 80, 60)), ("a", OUTER)], [(1, *OUTER)]),  # the cell on top
        ([("", (0, 0, 80, 60)), ("a", OUTER)], [(1, *OUTER)]),
        ([("a", OUTER), ("", (0, 0, 80, 60))], [(1, *OUTER)]),  # what lies wholly in it was not drawn to vanish
    ],
)
def test_background_takes_pixels_back(tmp_path, word, drawn, expected):
    value = polygons(*[(label or word, box(*corners)) for label, corners in drawn])
    path = write(tmp_path / "a.json", value)
    mask, names, left_out, _ = read_annotation(path, (60, 80))
    np.testing.assert_array_equal(mask > 0, boxes(*expected))
    assert list(names.values()) == ["a"] and not left_out


def test_background_as_a_circle_or_a_mask_cuts_as_well(tmp_path):
    write_png(tmp_path / "m.png", np.uint8(255) * np.eye(4, dtype=np.uint8))
    encoded = base64.b64encode((tmp_path / "m.png").read_bytes()).decode()
    value = polygons(("a", box(*OUTER)))
    value["shapes"] += [
        {"label": "_background_", "points": [[30, 30], [30, 35]], "shape_type": "circle"},
        {"label": "_background_", "points": [[12, 12], [15, 15]], "shape_type": "mask", "mask": encoded},
    ]
    mask = read_annotation(write(tmp_path / "a.json", value), (60, 80))[0] > 0
    rows, columns = np.mgrid[:60, :80]
    expected = boxes((1, *OUTER)) * (np.hypot(rows + 0.5 - 30, columns + 0.5 - 30) > 5)
    expected[[12, 13, 14, 15], [12, 13, 14, 15]] = 0
    np.testing.assert_array_equal(mask, expected)


def test_polygons_of_one_label_and_group_are_one_object(tmp_path):
    left, right, over = (5, 5, 15, 15), (30, 5, 40, 15), (10, 10, 20, 20)
    grouped = [("a", left), ("a", right), ("b", ISLAND), ("a", over)]
    value = polygons(*[(label, box(*corners), 1) for label, corners in grouped], ("a", box(60, 40, 70, 50)))
    shapes, _ = read_shapes(write(tmp_path / "a.json", value))
    assert [shape.name for shape in shapes] == ["a", "b", "a"]
    found = rasterise([shapes[0]], (60, 80)) > 0
    np.testing.assert_array_equal(found, boxes((1, *left), (1, *right), (1, *over)), "overlapping parts add up")


def test_what_is_called_ignore_is_ignored(tmp_path):
    value = polygons(("__ignore__", box(*OUTER)), ("a", box(*ISLAND)), ("ignore", box(0, 0, 5, 5)))
    drawing = read_drawing(write(tmp_path / "a.json", value))
    assert [shape.name for shape in drawing.shapes] == ["a"] and not drawing.left_out
    assert [shape.name for shape in drawing.ignored] == ["__ignore__", "ignore"]
    *_, left_out, ignored = read_annotation(tmp_path / "a.json", (60, 80))
    np.testing.assert_array_equal(ignored, boxes((1, *OUTER), (1, 0, 0, 5, 5)))
    assert left_out == {"in an area that is ignored": 1}  # a lies in the first


@pytest.mark.parametrize("suffix", [".geojson.gz", ".zip", ".geojson.zip", ".json"])
def test_packed_geojson(tmp_path, suffix):
    content = json.dumps([feature("Polygon", [SQUARE], "Nucleus")]).encode()
    path = tmp_path / f"a{suffix}"
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif suffix.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.geojson", content)
            archive.writestr("__MACOSX/._a.geojson", b"")
    else:
        path.write_bytes(content)
    assert np.count_nonzero(read_annotation(path, (8, 10))[0]) == 12
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="not a readable annotation file"):
        read_annotation(path, (8, 10))


def test_features_as_other_programs_write_them(tmp_path):
    square = feature("Polygon", [SQUARE])
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}},
        {"type": "Feature", "geometry": None, "properties": {"objectType": "annotation"}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}, "properties": None},
        feature("MultiPoint", [[1, 1], [2, 2]]),
        square | {"properties": {"classification": None}},
        square | {"properties": {"classification": {"color": [255, 0, 0]}}},
        square | {"properties": {"classification": "Tumor"}},
        square | {"properties": {"classification": {"names": ["Tumor", "Positive"]}}},
    ]
    drawing = read_drawing(write(tmp_path / "a.geojson", features))
    assert [shape.name for shape in drawing.shapes] == ["", "", "", "Tumor", "Tumor: Positive"]
    assert drawing.left_out == {"without a place": 2, "without an area (MultiPoint)": 1}
    assert read_drawing(write(tmp_path / "b.geojson", features[1])).shapes == []


def test_a_collection_is_one_object_of_all_its_polygons(tmp_path):
    parts = [
        {"type": "Polygon", "coordinates": [SQUARE]},
        {"type": "LineString", "coordinates": [[0, 0], [9, 7]]},
        {"type": "GeometryCollection", "geometries": [{"type": "MultiPolygon", "coordinates": [[box(4, 1, 8, 4)]]}]},
    ]
    collection = {"type": "GeometryCollection", "geometries": parts}
    for value in (collection, {"type": "Feature", "geometry": collection, "properties": {}}):
        (shape,) = read_shapes(write(tmp_path / "a.geojson", value))[0]
        expected = np.zeros((8, 10), bool)
        expected[1:4, 2:8] = True
        np.testing.assert_array_equal(rasterise([shape], (8, 10)) > 0, expected)


@pytest.mark.parametrize(
    ("places", "refused"),  # position in a plain stack, channel, slice, frame
    [
        ([(0, 0, 0, 0), (0, 0, 0, 0)], False),
        ([(3, 0, 0, 0), (3, 0, 0, 0), (0, 0, 0, 0)], False),
        ([(1, 0, 0, 0), (4, 0, 0, 0)], True),  # pictures opened as a stack, or slices, or frames
        ([(1, 1, 2, 1), (2, 2, 2, 1)], False),  # other channels of one field
        ([(1, 1, 2, 1), (4, 1, 5, 1)], True),
        ([(1, 1, 1, 1), (9, 1, 1, 2)], True),
    ],
)
def test_rois_of_several_planes_are_refused(tmp_path, places, refused):
    path = tmp_path / "a.zip"
    for number, place in enumerate(places):
        roi = roifile.ImagejRoi.frompoints(np.array(SQUARE) + number)
        roi.position, roi.c_position, roi.z_position, roi.t_position = place
        roi.tofile(path, mode="a" if number else "w")
    if refused:
        with pytest.raises(InputError, match="2 planes of a stack"):
            read_drawing(path)
    else:
        assert len(read_drawing(path).shapes) == len(places)


def test_outlines_of_several_planes_in_qupath(tmp_path):
    features = [feature("Polygon", [SQUARE]), feature("Polygon", [HOLE])]
    features[1]["geometry"]["plane"] = {"c": -1, "z": 0, "t": 0}
    assert len(read_drawing(write(tmp_path / "a.geojson", features)).shapes) == 2
    features[1]["geometry"]["plane"]["z"] = 3
    with pytest.raises(InputError, match="2 planes of a stack"):
        read_drawing(write(tmp_path / "b.geojson", features))


def test_qupath_holes_parts_classes_and_ignored_areas(tmp_path):
    island = [[(8, 6), (10, 6), (10, 8), (8, 8), (8, 6)]]
    features = [
        feature("MultiPolygon", [[SQUARE, HOLE], island], "Tumour"),
        feature("Polygon", [HOLE]),
        feature("Polygon", [SQUARE], "Ignore*"),
    ]
    expected = np.zeros((8, 10), int)
    expected[1:4, 2:6] = expected[6:8, 8:10] = name_value("Tumour")
    expected[2, 3:5] = 1  # no class
    for value in ({"type": "FeatureCollection", "features": features}, features):
        mask, names, *_ = read_annotation(write(tmp_path / "a.geojson", value), (8, 10))
        np.testing.assert_array_equal(mask, expected)
        assert list(names.values()) == ["Tumour"]
    assert len(read_shapes(write(tmp_path / "one.geojson", feature("Polygon", [SQUARE])))[0]) == 1


def test_the_smaller_of_two_outlines_wins_whatever_the_order(tmp_path):
    shapes = [Shape("1", (np.array(SQUARE, float),)), Shape("2", (np.array(HOLE, float),))]
    np.testing.assert_array_equal(rasterise(shapes, (8, 10)), rasterise(shapes[::-1], (8, 10)))
    assert rasterise(shapes, (8, 10))[2].tolist() == [0, 0, 1, 2, 2, 1, 0, 0, 0, 0]


@settings(max_examples=25)
@given(
    outlines=st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=3, max_size=8), min_size=1, max_size=4
    )
)
def test_imagej_round_trip(tmp_path_factory, outlines):
    path = tmp_path_factory.mktemp("rois") / "set.zip"
    rois = [roifile.ImagejRoi.frompoints(points, name=f"{i}") for i, points in enumerate(outlines)]
    roifile.roiwrite(path, rois, mode="w")
    shapes, size = read_shapes(path)
    assert size is None
    for shape, points in zip(shapes, outlines, strict=True):
        np.testing.assert_array_equal(shape.rings[0], points)


def test_imagej_shapes_groups_and_subpixels(tmp_path):
    def roi(kind, top, left, bottom, right, **more):
        return roifile.ImagejRoi(
            roitype=kind, version=228, top=top, left=left, bottom=bottom, right=right, **more
        )  # fmt: skip

    oval, rectangle = roi(roifile.ROI_TYPE.OVAL, 0, 0, 20, 30), roi(roifile.ROI_TYPE.RECT, 25, 2, 28, 9, group=3)
    oval.tofile(tmp_path / "oval.roi")
    mask, *_ = read_annotation(tmp_path / "oval.roi", (30, 40))
    rows, columns = np.mgrid[:30, :40] + 0.5
    np.testing.assert_array_equal(mask, ((rows - 10) / 10) ** 2 + ((columns - 15) / 15) ** 2 < 1)
    rectangle.tofile(tmp_path / "rectangle.roi")
    mask, *_ = read_annotation(tmp_path / "rectangle.roi", (30, 40))
    assert (mask[25:28, 2:9] == 3).all() and np.count_nonzero(mask) == 21
    points = np.array([(2.5, 1.25), (9.75, 3.5), (4.5, 8.125)])
    roifile.ImagejRoi.frompoints(points).tofile(tmp_path / "fine.roi")
    np.testing.assert_array_equal(read_shapes(tmp_path / "fine.roi")[0][0].rings[0], points)


def test_an_annotated_image_without_objects_is_background(tmp_path):
    mask, names, *_ = read_annotation(write(tmp_path / "a.json", labelme()), (8, 10))
    assert mask.shape == (8, 10) and not mask.any() and not names


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.json", b"{broken", r"a\.json: not a readable annotation"),
        ("a.json", b'{"learning_rate": 1}', r"a\.json: not a readable annotation"),
        ("a.zip", b"PK no zip", r"a\.zip: not a readable annotation"),
        ("a.roi", b"Iout and no more", r"a\.roi: not a readable annotation"),
        ("a.roi", b"", r"a\.roi: not a readable annotation"),
        ("a.json", labelme(("x", [(1, 1)], "point")), r"nothing but shapes without an area \(point\)"),
        ("a.json", labelme(("x", [(1, 1), (2, 2)], "polygon")), "fewer than three points"),
        ("a.json", labelme(("x", SQUARE, "polygon"), height=9), r"9×10 pixels, but the image has 8×10"),
        ("a.geojson", feature("LineString", SQUARE), r"without an area \(LineString\)"),
        ("a.geojson", feature("Polygon", [[(20, 1), (30, 1), (30, 5)]]), "x 20, y 1 lies outside the image of 8×10"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name, content, named):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InputError, match=named) as error:
        read_annotation(path, (8, 10))
    assert "\n" not in str(error.value)


def test_a_class_name_is_one_value_everywhere():
    assert [name_value(name) for name in ("", "1", "7", "255")] == [1, 1, 7, 255]
    codes = {name_value(name) for name in ("nucleus", "cytoplasm", "0", "256", "Zelle ä")}
    assert len(codes) == 5 and min(codes) >= 2**30 and max(codes) < 2**31


def test_a_region_area_is_never_an_object(tmp_path):
    area = [(0, 0), (10, 0), (10, 8), (0, 8)]
    features = [
        feature("Polygon", [area], "Region*"),
        feature("Polygon", [SQUARE], "Nucleus"),
        feature("MultiPolygon", [[SQUARE, HOLE], [area]], "Region*: Tumour"),
        feature("Point", [1, 1], "Ignore*"),
    ]
    features.append(feature("Polygon", [HOLE]))
    features[-1]["properties"]["classification"] = {"names": ["Region*", "Stroma"]}  # QuPath's derived classes
    path = write(tmp_path / "a.geojson", features)
    drawing = read_drawing(path)
    assert [shape.name for shape in drawing.shapes] == ["Nucleus"] and drawing.size is None
    assert [len(region.rings) for region in drawing.regions] == [1, 2, 1, 1], "separate parts are separate areas"
    assert [shape.name for shape in read_shapes(path)[0]] == ["Nucleus"]
    mask, names, *_ = read_annotation(path, (8, 10))
    assert np.count_nonzero(mask) == 12 and list(names.values()) == ["Nucleus"]
    drawn = labelme(
        ("Region*", [(0, 0), (9, 7)], "rectangle"), ("x", SQUARE, "polygon"), ("Ignore*", [(1, 1)], "point")
    )
    drawing = read_drawing(write(tmp_path / "b.json", drawn))
    assert [shape.name for shape in drawing.shapes] == ["x"] and drawing.size == (8, 10)
    assert [region.box() for region in drawing.regions] == [(0, 0, 7, 9)]


def test_shapes_without_an_area_are_left_out_and_counted(tmp_path):
    drawn = labelme(("x", SQUARE, "polygon"), ("x", [(1, 1)], "point"), ("x", [(1, 1), (2, 2)], "line"))
    drawing = read_drawing(write(tmp_path / "a.json", drawn))
    assert len(drawing.shapes) == 1 and drawing.left_out == {"without an area (point)": 1, "without an area (line)": 1}
    features = [feature("Polygon", [[*SQUARE, SQUARE[0]]]), feature("Point", [1, 1]), feature("Point", [2, 2])]
    drawing = read_drawing(write(tmp_path / "b.geojson", features))
    assert len(drawing.shapes) == 1 and drawing.left_out == {"without an area (Point)": 2}


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_of_labelme_gives_its_pixels(tmp_path, seed):
    pixels = np.random.default_rng(seed).random((5, 6)) < 0.6  # holes and pixels that touch at a corner
    pixels[0, 0] = pixels[4, 5] = True
    write_png(tmp_path / "m.png", np.uint8(255) * pixels)
    shape = {"label": "x", "points": [[3, 2], [8, 6]], "shape_type": "mask"}  # its first and its last pixel, x and y
    shape["mask"] = base64.b64encode((tmp_path / "m.png").read_bytes()).decode()
    path = write(tmp_path / "a.json", {"shapes": [shape], "imageHeight": 8, "imageWidth": 10})
    expected = np.zeros((8, 10), bool)
    expected[2:7, 3:9] = pixels
    np.testing.assert_array_equal(read_annotation(path, (8, 10))[0] > 0, expected)
    for damaged in ("no picture", "YWJj"):
        shape["mask"] = damaged
        with pytest.raises(InputError, match="a.json"):
            read_drawing(write(tmp_path / "a.json", {"shapes": [shape]}))


def test_which_class_names_mark_an_area():
    named = {"Region*": True, "region*": True, "Region* : a": True, "Region": False, "Ignore*": False, "": False,
             "Tumour: Region*": True}  # fmt: skip
    assert {name: is_region(name) for name in named} == named


# eighths, which moving by whole pixels does not round
eighths = st.tuples(st.integers(-40, 360), st.integers(-40, 280)).map(lambda point: (point[0] / 8, point[1] / 8))
drawn_shapes = st.lists(
    st.builds(
        lambda name, rings: Shape(name, tuple(np.array(ring) for ring in rings)),
        st.sampled_from(["", "2", "Zelle ä"]),
        st.lists(st.lists(eighths, min_size=3, max_size=7), min_size=1, max_size=2),
    ),
    max_size=4,
)


@given(
    drawn_shapes, st.tuples(st.integers(0, 29), st.integers(0, 39)), st.tuples(st.integers(1, 20), st.integers(1, 20))
)
def test_a_window_of_the_mask_needs_no_whole_mask(shapes, corner, size):
    whole = rasterise(shapes, (60, 70))
    row, column = corner
    part = rasterise([shape.moved(-row, -column) for shape in shapes], size)
    np.testing.assert_array_equal(part, whole[row : row + size[0], column : column + size[1]])
    for shape in shapes:
        top, left, height, width = shape.box()
        found = np.argwhere(inside(shape.rings, 60, 70))
        assert not len(found) or ((found >= (top, left)) & (found < (top + height, left + width))).all()


@given(drawn_shapes)
def test_what_is_written_is_read_back(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("drawn") / "a.geojson"
    write_geojson(path, shapes)
    again, _ = read_shapes(path)
    assert [shape.name for shape in again] == [shape.name for shape in shapes]
    np.testing.assert_array_equal(rasterise(again, (40, 50)), rasterise(shapes, (40, 50)))
    before = path.read_bytes()
    write_geojson(path, again)
    assert path.read_bytes() == before


def test_separate_parts_stay_separate_polygons(tmp_path):
    island = [(8, 6), (10, 6), (10, 8), (8, 8), (8, 6)]
    path = write(tmp_path / "a.geojson", feature("MultiPolygon", [[[*SQUARE, SQUARE[0]], [*HOLE, HOLE[0]]], [island]]))
    write_geojson(tmp_path / "b.geojson", read_shapes(path)[0])
    (written,) = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert written["geometry"]["type"] == "MultiPolygon"
    assert [len(part) for part in written["geometry"]["coordinates"]] == [2, 1]
    assert written["geometry"]["coordinates"][1][0] == [list(point) for point in island]
