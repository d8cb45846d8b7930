"""The whole detector as a network: a batch of pictures → what is found in each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from memvit.models.mvit import Backbone

from .boxes import clipped, decoded
from .config import DetectorConfig, Selection
from .detections import Found, best_detections
from .fpn import FPN
from .heads import BOX_SIDE, MASK_SIDE, BoxHead, MaskHead
from .images import ImageBatch, Size
from .pooling import Pooling
from .proposals import ProposalNetwork, best_proposals

PUBLISHED = Selection()


class DetectionNetwork(nn.Module):
    """Backbone, feature pyramid, proposals, box heads and mask head."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        backbone, channels = config.backbone, config.channels
        self.backbone = Backbone(backbone)
        widths = [backbone.embed_dim * 2**stage for stage in range(len(backbone.stage_starts) + 1)]
        self.fpn = FPN(widths, channels)
        self.rpn = ProposalNetwork(channels, config.rpn_convs, config.anchor_sizes)
        self.box_heads = nn.ModuleList(BoxHead(config) for _ in config.box_weights)
        self.mask_head = MaskHead(config)
        self.pooling = Pooling()

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised, sides multiples of 32 → the maps p2 to p6, (B, channels, H', W')."""
        stages = self.backbone.stage_maps(pixels.unsqueeze(2))
        return self.fpn([volume.squeeze(2) for volume in stages])

    def forward(self, batch: ImageBatch, rule: Selection = PUBLISHED, *, masks: bool = True) -> list[Found]:
        """What is found in each picture, in its pixels. Without `masks`, their logits are (N, 0, 0)."""
        maps = self.maps(batch.pixels)
        logits, deltas = self.rpn(maps)
        maps = self.pooling.prepared(maps)
        proposals = best_proposals(logits, deltas, self.rpn.anchors(logits), batch.sizes, rule)
        boxes, scores = self.refined(maps, [each.boxes for each in proposals], batch.sizes)
        found = [best_detections(*picture, rule=rule) for picture in zip(boxes, scores, batch.sizes, strict=True)]
        kept, labels = [of_picture[0] for of_picture in found], torch.cat([of_picture[2] for of_picture in found])
        mask_logits = self.masks_of(maps, kept, labels) if masks else maps[0].new_zeros(len(labels), 0, 0)
        counts = [len(of_picture) for of_picture in kept]
        return [Found(*each, of_picture) for each, of_picture in zip(found, mask_logits.split(counts), strict=True)]

    def refined(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], sizes: Sequence[Size]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Boxes of each picture → better boxes (N, 4) or (N, 4 · classes), not clipped, and scores (N, classes).

        NOTE: each head of a cascade begins from the boxes of the head before it; scores are the mean of all heads.
        Empty boxes stay, so that boxes and scores belong together.
        """
        counts = [len(of_picture) for of_picture in boxes]
        total: Tensor | None = None
        better: list[Tensor] = []
        for head, weights in zip(self.box_heads, self.config.box_weights, strict=True):
            if better:
                boxes = [clipped(of_picture, size) for of_picture, size in zip(better, sizes, strict=True)]
            logits, deltas = head(self.pooling(maps, boxes, BOX_SIDE))
            probabilities = logits.float().softmax(dim=1)
            total = probabilities if total is None else total + probabilities
            better = list(decoded(deltas, torch.cat(list(boxes)), weights).split(counts))
        assert total is not None
        scores = (total / len(self.box_heads))[:, :-1]
        return better, list(scores.split(counts))

    def masks_of(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Logits (sum N, 28, 28) of the masks of boxes of each picture, each of its class."""
        return self.mask_head.of_classes(self.pooling(maps, boxes, MASK_SIDE), labels)
