"""Matches people from clip to clip for pictures: the nearest box of the last clip is taken for the same person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME_PERSON_DISTANCE = 0.5
"""Boxes whose centres are further apart than this are two people. The unit is the mean diagonal of the two boxes."""


def distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4) and (M, 4) xyxy → (N, M) distance of centres, in mean diagonals of the two boxes."""
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (first, second)]
    diagonals = [np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    mean = (diagonals[0][:, None] + diagonals[1][None]) / 2
    return apart / np.maximum(mean, 1e-6)


class PersonMatcher:
    """Numbers people 0, 1, 2, …: a box gets the number of the last clip's nearest box, or a new number.

    This is enough for the colours and rows of pictures. It is no tracker: a person who was away gets a new number.
    """

    def __init__(self) -> None:
        self._boxes: NDArray[np.float32] = np.zeros((0, 4), dtype=np.float32)
        self._numbers: list[int] = []
        self.count = 0
        """Number of people so far."""

    def number(self, boxes: NDArray[np.float32]) -> list[int]:
        """The numbers of a clip's boxes, (N, 4) xyxy. No two boxes of a clip share one."""
        apart = distances(boxes, self._boxes)
        numbers: list[int | None] = [None] * len(boxes)
        for place in np.argsort(apart, axis=None, kind="stable"):
            row, column = np.unravel_index(place, apart.shape)
            if apart[row, column] > SAME_PERSON_DISTANCE:
                break
            if numbers[row] is None and self._numbers[column] not in numbers:
                numbers[row] = self._numbers[column]
        found: list[int] = []
        for number in numbers:
            found.append(self.count if number is None else number)
            self.count += number is None
        self._boxes, self._numbers = boxes, found
        return found
