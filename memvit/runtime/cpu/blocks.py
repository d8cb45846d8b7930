"""Blocks for inference on a CPU: the MLP in place, some tokens at a time, and some samples at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from memvit.models.attention import MemoryKV, PooledKV
from memvit.models.config import Grid
from memvit.models.mvit import Block

HIDDEN_VALUES = 2**20
"""How many values of an MLP's hidden layer each thread computes at a time (4 MB in float32)."""
BLOCK_VALUES = 2**19
"""How many values of a block's input each thread takes at a time, where a batch has several samples."""


class CpuBlock(nn.Module):
    """A block whose layers have been packed; the same numbers as `Block`."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    @property
    def attn(self) -> nn.Module:
        """The attention of the block."""
        return self.block.attn

    def forward(self, x: Tensor, grid: Grid, memory: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
        """As in `Block`."""
        block = self.block
        if block.proj is not None and not block.grows_in_attention:
            return block(x, grid, memory)
        x, pooled_grid, pooled = block.attend(x, grid, memory)
        # A hidden layer of all tokens would be mapped and page-faulted again at every call, which costs more than the
        # arithmetic. The values of a chunk stay in the cache from norm to sum.
        tokens = x.flatten(0, 1)
        room = HIDDEN_VALUES * torch.get_num_threads()
        chunks = math.ceil(len(tokens) * block.hidden_dim / room)
        for chunk in tokens.split(math.ceil(len(tokens) / chunks)):
            chunk += block.mlp(block.norm2(chunk))
        return x, pooled_grid, pooled


class MicrobatchedBlock(nn.Module):
    """A block of a network without memory, over as many samples at a time as the cache holds."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, grid: Grid, memory: None = None) -> tuple[Tensor, Grid, PooledKV]:
        """As in `Block`; the pooled tokens are those of the first samples only, since no memory reads them."""
        room = BLOCK_VALUES * torch.get_num_threads()
        parts = [self.block(part, grid, memory) for part in x.split(max(1, room // x[0].numel()))]
        _, pooled_grid, pooled = parts[0]
        return torch.cat([tokens for tokens, _, _ in parts]) if len(parts) > 1 else parts[0][0], pooled_grid, pooled
