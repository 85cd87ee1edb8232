"""Separate cells → files that other programs open: label images, ImageJ ROIs, QuPath GeoJSON, CSV, outlines drawn.

Outlines run along the edges of the pixels, so that every program finds exactly the same pixels in them.
"""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np

from measuring.cells import LABELS_SUFFIX, LARGEST_HOLE, find_cells, smallest_area_px, whole_components
from measuring.counting import Tally, interval
from measuring.divisions import division
from measuring.measurements import measure
from measuring.selection import areas, box_sizes, choose, largest_area_px, touch_edge
from measuring.whole_cells import polygonise_whole, upper
from pairing.outlines import ANNOTATION, DETECTION
from pairing.polygons import polygonise
from pairing.qupath_geojson import CELL, NUCLEUS
from reading import images, intensity, pixel_size
from reading.files import MADE_BY, counted, replacing, stem_of
from reading.show import OUTLINE_COLOURS, display

TABLE, COUNTS = "cells.csv", "cell_counts.csv"
LARGEST_ROI_PX = 2**15 - 1  # the corners of an ImageJ ROI's box are 16-bit numbers
WHOLE = 1  # class id, where there are three
FOR_QUPATH = {"annotations": ANNOTATION, "detections": DETECTION}  # what outlines can be there
WHERE_IT_IS = (0, 0, 1)  # left, top and scale of an image in itself


class CellWriter:
    """Writes the cells of one image after another into a folder; `predicting.folder.predict_files` calls it.

    out_dir : path of the folder.
    um_per_px : micrometres per pixel of all images as they are stored; None: what each file states.
    min_area, max_area : the smallest and the largest cell, in µm² where the size of a pixel is known, else in pixels;
        None: the default, and no limit.
    exclude_edges : leave out cells that touch the edge of their image.
    qupath : what outlines are in QuPath, of `FOR_QUPATH`; None: annotations, which people can correct, in pictures, and
        detections, of which it shows any number, in what comes in bands.
    made : {name of an image: paths of the files that hold its cells and that people correct}.
    """

    def __init__(self, out_dir, um_per_px=None, min_area=None, max_area=None, exclude_edges=False, qupath=None):
        self.out_dir, self.um_per_px, self.qupath = Path(out_dir), um_per_px, qupath
        self.min_area, self.max_area, self.exclude_edges = min_area, max_area, exclude_edges
        self.tables, self.tallies, self.made = {}, {}, {}

    def add(self, path, image, mask, probability, classes=None, scale=1.0):
        """Find, measure and write the cells of one image.

        path : of the image file, which names the results.
        image : ndarray of shape (height, width, 1 or 3).
        mask : uint8 (height, width), class ids.
        probability : float (height, width, 1) of foreground, or (height, width, K) of K classes; with a second answer
            (`cells.find_cells`) a channel more.
        classes : 1, or K of K classes; None: as many as the probability has channels.
        scale : how many times as large the network saw it (`cells.smallest_area_px`).
        """
        path, classes = Path(path), classes or probability.shape[2]
        self._forget_earlier()
        size = self.um_per_px or pixel_size.um_per_px(path)
        tally = Tally(size, classes, mask.shape, self.exclude_edges)
        cells, outlines, whole, table = self._measured(mask, image, probability, tally, scale)
        stem = self.out_dir / stem_of(path)
        made = [write_labels(stem, LABELS_SUFFIX, cells.labels), Path(f"{stem}.geojson")]
        if whole is not None:
            made.append(write_labels(stem, f"_cell{LABELS_SUFFIX}", upper(cells.whole, cells.labels)))
        write_geojson(made[1], features(cells, table, outlines, whole, role=FOR_QUPATH[self.qupath or "annotations"]))
        rois = Path(f"{stem}_rois.zip")
        made += [rois] if write_rois(rois, cells, outlines, whole) else []
        images.write_png(f"{stem}_overlay.png", draw(image, cells), MADE_BY)
        self.tables[path.name], self.tallies[path.name], self.made[path.name] = table, tally, made

    def add_bands(self, path, bands, classes, um_per_px=None, light=None, place=WHERE_IT_IS, scale=1.0):
        """Find and measure the cells of an image that comes in bands, such as a slide; write `<stem>.geojson`.

        No other file is written for it: a picture of that size does not fit into memory. The cells and their
        measurements are those that `add` finds, in another order.

        path : of the image, which names the results.
        bands : iterable of (mask, image, probability), each of the same rows, from top to bottom; as in `add`.
        classes : 1, or K of K classes.
        um_per_px : micrometres per pixel that the file states, None where unknown.
        light : see `measurements.measure`; None for a grey image.
        place : of the bands in the file, see `reading.large_images`; the outlines lie on the file, the table on the
            bands.
        scale : as in `add`.

        Returns the number of cells.
        """
        path, size = Path(path), self.um_per_px * place[2] if self.um_per_px else um_per_px
        tables, role = [], FOR_QUPATH[self.qupath or "detections"]
        smallest = smallest_area_px(size, self.min_area, scale)
        tally = Tally(size, classes, inner=self.exclude_edges)
        self._forget_earlier()

        def read():
            for band in bands:
                tally.extent = tally.extent[0] + len(band[0]), band[0].shape[1]
                yield band

        def found():
            count = 0
            for corner, mask, image, probability in whole_components(read(), max(smallest, LARGEST_HOLE)):
                measured = self._measured(mask, image, probability, tally, scale, corner, light)
                cells, outlines, whole, table = measured
                table["cell"] += count
                count += len(cells)
                tables.append(table)
                yield from features(cells, table, outlines, whole, corner, place, role)

        target = self.out_dir / f"{stem_of(path)}.geojson"
        write_geojson(target, found())
        joined = {"cell": np.zeros(0, int)}
        if tables:
            joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        self.tables[path.name], self.tallies[path.name], self.made[path.name] = joined, tally, [target]
        return len(joined["cell"])

    def _measured(self, mask, image, probability, tally, scale, corner=(0, 0), light=None):
        """The cells of a block that are kept, their outlines, those of whole cells or None, and their table."""
        size, classes = tally.um_per_px, tally.classes
        found = find_cells(mask, classes, smallest_area_px(size, self.min_area, scale), probability, scale, image)
        cells, more = self._chosen(found, probability, tally, corner)
        outlines = polygonise(cells.labels)
        whole = None if cells.whole is None else polygonise_whole(cells.whole, mask.shape)
        table = measure(cells, image, probability[..., :classes], size, outlines, corner, light) | more
        return cells, outlines, whole, table

    def _chosen(self, cells, probability, tally, corner):
        """The cells that are kept, and columns of them for the table; those that are not are noted in the tally.

        touches_edge : 1 where the cell touches the edge of its image, and so may be a part of a larger one, else 0.
        division : see `divisions.division`; NaN where the cell touches no other, of those that are left out too.

        corner : first row and column of the block in its image. Of bands the extent of those that have come so far is
        enough: what touches the last row of them is given out when no more come.
        """
        edge = touch_edge(cells, corner, tally.extent)
        too_large = areas(cells.labels) > largest_area_px(tally.um_per_px, self.max_area)
        tally.touching_edge += np.count_nonzero(edge & ~too_large)
        tally.too_large += np.count_nonzero(too_large)
        kept = ~(too_large | edge) if self.exclude_edges else ~too_large
        sure = division(cells, probability[..., -1:] if tally.classes == 1 else probability)[kept]
        cells = choose(cells, kept)
        tally.sizes.append(box_sizes(cells))
        return cells, {"touches_edge": edge[kept].astype(np.int64), "division": sure}

    def left_out(self, image):
        """What was left out by choice in an image, {what: number}, for the record; {} where nothing could be."""
        size = self.tallies[image].um_per_px
        chosen = {"edges": True} if self.exclude_edges else {}
        return chosen | ({"above_px": largest_area_px(size, self.max_area)} if self.max_area else {})

    def _forget_earlier(self):
        """Before the first image: the tables speak of all images in the folder, and these change now."""
        if not self.tables:
            for name in (TABLE, COUNTS):
                (self.out_dir / name).unlink(missing_ok=True)

    def finish(self):
        """Write `cells.csv` and `cell_counts.csv`, of all images added."""
        write_table(self.out_dir / TABLE, self.tables)
        rows = [self._count([name]) for name in self.tables]
        for name, row in zip(self.tables, rows, strict=True):
            tally = self.tallies[name]
            left_out = {"touching_edge": tally.touching_edge, "too_large": tally.too_large}
            row |= {"um_per_px": tally.um_per_px} | left_out
        header = ["image", *(rows[0] if rows else ["cells"])]
        values = ([name, *row.values()] for name, row in zip(self.tables, rows, strict=True))
        _write_csv(self.out_dir / COUNTS, header, values)

    def _count(self, names):
        """The number of cells in some images together, with its interval, and both per mm²: {column: value or None}."""
        tables, tallies = ([of[name] for name in names] for of in (self.tables, self.tallies))
        cells, areas_mm2 = sum(len(table["cell"]) for table in tables), [tally.area_mm2() for tally in tallies]
        limits = None
        if all(tally.classes == 1 for tally in tallies):
            limits = interval([table.get("confidence", np.zeros(0)) for table in tables])
        counts = dict(zip(("cells", "cells_low", "cells_high"), (cells, *(limits or (None, None))), strict=True))
        area = None if None in areas_mm2 else sum(areas_mm2)
        per_mm2 = {
            name.replace("cells", "cells_per_mm2"): None if area is None or count is None else count / area
            for name, count in counts.items()
        }
        return counts | {"area_mm2": area} | per_mm2

    def summary(self):
        """What was counted, and what was left out, in lines for people."""
        lines = [f"{counted(self.total(), 'cell')}, one a row: {self.out_dir / TABLE}"]
        tallies, count = self.tallies.values(), self._count(list(self.tables))
        if count["cells_low"] is not None:
            per_mm2 = ""
            if count["area_mm2"]:
                density, low, high = (_three_digits(count[f"cells_per_mm2{end}"]) for end in ("", "_low", "_high"))
                per_mm2 = f"; per mm² {density}, {low} to {high}"
            lines.append(
                f"the true number: {count['cells_low']} to {count['cells_high']} (95 % interval, as measured on Pap "
                f"smears){per_mm2}; of each image: {self.out_dir / COUNTS}"
            )
        if self.exclude_edges:
            edge = counted(sum(tally.touching_edge for tally in tallies), "cell")
            lines.append(f"left out: {edge} at the edges (--exclude-edges)")
        if self.max_area:
            large = counted(sum(tally.too_large for tally in tallies), "cell")
            lines.append(f"left out: {large} larger than the largest (--max-area {self.max_area:g})")
        return lines

    def total(self):
        """The number of cells in all images added."""
        return sum(len(table["cell"]) for table in self.tables.values())


# -------------------------------------------------------------------------------------------------------- label images


def write_labels(stem, suffix, labels):
    """Write `<stem><suffix>.png`, 16-bit, or with more than 65,535 objects `<stem><suffix>.tif`, 32-bit; its path.

    labels: ndarray of shape (height, width), 0 on background, 1 … n on the objects.
    """
    deep = labels.max(initial=0) > np.iinfo(np.uint16).max
    path, other = (Path(f"{stem}{suffix}{kind}") for kind in ((".tif", ".png") if deep else (".png", ".tif")))
    images.write(path, labels.astype(np.uint32 if deep else np.uint16), MADE_BY)
    other.unlink(missing_ok=True)  # of an earlier run: one image, one label image
    return path


# --------------------------------------------------------------------------------------------------------------- QuPath


def features(cells, table, outlines, whole=None, corner=(0, 0), place=WHERE_IT_IS, role=DETECTION):
    """The GeoJSON features of all cells, as QuPath exports its own.

    As detections, with three classes, they are QuPath's cells, each with its nucleus; as annotations, which have none,
    two: the nucleus lies on the cell, where there is cytoplasm, and has the measurements, which are its own.

    cells, table : as `find_cells` and `measure` give them; outlines, whole : `polygonise` of the labels, and
    `polygonise_whole` of the whole cells; corner : first row and column of the block in its image; place : of that
    image in its file, see `reading.large_images`; role : `ANNOTATION` or `DETECTION`.
    Yields dictionaries.
    """
    several = len(set(cells.classes.tolist())) > 1 or "class" in table
    names = [name for name in table if name not in ("cell", "class")]
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    cell_names = table["cell"].tolist()
    for (number, parts), cell, class_id, values in zip(
        outlines.items(), cell_names, cells.classes.tolist(), rows, strict=True
    ):
        measured = {name: value for name, value in zip(names, values, strict=True) if value == value}  # no NaN in JSON
        own = _geometry(parts, corner, place)
        if whole is None:
            name = str(class_id) if several else CELL
            colour = OUTLINE_COLOURS[(class_id - 1) % len(OUTLINE_COLOURS)] if several else OUTLINE_COLOURS[0]
            yield _feature(own, role, cell, name, colour, measured)
            continue
        around = _geometry(whole[number], corner, place)
        if role == DETECTION:
            yield _feature(around, "cell", cell, CELL, OUTLINE_COLOURS[0], measured) | {"nucleusGeometry": own}
            continue
        if around != own:
            yield _feature(around, role, cell, CELL, OUTLINE_COLOURS[1], {})
        yield _feature(own, role, cell, NUCLEUS, OUTLINE_COLOURS[0], measured)


def _feature(geometry, kind, cell, name, colour, measured):
    properties = {"objectType": kind, "name": str(cell), "classification": {"name": name, "color": list(colour)}}
    measurements = {"measurements": measured} if measured else {}
    return {"type": "Feature", "geometry": geometry, "properties": properties | measurements}


def _geometry(parts, corner, place):
    left, top, factor = place
    row, column = corner

    def on_file(ring):
        corners = [*ring.tolist(), ring[0].tolist()]
        if factor == 1:  # whole numbers stay whole
            return [[x + column + left, y + row + top] for x, y in corners]
        return [[round((x + column) * factor + left, 3), round((y + row) * factor + top, 3)] for x, y in corners]

    rings = [[on_file(ring) for ring in part] for part in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def write_geojson(path, features):
    """Write GeoJSON features as a FeatureCollection, one a line, atomically; they may come from a generator."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"type": "FeatureCollection", "software": "{MADE_BY}", "features": [')
        for number, feature in enumerate(features):
            file.write((",\n" if number else "\n") + json.dumps(feature, allow_nan=False))
        file.write("\n]}\n")


# --------------------------------------------------------------------------------------------------------------- ImageJ


def write_rois(path, cells, outlines, whole=None):
    """Write a ROI set for ImageJ's ROI Manager, atomically; nothing for an image of more than 32,767 pixels a side.

    With several classes the group of a ROI is its class id; with three, each cell has a ROI of the whole and one of its
    nucleus. Returns True where it was written.
    """
    if max(cells.labels.shape) > LARGEST_ROI_PX:
        Path(path).unlink(missing_ok=True)
        return False
    grouped = whole is not None or len(set(cells.classes.tolist())) > 1
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = MADE_BY.encode()
        for (number, parts), class_id in zip(outlines.items(), cells.classes.tolist(), strict=True):
            if whole is not None:
                _write_roi(archive, f"{number:05}_cell", whole[number], WHOLE)
            _write_roi(archive, f"{number:05}" + ("_nucleus" if whole else ""), parts, class_id if grouped else 0)
    return True


def _write_roi(archive, name, parts, group):
    """One ROI of a set: a polygon, or a composite where there are holes or several parts."""
    import roifile

    rings = [ring for part in parts for ring in part]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POLYGON, name=name, group=group)
    roi.left, roi.top, roi.right, roi.bottom = left, top, right, bottom
    if len(rings) == 1:
        roi.integer_coordinates = (rings[0] - (left, top)).astype(np.int32)
        roi.n_coordinates = len(rings[0])
    else:
        roi.roitype = roifile.ROI_TYPE.RECT  # so says the format: a box, and in it a path of moves, lines and closings
        path = np.concatenate([_closed_path(ring) for ring in rings])
        roi.multi_coordinates, roi.shape_roi_size = path, len(path)
    archive.writestr(f"{name}.roi", roi.tobytes())


def _closed_path(ring):
    """A ring as java.awt.geom.PathIterator has it: 0 x y (move), 1 x y (line) …, 4 (close); float32."""
    kinds = np.r_[0, np.ones(len(ring) - 1)]
    return np.r_[np.column_stack([kinds, ring]).ravel(), 4].astype(np.float32)


# --------------------------------------------------------------------------------------------------- table and picture


def write_table(path, tables):
    """Write one CSV of all cells, atomically: the column `image`, then those of `measure`, one row a cell.

    tables: dictionary from image name to what `measure` gives. Where they differ in their columns (some sizes in
    pixels, others in micrometres), all have a place, and a cell is blank where its image has no such value.
    """
    columns = dict.fromkeys(name for table in tables.values() for name in table)

    def rows():
        for image, table in tables.items():
            blank = [None] * len(table["cell"])
            values = [table[name].tolist() if name in table else blank for name in columns]
            yield from zip([image] * len(blank), *values, strict=True)

    _write_csv(path, ["image", *columns], rows())


def _write_csv(path, header, rows):
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(map(_text, row) for row in rows)


def _text(value):
    """A number for people and programs: six significant digits; nothing for a value that there is not."""
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _three_digits(number):
    return f"{float(f'{number:.3g}'):,.10g}"


def draw(image, cells):
    """The image with the outline of each cell on it, inside its border: uint8 (height, width, 3).

    image: ndarray of shape (height, width, 1 or 3), any intensity; cells: `cells.Cells`.
    """
    from skimage.segmentation import find_boundaries

    picture = intensity.to_channels(display(image), 3).copy()
    several = len(set(cells.classes.tolist())) > 1
    colours = np.array(
        [OUTLINE_COLOURS[(n - 1) % len(OUTLINE_COLOURS) if several else 0] for n in cells.classes] or [0]
    )
    for cell in cells.whole or ():
        place, rim = cell.rim(cells.labels.shape)
        picture[place][rim] = OUTLINE_COLOURS[1]
    if cells.labels.any():
        border = find_boundaries(cells.labels, mode="inner")
        picture[border] = colours[cells.labels[border] - 1]
    return picture
