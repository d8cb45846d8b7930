"""Start the server: checks first, then one line that says where it is."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import uvicorn
from rich.console import Console

from memvit.assemble import ModelSettings, model_name
from memvit.models import state_digest
from memvit.types import MemvitError

from .app import make_app
from .guard import is_loopback
from .service import ServeOptions, Service
from .sources import SourceRules

STOP_SECONDS = 5


class _Server(uvicorn.Server):
    """Ends with exit code 0 when it is asked to, and sends viewers home first: their events would never end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first Ctrl-C or SIGTERM ends it in order, the second at once."""
        self._service.board.close()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which raises the signal once more at the end."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def check_address(host: str, token: str | None) -> None:
    """MemvitError if anybody who reaches the address could come in, or the token cannot travel in a header."""
    if token and not re.fullmatch(r"[!-:<-~]{8,}", token):
        raise MemvitError("--token: use at least 8 characters of plain ASCII, without spaces and semicolons")
    if not is_loopback(host) and not token:
        raise MemvitError(
            f"--host {host} lets others in: set a token with --token or the variable MEMVIT_TOKEN, or stay at 127.0.0.1"
        )


def make_service(settings: ModelSettings, rules: SourceRules, **options: Any) -> Service:
    """A service with a model that has been loaded; `options` as in `ServeOptions`. MemvitError if something it needs is
    not to be had.
    """
    engine, labels, boxes = settings.build()
    digest = state_digest(engine.model.state_dict())[:12]
    chosen = ServeOptions(
        model=f"{model_name(settings.model, settings.checkpoint)} {digest}",
        rules=rules,
        **options,
    )
    return Service(engine, boxes, labels, chosen)


def serve(service: Service, host: str, port: int, token: str | None, console: Console) -> None:
    """Serve until Ctrl-C or SIGTERM; streams are saved then. MemvitError if the address is not to be had."""
    check_address(host, token)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise MemvitError(
                f"{host}:{port}: the server cannot listen there ({error.strerror}); choose another --port or --host"
            ) from error
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        console.print(
            f"memvit serves at http://{shown}:{bound} (API: /docs, figures: /metrics); Ctrl-C ends it", soft_wrap=True
        )
        config = uvicorn.Config(
            make_app(service, token=token, is_local=is_loopback(host)),
            log_level="warning",
            access_log=False,  # it would print tokens
            timeout_graceful_shutdown=STOP_SECONDS,
            server_header=False,
        )
        _Server(config, service).run(sockets=[listener])
