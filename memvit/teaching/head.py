"""A taught action: a linear head on the features of one model, and its file.

The file is in safetensors format: `weight` (C,) and `bias` (1,), both float32, and a JSON text under the key
`memvit_head` of its metadata: name, reads, threshold, model, source. Reading it runs no code, and all sizes are checked
before memory is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvit.models.weights.errors import CheckpointError
from memvit.models.weights.from_json import from_json, nesting
from memvit.models.weights.header import read_header
from memvit.models.weights.limits import MAX_DESCRIPTION_BYTES, MAX_DESCRIPTION_NESTING, MAX_NAME_LENGTH
from memvit.os_errors import sentence_of
from memvit.types import MemvitError

Reads: TypeAlias = Literal["people", "clips"]
"""What a head looks at: the features of each person, or those of the whole clip."""
HEADER_KEY = "memvit_head"
FORMAT = 1
MAX_CHANNELS = 1 << 16
"""A head with more weights is refused; the models have at most a few thousand features."""
NOT_OF_THE_MODEL = ("hop_seconds", "frames_per_second", "start_seconds")
"""Settings of an archive's sampling that say when clips are, not what the model sees of one."""


class HeadError(MemvitError):
    """A head cannot be read, or does not fit the model."""


@dataclass(frozen=True)
class ModelIdentity:
    """The model whose features a head reads: a head means nothing on the features of another one."""

    name: str
    """For messages; the same weights may have several names."""
    weights_sha256: str
    """SHA-256 of the parameters."""
    settings_sha256: str
    """SHA-256 of the configuration of the network and of how its clips are made."""
    remember: bool
    """Whether the model uses its memory."""

    @staticmethod
    def of(
        name: str, weights_sha256: str, config: Mapping[str, Any], sampling: Mapping[str, Any], *, remember: bool
    ) -> ModelIdentity:
        """Return the identity of a model. `sampling` is the preprocessing, with or without the times of clips."""
        seen = {key: value for key, value in sampling.items() if key not in NOT_OF_THE_MODEL}
        text = json.dumps([dict(config), seen], sort_keys=True)
        return ModelIdentity(name, weights_sha256, hashlib.sha256(text.encode()).hexdigest(), remember)

    def difference_from(self, other: ModelIdentity) -> str | None:
        """Return what makes the other model another one, as words; None if it has the same features."""
        if self.weights_sha256 != other.weights_sha256:
            if self.name != other.name:
                return f"the model {self.name}, not of {other.name}"
            return f"the model {self.name} with other weights"
        if self.settings_sha256 != other.settings_sha256:
            return f"the model {self.name} with another configuration or other clips"
        if self.remember != other.remember:
            return f"the model {self.name} {'with' if self.remember else 'without'} memory"
        return None


@dataclass(frozen=True, eq=False)
class Head:
    """A taught action. Its score is sigmoid(features · weight + bias)."""

    name: str
    """The action, as outputs name it."""
    reads: Reads
    model: ModelIdentity
    weight: NDArray[np.float32]
    """(C,)"""
    bias: float
    threshold: float = 0.5
    """Scores from this one on mean that the action happens. `teach` shifts the bias so that it is 0.5."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """What it was taught with: numbers of labels and videos, average precision."""

    def scores(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(N, C) features → (N,) scores, 0 to 1. Raises HeadError if C is not that of the head."""
        if features.shape[1:] != self.weight.shape:
            raise HeadError(f"{self.name}: this head reads {len(self.weight)} features, not {features.shape[1]}")
        logits = features.astype(np.float32, copy=False) @ self.weight + np.float32(self.bias)
        return sigmoid(logits)

    def check_model(self, model: ModelIdentity, where: str | Path) -> None:
        """Raise HeadError if the head was taught on the features of another model."""
        difference = self.model.difference_from(model)
        if difference is not None:
            raise HeadError(f"{where}: this head reads features of {difference}; teach it again with this model")


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-logits)), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


def save_head(path: str | Path, head: Head) -> None:
    """Write a head; a file that is there is replaced as a whole. Raises HeadError if that fails."""
    from safetensors.numpy import save

    path = Path(path)
    described = {"name": head.name, "reads": head.reads, "threshold": head.threshold, "model": asdict(head.model)}
    text = json.dumps({"format": FORMAT, **described, "source": dict(head.source)})
    tensors = {"weight": np.ascontiguousarray(head.weight, np.float32), "bias": np.array([head.bias], np.float32)}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(save(tensors, metadata={HEADER_KEY: text}))
        temporary.replace(path)
    except OSError as error:
        raise HeadError(sentence_of(error, path)) from error


def load_head(path: str | Path) -> Head:
    """Read a head. Raises HeadError if there is none, or if the file is damaged or of another kind."""
    from safetensors.numpy import load_file

    path = Path(path)
    if not path.is_file():
        raise HeadError(f"{path}: there is no such head; `memvit teach` makes one")
    if path.suffix != ".safetensors":
        raise HeadError(f"{path}: this is not the file of a head, whose name ends in .safetensors")
    try:
        header = read_header(path)
        text = header.metadata.get(HEADER_KEY)
        if text is None:
            raise HeadError(f"{path}: this is not the file of a head; `memvit teach` makes one")
        described = _description(text)
        shapes = {name: tensor.shape for name, tensor in header.tensors.items()}
        width = shapes.get("weight", ())
        if shapes.keys() != {"weight", "bias"} or len(width) != 1 or shapes["bias"] != (1,):
            raise ValueError("its tensors are not a weight and a bias")
        if not 0 < width[0] <= MAX_CHANNELS or {tensor.dtype for tensor in header.tensors.values()} != {"F32"}:
            raise ValueError("its weight has an impossible size or type")
        tensors = load_file(path)
        weight, bias = tensors["weight"], float(tensors["bias"][0])
        if not (np.isfinite(weight).all() and np.isfinite(bias)):
            raise ValueError("its weights are not finite numbers")
    except HeadError:
        raise
    except CheckpointError as error:
        raise HeadError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise HeadError(f"{path}: this head is damaged ({error}); teach it again") from error
    return Head(described.name, described.reads, described.model, weight, bias, described.threshold, described.source)


@dataclass(frozen=True)
class _Description:
    name: str
    reads: Reads
    threshold: float
    model: ModelIdentity
    source: Mapping[str, Any]


def _description(text: str) -> _Description:
    """Raises ValueError if the metadata of a file do not describe a head."""
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise ValueError("its description is too long")
    content = json.loads(text)
    if nesting(content) > MAX_DESCRIPTION_NESTING:
        raise ValueError("its description is nested too deeply")
    if isinstance(content, dict) and content.pop("format", None) != FORMAT:
        raise ValueError("it was written by another version of memvit")
    found: _Description = from_json(_Description, content, "its description")
    check_name(found.name)
    if not 0 <= found.threshold <= 1:
        raise ValueError("its threshold is not between 0 and 1")
    return found


def check_name(name: str) -> None:
    """Raise ValueError if outputs could not show a name."""
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a name has 1 to {MAX_NAME_LENGTH} printable characters, not {name[:40]!r}")
