"""`memvit browse` and `memvit sheet`: the archive to look at, with a server and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.terminal import console, one_sentence

from .find import Store
from .options import HeadFiles


def browse_command(
    store: Store,
    labels: Annotated[
        Path | None,
        typer.Option(help="A CSV file into which labels for `memvit teach` are written; it may be there already."),
    ] = None,
    head: HeadFiles = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8001,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MEMVIT_TOKEN",
            help="Secret that clients must send; needed for any address but this machine's own. "
            "Better set by the variable.",
        ),
    ] = None,
) -> None:
    """Look at an archive in a browser: films, actions over time, search, and labels by click."""
    from memvit.types import MemvitError

    with one_sentence(store):
        try:
            from pipelines.browse.library import BrowseOptions
            from pipelines.browse.run import browse
        except ImportError as error:
            raise MemvitError(f"browsing needs {error.name}: pip install 'memvit[serve]'") from error
        browse(BrowseOptions(store, labels, tuple(head or ())), host, port, token, console)
