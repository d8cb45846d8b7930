"""The small parts every block is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6


def layer_norm(dim: int) -> nn.LayerNorm:
    """LayerNorm as every MViT uses it."""
    return nn.LayerNorm(dim, eps=NORM_EPS)


class SplitLinear(nn.Linear):
    """One layer whose output comes in equal parts, each contiguous: fused queries, keys and values."""

    def __init__(self, in_features: int, part_features: int, parts: int) -> None:
        super().__init__(in_features, part_features * parts)
        self.parts = parts

    def forward(self, x: Tensor) -> list[Tensor]:  # type: ignore[override]
        """(…, in) → `parts` tensors (…, part_features)."""
        pairs = zip(self.weight.chunk(self.parts), self.bias.chunk(self.parts), strict=True)
        return [F.linear(x, weight, bias) for weight, bias in pairs]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, and dropout after each while training."""

    def __init__(self, dim: int, hidden_dim: int, dim_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim_out)."""
        hidden = F.gelu(self.fc1(x))
        if not self.training or self.dropout == 0.0:
            return self.fc2(hidden)
        return F.dropout(self.fc2(F.dropout(hidden, self.dropout)), self.dropout)


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop the whole branch for some samples of a batch (stochastic depth, arXiv 1603.09382)."""
    if not training or rate == 0.0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * keep / (1 - rate)
