"""Connections of clients, before anything is known of them: how many, how large their headers, how slow they may be.

All of it holds before a token is looked at. A connection that has no complete request is worth less than any other:
where there are too many, the oldest of those gives way.
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
"""Request line and headers, together."""
REQUEST_SECONDS = 10.0
"""From a connection, or the first byte of its next request, to the last byte of that request, body included."""
KEEP_ALIVE_SECONDS = 5
"""Without a request after an answer."""
MAX_CONNECTIONS = 256
SHARE_OF_DESCRIPTORS = 4
"""One in so many descriptors of the process, at most: streams, files and engines need the others."""
MAX_SOCKET_MESSAGE_BYTES = 4096
"""Over a WebSocket; clients have nothing to say there."""
_ORDER = itertools.count()


def most_connections() -> int:
    """At once, on this machine."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(8, min(MAX_CONNECTIONS, descriptors // SHARE_OF_DESCRIPTORS))


def connection_options() -> dict[str, Any]:
    """What uvicorn is to be configured with for these limits to hold."""
    return {
        "http": LimitedProtocol,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "ws_max_size": MAX_SOCKET_MESSAGE_BYTES,
    }


class LimitedProtocol(H11Protocol):
    """One connection; closed if a request does not come whole in time."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._number = next(_ORDER)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_upgraded = False

    @property
    def is_incomplete(self) -> bool:
        """Whether a request is waited for, or for the rest of one."""
        return self._deadline is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock runs from here."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > most_connections():
            waiting = [one for one in self.connections if isinstance(one, LimitedProtocol) and one.is_incomplete]
            min(waiting, key=lambda one: one._number).give_up()

    def data_received(self, data: bytes) -> None:
        """Parse, and see whether a request is complete now."""
        super().data_received(data)
        is_whole = self._is_upgraded or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if not is_whole and not self.transport.is_closing():
            self._await_request()
        else:
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another protocol's from now on."""
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close at once, without an answer: whoever sends half a request does not read one."""
        self._stop_waiting()
        self.connections.discard(self)  # it is not one of those that are counted any more
        self.transport.abort()

    def _await_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
