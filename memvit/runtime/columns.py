"""Relative positions for inference: columns are made once for each shape, and cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from memvit.models.attention import MemoryKV, RelativeAttention
from memvit.models.config import Grid
from memvit.models.position import PositionColumns, PositionTables

MAX_CACHED_SHAPES = 8
"""Frame sizes, with and without memory, for which a layer caches its columns."""

Columns = TypeVar("Columns")


class ColumnCache(Generic[Columns]):
    """Columns of one layer by shape; they depend on shapes and on weights that do not change."""

    def __init__(self) -> None:
        self._columns: dict[object, Columns] = {}

    @property
    def held(self) -> list[Columns]:
        """All columns that are cached now. A caller that uses their memory for longer must hold them."""
        return list(self._columns.values())

    def get(self, key: object, make: Callable[[], Columns]) -> Columns:
        """The columns of these shapes, made by `make` the first time."""
        columns = self._columns.get(key)
        if columns is None:  # other threads may make the same at the same time
            columns = make()
            if len(self._columns) >= MAX_CACHED_SHAPES:
                self._columns.clear()
            self._columns[key] = columns
        return columns


class CachedAttention(RelativeAttention):
    """`RelativeAttention` of a layer whose weights do not change any more."""

    def __init__(self, attention: RelativeAttention) -> None:
        super().__init__(attention.heads, attention.head_dim, attention.rule)
        self.cache: ColumnCache[PositionColumns] = ColumnCache()

    def columns(self, grids: tuple[Grid, Grid], tables: PositionTables, memory: MemoryKV | None) -> PositionColumns:
        """As in `RelativeAttention`."""
        past = None if memory is None else memory.clips
        return self.cache.get((grids, past), lambda: super(CachedAttention, self).columns(grids, tables, memory))
