"""What is said of each box: its class, a better box, and a mask."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import DetectorConfig

BOX_SIDE, MASK_SIDE = 7, 14
"""Side of what is pooled for boxes and for masks."""
CONVS = 4


class ConvRelu(nn.Conv2d):
    """A 3×3 convolution and a ReLU; a batch norm between them takes the place of the bias."""

    def __init__(self, channels: int, *, batch_norm: bool) -> None:
        super().__init__(channels, channels, 3, padding=1, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → the same shape."""
        x = super().forward(x)
        return F.relu_(x if self.norm is None else self.norm(x))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution with its batch norm, as it is when nothing is learned."""
        if self.norm is None:
            return self.weight, cast(Tensor, self.bias)
        mean, variance = cast(Tensor, self.norm.running_mean).double(), cast(Tensor, self.norm.running_var).double()
        scale = self.norm.weight.double() / (variance + self.norm.eps).sqrt()
        return self.weight.double() * scale.view(-1, 1, 1, 1), self.norm.bias.double() - mean * scale


class BoxHead(nn.Module):
    """Features of boxes → logits of the classes, and how each box changes."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, config.hidden_dim
        convs = CONVS if config.cascade else 0
        self.convs = nn.ModuleList(ConvRelu(channels, batch_norm=config.batch_norm) for _ in range(convs))
        widths = [channels * BOX_SIDE**2, hidden] if config.cascade else [channels * BOX_SIDE**2, hidden, hidden]
        self.linears = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        # NOTE: the last class is the background.
        self.classes = nn.Linear(hidden, config.num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 if config.cascade else 4 * config.num_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, 7, 7) → logits (N, classes + 1), the background last, and changes (N, 4) or (N, 4 · classes)."""
        hidden = self.hidden(features)
        return self.classes(hidden), self.deltas(hidden)

    def hidden(self, features: Tensor) -> Tensor:
        """(N, C, 7, 7) → (N, hidden), in the type of the weights."""
        features = features.to(self.classes.weight.dtype)
        for conv in self.convs:
            features = conv(features)
        hidden = features.flatten(1)
        for linear in self.linears:
            hidden = F.relu_(linear(hidden))
        return hidden


class MaskHead(nn.Module):
    """Features of boxes → a mask a class."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        channels = config.channels
        self.convs = nn.ModuleList(ConvRelu(channels, batch_norm=config.batch_norm) for _ in range(CONVS))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.predictor = nn.Conv2d(channels, config.num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, 14, 14) → logits (N, classes, 28, 28)."""
        return cast(Tensor, self.predictor(self.hidden(features)))

    def of_classes(self, features: Tensor, labels: Tensor) -> Tensor:
        """As a call, for one class of each box alone: (N, C, 14, 14) and (N,) int64 → logits (N, 28, 28)."""
        features = self.convolved(features)
        channels, height, width = features.shape[1:]
        # The transposed convolution makes 2 × 2 pixels of each one, of that alone: it is a product of matrices. Pixels
        # are put into their places when one value of each is left.
        kernel = self.upsample.weight.permute(2, 3, 1, 0).reshape(4 * channels, channels)
        pixels = F.linear(features.permute(0, 2, 3, 1), kernel, cast(Tensor, self.upsample.bias).repeat(4))
        pixels = F.relu_(pixels).view(-1, 4 * height * width, channels)
        weight, bias = self.predictor.weight[labels].flatten(1), cast(Tensor, self.predictor.bias)[labels]
        logits = torch.baddbmm(bias[:, None, None], pixels, weight[:, :, None])
        return logits.view(-1, height, width, 2, 2).transpose(2, 3).reshape(-1, 2 * height, 2 * width)

    def hidden(self, features: Tensor) -> Tensor:
        """(N, C, 14, 14) → (N, C, 28, 28), in the type of the weights."""
        return F.relu_(self.upsample(self.convolved(features)))

    def convolved(self, features: Tensor) -> Tensor:
        """(N, C, 14, 14) → the same shape, in the type of the weights, channels last."""
        # The convolutions are faster with channels last, on CPUs and GPUs.
        features = features.to(self.predictor.weight.dtype, memory_format=torch.channels_last)
        for conv in self.convs:
            features = conv(features)
        return features
