"""How good a head is on examples that it did not learn from: folds, precision and recall, the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
"""At most so many parts are held out one after the other."""
By: TypeAlias = Literal["video", "time"]


@dataclass(frozen=True, eq=False)
class Validation:
    """Precision and recall of a head on examples that were held out."""

    by: By
    """What was held out: whole videos, or parts of the time where the action is in one video only."""
    average_precision: float
    precision: float
    """At the threshold."""
    recall: float
    """At the threshold."""
    threshold_logit: float
    """The threshold: where the harmonic mean of precision and recall (F1) is highest."""
    logits: NDArray[np.float64]
    """(K,) each different logit, highest first: the points of the curve."""
    precisions: NDArray[np.float64]
    """(K,) precision if everything from this logit on counts."""
    recalls: NDArray[np.float64]
    """(K,) recall if everything from this logit on counts."""


def folds_of(
    is_action: NDArray[np.bool_], groups: NDArray[Any], times: NDArray[Any]
) -> tuple[NDArray[np.int64] | None, By]:
    """Return the fold of each example, so that every fold leaves examples of both classes; None if there is no way.

    Whole groups are held out where both classes have examples in several groups, otherwise parts of the time.
    """
    names, numbers = np.unique(groups, return_inverse=True)
    with_action, without = np.bincount(numbers, is_action), np.bincount(numbers, ~is_action)
    if (with_action > 0).sum() >= 2 and (without > 0).sum() >= 2:
        of_group = np.zeros(len(names), dtype=np.int64)
        count = min(FOLDS, int((with_action > 0).sum()), int((without > 0).sum()))
        sums = np.zeros((count, 2))
        for group in np.lexsort((-without, -with_action)):
            place = int(np.lexsort((sums[:, 1], sums[:, 0]))[0])
            of_group[group] = place
            sums[place] += with_action[group], without[group]
        folds = of_group[numbers]
        if all(_has_both(is_action[folds != fold]) for fold in range(count)):
            return folds, "video"
    if min(is_action.sum(), (~is_action).sum()) < 2:
        return None, "time"
    folds = np.zeros(len(is_action), dtype=np.int64)
    for answer in (True, False):
        rows = np.flatnonzero(is_action == answer)
        rows = rows[np.lexsort((times[rows], numbers[rows]))]
        folds[rows] = np.arange(len(rows)) * min(FOLDS, len(rows)) // len(rows)
    return folds, "time"


def _has_both(is_action: NDArray[np.bool_]) -> bool:
    return bool(is_action.any() and not is_action.all())


def validate(logits: NDArray[np.float64], is_action: NDArray[np.bool_], by: By) -> Validation:
    """Return precision and recall of (N,) logits against the answers."""
    points, precisions, recalls = precision_recall(logits, is_action)
    f1 = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    best = int(np.argmax(f1))
    # Half way to the next example, so that the threshold is on neither of them.
    threshold = (points[best] + points[best + 1]) / 2 if best + 1 < len(points) else points[best] - 1e-6
    steps = np.diff(recalls, prepend=0.0)
    average = float((precisions * steps).sum())
    found = float(precisions[best]), float(recalls[best])
    return Validation(by, average, *found, float(threshold), points, precisions, recalls)


def precision_recall(
    scores: NDArray[np.float64], is_action: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the different scores, highest first, and precision and recall if all from there on count."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(is_action[order])
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    return scores[last], hits[last] / (last + 1), hits[last] / hits[-1]


def average_precision(scores: NDArray[np.floating[Any]], is_action: NDArray[np.bool_]) -> float:
    """The area under the curve of precision over recall; equal scores are one point."""
    _, precisions, recalls = precision_recall(scores.astype(np.float64), is_action)
    return float((precisions * np.diff(recalls, prepend=0.0)).sum())
