"""What a detector is, as data. Source of the numbers: MViTv2, arXiv 2112.01526, and its release in detectron2."""

from __future__ import annotations

from dataclasses import dataclass

from memvit.models.config import MViTConfig

STRIDES = (4, 8, 16, 32, 64)
"""Pixels per step of the maps p2 to p6, on which everything but the backbone works."""
DIVISOR = 32
"""Height and width of a batch are filled up to multiples of this."""
RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the anchors at each place."""


@dataclass(frozen=True)
class DetectorConfig:
    """A Mask R-CNN, or a Cascade Mask R-CNN, over a multiscale vision transformer with windows."""

    backbone: MViTConfig
    cascade: bool
    """Three box heads, each with four convolutions and boxes for all classes in common, instead of one head of linear
    layers with a box a class."""
    num_classes: int = 80
    channels: int = 256
    """Of the maps p2 to p6, and of the convolutions of all heads."""
    hidden_dim: int = 1024
    """Of the linear layers of box heads."""
    anchor_sizes: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    """Square root of the area, in pixels, of the anchors on p2 to p6."""

    @property
    def batch_norm(self) -> bool:
        """Whether the convolutions of box and mask heads have batch norms instead of biases."""
        return self.cascade

    @property
    def rpn_convs(self) -> int:
        """How many 3×3 convolutions proposals are read from."""
        return 2 if self.cascade else 1

    @property
    def box_weights(self) -> tuple[tuple[float, float, float, float], ...]:
        """One entry a box head: what the four numbers that it predicts of a box are divided by."""
        weights = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
        return weights if self.cascade else weights[:1]


@dataclass(frozen=True)
class Selection:
    """Which proposals and detections are kept; the defaults are those that figures are published with."""

    proposals_per_level: int = 1000
    proposals: int = 1000
    proposal_iou: float = 0.7
    min_score: float = 0.05
    """Detections have a score above this."""
    iou: float = 0.5
    """Of two detections of a class that overlap more than this, the one with the higher score is kept."""
    detections: int = 100
    """The most of one picture; negative: all."""
    label: int | None = None
    """Look for this class alone; None: for all."""
