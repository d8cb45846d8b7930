"""How well people keep their numbers: IDF1 and identity switches (Ristani et al. 2016, arXiv:1609.01775)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

SAME_BOX_IOU = 0.5
"""A found box is of a person if their intersection over union is at least this."""


@dataclass(frozen=True)
class IdentityScore:
    """What `identity_score` returns."""

    idf1: float
    """0..1: twice the boxes with the right number, over all true and all found boxes; 1.0 if there are none."""
    switches: int
    """How often the number that is found for a person is another than the last one."""


Labelled = tuple[NDArray[np.int64], NDArray[np.floating]]
"""Numbers of people (N,) and their boxes (N, 4) xyxy."""


def identity_score(frames: Iterable[tuple[Labelled, Labelled]]) -> IdentityScore:
    """The score of (true people, found people) of each frame, in order of time.

    A found number is right where it is that of the one true person whom it stands for. Who stands for whom is chosen
    once for all frames, one to one, so that most boxes are right. Found boxes without a number (below 1) do not count.
    """
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    boxes = switches = 0
    for (persons, true_boxes), (numbers, found_boxes) in frames:
        named = numbers > 0
        numbers, found_boxes = numbers[named], found_boxes[named]
        boxes += len(persons) + len(numbers)
        overlap = iou(true_boxes, found_boxes)
        for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
            if overlap[row, column] >= SAME_BOX_IOU:
                person, number = int(persons[row]), int(numbers[column])
                together[person, number] += 1
                switches += last.get(person, number) != number
                last[person] = number
    table = np.zeros((len({person for person, _ in together}), len({number for _, number in together})))
    rows = {person: row for row, person in enumerate(sorted({person for person, _ in together}))}
    columns = {number: column for column, number in enumerate(sorted({number for _, number in together}))}
    for (person, number), count in together.items():
        table[rows[person], columns[number]] = count
    right = table[linear_sum_assignment(table, maximize=True)].sum()
    return IdentityScore(2 * float(right) / boxes if boxes else 1.0, switches)


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) xyxy → (N, M) intersection over union."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (first, second)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
