"""The timeline: who is in which row, and a picture that is a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memvit.labels import Labels
from memvit.results.result import Result
from memvit.results.timeline import draw_timeline, people_rows
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


def test_a_person_keeps_a_row_whatever_the_order_of_boxes() -> None:
    results = [
        result(0, {"left": [0.9, 0.1, 0.0], "right": [0.1, 0.8, 0.2]}),
        result(1, {"right": [0.1, 0.7, 0.3], "left": [0.8, 0.1, 0.0]}),
        result(2, {"right": [0.1, 0.6, 0.4]}),
    ]
    left, right = people_rows(results, actions_each=2)
    assert (left.title, left.actions) == ("person 1", [0, 1])
    np.testing.assert_allclose(left.scores, [[0.9, 0.8, np.nan], [0.1, 0.1, np.nan]], rtol=1e-6)
    assert (right.title, right.actions) == ("person 2", [1, 2])
    np.testing.assert_allclose(right.scores[0], [0.8, 0.7, 0.6], rtol=1e-6)


@pytest.mark.parametrize("clips", [1, 40])
def test_timeline_is_written_as_a_png(clips: int, tmp_path: Path) -> None:
    results = [result(second, {"left": [0.9, second / 40, 0.0]}) for second in range(clips)]
    draw_timeline(results, LABELS, tmp_path / "one.png", title="v")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_timeline_of_a_classifier_and_of_an_empty_scene(tmp_path: Path) -> None:
    whole = Result("v", 0, 0.0, 0.0, 1.0, None, np.array([[0.1, 0.7, 0.2]], dtype=np.float32))
    assert people_rows([whole], 2)[0].title == "clip"
    draw_timeline([whole], LABELS, tmp_path / "clip.png")
    draw_timeline([result(0, {}), result(1, {})], LABELS, tmp_path / "nobody.png")
    assert (tmp_path / "nobody.png").exists()
    with pytest.raises(ValueError, match="no results"):
        draw_timeline([], LABELS, tmp_path / "none.png")
