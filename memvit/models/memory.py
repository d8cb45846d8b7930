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
    """(B, S, tokens, C)."""
    values: Tensor
    grid: Grid

    def pushed(self, fresh: PooledKV) -> ClipSteps:
        """Append a clip and let go of the oldest."""
        keys, values = (
            torch.cat((kept[:, 1:], new[:, None]), dim=1)
            for kept, new in ((self.keys, fresh.keys), (self.values, fresh.values))
        )
        return replace(self, keys=keys, values=values)

    @staticmethod
    def blank(like: PooledKV, steps: int) -> ClipSteps:
        """Room for `steps` clips shaped like a fresh one."""
        batch, tokens, channels = like.keys.shape
        keys, values = (like.keys.new_zeros(batch, steps, tokens, channels) for _ in range(2))
        return ClipSteps(keys, values, like.grid)


@dataclass(frozen=True)
class LayerMemory:
    """What one layer remembers of B streams: the nearest clips as they were (training only), the others compressed."""

    compressed: ClipSteps
    raw: ClipSteps | None = None


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
        moved = self._map(lambda tensor: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device))
        return moved

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
    """What B streams keep of one clip, compressed."""

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
    """What is read now of a memory that is not in training; ValueError if it keeps clips uncompressed."""
    if any(layer.raw is not None for layer in memory.layers):
        raise ValueError("this memory is of a model in training; start the stream with memory=None")
    valid_mask = valid_clips(memory.ages, config.reads)
    layers = tuple(
        MemoryKV(
            clips_read(layer.compressed.keys, config),
            clips_read(layer.compressed.values, config),
            layer.compressed.grid,
            valid_mask,
        )
        for layer in memory.layers
    )
    return MemoryView(layers, tuple(clips_read(boxes, config) for boxes in memory.boxes), valid_mask)


def updated(memory: Memory | None, update: MemoryUpdate, config: MemoryConfig) -> Memory:
    """The memory after a step that returned `update`; `memory` None at the start of the streams."""
    layers = tuple(
        LayerMemory((memory.layers[place].compressed if memory else ClipSteps.blank(new, config.steps)).pushed(new))
        for place, new in enumerate(update.layers)
    )
    batch = len(update.layers[0].keys)
    ages = memory.ages if memory else torch.zeros(batch, dtype=torch.long, device=update.layers[0].keys.device)
    return Memory(layers, remember_boxes(memory, update.boxes, config), ages + 1)


def remember_boxes(memory: Memory | None, pooled: Sequence[Tensor], config: MemoryConfig) -> tuple[Tensor, ...]:
    """Past boxes of every box block with this clip's, (B, slots, C), at the end."""
    olds = memory.boxes if memory else [new.new_zeros(len(new), config.steps, *new.shape[1:]) for new in pooled]
    return tuple(torch.cat((old[:, 1:], new.detach()[:, None]), dim=1) for old, new in zip(olds, pooled, strict=True))


def read_layer(
    layer: LayerMemory, config: MemoryConfig, valid_mask: Tensor, compress: Compress
) -> tuple[MemoryKV, LayerMemory]:
    """What a layer attends to now, and the layer's memory with its oldest raw clip compressed, if it keeps raw ones."""
    steps = layer.compressed
    if layer.raw is not None:
        now = compress(PooledKV(layer.raw.keys[:, 0], layer.raw.values[:, 0], layer.raw.grid))
        steps = ClipSteps(
            torch.cat((steps.keys, now.keys[:, None]), dim=1),
            torch.cat((steps.values, now.values[:, None]), dim=1),
            now.grid,
        )
    past = MemoryKV(clips_read(steps.keys, config), clips_read(steps.values, config), steps.grid, valid_mask)
    return past, replace(layer, compressed=steps)


def remember_layer(
    layer: LayerMemory | None, config: MemoryConfig, fresh: PooledKV, compress: Compress, *, raw: bool
) -> LayerMemory:
    """A layer's memory after a clip; `layer` is as `read_layer` returned it, or None at the start of a stream.

    `raw` says, at the start only, whether clips stay uncompressed until they are read.
    """
    if layer is None:
        nearest = config.reads[0] if raw else 0
        # Shapes only: a blank clip is never read.
        with torch.no_grad():
            shaped = compress(fresh)
        blank = ClipSteps.blank(shaped, config.steps - nearest)
        layer = LayerMemory(blank, ClipSteps.blank(fresh, nearest) if raw else None)
    elif layer.raw is not None:
        steps = layer.compressed
        layer = replace(
            layer, compressed=ClipSteps(steps.keys[:, 1:].detach(), steps.values[:, 1:].detach(), steps.grid)
        )
    if layer.raw is None:
        return replace(layer, compressed=layer.compressed.pushed(compress(fresh)))
    kept = PooledKV(fresh.keys.detach(), fresh.values.detach(), fresh.grid)
    return replace(layer, raw=layer.raw.pushed(kept))
