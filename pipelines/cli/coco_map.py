"""`memvit coco-map`: COCO's measure of a file of detections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from memvit.json_text import json_text
from pipelines.terminal import one_sentence


def coco_map_command(
    instances: Annotated[Path, typer.Argument(metavar="INSTANCES.json", help="COCO's pictures and objects.")],
    detections: Annotated[
        Path, typer.Argument(metavar="DETECTIONS.json", help="COCO's results, as `memvit detect` writes them.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """COCO's measure of detections: average precision and recall of boxes and, where there are any, of masks."""
    from memvit.evaluation.coco import evaluate

    with one_sentence():
        figures = evaluate(instances, detections)
    if as_json:
        typer.echo(json_text(figures, indent=1))
    else:
        print_figures(figures)


def print_figures(figures: dict[str, dict[str, float]]) -> None:
    """COCO's figures of boxes and masks as a table, in percent."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for kind in figures:
        table.add_column({"bbox": "boxes", "segm": "masks"}[kind], justify="right")
    for name in figures["bbox"]:
        values = (of_kind[name] for of_kind in figures.values())
        table.add_row(name, *("none" if value == -1 else f"{100 * value:.1f}" for value in values))
    Console(highlight=False).print(table)
