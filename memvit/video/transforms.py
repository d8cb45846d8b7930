"""From the uint8 frames of clips to what a model reads."""

from __future__ import annotations

import torch
from torch import Tensor

from memvit.models.zoo import Preprocessing


def model_input(frames: Tensor, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB → (B, 3, T, H, W), scaled to 0..1 and normalised, on the frames' device."""
    mean = torch.tensor(preprocessing.mean, device=frames.device)
    std = torch.tensor(preprocessing.std, device=frames.device)
    if preprocessing.channels == "bgr":
        frames = frames.flip(-1)
    pixels = frames.float().div_(255).sub_(mean).div_(std)
    return pixels.permute(0, 4, 1, 2, 3).contiguous().to(dtype)
