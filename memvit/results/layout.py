"""Where the text of people stands in a picture: beside faces, never on them if there is another place.

Rectangles are (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HEAD = 1 / 3
"""The upper part of a person's box in which the face is."""
COVERED_HEAD, COVERED_LABEL, COVERED_BODY, MOVED = 100.0, 60.0, 3.0, 4.0
"""The price of a label that covers a head, another label or somebody else's body, for its whole area; and the price of
moving a label to another side of its box. A place costs its order in `places`, at most 1, besides."""
Rectangles = NDArray[np.float64]
"""(N, 4)"""


def heads(boxes: Rectangles) -> Rectangles:
    """The part of each box in which the face is."""
    found = boxes.copy()
    found[:, 3] = boxes[:, 1] + HEAD * (boxes[:, 3] - boxes[:, 1])
    return found


def overlap_areas(rectangle: Rectangles, others: Rectangles) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) → (N, M): the area in pixels that two rectangles share."""
    low = np.maximum(rectangle[:, None, :2], others[None, :, :2])
    high = np.minimum(rectangle[:, None, 2:], others[None, :, 2:])
    area: NDArray[np.float64] = (high - low).clip(min=0).prod(axis=2)
    return area


def places(box: NDArray[np.float64], width: float, height: float, size: tuple[int, int]) -> Rectangles:
    """The places of a label of this size, the best first, all inside the picture of `size` (width, height)."""
    x1, y1, x2, y2 = box
    neck = y1 + HEAD * (y2 - y1)
    corners = np.array(
        [
            (x1, y1 - height),  # above the box
            (x1, y2),  # below it
            (x2, y1),  # right of it
            (x1 - width, y1),  # left of it
            (x1, y2 - height),  # inside, at its foot
            (x2, y2 - height),  # right of its foot
            (x1 - width, y2 - height),  # left of its foot
            (x1, neck),  # inside, below the head
            (x2 - width, y1 - height),  # above, at the right edge
            (x2 - width, y2),  # below, at the right edge
        ]
    )
    limit = np.array([max(size[0] - width, 0.0), max(size[1] - height, 0.0)])
    corners = corners.clip(0, limit)
    return np.concatenate((corners, corners + np.array([width, height])), axis=1)


def place_labels(
    boxes: Rectangles,
    sizes: Sequence[tuple[int, int]],
    size: tuple[int, int],
    before: Sequence[int | None] | None = None,
) -> list[tuple[int, float, float]]:
    """(place, x, y) of the label of each box, (N, 4); `sizes` are the labels' widths and heights.

    `place` is a number in the order of `places`. `before` are the places of the last frame, which are kept as long as
    they are not much worse than another one, so that text does not jump from side to side.
    """
    head_areas = heads(boxes)
    taken = np.zeros((0, 4))
    found = []
    for person, (width, height) in enumerate(sizes):
        options = places(boxes[person], width, height, size)
        area = max(width * height, 1)
        others = np.delete(boxes, person, axis=0)
        cost = np.linspace(0.0, 1.0, len(options))
        cost += COVERED_HEAD * overlap_areas(options, head_areas).sum(axis=1) / area
        cost += COVERED_LABEL * overlap_areas(options, taken).sum(axis=1) / area
        cost += COVERED_BODY * overlap_areas(options, others).sum(axis=1) / area
        last = before[person] if before is not None else None
        if last is not None:
            cost[np.arange(len(options)) != last] += MOVED
        best = int(cost.argmin())
        taken = np.concatenate((taken, options[best : best + 1]))
        found.append((best, float(options[best][0]), float(options[best][1])))
    return found
