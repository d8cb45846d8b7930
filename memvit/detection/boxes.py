"""Arithmetic of boxes: anchors, and boxes that are predicted as changes of others. Boxes are (N, 4) xyxy in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .config import RATIOS

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""A predicted logarithm of a change of width or height is cut off here; exp of more may overflow."""


def anchors_of(height: int, width: int, stride: int, size: float, device: torch.device) -> Tensor:
    """The anchors of a map, (height · width · 3, 4), in the order of rows, columns and ratios.

    The centre of the first is (0, 0), not the middle of the first step.
    """
    shapes = []
    for ratio in RATIOS:
        across = math.sqrt(size**2 / ratio)
        down = ratio * across
        shapes.append((-across / 2, -down / 2, across / 2, down / 2))
    rows, columns = (torch.arange(0, steps * stride, stride, dtype=torch.float32) for steps in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack((x, y, x, y), dim=2).view(-1, 1, 4)
    return (places + torch.tensor(shapes)).view(-1, 4).to(device)


def decoded(deltas: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """Boxes (N, 4) changed by (N, 4·K) predictions (dx, dy, dw, dh), divided by `weights`: (N, 4·K), in float32."""
    deltas, boxes = deltas.float(), boxes.float()
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    centres = torch.stack((boxes[:, 0] + 0.5 * widths, boxes[:, 1] + 0.5 * heights), dim=1)
    sizes = torch.stack((widths, heights), dim=1)
    each = deltas.view(len(boxes), -1, 4)
    shift = each[..., :2] / each.new_tensor(weights[:2])
    growth = (each[..., 2:] / each.new_tensor(weights[2:])).clamp(max=MAX_LOG_SCALE)
    new_centres = shift * sizes[:, None] + centres[:, None]
    half = 0.5 * (growth.exp() * sizes[:, None])
    return torch.cat((new_centres - half, new_centres + half), dim=2).view(deltas.shape)


def encoded(boxes: Tensor, targets: Tensor, weights: Sequence[float]) -> Tensor:
    """What `decoded` needs to make `targets` (N, 4) of `boxes` (N, 4), which are not empty: (N, 4) dx, dy, dw, dh."""
    sizes, wanted = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + 0.5 * wanted - boxes[:, :2] - 0.5 * sizes) / sizes
    return torch.cat((shift, (wanted / sizes).log()), dim=1) * boxes.new_tensor(weights)


def clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (…, 4) within a picture of (height, width)."""
    height, width = size
    return torch.stack(
        (
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ),
        dim=-1,
    )


def is_nonempty(boxes: Tensor) -> Tensor:
    """(N,) bool: whether boxes have a width and a height."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
