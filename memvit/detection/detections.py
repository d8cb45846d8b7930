"""What a detector finds in one picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from .boxes import clipped, is_nonempty
from .config import Selection
from .images import Size
from .masks import PackedMasks, pasted


@dataclass(frozen=True, eq=False)
class Found:
    """The detections of one picture as the network gives them, best first."""

    boxes: Tensor
    """(N, 4) xyxy in pixels of what the network was given."""
    scores: Tensor
    """(N,)"""
    labels: Tensor
    """(N,) int64"""
    mask_logits: Tensor
    """(N, 28, 28)"""


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects of one picture, best first. All is on the CPU."""

    boxes: Tensor
    """(N, 4) float32, xyxy in pixels of the picture as it was given."""
    scores: Tensor
    """(N,) float32, 0 to 1."""
    labels: Tensor
    """(N,) int64, from 0, in the order of the class names."""
    masks: PackedMasks
    """`masks.mask(i)` is (H, W) bool."""

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, index: int) -> Tensor:
        """(H, W) bool: the mask of one object."""
        return self.masks.mask(index)

    def select(self, chosen: Tensor) -> Detections:
        """Some of the objects: (N,) bool, or (M,) int64 indices."""
        indices = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen
        masks = self.masks.select(indices.tolist())
        return Detections(self.boxes[indices], self.scores[indices], self.labels[indices], masks)


def best_detections(boxes: Tensor, scores: Tensor, size: Size, rule: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels that are kept of the boxes of one picture, best first.

    `boxes`: (N, 4), or (N, 4 · classes) with a box a class; `scores`: (N, classes). A box may be found as several
    classes. Boxes that overlap a better one of their class are left out.
    """
    is_finite = boxes.isfinite().all(dim=1) & scores.isfinite().all(dim=1)
    boxes, scores = boxes[is_finite], scores[is_finite]
    each = clipped(boxes.view(len(boxes), -1, 4), size)
    wanted = scores > rule.min_score
    if rule.label is not None:
        wanted &= torch.arange(scores.shape[1], device=scores.device) == rule.label
    box, label = wanted.nonzero(as_tuple=True)
    found = each[box, label if each.shape[1] > 1 else 0]
    found_scores = scores[box, label]
    keep = batched_nms(found, found_scores, label, rule.iou)
    if rule.detections >= 0:
        keep = keep[: rule.detections]
    return found[keep], found_scores[keep], label[keep]


def in_picture(found: Found, size: Size, picture: Size) -> Detections:
    """Detections of a picture that the network was given in `size`, in pixels of the `picture` as it was before.

    Boxes that are empty after that are left out.
    """
    scale = torch.tensor([picture[1] / size[1], picture[0] / size[0]]).repeat(2)
    boxes = clipped(found.boxes.float().cpu() * scale, picture)
    kept = is_nonempty(boxes)
    masks = PackedMasks(picture, (), ())
    if found.mask_logits.shape[1]:
        masks = pasted(found.mask_logits.float().cpu()[kept].sigmoid(), boxes[kept], picture)
    return Detections(boxes[kept], found.scores.float().cpu()[kept], found.labels.cpu()[kept], masks)
