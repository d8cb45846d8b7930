"""`memvit browse`: serves the page of an archive."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from rich.console import Console

from pipelines.web.auth import is_loopback
from pipelines.web.connections import connection_options
from pipelines.web.listening import check_address, listening

from .app import make_guarded_app
from .library import BrowseOptions, FilmLibrary


class _Server(uvicorn.Server):
    """Prints the address once it listens, and ends with exit code 0 on a signal."""

    def __init__(self, config: uvicorn.Config, greeting: str, console: Console) -> None:
        super().__init__(config)
        self._greeting, self._console = greeting, console

    async def startup(self, sockets: object = None) -> None:
        """Listen."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._console.print(self._greeting, soft_wrap=True, markup=False)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which raises the signal once more at the end."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def browse(options: BrowseOptions, host: str, port: int, token: str | None, console: Console) -> None:
    """Serve until Ctrl-C or SIGTERM. MemvitError if the archive or the address cannot be used."""
    check_address(host, token)
    library = FilmLibrary(options)
    with listening(host, port) as (listener, address):
        config = uvicorn.Config(
            make_guarded_app(library, token=token, is_local=is_loopback(host)),
            log_level="warning",
            access_log=False,  # it would print tokens
            timeout_graceful_shutdown=1,
            server_header=False,
            **connection_options(),
        )
        _Server(config, f"the archive is at {address}; Ctrl-C ends it", console).run(sockets=[listener])
