"""Results of a model and of files give the same clips, and files that are no results get one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvit.events.files import Coverage, find_events, hops_of, read_clips
from memvit.events.rules_file import parse_rules
from memvit.events.scores import ClipScores, clip_of_record, clip_of_result
from memvit.labels import Labels
from memvit.results.jsonl import to_record
from memvit.results.result import Result
from memvit.types import MemvitError, PersonBoxes

LABELS = Labels(("wave", "walk"), first_id=1)


def a_result(rng: np.random.Generator, people: int | None, numbers: list[int] | None = None) -> Result:
    boxes = None
    if people is not None:
        persons = None if numbers is None else np.array(numbers, np.int64)
        boxes = PersonBoxes(rng.random((people, 4), np.float32), np.ones(people, np.float32), persons)
    scores = rng.random((1 if people is None else people, 2), np.float32)
    return Result("cam", 3, 1.23456, 0.2, 2.3, boxes, scores, session=2)


@pytest.mark.parametrize("people", [None, 0, 3])
def test_a_result_and_its_line_of_json_are_the_same_to_the_rules(people: int | None) -> None:
    result = a_result(np.random.default_rng(0), people)
    line = json.loads(json.dumps(to_record(result, LABELS, all_scores=True)))
    assert clip_of_record(line) == clip_of_result(result, LABELS)


def test_numbers_of_people_are_read_and_those_who_are_none_yet_have_none() -> None:
    result = a_result(np.random.default_rng(0), 3, [4, -1, 2])
    assert [person.number for person in clip_of_result(result, LABELS).people] == [4, None, 2]
    record = to_record(result, LABELS, all_scores=True)
    for person, number in zip(record["people"], [4, None, 2], strict=True):
        person["person"] = number
    assert clip_of_record(record) == clip_of_result(result, LABELS)


def test_the_time_of_day_is_read() -> None:
    result = replace(a_result(np.random.default_rng(0), None), centre_unix=1_777_000_000.25)
    record = {**to_record(result, LABELS, all_scores=True), "time": "2026-04-24T03:06:40.250Z"}
    assert clip_of_record(record) == clip_of_result(result, LABELS)


def line(stream: str, seconds: float, **values: Any) -> str:
    return json.dumps({"stream": stream, "clip": 0, "seconds": seconds, "actions": [], **values}) + "\n"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("[1]\n", "`stream`"),
        ("{}\n", "`stream`"),
        ("nonsense\n", "not a line of JSON"),
        ("\x00\xff\n", "not a line of JSON"),
        ("[" * 100_000 + "\n", "not a line of JSON"),
        (line("cam", float("nan")), "`seconds` must be a number"),
        (line("cam", 1, session="x"), "`session` must be a number"),
        (line("cam", 1, time=5), "`time` must be a time"),
        (line("cam", 1, time="noon"), "'noon' is not a time"),
        (line("cam", 1, actions=[{"id": 1, "name": "a"}]), "`score` must be a number"),
        (line("cam", 1, people=[{"box": [1, 2, 3], "actions": []}]), "`box` must be a list of four"),
        (line("cam", 1, people=[{"box": [1, 2, 3, 4], "actions": [], "person": "x"}]), "`person` must be"),
        (line("cam", 1, people=[{"box": [1, 2, 3, 4]}]), "`actions` must be a list"),
        ('{"stream": "cam", "seconds": 1}\n', "neither `people` nor `actions`"),
    ],
)
def test_a_line_that_is_no_result_is_named(broken: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(line("cam", 0) + broken + line("cam", 2))
    with pytest.raises(MemvitError) as error:
        list(read_clips(path))
    assert str(error.value).startswith(f"{path}:2: ") and words in str(error.value)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(line("cam", 0) + line("cam", 1)[:-9])
    assert [clip.seconds for clip in read_clips(path)] == [0]


def test_the_hop_is_the_median_of_each_stream_within_sessions() -> None:
    clips = [ClipScores("a", 0, seconds) for seconds in (0, 0.5, 1, 4, 4.5)] + [ClipScores("b", 0, 0)]
    clips += [ClipScores("a", 0, seconds, session=1) for seconds in (100, 100.5)]
    assert hops_of(clips) == {"a": 0.5, "b": 1.0}


def test_a_stream_goes_on_from_one_source_to_the_next(person_waves: Callable[[float], ClipScores]) -> None:
    clips = [person_waves(seconds) for seconds in range(6)]
    rules = parse_rules("rules: [{name: waving, actions: [wave], min_seconds: 5}]")
    (event,) = [one for one in find_events([lambda: clips[:3], lambda: clips[3:]], rules) if one.state == "end"]
    assert (event.start_seconds, event.end_seconds) == (0, 5)
    assert list(find_events([lambda: clips[:3]], rules)) == []


@pytest.fixture
def person_waves() -> Callable[[float], ClipScores]:
    result = a_result(np.random.default_rng(0), None)
    result = replace(result, scores=np.array([[0.9, 0.1]], np.float32), session=0)
    return lambda seconds: clip_of_result(replace(result, centre_seconds=seconds), LABELS)


def test_notes_say_what_results_cannot_show(person_waves: Callable[[float], ClipScores]) -> None:
    rules = parse_rules("rules: [{name: a, actions: [jump, 7]}, {name: b, streams: door, dwell_seconds: 1}]")
    coverage = Coverage()
    assert coverage.notes(rules) == ["there are no clips in these results"]
    coverage.add(person_waves(0))
    notes = coverage.notes(rules)
    assert notes[0] == "rule a: none of its actions (jump, 7) has a score in these results"
    assert notes[1] == "rule b: none of the streams (cam) is one of the rule's"
    assert "have no numbers" in notes[2] and len(notes) == 3
    only_best = to_record(replace(a_result(np.random.default_rng(1), 3), scores=np.eye(3, 2, dtype=np.float32)), LABELS)
    for person in only_best["people"]:
        del person["actions"][1:]
    coverage.add(clip_of_record(only_best))
    assert any("scores of only some actions (the fewest: 1)" in note for note in coverage.notes(rules))
