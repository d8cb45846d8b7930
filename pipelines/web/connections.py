"""Limits on connections of clients: how many there are, how large their headers and how slow their requests may be.

The limits hold before a token is checked. Where there are too many connections, the oldest one that has no complete
request is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEADER_BYTES = 16 * 1024
"""Size of the request line and the headers together."""
REQUEST_SECONDS = 10.0
"""From a connection, or the first byte of its next request, to the last byte of that request, body included."""
KEEP_ALIVE_SECONDS = 5
"""A connection is closed when no request follows an answer for so long."""
MAX_CONNECTIONS = 256
SHARE_OF_DESCRIPTORS = 4
"""Connections use at most one in so many file descriptors: streams, files and engines need the others."""
MAX_SOCKET_MESSAGE_BYTES = 4096
"""Size of a message from a client over a WebSocket; the server ignores them."""
_ORDER = itertools.count()


def max_connections() -> int:
    """How many connections there may be at a time, given the process's limit of file descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(8, min(MAX_CONNECTIONS, descriptors // SHARE_OF_DESCRIPTORS))


def connection_options() -> dict[str, Any]:
    """The options of uvicorn that make these limits hold."""
    return {
        "http": LimitedProtocol,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "ws_max_size": MAX_SOCKET_MESSAGE_BYTES,
    }


class LimitedProtocol(H11Protocol):
    """One connection, which is closed if a request is not complete in time."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._number = next(_ORDER)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_upgraded = False

    @property
    def is_incomplete(self) -> bool:
        """Whether the next request, or the rest of one, is awaited."""
        return self._deadline is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request, and close another connection if there are too many."""
        super().connection_made(transport)
        self._start_deadline()
        if len(self.connections) > max_connections():
            incomplete = [one for one in self.connections if isinstance(one, LimitedProtocol) and one.is_incomplete]
            min(incomplete, key=lambda one: one._number).abort()

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and start or cancel the deadline."""
        super().data_received(data)
        is_whole = self._is_upgraded or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if not is_whole and not self.transport.is_closing():
            self._start_deadline()
        else:
            self._cancel_deadline()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket protocol, which has no deadline."""
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once, without an answer: a client that sends half a request does not read one."""
        self._cancel_deadline()
        self.connections.discard(self)  # so that it is not counted any more
        self.transport.abort()

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
