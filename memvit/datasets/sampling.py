"""Which samples a step sees: a function of the seed, the epoch and the step alone, so that a resumed run sees the same.

Randomness of a sample comes from its own seed, never from a global state or from which worker decodes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeededIndex:
    """One sample to make."""

    index: int
    """In the data set."""
    seed: int
    """Of everything random about it."""


def mixed_seed(*parts: int) -> int:
    """One seed from several numbers; near numbers give unrelated seeds."""
    low, high = np.random.SeedSequence(parts).generate_state(2)
    return int(low) << 31 ^ int(high)


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Whole batches only; a data set smaller than one batch is one step."""
    return max(size // batch_size, 1)


def epoch_batches(
    size: int, batch_size: int, *, seed: int, epoch: int, first_step: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[list[SeededIndex]]:
    """The batches of an epoch from `first_step` on: every sample at most once, in an order of this epoch's own.

    With several processes each gets its part of every batch, so the number of processes changes nothing.
    """
    order = np.random.default_rng((seed, epoch)).permutation(size)
    for step in range(first_step, steps_per_epoch(size, batch_size)):
        places = range(step * batch_size, min((step + 1) * batch_size, size))
        mine = places[rank * len(places) // world_size : (rank + 1) * len(places) // world_size]
        yield [SeededIndex(int(order[place]), mixed_seed(seed, epoch, place)) for place in mine]
