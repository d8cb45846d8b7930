"""All that a model says of one clip of each of B streams."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .memory import Memory


@dataclass(frozen=True)
class ModelOutput:
    """Logits, what they were read from, and what the streams remember."""

    logits: Tensor
    """(sum N_i, classes) for people, in the order of the boxes; (B, classes) for whole clips."""
    features: Tensor
    """(B, C): what the classifier reads; where people are classified, the mean token of the clip."""
    box_features: Tensor | None = None
    """(sum N_i, C): what the logits of each person were read from."""
    memory: Memory | None = None
    """Of the B streams after this clip; None for a model without memory, or where nobody will read it."""
