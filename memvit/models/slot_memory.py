"""Memory in slots as a value: what streams read of it, and what it is after one more clip.

A model in training keeps the last clips themselves, and pools them in the graph of the step that reads them. So the
scores learn, though no gradient flows from clip to clip. At inference clips are merged as they come, which is the same
function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .attention import MemoryKV
from .box_rows import NOBODY, ClipBoxes, PersonRows, clip_rows, memory_numbers, owners
from .boxes import BoxBatch
from .config import MemoryConfig
from .memory import ClipSteps, LayerMemory, Memory, MemoryUpdate, MemoryView, RowMemory
from .slots import EMPTY, SlotTokens, SlotWrite, filled_slots, insertion, pooled, slot_members, write_slots

Persons = Sequence[Sequence[int]]
"""For each stream the numbers of the people in its clip's boxes, see `memory_numbers`."""
Score = Callable[[Tensor], Tensor]


def persons_of(
    boxes: Sequence[Tensor] | BoxBatch, persons: Sequence[Tensor | Sequence[int] | None] | None
) -> list[list[int]]:
    """The numbers of the people in B clips' boxes, as memory counts them; see `memory_numbers`.

    ValueError if there are more or fewer numbers than boxes, or none for a batch of boxes.
    """
    if isinstance(boxes, BoxBatch):
        if persons is None or len(persons) != len(boxes.first_group):
            raise ValueError("memory in slots needs the numbers of the people of every clip: pass persons")
        return [memory_numbers(len(of_clip), of_clip) for of_clip in persons if of_clip is not None]
    return [memory_numbers(len(box), None if persons is None else persons[clip]) for clip, box in enumerate(boxes)]


def box_numbers(persons: Persons, box_slots: int, device: torch.device) -> Tensor:
    """(B, box slots) int64: the number of the person in each box slot; `NOBODY` in empty ones."""
    table = [[*numbers[:box_slots], *[NOBODY] * (box_slots - len(numbers))] for numbers in persons]
    return torch.tensor(table, dtype=torch.long, device=device).view(len(persons), box_slots)


def slot_view(memory: Memory, config: MemoryConfig) -> MemoryView:
    """What streams read of a memory in slots."""
    valid_mask = filled_slots(memory.ages, config.slots)
    layers = tuple(
        MemoryKV(layer.compressed.keys, layer.compressed.values, layer.compressed.grid, valid_mask)
        for layer in memory.layers
    )
    weights = None if memory.rows is None else memory.rows.log_weights
    box_mask = None if weights is None else valid_mask[..., None] & (weights[:, :, 0] > EMPTY / 2)
    return MemoryView(layers, memory.boxes, valid_mask, box_mask)


@dataclass(frozen=True)
class SlotChanges:
    """What one more clip changes in the slots of some streams; nothing is written yet."""

    blocks: Sequence[SlotTokens]
    """The slots of each box block."""
    people: tuple[PersonRows, ...]
    """Whose the rows of boxes of each stream are after the clip."""
    given_up: list[tuple[int, list[int]]]
    """(row of a stream, rows of boxes in it) whose person is another one now: what they hold is forgotten."""
    writes: list[tuple[SlotTokens, list[SlotWrite]]]

    def write(self) -> None:
        """Write into the slots, in place."""
        for block in self.blocks:
            for place, rows in self.given_up:
                block.log_weights[place, :, rows] = EMPTY
        for slots, writes in self.writes:
            write_slots(slots, writes)


def slot_changes(
    layers: Sequence[SlotTokens],
    blocks: Sequence[SlotTokens],
    update: MemoryUpdate,
    ages: Sequence[int],
    people: Sequence[PersonRows],
    persons: Persons | None,
    places: Sequence[int],
) -> SlotChanges:
    """What a step that returned `update` changes. Stream i is of age `ages[i]`, in row `places[i]` of the slots.

    `people` are the rows of boxes of each stream before the step. Without `persons` no box is remembered.
    """
    writes = [
        (slots, insertion(slots, ages, SlotTokens((clip.keys, clip.values), scores.float()), places))
        for slots, clip, scores in zip(layers, update.layers, update.layer_scores, strict=True)
    ]
    if not blocks:
        return SlotChanges(blocks, tuple(people), [], writes)
    persons = [[] for _ in ages] if persons is None else persons
    after = tuple(before.after(of_clip) for before, of_clip in zip(people, persons, strict=True))
    given_up = [(place, old.given_up(new)) for place, old, new in zip(places, people, after, strict=True)]
    numbers = box_numbers(persons, update.boxes[0].shape[1], blocks[0].log_weights.device)
    row_persons, _ = owners(after, blocks[0].log_weights.device)
    for block, clip_boxes in zip(blocks, update.clip_boxes(), strict=True):
        weights = block.log_weights.clone()
        for place, rows in given_up:
            weights[place, :, rows] = EMPTY
        slots = SlotTokens(block.contents, weights)
        writes.append((block, insertion(slots, ages, clip_rows(clip_boxes, numbers, row_persons), places)))
    return SlotChanges(blocks, after, given_up, writes)


def slots_after(memory: Memory | None, update: MemoryUpdate, config: MemoryConfig, persons: Persons | None) -> Memory:
    """The memory after a step that returned `update`; `memory` is None at the start of the streams."""
    memory = memory.clone() if memory is not None else blank_slots(update, config)
    layers = []
    for layer in memory.layers:
        assert layer.log_weights is not None
        layers.append(SlotTokens((layer.compressed.keys, layer.compressed.values), layer.log_weights))
    blocks: list[SlotTokens] = []
    people: Sequence[PersonRows] = ()
    if memory.rows is not None:
        weights, people = memory.rows.log_weights, memory.rows.people
        assert weights is not None
        blocks = [SlotTokens((boxes,), weights[:, :, block]) for block, boxes in enumerate(memory.boxes)]
    ages = memory.ages.tolist()
    changes = slot_changes(layers, blocks, update, ages, people, persons, range(len(ages)))
    changes.write()
    rows = None if memory.rows is None else replace(memory.rows, people=changes.people)
    return Memory(memory.layers, memory.boxes, memory.ages + 1, rows)


def blank_slots(update: MemoryUpdate, config: MemoryConfig) -> Memory:
    """Memory in slots of streams that have seen nothing, of the shapes of an update."""
    layers = []
    for clip, scores in zip(update.layers, update.layer_scores, strict=True):
        weights = torch.full((len(scores), config.slots, scores.shape[1]), EMPTY, device=scores.device)
        layers.append(LayerMemory(ClipSteps.blank(clip, config.slots), log_weights=weights))
    streams = len(update.boxes[0]) if update.boxes else len(update.layers[0].keys)
    device = (update.boxes[0] if update.boxes else update.layers[0].keys).device
    ages = torch.zeros(streams, dtype=torch.long, device=device)
    if not update.boxes:
        return Memory(tuple(layers), (), ages)
    people = update.boxes[0].shape[1]
    number = people + config.box_queries
    boxes = tuple(features.new_zeros(streams, config.slots, number, features.shape[2]) for features in update.boxes)
    weights = torch.full((streams, config.slots, len(boxes), number), EMPTY, device=device)
    return Memory(tuple(layers), boxes, ages, RowMemory((PersonRows.free(people),) * streams, weights))


def training_view(
    layers: Sequence[ClipSteps],
    memory: Memory,
    config: MemoryConfig,
    layer_scores: Sequence[Score],
    box_scores: Sequence[Score],
) -> MemoryView:
    """What streams in training read: their last clips, compressed, pooled into slots within the graph."""
    clips = layers[0].keys.shape[1] if layers else memory.boxes[0].shape[1]
    member = slot_members(memory.ages, config.slots, clips)
    valid_mask = member.any(2)
    read = []
    for steps, score in zip(layers, layer_scores, strict=True):
        keys, values = pooled(
            SlotTokens((steps.keys, steps.values), score(steps.keys)[..., 0].float()), member
        ).contents
        read.append(MemoryKV(keys, values, steps.grid, valid_mask))
    boxes, box_mask = [], None
    if memory.rows is not None:
        assert memory.rows.of_boxes is not None
        numbers = memory.ages[:, None] - torch.arange(clips - 1, -1, -1, device=memory.ages.device)  # of each clip
        persons, since = owners(memory.rows.people, memory.ages.device)
        row_persons = torch.where(numbers[..., None] >= since[:, None], persons[:, None], NOBODY)
        for features, score in zip(memory.boxes, box_scores, strict=True):
            rows = pooled(clip_rows(ClipBoxes(features, score(features)), memory.rows.of_boxes, row_persons), member)
            boxes.append(rows.contents[0])
            box_mask = valid_mask[..., None] & (rows.log_weights > EMPTY / 2)
    return MemoryView(tuple(read), tuple(boxes), valid_mask, box_mask)


def training_rows(memory: Memory | None, boxes: Tensor, config: MemoryConfig, persons: Persons) -> RowMemory:
    """Whose the boxes of streams in training are after a clip with these people; `boxes` is (B, box slots, C)."""
    streams, box_slots = boxes.shape[:2]
    if memory is None or memory.rows is None:
        steps = torch.zeros(streams, config.training_steps, box_slots, dtype=torch.long, device=boxes.device)
        rows = RowMemory((PersonRows.free(box_slots),) * streams, of_boxes=steps)
    else:
        rows = memory.rows
    assert rows.of_boxes is not None
    numbers = box_numbers(persons, box_slots, boxes.device)
    of_boxes = torch.cat((rows.of_boxes[:, 1:], numbers[:, None]), dim=1)
    people = tuple(of.after(of_clip) for of, of_clip in zip(rows.people, persons, strict=True))
    return RowMemory(people, of_boxes=of_boxes)
