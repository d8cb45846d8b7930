"""Square windows of a map of tokens: cut apart for attention within each of them, and joined again."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .config import Grid


def cut(tokens: Tensor, grid: Grid, side: int) -> tuple[Tensor, Grid]:
    """(B, T·H·W, C) → (B · windows, T·side·side, C) and the grid of one window.

    The map is filled up with zeros at the bottom and on the right. Windows are in the order of rows.
    """
    frames, height, width = grid
    maps = F.pad(tokens.unflatten(1, grid), (0, 0, 0, -width % side, 0, -height % side))
    windows = maps.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, T, rows, side, columns, side, C)
    apart = windows.permute(0, 2, 4, 1, 3, 5, 6)
    return apart.reshape(-1, frames * side * side, tokens.shape[2]), (frames, side, side)


def joined(windows: Tensor, grid: Grid, side: int) -> Tensor:
    """The reverse of `cut`: (B · windows, T·side·side, C) → (B, T·H·W, C), without what the map was filled up with."""
    frames, height, width = grid
    rows, columns = -(-height // side), -(-width // side)
    apart = windows.unflatten(1, (frames, side, side)).unflatten(0, (-1, rows, columns))
    maps = apart.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)
    return maps[:, :, :height, :width].flatten(1, 3)
