"""JSON Lines and AVA CSV: stable bytes, the documented forms, and every line on disk at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memvit.boxes import open_boxes
from memvit.labels import Labels
from memvit.results.ava_csv import AvaCsvWriter
from memvit.results.jsonl import JsonLinesWriter, to_json
from memvit.results.result import Result
from memvit.types import Clip, MemvitError, PersonBoxes

LABELS = Labels(("run", "sit", "läuft"), first_id=1)


def result(seconds: float = 902.0, people: int = 2) -> Result:
    boxes = PersonBoxes(
        np.linspace(0.1, 0.9, 4 * people, dtype=np.float32).reshape(people, 4), np.full(people, 0.98768, np.float32)
    )
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.5]], dtype=np.float32)[:people]
    return Result("cam", 7, seconds, seconds - 1.0666, seconds + 1, boxes, scores, 4, (2.0, 4.0), 12.0)


def test_json_has_the_documented_form() -> None:
    text = to_json(result(), LABELS, top_k=2)
    assert json.loads(text) == {
        "stream": "cam",
        "clip": 7,
        "seconds": 902.0,
        "span": [900.933, 903.0],
        "memory": {"clips": 4, "attended_seconds": [2.0, 4.0], "reach_seconds": 12.0},
        "people": [
            {
                "box": [0.1, 0.2143, 0.3286, 0.4429],
                "box_score": 0.9877,
                "actions": [{"id": 2, "name": "sit", "score": 0.7}, {"id": 3, "name": "läuft", "score": 0.2}],
            },
            {
                "box": [0.5571, 0.6714, 0.7857, 0.9],
                "box_score": 0.9877,
                "actions": [{"id": 1, "name": "run", "score": 0.5}, {"id": 3, "name": "läuft", "score": 0.5}],
            },
        ],
    }
    assert "\n" not in text
    assert text == to_json(result(), LABELS, top_k=2)


def numbered(*persons: int) -> Result:
    plain = result()
    assert plain.boxes is not None
    return replace(plain, boxes=replace(plain.boxes, persons=np.array(persons)))


def test_people_have_their_numbers_first() -> None:
    people = json.loads(to_json(numbered(3, -1), LABELS))["people"]
    assert [next(iter(person.items())) for person in people] == [("person", 3), ("person", None)]
    assert "person" not in json.loads(to_json(result(), LABELS))["people"][0]


def test_all_scores_are_all_classes() -> None:
    person = json.loads(to_json(result(), LABELS, all_scores=True))["people"][0]
    assert [action["id"] for action in person["actions"]] == [2, 3, 1]


def test_a_clip_classifier_has_actions_and_no_people() -> None:
    one = Result("cam", 0, 0.0, 0.0, 1.0, None, np.array([[0.2, 0.5, 0.3]], dtype=np.float32))
    record = json.loads(to_json(one, Labels(("a", "b", "c")), top_k=1))
    assert record["actions"] == [{"id": 1, "name": "b", "score": 0.5}]
    assert "people" not in record


def test_lines_are_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    with JsonLinesWriter(tmp_path / "out.jsonl", LABELS) as writer:
        writer.write(result())
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1
        writer.write(result(903))
    assert [json.loads(line)["seconds"] for line in (tmp_path / "out.jsonl").open()] == [902.0, 903.0]


def test_ava_csv_has_the_official_form(tmp_path: Path) -> None:
    with AvaCsvWriter(tmp_path / "out.csv", LABELS) as writer:
        writer.write(result(people=1))
        writer.write(result(7.0, people=0))
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "cam,0902,0.100,0.367,0.633,0.900,1,0.1000",
        "cam,0902,0.100,0.367,0.633,0.900,2,0.7000",
        "cam,0902,0.100,0.367,0.633,0.900,3,0.2000",
    ]


def test_ava_csv_has_persons_in_its_last_column_where_asked(tmp_path: Path) -> None:
    """`--boxes` reads them from there again."""
    with AvaCsvWriter(tmp_path / "out.csv", LABELS, with_persons=True) as writer:
        writer.write(numbered(3, -1))
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[0] == "cam,0902,0.100,0.214,0.329,0.443,1,0.1000,3"
    assert rows[-1] == "cam,0902,0.557,0.671,0.786,0.900,3,0.5000,"
    clip = Clip("cam", 0, 902.0, 901.0, 903.0, np.zeros((1, 2, 2, 3), np.uint8))
    (boxes,) = open_boxes(str(tmp_path / "out.csv"), score_threshold=0.0).boxes([clip])
    assert boxes.persons is not None and boxes.persons.tolist() == [3, -1]


def test_ava_csv_refuses_fractions_of_seconds_and_missing_boxes(tmp_path: Path) -> None:
    with AvaCsvWriter(tmp_path / "out.csv", LABELS) as writer:
        with pytest.raises(MemvitError, match=r"whole seconds only, a clip is centred at 902.5 s; use a hop of 1"):
            writer.write(result(902.5))
        with pytest.raises(MemvitError, match="classifies whole clips"):
            writer.write(Result("cam", 0, 0.0, 0.0, 1.0, None, np.zeros((1, 3), np.float32)))


def test_missing_folder_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"out\.jsonl: there is no such file or folder"):
        JsonLinesWriter(tmp_path / "no" / "out.jsonl", LABELS)


def test_a_full_disk_is_one_sentence() -> None:
    with (
        pytest.raises(MemvitError, match=r"/dev/full: the disk is full; .*; what was written is kept"),
        JsonLinesWriter("/dev/full", LABELS) as writer,
    ):
        writer.write(result())


def test_results_that_are_not_finite_are_not_written() -> None:
    spoiled = replace(result(), scores=np.full((2, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(spoiled, LABELS)
