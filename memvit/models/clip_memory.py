"""Memory that reads clips at fixed offsets: what is read, and what is remembered after a clip.

While training, a clip stays uncompressed until it is first read, and is compressed inside the graph of the step that
reads it, so that the compression learns; at inference it is compressed at once, which is the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .attention import MemoryKV, PooledKV
from .config import MemoryConfig
from .memory import ClipSteps, LayerMemory, Memory, MemoryUpdate, MemoryView, RowMemory

Compress = Callable[[PooledKV], PooledKV]


def valid_clips(ages: Tensor, reads: Sequence[int]) -> Tensor:
    """Which past clips exist: ages (B,) → (B, R) bool, oldest first. Nothing is copied to the device."""
    return torch.stack([ages >= read for read in reversed(reads)], dim=1)


def clips_read(steps: Tensor, config: MemoryConfig) -> Tensor:
    """The clips that are read of the last S: (B, S, …) → (B, R, …), oldest first. Nothing is copied to the device."""
    return torch.stack([steps[:, config.steps - read] for read in reversed(config.reads)], dim=1)


def view_of(memory: Memory, config: MemoryConfig) -> MemoryView:
    """What B streams read now of a memory that keeps no clip uncompressed; ValueError if it does."""
    if any(layer.raw is not None for layer in memory.layers):
        raise ValueError("this memory is of a model in training; start the stream with memory=None")
    return view_of_layers([layer.compressed for layer in memory.layers], memory, config)


def view_of_layers(layers: Sequence[ClipSteps], memory: Memory, config: MemoryConfig) -> MemoryView:
    """What is read of these compressed clips, one entry per memory layer, with the ages and boxes of `memory`."""
    valid_mask = valid_clips(memory.ages, config.reads)
    read = tuple(
        MemoryKV(clips_read(steps.keys, config), clips_read(steps.values, config), steps.grid, valid_mask)
        for steps in layers
    )
    return MemoryView(read, tuple(clips_read(boxes, config) for boxes in memory.boxes), valid_mask)


def updated(memory: Memory | None, update: MemoryUpdate, config: MemoryConfig) -> Memory:
    """The memory after a step that returned `update`; `memory` is None at the start of the streams."""
    layers = tuple(
        LayerMemory((memory.layers[place].compressed if memory else ClipSteps.blank(clip, config.steps)).appended(clip))
        for place, clip in enumerate(update.layers)
    )
    return with_clip(memory, layers, update.boxes, config)


def with_clip(
    memory: Memory | None,
    layers: tuple[LayerMemory, ...],
    pooled_boxes: Sequence[Tensor],
    config: MemoryConfig,
    rows: RowMemory | None = None,
) -> Memory:
    """The memory after a clip: `layers` and `rows` as they are now, `pooled_boxes` (B, slots, C) appended, one clip
    older.
    """
    olds = (
        memory.boxes
        if memory
        else [clip.new_zeros(len(clip), config.training_steps, *clip.shape[1:]) for clip in pooled_boxes]
    )
    boxes = tuple(
        torch.cat((old[:, 1:], clip.detach()[:, None]), dim=1) for old, clip in zip(olds, pooled_boxes, strict=True)
    )
    if memory is not None:
        return Memory(layers, boxes, memory.ages + 1, rows)
    first = layers[0].compressed.keys if layers else boxes[0]
    return Memory(layers, boxes, torch.ones(len(first), dtype=torch.long, device=first.device), rows)


def with_oldest_compressed(layer: LayerMemory, compress: Compress) -> LayerMemory:
    """A layer of a model in training, whose oldest uncompressed clip can be read now: compressed within the graph."""
    if layer.raw is None:
        return layer
    oldest = compress(PooledKV(layer.raw.keys[:, 0], layer.raw.values[:, 0], layer.raw.grid))
    steps = layer.compressed
    keys = torch.cat((steps.keys, oldest.keys[:, None]), dim=1)
    values = torch.cat((steps.values, oldest.values[:, None]), dim=1)
    return replace(layer, compressed=ClipSteps(keys, values, oldest.grid))


def remember_raw(layer: LayerMemory | None, config: MemoryConfig, clip: PooledKV, compress: Compress) -> LayerMemory:
    """The memory of a layer that keeps clips uncompressed until they are read, after one more clip.

    `layer` is as `with_oldest_compressed` returned it, or None at the start of the streams.
    """
    detached = PooledKV(clip.keys.detach(), clip.values.detach(), clip.grid)
    if layer is None:
        uncompressed = config.uncompressed_steps
        with torch.no_grad():  # only its shape is used: a blank clip is never read
            compressed = compress(detached)
        blank = ClipSteps.blank(compressed, config.training_steps - uncompressed)
        return LayerMemory(blank, ClipSteps.blank(detached, uncompressed).appended(detached))
    assert layer.raw is not None
    steps = layer.compressed
    compressed_steps = ClipSteps(steps.keys[:, 1:].detach(), steps.values[:, 1:].detach(), steps.grid)
    return LayerMemory(compressed_steps, layer.raw.appended(detached))
