"""A tracker gives people numbers that stay."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.evaluation.identity import identity_score
from memvit.tracking import Tracker, TrackerSettings
from memvit.types import PersonBoxes
from tests.tracking.scenes import LOOKS, boxes, crossing, follow, random_frame
from tools.crowd import Crowd


@pytest.mark.parametrize("rate", [1, 2, 8, 25, 120])
def test_people_who_walk_keep_their_numbers_at_any_rate(rate: int) -> None:
    numbers = follow(
        Tracker(), np.arange(0, 5, 1 / rate), lambda t: boxes((0.2 + 0.05 * t, 0.5), (0.7 - 0.03 * t, 0.5))
    )
    assert numbers == [[1, 2]] * len(numbers)


@pytest.mark.parametrize("rate", [8, 25])
def test_people_who_cross_keep_their_numbers(rate: int) -> None:
    numbers = follow(Tracker(), np.arange(0, 4, 1 / rate), crossing)
    assert numbers == [[1, 2]] * len(numbers)


def test_lost_frames_and_changing_rates_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    steps = rng.choice([0.04, 0.04, 0.08, 0.3, 1.0], size=40)
    numbers = follow(Tracker(), np.cumsum(steps) / steps.sum() * 4, crossing)
    assert numbers == [[1, 2]] * len(numbers)


@pytest.mark.parametrize("start", [-1e6, 0.0, 1e6])
def test_only_differences_of_times_count(start: float) -> None:
    numbers = follow(Tracker(), start + np.arange(0, 4, 0.125), lambda t: crossing(t - start))
    assert numbers == [[1, 2]] * len(numbers)


def test_numbers_go_from_left_to_right_in_whichever_order_boxes_come() -> None:
    assert Tracker().update(0, boxes((0.9, 0.5), (0.1, 0.5), (0.5, 0.5))).tolist() == [3, 1, 2]


def test_who_comes_back_within_keep_seconds_has_the_same_number() -> None:
    tracker = Tracker(TrackerSettings(keep_seconds=4))
    numbers = [tracker.update(seconds, boxes((0.5, 0.5))).tolist() for seconds in (0, 0.5, 4.4, 8.5, 9)]
    assert numbers == [[1], [1], [1], [2], [2]]


def test_numbers_of_the_forgotten_are_not_used_again() -> None:
    tracker = Tracker()
    assert [tracker.update(30 * visit, boxes((0.5, 0.5))).tolist() for visit in range(4)] == [[1], [2], [3], [4]]
    assert tracker.people == 4


def test_someone_far_away_from_everybody_is_new() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.1, 0.5), height=0.2))
    assert tracker.update(0.04, boxes((0.6, 0.5), height=0.2)).tolist() == [2]


def test_near_and_far_people_are_alike() -> None:
    """A scene that is half as large gives the same numbers."""
    near, far = (Tracker(TrackerSettings(keep_seconds=2)) for _ in range(2))
    for number in range(60):
        frame = random_frame(np.random.default_rng(number), 6)
        large = PersonBoxes(np.float32(7 / 16) + frame.xyxy / 8, frame.scores)
        small = PersonBoxes(np.float32(15 / 32) + frame.xyxy / 16, frame.scores)
        assert near.update(number / 2, large).tolist() == far.update(number / 2, small).tolist()
    assert near.people > 20


def test_the_order_of_boxes_does_not_matter() -> None:
    rng, plain, mixed = np.random.default_rng(5), Tracker(), Tracker()
    for number in range(60):
        frame, looks = random_frame(rng, 8), rng.random((8, 6)).astype(np.float32)
        order = rng.permutation(8)
        shuffled = PersonBoxes(frame.xyxy[order], frame.scores[order])
        assert (
            plain.update(number / 5, frame, looks)[order].tolist()
            == mixed.update(number / 5, shuffled, looks[order]).tolist()
        )


def test_unsure_boxes_wait_where_frames_are_frequent() -> None:
    """The second of two comes in the third frame, 25 frames a second; it is a person after 0.3 seconds."""
    second = [()] * 2 + [((0.2, 0.5),)] * 12
    tracker = Tracker()
    numbers = [
        tracker.update(place / 25, boxes((0.5, 0.5), *more, score=0.6)).tolist() for place, more in enumerate(second)
    ]
    # Before the first frame there was none: all are people at once.
    assert numbers == [[1]] * 2 + [[1, -1]] * 8 + [[1, 2]] * 4


def test_unsure_boxes_do_not_wait_at_low_rates() -> None:
    tracker = Tracker()
    tracker.update(0, boxes())
    assert tracker.update(1, boxes((0.5, 0.5), score=0.55)).tolist() == [1]


def test_sure_boxes_are_people_at_once() -> None:
    tracker = Tracker()
    tracker.update(0, boxes())
    assert tracker.update(0.04, boxes((0.5, 0.5), score=0.8)).tolist() == [1]


def test_false_boxes_seldom_become_people() -> None:
    """One false box in each of 250 frames, 25 frames a second: one in 25 becomes somebody."""
    rng, tracker = np.random.default_rng(1), Tracker()
    for number in range(250):
        place = rng.uniform(0.2, 0.8, (min(number, 1), 2))
        tracker.update(number / 25, boxes(*place, height=0.2, score=0.65))
    assert tracker.people <= 10


def test_low_scores_continue_people_and_begin_none() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.3, 0.5)))
    low = boxes((0.31, 0.5), (0.8, 0.5), score=0.2)
    assert tracker.update(0.5, low).tolist() == [1, -1]
    assert tracker.update(1.0, low).tolist() == [1, -1]


def test_the_better_box_gets_the_person() -> None:
    tracker = Tracker()
    tracker.update(0, boxes((0.3, 0.5)))
    both = PersonBoxes(boxes((0.3, 0.5), (0.303, 0.5)).xyxy, np.array([0.3, 0.9], np.float32))
    assert tracker.update(0.1, both).tolist() == [-1, 1]


def test_frames_without_boxes_and_boxes_without_area() -> None:
    tracker = Tracker()
    assert tracker.update(0, boxes()).shape == (0,)
    empty = PersonBoxes(np.array([[0.5, 0.5, 0.5, 0.9], [0.6, 0.5, 0.4, 0.9]], np.float32), np.ones(2, np.float32))
    assert tracker.update(1, empty).tolist() == [-1, -1]
    assert tracker.people == 0


def hidden_actor(looks: np.ndarray | None) -> list[int]:
    """One of two people is hidden for three seconds; then somebody stands elsewhere, and looks as given."""
    tracker = Tracker()
    for seconds in np.arange(0, 3, 0.125):
        tracker.update(seconds, boxes((0.2, 0.5), (0.5, 0.5)), None if looks is None else LOOKS[:2])
    for seconds in np.arange(3, 6, 0.125):
        tracker.update(seconds, boxes((0.2, 0.5)), None if looks is None else LOOKS[:1])
    both = None if looks is None else np.stack((LOOKS[0], looks))
    return tracker.update(6, boxes((0.2, 0.5), (0.85, 0.5)), both).tolist()


def test_looks_find_people_again_who_were_away() -> None:
    assert hidden_actor(LOOKS[1]) == [1, 2]


def test_somebody_who_looks_different_is_new() -> None:
    assert hidden_actor(LOOKS[2]) == [1, 3]


def test_looks_tell_people_apart_where_boxes_cannot() -> None:
    """Two people change places between two frames that are two seconds apart."""
    first, last = boxes((0.4, 0.5), (0.6, 0.5)), boxes((0.6, 0.5), (0.4, 0.5))
    for looks, expected in ((None, [2, 1]), (LOOKS[:2], [1, 2])):
        tracker = Tracker()
        for seconds in range(6):
            tracker.update(seconds, first, looks)
        assert tracker.update(7, last, looks).tolist() == expected


def test_looks_of_which_nothing_is_known_change_nothing() -> None:
    rng, plain, blank = np.random.default_rng(2), Tracker(), Tracker()
    for number in range(60):
        frame = random_frame(rng, 5)
        numbers = plain.update(number / 25, frame)
        assert blank.update(number / 25, frame, np.zeros((5, 4), np.float32)).tolist() == numbers.tolist()


def test_looks_may_come_with_some_frames_only() -> None:
    tracker = Tracker()
    for number in range(20):
        looks = LOOKS[:2] if number % 3 else None
        assert tracker.update(number / 4, boxes((0.3, 0.5), (0.6, 0.5)), looks).tolist() == [1, 2]


def test_a_crowd_keeps_its_numbers() -> None:
    crowd, tracker, frames = Crowd(12, people=8, seconds=8), Tracker(), []
    for number in range(0, len(crowd.frames), 3):
        persons, xyxy, visible = crowd.frames[number]
        seen = visible > 0
        found = PersonBoxes(xyxy[seen].clip(0, 1), np.full(seen.sum(), 0.9, np.float32))
        given = tracker.update(number / 25, found)
        frames.append(((persons[seen], found.xyxy), (given, found.xyxy)))
    assert identity_score(frames).idf1 > 0.85


def test_no_more_people_are_known_than_memory_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvit.tracking.tracker.MOST_TRACKS", 20)
    rng, tracker = np.random.default_rng(4), Tracker()
    stays, found = boxes((0.5, 0.5), height=0.1), set()
    for number in range(30):
        wild = random_frame(rng, 15)
        frame = PersonBoxes(np.concatenate((stays.xyxy, wild.xyxy)), np.concatenate((stays.scores, wild.scores)))
        found.add(int(tracker.update(number / 5, frame)[0]))
    assert len(found) == 1
    assert len(tracker.state_dict()["tracks.persons"]) <= 20 + 16


def test_times_must_increase() -> None:
    tracker = Tracker()
    tracker.update(1.0, boxes((0.5, 0.5)))
    for seconds in (1.0, 0.5):
        with pytest.raises(ValueError, match=rf"in order of time: {seconds} s came after 1\.0 s"):
            tracker.update(seconds, boxes((0.5, 0.5)))
    with pytest.raises(ValueError, match="finite number of seconds, got nan"):
        tracker.update(float("nan"), boxes())


def test_refused_frames_leave_no_trace() -> None:
    tracker, other = Tracker(), Tracker()
    for one in (tracker, other):
        one.update(0, boxes((0.5, 0.5)))
    broken = boxes((0.5, float("nan")))
    with pytest.raises(ValueError, match="boxes at 1 s contain numbers that are not finite"):
        tracker.update(1, broken)
    with pytest.raises(ValueError, match=r"a row for each of 1 boxes, got \(2, 8\)"):
        tracker.update(1, boxes((0.5, 0.5)), LOOKS[:2])
    with pytest.raises(ValueError, match="appearance at 1 s contains"):
        tracker.update(1, boxes((0.5, 0.5)), np.full((1, 8), np.inf, np.float32))
    assert tracker.update(0.5, boxes((0.5, 0.5))).tolist() == other.update(0.5, boxes((0.5, 0.5))).tolist()


@pytest.mark.parametrize("wrong", [{"keep_seconds": 0}, {"speed": -1}, {"looks_limit": float("nan")}])
def test_settings_are_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a positive number"):
        TrackerSettings(**wrong)
