"""The queue of one stream is bounded, whatever the stream does while the model is busy."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.streams.events import ReaderEvent, SessionBegan, StreamLost, StreamStalled, StreamStats
from memvit.streams.group import StreamEnded, StreamOpened
from memvit.streams.policy import LivePolicy, Overflow
from memvit.streams.queue import MAX_OTHER_EVENTS, EventQueue
from memvit.types import Clip, TrackFrame
from memvit.video.sources.source import ReadCounts, SourceInfo

INFO = SourceInfo("a", 64, 48, 10.0, None, None, True)
LOST = StreamLost("a", "a: connection refused", "refused", 1.0)


def clip(seconds: float, session: int = 0, *, received_at: float = 0.0, tracked: bool = False) -> Clip:
    """With `tracked`, a clip with seven track frames around its keyframe."""
    image = np.zeros((1, 1, 1, 3), np.uint8)
    steps = [-3, -2, -1, 1, 2, 3, 4] if tracked else []
    return Clip(
        "a",
        0,
        seconds,
        seconds,
        seconds,
        image,
        track_frames=tuple(TrackFrame(seconds + step / 8, image[0]) for step in steps),
        session=session,
        received_at=received_at,
        ready_at=received_at,
    )


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


def steps(clip: Clip) -> list[int]:
    """The track frames of a clip, in eighths of a second from its centre."""
    return [round(8 * (frame.pts_seconds - clip.centre_seconds)) for frame in clip.track_frames]


@pytest.mark.parametrize(
    ("waited_seconds", "kept"),
    [(0.4, [-3, -2, -1, 1, 2, 3, 4]), (0.6, [-2, 2, 4]), (1.1, [4]), (1.6, []), (1.9, [])],
)
def test_people_are_followed_less_closely_the_longer_a_clip_has_waited(waited_seconds: float, kept: list[int]) -> None:
    """With the usual 2 s, after which clips are dropped. The next clip that comes in time has all again."""
    stats = StreamStats()
    made = EventQueue(LivePolicy(overflow="drop"), stats, hop_seconds=1.0)
    made.put(clip(1, received_at=10.0, tracked=True))
    late = made.take(10.0 + waited_seconds)
    made.put(clip(2, received_at=12.0, tracked=True))
    in_time = made.take(12.1)
    assert isinstance(late, Clip) and isinstance(in_time, Clip)
    assert steps(late) == kept and len(in_time.track_frames) == 7
    assert (stats.thinned_track_frames, stats.late_clips, stats.clips) == (7 - len(kept), 0, 2)


def test_a_model_that_is_too_slow_loses_track_frames_before_it_loses_clips() -> None:
    """A clip a second comes, and a step takes 0.7 s and 0.1 s for each detection: 1.5 s with all of them."""
    stats = StreamStats()
    made = EventQueue(LivePolicy(overflow="drop"), stats, hop_seconds=1.0)
    now, coming, detections = 0.0, 0, []
    while coming < 200:
        while coming <= now:
            made.put(clip(coming, received_at=float(coming), tracked=True))
            coming += 1
        taken = made.take(now)
        if not isinstance(taken, Clip):
            now = float(coming)
            continue
        detections.append(1 + len(taken.track_frames))
        now += 0.7 + 0.1 * detections[-1]
    assert stats.late_clips == 0 and stats.clips >= 195
    assert stats.thinned_track_frames == 8 * len(detections) - sum(detections) > 0
    assert 2 <= np.mean(detections[20:]) <= 4, "as many as there is time for"


@pytest.mark.parametrize("overflow", ["wait", "auto"])
def test_a_file_loses_no_track_frame(overflow: Overflow) -> None:
    stats = StreamStats()
    made = EventQueue(LivePolicy(overflow=overflow), stats, hop_seconds=1.0)
    for second in range(2):
        made.put(clip(second, tracked=True))
    found = [made.take(3600.0), made.take(7200.0)]
    assert all(isinstance(event, Clip) and len(event.track_frames) == 7 for event in found)
    assert stats.thinned_track_frames == 0


def test_clips_that_wait_long_hold_no_track_frames() -> None:
    """The model hangs while clips come: of eight clips, only the newest hold images for the detector."""
    made = queue(queue_clips=8)
    for second in range(8):
        made.put(clip(second, received_at=float(second), tracked=True))
    held = [len(event.track_frames) for event in made._events if isinstance(event, Clip)]
    assert held == [0] * 6 + [7, 7]
