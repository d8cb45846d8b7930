"""The pool for each kind of memory."""

from __future__ import annotations

from memvit.models.config import MemoryConfig

from .memory_pool import FIRST_CAPACITY, MemoryPool, StreamPool
from .slot_pool import SlotPool


def memory_pool(plan: MemoryConfig, *, capacity: int = FIRST_CAPACITY) -> StreamPool:
    """A pool for the memories of streams whose clips have one size; `capacity` streams fit without growing."""
    return SlotPool(plan, capacity=capacity) if plan.kind == "slots" else MemoryPool(plan, capacity=capacity)
