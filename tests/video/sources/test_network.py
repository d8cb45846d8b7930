"""Sources that are slow, silent, or refuse: bounded waiting, clear words, no password anywhere."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memvit.types import SourceError
from memvit.video.sources.open import open_source
from tests.video import make

TIMEOUTS = {"open_timeout_seconds": 0.6, "read_timeout_seconds": 0.6}


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on a free port; each connection stays open until the test is over."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    answer(connection)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()
    thread.join(5)


def silent(connection: socket.socket) -> None:
    pass


def http(status: str, body: bytes = b"", *, close: bool = False) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        head = f"HTTP/1.0 {status}\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        if close:
            connection.shutdown(socket.SHUT_WR)

    return answer


def refused(location: str, **options: float) -> str:
    """The message of the error, after checking that nothing that would be printed or logged has the password."""
    began = time.monotonic()
    with pytest.raises(SourceError) as caught:
        list(open_source(location, **(TIMEOUTS | options)))  # type: ignore[arg-type]
    assert time.monotonic() - began < 3
    error = caught.value
    shown = "".join(traceback.format_exception(error))
    assert error.__cause__ is None and error.__context__ is None
    assert "pa55" not in shown + repr(error)
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("scheme", ["http", "rtsp", "tcp", "rtmp"])
def test_a_server_that_accepts_and_then_says_nothing(scheme: str) -> None:
    with server(silent) as port:
        message = refused(f"{scheme}://user:pa55@127.0.0.1:{port}/live?key=pa55")
    assert message.startswith(f"{scheme}://***@127.0.0.1:{port}/live?…: no answer within 0.6 s; check")


def test_nothing_is_sent_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "no answer within 0.6 s" in refused(f"udp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", "access denied; check user name and password"),
        ("403 Forbidden", "access denied"),
        ("404 Not Found", "nothing at this address (404)"),
        ("500 Oops", "it cannot be opened (Server returned 5XX Server Error reply)"),
    ],
)
def test_http_errors(status: str, reason: str) -> None:
    with server(http(status, close=True)) as port:
        assert reason in refused(f"http://user:pa55@127.0.0.1:{port}/a.ts")


def test_connection_refused_and_unknown_protocol() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "connection refused; check host and port" in refused(f"rtsp://user:pa55@127.0.0.1:{port}/s")
    assert "does not know this protocol" in refused("foo://user:pa55@host/s")


def test_a_stream_that_stalls_gives_its_frames_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = make.write(tmp_path / "a.ts", make.counted(50), g="10", bf="0", container_format="mpegts").read_bytes()
    frames = 0
    with caplog.at_level(logging.DEBUG), server(http("200 OK", video)) as port:
        source = open_source(f"http://user:pa55@127.0.0.1:{port}/a.ts?token=pa55", **TIMEOUTS)  # type: ignore[arg-type]
        info = source.info
        assert info.is_live and info.duration_seconds is None and (info.width, info.height) == (64, 48)
        assert info.name == f"127.0.0.1_{port}_a.ts"
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"nothing came for 0\.6 s; check the connection"), source:
            for frame in source:
                assert frame.pts_seconds == pytest.approx(frames / 30, abs=1e-3)
                frames += 1
        assert time.monotonic() - began < 3
    assert frames >= 45
    assert "pa55" not in caplog.text


def send(content: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)

    return answer


def test_the_end_of_a_live_stream(tmp_path: Path) -> None:
    video = make.write(tmp_path / "a.ts", make.counted(50), bf="2").read_bytes()
    with server(send(video)) as port, open_source(f"tcp://127.0.0.1:{port}", **TIMEOUTS) as source:  # type: ignore[arg-type]
        assert source.info.is_live
        assert [make.number_of(frame.rgb()) for frame in source] == list(range(50))


def test_a_connection_that_breaks_gives_every_frame_first(tmp_path: Path) -> None:
    """Without a length, FFmpeg cannot tell the end of an HTTP answer from a break."""
    video = make.write(tmp_path / "a.ts", make.counted(50), bf="2").read_bytes()
    numbers = []
    with server(http("200 OK", video, close=True)) as port, pytest.raises(SourceError, match="reading broke off"):
        for frame in open_source(f"http://127.0.0.1:{port}/a", **TIMEOUTS):  # type: ignore[arg-type]
            numbers.append(make.number_of(frame.rgb()))
    assert numbers == list(range(50))


def test_joining_between_key_frames(tmp_path: Path) -> None:
    """Time begins with the first frame that can be decoded."""
    video = make.write(tmp_path / "a.ts", make.busy(60), g="20", bf="0", sc_threshold="0").read_bytes()
    start = len(video) // 188 // 6 * 188
    with (
        server(send(video[start:])) as port,
        open_source(f"tcp://127.0.0.1:{port}", **TIMEOUTS) as source,  # type: ignore[arg-type]
    ):
        frames = list(source)
    assert len(frames) in range(38, 60) and frames[0].pts_seconds == 0.0
    assert frames[-1].pts_seconds == pytest.approx((len(frames) - 1) / 30, abs=0.01)
