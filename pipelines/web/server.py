"""The HTTP server of the commands: limits on connections, a greeting, and an end in order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from rich.console import Console

from .connections import connection_options

SignalHandler = Callable[[int, FrameType | None], None]


class PageServer(uvicorn.Server):
    """Prints a greeting once it listens, and ends with exit code 0 on a signal."""

    def __init__(self, config: uvicorn.Config, greeting: str, console: Console) -> None:
        super().__init__(config)
        self._greeting, self._console = greeting, console

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._console.print(self._greeting, soft_wrap=True, markup=False)

    def signal_handlers(self) -> Mapping[signal.Signals, SignalHandler]:
        """What is called while the server runs."""
        return {signal.SIGINT: self.handle_exit, signal.SIGTERM: self.handle_exit}

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which raises the signal once more at the end."""
        before = {number: signal.signal(number, handler) for number, handler in self.signal_handlers().items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_config(app: FastAPI, *, stop_seconds: int) -> uvicorn.Config:
    """Configuration of uvicorn. Answers that are not complete after `stop_seconds` are cut off at the end."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would print tokens
        timeout_graceful_shutdown=stop_seconds,
        server_header=False,
        **connection_options(),
    )
