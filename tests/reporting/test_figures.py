"""Figures: the architecture is read from the network itself, outlines lie on the edges of the mask."""

import csv

import numpy as np
import pytest

import model
from reading.images import read
from reading.show import OUTLINE_COLOUR, display, overlay, panels
from reporting.figures import draw_architecture, draw_curves, feature_maps


def test_feature_maps_of_a_small_unet():
    maps = feature_maps(model.unet(channels=3, classes=2, filters=4, depth=2))
    assert [m.channels for m in maps] == [3, 4, 4, 8, 8, 16, 16, 8, 8, 8, 4, 4, 4, 2]
    assert [m.divisor for m in maps] == [1, 1, 1, 2, 2, 4, 4, 2, 2, 2, 1, 1, 1, 1]
    assert {i: m.copied_from for i, m in enumerate(maps) if m.copied_from is not None} == {7: 4, 10: 2}
    assert {i: m.arrival for i, m in enumerate(maps) if m.arrival} == {
        3: "2×2 max pooling", 5: "2×2 max pooling", 7: "nearest upsampling", 10: "nearest upsampling",
    }  # fmt: skip
    assert [m.operation for m in maps[1:3]] == [
        "3×3 convolution, ReLU", "3×3 convolution, batch normalisation, ReLU",
    ]  # fmt: skip
    assert maps[-1].operation == "1×1 convolution, softmax"


def test_feature_maps_name_what_a_network_is_made_of():
    maps = feature_maps(model.unet(filters=4, depth=1, normalization="group", dropout=0.1, upsampling="transposed"))
    assert [m.operation for m in maps] == [
        "image",
        "3×3 convolution, group normalisation, ReLU",
        "3×3 convolution, group normalisation, ReLU, dropout",
        "3×3 convolution, group normalisation, ReLU",
        "3×3 convolution, group normalisation, ReLU, dropout",
        "2×2 transposed convolution",
        "3×3 convolution, group normalisation, ReLU",
        "3×3 convolution, group normalisation, ReLU",
        "1×1 convolution, sigmoid",
    ]
    assert maps[5].arrival == maps[5].operation and maps[5].copied_from == 2


def test_feature_maps_of_the_classic_network():
    maps = feature_maps(model.classic_unet())
    down = [64, 64, 128, 128, 256, 256, 512, 512]
    up = [n for width in (512, 256, 128, 64) for n in (width, width, width)]
    assert [m.channels for m in maps] == [1, *down, 1024, 1024, *up, 2, 1]
    assert max(m.divisor for m in maps) == 16


@pytest.mark.parametrize(
    "network", [model.unet(filters=2, depth=1), model.unet(), model.classic_unet(filters=4)], ids=["1", "4", "classic"]
)
def test_the_architecture_is_drawn(tmp_path, network):
    draw_architecture(network, tmp_path / "u.png")
    picture = read(tmp_path / "u.png")[..., :3]
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)[::7].tolist()}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xAA, 0x33, 0x77)} <= colours, "boxes or arrows are missing"
    border = np.concatenate([picture[0], picture[-1]])
    assert (border == 255).all(), "something runs out of the picture"


def test_the_overlay_outlines_the_mask_and_changes_nothing_else():
    image = np.linspace(0, 60000, 40 * 50).reshape(40, 50, 1).astype(np.uint16)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 15:30] = 1
    picture = overlay(image, mask)
    drawn = (picture == OUTLINE_COLOUR).all(-1)
    inner = np.zeros_like(drawn)
    inner[11:19, 16:29] = True
    assert np.array_equal(drawn, (mask > 0) & ~inner)
    assert np.array_equal(picture[~drawn], np.repeat(display(image), 3, 2)[~drawn])


def test_holes_are_outlined_too():
    mask = np.ones((30, 30), np.uint8)
    mask[10:20, 10:20] = 0
    drawn = (overlay(np.zeros((30, 30, 1), np.uint8), mask) == OUTLINE_COLOUR).all(-1)
    assert drawn[9, 15] and drawn[15, 20] and not drawn[15, 15] and not drawn[5, 5]


@pytest.mark.parametrize("validation", [True, False])
def test_curves_are_drawn(tmp_path, validation):
    names = ["loss", "dice", "accuracy"] + (["val_loss", "val_dice", "val_accuracy"] if validation else [])
    with open(tmp_path / "history.csv", "w", newline="") as file:
        csv.writer(file).writerows([["epoch", *names], *([epoch, *[epoch / 10] * len(names)] for epoch in (1, 2, 3))])
    draw_curves(tmp_path / "history.csv", tmp_path / "curves.png")
    colours = {tuple(colour) for colour in read(tmp_path / "curves.png")[..., :3].reshape(-1, 3).tolist()}
    assert (0x00, 0x72, 0xB2) in colours and ((0xD5, 0x5E, 0x00) in colours) == validation


def test_panels_keep_grey_values_and_proportions(tmp_path):
    panels({"dark": np.full((40, 80), 51, np.uint8), "pale": np.full((40, 40), 0.8)}, tmp_path / "p.png", inches=2)
    colours, counts = np.unique(read(tmp_path / "p.png")[..., 0], return_counts=True)
    pixels = dict(zip(colours.tolist(), counts.tolist(), strict=True))
    assert pixels[51] == pytest.approx(2 * pixels[204], rel=0.05)
