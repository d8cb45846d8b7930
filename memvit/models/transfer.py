"""Copies from the CPU to a device for which nobody waits."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. A GPU fetches it from pinned memory while the program goes on.

    torch keeps the pinned memory until the copy is done. From memory that is not pinned every copy waits for all that
    the GPU has still to do.
    """
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
