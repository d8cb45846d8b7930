"""What a model wants to be shown, and the way from frames to that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants to be shown."""

    num_frames: int
    frame_interval: int
    """Distance of the frames, in frames of a 30 fps video; 1 for images."""
    short_side: int = 224
    crop: Literal["none", "center"] = "center"
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channels: Literal["rgb", "bgr"] = "rgb"


class Normalisation:
    """From uint8 frames to what a model reads, with constants that lie on the device."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """`dtype`: of what the model reads."""
        self._mean, self._std = _constants(preprocessing.mean, device), _constants(preprocessing.std, device)
        self._is_bgr, self._dtype = preprocessing.channels == "bgr", dtype

    def __call__(self, images: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 RGB → (B, 3, T, H, W), scaled to 0..1 and normalised.

        Images that are not uint8 are normalised already: only their type changes.
        """
        if images.dtype != torch.uint8:
            return images.to(self._dtype)
        frames = images.flip(-1) if self._is_bgr else images
        pixels = frames.float().div_(255).sub_(self._mean).div_(self._std)
        return pixels.permute(0, 4, 1, 2, 3).contiguous().to(self._dtype)


@cache
def _constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Copied to a device once."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


def model_input(frames: Tensor, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB → (B, 3, T, H, W), scaled to 0..1 and normalised, on the frames' device."""
    return Normalisation(preprocessing, frames.device, dtype)(frames)


def normalised(frames: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(B, T, 3, H, W) uint8 RGB, as image libraries lay it out → the same as `model_input`."""
    return model_input(frames.permute(0, 1, 3, 4, 2), preprocessing)
