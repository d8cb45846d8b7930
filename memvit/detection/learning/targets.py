"""The objects of one picture as a detector learns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from ..rle import decoded

Polygons = tuple[NDArray[np.float64], ...]
"""The parts of one mask: each x, y, x, y … in pixels."""
Mask = Polygons | Tensor
"""One mask: polygons, or (H, W) bool pixels of the picture."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Objects of one picture, in its pixels as the network is given it."""

    boxes: Tensor
    """(M, 4) float32 xyxy."""
    labels: Tensor
    """(M,) int64"""
    masks: tuple[Mask, ...] | None
    """Of each object; None where masks are not learned."""
    seed: int = 0
    """Of the choice of boxes that the losses read."""

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> Targets:
        """Boxes and labels on a device; masks stay on the CPU, where they are drawn."""
        return Targets(self.boxes.to(device), self.labels.to(device), self.masks, self.seed)


def masks_in_boxes(masks: Sequence[Mask], boxes: Tensor, side: int) -> Tensor:
    """What of each mask lies in its box (N, 4) on the CPU, in `side` × `side` pixels: (N, side, side) bool."""
    drawn = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    for place, mask, box in zip(drawn, masks, boxes, strict=True):
        place[:] = _pixels_in_box(mask, box, side) if isinstance(mask, Tensor) else _drawn_in_box(mask, box, side)
    return drawn


def drawn_polygons(polygons: Polygons, size: tuple[int, int]) -> Tensor:
    """(height, width) bool: the pixels of a mask that is given by polygons."""
    from pycocotools import mask as coco_mask

    parts = coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], *size)
    return torch.from_numpy(decoded(coco_mask.merge(parts)["counts"].decode("ascii"), size))


def _drawn_in_box(polygons: Polygons, box: Tensor, side: int) -> Tensor:
    x1, y1, x2, y2 = box.tolist()
    scale = np.array([side / max(x2 - x1, 0.1), side / max(y2 - y1, 0.1)])
    moved = [((polygon.reshape(-1, 2) - (x1, y1)) * scale).reshape(-1) for polygon in polygons]
    return drawn_polygons(tuple(moved), (side, side))


def _pixels_in_box(mask: Tensor, box: Tensor, side: int) -> Tensor:
    """Means over the bins of a box, which are set where they are at least one half."""
    pixels = mask[None, None].float()
    return roi_align(pixels, [box[None].float()], side, 1.0, 0, True)[0, 0] >= 0.5
