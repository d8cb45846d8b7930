"""Decomposed relative positions as extra columns of queries and keys.

MViTv2 adds q·Rt + q·Rh + q·Rw to the attention logits, where the tables are looked up by the distance of query and key
along each axis. That sum is itself a dot product: give every query its products with the tables of its row, and every
key a one-hot of its coordinate. What is made of the two is in `attention`; no (queries × keys) tensor of all biases
need exist. A past clip's keys have columns of their own, made from their own tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import Grid

MAX_CACHED = 256
"""How many tensors that depend on shapes alone each function caches: a few per stage and size of clip."""


@dataclass(frozen=True)
class PositionColumns:
    """Everything about relative positions that depends only on shapes and weights."""

    tables: tuple[Tensor, ...]
    """Per axis in use (time first, where used): (queries along the axis, head_dim, columns), times a factor."""
    axes: tuple[int, ...]
    """Which axis of the grid each table is of: 0 time, 1 height, 2 width."""
    one_hot: Tensor
    """(keys, columns): which column of each axis a key answers to; cls keys answer to none."""


@dataclass(frozen=True)
class PositionTables:
    """The learned tables of one layer, (distances, head_dim) each; None for an axis that is not used."""

    height: Tensor
    width: Tensor
    time: Tensor | None = None
    memory_height: Tensor | None = None
    memory_width: Tensor | None = None
    memory_time: Tensor | None = None


@dataclass(frozen=True)
class PositionRule:
    """How a layer measures distances."""

    cls_token: bool
    clamped: bool
    """MeMViT's rule for frames that are not square, see `axis_lookup`."""
    memory_stride: int
    """Frames between two compressed frames of a past clip."""


def resized(table: Tensor, length: int) -> Tensor:
    """A table of relative positions, (distances, head_dim), linearly interpolated to another number of distances."""
    if table.shape[0] == length:
        return table
    return F.interpolate(table.float().t()[None], size=length, mode="linear")[0].t().to(table.dtype)


def _cached(make: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """`make`, a function of its arguments alone, with a cache of its results.

    Where tensors are stand-ins without values (an export), nothing is cached: they must not outlive the trace.
    """
    return _with_cache(make) if type(torch.empty(0, device=device)) is Tensor else make


@cache
def _with_cache(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @lru_cache(MAX_CACHED)
    def made(*arguments: object) -> Tensor:
        with torch.inference_mode(False):  # training may read it, too
            return make(*arguments)

    return made


def axis_lookup(table: Tensor, queries: int, keys: int, guide: tuple[int, int] | None = None) -> Tensor:
    """Rows of `table` for every (query, key) pair along an axis: (queries, keys, head_dim).

    `guide` = (queries, keys) of the other axis makes this axis use that one's table length and ratio, with distances
    clamped to its range: MeMViT's rule for the longer side of a frame that is not square.
    """
    guide_q, guide_k = guide or (queries, keys)
    distances = _cached(axis_distances, table.device)(queries, keys, guide_q, guide_k, table.device)
    return resized(table, 2 * max(guide_q, guide_k) - 1)[distances]


def axis_distances(queries: int, keys: int, guide_q: int, guide_k: int, device: torch.device) -> Tensor:
    """The row of a table for every (query, key) pair along an axis: (queries, keys) int64."""
    q_ratio, k_ratio = max(guide_k / guide_q, 1.0), max(guide_q / guide_k, 1.0)
    offset = (guide_k - 1) * k_ratio
    distance = torch.arange(queries, device=device)[:, None] * q_ratio - torch.arange(keys, device=device) * k_ratio
    return (distance + offset).clamp(0.0, (guide_q - 1) * q_ratio + offset).long()


def spatial_lookups(tables: Sequence[Tensor], queries: Grid, keys: Grid, *, clamped: bool) -> list[Tensor]:
    """The (query, key) tables of height and width for a query and a key grid."""
    (q_height, q_width), (k_height, k_width) = queries[1:], keys[1:]
    height_guide = width_guide = None
    if clamped and max(q_width, k_width) > max(q_height, k_height):
        width_guide = (q_height, k_height)
    elif clamped and max(q_width, k_width) < max(q_height, k_height):
        # NOTE: the reference fails on portrait frames; this is its rule for wide ones with the axes swapped.
        height_guide = (q_width, k_width)
    return [
        axis_lookup(tables[0], q_height, k_height, height_guide),
        axis_lookup(tables[1], q_width, k_width, width_guide),
    ]


def memory_time_lookup(table: Tensor, queries: int, keys: int, stride: int) -> Tensor:
    """Rows for (query frame, memory frame) pairs; `keys` counts the frames of all past clips read, oldest first.

    The newest memory frame lies at distance 0 of the first query. Slots are counted, not the clips between them.
    """
    ahead = torch.arange(keys - 1, -1, -1, device=table.device) * stride
    return table[torch.arange(queries, device=table.device)[:, None] + ahead]


def coordinates(grid: Grid, axis: int, device: torch.device) -> Tensor:
    """The coordinate along `axis` of every token of a grid, in token order: (tokens,)."""
    shape = [1, 1, 1]
    shape[axis] = grid[axis]
    return torch.arange(grid[axis], device=device).view(shape).expand(grid).reshape(-1)


def one_hot_columns(axes: tuple[int, ...], grid: Grid, past: tuple[Grid, int] | None, cls: int, like: Tensor) -> Tensor:
    """(keys, columns) of zeros and ones in the type of `like`; keys are the past clips, oldest first, then the present.

    `past` is (grid of a compressed clip, number of clips); per axis, memory columns come before the present clip's.
    Memory frames have a column each, memory rows and columns of the frame share theirs between clips. They depend on
    shapes alone: layers, steps and training share them.
    """
    return _cached(_one_hot_columns, like.device)(axes, grid, past, cls, like.dtype, like.device)


def _one_hot_columns(
    axes: tuple[int, ...],
    grid: Grid,
    past: tuple[Grid, int] | None,
    cls: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    parts: list[Tensor] = []
    for axis in axes:
        columns: list[Tensor] = []
        memory_size = 0
        if past is not None:
            past_grid, clips = past
            memory_size = past_grid[axis] * (clips if axis == 0 else 1)
            for clip in range(clips):
                at = coordinates(past_grid, axis, device) + (clip * past_grid[0] if axis == 0 else 0)
                columns += [at.new_full((cls,), -1), at]
        at = coordinates(grid, axis, device) + memory_size
        columns += [at.new_full((cls,), -1), at]
        index = torch.cat(columns)
        parts.append((index[:, None] == torch.arange(memory_size + grid[axis], device=device)).to(dtype))
    return torch.cat(parts, dim=1)


def position_columns(
    tables: PositionTables, rule: PositionRule, queries: Grid, keys: Grid, past: tuple[Grid, int] | None, factor: float
) -> PositionColumns:
    """The columns of a layer for a query and a key grid; `past` is (grid of a compressed clip, number of clips).

    `factor` multiplies the tables.
    """
    lookups = spatial_lookups((tables.height, tables.width), queries, keys, clamped=rule.clamped)
    axes: tuple[int, ...] = (1, 2)
    if tables.time is not None:
        lookups.insert(0, axis_lookup(tables.time, queries[0], keys[0]))
        axes = (0, *axes)
    if past is not None:
        grid, clips = past
        assert tables.memory_time is not None and tables.memory_height is not None and tables.memory_width is not None
        memory = [
            memory_time_lookup(tables.memory_time, queries[0], grid[0] * clips, rule.memory_stride),
            *spatial_lookups((tables.memory_height, tables.memory_width), queries, grid, clamped=rule.clamped),
        ]
        lookups = [torch.cat(pair, dim=1) for pair in zip(memory, lookups, strict=True)]
    one_hot = one_hot_columns(axes, keys, past, int(rule.cls_token), tables.height)
    return PositionColumns(tuple((lookup * factor).transpose(1, 2).contiguous() for lookup in lookups), axes, one_hot)


def query_products(queries: Tensor, grid: Grid, axes: Sequence[int], tables: Sequence[Tensor]) -> list[Tensor]:
    """Products of each query with the tables of its row, per axis: (B, heads, T·H·W, head_dim) → [(…, T·H·W, columns)].

    `queries` are without the cls token and contiguous; `axes` and `tables` as in `PositionColumns`.
    """
    batch, heads, tokens, dim = queries.shape
    t, h, w = grid
    products = []
    for axis, table in zip(axes, tables, strict=True):
        if axis == 0:
            product = torch.matmul(queries.view(batch * heads, t, h * w, dim), table)
        elif axis == 1:
            product = torch.matmul(queries.view(batch * heads * t, h, w, dim), table)
        else:
            # One product a column of the frame; the rows of each lie apart, which a strided bmm takes without a copy.
            product = torch.bmm(queries.view(-1, w, dim).transpose(0, 1), table).transpose(0, 1)
        products.append(product.reshape(batch, heads, tokens, -1))
    return products
