"""Events are what the rules say: compared with a slow reading of them, over restarts, and case by case."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.events.detect import EventRules, StreamEvents
from memvit.events.event import Event
from memvit.events.files import find_events
from memvit.events.rules_file import parse_rules
from memvit.events.scores import Action, ClipScores, PersonScores, clip_of_record
from tests.events import reading

ACTIONS = ["wave", "walk", "run"]
SCORES = [0.1, 0.4, 0.45, 0.6, 0.9]
SIDES = [0.0, 0.2, 0.5, 0.8, 1.0]


def random_people(rng: Random) -> list[dict[str, Any]]:
    people = []
    for _ in range(rng.randrange(5)):
        left, right = sorted((rng.choice(SIDES), rng.choice(SIDES)))
        actions = [
            {"id": ACTIONS.index(name), "name": name, "score": rng.choice(SCORES)}
            for name in rng.sample(ACTIONS, rng.randrange(4))
        ]
        box = [left, 0.0, right, rng.choice(SIDES)]
        people.append({"person": rng.choice([None, None, 1, 2, 3]), "box": box, "actions": actions})
    return people


def random_results(rng: Random) -> list[dict[str, Any]]:
    hop = rng.choice([0.25, 0.5, 1.0, 2.0])
    records = []
    for stream in rng.choice([["cam-1"], ["cam-1", "door"]]):
        seconds, session = 0.0, 0
        for clip in range(rng.randrange(20)):
            place = {"stream": stream, "clip": clip, "session": session, "seconds": seconds}
            records.append({**place, "people": random_people(rng)})
            seconds += hop * rng.choice([1, 1, 1, 1, 2, 3, 5])
            session += rng.random() < 0.1
    return sorted(records, key=lambda record: record["seconds"])


def random_rules(rng: Random) -> dict[str, Any]:
    """The content of a file of rules, whose zones are rectangles."""
    rules = []
    for number in range(rng.randrange(1, 4)):
        choices = {
            "actions": rng.sample([*ACTIONS, 0, 1], rng.randrange(1, 3)),
            "min_seconds": rng.choice([0, 1, 2, 2.5]),
            "merge_seconds": rng.choice([0, 0.5, 1, 3]),
            "streams": rng.choice([["cam-*"], ["door"], ["*"]]),
            "zones": rng.choice([["left"], ["left", "low"]]),
            "min_people": rng.choice([1, 2]),
            "dwell_seconds": rng.choice([0, 1, 3]),
        }
        rule = {"name": f"rule {number}", **{key: value for key, value in choices.items() if rng.random() < 0.5}}
        if "actions" in rule:
            rule |= {"start_score": rng.choice([0.45, 0.6]), "keep_score": rng.choice([0.4, 0.45])}
        elif not rule.get("dwell_seconds"):
            rule["dwell_seconds"] = 2
        rules.append(rule)
    zones = {
        "left": {"streams": ["cam-1"], "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]},
        "low": {"polygon": [[0.2, 0.5], [0.8, 0.5], [0.8, 1], [0.2, 1]]},
    }
    return {"rules": rules, "zones": zones}


def told(event: Event) -> reading.Told:
    record = event.to_record()
    return (
        record["rule"],
        record["stream"],
        record["zone"],
        record["person"],
        record["peak_score"] is not None,
        record["start_seconds"],
        record["end_seconds"],
        record["peak_score"],
        record["mean_score"],
    )


@pytest.mark.parametrize("examples", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_events_are_those_of_a_slow_reading_of_the_rules(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(st.integers(0))
    def compare(seed: int) -> None:
        records, file = random_results(Random(seed)), random_rules(Random(seed + 1))
        found = list(find_events([lambda: map(clip_of_record, records)], parse_rules(json.dumps(file))))
        ended = [event for event in found if event.state == "end"]
        assert sorted(map(told, ended), key=repr) == reading.events(records, file)
        for event in ended:  # each is told as new, then with updates, and ends as it was told last
            times = [other for other in found if other.id == event.id]
            assert [other.number for other in times] == list(range(1, len(times) + 1))
            assert [other.state for other in times] == ["new", *["update"] * (len(times) - 2), "end"]
            assert told(times[-2]) == told(event)

    compare()


@settings(max_examples=150, deadline=None)
@given(st.integers(0), st.integers(0, 20))
def test_a_restart_changes_nothing(seed: int, restart: int) -> None:
    records, rules = random_results(Random(seed)), parse_rules(json.dumps(random_rules(Random(seed + 1))))
    clips = [clip_of_record(record) for record in records if record["stream"] == "cam-1"]
    whole, first, second = (StreamEvents(rules, "cam-1", 1.0, "run") for _ in range(3))
    expected = [event for clip in clips for event in whole.add(clip)] + whole.finish()
    found = [event for clip in clips[:restart] for event in first.add(clip)]
    second.restore(json.loads(json.dumps(first.state())))
    found += [event for clip in clips[restart:] for event in second.add(clip)] + second.finish()
    assert found == expected


def wave(seconds: float, score: float, *, number: int | None = 3, session: int = 0) -> ClipScores:
    person = PersonScores(number, (0.2, 0.1, 0.4, 0.9), {Action(0, "wave"): score})
    return ClipScores("cam", int(seconds), seconds, (person,), session, 1000.0 + seconds)


RULE = "rules: [{name: waving, actions: [Wave], start_score: 0.6, keep_score: 0.4, min_seconds: 2, merge_seconds: 3}]"


def test_an_event_is_told_as_the_rules_describe_it() -> None:
    stream = StreamEvents(parse_rules(RULE), "cam", 1.0)
    scores = {0: 0.5, 1: 0.7, 2: 0.4, 3: 0.9, 4: 0.1, 7: 0.4, 8: 0.1, 11: 0.1}
    states = {seconds: [event.state for event in stream.add(wave(seconds, score))] for seconds, score in scores.items()}
    assert states == {0: [], 1: [], 2: [], 3: ["new"], 4: [], 7: ["update"], 8: [], 11: []}
    (event,) = stream.add(wave(11.5, 0.9))  # 7 is 4.5 s ago, more than 3 s and one hop
    record = event.to_record()
    assert record.pop("id") == event.id and len(event.id) == 16
    assert record == {
        "rule": "waving",
        "stream": "cam",
        "person": 3,
        "action": "wave",
        "state": "end",
        "start_seconds": 1,
        "end_seconds": 7,
        "start_time": "1970-01-01T00:16:41.000Z",
        "end_time": "1970-01-01T00:16:47.000Z",
        "peak_score": 0.9,
        "mean_score": 0.6,
        "zone": None,
        "number": 3,
        "peak_seconds": 3,
        "peak_box": [0.2, 0.1, 0.4, 0.9],
    }


def test_a_gap_of_exactly_merge_seconds_and_a_hop_does_not_end_an_event() -> None:
    stream = StreamEvents(parse_rules(RULE), "cam", 1 / 3)
    for seconds in (0.0, 3.333, 6.667):  # 3 s and a third apart, in milliseconds as files have them
        assert [event.state for event in stream.add(wave(seconds, 0.9))] in ([], ["new"], ["update"])
    assert [event.state for event in stream.finish()] == ["end"]


def test_time_that_passes_without_clips_ends_an_event() -> None:
    stream = StreamEvents(parse_rules(RULE), "cam", 1.0)
    for seconds in range(4):
        stream.add(wave(seconds, 0.9))
    assert stream.advance(7.0) == []
    assert [event.state for event in stream.advance(7.1)] == ["end"]
    assert stream.finish() == []


def test_a_session_ends_events_since_person_numbers_begin_again() -> None:
    stream = StreamEvents(parse_rules(RULE), "cam", 1.0)
    for seconds in range(4):
        stream.add(wave(seconds, 0.9))
    assert [event.state for event in stream.add(wave(4, 0.9, session=1))] == ["end"]
    assert stream.state()["open"][0]["start_seconds"] == 4


def test_ids_differ_between_runs_people_and_rules_only() -> None:
    rules = parse_rules("rules: [{name: a, actions: [wave]}, {name: b, actions: [wave]}]")
    runs = [StreamEvents(rules, "cam", 1.0, run) for run in ("", "", "2")]
    ids = [[event.id for event in run.add(wave(0, 0.9))] for run in runs]
    ids.append([event.id for event in StreamEvents(rules, "cam", 1.0).add(wave(0, 0.9, number=4))])
    assert ids[0] == ids[1]
    assert len({one for some in ids for one in some}) == 6


def test_changed_rules_end_the_events_of_rules_that_are_gone_and_keep_the_others() -> None:
    both = "rules: [{name: a, actions: [wave]}, {name: b, actions: [wave]}]"
    all_streams = EventRules(parse_rules(both), 1.0)
    stream = all_streams.stream("cam")
    first = stream.add(wave(0, 0.9))
    told = all_streams.change_rules(parse_rules("rules: [{name: b, actions: [0]}, {name: c, actions: [wave]}]"))
    found = [(event.rule, event.state, event.id) for event in [*told, *stream.add(wave(1, 0.9))]]
    assert [one[:2] for one in found] == [("a", "end"), ("b", "update"), ("c", "new")]
    assert [one[2] for one in found[:2]] == [event.id for event in first]
    assert {event.state for event in all_streams.end("cam")} == {"end"} and not all_streams.end_all()


def test_a_clip_classifier_is_one_person_and_is_never_in_a_zone() -> None:
    rules = "rules: [{name: a, actions: [wave]}, {name: b, zones: [z], actions: [wave]}]"
    text = f"{rules}\nzones: {{z: {{polygon: [[0, 0], [1, 0], [1, 1]]}}}}"
    clip = ClipScores("cam", 0, 0.0, (PersonScores(None, None, {Action(0, "wave"): 0.9}),))
    assert [event.rule for event in StreamEvents(parse_rules(text), "cam", 1.0).add(clip)] == ["a"]
