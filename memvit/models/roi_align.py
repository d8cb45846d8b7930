"""RoIAlign: torchvision's operator, without the seconds that importing torchvision takes.

Its Python side brings torch's compiler along, for programs that are traced; the operator is a library of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def roi_align(maps: Tensor, boxes: Sequence[Tensor], *, size: int, spatial_scale: float) -> Tensor:
    """(B, C, H, W) and B tensors (N_i, 4), xyxy in pixels of the input → (sum N_i, C, size, size).

    Samples lie between pixels (`aligned`), as many as a box has pixels.
    """
    if not _is_plain(maps) or not _operator_loads():
        from torchvision.ops import roi_align

        return roi_align(maps, list(boxes), size, spatial_scale, sampling_ratio=0, aligned=True)
    image = [box.new_full((len(box), 1), index) for index, box in enumerate(boxes)]
    rois = torch.cat((torch.cat(image), torch.cat(tuple(boxes))), dim=1)
    return torch.ops.torchvision.roi_align(maps, rois, spatial_scale, size, size, 0, True)


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
