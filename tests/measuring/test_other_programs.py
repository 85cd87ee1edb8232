"""The programs that people have read what `predict --cells` writes: the same cells, pixel for pixel.

ImageJ runs where its Debian package and a screen of memory (Xvfb) are installed. napari and LabelMe (660 and 725
MB with what they need) are in no requirements: their part runs where somebody has them. LabelMe reads its own format
alone, which we do not write: what it saves is read here.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress

import cv2
import numpy as np
import pytest

from measuring.cell_files import CellWriter
from pairing.annotations import read_shapes
from pairing.outlines import filled
from reading import images

MACRO = """
folder = "{folder}";
open(folder + "/a_labels.png");
print("depth", bitDepth(), getWidth(), getHeight());
roiManager("Open", folder + "/a_rois.zip");
n = roiManager("count");
for (i = 0; i < n; i++) {{
    roiManager("select", i);
    getStatistics(area, mean, min, max);
    print("cell", call("ij.plugin.frame.RoiManager.getName", i), area, min, max);
}}
saved = File.saveString(getInfo("log"), folder + "/said.txt");
run("Quit");
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a picture with odd cells: holes, parts that touch at corners, cells at the border; its labels."""
    folder = tmp_path_factory.mktemp("cells") / "out"
    rng = np.random.default_rng(0)
    field = cv2.GaussianBlur(rng.random((90, 120)).astype(np.float32), (0, 0), 2.5)
    mask = (field > np.quantile(field, 0.6)).astype(np.uint8)
    probability = np.where(mask > 0, 0.9, 0.1)[..., np.newaxis].astype(np.float32)
    CellWriter(folder).add(folder / "a.png", np.uint8(255 * field)[..., np.newaxis], mask, probability)
    return folder, images.read_mask(folder / "a_labels.png")


@pytest.mark.skipif(
    not (shutil.which("imagej") and shutil.which("xvfb-run")), reason="ImageJ and Xvfb are not installed"
)
def test_imagej_opens_the_label_image_and_an_outline_a_cell(written):
    folder, labels = written
    (folder / "look.ijm").write_text(MACRO.format(folder=folder))
    command = ["xvfb-run", "-a", "imagej", "-x", "512", "-m", folder / "look.ijm"]
    with subprocess.Popen(command, start_new_session=True) as imagej:
        try:
            imagej.wait(120)
        finally:
            with suppress(ProcessLookupError):  # Java and the screen outlive a script that is killed
                os.killpg(imagej.pid, signal.SIGKILL)
    said = [line.split() for line in (folder / "said.txt").read_text().splitlines()]
    assert said[0] == ["depth", "16", "120", "90"]
    found = {int(name.split("_")[0]): [float(number) for number in numbers] for _, name, *numbers in said[1:]}
    sizes = np.bincount(labels.ravel())
    assert found == {number: [sizes[number], number, number] for number in range(1, labels.max() + 1)}


def test_napari_opens_the_label_image_as_labels(written):
    layers = pytest.importorskip("napari.layers", reason="napari is not installed")
    from napari_builtins.io import napari_get_reader

    folder, labels = written
    path = str(folder / "a_labels.png")
    ((pixels, *_),) = napari_get_reader(path)(path)
    layer = layers.Labels(np.asarray(pixels))
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.data.max() == labels.max() > 3


def test_what_labelme_saves_and_reads_is_the_cells_that_were_outlined(written):
    labelme = pytest.importorskip("labelme", reason="LabelMe is not installed")
    folder, labels = written
    shapes = [shape for shape in read_shapes(folder / "a.geojson")[0] if len(shape.rings) == 1]  # it has no holes
    drawn = [
        {
            "label": "cell",
            "points": shape.rings[0][:-1].tolist(),
            "shape_type": "polygon",
            "group_id": None,
            "flags": {},
        }
        for shape in shapes
    ]
    images.write_png(folder / "b.png", np.uint8(labels > 0))
    labelme.LabelFile().save(str(folder / "b.json"), drawn, "b.png", *labels.shape)
    again = labelme.LabelFile(str(folder / "b.json"))
    assert len(again.shapes) == len(shapes) > 3
    found, size = read_shapes(folder / "b.json")
    assert size == labels.shape and {shape.name for shape in found} == {"cell"}
    for one, other in zip(shapes, found, strict=True):
        (place, pixels), (same_place, same) = filled(one, size), filled(other, size)
        assert place == same_place and np.array_equal(pixels, same)
