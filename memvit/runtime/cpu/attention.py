"""Attention for inference on a CPU, in parts that stay in its cache. The numbers are those of `models.attention`.

`sdpa_chunked_bias` adds the products of positions as a bias of some MB at a time. `matmul_chunked`, for long sequences,
leaves both matrix products to oneDNN, which is faster at them than attention kernels are.

Shapes: queries (B, heads, N, D), keys and values (B, heads, K, D), the cls token first where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from memvit.models.attention import MemoryKV, PositionBias, RelativeAttention, fill_columns, mask_of_keys
from memvit.models.config import Grid
from memvit.models.position import PositionTables, position_columns, query_products
from memvit.runtime.columns import ColumnCache

from .onednn import BiasedLinear, can_pack, linear_with_given_bias

BIAS_VALUES = 2**21
"""How many values of the bias each thread computes at a time (8 MB in float32)."""
LOGIT_VALUES = 2**19
"""How many values of the logits each thread computes at a time in `matmul_chunked`."""
LONG = 2**20
"""The number of queries × keys of a head from which `matmul_chunked` is faster."""
SAMPLED_KEYS = 16
"""One key of this many is used to estimate a query's largest logit."""
QUERY_BLOCK = 256
"""Queries that a CPU's attention kernel takes at a time, where it has many."""
TABLE_COLUMNS = 16
"""CPUs multiply with a table of fewer columns, or of a number that is not a multiple, up to five times slower."""


@dataclass(frozen=True)
class CpuColumns:
    """Position columns of one layer for one shape, packed for this processor."""

    axes: tuple[int, ...]
    widths: tuple[int, ...]
    """The number of columns of each axis."""
    padded_tables: tuple[Tensor, ...]
    """The tables with zeros up to a multiple of `TABLE_COLUMNS`."""
    one_hot: Tensor
    to_keys: BiasedLinear
    """(…, columns) → (…, keys): what the products add to the logit of each key."""


class ChunkedAttention(RelativeAttention):
    """`RelativeAttention` for inference on a CPU, of a layer whose weights do not change any more."""

    def __init__(self, attention: RelativeAttention, *, bf16_matmul: bool) -> None:
        """`bf16_matmul`: products of long sequences in bfloat16 are exact enough, where they are faster."""
        super().__init__(attention.heads, attention.head_dim, attention.rule)
        self.bf16_matmul = bf16_matmul
        self._cache: ColumnCache[CpuColumns] = ColumnCache()

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grids: tuple[Grid, Grid],
        tables: PositionTables,
        memory: MemoryKV | None,
    ) -> Tensor:
        """As in `RelativeAttention`."""
        q, k, v = (tokens.unflatten(2, (self.heads, -1)).transpose(1, 2) for tokens in (q, k, v))
        past = None if memory is None else memory.clips
        columns = self._cache.get((grids, past), lambda: self._packed_columns(grids, tables, past))
        patches = q[:, :, int(self.rule.cls_token) :].contiguous()
        wide = query_products(patches, grids[0], columns.axes, columns.padded_tables)
        products = [of_axis[..., :width] for of_axis, width in zip(wide, columns.widths, strict=True)]
        key_mask = None
        if memory is not None and not memory.valid_mask.all():
            key_mask = mask_of_keys(memory, k.shape[2], k.dtype)
        one_hot = columns.one_hot if memory is None else memory.keys_here(int(self.rule.cls_token), columns.one_hot)
        bias = PositionBias(products, one_hot, key_mask)
        bf16 = q.dtype == torch.bfloat16 or (self.bf16_matmul and can_pack(torch.bfloat16))
        if q.shape[2] * k.shape[2] < LONG or not can_pack(torch.bfloat16 if bf16 else q.dtype):
            to_keys = columns.to_keys if one_hot is columns.one_hot else linear_with_given_bias(one_hot)
            return sdpa_chunked_bias(q, k, v, bias, self.scale, to_keys)
        return matmul_chunked(q, k, v, bias, self.scale, bf16=bf16)

    def _packed_columns(
        self, grids: tuple[Grid, Grid], tables: PositionTables, past: tuple[Grid, int] | None
    ) -> CpuColumns:
        columns = position_columns(tables, self.rule, *grids, past, 1.0)
        padded = tuple(F.pad(table, (0, -table.shape[2] % TABLE_COLUMNS)) for table in columns.tables)
        widths = tuple(table.shape[2] for table in columns.tables)
        to_keys = linear_with_given_bias(columns.one_hot)
        return CpuColumns(columns.axes, widths, padded, columns.one_hot, to_keys)


def sdpa_chunked_bias(
    q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float, to_keys: BiasedLinear
) -> Tensor:
    """`models.attention.attention` with the positions as a bias; products are not divided by the scale.

    `to_keys` multiplies by the one-hot columns, see `CpuColumns`.
    """
    batch, heads, queries, dim = q.shape
    cls = queries - bias.num_queries
    products = q.new_empty(batch, heads, queries, bias.one_hot.shape[1])
    fill_columns(products, bias.products, cls, 0)
    attended = q.new_empty(batch, queries, heads, dim).transpose(1, 2)
    for streams, of_heads, rows in _chunks(q.shape, k.shape[2]):
        logits = to_keys(products[streams, of_heads, rows], None)
        if bias.key_mask is not None:
            logits += bias.key_mask[streams, None, None]
        chunk = F.scaled_dot_product_attention(
            q[streams, of_heads, rows], k[streams, of_heads], v[streams, of_heads], logits, scale=scale
        )
        _add_queries(chunk, q[streams, of_heads, rows], attended[streams, of_heads, rows], 0 if rows.start else cls)
    return attended.transpose(1, 2).flatten(2)


def matmul_chunked(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float, *, bf16: bool = False) -> Tensor:
    """`models.attention.attention` as two matrix products; position products are not divided by the scale.

    With `bf16`, products are computed in bfloat16. A large logit would lose too much in its 8 bits. So an estimate of
    each query's largest logit, from a few of the keys, is subtracted within the product, which sums in float32. So
    logits near the maximum are small, and hence exact.
    """
    batch, heads, queries, dim = q.shape
    dtype = torch.bfloat16 if bf16 else q.dtype
    wide, keys = _widened(q, k, bias, scale, dtype)
    mask = None if bias.key_mask is None else bias.key_mask.to(dtype)
    room = LOGIT_VALUES * torch.get_num_threads()
    at_a_time = max(1, room // k.shape[2] // QUERY_BLOCK) * QUERY_BLOCK
    attended = q.new_empty(batch, queries, heads, dim).transpose(1, 2)
    for stream, head in product(range(batch), range(heads)):
        key_mask = None if mask is None else mask[stream]
        sampled_mask = None if key_mask is None else key_mask[::SAMPLED_KEYS].contiguous()
        sampled_logits = linear_with_given_bias(keys[stream, head, ::SAMPLED_KEYS]) if bf16 else None
        to_logits = linear_with_given_bias(keys[stream, head])
        to_values = linear_with_given_bias(v[stream, head].t().to(dtype))
        for start in range(0, queries, at_a_time):
            rows = slice(start, start + at_a_time)
            chunk_queries = wide[stream, head, rows]
            if sampled_logits is not None:
                torch.neg(sampled_logits(chunk_queries, sampled_mask).amax(1), out=chunk_queries[:, -1])
            logits = to_logits(chunk_queries, key_mask)
            chunk = to_values(torch.softmax(logits, dim=1, out=logits), None)
            cls = 0 if start else queries - bias.num_queries
            _add_queries(chunk, q[stream, head, rows], attended[stream, head, rows], cls)
    return attended.transpose(1, 2).flatten(2)


def _widened(q: Tensor, k: Tensor, bias: PositionBias, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Queries and scaled keys with the columns of positions, and one more: 0 for queries, to be filled, 1 for keys."""
    batch, heads, queries, dim = q.shape
    width = dim + bias.one_hot.shape[1]
    wide = q.new_empty(batch, heads, queries, width + 1, dtype=dtype)
    wide[..., :dim] = q
    fill_columns(wide, bias.products, queries - bias.num_queries, dim)
    wide[..., width] = 0
    keys = k.new_empty(batch, heads, k.shape[2], width + 1, dtype=dtype)
    keys[..., :dim] = k * scale
    keys[..., dim:width] = bias.one_hot
    keys[..., width] = 1
    return wide, keys


def _add_queries(attended: Tensor, q: Tensor, out: Tensor, cls: int) -> None:
    """Residual pooling of a chunk, (…, rows, D). NOTE: not for cls, as in every Meta release."""
    torch.add(attended, q, out=out)
    out[..., :cls, :] = attended[..., :cls, :]


def _chunks(shape: tuple[int, ...], keys: int) -> Iterator[tuple[slice, slice, slice]]:
    """(streams, heads, queries) of chunks whose bias fits the cache."""
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
