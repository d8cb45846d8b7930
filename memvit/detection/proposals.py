"""The region proposal network: where anything may be. Source: Faster R-CNN, arXiv 1506.01497."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from .boxes import anchors_of, clipped, decoded, is_nonempty
from .config import RATIOS, STRIDES, Selection
from .images import Size

WEIGHTS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Proposals:
    """Boxes of one picture that may hold an object, best first."""

    boxes: Tensor
    """(N, 4) xyxy in pixels."""
    logits: Tensor
    """(N,)"""


class ProposalNetwork(nn.Module):
    """Scores the anchors at every place of p2 to p6, and predicts how their boxes change."""

    def __init__(self, channels: int, convs: int, anchor_sizes: Sequence[float]) -> None:
        super().__init__()
        self.anchor_sizes = tuple(anchor_sizes)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convs))
        self.objectness = nn.Conv2d(channels, len(RATIOS), 1)
        self.deltas = nn.Conv2d(channels, 4 * len(RATIOS), 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """[(B, C, H, W)] → a map: logits (B, 3, H, W), and changes (B, 12, H, W), anchor by anchor dx, dy, dw, dh."""
        logits, deltas = [], []
        for features in maps:
            for conv in self.convs:
                features = F.relu_(conv(features))
            logits.append(self.objectness(features))
            deltas.append(self.deltas(features))
        return logits, deltas

    def anchors(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """The anchors (H · W · 3, 4) of each map, by the logits of the map."""
        sizes = [(of_map.shape[2], of_map.shape[3]) for of_map in logits]
        levels = zip(sizes, STRIDES, self.anchor_sizes, strict=True)
        return [anchors_of(*size, stride, side, logits[0].device) for size, stride, side in levels]


def best_proposals(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    sizes: Sequence[Size],
    rule: Selection,
) -> list[Proposals]:
    """The proposals of each picture, from what the network gave for each map.

    The best of every map are taken, then those that overlap a better one of their map are left out.
    """
    boxes, scores, levels = [], [], []
    for level, (of_map, changes, places) in enumerate(zip(logits, deltas, anchors, strict=True)):
        flat = of_map.permute(0, 2, 3, 1).flatten(1).float()
        best, index = flat.topk(min(rule.proposals_per_level, flat.shape[1]), dim=1)
        rows = changes.permute(0, 2, 3, 1).reshape(len(flat), -1, 4)
        chosen = rows.gather(1, index[:, :, None].expand(-1, -1, 4))
        moved = decoded(chosen.flatten(0, 1), places[index].flatten(0, 1), WEIGHTS)
        boxes.append(moved.view(len(flat), -1, 4))
        scores.append(best)
        levels.append(torch.full((best.shape[1],), level, device=best.device))
    level_of = torch.cat(levels)
    pictures = zip(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), sizes, strict=True)
    return [_kept(found, best, level_of, size, rule) for found, best, size in pictures]


def _kept(boxes: Tensor, logits: Tensor, levels: Tensor, size: Size, rule: Selection) -> Proposals:
    """What is kept of the best boxes of all maps of one picture."""
    is_finite = boxes.isfinite().all(dim=1) & logits.isfinite()
    boxes = clipped(boxes, size)
    usable = is_finite & is_nonempty(boxes)
    boxes, logits, levels = boxes[usable], logits[usable], levels[usable]
    keep = batched_nms(boxes, logits, levels, rule.proposal_iou)[: rule.proposals]
    return Proposals(boxes[keep], logits[keep])
