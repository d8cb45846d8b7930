"""Pooling attention: reads the present clip's tokens and a past one's, returns what may be remembered, stores nothing.

One module serves every family: MViTv2 projects first and pools after (a fused `qkv`), MeMViT pools first (`q`, `k`,
`v`). Parameter names are those of the official checkpoints. Shapes: B batch, N tokens (cls first), C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attend import MASK_VALUE, Positions, attend, takes_parts
from .config import BlockConfig, Grid, MViTConfig
from .layers import layer_norm
from .pooling import conv_pool
from .position import PositionColumns, axis_lookup, memory_time_lookup, one_hot_columns, query_products, spatial_lookups

MAX_CACHED_SHAPES = 8
"""Frame sizes, with and without memory, for which position columns are kept."""


@dataclass(frozen=True)
class MemoryKV:
    """What one layer reads of earlier clips; R slots, oldest first."""

    keys: Tensor
    """(B, R, tokens, C), compressed, not yet projected; cls first."""
    values: Tensor
    grid: Grid
    """Of one compressed clip."""
    readable: Tensor
    """(B, R) bool: whether the stream is old enough to have that clip."""

    def select(self, samples: slice) -> MemoryKV:
        """Of some of the B streams."""
        return MemoryKV(self.keys[samples], self.values[samples], self.grid, self.readable[samples])


@dataclass(frozen=True)
class PooledKV:
    """What one layer offers to memory after a clip: pooled keys and values, (B, N, C), before any projection."""

    keys: Tensor
    values: Tensor
    grid: Grid

    @staticmethod
    def stack(parts: Sequence[PooledKV]) -> PooledKV:
        """The streams of all parts, one after the other."""
        keys, values = (torch.cat(of_parts) for of_parts in zip(*((p.keys, p.values) for p in parts), strict=True))
        return PooledKV(keys, values, parts[0].grid)


def depthwise(dim: int, kernel: Grid, stride: Grid) -> nn.Conv3d:
    """A depthwise convolution without bias that keeps the grid at stride 1."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(dim, dim, kernel, stride, padding, groups=dim, bias=False)


class PoolingAttention(nn.Module):
    """Multi-head attention with pooled queries, keys and values, relative positions, and a past to read."""

    def __init__(self, config: MViTConfig, block: BlockConfig) -> None:
        super().__init__()
        self.heads = block.heads
        self.scale = block.head_dim**-0.5
        self.cls_token = config.cls_token
        self.pool_first = config.pool_first
        self.clamped = config.non_square == "clamped"
        self.memory_stride = config.memory.stride[0] if config.memory else 1
        dim, dim_out = block.dim, block.attention_dim
        if config.pool_first:
            self.q, self.k, self.v = (nn.Linear(dim, dim_out) for _ in range(3))
        else:
            self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

        pool_dim = (dim if config.pool_first else dim_out) // block.heads
        self.pool_q = depthwise(pool_dim, config.pool_kernel, block.q_stride)
        self.pool_k = depthwise(pool_dim, config.pool_kernel, block.kv_stride)
        self.pool_v = depthwise(pool_dim, config.pool_kernel, block.kv_stride)
        self.norm_q, self.norm_k, self.norm_v = (layer_norm(pool_dim) for _ in range(3))
        self._make_position_tables(config, block)
        if config.memory:
            # Every block of the official layout owns these, also those that read no memory.
            self.compress_k = depthwise(dim, config.memory.kernel, config.memory.stride)
            self.compress_v = depthwise(dim, config.memory.kernel, config.memory.stride)
            self.norm_compress_k, self.norm_compress_v = layer_norm(dim), layer_norm(dim)
        self.bf16_matmul = False
        """Whether attention over long sequences may be multiplied in bfloat16, see `attend`."""
        self._columns: dict[object, PositionColumns] = {}
        self._columns_of: tuple[Tensor, ...] = ()
        self._columns_state: tuple[tuple[int, int], ...] = ()

    def __getstate__(self) -> dict[str, object]:
        """Copies look their positions up themselves: they are packed for this processor and cannot be pickled."""
        return {**self.__dict__, "_columns": {}, "_columns_of": (), "_columns_state": ()}

    def _make_position_tables(self, config: MViTConfig, block: BlockConfig) -> None:
        def table(distances: int) -> nn.Parameter:
            return nn.Parameter(nn.init.trunc_normal_(torch.empty(distances, block.head_dim), std=0.02))

        frames, height, _ = block.grid
        q_size, k_size = height // block.q_stride[1], height // block.kv_stride[1]
        self.rel_pos_h = table(2 * max(q_size, k_size) - 1)
        self.rel_pos_w = table(2 * max(q_size, k_size) - 1)
        self.rel_pos_t = table(2 * frames - 1) if config.rel_pos_temporal else None
        if config.memory:
            memory_size = k_size // config.memory.stride[1]
            self.rel_pos_mem_h = table(2 * max(q_size, memory_size) - 1)
            self.rel_pos_mem_w = table(2 * max(q_size, memory_size) - 1)
            self.rel_pos_mem_t = table((len(config.memory.reads) + 1) * frames - 1)

    def forward(self, x: Tensor, grid: Grid, past: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
        """(B, N, dim) on `grid` → (B, N', dim_out) on the pooled grid, and what may be remembered of it."""
        if self.pool_first:
            (q, q_grid), (k, k_grid), (v, _) = (self._pool(x, grid, name) for name in "qkv")
            fresh = PooledKV(k, v, k_grid)
            if past is not None:
                k = torch.cat((past.keys.flatten(1, 2), k), dim=1)
                v = torch.cat((past.values.flatten(1, 2), v), dim=1)
            q, k, v = self.q(q), self.k(k), self.v(v)
        else:
            projected = self._project(x)
            (q, q_grid), (k, k_grid), (v, _) = (
                self._pool(tokens, grid, name) for tokens, name in zip(projected, "qkv", strict=True)
            )
            fresh = PooledKV(k, v, k_grid)
        return self.proj(self._attend(q, k, v, q_grid, k_grid, past)), q_grid, fresh

    def _project(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values from the fused layer, each contiguous."""
        in_parts = getattr(self.qkv, "in_parts", None)  # of a packed layer, see packed.py
        if in_parts is not None:
            return in_parts(x)
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        return [F.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]

    def compress(self, fresh: PooledKV) -> PooledKV:
        """Pool what a clip left behind into what later clips read."""
        keys, grid = conv_pool(fresh.keys, fresh.grid, self.compress_k, self.norm_compress_k, cls_token=self.cls_token)
        values, _ = conv_pool(fresh.values, fresh.grid, self.compress_v, self.norm_compress_v, cls_token=self.cls_token)
        return PooledKV(keys, values, grid)

    def _pool(self, tokens: Tensor, grid: Grid, name: str) -> tuple[Tensor, Grid]:
        conv: nn.Conv3d = getattr(self, f"pool_{name}")
        norm: nn.LayerNorm = getattr(self, f"norm_{name}")
        return conv_pool(tokens, grid, conv, norm, cls_token=self.cls_token)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, q_grid: Grid, k_grid: Grid, past: MemoryKV | None) -> Tensor:
        """(B, N', C) projected queries, (B, K, C) keys and values → (B, N', C), the queries added to it."""
        q, k, v = (tokens.unflatten(2, (self.heads, -1)).transpose(1, 2) for tokens in (q, k, v))
        in_parts = takes_parts(q)
        columns = self._position_columns(q_grid, k_grid, past, 1.0 if in_parts else 1 / self.scale)
        products = query_products(q[:, :, int(self.cls_token) :].contiguous(), q_grid, columns)
        unreadable = None
        if past is not None and not (in_parts and past.readable.all()):
            unreadable = self._unreadable(past, k.shape[2], k.dtype)
        positions = Positions(products, columns, unreadable)
        return attend(q, k, v, positions, self.scale, bf16_matmul=self.bf16_matmul)

    @staticmethod
    def _unreadable(past: MemoryKV, keys: int, dtype: torch.dtype) -> Tensor:
        """What is added to the logits of each key, (B, keys): 0, or very negative where a stream has no such clip."""
        slots = torch.where(past.readable, 0.0, MASK_VALUE).to(dtype).repeat_interleave(past.keys.shape[2], dim=1)
        return F.pad(slots, (0, keys - slots.shape[1]))

    def _position_columns(self, q_grid: Grid, k_grid: Grid, past: MemoryKV | None, factor: float) -> PositionColumns:
        """Looked up once per shape while no gradient is wanted, and again when the weights are others."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._make_columns(q_grid, k_grid, past, factor)
        slots = past and (past.grid, past.keys.shape[1])
        shapes = (q_grid, k_grid, slots, factor, self.rel_pos_h.dtype, self.rel_pos_h.device)
        tables, state = self._position_tables()
        same = all(table is known for table, known in zip(tables, self._columns_of, strict=False))
        if not same or self._columns_state != state:
            self._columns, self._columns_of, self._columns_state = {}, tables, state
        columns = self._columns.get(shapes)
        if columns is None:  # other threads may find the same at the same time
            columns = self._make_columns(q_grid, k_grid, past, factor)
            if len(self._columns) >= MAX_CACHED_SHAPES:
                self._columns.clear()
            self._columns[shapes] = columns
        return columns

    def _position_tables(self) -> tuple[tuple[Tensor, ...], tuple[tuple[int, int], ...]]:
        """The position tables, and what changes with their values: in place, by assignment, or by conversion."""
        names = ("rel_pos_t", "rel_pos_h", "rel_pos_w", "rel_pos_mem_t", "rel_pos_mem_h", "rel_pos_mem_w")
        tables = tuple(table for name in names if (table := self._parameters.get(name)) is not None)
        return tables, tuple((table.data_ptr(), 0 if table.is_inference() else table._version) for table in tables)

    def _make_columns(self, q_grid: Grid, k_grid: Grid, past: MemoryKV | None, factor: float) -> PositionColumns:
        lookups = spatial_lookups((self.rel_pos_h, self.rel_pos_w), q_grid, k_grid, clamped=self.clamped)
        axes: tuple[int, ...] = (1, 2)
        if self.rel_pos_t is not None:
            lookups.insert(0, axis_lookup(self.rel_pos_t, q_grid[0], k_grid[0]))
            axes = (0, *axes)
        slots = None
        if past is not None:
            slots = (past.grid, past.keys.shape[1])
            frames = past.grid[0] * slots[1]
            memory = [
                memory_time_lookup(self.rel_pos_mem_t, q_grid[0], frames, self.memory_stride),
                *spatial_lookups((self.rel_pos_mem_h, self.rel_pos_mem_w), q_grid, past.grid, clamped=self.clamped),
            ]
            lookups = [torch.cat(pair, dim=1) for pair in zip(memory, lookups, strict=True)]
        one_hot = one_hot_columns(axes, k_grid, slots, int(self.cls_token), self.rel_pos_h)
        tables = tuple((lookup * factor).transpose(1, 2).contiguous() for lookup in lookups)
        return PositionColumns(tables, axes, one_hot)
