"""Real sockets and real decoding: servers that are missing, fall silent, close within a picture, or change codec."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memvit.streams.events import ReaderEvent, SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamFailed, StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import Clip
from tests.processes import START_SECONDS, Command, wait_for
from tests.streams.servers import Answer, live, server, silent, status, then_silent, transport_stream
from tests.streams.test_watcher import Stub

QUICK = LivePolicy(
    overflow="wait",
    open_timeout_seconds=1.0,
    read_timeout_seconds=1.0,
    stall_seconds=0.4,
    retry_seconds=0.2,
    hang_seconds=1.0,
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return transport_stream(tmp_path_factory.mktemp("ts") / "a.ts", 8)


def watched(
    answers: list[Answer],
    enough: Callable[[list[StreamEvent]], bool],
    *,
    policy: LivePolicy = QUICK,
    path: str = "a.ts",
) -> tuple[list[StreamEvent], Watcher]:
    """The events of a stream from such a server, and its watcher."""
    made = Watcher(Stub())  # type: ignore[arg-type]
    events: list[StreamEvent] = []
    deadline = time.monotonic() + 20
    with server(answers) as port:
        made.add("a", f"http://user:pa55@127.0.0.1:{port}/{path}?key=pa55", policy=policy, retry_initial=True)
        while not enough(events):
            assert time.monotonic() < deadline, [type(item).__name__ for item in events]
            events += made.step()
        made.streams["a"].stop() if "a" in made.streams else None
    return events, made


def centres(events: list[StreamEvent]) -> list[float]:
    return [item.clip.centre_seconds for item in events if isinstance(item, ClipResult)]


def of(events: list[StreamEvent], kind: type[ReaderEvent]) -> list:
    return [item for item in events if isinstance(item, kind)]


def test_broken_connection_is_reopened_without_damaged_pictures(video: bytes) -> None:
    """What comes first then is the middle of a group of pictures: its frames are not shown until a key frame."""
    first = live(video, rate=4, seconds=8, share=0.53)
    second = live(video, rate=4, seconds=8, start=0.56)
    events, _ = watched([first, second, silent], lambda events: len(of(events, StreamLost)) >= 2)
    assert len(of(events, StreamOpened)) == 2 and not of(events, SessionBegan)
    found = centres(events)
    assert len(found) >= 5 and found == sorted(set(found))
    assert [item.clip.index for item in events if isinstance(item, ClipResult)] == list(range(len(found)))
    pictures = [item.clip.frames for item in events if isinstance(item, ClipResult)]
    assert all(frames.std() > 30 for frames in pictures), "grey smears would be frames without their key frame"
    assert np.ptp([frames.mean() for frames in pictures]) < 12


@pytest.mark.parametrize(
    ("line", "kind"), [("401 Unauthorized", "access"), ("403 Forbidden", "access"), ("404 Not Found", "not_found")]
)
def test_refused_connection_has_a_kind_and_shows_no_password(
    line: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        events, made = watched([status(line)], lambda events: bool(of(events, StreamLost)))
    (lost,) = of(events, StreamLost)
    assert lost.kind == kind and lost.retry_seconds >= 10
    assert "pa55" not in lost.reason + caplog.text + str(made.streams["a"].last_failure)
    assert "***@127.0.0.1" in lost.reason


def test_silent_server_is_a_timeout() -> None:
    began = time.monotonic()
    events, _ = watched([silent], lambda events: len(of(events, StreamLost)) >= 2)
    assert {lost.kind for lost in of(events, StreamLost)} == {"timeout"}
    assert time.monotonic() - began < 6


def test_silent_stream_is_stalled_then_lost_then_open_again(video: bytes) -> None:
    answers = [then_silent(live(video, rate=8, seconds=8, share=0.6)), live(video, rate=4, seconds=8), silent]
    events, _ = watched(answers, lambda events: len(of(events, StreamOpened)) == 2 and len(centres(events)) >= 7)
    kinds = [type(item) for item in events if not isinstance(item, ClipResult)]
    assert kinds[:4] == [StreamOpened, StreamStalled, StreamLost, StreamOpened]
    assert of(events, StreamLost)[0].kind == "timeout"


@pytest.mark.parametrize("address", ["rtsp://no-such-host.invalid/a", "rtsp://127.0.0.1:1/a"])
def test_missing_source_does_not_stop_other_streams(address: str, video: bytes) -> None:
    made = Watcher(Stub())  # type: ignore[arg-type]
    events: list[StreamEvent] = []
    with server([live(video, rate=8, seconds=8), silent]) as port:
        made.add("missing", address, policy=QUICK)
        made.add("there", f"http://127.0.0.1:{port}/", policy=QUICK)
        until = time.monotonic() + 20
        while len(centres(events)) < 6 and time.monotonic() < until:
            events += made.step()
    lost = [item for item in of(events, StreamLost) if item.stream_id == "missing"]
    assert lost and lost[0].kind in ("unreachable", "refused")
    assert len(centres(events)) >= 6 and not of(events, StreamFailed)
    made.close()


def test_another_codec_and_size_in_one_connection(tmp_path: Path, video: bytes) -> None:
    """A camera is set to another resolution: the same stream goes on, and another aspect begins a new session."""
    larger = transport_stream(tmp_path / "b.ts", 6, width=192, height=128, seed=1)
    portrait = transport_stream(tmp_path / "c.ts", 6, width=64, height=96, seed=2)
    answer = live(video + larger + portrait, rate=20, seconds=20)
    events, made = watched([answer, silent], lambda events: bool(of(events, StreamLost)))
    (begun,) = of(events, SessionBegan)
    assert "the shape of the picture has changed" in begun.reason
    found = centres(events)
    assert found == sorted(set(found)) and len(found) >= 16
    sizes = {(item.clip.session, item.clip.frames.shape[1:3]) for item in events if isinstance(item, ClipResult)}
    assert {session for session, _ in sizes} == {0, 1} and len(sizes) == 2
    assert made.streams["a"].stats.missed_clips <= 2


def test_damaged_packets_are_skipped_and_counted(video: bytes) -> None:
    damaged = bytearray(video)
    for place in np.random.default_rng(0).integers(len(video) // 3, 2 * len(video) // 3, 60):
        damaged[place] ^= 0xFF
    answers = [live(bytes(damaged), rate=8, seconds=8), silent]
    events, made = watched(answers, lambda events: bool(of(events, StreamLost)))
    assert len(centres(events)) >= 5
    assert made.streams["a"].stats.corrupt_packets > 0


def test_random_bytes_are_lost_connections_with_one_sentence() -> None:
    garbage = np.random.default_rng(0).integers(256, size=200_000, dtype=np.uint8).tobytes()
    events, _ = watched([live(garbage, rate=100, seconds=8)], lambda events: len(of(events, StreamLost)) >= 2)
    assert all("\n" not in lost.reason for lost in of(events, StreamLost))


def test_ending_while_a_read_is_blocked_takes_less_than_two_seconds(tmp_path: Path, video: bytes) -> None:
    out = tmp_path / "out"
    with server([then_silent(live(video, rate=50, seconds=8, share=0.7))]) as port:
        command = Command(
            ["watch", f"http://127.0.0.1:{port}/a.ts", "rtsp://127.0.0.1:1/b", "--model", "memvit_tiny_8x4",
             "--random-weights", "--boxes", "full", "--overflow", "wait", "--out", out]
        )  # fmt: skip
        wait_for(lambda: any(path.stat().st_size for path in out.glob("*.jsonl")), START_SECONDS)
        time.sleep(0.5)
        asked = time.monotonic()
        command.send(signal.SIGTERM)
        code, text = command.finish(10)
        took = time.monotonic() - asked
    assert code == 130 and took < 2, (code, took, text)
    assert "Traceback" not in text


def test_latency_is_measured_from_arrival_of_the_last_frame(video: bytes) -> None:
    events, _ = watched([live(video, rate=2, seconds=8), silent], lambda events: len(centres(events)) >= 4)
    for item in events:
        if isinstance(item, ClipResult):
            assert isinstance(item.clip, Clip) and item.result.latency is not None
            assert 0 <= item.result.latency.decode_seconds < 0.5
            assert item.result.latency.seconds < 1
