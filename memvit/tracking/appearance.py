"""What people look like: a small vector from the pixels of each box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memvit.types import Image

SIZE = 24
"""Numbers of a vector."""


def describe(image: Image, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 and (N, 4) normalised boxes → (N, `SIZE`) float32 of length 1, zeros for a box without pixels."""
    height, width = image.shape[:2]
    found = np.zeros((len(xyxy), SIZE), dtype=np.float32)
    pixels = np.rint(xyxy * np.array([width, height, width, height])).clip(0, [width, height, width, height])
    for row, (x1, y1, x2, y2) in enumerate(pixels.astype(int)):
        patch = image[y1:y2, x1:x2]
        if patch.size:
            counts = np.stack([np.bincount(patch[..., channel].ravel() // 32, minlength=8) for channel in range(3)])
            root = np.sqrt(counts / counts.sum())
            found[row] = root.ravel()
    return found
