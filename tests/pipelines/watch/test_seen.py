"""The summary at the end of `watch`: one line for each person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from memvit.labels import Labels
from memvit.results.result import Result
from memvit.types import PersonBoxes
from pipelines.cli.app import app
from pipelines.watch import seen as watch_seen
from pipelines.watch.seen import Seen
from tests.video import make

LABELS = Labels(("stand", "walk", "talk to (e.g., self, a person, a group)"))
LEFT, RIGHT = 1, 2


def result(second: int, people: dict[int, list[float]], missed: int = 0, session: int = 0) -> Result:
    """Scores of each person's number."""
    count, persons = len(people), np.array(list(people), np.int64)
    boxes = PersonBoxes(np.zeros((count, 4), np.float32), np.ones(count, np.float32), persons)
    scores = np.array(list(people.values()), np.float32).reshape(-1, 3)
    return Result("s", second, second, second - 1, second + 1, boxes, scores, missed_clips=missed, session=session)


def lines(results: list[Result], width: int = 80) -> list[str]:
    seen = Seen()
    for one in results:
        seen.add(one)
    return seen.lines(LABELS, width)


def test_consecutive_clips_are_one_span() -> None:
    walks, stands = [0.1, 0.8, 0.0], [0.5, 0.2, 0.0]
    found = lines(
        [result(second, {LEFT: stands, RIGHT: walks if 2 <= second <= 8 else stands}) for second in range(10)]
    )
    assert found == ["person 1: stand 0:00–0:09", "person 2: walk 0:02–0:08, stand 0:00–0:01, 0:09"]


def test_a_missing_clip_ends_a_span() -> None:
    walks = {LEFT: [0.1, 0.8, 0.0]}
    assert lines([result(0, walks), result(1, walks), result(4, walks, missed=2)]) == ["person 1: walk 0:00–0:01, 0:04"]
    assert lines([result(0, walks), result(1, {}), result(2, {}), result(3, walks)]) == ["person 1: walk 0:00, 0:03"]


def test_highest_score_is_shown_if_no_action_scores_enough() -> None:
    found = lines([result(0, {LEFT: [0.2, 0.1, 0.0]}), result(3661, {LEFT: [0.1, 0.4, 0.0]}, missed=3660)])
    assert found == ["person 1: no action scored 0.5 (highest: walk 0.40 at 1:01:01)"]
    assert lines([result(0, {})]) == ["nobody was seen"] and lines([]) == []


def test_a_whole_clip_model_has_one_line() -> None:
    seen = Seen()
    seen.add(Result("s", 0, 0.0, 0.0, 1.0, None, np.array([[0.1, 0.9, 0.0]], np.float32)))
    assert seen.lines(LABELS) == ["the whole picture: walk 0:00"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_line_is_cut_at_the_width(width: int) -> None:
    (found,) = lines([result(2 * second, {LEFT: [0.9, 0.9, 0.9]}, missed=1) for second in range(50)], width)
    assert len(found) <= width and found.startswith("person 1: stand 0:00, 0:02, ") and found.endswith(", …")


def test_memory_of_a_long_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_seen, "MAX_REMEMBERED_PEOPLE", 10)
    seen = Seen()
    for second in range(200):
        seen.add(result(second, {second: [0.9, 0.0, 0.0]}, missed=1))
    found = seen.lines(LABELS)
    assert len(seen._people) <= 20 and len(found) == 9 and found[-1] == "and 192 more people, seen for shorter"


def test_people_of_another_session_are_others_and_a_box_may_be_nobody() -> None:
    walks = [0.1, 0.8, 0.0]
    later = [result(second, {3: walks}, session=1) for second in (1, 2)]
    found = lines([result(0, {3: walks, -1: walks}), *later])
    assert found == ["person 3: walk 0:00", "person 3 of session 1: walk 0:01–0:02"]
    assert lines([result(0, {-1: walks})]) == ["nobody was seen"]


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_ends_with_what_was_seen(as_json: bool, tmp_path: Path) -> None:
    """With --json, standard output holds JSON and nothing else."""
    video = make.write(tmp_path / "gym.mp4", make.counted(40))
    arguments = ["watch", str(video), "--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full", "--out"]
    found = CliRunner().invoke(app, [*arguments, str(tmp_path / "out"), *(["--json"] if as_json else [])])
    assert found.exit_code == 0, found.output
    told = found.stderr if as_json else found.stdout
    assert "gym:\n  person 1: " in told and max(map(len, told.splitlines()[-2:])) <= 80
    if as_json:
        assert [json.loads(line)["clip"] for line in found.stdout.splitlines()] == [0, 1]
