"""Which samples a training step uses. This depends on seed, epoch and step alone, so a resumed run uses the same.

The randomness of a sample comes from its own seed, never from global state or from the worker that decodes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeededIndex:
    """A sample of a data set, with the seed of its augmentation."""

    index: int
    """Index in the data set."""
    seed: int
    """Seed of all random choices for this sample."""


def mixed_seed(*parts: int) -> int:
    """One seed made from several numbers. Similar numbers give unrelated seeds."""
    low, high = np.random.SeedSequence(parts).generate_state(2)
    return int(low) << 31 ^ int(high)


def steps_per_epoch(size: int, batch_size: int) -> int:
    """The number of whole batches; a data set smaller than one batch has one step."""
    return max(size // batch_size, 1)


def epoch_batches(
    size: int, batch_size: int, *, seed: int, epoch: int, first_step: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[list[SeededIndex]]:
    """The batches of an epoch from `first_step` on. Each sample occurs at most once, in an order that differs by epoch.

    Each of several processes gets its part of every batch, so the batches do not depend on the number of processes.
    """
    order = np.random.default_rng((seed, epoch)).permutation(size)
    for step in range(first_step, steps_per_epoch(size, batch_size)):
        places = range(step * batch_size, min((step + 1) * batch_size, size))
        mine = places[rank * len(places) // world_size : (rank + 1) * len(places) // world_size]
        yield [SeededIndex(int(order[place]), mixed_seed(seed, epoch, place)) for place in mine]
