"""Whether a clip shows anything: a camera that is frozen or covered continues to send frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

PictureQuality = Literal["ok", "frozen", "black"]
PIXEL_STEP = 4
"""Only every fourth row and column of pixels is looked at."""
BLACK_LEVEL = 24
"""Of 255 grey levels; darker pixels count as black. Noisy limited-range video does not reach 0."""
SAME_LEVELS = 1
"""Grey levels by which a codec may change a picture that stands still."""


def quality_of(frames: NDArray[np.uint8]) -> PictureQuality:
    """The quality of a clip's frames (T, H, W, 3): all black, the same picture T times, or neither ("ok")."""
    sampled = frames[:, ::PIXEL_STEP, ::PIXEL_STEP]
    if sampled.max() < BLACK_LEVEL:
        return "black"
    if len(frames) < 2:
        return "ok"
    differences = np.abs(np.diff(sampled.astype(np.int16), axis=0))
    return "frozen" if differences.max() <= SAME_LEVELS else "ok"
