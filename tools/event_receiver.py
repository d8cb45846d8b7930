"""A web-hook on this machine that tools send events to."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAILURES = (500, 503, "silence", "hang up")
SILENCE_SECONDS = 1.5


@dataclass(frozen=True)
class Arrival:
    """An event that was confirmed."""

    unix: float
    """When it came."""
    event: dict[str, Any]


@dataclass
class EventReceiver:
    """It notes what it confirms. At random, it fails: it answers with 500 or 503, is silent, or hangs up."""

    failure_rate: float = 0.0
    rng: random.Random = field(default_factory=random.Random)
    away_until: float = 0.0
    """`time.monotonic()` until which no request is answered."""
    refused: int = 0
    """Requests while it was away."""
    arrivals: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                now = time.time()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if time.monotonic() < receiver.away_until:
                    receiver.refused += 1
                    self.close_connection = True
                    return
                with lock:
                    fails = receiver.rng.random() < receiver.failure_rate
                    failure = receiver.rng.choice(FAILURES) if fails else None
                if failure == "silence":
                    time.sleep(SILENCE_SECONDS)
                if isinstance(failure, str):
                    self.close_connection = True
                    return
                if failure is None:
                    receiver.arrivals.append(Arrival(now, json.loads(body)))
                self.send_response(failure or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()
