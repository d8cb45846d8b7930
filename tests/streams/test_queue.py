"""The queue of one stream is bounded, whatever the stream does while the model is busy."""

from __future__ import annotations

import numpy as np

from memvit.streams.events import ReaderEvent, SessionBegan, StreamLost, StreamStalled, StreamStats
from memvit.streams.group import StreamEnded, StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.queue import MAX_OTHER_EVENTS, EventQueue
from memvit.types import Clip
from memvit.video.sources.source import ReadCounts, SourceInfo

INFO = SourceInfo("a", 64, 48, 10.0, None, None, True)
LOST = StreamLost("a", "a: connection refused", "refused", 1.0)


def clip(seconds: float, session: int = 0) -> Clip:
    frames = np.zeros((1, 1, 1, 3), np.uint8)
    return Clip("a", 0, seconds, seconds, seconds, frames, session=session, received_at=0.0, ready_at=0.0)


def queue(**policy: object) -> EventQueue:
    options = LivePolicy(**({"overflow": "drop"} | policy))  # type: ignore[arg-type]
    return EventQueue(options, StreamStats(), hop_seconds=1.0)


def everything(made: EventQueue) -> list[ReaderEvent]:
    found = []
    while (event := made.take(0.0)) is not None:
        found.append(event)
    return found


def test_connections_that_break_again_and_again_do_not_fill_the_queue() -> None:
    made = queue()
    for second in range(1000):
        made.put(StreamOpened("a", INFO))
        if second in (3, 999):
            made.put(clip(second))
        made.put(StreamStalled("a", 5.0))
        made.put(LOST)
    made.put(StreamEnded("a", ReadCounts()))
    found = everything(made)
    assert len(found) <= MAX_OTHER_EVENTS + 2
    assert isinstance(found[0], StreamOpened) and isinstance(found[-1], StreamEnded)
    assert [event.centre_seconds for event in found if isinstance(event, Clip)] == [3, 999]


def test_sessions_without_clips_do_not_fill_the_queue_and_no_clip_loses_its_session() -> None:
    made = queue()
    made.put(StreamOpened("a", INFO))
    for session in range(1, 1001):
        made.put(SessionBegan("a", session, "the shape of the picture has changed"))
        if session in (500, 501, 900):
            made.put(clip(session, session))
    found = everything(made)
    assert len(found) <= MAX_OTHER_EVENTS + 3
    clips = [place for place, event in enumerate(found) if isinstance(event, Clip)]
    assert [found[place].session for place in clips] == [500, 501, 900]
    for place in clips:
        began = found[place - 1]
        assert isinstance(began, SessionBegan) and began.session == found[place].session
        assert found[place].index == 0, "memory starts empty"
    assert found[-1].session == 1000
