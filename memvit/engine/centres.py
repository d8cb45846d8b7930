"""The times of the past clips that a stream's memory holds, in as little space as the memory itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memvit.models import MemoryConfig
from memvit.models.slots import filled_slots, slot_counts


def centres_after(
    plan: MemoryConfig, reach_clips: int | None, centres_seconds: Sequence[float], age: int, centre_seconds: float
) -> tuple[float, ...]:
    """The centres to keep of a stream that had seen `age` clips, after one more clip at `centre_seconds`.

    For memory that reads clips: those of the last `reach_clips`, newest last. For memory in slots: that of the first
    clip of the stream, then that of the newest clip in each filled slot, the newest last.
    """
    if plan.kind == "reads":
        assert reach_clips is not None
        return (*centres_seconds, centre_seconds)[-reach_clips:] if reach_clips else ()
    first, *filled = centres_seconds or (centre_seconds,)
    places = _filled(age, plan.slots)
    slots: dict[int, float] = dict(zip(places, filled, strict=True))
    (counts,) = slot_counts(torch.tensor([age]), plan.slots).tolist()
    arriving = centre_seconds
    for level, count in enumerate(counts):
        newer = plan.slots - 1 - 2 * level
        if count == 0:
            slots[newer] = arriving
            break
        merged = slots[newer]
        slots[newer], arriving = arriving, merged
        if count == 1 or level == len(counts) - 1:
            slots[newer - 1] = merged
            break
    return (first, *(slots[place] for place in _filled(age + 1, plan.slots)))


def read_centres(plan: MemoryConfig, centres_seconds: Sequence[float]) -> tuple[float, ...]:
    """The centres of the clips that are read, newest first; of slots that of the newest clip in each."""
    if plan.kind == "slots":
        return tuple(reversed(centres_seconds[1:]))
    return tuple(centres_seconds[-read] for read in plan.reads if read <= len(centres_seconds))


def _filled(age: int, slots: int) -> list[int]:
    """The numbers of the slots that hold clips, oldest first."""
    (filled,) = filled_slots(torch.tensor([age]), slots).tolist()
    return [place for place, is_filled in enumerate(filled) if is_filled]
