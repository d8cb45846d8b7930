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
        from memvit.models.create import unknown_name

        raise unknown_name("model", pattern, [row["name"] for row in rows])
    return found


def model_tables(rows: list[dict[str, Any]]) -> list[Table]:
    """The models as tables of at most 80 columns, with whole names: those of clips and images, and detectors."""
    models = [row for row in rows if row["task"] != "detection"]
    detectors = [row for row in rows if row["task"] == "detection"]
    return [table(some) for table, some in ((_model_table, models), (_detector_table, detectors)) if some]


def _detector_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("detector", no_wrap=True)
    for title in ("parameters", "GMACs", "box AP", "mask AP"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        work = "" if row["published_gmacs"] is None else f"{row['published_gmacs']:g}"
        figures = (row["published_box_ap"], row["published_mask_ap"])
        table.add_row(
            row["name"], _millions(row), work, *("" if figure is None else f"{figure:.1f}" for figure in figures)
        )
    return table


def _model_table(rows: list[dict[str, Any]]) -> Table:
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
    if row["task"] == "detection":
        return _detector_text(row)
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
        **_published_lines(row),
    }
    return _aligned(lines)


def _detector_text(row: dict[str, Any]) -> str:
    data = f", {row['dataset']}" if row["dataset"] else ""
    gmacs = row["published_gmacs"]
    lines = {
        "detector": row["name"],
        "answers": f"boxes, classes and masks of objects ({row['classes']} classes{data})",
        "reads": f"pictures, short side {row['short_side']}, long side at most {row['long_side']} pixels",
        "size": f"{row['parameters']:,} parameters" + _published(row["published_million_parameters"], " M"),
        "work": "depends on the picture" if gmacs is None else f"{gmacs:g} G multiply-accumulates, as published",
        **_published_lines(row),
    }
    return _aligned(lines)


def _published_lines(row: dict[str, Any]) -> dict[str, str]:
    accuracy, url = row["published_accuracy"], row["url"]
    return {
        "accuracy": f"{accuracy}, as published by {row['published_by']}" if accuracy else "not published",
        "weights": f"{url} ({row['licence']})" if url else "none published; train it, or pass a checkpoint",
    }


def _aligned(lines: dict[str, str]) -> str:
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
