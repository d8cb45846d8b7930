"""A proxy on this machine through which FFmpeg reads the http(s) sources of clients, so that no address is unchecked.

FFmpeg follows redirects by itself, up to eight, and opens what a playlist names. An option forbids redirects, but it
does not reach the parts of a playlist. The option `http_proxy` does: so every connection of such a source, the first,
those of redirects and those of playlists, asks this proxy, which resolves the host, checks the addresses, and connects
to an address that it has checked. What a host is called after the check has no effect.
"""

from __future__ import annotations

import logging
import os
import re
import select
import socket
import threading
from contextlib import suppress

from memvit.types import SourceError
from memvit.video.sources.protocols import ffmpeg_options

from .addresses import AddressDenied, AddressRules

log = logging.getLogger("memvit.serve")
MAX_HEAD_BYTES = 16 * 1024
"""Bound of what is read of a request before it is forwarded: request line and headers."""
MAX_PROXY_CONNECTIONS = 32
"""Connections of one source at a time; FFmpeg uses one to three."""
RELAY_BYTES = 64 * 1024
_HOP_HEADERS = (b"connection:", b"proxy-connection:", b"proxy-authorization:", b"keep-alive:")
_TARGET = re.compile(r"(?:http://)?(?P<authority>[^/?#]*)(?P<path>.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")


class CheckingProxy:
    """The proxy of one source, on a port of its own. `close` it when the source is removed."""

    def __init__(self, rules: AddressRules, *, timeout_seconds: float) -> None:
        self._rules, self._timeout_seconds = rules, timeout_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._places = threading.BoundedSemaphore(MAX_PROXY_CONNECTIONS)
        self._failure: SourceError | None = None
        self._is_closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def ffmpeg_options(self, location: str) -> dict[str, str]:
        """FFmpeg's options for a source that is to be read through this proxy."""
        # FFmpeg reaches the proxy of an https address by the protocol httpproxy, which playlists cannot name.
        protocols = ffmpeg_options(location)["protocol_whitelist"]
        return {"http_proxy": self.url, "protocol_whitelist": f"{protocols},httpproxy"}

    def take_failure(self) -> SourceError | None:
        """Why a connection could not be made since the last call; FFmpeg itself sees an answer of the proxy only."""
        failure, self._failure = self._failure, None
        return failure

    def close(self) -> None:
        """Accept no more connections; those that exist end with FFmpeg's."""
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._places.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                client.settimeout(self._timeout_seconds)
                head, rest = _read_head(client)
                method, target, version = head[0].decode("latin-1").split(" ", 2)
                host, port, path = _split_target(target, 443 if method == "CONNECT" else 80)
                try:
                    server = self._connect(host, port)
                except SourceError as error:
                    self._failure = error
                    status = b"403 Forbidden" if isinstance(error, AddressDenied) else b"502 Bad Gateway"
                    client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                with server:
                    if method == "CONNECT":
                        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    else:
                        server.sendall(_forwarded(method, path, version, head[1:]))
                    server.sendall(rest)
                    _relay(client, server)
        except ValueError:  # no HTTP
            return
        finally:
            self._places.release()

    def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to a checked address. AddressDenied, or a SourceError that says why there is none."""
        try:
            addresses = self._rules.resolve(host, port, host)
        except AddressDenied as error:
            log.warning("%s", error)
            raise
        except (OSError, UnicodeError) as error:
            why = f"{host}: the host cannot be reached ({error}); check its name and the network"
            raise SourceError(why, "unreachable") from error
        failure: OSError | None = None
        for family, address in addresses:
            server = socket.socket(family, socket.SOCK_STREAM)
            server.settimeout(self._timeout_seconds)
            try:
                server.connect(address)
            except OSError as error:
                server.close()
                failure = error
            else:
                return server
        if isinstance(failure, ConnectionRefusedError):
            why = "connection refused; check host and port and that the server is running"
            raise SourceError(f"{host}: {why}", "refused") from failure
        if isinstance(failure, TimeoutError):
            why = f"no answer within {self._timeout_seconds:g} s; check that the other side is running and sends video"
            raise SourceError(f"{host}: {why}", "timeout") from failure
        why = f"the host cannot be reached ({failure}); check its name and the network"
        raise SourceError(f"{host}: {why}", "unreachable") from failure


def proxy_for(location: str, rules: AddressRules, timeout_seconds: float) -> CheckingProxy | None:
    """A proxy for an http(s) source; None for other sources, and where the environment names the user's own proxy."""
    if not location.lower().startswith(("http://", "https://")) or "http_proxy" in os.environ:
        return None
    hide_proxy_exceptions()
    return CheckingProxy(rules, timeout_seconds=timeout_seconds)


def hide_proxy_exceptions() -> None:
    """Let FFmpeg find no exceptions from its proxy in the environment: it reads `no_proxy`, in small letters only.

    Python reads `NO_PROXY` as well, so nothing else changes. Nothing is done where a proxy of the user is set.
    """
    if "http_proxy" not in os.environ and (exceptions := os.environ.pop("no_proxy", None)) is not None:
        os.environ.setdefault("NO_PROXY", exceptions)


def _read_head(client: socket.socket) -> tuple[list[bytes], bytes]:
    """Lines of the request's head, and what was received beyond it. ValueError if it is too long or no HTTP."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(4096)
        if not part or len(received) > MAX_HEAD_BYTES:
            raise ValueError("no whole request")
        received += part
    head, _, rest = received.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), rest


def _split_target(target: str, default_port: int) -> tuple[str, int, str]:
    """(host, port, path) of what a proxy is asked for. ValueError if it is no such thing."""
    parts = _TARGET.fullmatch(target)
    found = _HOST_PORT.fullmatch(parts["authority"].rpartition("@")[2]) if parts else None
    if parts is None or found is None or (port := int(found["port"] or default_port)) > 65535:
        raise ValueError("no host and port")
    return found["ipv6"] or found["host"], port, parts["path"]


def _forwarded(method: str, path: str, version: str, headers: list[bytes]) -> bytes:
    """The request as the server itself is to get it. One a connection: the next one may be to another host."""
    path = path if path.startswith("/") else f"/{path}"
    passed_on = [header for header in headers if not header.lower().startswith(_HOP_HEADERS)]
    line = f"{method} {path} {version}".encode("latin-1")
    return b"\r\n".join([line, *passed_on, b"Connection: close"]) + b"\r\n\r\n"


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes both ways until either side ends. FFmpeg has the time-outs: it hangs up on a silent server."""
    client.settimeout(None)
    server.settimeout(None)
    pairs = {client: server, server: client}
    poll = select.poll()
    for one in pairs:
        poll.register(one, select.POLLIN)
    by_number = {one.fileno(): one for one in pairs}
    while True:
        for number, _ in poll.poll():
            source = by_number[number]
            part = source.recv(RELAY_BYTES)
            if not part:
                return
            pairs[source].sendall(part)
