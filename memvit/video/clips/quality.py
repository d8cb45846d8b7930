"""Whether there is anything to see: a camera that freezes or goes dark goes on sending frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

PictureQuality = Literal["ok", "frozen", "black"]
STEP = 4
"""Every so many pixels are looked at."""
BLACK = 24
"""Grey levels; limited-range video does not reach 0 where it is noisy."""
SAME = 1
"""Grey levels: what a codec makes of a picture that does not change."""


def quality_of(frames: NDArray[np.uint8]) -> PictureQuality:
    """Of a clip's frames, (T, H, W, 3): black in every pixel, or the same picture T times, or neither."""
    looked_at = frames[:, ::STEP, ::STEP]
    if looked_at.max() < BLACK:
        return "black"
    if len(frames) < 2:
        return "ok"
    differences = np.abs(np.diff(looked_at.astype(np.int16), axis=0))
    return "frozen" if differences.max() <= SAME else "ok"
