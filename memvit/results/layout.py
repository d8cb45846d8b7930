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


def places(boxes: Rectangles, sizes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 10, 4): the places of the label of each box, the best first, all inside the picture.

    `sizes` are the labels' widths and heights, (N, 2); `size` is the picture's (width, height).
    """
    x1, y1, x2, y2 = boxes.T
    width, height = sizes.T
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
    ).transpose(2, 0, 1)
    limit = (np.array(size) - sizes).clip(min=0)
    corners = np.minimum(corners.clip(min=0), limit[:, None])
    return np.concatenate((corners, corners + sizes[:, None]), axis=2)


def place_labels(
    boxes: Rectangles,
    sizes: Sequence[tuple[int, int]],
    size: tuple[int, int],
    before: Sequence[int | None] | None = None,
) -> list[tuple[int, float, float]]:
    """(place, x, y) of the labels of the first boxes of (N, 4), whose widths and heights are `sizes`.

    `place` is a number in the order of `places`. `before` are the places of the last frame, which are kept as long as
    they are not much worse than another one, so that text does not jump from side to side.
    """
    if not sizes:
        return []
    label_sizes = np.array(sizes, dtype=np.float64)
    options = places(boxes[: len(sizes)], label_sizes, size)
    flat, areas = options.reshape(-1, 4), label_sizes.prod(axis=1).clip(min=1)
    on_heads = overlap_areas(flat, heads(boxes)).sum(axis=1).reshape(options.shape[:2])
    on_bodies = overlap_areas(flat, boxes).reshape(*options.shape[:2], len(boxes))
    own = np.arange(len(sizes))
    on_bodies[own, :, own] = 0
    cost = (COVERED_HEAD * on_heads + COVERED_BODY * on_bodies.sum(axis=2)) / areas[:, None]
    cost += np.linspace(0.0, 1.0, options.shape[1])
    for person, last in enumerate(before or ()):
        if last is not None:
            cost[person, np.arange(options.shape[1]) != last] += MOVED
    taken = np.zeros((len(sizes), 4))
    found = []
    for person in range(len(sizes)):
        on_labels = overlap_areas(options[person], taken[:person]).sum(axis=1)
        best = int((cost[person] + COVERED_LABEL * on_labels / areas[person]).argmin())
        taken[person] = options[person, best]
        found.append((best, float(taken[person, 0]), float(taken[person, 1])))
    return found
