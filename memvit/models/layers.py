"""The small parts every block is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6
HIDDEN_VALUES = 2**21
"""At inference on a CPU the hidden layer of an MLP is made in parts of about this many values (8 MB in float32). Larger
ones would be mapped and page-faulted anew at every call, which costs more than the arithmetic, and leave the cache."""


def layer_norm(dim: int) -> nn.LayerNorm:
    """LayerNorm as every MViT uses it."""
    return nn.LayerNorm(dim, eps=NORM_EPS)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden_dim: int, dim_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim_out)."""
        hidden_dim = self.fc1.out_features
        if torch.is_grad_enabled() or x.device.type != "cpu" or x.numel() // x.shape[-1] * hidden_dim <= HIDDEN_VALUES:
            return self.fc2(self._hidden(x))
        parts = x.flatten(0, -2).split(HIDDEN_VALUES // hidden_dim)
        return torch.cat([self.fc2(self._hidden(part)) for part in parts]).unflatten(0, x.shape[:-1])

    def _hidden(self, x: Tensor) -> Tensor:
        fused = getattr(self.fc1, "with_gelu", None)  # of a packed layer, see packed.py
        return F.gelu(self.fc1(x)) if fused is None else fused(x)


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop the whole branch for some samples of a batch (stochastic depth, arXiv 1603.09382)."""
    if not training or rate == 0.0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * keep / (1 - rate)
