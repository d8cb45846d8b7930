"""3 × 3 convolutions with a quarter of the products. Source: Lavin and Gray, arXiv 1509.09308, F(4 × 4, 3 × 3).

Tiles of 6 × 6 pixels become 4 × 4 results by 36 products a channel, where the direct way needs 144. What that saves is
more than its sums cost if these are products of matrices too, and if a strip of tiles stays in the cache. Results
differ from those of the direct way by rounding alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE, STEP = 6, 4
"""Pixels that a tile reads and gives, on each side."""
STRIP = 192
"""Tiles that are computed together: with 256 channels, their values take 7 MB."""
POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where the polynomials of rows are evaluated, besides infinity. With these, rounding is a quarter of what it is with
the usual 0, ±1 and ±2."""


def powers(count: int) -> Tensor:
    """(6, count) float64: the powers 0 … count − 1 of the points, and of infinity, of which only the last counts."""
    of_points = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
    return torch.cat((of_points, F.one_hot(torch.tensor([count - 1]), count).double()))


INPUT = torch.linalg.inv(powers(TILE)).T
KERNEL = powers(3)
OUTPUT = powers(STEP).T
"""(6, 6), (6, 3) and (4, 6): what pixels, weights and products of one dimension are multiplied with."""


class WinogradConv(nn.Module):
    """(B, in, H, W) → (B, out, H, W): a 3 × 3 convolution with padding 1 and a bias, and a ReLU where wanted.

    In float32, channels last in memory.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool) -> None:
        """`weight` is (out, in, 3, 3), `bias` (out,)."""
        super().__init__()
        self.bias, self.relu = bias.detach().float(), relu
        kernel = torch.einsum("ap,oipq,bq->abio", KERNEL, weight.detach().double(), KERNEL)
        self._kernel = kernel.flatten(0, 1).float().contiguous()
        """(36, in, out)"""
        self._input = torch.kron(INPUT, INPUT).float()
        self._output = torch.kron(OUTPUT, OUTPUT).float()

    def forward(self, x: Tensor) -> Tensor:
        """The same pixels, other channels."""
        batch, _, height, width = x.shape
        rows = x.permute(0, 2, 3, 1)
        down, across = -(-height // STEP), -(-width // STEP)
        result = x.new_empty(batch, height, width, len(self.bias))
        # Large maps are computed some rows of tiles at a time, small ones some at a time.
        lines = max(min(STRIP // across, down), 1)
        together = max(STRIP // (across * down), 1) if lines == down else 1
        for first in range(0, batch, together):
            for line in range(0, down, lines):
                part = slice(first, first + together), slice(STEP * line, STEP * (line + lines))
                result[part] = self._strip(rows[part[0]], STEP * line, min(lines, down - line), across)
        return result.permute(0, 3, 1, 2)

    def _strip(self, rows: Tensor, top: int, lines: int, across: int) -> Tensor:
        """(B, H, W, in) → some lines of tiles, from row `top` on: (B, at most 4 · lines, W, out)."""
        batch, height, width, channels = rows.shape
        low, high = max(top - 1, 0), min(top + STEP * lines + 1, height)
        above, below = low - (top - 1), top + STEP * lines + 1 - high
        padded = F.pad(rows[:, low:high], (0, 0, 1, STEP * across + 1 - width, above, below))
        a, b, c, d = padded.stride()
        tiles = padded.as_strided(
            (TILE, TILE, batch, lines, across, channels), (b, c, a, STEP * b, STEP * c, d), padded.storage_offset()
        )
        values = torch.mm(self._input, tiles.reshape(TILE**2, -1)).view(TILE**2, -1, channels)
        products = torch.bmm(values, self._kernel)
        sums = torch.mm(self._output, products.view(TILE**2, -1)).view(STEP, STEP, batch, lines, across, -1)
        sums += self.bias
        if self.relu:
            sums.relu_()
        pixels = sums.permute(2, 3, 0, 4, 1, 5).reshape(batch, STEP * lines, STEP * across, -1)
        return pixels[:, : height - top, :width]
