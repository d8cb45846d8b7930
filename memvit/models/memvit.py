"""MeMViT: a backbone that reads a video clip by clip and carries a compressed memory from clip to clip.

Source: MeMViT, arXiv 2201.08383. The memory is an argument and a result; the model itself never changes in a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from .attention import MemoryKV, PooledKV, PoolingAttention
from .config import Grid, MemoryConfig, MViTConfig
from .heads import ActionHead, ClassificationHead
from .memory import (
    Compress,
    LayerMemory,
    Memory,
    MemoryUpdate,
    MemoryView,
    clips_read,
    read_layer,
    readable,
    remember_layer,
)
from .mvit import Backbone, Block, initialise
from .output import ModelOutput
from .pooling import pooled_grid


class MeMViT(nn.Module):
    """Actions of people, or the class of a clip, in the light of the clips before it."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        if config.head.kind == "action":
            heads = [block.heads for block in config.blocks()][-1]
            self.head: nn.Module = ActionHead(
                config.out_dim, config.head, heads=heads, spatial_stride=config.spatial_stride
            )
        else:
            self.head = ClassificationHead(config.out_dim, config.head, cls_token=config.cls_token)
        initialise(self, config.init_std)

    @property
    def receptive_field(self) -> int:
        """How many clips back a result can depend on: (memory layers + box blocks) × the farthest read."""
        memory = self.config.memory
        return (len(memory.layers) + self.config.head.box_blocks) * memory.steps if memory else 0

    def forward(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        remember: bool = True,
    ) -> tuple[Tensor, Memory | None]:
        """One clip of each of B streams → logits and what the streams remember afterwards.

        `clips` (B, 3, T, H, W), normalised. `boxes`: B tensors (N_i, 4), xyxy in input pixels; logits are (sum N_i,
        classes) in that order. None for a clip classifier, whose logits are (B, classes). `memory`: of these B streams,
        or None at their start. `remember=False` saves the work of a memory that nobody will read, and returns None.
        ValueError if an argument does not fit the model or another argument.
        """
        answer = self.answer(clips, boxes, memory, remember=remember)
        return answer.logits, answer.memory

    def answer(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        remember: bool = True,
    ) -> ModelOutput:
        """As `forward`, with the features that the logits are read from."""
        self._check(clips, boxes, memory)
        plan = self.config.memory
        recalled, layers = self._recall(memory)
        answer, fresh, box_fresh = self._look(clips, boxes, recalled)
        if plan is None or not remember:
            return answer
        kept = tuple(
            remember_layer(layers[place] if layers else None, plan, of_layer, compress, raw=self.training)
            for place, (of_layer, compress) in enumerate(zip(fresh, self._compressions(), strict=True))
        )
        ages = torch.zeros(len(clips), dtype=torch.long, device=clips.device) if memory is None else memory.ages
        return replace(answer, memory=Memory(kept, self._remember_boxes(memory, box_fresh, plan), ages + 1))

    def step(
        self, clips: Tensor, boxes: Sequence[Tensor] | None = None, recalled: MemoryView | None = None
    ) -> tuple[ModelOutput, MemoryUpdate]:
        """As `answer`, for whoever keeps the memory (`MemoryPool`): reads the past, returns what to keep of the clip.

        ValueError for a model without memory, or an argument that does not fit.
        """
        if self.config.memory is None:
            raise ValueError("this model has no memory: call it instead")
        self._check(clips, boxes, None)
        answer, fresh, box_fresh = self._look(clips, boxes, recalled)
        compressed = (compress(of_layer) for of_layer, compress in zip(fresh, self._compressions(), strict=True))
        return answer, MemoryUpdate(tuple(compressed), tuple(box_fresh))

    def _recall(self, memory: Memory | None) -> tuple[MemoryView | None, list[LayerMemory]]:
        """What is read of a memory, and its layers with what training left uncompressed until now compressed."""
        plan = self.config.memory
        if memory is None or plan is None:
            return None, []
        is_readable = readable(memory.ages, plan.reads)
        read = [
            read_layer(layer, plan, is_readable, compress)
            for layer, compress in zip(memory.layers, self._compressions(), strict=True)
        ]
        boxes = tuple(clips_read(steps, plan) for steps in memory.boxes)
        recalled = MemoryView(tuple(past for past, _ in read), boxes, is_readable)
        return recalled, [layer for _, layer in read]

    def _look(
        self, clips: Tensor, boxes: Sequence[Tensor] | None, recalled: MemoryView | None
    ) -> tuple[ModelOutput, list[PooledKV], list[Tensor]]:
        """An answer without memory, and what layers and box blocks offer to remember."""
        layers = self.config.memory.layers if self.config.memory else ()
        pasts: list[MemoryKV | None] = [None] * self.config.depth
        if recalled is not None:
            for index, past in zip(layers, recalled.layers, strict=True):
                pasts[index] = past
        tokens, grid, all_fresh = self.backbone(clips, pasts)
        fresh = [all_fresh[index] for index in layers]
        if not isinstance(self.head, ActionHead):
            return ModelOutput(*self.head(tokens)), fresh, []
        patches = tokens[:, 1:] if self.config.cls_token else tokens
        box_pasts = list(recalled.boxes) if recalled else None
        logits, box_features, box_fresh = self.head(
            patches, grid, boxes or [], box_pasts, recalled.readable if recalled else None
        )
        return ModelOutput(logits, patches.mean(1), box_features), fresh, box_fresh

    def _compressions(self) -> list[Compress]:
        """Of the memory layers."""
        layers = self.config.memory.layers if self.config.memory else ()
        return [self._attention(index).compress for index in layers]

    def _attention(self, index: int) -> PoolingAttention:
        block = self.backbone.blocks[index]
        assert isinstance(block, Block)
        return block.attn

    @staticmethod
    def _remember_boxes(memory: Memory | None, fresh: list[Tensor], plan: MemoryConfig) -> tuple[Tensor, ...]:
        olds = memory.boxes if memory else [new.new_zeros(len(new), plan.steps, *new.shape[1:]) for new in fresh]
        return tuple(
            torch.cat((old[:, 1:], new.detach()[:, None]), dim=1) for old, new in zip(olds, fresh, strict=True)
        )

    def memory_grids(self, height: int, width: int) -> list[Grid]:
        """The grid of a compressed clip in every memory layer, for clips of this size in pixels."""
        config, plan = self.config, self.config.memory
        if plan is None:
            return []
        grids = []
        grid = pooled_grid((config.frames, height, width), config.patch_kernel, config.patch_stride)
        for index, block in enumerate(config.blocks()):
            if index in plan.layers:
                kv_grid = pooled_grid(grid, config.pool_kernel, block.kv_stride)
                grids.append(pooled_grid(kv_grid, plan.kernel, plan.stride))
            grid = pooled_grid(grid, config.pool_kernel, block.q_stride)
        return grids

    def _check(self, clips: Tensor, boxes: Sequence[Tensor] | None, memory: Memory | None) -> None:
        frames = self.config.frames
        if clips.ndim != 5 or clips.shape[1:3] != (3, frames):
            raise ValueError(f"this model takes clips of shape (B, 3, {frames}, H, W), got {tuple(clips.shape)}")
        if self.config.head.kind == "action":
            if boxes is None or len(boxes) != len(clips):
                raise ValueError(f"{len(clips)} clips need a list of {len(clips)} box tensors, got {_count(boxes)}")
            for index, box in enumerate(boxes):
                if box.ndim != 2 or box.shape[1] != 4:
                    raise ValueError(f"boxes of clip {index} must be (N, 4) xyxy in pixels, got {tuple(box.shape)}")
        elif boxes is not None:
            raise ValueError("this model classifies whole clips and takes no boxes: pass boxes=None")
        if memory is not None:
            self.check_memory(clips, memory)

    def check_memory(self, clips: Tensor, memory: Memory) -> None:
        """ValueError if the memory is not of this model and clips of this size."""
        plan = self.config.memory
        if plan is None:
            raise ValueError("this model has no memory: pass memory=None")
        if memory.batch_size != len(clips):
            raise ValueError(f"{len(clips)} clips need the memory of {len(clips)} streams, got {memory.batch_size}")
        dims = [block.dim for block in self.config.blocks()]
        height, width = clips.shape[3:]
        grids = self.memory_grids(height, width)
        expected = [(grid, dims[index], plan.steps) for grid, index in zip(grids, plan.layers, strict=True)]
        found = []
        for layer in memory.layers:
            steps = layer.compressed
            nearest = layer.raw.keys.shape[1] if layer.raw else 0
            found.append((steps.grid, steps.keys.shape[3], steps.keys.shape[1] + nearest))
        if found != expected or len(memory.boxes) != self.config.head.box_blocks:
            raise ValueError(
                f"the memory is of another model or input size: its layers hold (grid, channels, clips) "
                f"{_brief(found)} and {len(memory.boxes)} box blocks, clips of {height}×{width} pixels in this model "
                f"need {_brief(expected)} and {self.config.head.box_blocks}; start the stream with memory=None"
            )


def _count(boxes: Sequence[Tensor] | None) -> str:
    return "none" if boxes is None else str(len(boxes))


def _brief(layers: list[tuple[Grid, int, int]]) -> str:
    return f"{len(layers)} × {layers[0]}…{layers[-1]}" if layers else "nothing"
