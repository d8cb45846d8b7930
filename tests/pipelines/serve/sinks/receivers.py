"""Real receivers of events: a web-hook that fails in every way, and a broker."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from memvit.events.event import Event
from tests.processes import wait_for


def told(number: int, stream: str = "cam", state: Any = "new") -> Event:
    return Event(
        f"{number:016x}", "waving", stream, 3, "wave", state, float(number), number + 1.0, None, None, 0.9, 0.8, None,
        1, 0.0, None,
    )  # fmt: skip


class Receiver:
    """A web-hook on a port of this machine. `answers` says what to do with each request that comes, in order, by
    default 200: a status, "hang" (says nothing until the receiver is closed), "hang up" (closes without an answer).
    """

    def __init__(self, answers: list[int | str] | None = None, port: int = 0) -> None:
        self.answers = answers or []
        self.taken: list[dict[str, Any]] = []
        """The bodies of requests that were answered with 200."""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                answer = receiver.answers.pop(0) if receiver.answers else 200
                if answer == "hang":
                    receiver._closing.wait(30)
                if isinstance(answer, str):
                    self.close_connection = True
                    return
                if answer == 200:
                    receiver.taken.append({**json.loads(body), "key": self.headers["Idempotency-Key"]})
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/events?token=hidden"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def certificate_in(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed, so no broker speaks TLS")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    words += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run([program, *words.split()], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


class Broker:
    """Mosquitto on a port of this machine, with a user `memvit` whose password is `hidden`."""

    def __init__(self, folder: Path, port: int | None = None, *, certificate: Path | None = None) -> None:
        """With a certificate, whose key is in the file `key.pem` beside it, it speaks TLS only."""
        places = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin:/opt/homebrew/bin"
        program, hasher = (shutil.which(name, path=places) for name in ("mosquitto", "mosquitto_passwd"))
        if program is None or hasher is None:
            pytest.skip("mosquitto is not installed, so nothing is sent to a real broker")
        self.port = port or free_port()
        passwords, config = folder / "passwords", folder / "mosquitto.conf"
        passwords.write_text("memvit:hidden\n")
        passwords.chmod(0o600)
        subprocess.run([hasher, "-U", str(passwords)], check=True)
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous false", f"password_file {passwords}", "user root"]
        if certificate is not None:
            lines[1:1] = [f"certfile {certificate}", f"keyfile {certificate.parent / 'key.pem'}"]
        config.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        wait_for(self._listens, 20)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
