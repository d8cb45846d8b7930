"""How commands speak to a terminal: progress and errors on standard error, results on standard output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memvit.os_errors import sentence_of
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
def one_sentence(where: str | Path | None = None) -> Iterator[None]:
    """Errors that a user can mend are printed as one sentence and end with exit code 1.

    `where` is the place that the command writes to: a full disk, for example, raises an error that names no file.
    """
    try:
        yield
    except (MemvitError, ValueError, OSError) as error:
        if logging.getLogger("memvit").isEnabledFor(logging.INFO):  # --verbose
            console.print_exception()
        sentence = sentence_of(error, where) if isinstance(error, OSError) else str(error)
        console.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
        raise typer.Exit(1) from error
