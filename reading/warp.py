"""Resampling an image by a matrix and by displacements, in one step; its mask by the nearest neighbour.

A matrix is (2, 3) and leads from a result's (row, column, 1) to the source's (row, column).
"""

import math

import cv2
import numpy as np

FILL_MODES = ("nearest", "reflect", "wrap", "constant")  # what lies around an image, in SciPy's and Keras' words
_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}  # exactly SciPy's; others by coordinates
# What OpenCV moves as it is. Numbers of other types, such as bool or int64, it refuses or turns into others.
_MOVED = {np.dtype(kind) for kind in (np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64)}
_TOGETHER = 4  # channels that OpenCV resamples together, whatever the border


def warp(array, matrix, height, width, nearest=False, fill_mode="nearest", fill=0, moves=None):
    """The result (height, width[, channels]) whose pixels lie at matrix · (row, column, 1) in `array`.

    Parameters
    ----------
    array : ndarray of shape (H, W) or (H, W, channels), of any type of number.
    nearest : True for masks: values are moved, never mixed, and the dtype stays. False for images: linear; uint8 stays,
        unless `fill_mode` is "constant", all others become float32.
    fill_mode : one of `FILL_MODES`. fill : the number, or one for each channel, that is outside where it is "constant".
    moves : further displacements in pixels of the source, float32 (nodes, nodes, 2), interpolated smoothly; or None.
    """
    rows, columns = array.shape[:2]
    # Only what the result can see is converted and read: a 256-pixel crop does not touch the rest of a field. But there
    # are borders that depend on the whole image.
    reach = np.inf if fill_mode not in _BORDERS else 2 if moves is None else 2 + 2 * np.abs(moves).max()
    (top, bottom), (left, right) = _visible(matrix, height, width, rows, columns, reach)
    part = array[top:bottom, left:right]
    if (top, left, bottom, right) != (0, 0, rows, columns):
        matrix = matrix - [[0, 0, top], [0, 0, left]]
    how = matrix, height, width, nearest, fill_mode, moves
    if nearest:
        warped, outside = _moved(part, how)
    else:
        part = part if part.dtype == np.uint8 and fill_mode != "constant" else part.astype(np.float32, copy=False)
        warped, outside = _mixed(part, how)
    if outside is not None:
        if np.size(fill) not in (1, warped[0, 0].size):
            channels = f"each of {warped[0, 0].size} channels"
            raise ValueError(f"cval of {np.size(fill)} numbers received; expected one, or one for {channels}.")
        warped[outside] = fill
    return warped


def draw_matrix(draw, height, width):
    """The (2, 3) matrix from a result's (row, column, 1) to the source's (row, column), flips included.

    The composition of `ImageDataGenerator`: rotation · shift · shear · zoom about the centre, in (column, row) order.
    Like the original it takes the centre of a (height, width) array as (height/2, width/2) before the axes are
    exchanged, which is the true centre for square results only.
    """
    theta, shear = math.radians(draw.get("theta", 0)), math.radians(draw.get("shear", 0))
    zx, zy, tx, ty = (draw.get(name, default) for name, default in (("zx", 1), ("zy", 1), ("tx", 0), ("ty", 0)))
    cos, sin = math.cos(theta), math.sin(theta)
    # rotation · shear · zoom, as ((a, b), (c, d))
    a, b = cos * zx, -math.sin(theta + shear) * zy
    c, d = sin * zx, math.cos(theta + shear) * zy
    x, y = height / 2 - 0.5, width / 2 - 0.5
    shift_x = cos * tx - sin * ty + x - a * x - b * y
    shift_y = sin * tx + cos * ty + y - c * x - d * y
    # in (row, column) order, and flipped: row → height − 1 − row
    matrix = [[d, c, shift_y], [b, a, shift_x]]
    for axis, length in ((0, height), (1, width)):
        if draw.get(("flip_vertical", "flip_horizontal")[axis]):
            for row in matrix:
                row[2] += row[axis] * (length - 1)
                row[axis] = -row[axis]
    return np.array(matrix)


def _moved(array, how):
    if array.dtype in _MOVED and (array.ndim == 2 or array.shape[2] <= _TOGETHER):
        warped, outside = _resample(array, *how)
        return warped.reshape(*warped.shape[:2], *array.shape[2:]), outside
    places = np.arange(array.shape[0] * array.shape[1], dtype=np.int32).reshape(array.shape[:2])
    places, outside = _resample(places, *how)
    return array.reshape(-1, *array.shape[2:])[places], outside


def _mixed(array, how):
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels not in (1, 3, 4):  # two are resampled by an older routine, to a 32nd of a pixel; five not always
        found = [_resample(array[..., channel], *how) for channel in range(channels)]
        return np.stack([warped for warped, _ in found], axis=-1), found[0][1]
    if channels == 3:  # OpenCV resamples four channels faster than three
        warped, outside = _resample(cv2.cvtColor(array, cv2.COLOR_RGB2RGBA), *how)
        return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), outside
    warped, outside = _resample(array, *how)
    return warped.reshape(*warped.shape[:2], *array.shape[2:]), outside


def _resample(array, matrix, height, width, nearest, fill_mode, moves):
    """What OpenCV makes of an array (H, W[, up to 4 channels]), and the pixels that "constant" fills, or None."""
    array = np.ascontiguousarray(array)
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    border = _BORDERS.get(fill_mode, cv2.BORDER_REPLICATE)
    if moves is None and fill_mode in _BORDERS:
        # OpenCV warps in half the time where it has no border to make up, so that is made first
        (top, bottom), (left, right) = (
            (max(0, math.ceil(-low)), max(0, math.ceil(high) - length + 1))
            for (low, high), length in zip(_footprint(matrix, height, width), array.shape[:2], strict=True)
        )
        if top or bottom or left or right:
            array = cv2.copyMakeBorder(array, top, bottom, left, right, border)
            matrix = matrix + [[0, 0, top], [0, 0, left]]
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(array, _swap(matrix), (width, height), flags=flags), None
    grid_rows, grid_columns = np.mgrid[0:height, 0:width].astype(np.float64)
    source = [m[0] * grid_rows + m[1] * grid_columns + m[2] for m in matrix]
    if moves is not None:
        moves = cv2.resize(moves, (width, height), interpolation=cv2.INTER_CUBIC)
        source = [s + moves[..., axis] for axis, s in enumerate(source)]
    outside = np.zeros((height, width), bool) if fill_mode == "constant" else None
    for axis, length in enumerate(array.shape[:2]):
        if fill_mode == "constant":
            outside |= (source[axis] < 0) | (source[axis] > length - 1)
        elif fill_mode == "wrap":
            source[axis] = _wrap(source[axis], length)
    if nearest:  # OpenCV rounds halves to even; SciPy, and so ImageDataGenerator, rounds them up
        source = [np.floor(s + 0.5) for s in source]
    source = [s.astype(np.float32) for s in source]
    return cv2.remap(array, source[1], source[0], interpolation, borderMode=border), outside


def _swap(matrix):
    """A (row, column) matrix in OpenCV's (x, y) order."""
    return np.array([[matrix[1, 1], matrix[1, 0], matrix[1, 2]], [matrix[0, 1], matrix[0, 0], matrix[0, 2]]])


def _wrap(position, length):
    """SciPy's "wrap": a period of length − 1, the first and last pixel being one."""
    if length == 1:
        return np.zeros_like(position)
    return np.where((position < 0) | (position > length - 1), np.mod(position, length - 1), position)


def _footprint(matrix, height, width):
    """Lowest and highest row, and column, of the source that a result of this size sees."""
    ends = []
    for of_row, of_column, start in matrix.tolist():
        steps = of_row * (height - 1), of_column * (width - 1)
        ends.append((start + sum(min(0, step) for step in steps), start + sum(max(0, step) for step in steps)))
    return ends


def _visible(matrix, height, width, rows, columns, reach):
    """First row and column of the source that a result needs, and the ones after the last; `reach` pixels more.

    Of borders that it sees across, as much is needed inside as is seen outside, since reflection repeats it.
    """
    spans = []
    for (low, high), length in zip(_footprint(matrix, height, width), (rows, columns), strict=True):
        low, high, last = low - reach, high + reach, length - 1
        first, end = min(low, 2 * last - high), max(high, -low)
        spans.append((0, length) if first < 1 and end > last - 1 else (max(0, int(first)), min(length, int(end) + 2)))
    return spans
