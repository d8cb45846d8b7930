"""The processes of a training run, as a value: one by default, several over torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class World:
    """How many processes train together, and which one this is."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def current() -> World:
        """As torch.distributed says, or this process alone."""
        if dist.is_available() and dist.is_initialized():
            return World(dist.get_rank(), dist.get_world_size())
        return World()

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, total: int) -> int:
        """This process's part of a batch; ValueError if it cannot be divided."""
        if total % self.size:
            raise ValueError(f"a batch of {total} cannot be shared out evenly over {self.size} processes")
        return total // self.size

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def sum_floats(self, *values: float) -> list[float]:
        """Sums over all processes, in double precision."""
        total: list[float] = self.sum(torch.tensor(values, dtype=torch.float64)).tolist()
        return total

    def barrier(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            dist.barrier()
