"""`memvit events`: rules applied to files of results, or to an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.terminal import console, one_sentence

if TYPE_CHECKING:
    from memvit.events.event import Event


def events_command(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS…", help="JSON Lines of `memvit watch`, in order of time, or an archive of `extract`."
        ),
    ],
    rules: Annotated[Path, typer.Option(help="A YAML file of rules; see docs/events.md.")],
    out: Annotated[Path | None, typer.Option(help="A file to write the events to, as JSON Lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events as JSON Lines.")] = False,
) -> None:
    """Find events in results by rules: who did what, from when to when, and where."""
    from pipelines.events import count_sentence, event_sentence, events_of

    output = Console(highlight=False)

    def show(event: Event) -> None:
        if as_json:
            sys.stdout.write(event.to_json() + "\n")
        elif event.state == "end":
            output.print(event_sentence(event), markup=False, soft_wrap=True)

    with one_sentence(out):
        summary = events_of(results, rules, out, show)
    for note in summary.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    console.print(count_sentence(summary.ended), markup=False, soft_wrap=True)
