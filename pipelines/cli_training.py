"""`memvit train` and `memvit evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .terminal import INTERRUPTED, console, one_sentence

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file; see `configs/`.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Changes to it, for example `run.out=runs/7`.")
]


def train_command(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final metrics as JSON.")] = False,
) -> None:
    """Train a model by a recipe. The same command again goes on where an interrupted run ended, exactly."""
    from memvit.training.recipe import load_recipe

    from .train import train
    from .train_progress import TrainProgress

    with one_sentence():
        plan = load_recipe(recipe, overrides)
        with TrainProgress(console, plan.schedule.epochs) as progress:
            state, interrupted = train(plan, progress.update, progress.note)
        if interrupted:
            console.print(f"stopped in epoch {state.epoch + 1}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(INTERRUPTED)
        console.print(f"done: {plan.run.out}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(state.metrics))


def evaluate_command(
    recipe: RecipeFile,
    overrides: Overrides = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights in any supported layout, or a checkpoint of `memvit train`.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for predictions and metrics.")] = Path("evaluation"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Measure a model on a recipe's test data. The same command again goes on where an interrupted one ended."""
    from memvit.evaluation.classification import TopK
    from memvit.training.recipe import load_recipe

    from .evaluate import evaluate_classification

    columns = (
        TextColumn("evaluating"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
    )
    with one_sentence(), Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, numbers="")

        def show(counts: TopK) -> None:
            numbers = ", ".join(f"{name} {value:.2f} %" for name, value in counts.metrics.items())
            bar.update(task, completed=counts.samples, numbers=numbers)

        done = evaluate_classification(
            load_recipe(recipe, overrides), checkpoint, out, lambda total: bar.update(task, total=total), show
        )
    for failure in done.failures:
        console.print(f"[bold red]failed:[/] {failure}", soft_wrap=True)
    if done.interrupted:
        console.print(f"stopped after {done.samples} samples; the same command goes on from there", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    numbers = ", ".join(f"{name} {value:.2f} %" for name, value in done.metrics.items())
    console.print(f"{numbers} of {done.samples} samples: {done.path}", soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({**done.metrics, "samples": done.samples, "failed": len(done.failures)}))
    if done.failures:
        raise typer.Exit(1)
