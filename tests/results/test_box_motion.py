"""Boxes between detections: exact positions, people who come and go, and boxes that are nobody."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.results.box_motion import BoxMotion
from memvit.types import PersonBoxes


def boxes(people: dict[int, float], width: float = 0.125) -> PersonBoxes:
    """Person → left edge of the box."""
    xyxy = np.array([[left, 0.25, left + width, 0.75] for left in people.values()], np.float32).reshape(-1, 4)
    return PersonBoxes(xyxy, np.ones(len(people), np.float32), np.array(list(people), dtype=np.int64))


def lefts(motion: BoxMotion, seconds: float) -> dict[int, float]:
    return {number: float(box[0]) for number, box in motion.at(seconds)}


def test_a_box_is_in_proportion_to_time_between_its_detections() -> None:
    motion = BoxMotion([(0.0, boxes({1: 0.0, 2: 0.5})), (1.0, boxes({2: 0.75, 1: 0.5}, width=0.25))])
    for seconds in (0.0, 0.25, 0.5, 0.875, 1.0):
        found = dict(motion.at(seconds))
        np.testing.assert_allclose(found[1], [0.5 * seconds, 0.25, 0.125 + 0.625 * seconds, 0.75], rtol=1e-6)
        np.testing.assert_allclose(found[2][0], 0.5 + 0.25 * seconds, rtol=1e-6)
    assert lefts(motion, -3.0) == {1: 0.0, 2: 0.5} and lefts(motion, 9.0) == {2: 0.75, 1: 0.5}


def test_who_has_left_is_not_drawn_and_who_comes_is_drawn_near_the_first_detection() -> None:
    motion = BoxMotion([(0.0, boxes({1: 0.0, 2: 0.5})), (1.0, boxes({1: 0.5, 3: 0.25})), (2.0, boxes({}))])
    assert set(lefts(motion, 0.4)) == {1, 2} and set(lefts(motion, 0.6)) == {1, 3}
    assert set(lefts(motion, 1.4)) == {1, 3} and lefts(motion, 1.6) == {}
    assert lefts(motion, 0.4)[2] == 0.5 and lefts(motion, 0.6)[3] == 0.25, "they stand where they were seen"


def test_a_missed_detection_of_a_moment_is_bridged_and_a_longer_absence_is_not() -> None:
    often = [(0.125 * step, boxes({1: 0.1 * step} if step != 3 else {})) for step in range(6)]
    np.testing.assert_allclose(lefts(BoxMotion(often), 0.375)[1], 0.3, rtol=1e-6)
    seldom = [(float(step), boxes({1: 0.1 * step} if step not in (2, 3) else {})) for step in range(6)]
    assert lefts(BoxMotion(seldom), 2.5) == {}


def test_a_box_that_is_no_person_is_shown_around_its_own_detection_only() -> None:
    motion = BoxMotion([(0.0, boxes({-1: 0.1})), (1.0, boxes({-1: 0.8}))])
    assert lefts(motion, 0.4)[-1] == pytest.approx(0.1) and lefts(motion, 0.6)[-1] == pytest.approx(0.8)
    untracked = PersonBoxes(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))
    assert [number for number, _ in BoxMotion([(0.0, untracked)]).at(0.2)] == [-1]


def test_of_two_detections_of_an_instant_the_later_one_counts() -> None:
    motion = BoxMotion([(1.0, boxes({1: 0.1})), (1.0005, boxes({1: 0.2}))])
    assert lefts(motion, 1.0) == {1: pytest.approx(0.2)}
    assert BoxMotion([]).at(0.0) == []
