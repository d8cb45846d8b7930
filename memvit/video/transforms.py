"""From the uint8 frames of clips to what a model reads."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from memvit.models.zoo import Preprocessing


def model_input(frames: Tensor, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB → (B, 3, T, H, W), scaled to 0..1 and normalised, on the frames' device."""
    mean, std = _on_device(preprocessing.mean, frames.device), _on_device(preprocessing.std, frames.device)
    if preprocessing.channels == "bgr":
        frames = frames.flip(-1)
    pixels = frames.float().div_(255).sub_(mean).div_(std)
    return pixels.permute(0, 4, 1, 2, 3).contiguous().to(dtype)


@cache
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants, copied to a device once."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


def normalised(frames: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(B, T, 3, H, W) uint8 RGB, as image libraries lay it out → the same as `model_input`."""
    return model_input(frames.permute(0, 1, 3, 4, 2), preprocessing)
