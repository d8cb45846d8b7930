"""Web-hooks: an event is the body of a POST, signed with a secret that the receiver knows."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

from .sink import Message, MessageFailed, MessageRefused, SinkDown

MAX_ANSWER_BYTES = 65536
TRIED_AGAIN = frozenset({408, 409, 421, 425, 429})
"""Answers of class 4xx after which the same request may succeed later."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 in hexadecimal of the time, a full stop, and the body."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook:
    """A `Sender`. A connection is kept between messages; redirects are not followed."""

    def __init__(self, url: str, secret: str | None, timeout_seconds: float = 10.0) -> None:
        """`timeout_seconds` for a whole request, however slowly the receiver answers."""
        self._parts = urlsplit(url)
        self._secret, self._timeout = secret, timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    def send(self, message: Message) -> None:
        """Post a message and return once the receiver has answered 2xx; otherwise SinkDown, MessageFailed or
        MessageRefused.
        """
        is_fresh = self._connection is None
        try:
            status = self._post(message)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_fresh or isinstance(error, TimeoutError):
                raise SinkDown(_reason(error)) from error
            try:  # the receiver had closed a connection that was kept
                status = self._post(message)
            except (OSError, http.client.HTTPException) as second:
                self.close()
                raise SinkDown(_reason(second)) from second
        if 200 <= status < 300:
            return
        if status >= 500 or status in TRIED_AGAIN:
            raise MessageFailed(f"the receiver answered {status}")
        raise MessageRefused(f"the receiver answered {status}")

    def close(self) -> None:
        """Close the connection that is kept; the next message makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, message: Message) -> int:
        connection = self._connected()
        body = message.body.encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.key, "User-Agent": "memvit"}
        timestamp = str(int(time.time()))
        if self._secret is not None:
            headers["Memvit-Timestamp"] = timestamp
            headers["Memvit-Signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        is_cut_off = threading.Event()
        watchdog = threading.Timer(self._timeout, _shut, (connection.sock, is_cut_off))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            whole = len(answer.read(MAX_ANSWER_BYTES + 1)) <= MAX_ANSWER_BYTES
        except (OSError, http.client.HTTPException) as error:
            if is_cut_off.is_set():
                raise TimeoutError from error
            raise
        finally:
            watchdog.cancel()
        if not whole or answer.will_close:
            self.close()
        return answer.status

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host = self._parts.hostname or ""
            if self._parts.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(
                    host, self._parts.port, timeout=self._timeout, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(host, self._parts.port, timeout=self._timeout)
            self._connection.connect()
        return self._connection


def _shut(connected: socket.socket | None, is_cut_off: threading.Event) -> None:
    """End a connection, so that whoever reads from it goes on and sees why."""
    is_cut_off.set()
    if connected is not None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    """Without the address, which may hold a secret."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return getattr(error, "strerror", None) or type(error).__name__
