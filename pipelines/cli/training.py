"""`memvit train`, `memvit evaluate` and `memvit ava-map`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from memvit.evaluation.ava import Metrics
    from memvit.evaluation.classification import TopK
    from memvit.training.recipe import ActionRecipe, ClassificationRecipe, DetectionRecipe

from memvit.json_text import json_text
from pipelines.terminal import INTERRUPTED, console, one_sentence, step_bar

from .coco_map import print_figures

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file; see `configs/`.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Changes to it, for example `run.out=runs/7`.")
]


def train_command(
    recipe: RecipeFile,
    overrides: Overrides = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that train together; more than one needs Ray, and each takes a GPU if there are any."
        ),
    ] = 1,
    address: Annotated[str | None, typer.Option(help="Address of a running Ray cluster to train on.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print every key of the recipe, and train nothing.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe and its data, say what would happen, write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final metrics as JSON.")] = False,
) -> None:
    """Train a model by a recipe. The same command again continues an interrupted run exactly where it ended."""
    if keys:
        _print_keys(recipe, overrides, as_json=as_json)
        return
    if dry:
        _print_dry_run(recipe, overrides, workers, as_json=as_json)
        return
    from memvit.training.recipe_file import load_recipe
    from pipelines.outputs import check_folder
    from pipelines.train.progress import TrainProgress
    from pipelines.train.run import train

    with one_sentence():
        plan = load_recipe(recipe, overrides)
    with one_sentence(plan.run.out):
        check_folder(Path(plan.run.out), "run.out=…")
        with TrainProgress(console, plan.schedule.epochs) as progress:
            if workers > 1 or address:
                from pipelines.train.ray_workers import train_on_ray

                state, interrupted = train_on_ray(
                    plan, workers, address=address, on_event=progress.update, on_note=progress.note
                )
            else:
                state, interrupted = train(plan, progress.update, progress.note)
        if interrupted:
            console.print(f"stopped in epoch {state.epoch + 1}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(INTERRUPTED)
        console.print(f"done: {plan.run.out}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json_text(state.metrics))


def _print_keys(recipe: Path, overrides: list[str] | None, *, as_json: bool) -> None:
    from memvit.training.recipe_file import load_recipe
    from pipelines.train.recipe_help import key_rows, key_text

    with one_sentence():
        plan = load_recipe(recipe, overrides)
    typer.echo(json_text(key_rows(plan), indent=1) if as_json else key_text(plan))


def _print_dry_run(recipe: Path, overrides: list[str] | None, workers: int, *, as_json: bool) -> None:
    from memvit.training.recipe_file import load_recipe
    from pipelines.train.dry_run import dry_run

    with one_sentence():
        found = dry_run(load_recipe(recipe, overrides), workers)
    typer.echo(json_text(asdict(found), indent=1) if as_json else "\n".join(found.lines()))
    if found.missing:
        raise typer.Exit(1)


def evaluate_command(
    recipe: RecipeFile,
    overrides: Overrides = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights in any supported layout, or a checkpoint of `memvit train`.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for predictions and metrics.")] = Path("evaluation"),
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Answer from each clip alone, for comparison (actions).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Measure a model on a recipe's test data: top-1 and top-5 of a classifier, the official mAP of an action model,
    COCO's figures of a detector."""
    from memvit.training.recipe import ActionRecipe, DetectionRecipe
    from memvit.training.recipe_file import load_recipe
    from pipelines.outputs import check_folder

    with one_sentence(out):
        check_folder(out)
        plan = load_recipe(recipe, overrides)
        if isinstance(plan, ActionRecipe):
            _evaluate_actions(plan, checkpoint, out, remember=not no_memory, as_json=as_json)
        elif isinstance(plan, DetectionRecipe):
            _evaluate_detection(plan, checkpoint, out, as_json=as_json)
        else:
            _evaluate_classification(plan, checkpoint, out, as_json=as_json)


def ava_map_command(
    groundtruth: Annotated[Path, typer.Argument(help="AVA rows: video,second,x1,y1,x2,y2,action,person.")],
    detections: Annotated[Path, typer.Argument(help="AVA rows: video,second,x1,y1,x2,y2,action,score.")],
    exclusions: Annotated[Path | None, typer.Option(help="Keyframes to leave out: video,second.")] = None,
    label_map: Annotated[Path | None, typer.Option(help="Actions to measure; by default AVA's 60.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """The official AVA measure, mAP at 0.5 IoU, of a file of detections."""
    from memvit.datasets.ava_files import read_label_map
    from memvit.evaluation.ava import evaluate

    with one_sentence():
        metrics = evaluate(groundtruth, detections, exclusions, label_map=read_label_map(label_map))
    if as_json:
        typer.echo(json_text(metrics, indent=1))
    else:
        _print_precisions(metrics)


def _evaluate_classification(plan: ClassificationRecipe, checkpoint: Path | None, out: Path, *, as_json: bool) -> None:
    from pipelines.train.evaluate import evaluate_classification

    with step_bar(console) as bar:
        task = bar.add_task("evaluating", total=None, numbers="")

        def show(counts: TopK) -> None:
            numbers = ", ".join(f"{name} {value:.2f} %" for name, value in counts.metrics.items())
            bar.update(task, completed=counts.samples, numbers=numbers)

        done = evaluate_classification(plan, checkpoint, out, lambda total: bar.update(task, total=total), show)
    for failure in done.failures:
        console.print(f"[bold red]failed:[/] {escape(failure)}", soft_wrap=True)
    if done.interrupted:
        console.print(f"stopped after {done.samples} samples; the same command goes on from there", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    numbers = ", ".join(f"{name} {value:.2f} %" for name, value in done.metrics.items())
    console.print(f"{numbers} of {done.samples} samples: {done.path}", soft_wrap=True)
    if as_json:
        typer.echo(json_text({**done.metrics, "samples": done.samples, "failed": len(done.failures)}))
    if done.failures:
        raise typer.Exit(1)


def _evaluate_actions(plan: ActionRecipe, checkpoint: Path | None, out: Path, *, remember: bool, as_json: bool) -> None:
    from pipelines.train.evaluate_actions import evaluate_actions

    with step_bar(console) as bar:
        task = bar.add_task("evaluating", total=None, numbers="keyframes")
        metrics = evaluate_actions(
            plan,
            checkpoint,
            out,
            remember=remember,
            on_start=lambda total: bar.update(task, total=total),
            on_progress=lambda done: bar.update(task, completed=done),
        )
    console.print(f"{out / 'detections.csv'}\n{out / 'metrics.json'}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json_text(metrics, indent=1))
    else:
        _print_precisions(metrics)


def _evaluate_detection(plan: DetectionRecipe, checkpoint: Path | None, out: Path, *, as_json: bool) -> None:
    from pipelines.train.evaluate_detection import evaluate_detection

    with step_bar(console) as bar:
        task = bar.add_task("evaluating", total=None, numbers="")
        done = evaluate_detection(
            plan,
            checkpoint,
            out,
            lambda total: bar.update(task, total=total),
            lambda pictures, objects: bar.update(task, completed=pictures, numbers=f"{objects} objects"),
        )
    for failure in done.failures:
        console.print(f"[bold red]failed:[/] {escape(failure)}", soft_wrap=True)
    if done.interrupted:
        console.print(f"stopped after {done.pictures} pictures; the same command goes on from there", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in done.summary.items())
    console.print(f"{numbers} of {done.pictures} pictures: {done.path}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json_text({**done.summary, "pictures": done.pictures, "failed": len(done.failures)}))
    elif len(done.figures) == 1:
        print_figures(next(iter(done.figures.values())))
    if done.failures:
        raise typer.Exit(1)


def _print_precisions(metrics: Metrics) -> None:
    from pipelines.train.evaluate_actions import per_class

    table = Table("action", "AP@0.5IOU")
    for name, precision in per_class(metrics):
        table.add_row(escape(name), f"{precision:.4f}")
    table.add_section()
    table.add_row("[bold]mAP@0.5IOU[/]", f"[bold]{metrics['mAP@0.5IOU']:.4f}[/]")
    Console().print(table)
