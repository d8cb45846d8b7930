"""The address of a server: who may reach it, and the socket that listens there."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from memvit.types import MemvitError

from .auth import is_loopback


def check_address(host: str, token: str | None) -> None:
    """MemvitError if other machines could use the server without a token, or the token cannot stand in a header."""
    if token and not re.fullmatch(r"[!-:<-~]{8,}", token):
        raise MemvitError("--token: use at least 8 characters of plain ASCII, without spaces and semicolons")
    if not is_loopback(host) and not token:
        raise MemvitError(
            f"--host {host} lets other machines in: set a token with --token or the variable MEMVIT_TOKEN, "
            "or stay at 127.0.0.1"
        )


@contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Bind a socket, and give it with its address as a URL; port 0 takes a free one.

    MemvitError if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise MemvitError(
                f"{host}:{port}: the server cannot listen there ({error.strerror}); choose another --port or --host"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        yield listener, f"http://{shown}:{listener.getsockname()[1]}"
