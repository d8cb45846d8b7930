"""`memvit evaluate-events`: how well events, or rules, agree with what was really there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memvit.json_text import json_text
from pipelines.terminal import console, one_sentence

if TYPE_CHECKING:
    from memvit.events.evaluate import Agreement, Evaluation
    from memvit.events.sweep import Sweep


def evaluate_events_command(
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.csv", help="stream,action,start_seconds,end_seconds")],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="EVENTS.jsonl…", help="Events of `memvit events`; with --sweep, results."),
    ],
    sweep: Annotated[bool, typer.Option("--sweep", help="Try scores of rules on results, and print the best.")] = False,
    rules: Annotated[
        Path | None, typer.Option(help="Rules whose start and keep scores --sweep tries; a plain one if none is given.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="A PNG of what --sweep found.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure events: precision, recall and F1 at a temporal IoU of 0.1, 0.3 and 0.5, and how late they begin."""
    if (rules is not None or plot is not None) and not sweep:
        raise typer.BadParameter("--rules and --plot go with --sweep")
    from memvit.events.evaluate import evaluate_events
    from memvit.events.intervals import read_events, read_truth

    if sweep:
        _sweep(truth, files, rules, plot, as_json=as_json)
        return
    with one_sentence():
        found = evaluate_events(read_truth(truth), read_events(files))
    if as_json:
        typer.echo(json_text(found.to_record(), indent=1))
        return
    Console().print(_table(found))
    for note in found.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _sweep(truth_path: Path, files: list[Path], rules_path: Path | None, plot: Path | None, *, as_json: bool) -> None:
    from memvit.events.files import read_clips
    from memvit.events.intervals import read_truth
    from memvit.events.rules_file import load_rules
    from memvit.events.sweep import sweep

    with one_sentence(plot):
        rules = load_rules(rules_path) if rules_path is not None else None
        found = sweep(read_truth(truth_path), [partial(read_clips, path) for path in files], rules)
        if plot is not None:
            from memvit.events.sweep_plot import draw_sweep

            draw_sweep(found, plot)
    if as_json:
        typer.echo(json_text([_sweep_record(one) for one in found], indent=1))
    else:
        Console().print(_sweep_table(found))


def _table(found: Evaluation) -> Table:
    from memvit.events.evaluate import IOU_THRESHOLDS

    table = Table("action", "IoU", *["precision", "recall", "F1", "begins late by"])
    rows = [*found.by_label.items(), ("all", found.total)] if len(found.by_label) > 1 else [*found.by_label.items()]
    for label, agreement in rows:
        for place, threshold in enumerate(IOU_THRESHOLDS):
            name = (label, f"{agreement.truths} true", f"{agreement.events} found")[place]
            late = _median(agreement.start_delays) if not place else ""
            table.add_row(escape(name), f"{threshold:g}", *_numbers(agreement, threshold), late)
        table.add_section()
    return table


def _sweep_table(found: list[Sweep]) -> Table:
    from memvit.events.sweep import BEST_IOU

    table = Table(
        "action", "start_score", "keep_score", *[f"{name} at {BEST_IOU:g}" for name in ("precision", "recall", "F1")]
    )
    for one in found:
        best = one.best
        numbers = _numbers(best.agreement, BEST_IOU)
        table.add_row(escape(one.label), f"{best.start_score:g}", f"{best.keep_score:g}", *numbers)
    return table


def _sweep_record(one: Sweep) -> dict[str, object]:
    trials = [
        {"start_score": trial.start_score, "keep_score": trial.keep_score, **trial.agreement.to_record()}
        for trial in one.trials
    ]
    return {"action": one.label, "best": trials[one.trials.index(one.best)], "trials": trials}


def _numbers(agreement: Agreement, threshold: float) -> list[str]:
    parts = (agreement.precision(threshold), agreement.recall(threshold), agreement.f1(threshold))
    return ["–" if part is None else f"{part:.3f}" for part in parts]


def _median(seconds: list[float]) -> str:
    from statistics import median

    return f"{median(seconds):.2f} s" if seconds else "–"
