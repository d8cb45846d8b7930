"""Memories in slots of many streams, in tensors that are allocated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from memvit.models.attention import MemoryKV
from memvit.models.box_rows import PersonRows
from memvit.models.config import MemoryConfig
from memvit.models.memory import ClipSteps, LayerMemory, Memory, MemoryUpdate, MemoryView, RowMemory
from memvit.models.slot_memory import blank_slots, slot_changes
from memvit.models.slots import EMPTY, SlotTokens, filled_slots
from memvit.runtime.memory_pool import FIRST_CAPACITY, StreamPool, check_one_stream
from memvit.runtime.transfer import sent


class SlotPool(StreamPool):
    """The slots of each stream. A step writes the one or two slots that a clip changes on the average."""

    def __init__(self, plan: MemoryConfig, *, capacity: int = FIRST_CAPACITY) -> None:
        super().__init__(plan, capacity=capacity)
        self._people: dict[str, PersonRows] = {}
        """Whose the rows of boxes of each stream are."""

    def view(self, stream_ids: Sequence[str]) -> MemoryView | None:
        """As in `StreamPool`. The slots of a single stream are not copied."""
        ages = [self._ages.get(stream_id, 0) for stream_id in stream_ids]
        if not any(ages):
            return None
        device = self._tensors[0].device
        valid_mask = sent(filled_slots(torch.tensor(ages), self._plan.slots), device)
        rows = [self._rows.get(stream_id, 0) for stream_id in stream_ids]
        index = slice(rows[0], rows[0] + 1) if len(rows) == 1 else sent(torch.tensor(rows), device)
        layers = tuple(
            MemoryKV(slots.contents[0][index], slots.contents[1][index], grid, valid_mask)
            for slots, grid in zip(self._layers(), self._grids, strict=True)
        )
        blocks = self._blocks()
        box_mask = valid_mask[..., None] & (blocks[0].log_weights[index] > EMPTY / 2) if blocks else None
        return MemoryView(layers, tuple(block.contents[0][index] for block in blocks), valid_mask, box_mask)

    def prepare(
        self, stream_ids: Sequence[str], update: MemoryUpdate, persons: Sequence[Sequence[int]] | None = None
    ) -> Callable[[], None]:
        """As in `StreamPool`. Without `persons` no box is remembered."""
        ages = self._ages_of(stream_ids, len((update.boxes or [update.layers[0].keys])[0]))
        self._grids = [layer.grid for layer in update.layers]
        if not self._tensors:
            self._allocate(blank_slots(update, self._plan))
        places, free = self._places(stream_ids)
        people = [self._people.get(stream_id, self._free_rows(update)) for stream_id in stream_ids]
        changes = slot_changes(self._layers(), self._blocks(), update, list(ages.values()), people, persons, places)

        def write() -> None:
            changes.write()
            self._rows |= dict(zip(stream_ids, places, strict=True))
            self._ages |= {stream_id: age + 1 for stream_id, age in ages.items()}
            self._people |= dict(zip(stream_ids, changes.people, strict=True))
            self._free = free

        return write

    def forget(self, stream_id: str) -> None:
        """Free the row of a stream. The next stream in that row never reads its clips."""
        super().forget(stream_id)
        self._people.pop(stream_id, None)

    def memory(self, stream_id: str) -> Memory:
        """A copy of what a stream remembers; KeyError if it is not here."""
        row, age = self._rows[stream_id], self._ages[stream_id]
        device = self._tensors[0].device
        layers = []
        for slots, grid in zip(self._layers(), self._grids, strict=True):
            keys, values, weights = (part[row, None].clone() for part in (*slots.contents, slots.log_weights))
            layers.append(LayerMemory(ClipSteps(keys, values, grid), log_weights=weights))
        blocks, rows = self._blocks(), None
        if blocks:
            weights = torch.stack([block.log_weights[row, None] for block in blocks], dim=2)
            rows = RowMemory((self._people[stream_id],), weights)
        boxes = tuple(block.contents[0][row, None].clone() for block in blocks)
        return Memory(tuple(layers), boxes, torch.tensor([age], device=device), rows)

    def restore(self, stream_id: str, memory: Memory) -> None:
        """Take in a copy of one stream's memory; ValueError if it is of a model in training, or of several streams."""
        check_one_stream(memory)
        if not self._tensors:
            self._grids = [layer.compressed.grid for layer in memory.layers]
            self._allocate(memory)
        (row,), free = self._places([stream_id])
        for target, source in zip(self._tensors, _flat(memory), strict=True):
            target[row] = source[0].to(target.device, target.dtype)
        if memory.rows is not None:
            self._people[stream_id] = memory.rows.people[0]
        self._rows[stream_id], self._ages[stream_id], self._free = row, int(memory.ages[0]), free

    def _allocate(self, memory: Memory) -> None:
        """Make tensors of the shapes of a memory."""
        self._tensors = [part.new_zeros(self._capacity, *part.shape[1:]) for part in _flat(memory)]

    def _free_rows(self, update: MemoryUpdate) -> PersonRows:
        return PersonRows.free(update.boxes[0].shape[1] if update.boxes else 0)

    def _layers(self) -> list[SlotTokens]:
        """The slots of each memory layer."""
        tensors = self._tensors
        return [
            SlotTokens((tensors[3 * place], tensors[3 * place + 1]), tensors[3 * place + 2])
            for place in range(len(self._grids))
        ]

    def _blocks(self) -> list[SlotTokens]:
        """The slots of each box block."""
        tensors = self._tensors[3 * len(self._grids) :]
        return [SlotTokens((tensors[place],), tensors[place + 1]) for place in range(0, len(tensors), 2)]


def _flat(memory: Memory) -> list[Tensor]:
    """All tensors of a memory, in the order of the pool's: (1, …) each."""
    tensors: list[Tensor] = []
    for layer in memory.layers:
        assert layer.log_weights is not None
        tensors += [layer.compressed.keys, layer.compressed.values, layer.log_weights]
    if memory.rows is not None:
        assert memory.rows.log_weights is not None
        for block, boxes in enumerate(memory.boxes):
            tensors += [boxes, memory.rows.log_weights[:, :, block]]
    return tensors
