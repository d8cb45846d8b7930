"""MPEG-TS over HTTP from a server that hangs up, falls silent, refuses and sends noise, by a seeded plan."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"


class FaultyServer:
    """MPEG-TS over HTTP in real time, with a fault every now and then."""

    def __init__(self, content: bytes, seconds: float, rng: random.Random) -> None:
        self._content, self._seconds, self._rng = content, seconds, rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._refusing_until: dict[str, float] = {}
        self.port = self._listener.getsockname()[1]
        self.faults: Counter[str] = Counter()
        self.is_faultless = threading.Event()
        """Set: no more faults, so that all streams can come back."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            path = connection.recv(4096).split(b" ")[1].decode()
            if time.monotonic() < self._refusing_until.get(path, 0.0) and not self.is_faultless.is_set():
                connection.sendall(b"HTTP/1.0 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            connection.sendall(HEAD)
            fault = (
                "none" if self.is_faultless.is_set() else self._rng.choice(("hang up", "silence", "refuse", "noise"))
            )
            good_seconds = 1e9 if fault == "none" else self._rng.uniform(5, 90)
            self._play(connection, good_seconds)
            self.faults[fault] += 1
            if fault == "silence":
                self.is_faultless.wait(self._rng.uniform(2, 25))
            elif fault == "refuse":
                self._refusing_until[path] = time.monotonic() + self._rng.uniform(3, 60)
            elif fault == "noise":
                connection.sendall(self._rng.randbytes(50_000))

    def _play(self, connection: socket.socket, good_seconds: float) -> None:
        """Send the transport stream in real time, again and again; its times start from 0 each time."""
        began = time.monotonic()
        step = 188 * 10
        sent = 0
        while (passed := time.monotonic() - began) < good_seconds and not (
            good_seconds < 1e8 and self.is_faultless.is_set()
        ):
            place = sent % (len(self._content) - len(self._content) % step)
            connection.sendall(self._content[place : place + step])
            sent += step
            time.sleep(max(0.0, sent / len(self._content) * self._seconds - passed))
