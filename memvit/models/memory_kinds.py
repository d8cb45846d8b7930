"""The two kinds of memory behind one pair of functions: what is read of a memory, and what it is after a step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .boxes import BoxBatch
from .clip_memory import updated, view_of
from .config import MemoryConfig
from .memory import Memory, MemoryUpdate, MemoryView
from .slot_memory import persons_of, slot_view, slots_after


def memory_view(memory: Memory, config: MemoryConfig) -> MemoryView:
    """What streams read now of a memory of a model that is not in training; ValueError if it is of one that is."""
    return slot_view(memory, config) if config.kind == "slots" else view_of(memory, config)


def memory_after(
    memory: Memory | None,
    update: MemoryUpdate,
    config: MemoryConfig,
    boxes: Sequence[Tensor] | BoxBatch | None,
    persons: Sequence[Tensor | Sequence[int] | None] | None,
) -> Memory:
    """The memory after a step that returned `update`; `memory` is None at the start of the streams.

    `boxes` and `persons` are as in `MeMViT.forward`. ValueError if memory in slots needs them and they do not fit.
    """
    if config.kind == "reads":
        return updated(memory, update, config)
    return slots_after(memory, update, config, None if boxes is None else persons_of(boxes, persons))
