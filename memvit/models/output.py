"""The output of a model for one clip of each of B streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .memory import Memory


@dataclass(frozen=True)
class ModelOutput:
    """Logits, the features that they are computed from, and the memory of the streams."""

    logits: Tensor
    """(sum N_i, classes) for people, in the order of the boxes; (B, classes) for whole clips."""
    features: Tensor
    """(B, C): the input of the classifier; where people are classified, the mean token of the clip."""
    box_features: Tensor | None = None
    """(sum N_i, C): the features of each person that the logits are computed from; None for whole clips."""
    memory: Memory | None = None
    """The memory of the B streams after this clip; None for a model without memory, or where the caller holds it."""

    def with_memory(self, memory: Memory) -> ModelOutput:
        """The same with a memory."""
        return replace(self, memory=memory)

    @staticmethod
    def stack(parts: Sequence[ModelOutput]) -> ModelOutput:
        """The streams of all parts, one after the other, without memory."""
        box_features = [part.box_features for part in parts if part.box_features is not None]
        return ModelOutput(
            torch.cat([part.logits for part in parts]),
            torch.cat([part.features for part in parts]),
            torch.cat(box_features) if box_features else None,
        )
