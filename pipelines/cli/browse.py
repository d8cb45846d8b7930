"""`memvit browse` and `memvit sheet`: the archive to look at, with a server and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.terminal import console, one_sentence

from .find import Store
from .options import HeadFiles, Host, Port, Token


def browse_command(
    store: Store,
    labels: Annotated[
        Path | None,
        typer.Option(help="A CSV file into which labels for `memvit teach` are written; it may be there already."),
    ] = None,
    head: HeadFiles = None,
    host: Host = "127.0.0.1",
    port: Port = 8001,
    token: Token = None,
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


def sheet_command(
    store: Store,
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("sheet.html"),
    films: Annotated[int, typer.Option(min=1, help="Largest number of films.")] = 100,
    moments: Annotated[int, typer.Option(min=0, max=50, help="Pictures of each film.")] = 4,
    rows: Annotated[int, typer.Option(min=1, max=50, help="Actions of each film.")] = 5,
    action: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An action to show, by name or id; those that last longest by default."),
    ] = None,
    video: Annotated[str, typer.Option(metavar="TEXT", help="Only films with this in their name.")] = "",
    max_megabytes: Annotated[float, typer.Option(min=0.1, help="The file is at most about so large.")] = 20.0,
) -> None:
    """Make a contact sheet of an archive: one HTML file with films, actions over time and best moments."""
    from pipelines.browse.sheet import SheetOptions, write_sheet
    from pipelines.outputs import check_file

    with one_sentence(out):
        check_file(out)
        size = int(max_megabytes * (1 << 20))
        counts = write_sheet(store, out, SheetOptions(films, moments, rows, tuple(action or ()), video, size))
    console.print(f"{out}: {counts.sentence()}", markup=False, soft_wrap=True)
