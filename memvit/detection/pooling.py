"""Maps p2 to p5 → what lies in each box, in one size. Source: Mask R-CNN, arXiv 1703.06870."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from .config import STRIDES

CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4
"""A box of 224 × 224 pixels is pooled from p4."""
POOLED_LEVELS = 4
"""Boxes are pooled from p2 to p5."""


def levels_of(boxes: Tensor) -> Tensor:
    """(N, 4) boxes in pixels → (N,) int64: 0 for p2 … 3 for p5, by the square root of their area."""
    sizes = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    # NOTE: the small number is added to the ratio, so a box of exactly 112 × 112 belongs to the coarser map.
    levels = torch.floor(CANONICAL_LEVEL + torch.log2(sizes / CANONICAL_SIZE + 1e-8))
    return levels.clamp(2, 1 + POOLED_LEVELS).long() - 2


def rois_of(boxes: Sequence[Tensor]) -> Tensor:
    """One (N, 4) a picture → (sum N, 5): the number of its picture before each box."""
    numbered = [torch.cat((box.new_full((len(box), 1), index), box), dim=1) for index, box in enumerate(boxes)]
    return torch.cat(numbered).float()


class Pooling(nn.Module):
    """What lies in boxes, with torchvision's operator. Runners may put another in its place."""

    def prepared(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps as they are read: of this type and order alone; each is converted once, not at every call."""
        return [features.float().contiguous() for features in maps]

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], side: int) -> Tensor:
        """What lies in the boxes of each picture, from the map that fits their size: (sum N, C, side, side).

        `maps` are p2, p3 … (B, C, H, W), prepared; `boxes` one (N, 4) a picture, in pixels. Each bin is the mean of as
        many samples as the map has steps in it.
        """
        rois = rois_of(boxes)
        levels = levels_of(rois[:, 1:])
        found = maps[0].new_zeros(len(rois), maps[0].shape[1], side, side)
        for level, (features, stride) in enumerate(zip(maps[:POOLED_LEVELS], STRIDES, strict=False)):
            chosen = (levels == level).nonzero()[:, 0]
            if len(chosen):
                part = roi_align(features, rois[chosen].to(features.dtype), side, 1 / stride, 0, True)
                found.index_put_((chosen,), part)
        return found
