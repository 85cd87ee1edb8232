"""Pictures: training curves, masks outlined on images, the network's architecture.

Matplotlib is imported where it draws, since it takes half a second.
"""

import csv

import cv2
import numpy as np

import images

OUTLINE = (213, 94, 0)  # vermilion of Okabe & Ito's palette: stands out on stained and on grey cells


def draw_curves(history_csv, path):
    """Loss, Dice and pixel accuracy over the epochs of one run, from its history.csv, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with open(history_csv, newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for axis, (name, title) in zip(
        axes, [("loss", "loss"), ("dice", "Dice"), ("accuracy", "pixel accuracy")], strict=True
    ):
        axis.plot(epochs, [float(row[name]) for row in rows], "o-", color="#0072b2", label="training crops")
        if f"val_{name}" in rows[0]:
            axis.plot(epochs, [float(row[f"val_{name}"]) for row in rows], "s-", color="#d55e00", label="validation")
        axis.set(xlabel="epoch", title=title, xticks=epochs[:: max(1, len(epochs) // 10)])
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    with images.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)


def overlay(image, mask, colour=OUTLINE, thickness=1):
    """The image with the outline of the mask's foreground drawn on it, uint8 (height, width, 3).

    image: (height, width, 1 or 3), any intensity; mask: (height, width), foreground above 0.
    """
    picture = images.to_channels(display(image), 3).copy()
    outlines, _ = cv2.findContours((mask > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, outlines, -1, colour, thickness)


def display(image):
    """An image of any intensity as 8-bit, as the network sees it: uint8 (height, width, channels)."""
    return np.rint(images.normalise(image, *images.intensity_range(image)) * 255).astype(np.uint8)
