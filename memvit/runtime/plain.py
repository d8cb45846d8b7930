"""The runner of devices without a special one: the network as it is, with cached position columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memvit.labels import Labels
from memvit.models.attention import PoolingAttention
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.output import ModelOutput
from memvit.models.preprocessing import Preprocessing

from .columns import CachedAttention
from .runner import Precision, Runner
from .twin import Network, inference_twin


def with_cached_columns(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """A copy for inference whose layers cache the position columns of each shape."""
    twin = inference_twin(network, device, dtype)
    for module in list(twin.modules()):
        if isinstance(module, PoolingAttention):
            module.attention = CachedAttention(module.attention)
    return twin


class PlainRunner(Runner):
    """Runs the network in float32 or bfloat16 on any device of torch."""

    def __init__(
        self,
        network: MeMViT | MViT,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        device: torch.device,
        precision: Precision,
    ) -> None:
        super().__init__(network, preprocessing, labels, device=device, precision=precision)
        self._twin = with_cached_columns(network, device, self.dtype)

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """One call of the network for the whole batch; arguments and results as in `Runner.step`."""
        with self.inference():
            images = self.as_images(images)
            return self._twin.step(images, boxes, memory, remember=remember)
