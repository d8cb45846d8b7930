"""Attention with decomposed relative positions and residual pooling, in several ways that give the same numbers.

MViTv2 adds q·Rt + q·Rh + q·Rw to the logits, see `position`. `sdpa_augmented` puts the products into the width of queries and
keys: nothing of the size (queries × keys) exists, gradients flow, and kernels that know no bias take it. The others are
for inference on a CPU, in parts that stay in its cache: `sdpa_chunked_bias` adds the products as a bias, and `matmul_chunked`, for
long sequences, leaves both matmuls to oneDNN, which is faster at them than attention kernels are.

Shapes: queries (B, heads, N, D), keys and values (B, heads, K, D), the cls token first where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from memvit.runtime.cpu.onednn import can_pack, spread_linear

from .position import PositionColumns

MASK_VALUE = -6e4
"""Logit of a key that must not be read; its exp is exactly 0 in every dtype, and float16 can hold it."""

BIAS_VALUES = 2**21
"""A thread, of the bias that exists at a time (8 MB in float32)."""
LOGIT_VALUES = 2**19
"""The same of the logits that `matmul_chunked` makes."""
LONG = 2**20
"""Queries × keys of a head from which `matmul_chunked` is the faster."""
EVERY = 16
"""Of how many keys one is looked at to guess a query's largest logit."""
QUERY_BLOCK = 256
"""Queries that a CPU's attention kernel takes at a time, where it has many."""


@dataclass(frozen=True)
class Positions:
    """What positions add to the logits of one call."""

    products: list[Tensor]
    """Per axis, (B, heads, N without cls, columns): each query's products with the table of its row; for `sdpa_augmented`
    divided by the scale, which is applied to all of the width."""
    columns: PositionColumns
    unreadable: Tensor | None
    """(B, K): 0, or very negative for a key that the stream has not; None where all may be read."""

    @property
    def queries(self) -> int:
        """N without cls."""
        return self.products[0].shape[2]


def takes_parts(q: Tensor) -> bool:
    """Whether `attend` works in parts: for inference on a CPU. It wants undivided products then."""
    if q.device.type != "cpu" or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False  # packed products know nothing of autocast
    return not torch.compiler.is_compiling()


def attend(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float, *, bf16_matmul: bool = False) -> Tensor:
    """Attention plus the queries themselves (residual pooling, not for cls): (B, N, heads · D).

    `bf16_matmul`: products in bfloat16 will do, if they are faster.
    """
    if not takes_parts(q):
        return sdpa_augmented(q, k, v, positions, scale)
    halves = q.dtype == torch.bfloat16 or (bf16_matmul and can_pack(torch.bfloat16))
    if q.shape[2] * k.shape[2] < LONG or not can_pack(torch.bfloat16 if halves else q.dtype):
        return sdpa_chunked_bias(q, k, v, positions, scale)
    return matmul_chunked(q, k, v, positions, scale, halves=halves)


def sdpa_augmented(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float) -> Tensor:
    """As `attend`, positions in the width of queries and keys."""
    batch, heads, queries, dim = q.shape
    columns, unreadable = positions.columns, positions.unreadable
    extra = columns.width + (unreadable is not None)
    # All three are padded alike: attention kernels want one width, and a multiple of 8.
    pad = -(dim + extra) % 8
    cls = queries - positions.queries

    # One buffer, filled in place: for the first block of a wide clip each copy less is 25 MB less.
    wide = q.new_empty(batch, heads, queries, dim + extra + pad)
    wide[..., :dim] = q
    start = _fill(wide, positions.products, cls, dim)
    wide[..., start:] = 0
    k_columns = columns.one_hot.expand(batch, heads, -1, -1)
    if unreadable is not None:
        wide[..., start] = 1
        k_columns = torch.cat((k_columns, unreadable[:, None, :, None].expand(-1, heads, -1, -1)), dim=3)
    keys = F.pad(torch.cat((k, k_columns), dim=3), (0, pad))
    attended = F.scaled_dot_product_attention(wide, keys, F.pad(v, (0, extra + pad)), scale=scale)
    # Contiguous, hence a copy: the residual is added in place, and autograd needs what attention returned.
    attended = attended[..., :dim].transpose(1, 2).flatten(2).contiguous()
    attended[:, cls:] += q[:, :, cls:].transpose(1, 2).flatten(2)
    return attended


def sdpa_chunked_bias(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float) -> Tensor:
    """As `attend`, positions as a bias."""
    batch, heads, queries, dim = q.shape
    cls = queries - positions.queries
    products = q.new_empty(batch, heads, queries, positions.columns.width)
    _fill(products, positions.products, cls, 0)
    attended = q.new_empty(batch, queries, heads, dim).transpose(1, 2)
    for streams, of_heads, rows in _parts(q.shape, k.shape[2]):
        bias = positions.columns.spread(products[streams, of_heads, rows], None)
        if positions.unreadable is not None:
            bias += positions.unreadable[streams, None, None]
        part = F.scaled_dot_product_attention(
            q[streams, of_heads, rows], k[streams, of_heads], v[streams, of_heads], bias, scale=scale
        )
        _plus_queries(part, q[streams, of_heads, rows], attended[streams, of_heads, rows], 0 if rows.start else cls)
    return attended.transpose(1, 2).flatten(2)


def matmul_chunked(
    q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float, *, halves: bool = False
) -> Tensor:
    """As `attend`, positions in the width of the first product only; with `halves`, products in bfloat16.

    A large logit would lose too much in the 8 bits of a bfloat16. So a guess of each query's largest one, from a few of
    the keys, is subtracted within the product, which sums in float32: what comes out near the maximum is small, hence
    exact.
    """
    batch, heads, queries, dim = q.shape
    dtype = torch.bfloat16 if halves else q.dtype
    wide, keys = _wide(q, k, positions, scale, dtype)
    unreadable = None if positions.unreadable is None else positions.unreadable.to(dtype)
    room = LOGIT_VALUES * torch.get_num_threads()
    at_a_time = max(1, room // k.shape[2] // QUERY_BLOCK) * QUERY_BLOCK
    attended = q.new_empty(batch, queries, heads, dim).transpose(1, 2)
    for stream, head in product(range(batch), range(heads)):
        of_keys = None if unreadable is None else unreadable[stream]
        of_few = None if of_keys is None else of_keys[::EVERY].contiguous()
        few_of = spread_linear(keys[stream, head, ::EVERY]) if halves else None
        logits_of = spread_linear(keys[stream, head])
        values_of = spread_linear(v[stream, head].t().to(dtype))
        for start in range(0, queries, at_a_time):
            rows = slice(start, start + at_a_time)
            asking = wide[stream, head, rows]
            if few_of is not None:
                torch.neg(few_of(asking, of_few).amax(1), out=asking[:, -1])
            logits = logits_of(asking, of_keys)
            part = values_of(torch.softmax(logits, dim=1, out=logits), None)
            cls = 0 if start else queries - positions.queries
            _plus_queries(part, q[stream, head, rows], attended[stream, head, rows], cls)
    return attended.transpose(1, 2).flatten(2)


def _wide(q: Tensor, k: Tensor, positions: Positions, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Queries and scaled keys with the columns of positions, and one more: 0 for queries, to be filled, 1 for keys."""
    batch, heads, queries, dim = q.shape
    width = dim + positions.columns.width
    wide = q.new_empty(batch, heads, queries, width + 1, dtype=dtype)
    wide[..., :dim] = q
    _fill(wide, positions.products, queries - positions.queries, dim)
    wide[..., width] = 0
    keys = k.new_empty(batch, heads, k.shape[2], width + 1, dtype=dtype)
    keys[..., :dim] = k * scale
    keys[..., dim:width] = positions.columns.one_hot
    keys[..., width] = 1
    return wide, keys


def _plus_queries(attended: Tensor, q: Tensor, out: Tensor, cls: int) -> None:
    """Residual pooling of a part, (…, rows, D); NOTE: not for cls, as in every Meta release."""
    torch.add(attended, q, out=out)
    out[..., :cls, :] = attended[..., :cls, :]


def _fill(wide: Tensor, products: list[Tensor], cls: int, start: int) -> int:
    """Write the products of all axes side by side from column `start`; the next column."""
    for of_axis in products:
        end = start + of_axis.shape[3]
        wide[:, :, :cls, start:end] = 0
        wide[:, :, cls:, start:end] = of_axis
        start = end
    return start


def _parts(shape: tuple[int, ...], keys: int) -> Iterator[tuple[slice, slice, slice]]:
    """(streams, heads, queries) of parts whose bias fits the cache."""
    batch, heads, queries = shape[:3]
    room = BIAS_VALUES * torch.get_num_threads()
    block = QUERY_BLOCK * torch.get_num_threads()
    of_streams = max(1, room // (heads * queries * keys))
    of_heads = heads if of_streams > 1 else min(heads, max(1, room // (queries * keys)))
    of_queries = queries if queries * keys <= room else max(block, room // keys // block * block)
    for stream in range(0, batch, of_streams):
        for head in range(0, heads, of_heads):
            for query in range(0, queries, of_queries):
                yield slice(stream, stream + of_streams), slice(head, head + of_heads), slice(query, query + of_queries)
