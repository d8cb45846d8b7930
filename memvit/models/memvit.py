"""MeMViT: a backbone that reads a video clip by clip and carries a compressed memory from clip to clip.

Source: MeMViT, arXiv 2201.08383. The memory is an argument and a result; the model itself never changes in a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from .attention import PooledKV, PoolingAttention
from .boxes import BoxBatch
from .clip_memory import Compress, remember_raw, view_of_layers, with_clip, with_oldest_compressed
from .config import Grid, MViTConfig
from .heads import ActionHead, ClassificationHead
from .memory import LayerMemory, Memory, MemoryUpdate, MemoryView
from .memory_kinds import memory_after
from .mvit import Backbone, initialise
from .output import ModelOutput
from .pooling import pooled_grid
from .slot_memory import persons_of, slot_view, training_rows, training_view


class MeMViT(nn.Module):
    """Classifies the actions of people, or whole clips, with a memory of the clips before."""

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
        plan = config.memory
        if plan is not None and plan.kind == "slots":
            dims = [block.dim for block in config.blocks()]
            self.layer_scores = nn.ModuleList(nn.Linear(dims[layer], 1) for layer in plan.layers)
            scores = 1 + plan.box_queries
            self.box_scores = nn.ModuleList(nn.Linear(config.out_dim, scores) for _ in range(config.head.box_blocks))
        initialise(self, config.init_std)

    @property
    def receptive_field(self) -> int | None:
        """How many clips back a result can depend on: (memory layers + box blocks) × the farthest read.

        None for memory in slots: a result can depend on all clips before.
        """
        memory = self.config.memory
        if memory is not None and memory.kind == "slots":
            return None
        return (len(memory.layers) + self.config.head.box_blocks) * memory.steps if memory else 0

    def forward(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | BoxBatch | None = None,
        memory: Memory | None = None,
        *,
        persons: Sequence[Tensor | Sequence[int] | None] | None = None,
        remember: bool = True,
    ) -> tuple[Tensor, Memory | None]:
        """One clip of each of B streams → logits and what the streams remember afterwards.

        `clips` (B, 3, T, H, W), normalised. `boxes`: B tensors (N_i, 4), xyxy in input pixels, or a `BoxBatch` on the
        clips' device; logits are (sum N_i, classes) in that order. None for a clip classifier, whose logits are (B,
        classes). `memory`: of these B streams, or None at their start. `remember=False` saves the work of making a
        memory that is not used, and returns None. `persons`: for memory in slots, the numbers of the people in the
        boxes, from 0; −1 or None where they are not known. ValueError if an argument does not fit the model or another.
        """
        output = self.forward_features(clips, boxes, memory, persons=persons, remember=remember)
        return output.logits, output.memory

    def forward_features(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | BoxBatch | None = None,
        memory: Memory | None = None,
        *,
        persons: Sequence[Tensor | Sequence[int] | None] | None = None,
        remember: bool = True,
    ) -> ModelOutput:
        """As `forward`, with the features that the logits are read from."""
        self.check_inputs(clips, boxes)
        if memory is not None:
            self.check_memory(memory, streams=len(clips), height=clips.shape[3], width=clips.shape[4])
        plan = self.config.memory
        view, layers = self._read(memory)
        output, pooled, pooled_boxes = self._encode(clips, boxes, view)
        if plan is None or not remember:
            return output
        keeps_raw = self.training if memory is None else any(layer.raw is not None for layer in memory.layers)
        if not keeps_raw:
            update = self._update(pooled, pooled_boxes)
            return output.with_memory(memory_after(memory, update, plan, boxes, persons))
        remembered = tuple(
            remember_raw(layers[place] if layers else None, plan, of_layer, compress)
            for place, (of_layer, compress) in enumerate(zip(pooled, self._compressions(), strict=True))
        )
        rows = None
        if plan.kind == "slots" and boxes is not None and pooled_boxes:
            rows = training_rows(memory, pooled_boxes[0], plan, persons_of(boxes, persons))
        return output.with_memory(with_clip(memory, remembered, pooled_boxes, plan, rows))

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | BoxBatch | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """One clip of each of B streams: reads a view of a memory that the caller holds, returns what to add to it.

        `images` (B, 3, T, H, W), normalised; `boxes` as in `forward`, or as a batch on the images' device. The update
        is None for a model without memory, and with `remember=False`. ValueError for an argument that does not fit.
        """
        self.check_inputs(images, boxes)
        output, pooled, pooled_boxes = self._encode(images, boxes, memory)
        if self.config.memory is None or not remember:
            return output, None
        return output, self._update(pooled, pooled_boxes)

    def _update(self, pooled: list[PooledKV], pooled_boxes: list[Tensor]) -> MemoryUpdate:
        """What is remembered of a clip, compressed."""
        layers = tuple(compress(of_layer) for of_layer, compress in zip(pooled, self._compressions(), strict=True))
        if self.config.memory is None or self.config.memory.kind == "reads":
            return MemoryUpdate(layers, tuple(pooled_boxes))
        of_layers = tuple(score(layer.keys)[..., 0] for layer, score in zip(layers, self.layer_scores, strict=True))
        of_boxes = tuple(score(boxes) for boxes, score in zip(pooled_boxes, self.box_scores, strict=True))
        return MemoryUpdate(layers, tuple(pooled_boxes), of_layers, of_boxes)

    def _read(self, memory: Memory | None) -> tuple[MemoryView | None, list[LayerMemory]]:
        """What is read of a memory, and its layers; clips that training left uncompressed until now are compressed."""
        plan = self.config.memory
        if memory is None or plan is None:
            return None, []
        layers = [
            with_oldest_compressed(layer, compress)
            for layer, compress in zip(memory.layers, self._compressions(), strict=True)
        ]
        if plan.kind == "slots":
            if all(layer.raw is None for layer in memory.layers):
                return slot_view(memory, plan), layers
            steps = [layer.compressed for layer in layers]
            return training_view(steps, memory, plan, list(self.layer_scores), list(self.box_scores)), layers
        return view_of_layers([layer.compressed for layer in layers], memory, plan), layers

    def _encode(
        self, clips: Tensor, boxes: Sequence[Tensor] | BoxBatch | None, memory: MemoryView | None
    ) -> tuple[ModelOutput, list[PooledKV], list[Tensor]]:
        """The output without memory, and what memory layers and box blocks may remember of the clip, not compressed."""
        tokens, grid, pooled = self.backbone(clips, memory.layers if memory else None)
        if not isinstance(self.head, ActionHead):
            return ModelOutput(*self.head(tokens)), pooled, []
        patches = tokens[:, 1:] if self.config.cls_token else tokens
        batch = boxes if isinstance(boxes, BoxBatch) else BoxBatch.of(boxes or [], self.head.slots).to(tokens.device)
        past_boxes = list(memory.boxes) if memory else None
        logits, box_features, pooled_boxes = self.head(patches, grid, batch, past_boxes, _past_mask(memory))
        return ModelOutput(logits, patches.mean(1), box_features), pooled, pooled_boxes

    def _compressions(self) -> list[Compress]:
        """The compression of each memory layer."""
        return [self._attention(index).compress for index in self.backbone.memory_layers]

    def _attention(self, index: int) -> PoolingAttention:
        return cast(PoolingAttention, self.backbone.blocks[index].attn)

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

    def check_inputs(self, clips: Tensor, boxes: Sequence[Tensor] | BoxBatch | None) -> None:
        """ValueError if clips and boxes do not fit the model or each other."""
        frames = self.config.frames
        if clips.ndim != 5 or clips.shape[1:3] != (3, frames):
            raise ValueError(f"this model takes clips of shape (B, 3, {frames}, H, W), got {tuple(clips.shape)}")
        if isinstance(boxes, BoxBatch):
            return
        if self.config.head.kind == "action":
            if boxes is None or len(boxes) != len(clips):
                raise ValueError(f"{len(clips)} clips need a list of {len(clips)} box tensors, got {_count(boxes)}")
            for index, box in enumerate(boxes):
                if box.ndim != 2 or box.shape[1] != 4:
                    raise ValueError(f"boxes of clip {index} must be (N, 4) xyxy in pixels, got {tuple(box.shape)}")
        elif boxes is not None:
            raise ValueError("this model classifies whole clips and takes no boxes: pass boxes=None")

    def check_memory(self, memory: Memory, *, streams: int, height: int, width: int) -> None:
        """ValueError if the memory is not of so many streams of this model, with clips of this size in pixels."""
        plan = self.config.memory
        if plan is None:
            raise ValueError("this model has no memory: pass memory=None")
        if memory.batch_size != streams:
            raise ValueError(f"{streams} clips need the memory of {streams} streams, got {memory.batch_size}")
        dims = [block.dim for block in self.config.blocks()]
        grids = self.memory_grids(height, width)
        is_training = any(layer.raw is not None for layer in memory.layers)
        length = plan.training_steps if is_training else plan.steps
        expected = [(grid, dims[index], length) for grid, index in zip(grids, plan.layers, strict=True)]
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


def _past_mask(memory: MemoryView | None) -> Tensor | None:
    """Which past boxes are read, as `ActionHead` takes it."""
    if memory is None:
        return None
    return memory.valid_mask if memory.box_mask is None else memory.box_mask


def _count(boxes: Sequence[Tensor] | None) -> str:
    return "none" if boxes is None else str(len(boxes))


def _brief(layers: list[tuple[Grid, int, int]]) -> str:
    return f"{len(layers)} × {layers[0]}…{layers[-1]}" if layers else "nothing"
