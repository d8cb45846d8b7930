"""The zoo as a table."""

from __future__ import annotations

import functools
from typing import Any

import torch
from rich.table import Table

from memvit.models import MODELS, count_clip_macs, count_parameters, create_model, list_models


@functools.cache
def _counted(name: str) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of one view, with memory where there is one; counted on shapes alone."""
    with torch.device("meta"):
        model = create_model(name)
    return count_parameters(model), count_clip_macs(model)


def model_rows(pattern: str) -> list[dict[str, Any]]:
    """A row a model that matches a shell pattern: what it reads, its size, what is published of it."""
    rows = []
    for name in list_models(pattern):
        entry, config = MODELS[name], MODELS[name].config
        weights = entry.weights
        parameters, macs = _counted(name)
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
                "parameters": parameters,
                "macs": macs,
                "published_million_parameters": weights.million_parameters if weights else None,
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
    columns = ("name", "input", "classes", "parameters", "published", "GMACs", "published", "accuracy", "weights")
    table = Table(*columns, box=None)
    for row in rows:
        frames = f"{row['frames']}x{row['frame_interval']} " if row["frames"] > 1 else ""
        table.add_row(
            row["name"],
            f"{frames}{row['pixels']}²",
            f"{row['classes']} ({row['dataset']})",
            f"{row['parameters'] / 1e6:.1f} M",
            _or_nothing(row["published_million_parameters"], " M"),
            f"{row['macs'] / 1e9:.1f}",
            _or_nothing(row["published_gmacs"]),
            row["published_accuracy"],
            row["licence"],
        )
    table.caption = "counted beside published, of one view; the URLs of the weights: memvit models --json"
    return table


def _or_nothing(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:g}{unit}"
