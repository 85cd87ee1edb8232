"""Pictures for people: an image in its own colours, masks outlined on it, several side by side.

Matplotlib is imported where it draws, since it takes half a second.
"""

import cv2
import numpy as np

from reading import intensity
from reading.files import replacing

OUTLINE_COLOUR = (213, 94, 0)  # vermilion of Okabe & Ito's palette: stands out on stained and on grey cells
OUTLINE_COLOURS = (OUTLINE_COLOUR, (0, 114, 178), (0, 158, 115), (204, 121, 167))  # the same palette's, class by class
DARK = 128  # of 255: an 8-bit image that has no brighter pixels is shown lighter
RESULT = "#d55e00"  # its last box
TEXT = "#333333"


def save_figure(figure, path, dpi=120):
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


# ---------------------------------------------------------------------------------------------------- masks on images


def overlay(image, mask, colour=OUTLINE_COLOUR, thickness=1):
    """The image with the outline of the mask's foreground drawn on it, uint8 (height, width, 3).

    image: (height, width, 1 or 3), any intensity; mask: (height, width), foreground above 0.
    """
    return draw_outline(intensity.to_channels(display(image), 3), mask > 0, colour, thickness)


def draw_outline(picture, region, colour, thickness=1):
    """A copy of `picture`, uint8 (height, width, 3), with the outline of `region`, bool (height, width), on it."""
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture.copy(), outlines, -1, colour, thickness)


def display(image, known=None):
    """An image of any intensity as 8-bit, in its own colours: uint8 (height, width, channels).

    An 8-bit image is shown as it is; a dark one lighter, all channels by one factor. Any other is stretched between its
    lowest and its highest channel's percentile, all channels alike, or from 0 on where it has no contrast, so that an
    empty field of bright light is white.

    known : for a tile, the `intensity.Spread` of its field (`pairs.Pair.intensity_range`); None: the image's own.
    """
    spread = intensity.spread_of(image) if known is None else intensity.Spread(*known)
    low, high = min(spread.low), max(spread.high)
    if image.dtype == np.uint8:
        if high >= DARK:
            return image.copy()
        low = 0
    elif high - low < max(spread.least):
        low = min(0, low)
    high = max(high, low + max(spread.least)) or 1
    return np.rint(intensity.normalise(image, np.float32(low), np.float32(high)) * 255).astype(np.uint8)


def panels(pictures, path=None, inches=4.0, dpi=120):
    """Pictures side by side under their titles: shown in a notebook, or written to `path` as a PNG.

    pictures: dictionary from title to uint8 (height, width[, 1 or 3]), or to float (height, width) in 0…1.
    inches: height of the pictures.
    """
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    shapes = [np.shape(picture) for picture in pictures.values()]
    width = inches * sum(shape[1] / shape[0] for shape in shapes)
    figure = (Figure if path else pyplot.figure)(figsize=(width, inches + 0.3), layout="constrained")
    axes = figure.subplots(1, len(shapes), squeeze=False, width_ratios=[shape[1] / shape[0] for shape in shapes])[0]
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255 if np.asarray(picture).dtype == np.uint8 else 1)
        axis.set_title(title)
        axis.set_axis_off()
    if path:
        save_figure(figure, path, dpi)


CLASS_COLOURS = np.array(
    [(255, 255, 255), (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233)],
    np.uint8,
)  # Okabe & Ito's palette, told apart by colour-blind readers too; class 0 white; as on `check`'s contact sheet


def colour_preview(mask):
    """Class ids (height, width) as an RGB picture, uint8 (height, width, 3)."""
    return CLASS_COLOURS[mask % len(CLASS_COLOURS)]


def hatching(size, every=6):
    """Diagonal stripes, half of the pixels: bool (height, width); for what is ignored."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows + columns) % every < every // 2
