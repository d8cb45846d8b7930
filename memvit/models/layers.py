"""The small parts every block is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6


def layer_norm(dim: int) -> nn.LayerNorm:
    """LayerNorm as every MViT uses it."""
    return nn.LayerNorm(dim, eps=NORM_EPS)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, and dropout after each while training."""

    def __init__(self, dim: int, hidden_dim: int, dim_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim_out)."""
        fused = getattr(self.fc1, "with_gelu", None)  # of a packed layer, see onednn.py
        hidden = F.gelu(self.fc1(x)) if fused is None else fused(x)
        if not self.training or self.dropout == 0.0:
            return self.fc2(hidden)
        return F.dropout(self.fc2(F.dropout(hidden, self.dropout)), self.dropout)


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop the whole branch for some samples of a batch (stochastic depth, arXiv 1603.09382)."""
    if not training or rate == 0.0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * keep / (1 - rate)
