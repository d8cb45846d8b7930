"""A step of a network with memory as `torch.export` takes it: tensors in, tensors out, shapes fixed.

Because the memory is an argument and a result, the whole of a stream's state crosses the border as plain tensors;
the program that runs the step holds them, as `MemoryPool` does.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from memvit.models.attention import MemoryKV
from memvit.models.config import MemoryConfig
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.memvit import MeMViT
from memvit.models.output import ModelOutput
from memvit.runtime.step_tensors import StepLayout


class ExportableStep(nn.Module):
    """`MeMViT.step` of one stream over flat tensors."""

    def __init__(self, model: MeMViT, height: int, width: int) -> None:
        """For clips of this size in pixels. ValueError for a network without memory."""
        super().__init__()
        if not isinstance(model, MeMViT) or model.config.memory is None:
            raise ValueError("this model has no memory: torch.export takes it as it is")
        self.model = model
        self._size = height, width
        self._grids = tuple(model.memory_grids(height, width))

    @property
    def plan(self) -> MemoryConfig:
        """Which past clips or slots are read."""
        assert self.model.config.memory is not None
        return self.model.config.memory

    def forward(self, clips: Tensor, boxes: Tensor, valid_mask: Tensor, past: list[Tensor]) -> list[Tensor]:
        """One clip (1, 3, T, H, W) of a stream, with boxes (N, 4) in pixels and what it reads of its past.

        `valid_mask` is (1, R); `past` holds keys and values of every memory layer, (1, R, tokens, C), then those of the
        box blocks, (1, R, slots, C); zeros where nothing is valid. Where memory is in slots, R is their number, a block
        has (1, R, rows, C), and `past` ends with a mask of the rows that are read, (1, R, rows) bool.

        Returns logits (N, classes), features (1, C), for a network that classifies people box features (N, C), and what
        to remember of this clip, in the order of `past` and without its R. Where memory is in slots, scores follow: (1,
        tokens) of each layer, (1, slots, 1 + Q) of each block; `memvit.models.slots` merges clips by them.
        """
        layers = tuple(
            MemoryKV(past[2 * place], past[2 * place + 1], grid, valid_mask) for place, grid in enumerate(self._grids)
        )
        of_boxes = past[2 * len(self._grids) :]
        box_mask = of_boxes.pop() if self._in_slots and of_boxes else None
        view = MemoryView(layers, tuple(of_boxes), valid_mask, box_mask)
        people = [boxes] if self.model.config.head.kind == "action" else None
        return self._layout().flat_outputs(*self.model.step(clips, people, view))

    def outputs(self, tensors: list[Tensor]) -> tuple[ModelOutput, MemoryUpdate]:
        """What `forward` returned as `MeMViT.step` returns it."""
        output, update = self._layout().outputs(tensors)
        assert update is not None
        return output, update

    def past(self, memory: MemoryView | None) -> tuple[Tensor, list[Tensor]]:
        """The last two arguments of `forward` for this memory of one stream; None at its start."""
        if memory is None:
            _, _, valid_mask, past = self.example()
            return valid_mask, past
        layers = [part for layer in memory.layers for part in (layer.keys, layer.values)]
        mask = [] if memory.box_mask is None else [memory.box_mask]
        return memory.valid_mask, [*layers, *memory.boxes, *mask]

    def example(self, people: int = 1) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Arguments of the right shapes: a stream that has seen nothing yet."""
        config, plan = self.model.config, self.plan
        like = next(self.model.parameters())
        height, width = self._size
        dims = [block.dim for block in config.blocks()]
        past = []
        for index, grid in zip(plan.layers, self._grids, strict=True):
            tokens = math.prod(grid) + int(config.cls_token)
            past += [like.new_zeros(1, plan.read_count, tokens, dims[index]) for _ in range(2)]
        rows = config.head.box_slots + (plan.box_queries if self._in_slots else 0)
        past += [like.new_zeros(1, plan.read_count, rows, config.out_dim) for _ in range(config.head.box_blocks)]
        if self._in_slots and config.head.box_blocks:
            past.append(torch.zeros(1, plan.read_count, rows, dtype=torch.bool, device=like.device))
        box = torch.tensor([[0.0, 0.0, width, height]], device=like.device).repeat(people, 1)
        valid_mask = torch.zeros(1, plan.read_count, dtype=torch.bool, device=like.device)
        return like.new_zeros(1, 3, config.frames, height, width), box, valid_mask, past

    def _layout(self) -> StepLayout:
        queries = 1 if self.model.config.head.kind == "action" else None
        return StepLayout(queries, self._grids, self._grids, self._in_slots)

    @property
    def _in_slots(self) -> bool:
        return self.plan.kind == "slots"


def export_step(model: MeMViT, path: str | Path, *, height: int, width: int, people: int = 1) -> ExportableStep:
    """Write one stream's step as a program, for clips of one size with a fixed number of people.

    `.onnx` makes an ONNX model (needs the `onnx` extra), any other name a `torch.export` program, which
    `torch.export.load(path).module()` runs, both without this package; see `ExportableStep.forward` for the arguments.
    ValueError for a network without memory, ImportError where the extra is missing.
    """
    step = ExportableStep(model.eval(), height, width).eval()
    if Path(path).suffix == ".onnx":
        from .onnx import write_onnx

        write_onnx(step, step.example(people), path)
        return step
    with torch.no_grad():
        program = torch.export.export(step, step.example(people))
    torch.export.save(program, str(path))
    return step
