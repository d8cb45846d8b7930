"""Output of commands: progress and errors on standard error, results on standard output."""

from __future__ import annotations

import logging
import os
import sys
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
    """A progress bar for work of known length; its tasks have a text field `numbers`."""
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
def until_reader_leaves() -> Iterator[None]:
    """End the block quietly where standard output is a pipe whose reader has ended, as in `memvit find … | head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be written at exit


@contextmanager
def one_sentence(where: str | Path | None = None) -> Iterator[None]:
    """Print an error that the user can correct as one sentence, and exit with code 1.

    `where` is the place to which the command writes. It is named if the error names no file, as with a full disk.
    """
    try:
        yield
    except (MemvitError, ValueError, OSError) as error:
        if logging.getLogger("memvit").isEnabledFor(logging.INFO):  # --verbose
            console.print_exception()
        sentence = sentence_of(error, where) if isinstance(error, OSError) else str(error)
        console.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
        raise typer.Exit(1) from error
