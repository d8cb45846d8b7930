"""Memory: all that a stream remembers, as a value that is passed to the model and returned by it.

Per memory layer a past clip is its pooled, not yet projected, keys and values, compressed. B streams share one Memory;
each has its own age, and reads only the past clips that it has. What is read and remembered is in `clip_memory.py`, and
for memory in slots in `slot_memory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .attention import MemoryKV, PooledKV
from .box_rows import ClipBoxes, PersonRows
from .config import Grid


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
    """All clips, or those that are old enough to be read where there are uncompressed ones; or slots."""
    raw: ClipSteps | None = None
    """The newest clips, uncompressed, of a model in training; None of one that is not."""
    log_weights: Tensor | None = None
    """(B, S, tokens) float32, of slots: see `SlotTokens`."""


@dataclass(frozen=True)
class RowMemory:
    """Whose the boxes in a memory in slots are."""

    people: tuple[PersonRows, ...]
    """One for each of the B streams."""
    log_weights: Tensor | None = None
    """(B, S, box blocks, rows) float32, of the rows in slots; None of a model in training."""
    of_boxes: Tensor | None = None
    """(B, S, box slots) int64: the number of each box, of a model in training, whose boxes are not in rows yet."""


@dataclass(frozen=True)
class Memory:
    """What B streams remember. Never changed in place: a model call returns a new one."""

    layers: tuple[LayerMemory, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One for each box block: (B, S, box slots, C); (B, S, rows, C) where S are slots, see `clip_rows`."""
    ages: Tensor
    """(B,) int64: clips each stream has seen."""
    rows: RowMemory | None = None
    """Of memory in slots: whose the rows of boxes are."""

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
        people = None if self.rows is None else tuple(self.rows.people[int(place)] for place in indices)
        return self._map(lambda tensor: tensor[index], people)

    @staticmethod
    def stack(memories: Sequence[Memory]) -> Memory:
        """The streams of several memories, one after the other; ValueError if their shapes differ."""
        if not memories:
            raise ValueError("there is no memory to stack")
        shapes = {memory.shape for memory in memories}
        if len(shapes) > 1:
            raise ValueError(f"memories of different models or input sizes cannot share a batch: {sorted(shapes)}")
        states = [memory._parts() for memory in memories]
        joined = {
            name: torch.cat([state[name] for state in states]) if isinstance(value, Tensor) else value
            for name, value in states[0].items()
        }
        rows = [memory.rows for memory in memories if memory.rows is not None]
        return Memory._of_parts(joined, tuple(people for of in rows for people in of.people) if rows else None)

    def blank(self, batch_size: int) -> Memory:
        """Memory of the same shape for streams that have not seen a clip yet."""
        people = None
        if self.rows is not None:
            people = (PersonRows.free(len(self.rows.people[0].persons)),) * batch_size
        return self._map(lambda tensor: tensor.new_zeros(batch_size, *tensor.shape[1:]), people)

    def restarted(self, begins: Sequence[bool], mask: Tensor) -> Memory:
        """The memory where some of the B streams begin again. A stream of age 0 reads nothing of its past.

        `mask` (B,) bool says the same as `begins` on the memory's device.
        """
        rows = self.rows
        if rows is not None:
            people = zip(rows.people, begins, strict=True)
            again = (PersonRows.free(len(of.persons)) if begin else of for of, begin in people)
            rows = replace(rows, people=tuple(again))
        return replace(self, ages=self.ages.masked_fill(mask, 0), rows=rows)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Memory:
        """Move, and convert keys, values and features. Counts and log weights keep their types."""

        def moved(name: str, tensor: Tensor) -> Tensor:
            is_exact = name.endswith("log_weights") or not tensor.is_floating_point()
            return tensor.to(device, None if is_exact else dtype)

        parts = self._parts().items()
        return Memory._of_parts(
            {name: moved(name, value) if isinstance(value, Tensor) else value for name, value in parts}, self._people
        )

    def clone(self) -> Memory:
        """A copy, whose tensors may be written."""
        return self._map(lambda tensor: tensor.clone(), self._people)

    def detach(self) -> Memory:
        """The same values, cut off from any graph."""
        return self._map(lambda tensor: tensor.detach(), self._people)

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all parts without the batch, grids included: what two memories of one batch must share."""
        state = self.state_dict()
        return tuple(tuple(value.shape[1:]) if isinstance(value, Tensor) else value for value in state.values())

    def state_dict(self) -> dict[str, Any]:
        """A flat dictionary of tensors and grids that `torch.save` writes and `weights_only=True` reads."""
        state = self._parts()
        if self.rows is not None:
            tables = [[rows.persons, rows.seen, rows.since] for rows in self.rows.people]
            state["rows.people"] = torch.tensor(tables, dtype=torch.long).view(len(tables), 3, -1)
            state["rows.clips"] = torch.tensor([rows.clips for rows in self.rows.people], dtype=torch.long)
        return state

    @property
    def _people(self) -> tuple[PersonRows, ...] | None:
        return None if self.rows is None else self.rows.people

    def _parts(self) -> dict[str, Any]:
        """`state_dict` without the people of rows, which are plain numbers."""
        state: dict[str, Any] = {"ages": self.ages}
        for index, layer in enumerate(self.layers):
            for name, steps in (("compressed", layer.compressed), ("raw", layer.raw)):
                if steps is not None:
                    prefix = f"layers.{index}.{name}."
                    state |= {prefix + "keys": steps.keys, prefix + "values": steps.values, prefix + "grid": steps.grid}
            if layer.log_weights is not None:
                state[f"layers.{index}.log_weights"] = layer.log_weights
        state |= {f"boxes.{index}": tensor for index, tensor in enumerate(self.boxes)}
        if self.rows is not None:
            given = {"rows.log_weights": self.rows.log_weights, "rows.of_boxes": self.rows.of_boxes}
            state |= {name: tensor for name, tensor in given.items() if tensor is not None}
        return state

    @staticmethod
    def from_state_dict(state: dict[str, Any]) -> Memory:
        """The inverse of `state_dict`; ValueError if it is not one."""
        try:
            people = None
            if "rows.people" in state:
                tables = zip(state["rows.people"].tolist(), state["rows.clips"].tolist(), strict=True)
                people = tuple(
                    PersonRows(tuple(persons), tuple(seen), tuple(since), clips)
                    for (persons, seen, since), clips in tables
                )
            return Memory._of_parts(state, people)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a Memory: {error!r}") from error

    @staticmethod
    def _of_parts(state: dict[str, Any], people: tuple[PersonRows, ...] | None) -> Memory:
        """The inverse of `_parts`."""

        def steps(prefix: str) -> ClipSteps | None:
            if prefix + "keys" not in state:
                return None
            t, h, w = state[prefix + "grid"]
            return ClipSteps(state[prefix + "keys"], state[prefix + "values"], (t, h, w))

        layers: list[LayerMemory] = []
        while (compressed := steps(f"layers.{len(layers)}.compressed.")) is not None:
            prefix = f"layers.{len(layers)}."
            layers.append(LayerMemory(compressed, steps(prefix + "raw."), state.get(prefix + "log_weights")))
        boxes: list[Tensor] = []
        while f"boxes.{len(boxes)}" in state:
            boxes.append(state[f"boxes.{len(boxes)}"])
        rows = None
        if people is not None:
            rows = RowMemory(people, state.get("rows.log_weights"), state.get("rows.of_boxes"))
        return Memory(tuple(layers), tuple(boxes), state["ages"], rows)

    def _map(self, change: Callable[[Tensor], Tensor], people: tuple[PersonRows, ...] | None) -> Memory:
        parts = self._parts().items()
        return Memory._of_parts(
            {name: change(value) if isinstance(value, Tensor) else value for name, value in parts}, people
        )


@dataclass(frozen=True)
class MemoryView:
    """What B streams read of their past in one call."""

    layers: tuple[MemoryKV, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One for each box block: (B, R, box slots, C), or (B, R, rows, C)."""
    valid_mask: Tensor
    """(B, R) bool, oldest first: whether the stream is old enough to have that clip or slot."""
    box_mask: Tensor | None = None
    """(B, R, rows) bool: which rows of slots hold boxes; None where all box slots of a valid clip are read."""

    def select(self, samples: slice) -> MemoryView:
        """What some of the B streams read."""
        layers = tuple(layer.select(samples) for layer in self.layers)
        box_mask = None if self.box_mask is None else self.box_mask[samples]
        return MemoryView(layers, tuple(boxes[samples] for boxes in self.boxes), self.valid_mask[samples], box_mask)

    def without_empty(self) -> MemoryView | None:
        """Without what none of the B streams has; None if they have nothing. It waits for the device of the mask."""
        is_filled = self.valid_mask.any(0).tolist()
        if all(is_filled):
            return self
        if not any(is_filled):
            return None
        empty = [place for place, filled in enumerate(is_filled) if not filled]
        kept = [place for place, filled in enumerate(is_filled) if filled]
        box_mask = None if self.box_mask is None else self.box_mask[:, kept]
        layers = tuple(layer.without(empty) for layer in self.layers)
        return MemoryView(layers, tuple(boxes[:, kept] for boxes in self.boxes), self.valid_mask[:, kept], box_mask)


@dataclass(frozen=True)
class MemoryUpdate:
    """What B streams add to their memories after one clip, compressed."""

    layers: tuple[PooledKV, ...]
    """One a memory layer."""
    boxes: tuple[Tensor, ...]
    """One for each box block: (B, box slots, C)."""
    layer_scores: tuple[Tensor, ...] = ()
    """For memory in slots, one for each memory layer: (B, tokens)."""
    box_scores: tuple[Tensor, ...] = ()
    """For memory in slots, one for each box block: (B, box slots, 1 + Q), see `ClipBoxes`."""

    @staticmethod
    def stack(parts: Sequence[MemoryUpdate]) -> MemoryUpdate:
        """The streams of all parts, one after the other."""

        def joined(name: str) -> tuple[Tensor, ...]:
            return tuple(torch.cat(tensors) for tensors in zip(*(getattr(part, name) for part in parts), strict=True))

        layers = tuple(PooledKV.stack(of_layer) for of_layer in zip(*(part.layers for part in parts), strict=True))
        return MemoryUpdate(layers, joined("boxes"), joined("layer_scores"), joined("box_scores"))

    def clip_boxes(self) -> list[ClipBoxes]:
        """What each box block offers to memory in slots."""
        return [ClipBoxes(*pair) for pair in zip(self.boxes, self.box_scores, strict=True)]
