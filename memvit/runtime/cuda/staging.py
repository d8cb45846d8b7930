"""Copies between host and device: one upload and one download a step, through pinned memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.runtime.runner import split_like

ALIGNMENT = 256
"""Bytes; every array begins at a multiple, so that kernels may read it in wide words."""
BUFFERS = 2
"""Pinned buffers that take turns: one is filled while the copy from the other may still run."""


@dataclass
class _Buffer:
    """A pinned buffer and the end of the last copy from it."""

    bytes: Tensor
    copied: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Until the last copy from the buffer has ended; the buffer may be written then."""
        if self.copied is not None:
            self.copied.synchronize()


class Uploads:
    """Host arrays to a device, all of a step in one copy."""

    def __init__(self, device: torch.device, *, pinned: bool = True) -> None:
        """`pinned=False` is for devices without pinned memory, in tests."""
        self._device, self._pinned = device, pinned
        self._buffers = [_Buffer(torch.empty(0, dtype=torch.uint8)) for _ in range(BUFFERS)]
        self._turn = 0

    def send(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """CPU tensors → the same on the device, ready for work of the current stream. Nothing waits for the copy."""
        offsets, total = [], 0
        for tensor in tensors:
            offsets.append(total)
            total += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        self._turn = (self._turn + 1) % BUFFERS
        buffer = self._buffers[self._turn]
        buffer.wait()
        if len(buffer.bytes) < total:
            buffer.bytes = torch.empty(total, dtype=torch.uint8, pin_memory=self._pinned)
        for tensor, offset in zip(tensors, offsets, strict=True):
            _as(buffer.bytes, offset, tensor).copy_(tensor)
        there = buffer.bytes[:total].to(self._device, non_blocking=True, copy=True)
        if self._pinned:
            buffer.copied = buffer.copied or torch.cuda.Event()
            buffer.copied.record(torch.cuda.current_stream(self._device))
        return [_as(there, offset, tensor) for tensor, offset in zip(tensors, offsets, strict=True)]


def _as(buffer: Tensor, offset: int, like: Tensor) -> Tensor:
    """The bytes from `offset` as a tensor of the type and shape of another."""
    return buffer[offset : offset + like.nbytes].view(like.dtype).view(like.shape)


class Downloads:
    """Device tensors to the host, all of a step in one copy."""

    def __init__(self, *, pinned: bool = True) -> None:
        self._pinned = pinned
        self._buffer = torch.empty(0)

    def fetch(self, tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """The values as float32 arrays, which are the caller's. Waits for the work of the current stream."""
        if not tensors:
            return []
        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        if len(self._buffer) < len(flat):
            self._buffer = torch.empty(len(flat), pin_memory=self._pinned)
        here = self._buffer[: len(flat)]
        with torch.inference_mode():  # the buffer may have been made in this mode, and only here it can be written then
            here.copy_(flat, non_blocking=True)
        if self._pinned:
            torch.cuda.current_stream(flat.device).synchronize()
        return split_like(here.clone(), tensors)
