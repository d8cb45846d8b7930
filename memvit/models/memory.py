"""Memory: all that a stream remembers, as a value that is passed to the model and returned by it.

Per memory layer a past clip is its pooled, not yet projected, keys and values, compressed. While training, a clip stays
uncompressed until it is first read, and is compressed inside the graph of the step that reads it, so that the
compression learns; at inference it is compressed at once, which is the same function. B streams share one Memory; each
has its own age, and reads only the past clips that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .attention import MemoryKV, PooledKV
from .config import Grid, MemoryConfig

Compress = Callable[[PooledKV], PooledKV]


@dataclass(frozen=True)
class ClipSteps:
    """The last S clips of B streams, oldest first, as one layer keeps them."""

    keys: Tensor
    """(B, S, tokens, C), the cls token first where there is one."""
    values: Tensor
    """(B, S, tokens, C)."""
    grid: Grid
    """The grid of one clip's tokens."""

    def appended(self, clip: PooledKV) -> ClipSteps:
        """The last S clips after one more: the oldest is dropped."""
        keys = torch.cat((self.keys[:, 1:], clip.keys[:, None]), dim=1)
        values = torch.cat((self.values[:, 1:], clip.values[:, None]), dim=1)
        return replace(self, keys=keys, values=values)

    @staticmethod
    def blank(like: PooledKV, steps: int) -> ClipSteps:
        """Zeros in the place of `steps` clips of this shape."""
        batch, tokens, channels = like.keys.shape
        keys, values = (like.keys.new_zeros(batch, steps, tokens, channels) for _ in range(2))
        return ClipSteps(keys, values, like.grid)


@dataclass(frozen=True)
class LayerMemory:
    """What one layer remembers of B streams."""

    compressed: ClipSteps
    """All clips, or those that are old enough to be read where there are uncompressed ones."""
    raw: ClipSteps | None = None
    """The newest clips, uncompressed, of a model in training; None of one that is not."""


@dataclass(frozen=True)
class Memory:
    """What B streams remember. Never changed in place: a model call returns a new one."""

    layers: tuple[LayerMemory, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One a box block: (B, S, slots, C)."""
    ages: Tensor
    """(B,) int64: clips each stream has seen."""

    @property
    def batch_size(self) -> int:
        """B, the number of streams."""
        return self.ages.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.state_dict().values() if isinstance(tensor, Tensor))

    def select(self, indices: Sequence[int] | Tensor) -> Memory:
        """The streams at `indices`, in that order."""
        index = torch.as_tensor(indices, dtype=torch.long, device=self.ages.device)
        return self._map(lambda tensor: tensor[index])

    @staticmethod
    def stack(memories: Sequence[Memory]) -> Memory:
        """The streams of several memories, one after the other; ValueError if their shapes differ."""
        if not memories:
            raise ValueError("there is no memory to stack")
        shapes = {memory.shape for memory in memories}
        if len(shapes) > 1:
            raise ValueError(f"memories of different models or input sizes cannot share a batch: {sorted(shapes)}")
        states = [memory.state_dict() for memory in memories]
        joined = {
            name: torch.cat([state[name] for state in states]) if isinstance(value, Tensor) else value
            for name, value in states[0].items()
        }
        return Memory.from_state_dict(joined)

    def blank(self, batch_size: int) -> Memory:
        """Memory of the same shape for streams that have not seen a clip yet."""
        return self._map(lambda tensor: tensor.new_zeros(batch_size, *tensor.shape[1:]))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Memory:
        """Move, and convert what is not a count."""
        return self._map(lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else None))

    def detach(self) -> Memory:
        """The same values, cut off from any graph."""
        return self._map(lambda tensor: tensor.detach())

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all parts without the batch, grids included: what two memories of one batch must share."""
        state = self.state_dict()
        return tuple(tuple(value.shape[1:]) if isinstance(value, Tensor) else value for value in state.values())

    def state_dict(self) -> dict[str, Any]:
        """A flat dictionary of tensors and grids that `torch.save` writes and `weights_only=True` reads."""
        state: dict[str, Any] = {"ages": self.ages}
        for index, layer in enumerate(self.layers):
            for name, steps in (("compressed", layer.compressed), ("raw", layer.raw)):
                if steps is not None:
                    prefix = f"layers.{index}.{name}."
                    state |= {prefix + "keys": steps.keys, prefix + "values": steps.values, prefix + "grid": steps.grid}
        state |= {f"boxes.{index}": tensor for index, tensor in enumerate(self.boxes)}
        return state

    @staticmethod
    def from_state_dict(state: dict[str, Any]) -> Memory:
        """The inverse of `state_dict`; ValueError if it is not one."""

        def steps(prefix: str) -> ClipSteps | None:
            if prefix + "keys" not in state:
                return None
            t, h, w = state[prefix + "grid"]
            return ClipSteps(state[prefix + "keys"], state[prefix + "values"], (t, h, w))

        try:
            layers: list[LayerMemory] = []
            while (compressed := steps(f"layers.{len(layers)}.compressed.")) is not None:
                layers.append(LayerMemory(compressed, steps(f"layers.{len(layers)}.raw.")))
            boxes: list[Tensor] = []
            while f"boxes.{len(boxes)}" in state:
                boxes.append(state[f"boxes.{len(boxes)}"])
            return Memory(tuple(layers), tuple(boxes), state["ages"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a Memory: {error!r}") from error

    def _map(self, change: Callable[[Tensor], Tensor]) -> Memory:
        state = self.state_dict()
        return Memory.from_state_dict(
            {name: change(value) if isinstance(value, Tensor) else value for name, value in state.items()}
        )


@dataclass(frozen=True)
class MemoryView:
    """What B streams read of their past in one call."""

    layers: tuple[MemoryKV, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One a box block: (B, R, slots, C)."""
    valid_mask: Tensor
    """(B, R) bool, oldest first: whether the stream is old enough to have that clip."""

    def select(self, samples: slice) -> MemoryView:
        """What some of the B streams read."""
        layers = tuple(layer.select(samples) for layer in self.layers)
        return MemoryView(layers, tuple(boxes[samples] for boxes in self.boxes), self.valid_mask[samples])


@dataclass(frozen=True)
class MemoryUpdate:
    """What B streams add to their memories after one clip, compressed."""

    layers: tuple[PooledKV, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One a box block: (B, slots, C)."""

    @staticmethod
    def stack(parts: Sequence[MemoryUpdate]) -> MemoryUpdate:
        """The streams of all parts, one after the other."""
        layers = tuple(PooledKV.stack(of_layer) for of_layer in zip(*(part.layers for part in parts), strict=True))
        return MemoryUpdate(layers, tuple(torch.cat(boxes) for boxes in zip(*(p.boxes for p in parts), strict=True)))


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
    memory: Memory | None, layers: tuple[LayerMemory, ...], pooled_boxes: Sequence[Tensor], config: MemoryConfig
) -> Memory:
    """The memory after a clip: `layers` as they are now, `pooled_boxes` (B, slots, C) appended, one clip older."""
    olds = (
        memory.boxes if memory else [clip.new_zeros(len(clip), config.steps, *clip.shape[1:]) for clip in pooled_boxes]
    )
    boxes = tuple(
        torch.cat((old[:, 1:], clip.detach()[:, None]), dim=1) for old, clip in zip(olds, pooled_boxes, strict=True)
    )
    if memory is not None:
        return Memory(layers, boxes, memory.ages + 1)
    first = layers[0].compressed.keys if layers else boxes[0]
    return Memory(layers, boxes, torch.ones(len(first), dtype=torch.long, device=first.device))


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
        uncompressed = config.reads[0]
        with torch.no_grad():  # only its shape is used: a blank clip is never read
            compressed = compress(detached)
        blank = ClipSteps.blank(compressed, config.steps - uncompressed)
        return LayerMemory(blank, ClipSteps.blank(detached, uncompressed).appended(detached))
    assert layer.raw is not None
    steps = layer.compressed
    compressed_steps = ClipSteps(steps.keys[:, 1:].detach(), steps.values[:, 1:].detach(), steps.grid)
    return LayerMemory(compressed_steps, layer.raw.appended(detached))
