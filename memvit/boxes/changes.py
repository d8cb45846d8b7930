"""Which frames show something new: where nothing moves, a detector need not look again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memvit.types import Image

BLOCK = 8
"""Side in pixels of the squares whose means are compared: noise of single pixels does not count."""
SAME_LEVELS = 2.5
"""By how many of 255 levels the mean of every square may change, for a picture to be the same."""


def sources_of_boxes(images: Sequence[Image], keyframe: int) -> list[int]:
    """For each of consecutive images, the place of the image whose people are also its own: its own, if it is new.

    The keyframe's are its own. Before and after it, an image is compared with the last new one on the way there.
    """
    means = [_means(image) for image in images]
    sources = list(range(len(images)))
    for places in (range(keyframe + 1, len(images)), range(keyframe - 1, -1, -1)):
        known = keyframe
        for place in places:
            if _is_same(means[place], means[known]):
                sources[place] = known
            else:
                known = place
    return sources


def _means(image: Image) -> NDArray[np.float32]:
    """(squares,) means of squares side by side, and of those that end at the right and at the lower edge."""
    height, width, _ = image.shape
    if min(height, width) < BLOCK:
        return image.ravel().astype(np.float32)
    high, wide = height // BLOCK * BLOCK, width // BLOCK * BLOCK
    parts = [image[:high, :wide], image[-BLOCK:, :wide], image[:high, -BLOCK:]]
    return np.concatenate([_sums(part).ravel() for part in parts]).astype(np.float32) / np.float32(3 * BLOCK**2)


def _sums(image: Image) -> NDArray[np.uint16]:
    """The sums of the squares of an image whose sides are multiples of BLOCK: at most 8 × 8 × 3 × 255, which fits."""
    height, width, _ = image.shape
    of_rows = image.reshape(height // BLOCK, BLOCK, width * 3).sum(axis=1, dtype=np.uint16)
    return of_rows.reshape(height // BLOCK, width // BLOCK, BLOCK * 3).sum(axis=2, dtype=np.uint16)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and float(np.abs(one - other).max()) <= SAME_LEVELS
