"""The timeline: who is in which row, and a picture that is a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memvit.labels import Labels
from memvit.results.colours import GROUND, person_colour, score_colour
from memvit.results.result import Result
from memvit.results.timeline import MAX_PEOPLE, columns, draw_timeline, people_rows
from memvit.types import PersonBoxes

LABELS = Labels(("run", "sit", "wave"))
LEFT, RIGHT = [0.1, 0.1, 0.3, 0.9], [0.6, 0.1, 0.8, 0.9]


def result(second: int, people: dict[str, list[float]]) -> Result:
    places = {"left": LEFT, "right": RIGHT}
    boxes = PersonBoxes(
        np.array([places[name] for name in people], dtype=np.float32).reshape(-1, 4), np.ones(len(people), np.float32)
    )
    scores = np.array(list(people.values()), dtype=np.float32).reshape(-1, 3)
    return Result("v", second, float(second), second - 0.5, second + 0.5, boxes, scores)


def tracked(second: int, people: dict[int, list[float]]) -> Result:
    xyxy = np.tile(np.array(LEFT, np.float32), (len(people), 1))
    boxes = PersonBoxes(xyxy, np.ones(len(people), np.float32), np.array(list(people), dtype=np.int64))
    scores = np.array(list(people.values()), dtype=np.float32).reshape(-1, 3)
    return Result("v", second, float(second), second - 0.5, second + 0.5, boxes, scores)


def test_a_person_keeps_a_row_whatever_the_order_of_boxes() -> None:
    results = [
        result(0, {"left": [0.9, 0.1, 0.0], "right": [0.1, 0.8, 0.2]}),
        result(1, {"right": [0.1, 0.7, 0.3], "left": [0.8, 0.1, 0.0]}),
        result(2, {"right": [0.1, 0.6, 0.4]}),
    ]
    (left, right), count = people_rows(results, actions_each=2)
    assert (left.title, left.actions, count) == ("person 1", [0], 2)
    np.testing.assert_allclose(left.scores, [[0.9, 0.8, np.nan]], rtol=1e-6)
    assert (right.title, right.actions) == ("person 2", [1, 2])
    np.testing.assert_allclose(right.scores[0], [0.8, 0.7, 0.6], rtol=1e-6)


def test_people_have_their_numbers_and_boxes_without_a_person_no_row() -> None:
    results = [tracked(0, {7: [0.9, 0, 0], -1: [0.9, 0, 0]}), tracked(1, {3: [0.1, 0.2, 0.25], 7: [0.6, 0, 0.4]})]
    (third, seventh), count = people_rows(results, actions_each=2)
    assert (third.title, third.actions, third.is_faint) == ("person 3", [2], True)
    assert (seventh.title, seventh.actions, seventh.is_faint, count) == ("person 7", [0, 2], False, 2)
    assert people_rows(results, 2, min_score=0.2)[0][0].actions == [2, 1]


def test_the_same_number_of_another_session_is_another_person() -> None:
    first, second = tracked(0, {1: [0.9, 0, 0]}), replace(tracked(1, {1: [0, 0.8, 0]}), session=1)
    people, count = people_rows([first, second], actions_each=1)
    assert count == 2
    assert [(person.title, person.actions) for person in people] == [("person 1", [0]), ("person 1 of session 1", [1])]


def test_of_many_people_those_seen_longest_are_drawn_and_the_rest_are_counted(tmp_path: Path) -> None:
    results = [tracked(second, {n: [0.5, 0, 0] for n in range(1, 12) if second >= n % 5}) for second in range(6)]
    people, count = people_rows(results, actions_each=1)
    assert count == 11 and len(people) == MAX_PEOPLE
    assert [person.number for person in people] == [1, 2, 3, 5, 6, 7, 10, 11]


def test_columns_are_regular_and_show_the_highest_score_of_a_long_video() -> None:
    centres = np.array([0.0, 1.0, 2.0, 5.0])
    edges, scores = columns(centres, np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))
    np.testing.assert_allclose(edges, [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_allclose(scores, [[0.1, 0.2, 0.3, np.nan, np.nan, 0.4]], rtol=1e-6)
    hours = np.zeros((1, 20_000), np.float32)
    hours[0, 12_345] = 0.9
    edges, scores = columns(np.arange(20_000.0), hours, count=500)
    assert scores.shape == (1, 500) and edges[0] == -0.5 and edges[-1] == 19_999.5
    (place,) = np.flatnonzero(scores[0] > 0.5)
    assert edges[place] <= 12_345 <= edges[place + 1]


def test_colours_are_those_of_the_scheme_on_a_fixed_scale(tmp_path: Path) -> None:
    """The same score has the same colour in every picture, whatever its highest score is; zero is the background."""
    for name, highest in (("low", 0.4), ("high", 0.9)):
        results = [tracked(second, {2: [0.4, 0, 0]}) for second in range(4)]
        results += [tracked(second, {2: [highest, 0, 0]}) for second in range(4, 8)]
        draw_timeline(results, LABELS, tmp_path / f"{name}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))

        def share(colour: tuple[int, int, int], pixels: np.ndarray = pixels) -> float:
            return float((np.abs(pixels.astype(int) - colour) <= 1).all(axis=2).mean())

        assert share(score_colour(0.4)) > 0.05 and share(score_colour(highest)) > 0.05
        assert share(GROUND) > 0.2
        assert share(person_colour(2)) > 1e-4, "the line above the rows, and the title"


@pytest.mark.parametrize("clips", [1, 40])
def test_timeline_is_written_as_a_png(clips: int, tmp_path: Path) -> None:
    results = [result(second, {"left": [0.9, second / 40, 0.0]}) for second in range(clips)]
    draw_timeline(results, LABELS, tmp_path / "one.png", title="v")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_timeline_of_a_classifier_and_of_an_empty_scene(tmp_path: Path) -> None:
    whole = Result("v", 0, 0.0, 0.0, 1.0, None, np.array([[0.1, 0.7, 0.2]], dtype=np.float32))
    assert people_rows([whole], 2)[0][0].title == "whole picture"
    assert len(people_rows([whole, replace(whole, session=1)], 2)[0]) == 1, "the same rows in every session"
    draw_timeline([whole], LABELS, tmp_path / "clip.png")
    draw_timeline([result(0, {}), result(1, {})], LABELS, tmp_path / "nobody.png")
    assert (tmp_path / "nobody.png").exists()
    with pytest.raises(ValueError, match="no results"):
        draw_timeline([], LABELS, tmp_path / "none.png")
