"""Pooling attention over the tokens of the current clip and of past clips.

It returns what may be remembered of the clip, and stores nothing.

One module serves every family: MViTv2 projects first and pools after (a fused `qkv`), MeMViT pools first (`q`, `k`,
`v`). Parameter names are those of the official checkpoints. Shapes: B batch, N tokens (cls first), C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import BlockConfig, Grid, MViTConfig
from .layers import SplitLinear, layer_norm
from .pooling import PoolConv, conv_pool
from .position import PositionColumns, PositionRule, PositionTables, position_columns, query_products
from .windows import cut, joined

MASK_VALUE = -6e4
"""Logit of a key that must not be read; its exp is exactly 0 in every dtype, and float16 can hold it."""


@dataclass(frozen=True)
class MemoryKV:
    """What one layer reads of earlier clips; R clips or slots, oldest first."""

    keys: Tensor
    """(B, R, tokens, C), compressed, not yet projected; cls first."""
    values: Tensor
    """(B, R, tokens, C), in the same order."""
    grid: Grid
    """The grid of one compressed clip's tokens."""
    valid_mask: Tensor
    """(B, R) bool: whether the stream is old enough to have that clip or slot."""
    left_out: tuple[int, ...] = ()
    """Places, oldest first, of clips or slots that the model reads and that are not here, since no stream has them."""

    @property
    def clips(self) -> tuple[Grid, int]:
        """The grid of a compressed clip, and how many of them the model reads, those that are left out included."""
        return self.grid, self.keys.shape[1] + len(self.left_out)

    def select(self, samples: slice) -> MemoryKV:
        """The memory of some of the B streams."""
        return replace(self, keys=self.keys[samples], values=self.values[samples], valid_mask=self.valid_mask[samples])

    def without(self, places: Sequence[int]) -> MemoryKV:
        """Without the clips or slots at these places."""
        kept = [place for place in range(self.keys.shape[1]) if place not in places]
        keys, values = self.keys[:, kept], self.values[:, kept]
        return MemoryKV(keys, values, self.grid, self.valid_mask[:, kept], tuple(places))

    def keys_here(self, cls: int, one_hot: Tensor) -> Tensor:
        """The rows of `one_hot`, (keys, columns), of the keys that are not left out."""
        if not self.left_out:
            return one_hot
        tokens = math.prod(self.grid) + cls
        kept = [place for place in range(self.clips[1]) if place not in self.left_out]
        past = one_hot[: tokens * self.clips[1]].unflatten(0, (-1, tokens))[kept].flatten(0, 1)
        return torch.cat((past, one_hot[tokens * self.clips[1] :]))


@dataclass(frozen=True)
class PooledKV:
    """What one layer offers to memory after a clip: pooled keys and values, (B, N, C), before any projection."""

    keys: Tensor
    values: Tensor
    grid: Grid

    @staticmethod
    def stack(parts: Sequence[PooledKV]) -> PooledKV:
        """The streams of all parts, one after the other."""
        return PooledKV(torch.cat([p.keys for p in parts]), torch.cat([p.values for p in parts]), parts[0].grid)


@dataclass(frozen=True)
class PositionBias:
    """What positions and missing clips add to the logits of one call."""

    products: list[Tensor]
    """Per axis, (B, heads, N without cls, columns): each query's products with the table of its row."""
    one_hot: Tensor
    """(K, columns): which columns each key answers to, see `PositionColumns`."""
    key_mask: Tensor | None
    """(B, K): 0, or `MASK_VALUE` for a key that the stream does not have; None where all may be read."""

    @property
    def num_queries(self) -> int:
        """N without cls."""
        return self.products[0].shape[2]


def attention(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float) -> Tensor:
    """Attention with decomposed relative positions, plus the queries themselves: (B, N, heads · D).

    q (B, heads, N, D), k and v (B, heads, K, D), the cls token first where there is one. MViTv2 adds q·Rt + q·Rh + q·Rw
    to the logits. Here these products are further columns of the queries, and one-hot coordinates further columns of
    the keys: nothing of the size (queries × keys) exists, and kernels that know no bias can be used. The products must
    be divided by `scale`, which multiplies all columns. The queries are added (residual pooling) except for cls.
    """
    batch, heads, queries, dim = q.shape
    one_hot, key_mask = bias.one_hot, bias.key_mask
    extra = one_hot.shape[1] + (key_mask is not None)
    # All three are padded alike: attention kernels want one width, and a multiple of 8.
    pad = -(dim + extra) % 8
    cls = queries - bias.num_queries

    # One buffer, filled in place: for the first block of a wide clip each copy less is 25 MB less.
    wide = q.new_empty(batch, heads, queries, dim + extra + pad)
    wide[..., :dim] = q
    start = fill_columns(wide, bias.products, cls, dim)
    wide[..., start:] = 0
    k_columns = one_hot.expand(batch, heads, -1, -1)
    if key_mask is not None:
        wide[..., start] = 1
        k_columns = torch.cat((k_columns, key_mask[:, None, :, None].expand(-1, heads, -1, -1)), dim=3)
    keys = F.pad(torch.cat((k, k_columns), dim=3), (0, pad))
    attended = F.scaled_dot_product_attention(wide, keys, F.pad(v, (0, extra + pad)), scale=scale)
    # Contiguous, hence a copy: the residual is added in place, and autograd needs what attention returned.
    attended = attended[..., :dim].transpose(1, 2).flatten(2).contiguous()
    # NOTE: not for cls, as in every Meta release.
    attended[:, cls:] += q[:, :, cls:].transpose(1, 2).flatten(2)
    return attended


def fill_columns(wide: Tensor, products: list[Tensor], cls: int, start: int) -> int:
    """Write the products of all axes side by side from column `start`; returns the next column."""
    for of_axis in products:
        end = start + of_axis.shape[3]
        wide[:, :, :cls, start:end] = 0
        wide[:, :, cls:, start:end] = of_axis
        start = end
    return start


class RelativeAttention(nn.Module):
    """The part of `PoolingAttention` between its projections. It has no parameters, and a runner may replace it."""

    def __init__(self, heads: int, head_dim: int, rule: PositionRule) -> None:
        super().__init__()
        self.heads, self.head_dim, self.rule = heads, head_dim, rule
        self.scale = head_dim**-0.5

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grids: tuple[Grid, Grid],
        tables: PositionTables,
        memory: MemoryKV | None,
    ) -> Tensor:
        """(B, N, C) projected queries, (B, K, C) keys and values → (B, N, C), the queries added to it.

        `grids` are those of the queries and of the present clip's keys. Keys of `memory` come first.
        """
        q, k, v = (tokens.unflatten(2, (self.heads, -1)).transpose(1, 2) for tokens in (q, k, v))
        columns = self.columns(grids, tables, memory)
        patches = q[:, :, int(self.rule.cls_token) :].contiguous()
        products = query_products(patches, grids[0], columns.axes, columns.tables)
        one_hot, key_mask = columns.one_hot, None
        if memory is not None:
            one_hot = memory.keys_here(int(self.rule.cls_token), one_hot)
            key_mask = mask_of_keys(memory, k.shape[2], k.dtype)
        return attention(q, k, v, PositionBias(products, one_hot, key_mask), self.scale)

    def columns(self, grids: tuple[Grid, Grid], tables: PositionTables, memory: MemoryKV | None) -> PositionColumns:
        """Everything about positions that depends only on shapes and weights; the tables divided by the scale."""
        past = None if memory is None else memory.clips
        return position_columns(tables, self.rule, *grids, past, 1 / self.scale)


def mask_of_keys(memory: MemoryKV, keys: int, dtype: torch.dtype) -> Tensor:
    """What is added to the logits of each key, (B, keys): 0, or `MASK_VALUE` where a stream has no such clip."""
    of_clips = torch.where(memory.valid_mask, 0.0, MASK_VALUE).to(dtype)
    of_keys = of_clips[:, :, None].expand(-1, -1, memory.keys.shape[2]).flatten(1)
    return F.pad(of_keys, (0, keys - of_keys.shape[1]))


class PoolingAttention(nn.Module):
    """Multi-head attention with pooled queries, keys and values, relative positions, and memory to read."""

    def __init__(self, config: MViTConfig, block: BlockConfig) -> None:
        super().__init__()
        self.cls_token = config.cls_token
        self.pool_first = config.pool_first
        self.window = block.window
        self.q_window, self.k_window = (block.window // stride[1] for stride in (block.q_stride, block.kv_stride))
        dim, dim_out = block.dim, block.attention_dim
        if config.pool_first:
            self.q, self.k, self.v = (nn.Linear(dim, dim_out) for _ in range(3))
        else:
            self.qkv = SplitLinear(dim, dim_out, 3)
        self.proj = nn.Linear(dim_out, dim_out)

        pool_dim = (dim if config.pool_first else dim_out) // block.heads
        self.pool_q = PoolConv(pool_dim, config.pool_kernel, block.q_stride)
        self.pool_k = PoolConv(pool_dim, config.pool_kernel, block.kv_stride)
        self.pool_v = PoolConv(pool_dim, config.pool_kernel, block.kv_stride)
        self.norm_q, self.norm_k, self.norm_v = (layer_norm(pool_dim) for _ in range(3))
        self._make_position_tables(config, block)
        if config.memory:
            # Every block of the official layout owns these, also those that read no memory.
            self.compress_k = PoolConv(dim, config.memory.kernel, config.memory.stride)
            self.compress_v = PoolConv(dim, config.memory.kernel, config.memory.stride)
            self.norm_compress_k, self.norm_compress_v = layer_norm(dim), layer_norm(dim)
        stride = config.memory.stride[0] if config.memory else 1
        rule = PositionRule(config.cls_token, config.non_square == "clamped", stride)
        self.attention = RelativeAttention(block.heads, block.head_dim, rule)

    def _make_position_tables(self, config: MViTConfig, block: BlockConfig) -> None:
        def table(distances: int) -> nn.Parameter:
            return nn.Parameter(nn.init.trunc_normal_(torch.empty(distances, block.head_dim), std=0.02))

        frames, height, _ = block.grid
        q_size, k_size = height // block.q_stride[1], height // block.kv_stride[1]
        self.rel_pos_h = table(2 * max(q_size, k_size) - 1)
        self.rel_pos_w = table(2 * max(q_size, k_size) - 1)
        self.rel_pos_t = table(2 * frames - 1) if config.rel_pos_temporal else None
        self.rel_pos_mem_h = self.rel_pos_mem_w = self.rel_pos_mem_t = None
        if config.memory:
            memory_size = k_size // config.memory.stride[1]
            self.rel_pos_mem_h = table(2 * max(q_size, memory_size) - 1)
            self.rel_pos_mem_w = table(2 * max(q_size, memory_size) - 1)
            self.rel_pos_mem_t = table((config.memory.read_count + 1) * frames - 1)

    @property
    def position_tables(self) -> PositionTables:
        """The layer's tables by what they are of."""
        memory = (self.rel_pos_mem_h, self.rel_pos_mem_w, self.rel_pos_mem_t)
        return PositionTables(self.rel_pos_h, self.rel_pos_w, self.rel_pos_t, *memory)

    def forward(self, x: Tensor, grid: Grid, memory: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
        """(B, N, dim) on `grid` → (B, N', dim_out) on the pooled grid, and what may be remembered of it."""
        if self.pool_first:
            (q, q_grid), (k, k_grid), (v, _) = (self._pool(x, grid, name) for name in "qkv")
            pooled = PooledKV(k, v, k_grid)
            if memory is not None:
                k = torch.cat((memory.keys.flatten(1, 2), k), dim=1)
                v = torch.cat((memory.values.flatten(1, 2), v), dim=1)
            q, k, v = self.q(q), self.k(k), self.v(v)
        else:
            (q, q_grid), (k, k_grid), (v, _) = (
                self._pool(tokens, grid, name) for tokens, name in zip(self.qkv(x), "qkv", strict=True)
            )
            pooled = PooledKV(k, v, k_grid)
        if self.window:
            return self.proj(self._attend_in_windows(q, k, v, (q_grid, k_grid))), q_grid, pooled
        return self.proj(self.attention(q, k, v, (q_grid, k_grid), self.position_tables, memory)), q_grid, pooled

    def _attend_in_windows(self, q: Tensor, k: Tensor, v: Tensor, grids: tuple[Grid, Grid]) -> Tensor:
        """As `self.attention`, but within windows.

        NOTE: as in the reference, maps are pooled as wholes and cut afterwards, and the zeros that fill up the last
        windows take part: such keys have the logits of their positions.
        """
        q, q_window = cut(q, grids[0], self.q_window)
        k, k_window = cut(k, grids[1], self.k_window)
        v, _ = cut(v, grids[1], self.k_window)
        attended = self.attention(q, k, v, (q_window, k_window), self.position_tables, None)
        return joined(attended, grids[0], self.q_window)

    def compress(self, pooled: PooledKV) -> PooledKV:
        """Pool what a clip left behind into what later clips read."""
        keys, grid = conv_pool(
            pooled.keys, pooled.grid, self.compress_k, self.norm_compress_k, cls_token=self.cls_token
        )
        values, _ = conv_pool(
            pooled.values, pooled.grid, self.compress_v, self.norm_compress_v, cls_token=self.cls_token
        )
        return PooledKV(keys, values, grid)

    def _pool(self, tokens: Tensor, grid: Grid, name: str) -> tuple[Tensor, Grid]:
        norm: nn.LayerNorm = getattr(self, f"norm_{name}")
        return conv_pool(tokens, grid, getattr(self, f"pool_{name}"), norm, cls_token=self.cls_token)
