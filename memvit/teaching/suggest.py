"""Which moments are worth labelling next: those of which a head is least sure, and which differ from each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CANDIDATES = 10
"""For each moment that is wanted, so many uncertain ones are compared."""


def spread(vectors: NDArray[np.floating[Any]], count: int) -> list[int]:
    """Choose rows of (N, C) vectors that are far from each other; the first row is taken, and then, again and again,
    the one that is least like any that was taken.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, 1e-30)
    chosen: list[int] = []
    nearest = np.full(len(vectors), -np.inf)
    for _ in range(min(count, len(vectors))):
        row = int(np.argmin(nearest)) if chosen else 0
        chosen.append(row)
        nearest = np.maximum(nearest, directions @ directions[row])
        nearest[row] = np.inf
    return chosen
