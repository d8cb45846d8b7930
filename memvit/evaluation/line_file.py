"""A JSON Lines file that an evaluation adds to, so that a killed one goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memvit.types import MemvitError


class LineFile:
    """Entries below a line that says what they belong to. An incomplete last line is dropped when it is read again."""

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        """`identity` describes model and data. MemvitError if the file belongs to another evaluation."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"evaluation": identity}, sort_keys=True)
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        if lines and lines[0] != head:
            raise MemvitError(f"{path}: these are the predictions of another evaluation; choose another folder")
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in lines[1:]]
        """What the file held."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(f"{line}\n" for line in [head, *lines[1:]]))
        temporary.replace(path)

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        """Append entries. Each line is complete when this returns."""
        with self.path.open("a") as file:
            for entry in entries:
                file.write(json.dumps(entry, allow_nan=False) + "\n")
