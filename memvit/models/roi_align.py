"""RoIAlign: torchvision's operator, without the seconds that importing torchvision takes.

Its Python side brings torch's compiler along, for programs that are traced; the operator is a library of its own. The
gradient is registered by the Python side, too, so `_RoIAlign` gives it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .transfer import sent

SAMPLING_RATIO = 0
"""As many samples as a box has pixels."""
ALIGNED = True
"""Samples lie between pixels."""


def roi_align(maps: Tensor, boxes: Sequence[Tensor], *, size: int, spatial_scale: float) -> Tensor:
    """(B, C, H, W) and B tensors (N_i, 4), xyxy in pixels of the input → (sum N_i, C, size, size).

    The maps have a gradient, the boxes have none. Boxes may be on the CPU: they go to the maps' device in one copy.
    """
    known = [box.to(boxes[0].device, maps.dtype) for box in boxes]
    image = [box.new_full((len(box), 1), index) for index, box in enumerate(known)]
    rois = sent(torch.cat((torch.cat(image), torch.cat(known)), dim=1), maps.device)
    if not _is_plain(maps) or not _operator_loads():
        from torchvision.ops import roi_align

        return roi_align(maps, rois, size, spatial_scale, sampling_ratio=SAMPLING_RATIO, aligned=ALIGNED)
    pooled: Tensor = _RoIAlign.apply(maps, rois, spatial_scale, size)
    return pooled


class _RoIAlign(torch.autograd.Function):
    """The operator with its gradient, whether or not torchvision was imported."""

    @staticmethod
    def forward(maps: Tensor, rois: Tensor, spatial_scale: float, size: int) -> Tensor:
        """Maps (B, C, H, W) and rows (R, 5) of image and box → (R, C, size, size)."""
        return torch.ops.torchvision.roi_align(maps, rois, spatial_scale, size, size, SAMPLING_RATIO, ALIGNED)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float, int], output: Tensor) -> None:
        """What the backward pass needs."""
        maps, rois, ctx.spatial_scale, ctx.size = inputs
        ctx.save_for_backward(rois)
        ctx.shape = maps.shape

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None, None]:
        """Of the maps."""
        (rois,) = ctx.saved_tensors
        sizes = (ctx.spatial_scale, ctx.size, ctx.size, *ctx.shape, SAMPLING_RATIO, ALIGNED)
        return torch.ops.torchvision._roi_align_backward(slopes, rois, *sizes), None, None, None


def _is_plain(maps: Tensor) -> bool:
    """Whether there are values to compute with: nothing is traced, and no other algorithm is asked for."""
    if torch.compiler.is_compiling() or type(maps) is not Tensor or maps.is_meta:
        return False
    return not torch.are_deterministic_algorithms_enabled()


@cache
def _operator_loads() -> bool:
    """Find and load the library in torchvision's folder, where this build has one."""
    found = find_spec("torchvision")
    folders = (found.submodule_search_locations if found else None) or []
    libraries = [path for folder in folders for path in Path(folder).glob("_C*") if path.suffix in (".so", ".pyd")]
    for path in libraries:
        with suppress(OSError):
            torch.ops.load_library(path)
    return hasattr(torch.ops.torchvision, "roi_align")
