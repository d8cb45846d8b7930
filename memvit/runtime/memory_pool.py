"""Memories of many streams in tensors that are allocated once. Each stream has a row.

`Memory` is a value that a call takes and returns. A pool is for streams without end: a step writes what has changed,
however long the memory is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from memvit.models.attention import MemoryKV
from memvit.models.config import Grid, MemoryConfig
from memvit.models.memory import ClipSteps, LayerMemory, Memory, MemoryUpdate, MemoryView
from memvit.runtime.transfer import sent

FIRST_CAPACITY = 8


class StreamPool(ABC):
    """The memories of streams whose clips have one size. Each stream has a row, from its first clip to `forget`."""

    def __init__(self, plan: MemoryConfig, *, capacity: int = FIRST_CAPACITY) -> None:
        """`capacity` streams fit without growing; a pool that is full doubles."""
        self._plan, self._capacity = plan, capacity
        self._rows: dict[str, int] = {}
        self._ages: dict[str, int] = {}
        self._free = list(range(capacity))
        self._tensors: list[Tensor] = []
        """(capacity, …) each; empty until the first clip says which shapes they have."""
        self._grids: list[Grid] = []

    def __contains__(self, stream_id: str) -> bool:
        return stream_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """How many bytes are allocated."""
        return sum(tensor.nbytes for tensor in self._tensors)

    @abstractmethod
    def view(self, stream_ids: Sequence[str]) -> MemoryView | None:
        """What these streams read now; None while none of them has seen a clip."""

    @abstractmethod
    def prepare(
        self, stream_ids: Sequence[str], update: MemoryUpdate, persons: Sequence[Sequence[int]] | None = None
    ) -> Callable[[], None]:
        """As `write`, in two parts: this call allocates what is needed and may fail, the returned one writes.

        The pool must not change in between. A call that fails, or whose write is never made, leaves no trace.
        ValueError if the update is of another number of clips.
        """

    @abstractmethod
    def memory(self, stream_id: str) -> Memory:
        """A copy of what a stream remembers; KeyError if it is not here."""

    @abstractmethod
    def restore(self, stream_id: str, memory: Memory) -> None:
        """Take in a copy of one stream's memory; ValueError if it is of a model in training, or of several streams."""

    def write(
        self, stream_ids: Sequence[str], update: MemoryUpdate, persons: Sequence[Sequence[int]] | None = None
    ) -> None:
        """Write one clip of each of these streams; new ones get a row. `persons` are the numbers of the people in the
        boxes, for memory in slots.
        """
        self.prepare(stream_ids, update, persons)()

    def forget(self, stream_id: str) -> None:
        """Free the row of a stream. The next stream in that row never reads its clips."""
        row = self._rows.pop(stream_id, None)
        self._ages.pop(stream_id, None)
        if row is not None:
            self._free.append(row)

    def _ages_of(self, stream_ids: Sequence[str], clips: int) -> dict[str, int]:
        """Clips that each of these streams has seen; ValueError if an update of so many clips is not theirs."""
        if clips != len(stream_ids):
            raise ValueError(f"an update of {clips} clips is not one of {len(stream_ids)} streams")
        return {stream_id: self._ages.get(stream_id, 0) for stream_id in stream_ids}

    def _places(self, stream_ids: Sequence[str]) -> tuple[list[int], list[int]]:
        """Rows of these streams, those of new ones not given yet; and the rows that are free once they are."""
        while len(self._free) < sum(stream_id not in self._rows for stream_id in stream_ids):
            self._grow()
        free = list(self._free)
        places = [self._rows[stream_id] if stream_id in self._rows else free.pop() for stream_id in stream_ids]
        return places, free

    def _grow(self) -> None:
        self._tensors = [torch.cat((tensor, torch.zeros_like(tensor))) for tensor in self._tensors]
        self._free += range(self._capacity, 2 * self._capacity)
        self._capacity *= 2


def check_one_stream(memory: Memory) -> None:
    """ValueError if a pool cannot take in this memory."""
    if memory.batch_size != 1 or any(layer.raw is not None for layer in memory.layers):
        raise ValueError("a pool takes the memory of one stream, of a model that is not in training")


class MemoryPool(StreamPool):
    """A ring of the last clips of each stream. A step copies the clips that are read, since attention needs them side
    by side, and writes one.
    """

    def view(self, stream_ids: Sequence[str]) -> MemoryView | None:
        """What these streams read now; None while none of them has seen a clip."""
        ages = [self._ages.get(stream_id, 0) for stream_id in stream_ids]
        if not any(ages):
            return None
        reads = tuple(reversed(self._plan.reads))
        device = self._tensors[0].device
        table = [
            [
                [self._rows.get(stream_id, 0) for _ in reads],
                [(age - read) % self._plan.steps for read in reads],
                [age >= read for read in reads],
            ]
            for stream_id, age in zip(stream_ids, ages, strict=True)
        ]
        rows, slots, valid = sent(torch.tensor(table), device).unbind(1)
        valid_mask = valid.bool()
        read = [ring[rows, slots] for ring in self._tensors]
        layers = tuple(
            MemoryKV(read[2 * place], read[2 * place + 1], grid, valid_mask) for place, grid in enumerate(self._grids)
        )
        return MemoryView(layers, tuple(read[2 * len(self._grids) :]), valid_mask)

    def prepare(
        self, stream_ids: Sequence[str], update: MemoryUpdate, persons: Sequence[Sequence[int]] | None = None
    ) -> Callable[[], None]:
        """As in `StreamPool`. This kind of memory does not need to know who the people are."""
        parts = [part for layer in update.layers for part in (layer.keys, layer.values)] + list(update.boxes)
        ages = self._ages_of(stream_ids, len(parts[0]))
        self._grids = [layer.grid for layer in update.layers]
        if not self._tensors:
            self._tensors = [part.new_zeros(self._capacity, self._plan.steps, *part.shape[1:]) for part in parts]
        device = self._tensors[0].device
        places, free = self._places(stream_ids)
        table = torch.tensor([places, [age % self._plan.steps for age in ages.values()]])
        rows, slots = sent(table, device).unbind(0)
        values = [part.to(ring.dtype) for ring, part in zip(self._tensors, parts, strict=True)]

        def write() -> None:
            for ring, value in zip(self._tensors, values, strict=True):
                ring[rows, slots] = value
            self._rows |= dict(zip(stream_ids, places, strict=True))
            self._ages |= {stream_id: age + 1 for stream_id, age in ages.items()}
            self._free = free

        return write

    def memory(self, stream_id: str) -> Memory:
        """A copy of what a stream remembers; KeyError if it is not here."""
        row, age = self._rows[stream_id], self._ages[stream_id]
        order = [(age + step) % self._plan.steps for step in range(self._plan.steps)]
        values = [ring[row, order][None] for ring in self._tensors]
        for value in values:
            value[:, : max(0, self._plan.steps - age)] = 0  # clips of the stream that had the row before
        layers = tuple(
            LayerMemory(ClipSteps(values[2 * place], values[2 * place + 1], grid))
            for place, grid in enumerate(self._grids)
        )
        ages = torch.tensor([age], device=self._tensors[0].device)
        return Memory(layers, tuple(values[2 * len(self._grids) :]), ages)

    def restore(self, stream_id: str, memory: Memory) -> None:
        """Take in a copy of one stream's memory; ValueError if it is of a model in training, or of several streams."""
        check_one_stream(memory)
        steps = [part for layer in memory.layers for part in (layer.compressed.keys, layer.compressed.values)]
        parts = [part[0] for part in (*steps, *memory.boxes)]
        if not self._tensors:
            self._grids = [layer.compressed.grid for layer in memory.layers]
            self._tensors = [part.new_zeros(self._capacity, *part.shape) for part in parts]
        (row,), free = self._places([stream_id])
        age = int(memory.ages[0])
        order = [(age + step) % self._plan.steps for step in range(self._plan.steps)]
        for ring, part in zip(self._tensors, parts, strict=True):
            ring[row, order] = part.to(ring.device, ring.dtype)
        self._rows[stream_id], self._ages[stream_id], self._free = row, age, free
