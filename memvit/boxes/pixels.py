"""Converts normalised boxes to pixels of a model's input, as the AVA reference does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def boxes_in_pixels(
    xyxy: NDArray[np.float32], input_size: tuple[int, int], source_size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """(N, 4) normalised to 0..1 → (N, 4) in pixels of the input; sizes are (width, height).

    `source_size` is that of the frames before their shorter side was resized; by default they were not resized. As in
    the reference, boxes are clipped to the last pixel of the source (width − 1, height − 1), both axes are scaled by
    the ratio of the longer sides, which rounding down makes a little smaller than that of the shorter sides, and boxes
    are clipped to the last pixel of the input.
    """
    source = np.array(source_size or input_size, dtype=np.float64)
    target = np.array(input_size, dtype=np.float64)
    longer = 1 if source[0] < source[1] else 0
    in_source = np.clip(xyxy * np.tile(source, 2), 0, np.tile(source - 1, 2))
    in_input = np.clip(in_source * (target[longer] / source[longer]), 0, np.tile(target - 1, 2))
    return in_input.astype(np.float32)
