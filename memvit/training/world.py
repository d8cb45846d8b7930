"""The processes of a training run: one by default, or several over torch.distributed.

The default process group belongs to DistributedDataParallel, which sends gradients over it on the device that it needs.
Everything else that processes exchange is small and goes through gloo groups as CPU values, whatever the default
backend is. NCCL takes no CPU tensor, and a CUDA tensor that is pickled for another process names a device that
process may not use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed as dist

from memvit.types import MemvitError

Value = TypeVar("Value")
STEP_TIMEOUT = timedelta(minutes=30)
"""How long processes wait for each other within a step. A step that takes longer is taken to hang."""
PATIENT_TIMEOUT = timedelta(hours=48)
"""How long processes wait for the slowest share of an evaluation, and for a checkpoint. The others notice at once if a
process dies, because its connection closes."""


@dataclass(frozen=True)
class World:
    """How many processes train together, and which of them this is."""

    rank: int = 0
    size: int = 1
    step_group: Any = None
    """A gloo group for what is exchanged in every step."""
    patient_group: Any = None
    """A gloo group for exchanges that may wait for hours."""

    @staticmethod
    def join() -> World:
        """The world of torch.distributed, or of this process alone. Every process must call this exactly once."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return World()
        step_group = dist.new_group(backend="gloo", timeout=STEP_TIMEOUT)
        patient_group = dist.new_group(backend="gloo", timeout=PATIENT_TIMEOUT)
        return World(dist.get_rank(), dist.get_world_size(), step_group, patient_group)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this process if `run.device` is `chosen`.

        Each of several processes gets a GPU of its own, by its number on its machine. MemvitError if there are too few
        GPUs.
        """
        if self.size == 1 or chosen.type != "cuda":
            return chosen
        if chosen != torch.device("cuda"):
            raise MemvitError(
                f"run.device={chosen} names one GPU, but {self.size} processes train; use run.device=cuda, and every "
                "process takes one"
            )
        local_rank, count = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if count == 1:  # the launcher has made only this process's own GPU visible
            return torch.device("cuda", 0)
        if local_rank >= count:
            raise MemvitError(
                f"process {local_rank} of this machine finds {count} GPUs, and every process needs one; start fewer"
            )
        return torch.device("cuda", local_rank)

    def shard(self, total: int) -> range:
        """This process's places in a batch of `total`. MemvitError if there are fewer places than processes."""
        if total < self.size:
            raise MemvitError(f"a batch of {total} cannot be shared out over {self.size} processes; use fewer of them")
        return range(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def sum_floats(self, *values: float) -> list[float]:
        """Sums over all processes, in double precision."""
        total = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(total, group=self.step_group)
        return [float(value) for value in total]

    def gather(self, value: Value) -> list[Value] | None:
        """The values of all processes, by rank, in the first process; None in the others. Values must be on the CPU."""
        if self.size == 1:
            return [value]
        gathered: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(value, gathered, dst=0, group=self.patient_group)
        return gathered

    def broadcast(self, value: Value | None) -> Value:
        """The value that the first process passes, in every process. Values must be on the CPU."""
        values: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0, group=self.patient_group)
        received: Value = values[0]
        return received

    def barrier(self) -> None:
        """Wait for the other processes, for as long as a checkpoint or an evaluation takes."""
        if self.size > 1:
            dist.barrier(group=self.patient_group)
