"""Start the server: checks first, then one line that says where it is."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

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


def check_address(host: str, token: str | None) -> None:
    """MemvitError if anybody who reaches the address could come in."""
    if not is_loopback(host) and not token:
        raise MemvitError(
            f"--host {host} lets others in: set a token with --token or the variable MEMVIT_TOKEN, or stay at 127.0.0.1"
        )


def make_service(
    settings: ModelSettings, rules: SourceRules, *, hop_seconds: float, max_streams: int, state: Path | None
) -> Service:
    """A service with a model that has been loaded. MemvitError if it is not to be had."""
    engine, labels, boxes = settings.build()
    digest = state_digest(engine.model.state_dict())[:12]
    options = ServeOptions(
        model=f"{model_name(settings.model, settings.checkpoint)} {digest}",
        rules=rules,
        hop_seconds=hop_seconds,
        max_streams=max_streams,
        state=state,
    )
    return Service(engine, boxes, labels, options)


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
        uvicorn.Server(config).run(sockets=[listener])
