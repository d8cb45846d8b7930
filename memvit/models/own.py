"""Our own checkpoints: safetensors that describe themselves, so that a file loads with no other argument.

The header holds, as JSON, the model's config, how its input is prepared, its classes, where it comes from, and
a hash of its tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .build import build
from .checkpoints import CheckpointError
from .config import HeadConfig, MemoryConfig, MViTConfig
from .memvit import MeMViT
from .mvit import MViT
from .zoo import Preprocessing

FORMAT = 1
HEADER_KEY = "memvit"


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself."""

    name: str
    """The zoo's name that it began as."""
    config: MViTConfig
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    first_id: int
    """The id of the first class in outputs."""
    source: Mapping[str, Any]
    """Where it comes from: recipe, steps, metrics …"""
    sha256: str = ""
    """Of all tensors, by name."""


def save_own(path: Path, model: MeMViT | MViT, description: Description) -> None:
    """Write a checkpoint; ValueError if the classes are not as many as the model's."""
    from safetensors.torch import save_file

    if len(description.classes) != model.config.head.num_classes:
        raise ValueError(f"{len(description.classes)} class names for {model.config.head.num_classes} classes")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = {**asdict(description), "format": FORMAT, "config": asdict(model.config), "sha256": state_digest(state)}
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(state, temporary, metadata={HEADER_KEY: json.dumps(header)})
    temporary.replace(path)


def describe(path: str | Path) -> Description | None:
    """What a file says of itself; None if it is of another kind. CheckpointError if it is ours but damaged."""
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
        if header is None:
            return None
        content = json.loads(header)
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path}: it was written by a newer version of memvit; update memvit")
        content["config"] = _config(content["config"])
        content["preprocessing"] = _made(Preprocessing, content["preprocessing"])
        return _made(Description, content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: this is not a complete memvit checkpoint ({error}); fetch it again") from error


def load_own(path: str | Path) -> tuple[MeMViT | MViT, Description]:
    """The model of a self-describing checkpoint, in eval mode. CheckpointError if the file is none, or damaged."""
    from safetensors.torch import load_file

    description = describe(path)
    if description is None:
        raise CheckpointError(f"{path}: this checkpoint does not describe itself; name its model, too")
    state = load_file(path)
    if state_digest(state) != description.sha256:
        raise CheckpointError(f"{path}: its tensors are not those it was written with; fetch it again")
    config = description.config
    with torch.device("meta"):
        model = build(config)
    model.load_state_dict(state, assign=True)
    return model, description


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of all tensors, by name."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _config(content: dict[str, Any]) -> MViTConfig:
    head = _made(HeadConfig, content.pop("head"))
    memory = content.pop("memory")
    return _made(MViTConfig, {**content, "head": head, "memory": memory and _made(MemoryConfig, memory)})


def _made(kind: type[Any], content: dict[str, Any]) -> Any:
    """A frozen dataclass from JSON: lists become tuples again, unknown keys are an error."""
    unknown = content.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}")
    return kind(**{key: _tuple(value) for key, value in content.items()})


def _tuple(value: Any) -> Any:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(_tuple(item) for item in value) if is_list else value
