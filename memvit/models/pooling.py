"""Pooling of tokens that lie on a grid, the cls token handled once: (tokens, grid) → (tokens, grid).

Tokens are (B, N, C), the cls token first where there is one, then the grid in (time, height, width) order. That is a
channels-last volume already, so convolutions run on a view of the tokens and nothing is transposed. Heads share the
weights of a pool, so the kernel is repeated over heads instead of the heads being folded into the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Grid


class PoolConv(nn.Conv3d):
    """A depthwise convolution without bias that keeps the grid at stride 1; heads share its weights."""

    def __init__(self, channels: int, kernel: Grid, stride: Grid) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, heads · channels, T, H, W) → (B, heads · channels, T', H', W')."""
        channels = volume.shape[1]
        weight = self.weight.repeat(channels // self.out_channels, 1, 1, 1, 1)
        return F.conv3d(volume, weight, None, self.stride, self.padding, groups=channels)


def pooled_grid(grid: Grid, kernel: Grid, stride: Grid) -> Grid:
    """The grid after a pool with padding kernel // 2."""
    t, h, w = ((size + 2 * (k // 2) - k) // s + 1 for size, k, s in zip(grid, kernel, stride, strict=True))
    return t, h, w


def as_volume(tokens: Tensor, grid: Grid) -> Tensor:
    """(B, T·H·W, C) → (B, C, T, H, W) without copying, in channels-last layout."""
    return tokens.unflatten(1, grid).permute(0, 4, 1, 2, 3)


def as_tokens(volume: Tensor) -> Tensor:
    """(B, C, T, H, W) → (B, T·H·W, C); without copying for a channels-last volume."""
    return volume.permute(0, 2, 3, 4, 1).flatten(1, 3)


def conv_pool(
    tokens: Tensor, grid: Grid, conv: nn.Module, norm: nn.LayerNorm, *, cls_token: bool
) -> tuple[Tensor, Grid]:
    """Depthwise convolution and LayerNorm of each head; the cls token skips the former: (B, N, C) → (B, N', C).

    `conv` takes all C channels, `norm` those of one head.
    """
    heads = tokens.shape[2] // norm.normalized_shape[0]
    volume = conv(as_volume(tokens[:, 1:] if cls_token else tokens, grid))
    pooled = as_tokens(volume)
    if cls_token:
        pooled = torch.cat((tokens[:, :1], pooled), dim=1)
    pooled = norm(pooled.unflatten(2, (heads, -1))).flatten(2) if heads > 1 else norm(pooled)
    return pooled, (volume.shape[2], volume.shape[3], volume.shape[4])


def max_pool(tokens: Tensor, grid: Grid, stride: Grid, *, cls_token: bool) -> Tensor:
    """Max pool of the skip path, kernel stride + 1; the cls token passes. Stride 1 is the identity."""
    if stride == (1, 1, 1):
        return tokens
    kernel = tuple(s + 1 if s > 1 else 1 for s in stride)
    volume = as_volume(tokens[:, 1:] if cls_token else tokens, grid)
    pooled = as_tokens(F.max_pool3d(volume, kernel, stride, tuple(k // 2 for k in kernel)))
    return torch.cat((tokens[:, :1], pooled), dim=1) if cls_token else pooled
