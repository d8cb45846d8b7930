"""The pooling of boxes for CPUs: what it reads of a map are whole pixels, so that channels are computed together.

Torchvision's operator on the CPU reads one channel at a time. It takes seven times as long.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import STRIDES
from .pooling import POOLED_LEVELS, Pooling, levels_of, rois_of


class GatheredPooling(Pooling):
    """Gives what `Pooling` gives, up to rounding, in channels-last order."""

    def prepared(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps as they are read: float32, the channels of a pixel side by side."""
        return [features.float().contiguous(memory_format=torch.channels_last) for features in maps]

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], side: int) -> Tensor:
        """What lies in the boxes, (sum N, C, side, side): arguments as `Pooling.forward` takes them."""
        rois = rois_of(boxes)
        channels = maps[0].shape[1]
        found = maps[0].new_zeros(len(rois), side * side, channels)
        levels = levels_of(rois[:, 1:])
        for level, (features, stride) in enumerate(zip(maps[:POOLED_LEVELS], STRIDES, strict=False)):
            height, width = features.shape[2:]
            table = features.permute(0, 2, 3, 1).reshape(-1, channels)
            edges = rois[:, 1:] / stride - 0.5
            bins = (edges[:, 2:] - edges[:, :2]) / side
            # Boxes with as many samples in a bin, across and down, are computed together.
            counts = bins.ceil().clamp(min=0).long()
            kinds = torch.where(levels == level, counts[:, 0] * len(table) + counts[:, 1], -1)
            for kind in kinds.unique().tolist():
                across, down = divmod(kind, len(table))
                if kind < 0 or not across or not down:
                    continue
                chosen = (kinds == kind).nonzero()[:, 0]
                column, of_column = axis_weights(edges[chosen, 0], bins[chosen, 0], side, width, across)
                row, of_row = axis_weights(edges[chosen, 1], bins[chosen, 1], side, height, down)
                first = rois[chosen, 0].long() * (height * width)
                pixels = first.view(-1, 1, 1, 1, 1) + row[:, :, None, :, None] * width + column[:, None, :, None, :]
                shares = of_row[:, :, None, :, None] * of_column[:, None, :, None, :]
                bags = len(chosen) * side * side
                sums = F.embedding_bag(
                    pixels.view(bags, -1), table, per_sample_weights=shares.view(bags, -1), mode="sum"
                )
                found[chosen] = sums.view(len(chosen), -1, channels)
        return found.view(-1, side, side, channels).permute(0, 3, 1, 2)


def axis_weights(start: Tensor, bins: Tensor, side: int, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Which steps of one axis of a map the bins of boxes read, and how much of each.

    Args:
        start: (N,) where the boxes begin, in steps of the map.
        bins: (N,) how long a bin is.
        side: Bins of a box.
        size: Steps of the axis.
        count: Samples in a bin; each is interpolated between two steps.

    Returns:
        (N, side, count + 1) int64 steps and their weights.
    """
    sample = (torch.arange(count, device=start.device) + 0.5) / count
    begin = start[:, None] + torch.arange(side, device=start.device) * bins[:, None]
    places = begin[:, :, None] + sample * bins[:, None, None]
    is_inside = (places >= -1) & (places <= size)
    places = places.clamp(0, size - 1)
    steps = places[:, :, :1].floor() + torch.arange(count + 1, device=start.device)
    shares = (1 - (places[:, :, :, None] - steps[:, :, None, :]).abs()).clamp(min=0) * is_inside[:, :, :, None]
    return steps.clamp(max=size - 1).long(), shares.mean(dim=2)
