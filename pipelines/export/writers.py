"""Writes rows to a file in Parquet, CSV or JSON Lines, block by block."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from memvit.types import MemvitError

Row: TypeAlias = dict[str, Any]


class TableWriter(Protocol):
    """Writes blocks of rows to a file; all rows have the same keys."""

    def __init__(self, path: Path) -> None: ...

    def __enter__(self) -> TableWriter: ...

    def __exit__(self, *error: object) -> None: ...

    def write(self, rows: list[Row]) -> None:
        """Append a block of rows."""


class CsvTable:
    """Writes a header and one line for each row; a feature vector is one field of numbers separated by spaces."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer: csv.DictWriter[str] | None = None

    def __enter__(self) -> CsvTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, rows: list[Row]) -> None:
        """Append a block of rows."""
        if rows and self._writer is None:
            self._writer = csv.DictWriter(self._file, list(rows[0]))
            self._writer.writeheader()
        if self._writer is not None:
            self._writer.writerows({key: _flat(value) for key, value in row.items()} for row in rows)


class JsonLinesTable:
    """Writes each row as a JSON object on a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> JsonLinesTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, rows: list[Row]) -> None:
        """Append a block of rows."""
        self._file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def import_pyarrow() -> Any:
    """Return the module. Raises MemvitError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MemvitError("Parquet needs pyarrow: pip install 'memvit[parquet]', or export to csv") from error
    return pyarrow


class ParquetTable:
    """Writes each block as a row group of a Parquet file. Needs pyarrow."""

    def __init__(self, path: Path) -> None:
        self._arrow, self._path = import_pyarrow(), path
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is None and not any(error):
            self._arrow.parquet.write_table(self._arrow.table({}), self._path)
        elif self._writer is not None:
            self._writer.close()

    def write(self, rows: list[Row]) -> None:
        """Append a block of rows."""
        if not rows:
            return
        if self._writer is None:
            self._schema = self._schema_of(rows)
            self._writer = self._arrow.parquet.ParquetWriter(self._path, self._schema)
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def _schema_of(self, rows: list[Row]) -> Any:
        """Return the types of the columns; where all values of the block are missing, later ones are whole numbers."""
        whole, missing = self._arrow.int64(), self._arrow.null()
        schema = self._arrow.Table.from_pylist(rows).schema
        return self._arrow.schema([field.with_type(whole) if field.type == missing else field for field in schema])


WRITERS: dict[str, type[TableWriter]] = {"parquet": ParquetTable, "csv": CsvTable, "jsonl": JsonLinesTable}


def _flat(value: Any) -> Any:
    return " ".join(f"{number:.7g}" for number in value) if isinstance(value, list) else value
