"""A tracker gives people numbers that stay."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.tracking import Tracker
from memvit.types import PersonBoxes


def boxes(*centres: tuple[float, float], height: float = 0.4, scores: float = 0.9) -> PersonBoxes:
    """Boxes of standing people at these centres."""
    rows = [(x - height * 0.2, y - height / 2, x + height * 0.2, y + height / 2) for x, y in centres]
    return PersonBoxes(np.array(rows, np.float32).reshape(-1, 4), np.full(len(rows), scores, np.float32))


def test_people_keep_their_number_while_they_walk() -> None:
    tracker = Tracker()
    for second in np.arange(0, 4, 0.125):
        x = 0.2 + 0.1 * second
        assert tracker.update(second, boxes((x, 0.5), (0.9 - 0.1 * second, 0.5))).tolist() == [1, 2]


def test_times_must_increase() -> None:
    tracker = Tracker()
    tracker.update(1.0, boxes((0.5, 0.5)))
    with pytest.raises(ValueError, match=r"1\.0 s came after 1\.0 s"):
        tracker.update(1.0, boxes((0.5, 0.5)))


def test_saved_is_the_same_as_uninterrupted() -> None:
    tracker = Tracker()
    for second in np.arange(0, 2, 0.25):
        tracker.update(second, boxes((0.3 + 0.05 * second, 0.5), (0.6, 0.5)))
    other = Tracker.from_state_dict(tracker.state_dict())
    later = boxes((0.6, 0.5), (0.42, 0.5))
    assert tracker.update(2.4, later).tolist() == other.update(2.4, later).tolist() == [2, 1]
    assert {name: np.asarray(value).tobytes() for name, value in tracker.state_dict().items()} == {
        name: np.asarray(value).tobytes() for name, value in other.state_dict().items()
    }
