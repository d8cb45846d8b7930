"""The complete state of a stream, as bytes: another process can continue the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memvit.models import Memory
from memvit.tracking import Tracker

FORMAT = 1
TRACKER = "tracker."
"""Begins the names of the tracker's arrays."""


@dataclass(frozen=True)
class StreamSnapshot:
    """The state of a stream between two clips."""

    memory: Memory | None
    """Memory of this one stream; None before its first clip, or for a model without memory."""
    next_index: int
    """Index of the next clip of the stream."""
    centres_seconds: tuple[float, ...] = ()
    """Centres of the last clips in seconds, newest last, as many as a result can depend on."""
    tracker: dict[str, Any] | None = None
    """Who the stream's people are, as `Tracker.state_dict`; None where nobody is tracked, and in older snapshots."""

    def to_bytes(self) -> bytes:
        """The content of a safetensors file, in which tensors are stored exactly."""
        from safetensors.torch import save

        state = self.memory.state_dict() if self.memory is not None else {}
        tensors = {
            name: value.detach().cpu().contiguous() for name, value in state.items() if isinstance(value, Tensor)
        }
        tracker = self.tracker or {}
        tensors |= {
            TRACKER + name: torch.from_numpy(np.ascontiguousarray(value))
            for name, value in tracker.items()
            if isinstance(value, np.ndarray)
        }
        header = {
            "format": FORMAT,
            "next_index": self.next_index,
            "centres_seconds": self.centres_seconds,
            "grids": {name: value for name, value in state.items() if not isinstance(value, Tensor)},
            "tracker": {name: value for name, value in tracker.items() if not isinstance(value, np.ndarray)},
        }
        # An empty file of tensors is legal, but older readers refuse it.
        return bytes(save(tensors or {"empty": torch.zeros(1)}, metadata={"memvit_snapshot": json.dumps(header)}))

    @staticmethod
    def from_bytes(content: bytes) -> StreamSnapshot:
        """The inverse of `to_bytes`; ValueError if the content is not a complete snapshot."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["memvit_snapshot"])
            if header["format"] != FORMAT:
                raise ValueError("it was written by another version of memvit")
            grids = {name: tuple(grid) for name, grid in header["grids"].items()}
            tracker = header.get("tracker", {})
            tracker |= {
                name.removeprefix(TRACKER): tensors.pop(name).numpy()
                for name in list(tensors)
                if name.startswith(TRACKER)
            }
            if tracker:
                Tracker.from_state_dict(tracker)
            memory = Memory.from_state_dict({**tensors, **grids}) if "ages" in tensors else None
            return StreamSnapshot(memory, int(header["next_index"]), tuple(header["centres_seconds"]), tracker or None)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not a complete snapshot of a stream ({error})") from error
