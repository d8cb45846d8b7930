"""The state of a tracker can be saved, copied and continued."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.tracking import Tracker, TrackerSettings
from memvit.types import PersonBoxes
from tests.tracking.scenes import LOOKS, boxes, random_frame


def content(tracker: Tracker) -> dict[str, bytes]:
    return {name: np.asarray(value).tobytes() for name, value in tracker.state_dict().items()}


def test_saved_is_the_same_as_uninterrupted() -> None:
    rng, whole, saved = np.random.default_rng(3), Tracker(TrackerSettings(keep_seconds=2.5)), None
    saved = whole.copy()
    for number in range(80):
        frame = random_frame(rng, int(rng.integers(0, 7)))
        looks = rng.random((len(frame), 5)).astype(np.float32) if number % 4 else None
        saved = Tracker.from_state_dict(saved.state_dict())
        assert saved.update(number / 3, frame, looks).tolist() == whole.update(number / 3, frame, looks).tolist()
        assert content(saved) == content(whole)
    assert whole.people > 20


def test_a_copy_is_independent() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.3, 0.5)), LOOKS[:1])
    before, copy = content(tracker), tracker.copy()
    copy.update(1, boxes((0.32, 0.5), (0.7, 0.5)), LOOKS[:2])
    assert content(tracker) == before
    assert tracker.update(1, boxes((0.7, 0.5)), LOOKS[1:2]).tolist() == [2]


def test_the_state_shares_no_memory() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.3, 0.5)))
    state, before = tracker.state_dict(), content(tracker)
    other = Tracker.from_state_dict(state)
    for array in (value for value in state.values() if isinstance(value, np.ndarray)):
        array[...] = 7
    assert content(tracker) == content(other) == before


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


def test_states_that_are_no_state_are_refused() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.3, 0.5)))
    state = tracker.state_dict()
    wrong: list[dict[str, Any]] = [
        {},
        without(state, "tracks.motion"),
        without(state, "settings.speed"),
        state | {"format": 99},
        state | {"tracks.persons": np.arange(5)},
        state | {"similarities": np.zeros(2)},
        state | {"settings.speed": -1.0},
    ]
    for one in wrong:
        with pytest.raises(ValueError, match="not the state of a tracker"):
            Tracker.from_state_dict(one)


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[float, PersonBoxes, np.ndarray | None]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seconds, frames = 0.0, []
    places = rng.random((4, 2))
    for step in draw(st.lists(st.sampled_from([0.001, 0.04, 0.3, 1.0, 12.0]), max_size=12)):
        seconds += step
        places = (places + rng.normal(0, 0.03, places.shape)).clip(0, 1)
        steady, wild = boxes(*places[rng.random(4) < 0.8], height=0.3), random_frame(rng, int(rng.integers(0, 4)))
        frame = PersonBoxes(np.concatenate((steady.xyxy, wild.xyxy)), np.concatenate((steady.scores, wild.scores)))
        looks = rng.random((len(frame), 3)).astype(np.float32) if rng.random() < 0.5 else None
        frames.append((seconds, frame, looks))
    return frames


@settings(max_examples=40, deadline=None)
@given(sequences())
def test_numbers_are_unique_and_never_used_again(frames: list[tuple[float, PersonBoxes, np.ndarray | None]]) -> None:
    tracker, seen = Tracker(), {}
    for seconds, frame, looks in frames:
        known = tracker.people
        numbers = tracker.update(seconds, frame, looks)
        people = numbers[numbers > 0].tolist()
        assert numbers.shape == (len(frame),) and numbers.dtype == np.int64
        assert set(numbers.tolist()) <= {-1, *range(1, tracker.people + 1)}
        assert len(people) == len(set(people))
        assert {number for number in people if number > known} == set(range(known + 1, tracker.people + 1))
        for number in people:
            assert seconds - seen.get(number, seconds) <= tracker.settings.keep_seconds
            seen[number] = seconds
