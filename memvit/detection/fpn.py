"""The feature pyramid: maps of four stages → maps p2 to p6 of one width. Source: FPN, arXiv 1612.03144."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class FPN(nn.Module):
    """Each map is added to the coarser one, enlarged; p6 is every second value of p5."""

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in widths)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """[(B, C, H, W)] of the stages, finest first → [(B, channels, H, W)], p2 to p6."""
        above: Tensor | None = None
        outputs = []
        for stage, lateral, output in reversed(list(zip(stages, self.lateral, self.output, strict=True))):
            merged = lateral(stage)
            if above is not None:
                merged += F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = merged
            outputs.append(output(merged))
        return [*reversed(outputs), outputs[0][:, :, ::2, ::2]]
