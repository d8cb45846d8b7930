"""How a detector is run: a copy of its network, prepared for a device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor

from memvit.runtime.cpu.prepack import prepack
from memvit.runtime.cpu.winograd import WinogradConv
from memvit.runtime.plain import with_cached_columns

from .config import Selection
from .detections import Found
from .gathered_pooling import GatheredPooling
from .heads import ConvRelu
from .images import batch_of
from .network import DetectionNetwork


class DetectionRunner:
    """Runs a network on a device, without gradients, with the weights of when the runner was made."""

    def __init__(self, network: DetectionNetwork, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = device, dtype
        self.twin: DetectionNetwork
        """The copy that is run."""
        if device.type == "cpu":
            self.twin = prepack(network, dtype=dtype)
            self.twin.pooling = GatheredPooling()
            if dtype == torch.float32:
                use_winograd(self.twin)
        else:
            self.twin = with_cached_columns(network, device, dtype)

    def __call__(self, images: Sequence[Tensor], rule: Selection, *, masks: bool = True) -> list[Found]:
        """What is found in (3, H, W) uint8 pictures, in their pixels; they are computed as one batch."""
        kind = self.device.type
        autocast = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
        with torch.inference_mode(), autocast:
            found: list[Found] = self.twin(batch_of(images, self.device, self.dtype), rule, masks=masks)
            return found


def use_winograd(network: DetectionNetwork) -> None:
    """Put convolutions with fewer products in the place of those of the mask head.

    Pyramid and proposals stay as they are: other rounding there moves boxes, and pixels of small masks with them.
    """
    for index, conv in enumerate(network.mask_head.convs):
        network.mask_head.convs[index] = WinogradConv(*cast(ConvRelu, conv).folded(), relu=True)
