"""How commands speak to a terminal: progress and errors on standard error, results on standard output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memvit.types import MemvitError

console = Console(stderr=True, highlight=False)
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def step_bar(console: Console) -> Progress:
    """A bar for work of known length; its tasks have a field `numbers`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def one_sentence() -> Iterator[None]:
    """Errors that a user can mend are printed as they are and end with exit code 1."""
    try:
        yield
    except (MemvitError, ValueError, OSError) as error:
        if logging.getLogger("memvit").isEnabledFor(logging.INFO):  # --verbose
            console.print_exception()
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from error
