"""The zoo as a table."""

from __future__ import annotations

import functools
from typing import Any

import torch
from rich.table import Table

from memvit.models import MODELS, count_parameters, create_model, list_models


@functools.cache
def _parameters(name: str) -> int:
    with torch.device("meta"):
        return count_parameters(create_model(name))


def model_rows(pattern: str) -> list[dict[str, Any]]:
    """A row a model that matches a shell pattern: what it reads, its size, what is published of it."""
    rows = []
    for name in list_models(pattern):
        entry, config = MODELS[name], MODELS[name].config
        weights = entry.weights
        rows.append(
            {
                "name": name,
                "frames": config.frames,
                "frame_interval": entry.preprocessing.frame_interval,
                "pixels": config.crop,
                "task": config.head.kind,
                "dataset": entry.dataset,
                "classes": config.head.num_classes,
                "memory_reads": list(config.memory.reads) if config.memory else [],
                "parameters": _parameters(name),
                "published_gmacs": weights.gmacs if weights else None,
                "published_accuracy": weights.metric if weights else "",
                "published_by": weights.source if weights else "",
                "licence": weights.licence if weights else "",
                "url": weights.url if weights else None,
            }
        )
    return rows


def model_table(rows: list[dict[str, Any]]) -> Table:
    """The same for people."""
    table = Table("name", "input", "classes", "parameters", "GMACs*", "accuracy*", "weights' licence", box=None)
    for row in rows:
        frames = f"{row['frames']}x{row['frame_interval']} " if row["frames"] > 1 else ""
        table.add_row(
            row["name"],
            f"{frames}{row['pixels']}²",
            f"{row['classes']} ({row['dataset']})",
            f"{row['parameters'] / 1e6:.1f} M",
            "" if row["published_gmacs"] is None else f"{row['published_gmacs']:g}",
            row["published_accuracy"],
            row["licence"],
        )
    table.caption = "* as published, of one view"
    return table
