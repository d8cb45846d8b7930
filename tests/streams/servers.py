"""Servers of live video on the loopback, whose connections break at a given place."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tests.video import make

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"
Answer = Callable[[socket.socket, threading.Event], None]


@contextmanager
def server(answers: Sequence[Answer]) -> Iterator[int]:
    """Each connection is served by the next of `answers`, in its own thread; the last one serves all that follow."""
    stopping = threading.Event()
    left = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve(connection: socket.socket, answer: Answer) -> None:
            with suppress(OSError), connection:
                connection.settimeout(None)
                answer(connection, stopping)

        def listen() -> None:
            while not stopping.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                answer = left.pop(0) if len(left) > 1 else left[0]
                threading.Thread(target=serve, args=(connection, answer), daemon=True).start()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stopping.set()
        thread.join(5)


def live(content: bytes, *, rate: float = 1.0, seconds: float, share: float = 1.0, start: float = 0.0) -> Answer:
    """HTTP: send a part of a transport stream of `seconds`, at `rate` times its speed; then close the connection."""

    def answer(connection: socket.socket, stopping: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(HEAD)
        first, last = int(len(content) * start), int(len(content) * share)
        step = 188 * 20
        began = time.monotonic()
        for place in range(first - first % 188, last, step):
            connection.sendall(content[place : min(place + step, last)])
            due = began + (place - first) / len(content) * seconds / rate
            stopping.wait(max(0.0, due - time.monotonic()))

    return answer


def status(line: str) -> Answer:
    """HTTP: send only a status line."""

    def answer(connection: socket.socket, stopping: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.0 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return answer


def silent(connection: socket.socket, stopping: threading.Event) -> None:
    """Accept the connection and send nothing."""
    stopping.wait(60)


def then_silent(first: Answer) -> Answer:
    """Run `first`, then send nothing more while the connection stays open."""

    def answer(connection: socket.socket, stopping: threading.Event) -> None:
        first(connection, stopping)
        stopping.wait(60)

    return answer


def transport_stream(path: Path, seconds: int, *, width: int = 96, height: int = 64, seed: int = 0) -> bytes:
    """Moving noise in H.264, a key frame every second, no B-frames, as a camera sends it; 10 frames a second."""
    noise = np.random.default_rng(seed).integers(40, 215, (height // 8, width // 8, 3), np.uint8)
    picture = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    images = [np.roll(picture, 2 * number, axis=1) for number in range(10 * seconds)]
    return make.write(
        path, images, rate=10, container_format="mpegts", g="10", bf="0", preset="ultrafast", tune="zerolatency"
    ).read_bytes()
