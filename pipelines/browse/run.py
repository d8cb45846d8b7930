"""`memvit browse`: serves the page of an archive."""

from __future__ import annotations

from rich.console import Console

from pipelines.web.auth import is_loopback
from pipelines.web.listening import check_address, listening
from pipelines.web.server import PageServer, server_config

from .app import make_guarded_app
from .library import BrowseOptions, FilmLibrary


def browse(options: BrowseOptions, host: str, port: int, token: str | None, console: Console) -> None:
    """Serve until Ctrl-C or SIGTERM. MemvitError if the archive or the address cannot be used."""
    check_address(host, token)
    library = FilmLibrary(options)
    with listening(host, port) as (listener, address):
        app = make_guarded_app(library, token=token, is_local=is_loopback(host))
        greeting = f"the archive is at {address}; Ctrl-C ends it"
        PageServer(server_config(app, stop_seconds=1), greeting, console).run(sockets=[listener])
