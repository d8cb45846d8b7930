"""The models of the zoo as a table, and one model in detail."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

from rich.table import Table

import memvit

STORED = Path(memvit.__file__).parent / "data" / "models.json"
"""One row for each model, as `tools/list_models.py` computed it from the zoo."""


def model_rows(pattern: str) -> list[dict[str, Any]]:
    """One row for each model whose name matches a shell pattern.

    ValueError if there is none: for a name, it suggests the names that are nearest.
    """
    rows: list[dict[str, Any]] = json.loads(STORED.read_text(encoding="utf-8"))
    found = [row for row in rows if fnmatch.fnmatchcase(row["name"], pattern)]
    if not found and any(character in pattern for character in "*?["):
        raise ValueError(f"no model matches {pattern!r}; `memvit models` lists all of them")
    if not found:
        from memvit.models import model_entry

        model_entry(pattern)  # raises the error with the nearest names
    return found


def model_table(rows: list[dict[str, Any]]) -> Table:
    """The models as a table of at most 80 columns, with whole names."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for title in ("input", "classes", "parameters", "GMACs", "accuracy"):
        table.add_column(title, justify="left" if title == "accuracy" else "right", no_wrap=True)
    for row in rows:
        accuracy = row["published_accuracy"].partition(" (")[0].partition(" after")[0]
        table.add_row(
            row["name"], _input(row), str(row["classes"]), _millions(row), f"{row['macs'] / 1e9:.1f}", accuracy
        )
    return table


def model_text(row: dict[str, Any]) -> str:
    """All that is known of one model, as text."""
    is_action = row["task"] == "action"
    data = f", {row['dataset']}" if row["dataset"] else ""
    frames = (
        "one image" if row["frames"] == 1 else f"{row['frames']} frames, every {_nth(row['frame_interval'])} at 30 fps"
    )
    reads = ", ".join(map(str, row["memory_reads"]))
    lines = {
        "model": row["name"],
        "answers": f"actions of each person ({row['classes']}{data})"
        if is_action
        else f"the class of the whole {'image' if row['frames'] == 1 else 'clip'} ({row['classes']}{data})",
        "reads": f"{frames}, {row['pixels']} × {row['pixels']} pixels",
        "memory": f"attends to the clips {reads} back" if reads else "none",
        "size": f"{row['parameters']:,} parameters" + _published(row["published_million_parameters"], " M"),
        "work": f"{row['macs'] / 1e9:.2f} G multiply-accumulates a view" + _published(row["published_gmacs"], " G"),
        "accuracy": f"{row['published_accuracy']}, as published by {row['published_by']}"
        if row["published_accuracy"]
        else "not published",
        "weights": f"{row['url']} ({row['licence']})"
        if row["url"]
        else "none published; train it, or pass a checkpoint",
    }
    return "\n".join(f"{name:9} {value}" for name, value in lines.items())


def _input(row: dict[str, Any]) -> str:
    frames = f"{row['frames']}x{row['frame_interval']} " if row["frames"] > 1 else ""
    return f"{frames}{row['pixels']}²"


def _millions(row: dict[str, Any]) -> str:
    return f"{row['parameters'] / 1e6:.1f} M"


def _nth(number: int) -> str:
    return {1: "one", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _published(value: float | None, unit: str) -> str:
    return "" if value is None else f" (published: {value:g}{unit})"
