"""What the similarity of two vectors of appearance says: learned from each stream while it runs.

Two boxes of one frame are two people, and a box that was found where its person was expected is the same person. From
these a stream learns how similar boxes of the same person and of different people are, for any vectors and any light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_VALUES = (0.94, 0.75, 0.005)
"""Similarity of the same person and of different people and its variance, as long as nothing has been learned."""
FIRST_WEIGHT = 20.0
"""How many pairs the first values count for."""
MOST_WEIGHT = 2000.0
"""How many pairs are remembered: older ones count less and less."""
LEAST_SPREAD = 0.04
"""Standard deviation of similarities is at least this: people turn, and walk into the shade."""


@dataclass(frozen=True)
class Similarities:
    """What is known of the similarities in a stream."""

    values: tuple[float, float, float] = FIRST_VALUES
    """Mean of the same person, mean of different people, variance within both."""
    weight: float = FIRST_WEIGHT
    """How many pairs this rests on."""

    def log_odds(self, similarity: Floats, limit: float) -> Floats:
        """Log odds that boxes of these similarities show the same person, between −limit and limit."""
        same, different, variance = self.values
        slope = max(same - different, 0.0) / max(variance, LEAST_SPREAD**2)
        return (slope * (similarity - (same + different) / 2)).clip(-limit, limit)

    def learn(self, same: Floats, different: Floats) -> Similarities:
        """With more similarities: those of boxes that belong together, and those of boxes of different people."""
        if not len(same) or not len(different):
            return self
        count = float(len(same))
        share = count / (self.weight + count)
        was_same, was_different, variance = self.values
        deviations = (np.mean((same - was_same) ** 2) + np.mean((different - was_different) ** 2)) / 2
        values = (
            was_same + share * (float(same.mean()) - was_same),
            was_different + share * (float(different.mean()) - was_different),
            variance + share * (float(deviations) - variance),
        )
        return Similarities(values, min(self.weight + count, MOST_WEIGHT))


def cover(xyxy: Floats, others: Floats) -> Floats:
    """(N, 4) and (M, 4) → (N, M) the part of each box that each other one hides, 0 to 1.

    Of two people the one whose feet are lower in the picture is nearer, and hides the other.
    """
    low = np.maximum(xyxy[:, None, :2], others[None, :, :2])
    high = np.minimum(xyxy[:, None, 2:], others[None, :, 2:])
    nearer = others[None, :, 3] > xyxy[:, None, 3]
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    return (high - low).clip(0).prod(axis=2) * nearer / np.maximum(area, 1e-12)[:, None]
