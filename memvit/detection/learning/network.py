"""A detector that is given objects with its pictures, and says how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ..boxes import clipped, decoded, is_nonempty
from ..config import DetectorConfig, Selection
from ..heads import BOX_SIDE
from ..images import ImageBatch
from ..network import DetectionNetwork
from ..proposals import best_proposals
from .losses import LabelledBoxes, box_losses, labelled, mask_loss, proposal_losses, some_labelled
from .targets import Targets, masks_in_boxes

OVERLAPS = (0.5, 0.6, 0.7)
"""How much of an object the boxes overlap that stand for it, for each head of a cascade."""


PROPOSALS = Selection(proposals_per_level=2000, proposals=1000)


@dataclass(frozen=True)
class LearningRule:
    """How many boxes are read while training; the defaults are the published ones."""

    proposals: Selection = PROPOSALS
    boxes: int = 512
    box_part: float = 0.25
    """How many of these may stand for objects."""


class LearningNetwork(DetectionNetwork):
    """The network with losses in the place of detections. Its parameters have the same names."""

    def __init__(self, config: DetectorConfig, rule: LearningRule | None = None) -> None:
        super().__init__(config)
        self.rule = rule or LearningRule()

    def forward(self, batch: ImageBatch, targets: Sequence[Targets]) -> dict[str, Tensor]:  # type: ignore[override]
        """The losses of a batch by their names, each summed over pictures."""
        generators = [torch.Generator().manual_seed(picture.seed) for picture in targets]
        maps = self.maps(batch.pixels)
        logits, deltas = self.rpn(maps)
        anchors = self.rpn.anchors(logits)
        losses = dict(
            zip(
                ("objectness", "proposals"),
                proposal_losses(logits, deltas, anchors, targets, generators),
                strict=True,
            )
        )
        with torch.no_grad():
            proposals = best_proposals(logits, deltas, anchors, batch.sizes, self.rule.proposals)
            chosen = [
                self._chosen(torch.cat((found.boxes, picture.boxes)), picture, generator)
                for found, picture, generator in zip(proposals, targets, generators, strict=True)
            ]
        maps = self.pooling.prepared(maps)
        losses |= self._box_losses(maps, chosen, targets, batch)
        if targets and targets[0].masks is not None:
            losses["masks"] = self._mask_loss(maps, chosen, targets)
        return losses

    def _chosen(self, boxes: Tensor, picture: Targets, generator: torch.Generator) -> LabelledBoxes:
        """The boxes of a picture that the heads learn from; the objects themselves are among the proposals."""
        classes, rule = self.config.num_classes, self.rule
        return some_labelled(
            labelled(boxes, picture, OVERLAPS[0], classes), rule.boxes, rule.box_part, classes, generator
        )

    def _box_losses(
        self, maps: Sequence[Tensor], boxes: Sequence[LabelledBoxes], targets: Sequence[Targets], batch: ImageBatch
    ) -> dict[str, Tensor]:
        """Of each head. In a cascade, a head begins from the boxes of the head before it, matched anew."""
        losses: dict[str, Tensor] = {}
        heads = len(self.box_heads)
        for stage, (head, weights) in enumerate(zip(self.box_heads, self.config.box_weights, strict=True)):
            features = self.pooling(maps, [of_picture.boxes for of_picture in boxes], BOX_SIDE)
            logits, deltas = head(scaled_gradient(features, 1 / heads) if heads > 1 else features)
            pair = box_losses(logits, deltas, boxes, targets, weights)
            losses[f"classes{stage}"], losses[f"boxes{stage}"] = pair
            if stage + 1 < heads:
                boxes = self._next_boxes(deltas.detach(), boxes, targets, batch, stage)
        return losses

    @torch.no_grad()
    def _next_boxes(
        self,
        deltas: Tensor,
        boxes: Sequence[LabelledBoxes],
        targets: Sequence[Targets],
        batch: ImageBatch,
        stage: int,
    ) -> list[LabelledBoxes]:
        counts = [len(of_picture.labels) for of_picture in boxes]
        before = torch.cat([of_picture.boxes for of_picture in boxes])
        better = decoded(deltas, before, self.config.box_weights[stage]).split(counts)
        found = []
        for each, size, picture in zip(better, batch.sizes, targets, strict=True):
            inside = clipped(each, size)
            # NOTE: unlike when detecting, boxes that have become empty are left out.
            usable = inside[is_nonempty(inside)]
            found.append(labelled(usable, picture, OVERLAPS[stage + 1], self.config.num_classes))
        return found

    def _mask_loss(self, maps: Sequence[Tensor], boxes: Sequence[LabelledBoxes], targets: Sequence[Targets]) -> Tensor:
        """Masks are learned in the boxes of objects that the first box head was given."""
        positive = [of_picture.labels < self.config.num_classes for of_picture in boxes]
        inside = [of_picture.boxes[chosen] for of_picture, chosen in zip(boxes, positive, strict=True)]
        labels = torch.cat([of_picture.labels[chosen] for of_picture, chosen in zip(boxes, positive, strict=True)])
        logits = self.masks_of(maps, inside, labels)
        masks = [
            picture.masks[index]
            for of_picture, chosen, picture in zip(boxes, positive, targets, strict=True)
            if picture.masks is not None
            for index in of_picture.objects[chosen].tolist()
        ]
        wanted = masks_in_boxes(masks, torch.cat(inside).cpu(), logits.shape[1]).to(logits.device)
        return mask_loss(logits, wanted, [len(of_picture) for of_picture in inside])


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] * ctx.scale, None


def scaled_gradient(features: Tensor, scale: float) -> Tensor:
    """The same values, of which only a part of the gradient comes back."""
    return cast(Tensor, _ScaledGradient.apply(features, scale))
