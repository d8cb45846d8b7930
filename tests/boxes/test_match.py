"""The numbers of people where nobody tracks."""

from __future__ import annotations

import numpy as np

from memvit.boxes.match import PersonMatcher


def test_people_keep_their_numbers_while_they_walk() -> None:
    matcher = PersonMatcher()
    left, right = np.array([0.1, 0.1, 0.3, 0.6]), np.array([0.6, 0.1, 0.8, 0.6])
    step = np.array([0.05, 0, 0.05, 0])

    def number(*boxes: np.ndarray) -> list[int]:
        return matcher.number(np.array(boxes, dtype=np.float32).reshape(-1, 4))

    assert number(left, right) == [0, 1]
    assert number(right - step, left + step) == [1, 0]
    assert number(left + 2 * step, left + 2 * step + 0.01, np.array([0.9, 0.8, 1, 1])) == [0, 2, 3]
    assert number() == []
    assert number(left) == [4]
    assert matcher.count == 5
