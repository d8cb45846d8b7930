"""Batch norm over the pictures of all processes, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn import functional as collectives

from ..heads import ConvRelu


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose mean and variance, while training, are those of the boxes of all processes together.

    Each process counts by the number of its boxes; it may have none. In one process it is an ordinary batch norm.
    """

    group: Any = None
    """The process group; None: this process alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape; N may be 0."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        values = x.float()
        count = values.new_full((1,), values.shape[0] * values.shape[2] * values.shape[3])
        sums = torch.cat((values.sum(dim=(0, 2, 3)), values.square().sum(dim=(0, 2, 3)), count))
        if self.group is not None:
            sums = collectives.all_reduce(sums, dist.ReduceOp.SUM, self.group)
        channels, total = self.num_features, sums[-1].clamp(min=1)
        mean = sums[:channels] / total
        variance = (sums[channels:-1] / total - mean.square()).clamp(min=0)
        with torch.no_grad():
            if float(sums[-1]) > 0:
                unbiased = variance * total / (total - 1).clamp(min=1)
                self.running_mean.lerp_(mean, self.momentum or 0.0)
                self.running_var.lerp_(unbiased, self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def share_batch_norms(network: nn.Module, group: Any) -> None:
    """Put batch norms that the processes of `group` share in the place of those of a network; their values stay."""
    for module in network.modules():
        if isinstance(module, ConvRelu) and module.norm is not None:
            shared = SharedBatchNorm(module.norm.num_features)
            shared.load_state_dict(module.norm.state_dict())
            shared.group, module.norm = group, shared
