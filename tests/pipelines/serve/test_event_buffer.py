"""Events that the server does not fetch cost an actor a bounded amount of memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from memvit.results.result import Result
from memvit.streams.events import StreamStalled
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import Clip, PreviewFrame
from pipelines.serve import remote
from pipelines.serve.event_buffer import MAX_BUFFERED_EVENTS, EventBuffer

IMAGE = np.zeros((2, 2, 3), np.uint8)


def result(stream_id: str, index: int) -> ClipResult:
    """A result with all the images that a clip may hold."""
    seconds, preview = float(index), (PreviewFrame(float(index), IMAGE),)
    clip = Clip(stream_id, index, seconds, seconds, seconds, IMAGE[None], centre_image=IMAGE, preview=preview)
    return ClipResult(clip, Result(stream_id, index, seconds, seconds, seconds, None, np.ones((1, 1), np.float32)))


def test_a_full_buffer_drops_its_oldest_results_and_no_other_events() -> None:
    buffer = EventBuffer(max_events=4)
    stalled = StreamStalled("a", 5.0)
    buffer.put([stalled, *(result("a", index) for index in range(8))])
    events, dropped = buffer.take(0)
    assert events[0] is stalled and dropped == 5
    assert [event.result.clip_index for event in events if isinstance(event, ClipResult)] == [5, 6, 7]
    buffer.put([StreamStalled("a", float(number)) for number in range(6)])
    assert buffer.take(0)[0] == [StreamStalled("a", float(number)) for number in range(2, 6)]
    assert buffer.take(0) == ([], 0)


def test_only_the_newest_result_of_each_stream_holds_a_preview() -> None:
    buffer = EventBuffer()
    buffer.put(result(stream_id, index) for index in range(5) for stream_id in "ab")
    events, _ = buffer.take(0)
    clips = [event.clip for event in events if isinstance(event, ClipResult)]
    assert [clip.stream_id for clip in clips if clip.preview] == ["a", "b"] and all(clip.preview for clip in clips[-2:])
    assert all(not clip.frames.size and clip.centre_image is None for clip in clips)


def test_events_are_taken_when_they_come_and_removed_streams_leave_none() -> None:
    buffer = EventBuffer()
    timer = threading.Timer(0.05, buffer.put, [[StreamStalled("a", 1.0), StreamStalled("b", 1.0)]])
    timer.start()
    assert len(buffer.take(20)[0]) == 2
    buffer.put([StreamStalled("a", 1.0), StreamStalled("b", 1.0)])
    buffer.discard("a")
    assert buffer.take(0)[0] == [StreamStalled("b", 1.0)]


def test_an_actor_that_is_not_asked_holds_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs: its actor works on, and says how much was lost once it is asked again."""

    class Worker:
        is_healthy, failure = True, None

        def __init__(self, *arguments: object) -> None:
            pass

        def start(self, on_events: Any) -> None:
            events: Sequence[StreamEvent] = [StreamStalled("a", 1.0)] * 100
            for _ in range(MAX_BUFFERED_EVENTS // 100 + 3):
                on_events(events)

    monkeypatch.setattr(remote, "EngineWorker", Worker)
    monkeypatch.setattr(remote, "share_threads", lambda threads: None)
    settings: Any = SimpleNamespace(build=lambda: (None, None, None))
    report = remote.EngineActor(settings, remote.WorkerSettings(), 1).report(0.0)
    assert len(report.events) == MAX_BUFFERED_EVENTS
    assert report.dropped_events == (MAX_BUFFERED_EVENTS // 100 + 3) * 100 - MAX_BUFFERED_EVENTS
