"""The runner of a device."""

from __future__ import annotations

import torch

from memvit.labels import Labels
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.preprocessing import Preprocessing

from .runner import Precision, Runner


def for_device(
    network: MeMViT | MViT,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    *,
    preprocessing: Preprocessing,
    labels: Labels | None = None,
) -> Runner:
    """The runner of a device. ValueError if the device does not have the precision: `int8` is for CPUs."""
    device = torch.device(device)
    if device.type == "cpu":
        from .cpu.runner import CpuRunner

        return CpuRunner(network, preprocessing, labels, precision=precision)
    if precision == "int8":
        raise ValueError(f"8-bit products are for CPUs that oneDNN knows, not for {device}; use bfloat16")
    if device.type == "cuda":
        from .cuda.runner import CudaRunner

        return CudaRunner(network, preprocessing, labels, device=device, precision=precision)
    from .plain import PlainRunner

    return PlainRunner(network, preprocessing, labels, device=device, precision=precision)
