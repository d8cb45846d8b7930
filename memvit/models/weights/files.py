"""Official checkpoints → our models: recognised by their keys, loaded safely, complete or refused with a sentence.

`layouts.py` knows the names; here are files, containers, wrappers, and what to say when something does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from .errors import CheckpointError
from .header import TensorInfo, check_size, read_header, read_tensors
from .layouts import LAYOUTS, Layout, State, recognise, to_ours
from .torch_files import load_torch_file

__all__ = ["CheckpointError", "LoadReport", "has_memory", "load_checkpoint", "read_checkpoint"]

WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)(?=\.)")
CLS_TOKEN = "backbone.cls_token"
CONTAINERS = ("model_state", "model", "state_dict")
"""Where the official files keep their parameters; a bare state dict has none of these."""


class Shaped(Protocol):
    """A tensor, or what is known of it before it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, outermost first."""
        ...


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint did to a model."""

    layout: str
    new: tuple[str, ...] = ()
    """Parameters that the file does not hold and that keep their initial values."""
    dropped: tuple[str, ...] = ()
    """Parameters of the file that the model has no place for: the head of another task."""

    def __str__(self) -> str:
        lines = [f"loaded a {self.layout} checkpoint"]
        if self.dropped:
            lines.append(f"left out, of another head: {', '.join(self.dropped)}")
        if self.new:
            lines.append(f"stayed new, to be trained: {', '.join(grouped(self.new))}")
        return "; ".join(lines)


def read_checkpoint(path: str | Path) -> tuple[State, str]:
    """A file → its parameters in our names, and which layout it had.

    Nothing in the file is executed. Raises CheckpointError if it is missing, truncated, or of no known layout.
    """
    path = Path(path)
    state = read_tensors_of(path)
    layout = known_layout(state, path)
    return to_ours(state, layout), layout.name


def read_tensors_of(path: Path) -> State:
    """All tensors of a file, under the names that they have there. CheckpointError as `read_checkpoint`."""
    check_size(path)
    return tensors_in(_load(path), path)


def list_tensors(path: str | Path) -> tuple[Mapping[str, Shaped], str]:
    """Tensors by their names in the file, and its layout; of safetensors the shapes alone, without reading any tensor.

    CheckpointError as `read_checkpoint`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return read_checkpoint(path)
    tensors = read_header(path).tensors
    return tensors, known_layout(tensors, path).name


def known_layout(names: Iterable[str], path: Path) -> Layout:
    """The layout of these parameter names; CheckpointError if there is none."""
    names = list(names)
    layout = recognise(names)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise CheckpointError(
            f"{path}: of no known layout: found parameters like {_some(names)}, expected one of {known}"
        )
    return layout


def load_checkpoint(
    model: nn.Module, state: State, layout: str, path: str | Path, *, new_head: bool = False
) -> LoadReport:
    """Copy `state` (as `read_checkpoint` returned it) into `model`.

    With `new_head`, head parameters, and memory parameters of a file that has none at all, may stay as they are, and a
    memory of another number of reads takes over what there is. Memory in slots takes over what there is of memory that
    reads clips; each slot is then the mean of its clips. Any other difference raises CheckpointError.
    """
    own = model.state_dict()
    if layout == "OpenMMLab" and CLS_TOKEN not in own:
        # It writes one also for models without.
        state = {name: value for name, value in state.items() if name != CLS_TOKEN}
    state = {
        name: value.unsqueeze(2) if value.ndim == 4 and name in own and own[name].ndim == 5 else value
        for name, value in state.items()
    }
    if new_head:
        state = {name: _other_reads(name, value, own) for name, value in state.items()}
    misfits = {name for name in state.keys() & own.keys() if state[name].shape != own[name].shape}
    missing, unexpected = own.keys() - state.keys(), state.keys() - own.keys()
    new: set[str] = set()
    dropped: set[str] = set()
    if new_head:
        heads = {name for name in misfits | unexpected if name.startswith("head.")}
        new = {name for name in missing | (misfits & heads) if name.startswith("head.")}
        if not has_memory(state):
            new |= {name for name in missing if is_memory_parameter(name)}
        new |= {name for name in missing if is_slot_score(name)}
        dropped, misfits = heads, misfits - heads
        missing, unexpected = missing - new, unexpected - heads
    if missing or unexpected or misfits:
        raise CheckpointError(f"{path}: {difference(own, state, missing, unexpected, misfits)}")
    state = as_weights({name: value for name, value in state.items() if name not in dropped}, own, path)
    # A model on the meta device has no storage yet and takes over the file's tensors.
    model.load_state_dict(state, strict=False, assign=any(value.is_meta for value in own.values()))
    _start_as_mean({name: parameter for name, parameter in model.named_parameters() if name in new})
    return LoadReport(layout, tuple(name for name in own if name in new), tuple(sorted(dropped)))


def check_shapes(expected: Mapping[str, Shaped], found: Mapping[str, TensorInfo], path: str | Path) -> None:
    """CheckpointError, with names, if tensors are missing, too many, of another shape or not of floating-point type."""
    misfits = {name for name in expected.keys() & found.keys() if tuple(expected[name].shape) != found[name].shape}
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or unexpected or misfits:
        raise CheckpointError(f"{path}: {difference(expected, found, set(missing), set(unexpected), misfits)}")
    for name, tensor in found.items():
        if not tensor.is_floating:
            raise CheckpointError(f"{path}: {name} is of type {tensor.dtype}, weights are floating-point numbers")


def as_weights(state: State, own: Mapping[str, Tensor], path: str | Path) -> State:
    """Tensors in the types of a model's parameters. CheckpointError that names one that is no weight: not of
    floating-point numbers, or with values that are not finite.
    """
    weights = {}
    for name, value in state.items():
        if not value.is_floating_point():
            raise CheckpointError(f"{path}: {name} is of type {value.dtype}, weights are floating-point numbers")
        weights[name] = value.to(own[name].dtype)
        # A sum is finite where all values are, and takes a tenth of the time; it may overflow where they are, too.
        if not (weights[name].sum().isfinite() or weights[name].isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} holds values that are not finite (NaN or infinity): training went wrong or the file "
                "is damaged; use an earlier checkpoint"
            )
    return weights


def _other_reads(name: str, value: Tensor, own: State) -> Tensor:
    """Temporal positions of memory count reads: for another number of them the table is cut, or its last row repeated,
    as in the reference."""
    if not name.endswith("rel_pos_mem_t") or name not in own or value.shape[1:] != own[name].shape[1:]:
        return value
    rows = torch.arange(len(own[name])).clamp(max=len(value) - 1)
    return value[rows]


def is_memory_parameter(name: str) -> bool:
    """Whether a parameter exists only for memory."""
    return "compress" in name or "rel_pos_mem" in name


def is_slot_score(name: str) -> bool:
    """Whether a parameter weighs the clips in a slot."""
    return name.startswith(("layer_scores.", "box_scores."))


def _start_as_mean(new: Mapping[str, nn.Parameter]) -> None:
    """New scores weigh all clips alike. Those that pool boxes without numbers stay different from each other."""
    with torch.no_grad():
        for name, parameter in new.items():
            if is_slot_score(name):
                parameter[:1] = 0


def has_memory(names: Iterable[str]) -> bool:
    """Whether any of these parameters is of memory."""
    return any(is_memory_parameter(name) for name in names)


def _load(path: Path) -> object:
    if path.suffix != ".safetensors":
        return load_torch_file(path)
    read_header(path)
    return read_tensors(path)


def tensors_in(content: object, path: Path) -> State:
    """The tensors of what a file holds, in its containers or not. CheckpointError if there is none."""
    for key in CONTAINERS:
        if isinstance(content, dict) and isinstance(dict.get(content, key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: a dictionary of parameters was expected, found a {type(content).__name__}")
    named = {name: value for name, value in dict.items(content) if isinstance(name, str)}
    state = {WRAPPERS.sub("", name).lstrip("."): value for name, value in named.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: a dictionary of parameters was expected, found {_some(named)}")
    return state


def difference(
    own: Mapping[str, Shaped], state: Mapping[str, Shaped], missing: set[str], unexpected: set[str], misfits: set[str]
) -> str:
    """What to say where parameters are missing, unexpected or of another shape than a model's own."""
    depth, found_depth = _depth(own), _depth(state)
    if depth != found_depth:
        return f"the file is of a model with {found_depth} blocks, this model has {depth}; choose the model it is of"
    parts = []
    if misfits:
        name = min(misfits)
        parts.append(
            f"{len(misfits)} parameters of another shape ({name} is {tuple(state[name].shape)}, "
            f"expected {tuple(own[name].shape)})"
        )
    if missing:
        parts.append(f"{len(missing)} parameters are missing ({_some(sorted(missing))})")
    if unexpected:
        parts.append(f"{len(unexpected)} parameters are not of this model ({_some(sorted(unexpected))})")
    return "the file is of another model: " + ", ".join(parts)


def _depth(state: Iterable[str]) -> int:
    numbers = [re.match(r"backbone\.blocks\.(\d+)\.", name) for name in state]
    return 1 + max((int(number[1]) for number in numbers if number), default=-1)


def grouped(names: Iterable[str]) -> list[str]:
    """Parameter names with block numbers folded into one entry: `backbone.blocks.*.attn.compress_k.weight (16)`."""
    counts: dict[str, int] = {}
    for name in names:
        pattern = re.sub(r"^backbone\.blocks\.\d+\.", "backbone.blocks.*.", name)
        counts[pattern] = counts.get(pattern, 0) + 1
    return [f"{name} ({count})" if count > 1 else name for name, count in counts.items()]


def _some(names: Iterable[str], most: int = 3) -> str:
    names = [name if len(name) <= 120 else f"{name[:120]}…" for name in names]
    return ", ".join(names[:most]) + (", …" if len(names) > most else "") if names else "nothing"
