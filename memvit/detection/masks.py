"""Masks of boxes → masks of pictures, kept small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .images import Size

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Masks of one picture: of each, the part that may be set, with eight pixels in a byte."""

    size: Size
    """(height, width) of the picture."""
    parts: tuple[tuple[int, int, int, int], ...]
    """x1, y1, x2, y2 of the part that is kept of each mask, in whole pixels."""
    bits: tuple[NDArray[np.uint8], ...]
    """The pixels of each part, row after row, as `numpy.packbits` packs them."""

    def __len__(self) -> int:
        return len(self.parts)

    def mask(self, index: int) -> Tensor:
        """(H, W) bool: the whole mask."""
        mask = torch.zeros(self.size, dtype=torch.bool)
        x1, y1, x2, y2 = self.parts[index]
        mask[y1:y2, x1:x2] = self.part(index)
        return mask

    def part(self, index: int) -> Tensor:
        """(y2 − y1, x2 − x1) bool: the part that is kept."""
        x1, y1, x2, y2 = self.parts[index]
        pixels = np.unpackbits(self.bits[index], count=(y2 - y1) * (x2 - x1))
        return torch.from_numpy(pixels.view(bool).reshape(y2 - y1, x2 - x1))

    def select(self, indices: Sequence[int]) -> PackedMasks:
        """Some of the masks; where boxes were found without masks, there are none of them either."""
        if not self.parts:
            return self
        return PackedMasks(
            self.size, tuple(self.parts[index] for index in indices), tuple(self.bits[index] for index in indices)
        )


def pasted(probabilities: Tensor, boxes: Tensor, size: Size) -> PackedMasks:
    """Masks (N, S, S) of probabilities, stretched over their boxes (N, 4) in a picture of (height, width).

    Values are interpolated at the centres of pixels, and are zero outside the box.
    """
    probabilities, boxes = probabilities.float().cpu(), boxes.float().cpu()
    parts, bits = [], []
    for mask, box in zip(probabilities, boxes, strict=True):
        part = _part_of(box, size)
        parts.append(part)
        bits.append(np.packbits(_pasted_part(mask, box, part).numpy()))
    return PackedMasks(size, tuple(parts), tuple(bits))


def _part_of(box: Tensor, size: Size) -> tuple[int, int, int, int]:
    """The pixels that a mask can reach; one more on each side than the box has."""
    height, width = size
    x1, y1 = (max(int(edge) - 1, 0) for edge in box[:2].floor().tolist())
    x2, y2 = (int(edge) + 1 for edge in box[2:].ceil().tolist())
    return x1, y1, max(min(x2, width), x1), max(min(y2, height), y1)


def _pasted_part(mask: Tensor, box: Tensor, part: tuple[int, int, int, int]) -> Tensor:
    x1, y1, x2, y2 = part
    x = (torch.arange(x1, x2, dtype=torch.float32) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(y1, y2, dtype=torch.float32) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=2)
    return F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0] >= THRESHOLD
