"""Times always increase, whatever the stream says."""

from __future__ import annotations

import itertools
import random

import pytest

from memvit.video.sources.source import ReadCounts
from memvit.video.sources.timestamps import Timeline

FRAME = 0.04


def place(raw: list[float | None], origin_seconds: float | None = 0.0) -> tuple[list[float | None], ReadCounts]:
    counts = ReadCounts()
    timeline = Timeline(frame_seconds=FRAME, origin_seconds=origin_seconds, counts=counts)
    return [timeline.place(time) for time in raw], counts


def test_good_times_are_kept() -> None:
    times, counts = place([0.0, 0.04, 0.5, 7200.0])
    assert times == [0.0, 0.04, 0.5, 7200.0]
    assert counts == ReadCounts()


@pytest.mark.parametrize("start", [-3.0, 0.0, 1.4, 95443.7])
def test_origin_becomes_zero(start: float) -> None:
    assert place([start, start + 1], start)[0] == pytest.approx([0, 1])
    assert place([start, start + 1], None)[0] == pytest.approx([0, 1])


def test_a_video_that_starts_after_the_container_keeps_its_delay() -> None:
    assert place([1.9, 2.9], 1.4)[0] == pytest.approx([0.5, 1.5])


def test_missing_times_continue_at_the_frame_rate() -> None:
    times, counts = place([None, None, 0.1, None, 0.2])
    assert times == pytest.approx([0, 0.04, 0.1, 0.14, 0.2])
    assert counts.missing_pts == 3
    assert place([None] * 3, None)[0] == pytest.approx([0, 0.04, 0.08])
    assert place([None, 7.0, 7.5], None)[0] == pytest.approx([0, 0.04, 0.54])


def test_repeated_times_are_dropped() -> None:
    times, counts = place([0.0, 0.0, 0.1, 0.1, 0.1, 0.2])
    assert times == [0.0, None, 0.1, None, None, 0.2]
    assert (counts.non_monotonic_pts, counts.dropped_frames) == (3, 3)


def test_a_frame_out_of_order_leaves_no_drift() -> None:
    assert place([0.0, 0.04, 0.12, 0.08, 0.16, 0.2])[0] == [0.0, 0.04, 0.12, None, 0.16, 0.2]


def test_a_clock_that_stands_still_runs_at_the_frame_rate() -> None:
    times, counts = place([0.0] * 50)
    delivered = [time for time in times if time is not None]
    assert len(delivered) == 47
    assert delivered[-1] == pytest.approx(49 * FRAME)
    assert counts.non_monotonic_pts == 49


@pytest.mark.parametrize("back", [0.6, 100.0, 95443.7])
def test_a_clock_set_back_continues(back: float) -> None:
    """Camera clock, looped file, wrapped 33-bit counter."""
    raw = [10 + i * FRAME for i in range(5)] + [10 - back + i * FRAME for i in range(5)]
    times, counts = place([*raw], 10.0)
    assert times == pytest.approx([i * FRAME for i in range(10)])
    assert (counts.non_monotonic_pts, counts.dropped_frames) == (1, 0)


def test_a_clock_set_back_a_little_recovers() -> None:
    raw = [10 + i * FRAME for i in range(5)] + [9.8 + i * FRAME for i in range(20)]
    times, counts = place([*raw], 10.0)
    assert counts.dropped_frames == 3
    assert len([time for time in times if time is not None]) == 22


def test_always_increasing() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        raw = [None if chance.random() < 0.2 else round(chance.uniform(-1, 3), 1) for _ in range(200)]
        times = [time for time in place([*raw], chance.choice([None, 0.0]))[0] if time is not None]
        assert all(late > early for early, late in itertools.pairwise(times))
        assert len(times) > 20
