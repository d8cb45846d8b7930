"""Copies from the CPU to a device that the program does not wait for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memvit.models.boxes import BoxBatch


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


def sent_boxes(boxes: Sequence[Tensor], slots: int, device: torch.device) -> BoxBatch:
    """The boxes of B clips, (N_i, 4) on the CPU, as a batch on a device; `slots` as in `BoxBatch.of`."""
    batch = BoxBatch.of(boxes, slots)
    indices = sent(torch.cat(batch.tensors[1:]), device)
    group, slot, clip_of_group, first_group = indices.split([len(part) for part in batch.tensors[1:]])
    return BoxBatch(sent(batch.rois, device), group, slot, clip_of_group, first_group, batch.queries)
