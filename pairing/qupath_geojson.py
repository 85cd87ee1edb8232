"""GeoJSON, as QuPath exports objects → shapes, and shapes → GeoJSON."""

import json
from collections import Counter
from itertools import islice

import numpy as np

from pairing.outlines import ANNOTATION, DETECTION, is_region, make_shape, united
from reading.files import replacing

CELL, NUCLEUS = "cell", "nucleus"  # classes of the cells that `cell_files` writes, and of the nuclei in them
CUT_FROM = "cut_from"  # in files of our own: where in which larger image the outlines lie


def read_geojson(value):
    """The shapes of a FeatureCollection, a feature, a geometry or a list of them.

    A feature is one object, whatever its geometry: the polygons of a multi-polygon or a collection are its parts. Of
    cells of the class "cell" the nuclei are read too, as the class "nucleus".

    Returns (shapes, what is left out, the planes they were drawn on: a set of (slice, frame), counted from 0).
    """
    features = value if isinstance(value, list) else value.get("features", [value])
    shapes, left_out, planes = [], Counter(), set()
    for feature in features:
        geometry, properties = feature.get("geometry", feature), feature.get("properties") or {}
        name, role = _class_name(properties), _role(feature, properties)
        if role == "tma_core":
            left_out["of a TMA core"] += 1
            continue
        parts, others = _polygons(geometry)
        if not parts:
            left_out[f"without an area ({others[0]})" if others else "without a place"] += 1
            continue
        plane = geometry.get("plane") or {}
        planes.add((plane.get("z") or 0, plane.get("t") or 0))
        collected = geometry["type"] == "GeometryCollection"  # whose polygons, unlike other parts, may overlap
        separate = [[part] for part in parts] if is_region(name) or collected else [parts]
        made = [make_shape(name, some_parts, role) for some_parts in separate]
        shapes += [united(made)] if collected and not is_region(name) else made
        if name == CELL and feature.get("nucleusGeometry"):
            nucleus = {"geometry": feature["nucleusGeometry"], "properties": {"classification": {"name": NUCLEUS}}}
            shapes += read_geojson([nucleus])[0]
    return shapes, left_out, planes


def _class_name(properties):
    classification = properties.get("classification") or {}
    if isinstance(classification, str):
        return classification
    return classification.get("name") or ": ".join(classification.get("names") or ())


def _role(feature, properties):
    """What QuPath says the object is; until version 0.3 its `id` said so."""
    kind = str(properties.get("objectType") or properties.get("object_type") or feature.get("id") or "").casefold()
    if kind in ("detection", "cell", "pathdetectionobject", "pathcellobject"):
        return DETECTION
    if kind in ("tma_core", "tmacoreobject"):
        return "tma_core"
    return ANNOTATION if kind in ("annotation", "pathannotationobject", "pathrootobject") else ""


def _polygons(geometry):
    """The polygons of a geometry, lists of rings, and the types of what else is in it."""
    if geometry is None:
        return [], []
    kind = geometry["type"]
    if kind == "GeometryCollection":
        found = [_polygons(inner) for inner in geometry["geometries"]]
        return [part for parts, _ in found for part in parts], [other for _, others in found for other in others]
    if kind not in ("Polygon", "MultiPolygon"):
        return [], [kind]
    parts = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    return [[np.asarray(ring, float)[:, :2] for ring in part] for part in parts if part], []


def write_geojson(path, shapes, cut_from=None):
    """Write shapes as a GeoJSON FeatureCollection, as QuPath exports annotations, atomically.

    `cut_from` : dictionary that says where in which larger image they lie, kept in the file under this name.
    """
    features = []
    for shape in shapes:
        rings = iter([_closed(ring).tolist() for ring in shape.rings])
        parts = [list(islice(rings, count)) for count in shape.parts or (len(shape.rings),)]
        single = len(parts) == 1
        geometry = {"type": "Polygon" if single else "MultiPolygon", "coordinates": parts[0] if single else parts}
        classification = {"classification": {"name": shape.name}} if shape.name else {}
        properties = {"objectType": "annotation"} | classification
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    origin = {CUT_FROM: cut_from} if cut_from else {}
    text = json.dumps({"type": "FeatureCollection"} | origin | {"features": features}, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _closed(ring):
    """The ring ending where it starts, as GeoJSON has it."""
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])
