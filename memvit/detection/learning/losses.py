"""The losses of a detector. Each is the sum over pictures of a loss that is normalised in its picture.

So the mean over a batch does not depend on how its pictures are shared out over processes. With one picture a process
it is that of the reference. Sources: Faster R-CNN, arXiv 1506.01497; Mask R-CNN, arXiv 1703.06870.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..boxes import encoded
from ..proposals import WEIGHTS
from .matching import BACKGROUND, OBJECT, matched, sampled
from .targets import Targets

ANCHORS, ANCHOR_PART = 256, 0.5
"""How many anchors of a picture are read, and how many of them may stand for objects."""
ANCHOR_BELOW, ANCHOR_ABOVE = 0.3, 0.7


@dataclass(frozen=True, eq=False)
class LabelledBoxes:
    """Boxes of one picture, and what a box head should say of them."""

    boxes: Tensor
    """(N, 4)"""
    labels: Tensor
    """(N,) int64; the number of classes stands for the background."""
    objects: Tensor
    """(N,) int64: which object of the picture each stands for, where it does."""


def proposal_losses(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    targets: Sequence[Targets],
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor]:
    """What the proposal network gave for each map → losses of objectness and of boxes."""
    scores = torch.cat([of_map.permute(0, 2, 3, 1).flatten(1) for of_map in logits], dim=1).float()
    batch = len(scores)
    changes = torch.cat([of_map.permute(0, 2, 3, 1).reshape(batch, -1, 4) for of_map in deltas], dim=1).float()
    places = torch.cat(list(anchors))
    objectness = boxes = scores.new_zeros(())
    for score, change, picture, generator in zip(scores, changes, targets, generators, strict=True):
        found = matched(places, picture.boxes, ANCHOR_BELOW, ANCHOR_ABOVE, every_object=True)
        chosen, background = sampled(found.kinds, ANCHORS, ANCHOR_PART, generator)
        read = torch.cat((chosen, background))
        wanted = (found.kinds[read] == OBJECT).float()
        objectness = objectness + F.binary_cross_entropy_with_logits(score[read], wanted, reduction="sum") / ANCHORS
        if len(chosen):
            expected = encoded(places[chosen], picture.boxes[found.objects[chosen]], WEIGHTS)
            boxes = boxes + (change[chosen] - expected).abs().sum() / ANCHORS
    return objectness, boxes


def labelled(boxes: Tensor, picture: Targets, overlap: float, num_classes: int) -> LabelledBoxes:
    """Boxes with the labels of the objects that they overlap by at least `overlap`, or of the background."""
    found = matched(boxes, picture.boxes, overlap, overlap)
    labels = torch.full_like(found.objects, num_classes)
    is_object = found.kinds == OBJECT
    labels[is_object] = picture.labels[found.objects[is_object]]
    return LabelledBoxes(boxes, labels, found.objects)


def some_labelled(
    boxes: LabelledBoxes, count: int, part: float, num_classes: int, generator: torch.Generator
) -> LabelledBoxes:
    """At most `count` of the boxes, at random; at most `part` of `count` of objects."""
    kinds = torch.where(boxes.labels < num_classes, OBJECT, BACKGROUND)
    chosen = torch.cat(sampled(kinds, count, part, generator))
    return LabelledBoxes(boxes.boxes[chosen], boxes.labels[chosen], boxes.objects[chosen])


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    boxes: Sequence[LabelledBoxes],
    targets: Sequence[Targets],
    weights: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """What a box head said of the boxes of all pictures → losses of classes and of boxes."""
    labels = torch.cat([of_picture.labels for of_picture in boxes])
    share = _shares([len(of_picture.labels) for of_picture in boxes], logits.device)
    classes = (F.cross_entropy(logits.float(), labels, reduction="none") * share).sum()
    chosen = (labels < logits.shape[1] - 1).nonzero()[:, 0]
    wanted = torch.cat(
        [
            picture.boxes[of_picture.objects] if len(picture) else of_picture.boxes
            for of_picture, picture in zip(boxes, targets, strict=True)
        ]
    )
    expected = encoded(torch.cat([of_picture.boxes for of_picture in boxes])[chosen], wanted[chosen], weights)
    each = deltas.float().view(len(deltas), -1, 4)[chosen, labels[chosen] if deltas.shape[1] > 4 else 0]
    return classes, ((each - expected).abs().sum(dim=1) * share[chosen]).sum()


def mask_loss(logits: Tensor, masks: Tensor, counts: Sequence[int]) -> Tensor:
    """Logits (N, S, S) of masks, and the masks (N, S, S) bool; `counts` says how many are of each picture."""
    each = F.binary_cross_entropy_with_logits(logits.float(), masks.float(), reduction="none").mean(dim=(1, 2))
    return (each * _shares(counts, logits.device)).sum()


def _shares(counts: Sequence[int], device: torch.device) -> Tensor:
    """One divided by the count of its picture, for each row."""
    return torch.cat([torch.full((count,), 1 / max(count, 1)) for count in counts]).to(device)
