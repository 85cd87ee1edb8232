"""Label images → polygons along the edges of the pixels: exactly the pixels of each object, holes and all.

Coordinates count from the upper left corner of the upper left pixel, as in QuPath, ImageJ and `annotations`: the pixel
in row r and column c is the square from x = c to c + 1 and y = r to r + 1.
"""

import numpy as np

# Directions of travel along pixel edges: right, down, left, up.
_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])  # row, column
_AHEAD_LEFT = np.array([(-1, 0), (0, 0), (0, -1), (-1, -1)])  # of the vertex reached: the pixel ahead on the left,
_AHEAD_RIGHT = np.array([(0, 0), (0, -1), (-1, -1), (-1, 0)])  # and on the right


def polygonise(labels):
    """The outlines of all objects.

    An object's pixels that touch by sides are one part; parts that touch each other by corners alone stay apart, as the
    standard for valid polygons wants it (OGC 06-103r4, Simple features). Its rings cross neither themselves nor each
    other, and may touch in single points. Outlines have the object on their right in an image seen as usual, rows
    downwards (clockwise); holes run the other way.

    labels: integer ndarray of shape (height, width), 0 on background, another number on each object.

    Returns a dictionary from number, ascending, to the list of the object's parts; a part is a list of rings, the
    outline first and then its holes; a ring is an int ndarray of shape (corners, 2), x then y, open: the first corner
    is not repeated.
    """
    from skimage.measure import label

    parts = np.pad(label(labels, connectivity=1), 1)  # one number a part; equal labels are joined by sides alone
    rows, columns, directions = _edges(parts)
    numbers = parts[rows + _AHEAD_RIGHT[directions, 0], columns + _AHEAD_RIGHT[directions, 1]]
    turned, following = _successors(parts, rows, columns, directions, numbers)
    corners = np.flatnonzero(turned).tolist()  # edges after which the outline turns; their ends are the corners
    order, starts = _walk(following, corners, turned)
    rows, columns = rows + _STEP[directions, 0], columns + _STEP[directions, 1]  # ends of the edges
    points = np.stack([columns[order], rows[order]], axis=1) - 1  # of the padding
    owners = numbers[order[starts[:-1]]] if len(order) else order
    return _by_object(labels, points, starts, owners)


def _edges(parts):
    """All edges with a part on their right and anything else on their left: rows, columns of their starts, directions.

    Vertex (r, c) is the upper left corner of pixel (r, c). Sorted by start and direction.
    """
    found = []
    for direction, (behind, ahead) in enumerate(
        [
            (parts[:-1], parts[1:]),  # to the right: left of it is the pixel above, right of it the one below
            (parts[:, 1:], parts[:, :-1]),
            (parts[1:], parts[:-1]),
            (parts[:, :-1], parts[:, 1:]),
        ]
    ):
        row, column = np.nonzero((ahead > 0) & (ahead != behind))
        down, right = [(1, 0), (0, 1), (1, 1), (1, 1)][direction]
        found.append(np.stack([row + down, column + right, np.full(len(row), direction)]))
    edges = np.concatenate(found, axis=1)
    return edges[:, np.lexsort(edges[::-1])]


def _successors(parts, rows, columns, directions, numbers):
    """For each edge, whether the outline turns at its end, and the index of the edge that follows.

    Where two pixels of one part touch by a corner, the outline goes round the background between them (a left turn):
    they are joined elsewhere, so that the background on the two sides is not one.
    """
    end_rows, end_columns = rows + _STEP[directions, 0], columns + _STEP[directions, 1]
    left = parts[end_rows + _AHEAD_LEFT[directions, 0], end_columns + _AHEAD_LEFT[directions, 1]] == numbers
    right = parts[end_rows + _AHEAD_RIGHT[directions, 0], end_columns + _AHEAD_RIGHT[directions, 1]] == numbers
    after = (directions + np.where(left, 3, np.where(right, 0, 1))) % 4
    width = parts.shape[1] + 1
    keys = (rows * width + columns) * 4 + directions
    return after != directions, np.searchsorted(keys, (end_rows * width + end_columns) * 4 + after)


def _walk(following, corners, turned):
    """Closed walks from corner to corner: (order, starts), edge indices ring after ring, and where each ring starts."""
    following, turned = following.tolist(), turned.tolist()
    order, starts, seen = [], [0], bytearray(len(following))
    for first in corners:
        if seen[first]:
            continue
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            if turned[edge]:
                order.append(edge)
            edge = following[edge]
        starts.append(len(order))
    return np.array(order, np.intp), np.array(starts)


def _by_object(labels, points, starts, owners):
    """Rings gathered by part, the outline first, and parts by object."""
    x, y = points.T
    following = np.arange(1, len(points) + 1)
    following[starts[1:] - 1] = starts[:-1]
    doubled = np.concatenate([[0], np.cumsum(x * y[following] - x[following] * y)])
    outer = np.diff(doubled[starts]) > 0  # clockwise with rows downwards
    rings = np.split(points, starts[1:-1]) if len(points) else []
    parts = {}
    for index in np.lexsort((~outer, owners)).tolist():
        parts.setdefault(int(owners[index]), []).append(rings[index])
    objects = {}
    for part in parts.values():
        objects.setdefault(_number_inside(labels, part[0]), []).append(part)
    return dict(sorted(objects.items()))


def _number_inside(labels, ring):
    """The object of an outline: the number of the pixel below and right of its topmost, there leftmost corner."""
    x, y = ring[np.lexsort(ring.T)[0]]
    return int(labels[y, x])
