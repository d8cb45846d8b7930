"""A step's arguments and results as flat lists of tensors, for captured graphs and exported programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from memvit.models.attention import MemoryKV, PooledKV
from memvit.models.boxes import BoxBatch
from memvit.models.config import Grid
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.output import ModelOutput


@dataclass(frozen=True)
class StepLayout:
    """Everything in the arguments and results of a step that is not a tensor.

    Two steps with equal layouts and tensors of equal shapes do the same.
    """

    queries: int | None
    """The number of query slots of the boxes, see `BoxBatch.queries`; None without boxes."""
    memory_grids: tuple[Grid, ...] | None
    """The grid of a compressed clip in each memory layer; None where nothing is read."""
    update_grids: tuple[Grid, ...] | None
    """The grid of the clip to remember in each memory layer; None where it is not remembered."""
    in_slots: bool = False
    """Whether the network remembers in slots: then there is a mask of past boxes, and scores of what to remember."""

    @staticmethod
    def of(
        boxes: BoxBatch | None,
        memory: MemoryView | None,
        update_grids: tuple[Grid, ...] | None,
        *,
        in_slots: bool = False,
    ) -> StepLayout:
        """The layout of a step with these arguments."""
        grids = None if memory is None else tuple(layer.grid for layer in memory.layers)
        return StepLayout(None if boxes is None else boxes.queries, grids, update_grids, in_slots)

    def flat_inputs(self, images: Tensor, boxes: BoxBatch | None, memory: MemoryView | None) -> list[Tensor]:
        """Images, then the boxes' tensors, then the memory's."""
        tensors = [images]
        if boxes is not None:
            tensors += boxes.tensors
        if memory is not None:
            tensors += [memory.valid_mask, *(part for layer in memory.layers for part in (layer.keys, layer.values))]
            tensors += [*memory.boxes, *([] if memory.box_mask is None else [memory.box_mask])]
        return tensors

    def inputs(self, tensors: Sequence[Tensor]) -> tuple[Tensor, BoxBatch | None, MemoryView | None]:
        """The inverse of `flat_inputs`."""
        images, *rest = tensors
        boxes = memory = None
        if self.queries is not None:
            rois, group, slot, clip_of_group, first_group, *rest = rest
            boxes = BoxBatch(rois, group, slot, clip_of_group, first_group, self.queries)
        if self.memory_grids is not None:
            valid_mask, *rest = rest
            layers = tuple(
                MemoryKV(rest[2 * place], rest[2 * place + 1], grid, valid_mask)
                for place, grid in enumerate(self.memory_grids)
            )
            past_boxes = rest[2 * len(layers) :]
            box_mask = past_boxes.pop() if self.in_slots and past_boxes else None
            memory = MemoryView(layers, tuple(past_boxes), valid_mask, box_mask)
        return images, boxes, memory

    def flat_outputs(self, output: ModelOutput, update: MemoryUpdate | None) -> list[Tensor]:
        """Logits and features, then the boxes' features, then the memory update's tensors."""
        tensors = [output.logits, output.features]
        if output.box_features is not None:
            tensors.append(output.box_features)
        if update is not None:
            tensors += [part for layer in update.layers for part in (layer.keys, layer.values)]
            tensors += [*update.boxes, *update.layer_scores, *update.box_scores]
        return tensors

    def outputs(self, tensors: Sequence[Tensor]) -> tuple[ModelOutput, MemoryUpdate | None]:
        """The inverse of `flat_outputs`; box features exist where there were boxes."""
        logits, features, *rest = tensors
        box_features = rest.pop(0) if self.queries is not None else None
        output = ModelOutput(logits, features, box_features)
        if self.update_grids is None:
            return output, None
        layers = tuple(
            PooledKV(rest[2 * place], rest[2 * place + 1], grid) for place, grid in enumerate(self.update_grids)
        )
        rest = rest[2 * len(layers) :]
        # Memory in slots adds a score for each layer and for each box block, other memory adds nothing.
        blocks = (len(rest) - len(layers)) // 2 if self.in_slots else len(rest)
        boxes, scores = rest[:blocks], rest[blocks:]
        return output, MemoryUpdate(layers, tuple(boxes), tuple(scores[: len(layers)]), tuple(scores[len(layers) :]))
