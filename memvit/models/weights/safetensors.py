"""Our own checkpoints: safetensors that describe themselves, so that a file loads with no other argument.

The header holds, as JSON, the model's config, how its input is prepared, its classes, where it comes from, and
a hash of its tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memvit.models.build import build
from memvit.models.config import MViTConfig
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.preprocessing import Preprocessing

from .errors import CheckpointError
from .files import as_weights, check_shapes
from .from_json import from_json, nesting
from .header import SafetensorsHeader, read_header, read_tensors
from .limits import MAX_DESCRIPTION_BYTES, MAX_DESCRIPTION_NESTING, MAX_NAME_LENGTH, check_config, check_preprocessing

FORMAT = 1
HEADER_KEY = "memvit"


@dataclass(frozen=True)
class CheckpointMetadata:
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


def save_safetensors(path: Path, model: MeMViT | MViT, description: CheckpointMetadata) -> None:
    """Write a checkpoint; ValueError if the classes are not as many as the model's."""
    from safetensors.torch import save_file

    if len(description.classes) != model.config.head.num_classes:
        raise ValueError(f"{len(description.classes)} class names for {model.config.head.num_classes} classes")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = {**asdict(description), "format": FORMAT, "config": model.config.plain(), "sha256": state_digest(state)}
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(state, temporary, metadata={HEADER_KEY: json.dumps(header)})
    temporary.replace(path)


def read_metadata(path: str | Path) -> CheckpointMetadata | None:
    """What a file says of itself; None if it is of another kind.

    CheckpointError if it is ours but damaged, or describes a model that is out of all proportion.
    """
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    return _description(read_header(path), path)


def check_own(path: str | Path) -> CheckpointMetadata | None:
    """As `read_metadata`; CheckpointError also where the header's tensors are not those of the described model."""
    path = Path(path)
    description = read_metadata(path)
    if description is not None:
        check_shapes(_built(description.config, path).state_dict(), read_header(path).tensors, path)
    return description


def load_safetensors(path: str | Path) -> tuple[MeMViT | MViT, CheckpointMetadata]:
    """The model of a self-describing checkpoint, in eval mode. CheckpointError if the file is none, or damaged."""
    path = Path(path)
    description = check_own(path)
    if description is None:
        raise CheckpointError(f"{path}: this checkpoint does not describe itself; name its model, too")
    model = _built(description.config, path)
    state = read_tensors(path)
    if state_digest(state) != description.sha256:
        raise CheckpointError(f"{path}: its tensors are not those it was written with; fetch it again")
    model.load_state_dict(as_weights(state, model.state_dict(), path), assign=True)
    return model, description


def _built(config: MViTConfig, path: Path) -> MeMViT | MViT:
    """A model without weights: it takes no memory."""
    try:
        with torch.device("meta"):
            return build(config)
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: no model can be built from its config ({error}); fetch it again") from error


def _description(header: SafetensorsHeader, path: Path) -> CheckpointMetadata | None:
    text = header.metadata.get(HEADER_KEY)
    if text is None:
        return None
    try:
        if len(text) > MAX_DESCRIPTION_BYTES:
            raise ValueError(f"its description is longer than {MAX_DESCRIPTION_BYTES:,} characters")
        content = json.loads(text)
        if nesting(content) > MAX_DESCRIPTION_NESTING:
            raise ValueError(f"its description is nested deeper than {MAX_DESCRIPTION_NESTING} levels")
        if isinstance(content, dict) and content.pop("format", None) != FORMAT:
            raise CheckpointError(f"{path}: it was written by a newer version of memvit; update memvit")
        description: CheckpointMetadata = from_json(CheckpointMetadata, content, "its description")
        check_config(description.config)
        check_preprocessing(description.preprocessing, description.config)
        _check_names(description)
    except (ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = "its description is nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"{path}: this is not a complete memvit checkpoint: {reason}; fetch it again") from error
    return description


def _check_names(description: CheckpointMetadata) -> None:
    classes, expected = description.classes, description.config.head.num_classes
    if len(classes) != expected:
        raise ValueError(f"it names {len(classes)} classes and its config has {expected}")
    for name in (description.name, *classes):
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise ValueError(f"a name is longer than {MAX_NAME_LENGTH} characters or cannot be printed: {name[:40]!r}")
    if not 0 <= description.first_id <= 10**6:
        raise ValueError(f"first_id should be 0 to 1,000,000, it is {str(description.first_id)[:20]}")


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of all tensors, by name."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
