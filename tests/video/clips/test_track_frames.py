"""Frames between keyframes, in which a detector looks for people."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.types import Clip, DetectionSize
from memvit.video.clips.sampler import ClipSampler
from memvit.video.clips.track_frames import MAX_FRAMES_OF_A_HOP

from .test_sampler import RATES, frames_at, index_of, nearest, sampler

SIZE = DetectionSize(3, 100)


def tracking(rate: float, num_frames: int = 4, interval: int = 2, hop: float = 1.0, **more: object) -> ClipSampler:
    return sampler(num_frames, interval, hop, detection_size=SIZE, track_frames_per_second=rate, **more)


def offsets(clip: Clip) -> list[float]:
    """Times of the track frames, relative to the centre."""
    return [round(frame.pts_seconds - clip.centre_seconds, 3) for frame in clip.track_frames]


def test_a_clip_has_the_frames_around_its_centre_that_have_come_when_it_is_complete() -> None:
    """The last frame of these clips lies 2/30 s after the centre."""
    clips = list(tracking(8).clips(frames_at(i / 40 for i in range(121))))
    assert offsets(clips[0]) == [] and offsets(clips[-1])[-1:] == [-0.125]
    early = [-0.875, -0.75, -0.625, -0.5, -0.375, -0.25, -0.125]
    assert [offsets(clip) for clip in clips[1:]] == [early] * 3
    late = list(tracking(8, num_frames=16, interval=4).clips(frames_at(i / 40 for i in range(121))))
    assert offsets(late[1]) == [-0.5, -0.375, -0.25, -0.125, 0.125, 0.25, 0.375]
    assert [frame.image.shape for frame in late[1].track_frames] == [(3, 4, 3)] * 7


@pytest.mark.parametrize("times", RATES.values(), ids=RATES.keys())
@pytest.mark.parametrize(("num_frames", "interval", "hop"), [(16, 4, 1.0), (4, 2, 2.0), (8, 4, 0.3), (2, 1, 1 / 3)])
def test_the_nearest_frames_are_taken_once_in_order(
    times: list[float], num_frames: int, interval: int, hop: float
) -> None:
    rate = 5.0
    clips = list(tracking(rate, num_frames, interval, hop).clips(frames_at(times)))
    steps = range(-round(hop * rate / 2 + 1), round(hop * rate / 2 + 2))
    instants = [
        number * hop + step / rate
        for number in range(round(times[-1] / hop) + 2)
        for step in steps
        if -hop / 2 + 1e-6 < step / rate < hop / 2 + 1e-6 and 0 <= number * hop + step / rate <= times[-1]
    ]
    keyframes = {nearest(times, clip.centre_seconds) for clip in clips}
    wanted = {nearest(times, instant) for instant in instants} | keyframes
    found = [index_of(frame.image) for clip in clips for frame in clip.track_frames]
    assert found == sorted(set(found))
    last = max({*found, *keyframes})  # no clip comes after this one
    assert set(found) | keyframes == {index for index in wanted if index <= last}
    assert times[last] >= clips[-1].centre_seconds - 0.5
    for clip in clips:
        assert clip.centre_image_seconds not in [frame.pts_seconds for frame in clip.track_frames]


@given(
    steps=st.lists(st.floats(0.001, 3.0), min_size=5, max_size=60),
    cut=st.integers(0, 30),
    hop=st.sampled_from([0.5, 1.0, 3.0]),
    preview=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_the_same_frames_are_taken_wherever_reading_begins(
    steps: list[float], cut: int, hop: float, preview: bool
) -> None:
    """From the second clip after the beginning on, where a resumed stream goes on; up to the last keyframe, for with
    preview frames the last clip waits for more."""
    times = list(itertools.accumulate(steps, initial=0.0))
    width = 4 if preview else None
    whole = list(tracking(8, hop=hop).clips(frames_at(times)))
    part = list(tracking(8, hop=hop, preview_width=width).clips(frames_at(times[cut:]) if times[cut:] else []))
    begun, ended = (part[1].centre_seconds + hop, part[-1].centre_seconds) if len(part) > 1 else (0.0, 0.0)
    of_whole, of_part = (
        [frame.pts_seconds for clip in clips for frame in clip.track_frames if begun < frame.pts_seconds < ended]
        for clips in (whole, part)
    )
    assert of_whole == of_part


def test_a_long_hop_lowers_the_rate_and_a_short_one_needs_no_other_frames() -> None:
    times = [i / 10 for i in range(1300)]
    long = list(tracking(10, hop=20).clips(frames_at(times)))
    assert max(len(clip.track_frames) for clip in long) <= MAX_FRAMES_OF_A_HOP
    assert len(long[1].track_frames) > MAX_FRAMES_OF_A_HOP / 2
    assert not any(clip.track_frames for clip in tracking(8, hop=0.1).clips(frames_at(times[:100])))
    assert not any(clip.track_frames for clip in tracking(0).clips(frames_at(times[:100])))


def test_a_jump_of_years_gives_two_frames() -> None:
    clips = list(tracking(8, hop=0.5).clips(frames_at([0.0, 0.1, 1e9, 1e9 + 0.1])))
    assert sum(len(clip.track_frames) for clip in clips) <= 2


def test_no_image_is_made_for_nothing() -> None:
    frames = frames_at((i / 40 for i in range(81)), width=8, height=6)
    clips = list(tracking(8).clips(frames))
    looked_at = sum(len(clip.track_frames) + 1 for clip in clips)
    assert sum(frame.asked.count((4, 3)) for frame in frames) == looked_at == 17


def test_frames_for_a_detector_need_its_size() -> None:
    with pytest.raises(ValueError, match="needs a detection_size"):
        sampler(track_frames_per_second=8)
