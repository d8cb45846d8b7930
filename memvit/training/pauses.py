"""Pauses: streams in training that grow old at once, so that memory in slots learns to outlast minutes.

Training videos are short, so what one shows need not outweigh many other clips of a slot. In a pause the stream
remembers its newest clips again and again, as if the scene had gone on without anything new. Nothing is computed for
these clips, so a pause of minutes costs no more than a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memvit.models import Memory
from memvit.models.box_rows import PersonRows

MOST_REPEATED = 4
"""A pause repeats at most so many of the newest clips."""


@dataclass(frozen=True)
class Pause:
    """A pause before a clip of a stream."""

    clips: int = 0
    """How many clips it lasts."""
    repeated: int = 1
    """How many clips are repeated, in turns, until it is over: those before the newest one."""


def with_pauses(memory: Memory, pauses: Sequence[Pause]) -> Memory:
    """The memory of B streams in training, in slots, after their pauses; streams without a pause stay as they are.

    A stream must have seen at least one clip more than its pause repeats.
    """
    lanes = [lane for lane, pause in enumerate(pauses) if pause.clips]
    if not lanes:
        return memory
    assert memory.rows is not None and memory.rows.of_boxes is not None
    steps = memory.rows.of_boxes.shape[1] - 1  # the newest clip is apart, and stays the newest
    order = {lane: _order(steps, pauses[lane]) for lane in lanes}

    def older(tensor: Tensor) -> Tensor:
        """(B, S − 1, …) or (B, S, …) of clips, in their new order."""
        changed = tensor.clone()
        for lane, places in order.items():
            changed[lane, :steps] = tensor[lane, places]
        return changed

    layers = []
    for layer in memory.layers:
        keys, values = older(layer.compressed.keys), older(layer.compressed.values)
        layers.append(replace(layer, compressed=replace(layer.compressed, keys=keys, values=values)))
    more = torch.tensor([pause.clips for pause in pauses], device=memory.ages.device)
    people = tuple(_later(rows, pause.clips) for rows, pause in zip(memory.rows.people, pauses, strict=True))
    rows = replace(memory.rows, people=people, of_boxes=older(memory.rows.of_boxes))
    return Memory(tuple(layers), tuple(older(boxes) for boxes in memory.boxes), memory.ages + more, rows)


def _order(steps: int, pause: Pause) -> list[int]:
    """Which of the clips before the newest one, oldest first, are remembered after a pause."""
    again = [steps - pause.repeated + number % pause.repeated for number in range(pause.clips)]
    return [*range(steps), *again][-steps:]


def _later(rows: PersonRows, clips: int) -> PersonRows:
    """The rows of people where the newest clip comes so many clips later; earlier ones keep their numbers."""

    def moved(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number + clips if number == rows.clips else number for number in numbers)

    return PersonRows(rows.persons, moved(rows.seen), moved(rows.since), rows.clips + clips)
