"""RoIAlign for inference: torchvision's operator, without the seconds that importing torchvision takes.

Its Python side brings torch's compiler along, for programs that are traced; the operator is a library of its own.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from memvit.models.heads import RoIAlign


class OperatorRoIAlign(RoIAlign):
    """`RoIAlign` without gradients, by the operator alone."""

    def forward(self, maps: Tensor, rois: Tensor) -> Tensor:
        """As in `RoIAlign`."""
        if not operator_loads():
            return super().forward(maps, rois)
        size = self.size
        return torch.ops.torchvision.roi_align(maps, rois, self.spatial_scale, size, size, 0, True)


def use_operator(network: nn.Module) -> None:
    """Let a network's heads call the operator; for inference only."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is RoIAlign:
                setattr(module, name, OperatorRoIAlign(child.size, child.spatial_scale))


@cache
def operator_loads() -> bool:
    """Find and load the library in torchvision's folder, where this build has one."""
    found = find_spec("torchvision")
    folders = (found.submodule_search_locations if found else None) or []
    libraries = [path for folder in folders for path in Path(folder).glob("_C*") if path.suffix in (".so", ".pyd")]
    for path in libraries:
        with suppress(OSError):
            torch.ops.load_library(path)
    return hasattr(torch.ops.torchvision, "roi_align")
