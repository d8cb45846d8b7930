"""Pictures of any sizes → one normalised batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .config import DIVISOR

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of RGB values 0 to 255."""

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class ImageBatch:
    """Pictures side by side in one tensor."""

    pixels: Tensor
    """(B, 3, H, W), normalised; zeros fill up smaller pictures at the bottom and on the right."""
    sizes: tuple[Size, ...]
    """The size of each picture, without what was filled up."""


def resized_size(height: int, width: int, short_side: int, long_side: int) -> Size:
    """The size with a short side of `short_side`, or less where the long side would be above `long_side`."""
    scale = short_side / min(height, width)
    sides: tuple[float, float] = (short_side, scale * width) if height < width else (scale * height, short_side)
    if max(sides) > long_side:
        limit = long_side * 1.0 / max(sides)
        sides = (sides[0] * limit, sides[1] * limit)
    return max(1, int(sides[0] + 0.5)), max(1, int(sides[1] + 0.5))


def resized(image: Tensor, size: Size) -> Tensor:
    """A (3, H, W) uint8 picture in another size, with the antialiased bilinear filter of Pillow; on the CPU."""
    if tuple(image.shape[1:]) == size:
        return image
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    smooth = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(smooth)).permute(2, 0, 1)


def check_images(images: Sequence[Tensor]) -> None:
    """ValueError if one is no (3, H, W) uint8 tensor with at least one pixel."""
    for index, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8 or image.numel() == 0:
            raise ValueError(
                f"images must be (3, H, W) uint8 RGB tensors, image {index} is {tuple(image.shape)} {image.dtype}"
            )


def batch_of(images: Sequence[Tensor], device: torch.device, dtype: torch.dtype = torch.float32) -> ImageBatch:
    """Normalise (3, H, W) uint8 pictures on a device and put them into one tensor.

    NOTE: zeros are filled in after the normalisation, so they are of the mean colour.
    """
    sizes = tuple((int(image.shape[1]), int(image.shape[2])) for image in images)
    height = max(height for height, _ in sizes)
    width = max(width for _, width in sizes)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
    pixels = torch.zeros(len(images), 3, filled(height), filled(width), device=device)
    for place, image in zip(pixels, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = (image.to(device).float() - mean) / std
    return ImageBatch(pixels.to(dtype), sizes)


def filled(side: int) -> int:
    """A side, made a multiple of what the network needs."""
    return -(-side // DIVISOR) * DIVISOR
