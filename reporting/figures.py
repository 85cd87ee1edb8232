"""Pictures: training curves, masks outlined on images, the network's architecture.

Matplotlib is imported where it draws, since it takes half a second. Files are drawn on a `Figure` of their own, which
leaves a notebook's way of showing figures alone.
"""

import csv
from dataclasses import dataclass

import numpy as np

from reading.show import RESULT, TEXT, save_figure

STEP_COLOURS = ("#0072b2", "#56b4e9", "#5e4fa2", "#b07d00", "#4d4d4d")  # of the architecture's boxes
DOWN, UP, COPY, COPIED = "#aa3377", "#00795a", "#8a8f98", "#d3dae3"  # its arrows; the image, channels copied across


def draw_curves(history_csv, path):
    """Loss, Dice and pixel accuracy over the epochs of one run, from its history.csv, as a PNG."""
    from matplotlib.figure import Figure

    with open(history_csv, newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots(1, 3)
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
    save_figure(figure, path)


# -------------------------------------------------------------------------------------------------- the architecture


@dataclass
class FeatureMap:
    """What a network holds after one convolution: one box of the architecture figure.

    channels : int.
    divisor : how many times smaller than the image it is, in height and width.
    operation : the layers that made it, in words.
    arrival : the layer that changed the size just before, in words; "" where the size stayed.
    copied_from : index of the earlier map that is joined on to it (the skip connection), or None.
    """

    channels: int
    divisor: int
    operation: str
    arrival: str = ""
    copied_from: int | None = None


def feature_maps(model):
    """The feature maps of a U-Net in the order in which they are computed, read from its layers.

    Parameters: model, a Keras model of one input and one output made of convolutions, poolings, upsamplings,
    concatenations and layers that act on each pixel or channel alone.

    Returns a list of `FeatureMap`; the first is the image. Sizes follow from each layer's own `compute_output_shape`.
    """
    side = 2**20  # any size that can be halved often; nothing is computed
    shapes, made, maps, arrival = {}, {}, [], ""  # by id of a layer's output: its shape, the index of its map
    for layer in model.layers:
        output = id(layer.output)
        if not maps:
            shapes[output], made[output] = (1, side, side, layer.output.shape[-1]), 0
            maps.append(FeatureMap(layer.output.shape[-1], 1, "image"))
            continue
        inputs = [id(tensor) for tensor in (layer.input if isinstance(layer.input, list) else [layer.input])]
        before = [shapes[i] for i in inputs]
        shapes[output] = layer.compute_output_shape(before if len(before) > 1 else before[0])
        words, resized = _in_words(layer), shapes[output][1] != before[0][1]
        if hasattr(layer, "kernel_size"):
            if resized:
                arrival = "nearest upsampling" if type(layer).__name__ == "UpsampledConv2D" else words
            maps.append(FeatureMap(layer.filters, side // shapes[output][1], words, arrival))
            arrival = ""
        elif len(inputs) > 1:
            maps[-1].copied_from = min(made[i] for i in inputs)
        elif resized:
            arrival = words
        else:
            maps[-1].operation += f", {words}"
        made[output] = len(maps) - 1
    return maps


def _in_words(layer):
    """A layer as a reader of the figure would call it."""
    kind = type(layer).__name__
    if hasattr(layer, "kernel_size"):
        transposed = "transposed " if "Transpose" in kind else ""
        activation = layer.activation.__name__
        after = "" if activation == "linear" else f", {_ACTIVATIONS.get(activation, activation)}"
        normalised = ", batch normalisation" if kind == "NormalizedConv2D" else ""
        return f"{layer.kernel_size[0]}×{layer.kernel_size[1]} {transposed}convolution{normalised}{after}"
    if kind == "Activation":
        return _ACTIVATIONS.get(layer.activation.__name__, layer.activation.__name__)
    if hasattr(layer, "pool_size"):
        return f"{layer.pool_size[0]}×{layer.pool_size[1]} {'max' if kind.startswith('Max') else 'mean'} pooling"
    if kind == "UpSampling2D":
        return f"{layer.interpolation} upsampling"
    return _LAYERS.get(kind, kind)


_ACTIVATIONS = {"relu": "ReLU"}
_LAYERS = {"GroupNormalization": "group normalisation",
           "ReLU": "ReLU", "Dropout": "dropout", "Concatenate": "joined"}  # fmt: skip


def draw_architecture(model, path, example_px=256):
    """The U of a network as a PNG: a box for each feature map with its channels, a row for each size.

    Parameters: model, a Keras U-Net as in `feature_maps`; example_px, side of the image whose sizes are written at
    the rows (that of the model's own input where it has a fixed one).
    """
    from matplotlib.figure import Figure

    maps = feature_maps(model)
    operations = list(dict.fromkeys(m.operation for m in maps[1:]))
    colours = {o: STEP_COLOURS[i % len(STEP_COLOURS)] for i, o in enumerate(operations)}
    colours[maps[-1].operation] = RESULT
    boxes, rows = _lay_out(maps)
    left, right = -1.6, max(max(x + w for x, _, w, _ in boxes) + 0.45, 9.0)
    top, bottom = boxes[0][3] + 0.9, min(y for y, _ in rows.values()) - ROW_GAP / 2
    legend = 0.5 + 0.23 * -(-(len(operations) + 4) // 2)
    figure = Figure(figsize=(right - left, top - bottom + legend))
    axis = figure.add_axes((0, 0, 1, 1))  # its units are inches
    axis.set(xlim=(left, right), ylim=(bottom - legend, top))
    axis.set_axis_off()
    name = model.name.replace("_", " ").replace("unet", "U-Net")
    title = f"{name[0].upper()}{name[1:]}, {model.count_params():,} parameters"
    axis.text(left + 0.2, top - 0.26, title, fontsize=14, weight="bold", va="center", color=TEXT)
    _draw_rows(axis, left + 0.2, rows, model.input_shape[1] or example_px)
    _draw_maps(axis, maps, boxes, colours)
    _draw_legend(axis, left + 0.2, bottom - 0.12, maps, colours)
    save_figure(figure, path, dpi=110)


def _draw_rows(axis, left, rows, example_px):
    for i, (divisor, (y, h)) in enumerate(rows.items()):
        if i % 2 == 0:
            axis.axhspan(y - ROW_GAP / 2, y + h + ROW_GAP / 2, color="#f4f5f7", zorder=0, linewidth=0)
        share = "full size" if divisor == 1 else f"1/{divisor}"
        pixels = f"{example_px // divisor}×{example_px // divisor} px"
        axis.text(left, y + h / 2 + 0.02, share, fontsize=12, weight="bold", va="bottom", color=TEXT)
        axis.text(left, y + h / 2 - 0.02, pixels, fontsize=11, va="top", color="#666666")


def _draw_maps(axis, maps, boxes, colours):
    from matplotlib.patches import FancyArrowPatch, Rectangle

    def box(x, y, w, h, channels, face):
        axis.add_patch(Rectangle((x, y), w, h, facecolor=face, edgecolor="white", linewidth=1.2))
        axis.text(x + w / 2, y + h / 2, channels, ha="center", va="center", fontsize=11, color=_ink(face))

    def arrow(start, end, colour, bend=None):
        style = {"arrowstyle": "-|>", "mutation_scale": 12, "linewidth": 1.8, "shrinkA": 3, "shrinkB": 3}
        path = f"angle,angleA={bend[0]},angleB={bend[1]},rad=0" if bend else "arc3"
        axis.add_patch(FancyArrowPatch(start, end, color=colour, connectionstyle=path, **style))

    for i, (m, (x, y, w, h)) in enumerate(zip(maps, boxes, strict=True)):
        box(x, y, w, h, m.channels, colours.get(m.operation, COPIED))
        before, (px, py, pw, ph) = maps[i - 1], boxes[i - 1]
        if i in (1, len(maps) - 1):
            arrow((px + pw, py + ph / 2), (x, y + h / 2), TEXT)
        elif m.divisor > before.divisor:
            arrow((px + pw / 2, py), (x, y + h / 2), DOWN, bend=(90, 0))
        elif m.divisor < before.divisor:
            arrow((px + pw, py + ph / 2), (x + w / 2, y), UP, bend=(0, 90))
        if m.copied_from is not None:
            channels, (sx, sy, sw, sh) = maps[m.copied_from].channels, boxes[m.copied_from]
            x -= _width(channels)
            box(x, y, _width(channels), h, channels, COPIED)
            arrow((sx + sw, sy + sh / 2), (x, y + h / 2), COPY)
    for (x, y, w, h), text in ((boxes[0], "image"), (boxes[-1], "probability")):
        axis.text(x + w / 2, y + h + ROW_GAP / 2 + 0.06, text, ha="center", va="bottom", fontsize=11, color=TEXT)


def _draw_legend(axis, left, top, maps, colours):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys = [Patch(facecolor=colour, label=operation) for operation, colour in colours.items()]
    keys.append(Patch(facecolor=COPIED, label="channels copied from the left half"))
    arrivals = {m.arrival: m.divisor > before.divisor for before, m in zip(maps, maps[1:], strict=False) if m.arrival}
    arrows = {f"{text}: {'half' if down else 'twice'} the height and width": DOWN if down else UP
              for text, down in arrivals.items()}  # fmt: skip
    arrows["skip connection: copied across and joined"] = COPY
    keys += [Line2D([], [], color=colour, linewidth=2.2, label=text) for text, colour in arrows.items()]
    axis.legend(
        handles=keys, title="Number in a box: its channels. Colour: what made it.", loc="upper left", ncols=2,
        bbox_to_anchor=(left, top), bbox_transform=axis.transData, borderpad=0, borderaxespad=0, alignment="left",
        frameon=False, fontsize=11, title_fontsize=11,
    )  # fmt: skip


ROW_GAP, BLOCK_GAP, STEP_ASIDE = 0.42, 0.4, 0.24  # inches: between rows; beside image and result; from row to row


def _lay_out(maps):
    """Places of the boxes in inches, [(x, y, width, height)], and of the rows, {divisor: (y, height)}, y upwards."""
    rows, y = {}, 0.0
    for level, divisor in enumerate(sorted({m.divisor for m in maps})):
        height = max(0.4, 1.45 * 0.74**level)
        y = y - height - ROW_GAP if rows else 0.0
        rows[divisor] = (y, height)
    boxes, x = [], 0.0
    for i, m in enumerate(maps):
        w = _width(m.channels)
        if i and m.divisor > maps[i - 1].divisor:  # the arrow leaves below a box and comes in from the left
            x = boxes[-1][0] + boxes[-1][2] / 2 + STEP_ASIDE
        elif i and m.divisor < maps[i - 1].divisor:  # and back: leaves to the right and comes in from below
            x = boxes[-1][0] + boxes[-1][2] + STEP_ASIDE - w / 2
        elif i:
            x = boxes[-1][0] + boxes[-1][2] + (BLOCK_GAP if i in (1, len(maps) - 1) else 0)
        boxes.append((x, rows[m.divisor][0], w, rows[m.divisor][1]))
    return boxes, rows


def _width(channels):
    """Width of a box in inches: wider for more channels, never too narrow for the number in it."""
    return 0.32 + 0.028 * np.log2(channels)


def _ink(face):
    """Black or white, whichever is legible on the colour `face`."""
    from matplotlib.colors import to_rgb

    return "white" if np.dot(to_rgb(face), (0.299, 0.587, 0.114)) < 0.55 else "#222222"
