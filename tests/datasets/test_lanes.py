"""Lanes: every keyframe once, in order, from anywhere."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from memvit.datasets.ava import AvaVideo, Footage, Keyframe
from memvit.datasets.lanes import (
    LaneStep,
    assign_lanes,
    iterate_lanes,
    lane_length,
    read_lane,
    skip_steps,
    span_seconds,
)
from memvit.types import MemvitError, PersonBoxes
from memvit.video.clips.sampler import ClipSampler
from tests.video.make import counted, number_of, write

BOXES = PersonBoxes(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))
SPAN = span_seconds(4, 3)


def video(name: str, seconds: list[int]) -> AvaVideo:
    return AvaVideo(name, tuple(Keyframe(s, BOXES, np.zeros((1, 3), np.float32)) for s in seconds))


def sampler(of: AvaVideo) -> ClipSampler:
    return ClipSampler(of.name, num_frames=4, frame_interval=3, hop_seconds=1.0, short_side=48)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    folder = tmp_path_factory.mktemp("lanes")
    for place, name in enumerate("abcde"):
        # 8 frames a second: frame n is at n / 8 s.
        write(folder / f"{name}.mp4", counted(40 + 2 * place), rate=8, g="8")
    return Footage(videos=folder)


VIDEOS = [video(name, list(range(1, 3 + place))) for place, name in enumerate("abcde")]


def keys(steps: list[LaneStep]) -> list[tuple[str, int, int]]:
    return [(step.video, step.keyframe.second, step.clip.index) for step in steps]


def read(lane: list, footage: Footage) -> list[LaneStep]:
    return list(read_lane(lane, footage, sampler, 1.0, SPAN))


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
def test_every_keyframe_exactly_once(lanes: int, footage: Footage) -> None:
    plan = assign_lanes(VIDEOS, lanes, seed=0, epoch=4)
    rows = list(iterate_lanes([read_lane(lane, footage, sampler, 1.0, SPAN) for lane in plan]))
    assert len(rows) == max(lane_length(lane) for lane in plan)
    seen = [(step.video, step.keyframe.second) for row in rows for step in row if step]
    assert sorted(seen) == sorted((v.name, k.second) for v in VIDEOS for k in v.keyframes)
    for place in range(lanes):
        of_lane = [row[place] for row in rows if row[place]]
        for before, after in itertools.pairwise(of_lane):
            assert after.clip.index == (before.clip.index + 1 if after.video == before.video else 0)


def test_epochs_differ_and_repeat() -> None:
    plans = [
        [[part.video.name for part in lane] for lane in assign_lanes(VIDEOS, 2, seed=1, epoch=e)] for e in range(6)
    ]
    again = [[part.video.name for part in lane] for lane in assign_lanes(VIDEOS, 2, seed=1, epoch=3)]
    assert again == plans[3]
    assert len({str(plan) for plan in plans}) > 1


@pytest.mark.parametrize("step", range(0, 11, 3))
def test_begun_anywhere_is_the_rest_of_the_whole(step: int, footage: Footage) -> None:
    (lane,) = assign_lanes(VIDEOS[2:], 1, seed=None)
    whole, rest = read(lane, footage), read(skip_steps(lane, step), footage)
    assert keys(rest) == keys(whole[step:])
    for a, b in zip(rest, whole[step:], strict=True):
        assert np.array_equal(a.clip.frames, b.clip.frames)


def test_clips_are_those_of_their_keyframes(footage: Footage) -> None:
    steps = read(assign_lanes([video("e", [2, 4])], 1, seed=None)[0], footage)
    assert [[number_of(frame) for frame in step.clip.frames] for step in steps] == [
        [14, 15, 16, 17],
        [30, 31, 32, 33],
    ]
    assert keys(steps) == [("e", 2, 0), ("e", 4, 1)], "memory counts keyframes, as the reference's does"


def test_a_video_that_ends_early_gives_its_last_clip(footage: Footage) -> None:
    steps = read(assign_lanes([video("a", [4, 9])], 1, seed=None)[0], footage)
    assert keys(steps) == [("a", 4, 0), ("a", 9, 1)]
    assert np.array_equal(steps[0].clip.frames, steps[1].clip.frames)


def test_an_error_in_a_lane_is_raised_in_its_consumer(footage: Footage) -> None:
    lanes = assign_lanes([video("a", [1, 2]), video("nowhere", [1])], 2, seed=None)
    with pytest.raises(MemvitError, match="there is no video nowhere"):
        list(iterate_lanes([read_lane(lane, footage, sampler, 1.0, SPAN) for lane in lanes]))


def test_the_end_of_an_iteration_waits_for_its_threads() -> None:
    """A thread that is left to compute makes the process abort when Python ends."""
    released, reached = threading.Event(), threading.Event()

    def steps() -> Iterator[LaneStep]:
        yield step
        reached.set()
        released.wait(30)
        yield step

    step = LaneStep("a", VIDEOS[0].keyframes[0], clip=None)  # type: ignore[arg-type]
    rows = iterate_lanes([steps()])
    assert next(rows) == [step] and reached.wait(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "lane 0"]
    threading.Timer(0.1, released.set).start()
    rows.close()  # type: ignore[attr-defined]
    assert not thread.is_alive()
