"""People who walk, as boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from memvit.tracking import Tracker
from memvit.types import PersonBoxes

LOOKS = np.eye(8, dtype=np.float32)
"""Eight people who look entirely different."""


def boxes(*centres: tuple[float, float], height: float = 0.4, score: float = 0.9) -> PersonBoxes:
    """Boxes of standing people at these centres."""
    rows = [(x - height / 8, y - height / 2, x + height / 8, y + height / 2) for x, y in centres]
    return PersonBoxes(np.array(rows, np.float32).reshape(-1, 4), np.full(len(rows), score, np.float32))


def follow(tracker: Tracker, times: Iterable[float], where: Callable[[float], PersonBoxes]) -> list[list[int]]:
    """The numbers at each time."""
    return [tracker.update(seconds, where(seconds)).tolist() for seconds in times]


def crossing(seconds: float) -> PersonBoxes:
    """Two people who walk towards each other, meet after two seconds, and walk on."""
    return boxes((0.2 + 0.15 * seconds, 0.5), (0.8 - 0.15 * seconds, 0.52))


def random_frame(rng: np.random.Generator, count: int) -> PersonBoxes:
    """Boxes anywhere, of any size, with any score."""
    centres, sizes = rng.random((count, 2)), rng.uniform(0.05, 0.5, (count, 2))
    xyxy = np.concatenate((centres - sizes / 2, centres + sizes / 2), axis=1).clip(0, 1)
    return PersonBoxes(xyxy.astype(np.float32), rng.uniform(0.2, 1, count).astype(np.float32))
