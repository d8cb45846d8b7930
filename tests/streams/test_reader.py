"""Streams that break, hang, send bursts or have wrong clocks: clips are in order, and every missing clip is counted."""

from __future__ import annotations

import threading

import pytest

from memvit.streams.events import SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.reader import LiveReader
from memvit.streams.session import Resumption
from memvit.types import Clip, SourceError
from tests.streams.fakes import Clock, Hang, Pass, Script, Video, clips, events, of_kind, reader, sampler, seen

REFUSED = SourceError("rtsp://host: connection refused; check it", "refused")


def centres(found: list) -> list[float]:
    return [round(clip.centre_seconds, 3) for clip in of_kind(found, Clip)]


def test_missing_live_source_is_retried_with_growing_intervals() -> None:
    clock = Clock()
    script = Script(clock, *[[REFUSED]] * 6, [Video(5), Hang()])
    made = reader(script, clock)
    found = events(made, clips(3), clock=clock)
    lost = of_kind(found, StreamLost)
    assert [event.kind for event in lost] == ["refused"] * 6
    waits = [later - earlier for earlier, later in zip(script.attempts_at, script.attempts_at[1:], strict=False)]
    for event, wait, expected in zip(lost, waits, (1, 2, 4, 8, 16, 32), strict=True):
        assert 0.8 * expected <= event.retry_seconds <= 1.2 * expected
        assert wait == pytest.approx(event.retry_seconds)
    assert made.stats.lost == 6 and made.stats.connections == 1
    made.stop()


def test_camera_is_retried_only_if_it_was_open_once() -> None:
    """A wrong path fails at once; a camera that is unplugged later may come back."""
    clock, gone = Clock(), SourceError("/dev/video0: there is no such file or device", "not_found")
    missing = LiveReader("a", Script(clock, [gone]), sampler, policy=LivePolicy(), is_live=True, retry_initial=False)
    missing.start(threading.Condition())
    assert events(missing, seen(StreamFailed)) == [StreamFailed("a", str(gone))]
    script = Script(clock, [Video(3), gone], [gone], [Video(3), Hang()])
    unplugged = LiveReader(
        "a", script, sampler, policy=LivePolicy(overflow="wait"), is_live=True, retry_initial=False, clock=clock
    )
    unplugged.start(threading.Condition())
    found = events(unplugged, clips(5), clock=clock)
    assert len(of_kind(found, StreamLost)) == 2 and not of_kind(found, StreamFailed)
    unplugged.stop()


def test_access_errors_are_retried_after_ten_seconds_or_more() -> None:
    clock = Clock()
    made = reader(Script(clock, [SourceError("cam: access denied", "access")]), clock)
    (lost,) = of_kind(events(made, seen(StreamLost)), StreamLost)
    assert lost.retry_seconds >= 10
    made.stop()


def test_a_short_break_leaves_a_gap_and_keeps_the_session() -> None:
    """The other side hangs up after 5 s and is back 4 s later with a clock of its own."""
    clock = Clock()
    made = reader(Script(clock, [Video(5), Pass(4), REFUSED], [Video(6, from_seconds=500)]), clock)
    found = events(made, clips(9), clock=clock)
    assert not of_kind(found, SessionBegan)
    taken = of_kind(found, Clip)
    assert [clip.index for clip in taken] == list(range(len(taken)))
    assert [clip.session for clip in taken] == [0] * len(taken)
    assert centres(found)[:6] == [0, 1, 2, 3, 4, 5], "the last frame came at 4.9"
    back = taken[6].centre_seconds
    assert 9 <= back <= 12, "after 4 s of silence and an attempt"
    assert taken[6].missed_clips == back - 6
    assert made.stats.missed_clips == back - 6 and made.stats.clips == len(taken)
    made.stop()


def test_a_long_break_begins_a_new_session() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(5), Pass(40), REFUSED], [Video(6)]), clock)
    found = events(made, clips(8), clock=clock)
    place = next(place for place, event in enumerate(found) if isinstance(event, SessionBegan))
    assert found[place].session == 1 and "nothing came for 4" in found[place].reason
    before, after = of_kind(found[:place], Clip), of_kind(found[place:], Clip)
    assert [clip.index for clip in before] == list(range(len(before)))
    assert [clip.index for clip in after] == list(range(len(after)))
    assert {clip.session for clip in after} == {1}
    gap = after[0].centre_seconds - before[-1].centre_seconds
    assert gap > 40 and after[0].missed_clips == round(gap) - 1
    made.stop()


def test_memory_timeout_is_respected() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(5), Pass(40), REFUSED], [Video(6)]), clock, memory_timeout_seconds=60)
    assert not of_kind(events(made, clips(8), clock=clock), SessionBegan)
    made.stop()


def test_stream_recovers_after_an_hour_by_itself() -> None:
    clock = Clock()
    attempts = 70  # a minute apart once the back-off has grown
    made = reader(Script(clock, [Video(15)], *[[REFUSED]] * attempts, [Video(5)]), clock)
    found = events(made, lambda found: seen(SessionBegan)(found) and clips(18)(found), 20, clock=clock)
    assert len(of_kind(found, StreamLost)) == attempts + 1
    assert of_kind(found, Clip)[-1].centre_seconds > 3600
    made.stop()


def test_repeated_breaks_increase_the_interval_and_leak_no_threads() -> None:
    clock = Clock()
    before = threading.active_count()
    script = Script(clock, *[[Video(2), REFUSED]] * 40)
    made = reader(script, clock)
    found = events(made, seen(StreamLost, 40), 20, clock=clock)
    assert threading.active_count() <= before + 2
    assert all(source.is_closed for source in script.sources[:-1])
    assert [round(event.retry_seconds) for event in of_kind(found, StreamLost)[-5:]] == pytest.approx([60] * 5, abs=12)
    made.stop()


def test_interval_is_short_again_after_a_long_connection() -> None:
    clock = Clock()
    made = reader(Script(clock, *[[REFUSED]] * 5, [Video(20), REFUSED], [Video(3)]), clock)
    lost = of_kind(events(made, seen(StreamLost, 6), clock=clock), StreamLost)
    assert lost[4].retry_seconds > 12 and lost[5].retry_seconds <= 1.2
    made.stop()


def test_end_of_a_file_is_final_and_end_of_a_live_stream_is_retried() -> None:
    clock = Clock()
    file = reader(Script(clock, [Video(4)], is_live=False), clock, is_live=False)
    found = events(file, seen(StreamEnded))
    assert centres(found) == [0, 1, 2, 3]
    assert file.finished and file.state == "ended"
    live = reader(Script(clock, [Video(4)]), clock)
    (lost,) = of_kind(events(live, seen(StreamLost)), StreamLost)
    assert (lost.kind, live.state) == ("ended", "waiting")
    live.stop()


def test_unreadable_file_fails_with_its_reason() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(3), SourceError("a.mp4: broken")], is_live=False), clock, is_live=False)
    found = events(made, seen(StreamFailed))
    assert found[-1] == StreamFailed("a", "a.mp4: broken")
    missing = reader(Script(clock, [SourceError("a.mp4: no such file")], is_live=False), clock, is_live=False)
    assert [type(event) for event in events(missing, seen(StreamFailed))] == [StreamFailed]


def test_silent_connection_is_stalled_and_then_abandoned() -> None:
    clock = Clock()
    hang = Hang()
    script = Script(clock, [Video(5), hang, Video(3, from_seconds=5)], [Video(5)])
    made = reader(script, clock)
    found = events(made, clips(3))
    assert hang.reached.wait(5)
    clock.now += 6
    found += events(made, seen(StreamStalled))
    assert made.state == "stalled" and made.stats.stalls == 1
    clock.now += 10
    found = events(made, seen(StreamLost))
    assert found[-1].kind == "timeout" and "left behind" in found[-1].reason
    found = events(made, seen(StreamOpened), clock=clock)
    with made.changed:
        known = made.stats.frames
    hang.released.set()  # what the old reader does now has no effect
    found = events(made, clips(4))
    assert centres(found) == sorted(set(centres(found)))
    assert made.stats.abandoned_readers == 1 and made.stats.frames <= known + 50
    made.stop()


def test_number_of_hung_readers_is_bounded() -> None:
    clock = Clock()
    hangs = [Hang() for _ in range(10)]
    script = Script(clock, *[[hang] for hang in hangs])
    made = reader(script, clock)
    for _ in range(300):
        with made.changed:
            clock.now += 1
            made.poll()
            while made.take() is not None:
                pass
            made.changed.wait(0.002)
    assert 3 <= len(script.attempts_at) <= 4
    assert made.stats.abandoned_readers == 3
    for hang in hangs:
        hang.released.set()
    made.stop()


def test_stopping_does_not_wait_for_a_read() -> None:
    clock = Clock()
    hang = Hang()
    made = reader(Script(clock, [Video(2), hang]), clock)
    assert hang.reached.wait(5)
    made.stop()
    assert made.state == "stopped"
    hang.released.set()


def test_a_source_that_is_faster_than_the_model_loses_its_oldest_clips() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(60), Hang()]), clock, overflow="drop", queue_clips=4, max_age_seconds=2)
    while made.stats.frames < 600:
        pass
    found = events(made, clips(1))
    (clip,) = of_kind(found, Clip)
    assert clip.centre_seconds >= 58, "the newest"
    assert clip.index == 0 and clip.missed_clips == clip.centre_seconds
    assert made.stats.late_clips == clip.centre_seconds
    made.stop()


def test_burst_within_the_queue_loses_no_clip() -> None:
    """An HLS segment: six seconds of video at once, and the model has time for it."""
    clock = Clock()
    made = reader(Script(clock, [Video(7.5, is_burst=True), Hang()]), clock, overflow="drop", queue_clips=8)
    while made.stats.frames < 75:
        pass
    found = events(made, clips(7))
    assert centres(found) == [0, 1, 2, 3, 4, 5, 6]
    assert made.stats.late_clips == 0
    made.stop()


def test_overflow_wait_loses_no_clip() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(30), Hang()]), clock, overflow="wait")
    assert centres(events(made, clips(29))) == list(range(29))
    made.stop()


def test_a_source_that_is_slower_than_it_says() -> None:
    """3 frames a second where 30 were declared: clips go by time."""
    clock = Clock()
    made = reader(Script(clock, [Video(12, frames_per_second=3), Hang()]), clock)
    found = events(made, clips(10))
    assert centres(found) == list(range(10))
    made.stop()


def test_jump_of_the_source_clock_is_corrected() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(5), Video(5, from_seconds=20_000), Hang()]), clock)
    found = events(made, clips(9))
    assert centres(found) == list(range(9))
    assert made.stats.clock_jumps == 1 and made.stats.missed_clips == 0
    made.stop()


def test_another_shape_of_picture_begins_a_new_session_and_another_size_does_not() -> None:
    clock = Clock()
    steps = [Video(4), Video(4, 4, size=(128, 96)), Video(5, 8, size=(48, 64)), Hang()]
    made = reader(Script(clock, steps), clock)
    found = events(made, lambda found: any(isinstance(event, Clip) and event.centre_seconds >= 11 for event in found))
    (begun,) = of_kind(found, SessionBegan)
    assert "from 42×32 to 32×42" in begun.reason
    by_session = [[clip for clip in of_kind(found, Clip) if clip.session == session] for session in (0, 1)]
    assert {clip.frames.shape[1:3] for clip in by_session[0]} == {(32, 42)}
    assert {clip.frames.shape[1:3] for clip in by_session[1]} == {(42, 32)}
    assert centres(found) == list(range(12)), "no instant is answered twice, none left out"
    assert made.stats.size_changes == 1
    made.stop()


def test_frozen_and_black_pictures_are_flagged() -> None:
    clock = Clock()
    made = reader(Script(clock, [Video(4), Video(4, 4, level=90), Video(4, 8, level=3), Hang()]), clock)
    qualities = [clip.quality for clip in of_kind(events(made, clips(11)), Clip)]
    assert qualities[0] == "ok" and qualities[6] == "frozen" and qualities[10] == "black"
    assert made.stats.frozen_clips >= 2 and made.stats.black_clips >= 2
    made.stop()


def test_stream_fails_after_the_time_of_the_policy() -> None:
    clock = Clock()
    made = reader(Script(clock), clock, fail_after_seconds=20)
    found = events(made, seen(StreamFailed), clock=clock)
    assert 4 <= len(of_kind(found, StreamLost)) <= 6
    assert made.finished


def test_resumed_stream_continues_its_indices_and_times() -> None:
    clock = Clock()
    resumption = Resumption(next_index=7, session=2, last_centre_seconds=41.0, passed_seconds=4.3)
    made = reader(Script(clock, [Video(6), Hang()]), clock, resumption=resumption)
    taken = of_kind(events(made, clips(3)), Clip)
    assert [clip.index for clip in taken] == [7, 8, 9]
    assert [clip.centre_seconds for clip in taken] == [46, 47, 48]
    assert taken[0].missed_clips == 4 and {clip.session for clip in taken} == {2}
    made.stop()


@pytest.mark.parametrize("overflow", ["never", ""])
def test_unknown_overflow_is_refused(overflow: str) -> None:
    with pytest.raises(ValueError, match="overflow must be auto, drop or wait"):
        reader(Script(Clock()), Clock(), overflow=overflow)


@pytest.mark.parametrize(("away_seconds", "sessions"), [(5, 0), (200, 1)])
def test_resumed_stream_begins_a_new_session_after_the_memory_timeout(away_seconds: float, sessions: int) -> None:
    """The camera is down when the server is started again: the time until its first frame counts."""
    clock = Clock()
    resumption = Resumption(next_index=7, session=2, last_centre_seconds=41.0, passed_seconds=1.0)
    made = reader(Script(clock, [Pass(0)], [Video(6), Hang()]), clock, resumption=resumption)
    events(made, seen(StreamLost))
    clock.now += away_seconds
    found = events(made, clips(2), clock=clock)
    assert len(of_kind(found, SessionBegan)) == sessions
    first = of_kind(found, Clip)[0]
    assert (first.session, first.index) == ((3, 0) if sessions else (2, 7))
    assert first.centre_seconds >= 41 + away_seconds and first.missed_clips == first.centre_seconds - 42


def test_a_resumed_stream_of_another_shape_begins_a_new_session() -> None:
    clock = Clock()
    resumption = Resumption(next_index=7, session=2, last_centre_seconds=41.0, passed_seconds=1.0, size=(32, 42))
    made = reader(Script(clock, [Video(6), Hang()]), clock, resumption=resumption)
    found = events(made, clips(1))
    assert len(of_kind(found, SessionBegan)) == 1
    assert (of_kind(found, Clip)[0].session, of_kind(found, Clip)[0].index) == (3, 0)
