"""IDF1 and identity switches."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.evaluation.identity import identity_score, iou

LEFT, RIGHT, FAR = (0.1, 0.1, 0.3, 0.5), (0.5, 0.1, 0.7, 0.5), (0.8, 0.8, 0.9, 0.9)


def people(*pairs: tuple[int, tuple[float, ...]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([number for number, _ in pairs], np.int64), np.array([box for _, box in pairs]).reshape(-1, 4)


BOTH = people((1, LEFT), (2, RIGHT))


def test_other_numbers_for_the_same_people_are_right() -> None:
    score = identity_score([(BOTH, people((7, RIGHT), (3, LEFT)))] * 5)
    assert (score.idf1, score.switches) == (1.0, 0)


def test_a_new_number_half_way_costs_half_of_a_person() -> None:
    frames = [(BOTH, people((1, LEFT), (2, RIGHT)))] * 4 + [(BOTH, people((1, LEFT), (3, RIGHT)))] * 4
    score = identity_score(frames)
    assert (score.idf1, score.switches) == (12 / 16, 1)


def test_exchanged_numbers_are_two_switches() -> None:
    frames = [(BOTH, people((1, LEFT), (2, RIGHT)))] * 3 + [(BOTH, people((2, LEFT), (1, RIGHT)))]
    score = identity_score(frames)
    assert (score.idf1, score.switches) == (6 / 8, 2)


def test_missed_and_false_boxes_count_against_it() -> None:
    """Four true boxes and four found ones; two are right."""
    frames = [(BOTH, people((1, LEFT), (2, FAR)))] * 2
    assert identity_score(frames).idf1 == 2 * 2 / 8


def test_boxes_without_a_number_are_not_found() -> None:
    assert identity_score([(BOTH, people((1, LEFT), (-1, RIGHT)))]).idf1 == 2 * 1 / 3


def test_boxes_that_overlap_too_little_are_of_nobody() -> None:
    shifted = people((1, (0.2, 0.1, 0.4, 0.5)))
    assert iou(people((1, LEFT))[1], shifted[1])[0, 0] == pytest.approx(1 / 3)
    assert identity_score([(people((1, LEFT)), shifted)]).idf1 == 0


def test_nobody_is_no_error() -> None:
    assert identity_score([(people(), people())] * 2).idf1 == 1
    assert identity_score([(people(), people((1, LEFT)))]).idf1 == 0


def test_one_number_stands_for_one_person_over_all_frames() -> None:
    """The number 1 is on the left person for two frames and on the right person for three: only the three are right."""
    frames = [(BOTH, people((1, LEFT)))] * 2 + [(BOTH, people((1, RIGHT)))] * 3
    assert identity_score(frames).idf1 == 2 * 3 / (10 + 5)
