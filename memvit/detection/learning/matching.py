"""Which object each box stands for, and which boxes a loss reads. Source: Faster R-CNN, arXiv 1506.01497."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

OBJECT, BACKGROUND, NEITHER = 1, 0, -1


@dataclass(frozen=True, eq=False)
class Matches:
    """What each of N boxes stands for."""

    objects: Tensor
    """(N,) int64: the object that a box overlaps most; 0 where there are no objects."""
    kinds: Tensor
    """(N,) int64: OBJECT, BACKGROUND or NEITHER."""


def matched(boxes: Tensor, objects: Tensor, below: float, above: float, *, every_object: bool = False) -> Matches:
    """Match (N, 4) boxes with (M, 4) objects by their overlap (intersection over union).

    A box stands for the object that it overlaps most if that is `above` or more, and for the background if it is less
    than `below`. With `every_object`, the boxes that overlap an object most stand for an object, however little it is.
    """
    nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    if not len(objects):
        return Matches(nothing, nothing)
    overlaps = box_iou(objects, boxes)
    largest, index = overlaps.max(dim=0)
    kinds = torch.full_like(nothing, NEITHER)
    kinds[largest < below] = BACKGROUND
    kinds[largest >= above] = OBJECT
    if every_object:
        best = overlaps.amax(dim=1, keepdim=True)
        # NOTE: such a box keeps the object that it overlaps most itself, which may be another one.
        kinds[((overlaps == best) & (best > 0)).any(dim=0)] = OBJECT
    return Matches(index, kinds)


def sampled(kinds: Tensor, count: int, part: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of at most `count` boxes, chosen at random: those of objects, at most `part` of `count`, and background.

    `generator` is on the CPU, so that a choice does not depend on the device.
    """
    objects, background = ((kinds == kind).nonzero()[:, 0] for kind in (OBJECT, BACKGROUND))
    objects = _some(objects, int(count * part), generator)
    return objects, _some(background, count - len(objects), generator)


def _some(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if len(indices) <= count:
        return indices
    return indices[torch.randperm(len(indices), generator=generator)[:count].to(indices.device)]
