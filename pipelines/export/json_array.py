"""Writes a JSON file with one long list, item by item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class JsonArray:
    """A file of the form {"NAME": [item, …]}, one item a line. It is complete once the `with` block has ended."""

    def __init__(self, path: Path, name: str) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._file.write(f"{{{json.dumps(name)}: [")
        self._separator = "\n"

    def __enter__(self) -> JsonArray:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._file.write("\n]}\n")

    def add(self, item: dict[str, Any]) -> None:
        """Append an item."""
        self._file.write(self._separator + json.dumps(item, ensure_ascii=False, allow_nan=False))
        self._separator = ",\n"
