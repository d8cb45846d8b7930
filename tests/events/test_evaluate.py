"""Measures of events: exact numbers, pairs as many as possible, what is left out; and the sweep of scores."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memvit.events.evaluate import IOU_THRESHOLDS, agreement_of, evaluate_events, temporal_iou
from memvit.events.event import Event
from memvit.events.files import find_events
from memvit.events.intervals import Interval, Truth, intervals_of, read_events, read_truth
from memvit.events.rules import Rule, Rules
from memvit.events.rules_file import parse_rules
from memvit.events.scores import Action, ClipScores, PersonScores
from memvit.events.sweep import sweep
from memvit.types import MemvitError


def interval(start: float, end: float, label: str = "wave", stream: str = "cam", told: float | None = None) -> Interval:
    return Interval(stream, (label,), start, end, told)


def test_the_measures_of_a_small_case_are_those_of_the_hand() -> None:
    truths = [interval(0, 10), interval(20, 30), interval(40, 50), interval(0, 5, "run")]
    events = [
        Interval("cam", ("waving", "wave"), 1, 11, 3),  # IoU 9/11
        Interval("cam", ("waving", "wave"), 26, 36, 28),  # IoU 4/16
        Interval("cam", ("waving", "wave"), 60, 61),
        Interval("cam", ("other", "other"), 0, 1),
        Interval("door", ("waving", "wave"), 0, 1),
    ]
    found = evaluate_events(Truth(tuple(truths), frozenset({"cam"})), events)
    wave, run = found.by_label["wave"], found.by_label["run"]
    assert (wave.truths, wave.events, wave.matched) == (3, 3, {0.1: 2, 0.3: 1, 0.5: 1})
    assert [wave.precision(0.1), wave.recall(0.3), wave.f1(0.5)] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert sorted(wave.start_delays) == [1, 6] and sorted(wave.told_delays) == [3, 8]
    assert (run.precision(0.1), run.recall(0.1), run.f1(0.1)) == (None, 0, 0)
    assert found.total.truths == 4 and found.total.matched[0.1] == 2
    assert found.notes == (
        "left out: events of streams that the truth does not name (door)",
        "left out: events of rules that the truth does not name (other)",
    )


def most_pairs(truths: list[Interval], events: list[Interval], threshold: float) -> int:
    """By trying everything."""
    few, many = sorted((truths, events), key=len)
    return max(
        sum(a.stream_id == b.stream_id and temporal_iou(a, b) >= threshold for a, b in zip(few, chosen, strict=True))
        for subset in combinations(many, len(few))
        for chosen in permutations(subset)
    )


def test_there_are_as_many_pairs_as_possible() -> None:
    rng = Random(0)

    def some(count: int) -> list[Interval]:
        starts = [(rng.randrange(12), rng.choice(["cam", "door"])) for _ in range(count)]
        return [interval(start, start + rng.randrange(8), stream=stream) for start, stream in starts]

    for _ in range(100):
        truths, events = some(rng.randrange(5)), some(rng.randrange(5))
        found = agreement_of(truths, events).matched
        assert found == {threshold: most_pairs(truths, events, threshold) for threshold in IOU_THRESHOLDS}


def test_the_truth_is_read_with_and_without_a_line_of_names(tmp_path: Path) -> None:
    plain, named = tmp_path / "plain.csv", tmp_path / "named.csv"
    plain.write_text("cam,Wave,1,2.5\ndoor\n")
    named.write_text("end,start,action,stream,note\n2.5,1,Wave,cam,x\n,,,door,\n")
    for path in (plain, named):
        assert read_truth(path) == Truth((interval(1, 2.5),), frozenset({"cam", "door"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there are no rows"),
        ("a,b,c,d\n", ":1: the columns must be stream,action,start_seconds,end_seconds"),
        ("cam,wave,1,2\ncam,wave,x,2\n", ":2: start_seconds must be a number of seconds, found x"),
        ("cam,wave,1,2\ncam,wave,1\n", ":2: end_seconds must be a number of seconds, found nothing"),
        ("cam,wave,3,2\n", ":1: a row needs an action, and an end that is not before its start"),
        ("cam,wave,1,2\n,wave,1,2\n", ":2: this row names no stream"),
        ("cam,wave,1,nan\n", ":1: end_seconds must be a number"),
    ],
)
def test_a_malformed_truth_is_named_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(MemvitError) as error:
        read_truth(path)
    assert str(error.value).startswith(str(path)) and words in str(error.value)


def clips() -> list[ClipScores]:
    """A wave from 10 to 20 s with scores of 0.5 to 0.8, and another action in between that scores 0.42."""
    scores = {second: 0.8 if second % 3 == 0 else 0.5 for second in range(10, 21)} | {40: 0.42, 41: 0.42}
    person = {"number": 1, "box": (0.0, 0.0, 1.0, 1.0)}
    return [
        ClipScores("cam", second, second, (PersonScores(**person, scores={WAVE: scores.get(second, 0.1)}),))  # type: ignore[arg-type]
        for second in range(60)
    ]


WAVE = Action(4, "wave")


def test_events_are_read_as_they_were_told_last(tmp_path: Path) -> None:
    rules = Rules((Rule("waving", ("wave",), 0.6, 0.4, min_seconds=3),))
    told: list[Event] = list(find_events([clips], rules))
    path = tmp_path / "events.jsonl"
    path.write_text("".join(event.to_json() + "\n" for event in told))
    (found,) = read_events([path])
    assert found == Interval("cam", ("waving", "wave"), 12, 20, 15)
    assert intervals_of(told) == [found]


@pytest.mark.parametrize("broken", ["[]", '{"id": 1}', '{"id": "a", "rule": "r", "stream": "s", "start_seconds": "x"}'])
def test_a_file_that_is_none_of_events_is_named(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(broken + "\n")
    with pytest.raises(MemvitError, match=r"events\.jsonl:1: .*is it a file of `memvit events`\?"):
        read_events([path])


def test_a_sweep_finds_scores_that_agree_with_the_truth() -> None:
    truth = Truth((interval(10, 20),), frozenset({"cam"}))
    (found,) = sweep(truth, [clips])
    best = found.best
    assert best.start_score == 0.5 and best.keep_score <= 0.5
    assert best.agreement.f1(0.5) == 1
    events = intervals_of(find_events([clips], Rules((Rule("wave", ("wave",), best.start_score, best.keep_score),))))
    assert evaluate_events(truth, events).total.to_record() == best.agreement.to_record()
    assert len({(trial.start_score, trial.keep_score) for trial in found.trials}) == len(found.trials) == 76


def test_a_sweep_tries_the_scores_of_the_rule_too() -> None:
    rules = parse_rules("rules: [{name: wave, actions: [wave], start_score: 0.43, keep_score: 0.13}]")
    (found,) = sweep(Truth((interval(10, 20),), frozenset({"cam"})), [clips], rules)
    assert len(found.trials) == 77 and any(trial.keep_score == 0.13 for trial in found.trials)


def test_a_sweep_keeps_all_else_of_the_rule() -> None:
    rules = parse_rules("rules: [{name: long waves, actions: [wave], min_seconds: 100}]")
    (found,) = sweep(Truth((interval(10, 20),), frozenset({"cam"})), [clips], rules)
    assert found.rule.name == "long waves" and found.best.agreement.events == 0


def test_a_sweep_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memvit.events.sweep_plot import draw_sweep

    shown: list[Any] = []
    monkeypatch.setattr("memvit.events.sweep_plot.Figure.savefig", lambda figure, path: shown.append(figure))
    draw_sweep(sweep(Truth((interval(10, 20),), frozenset({"cam"})), [clips]), tmp_path / "sweep.png")
    (axis,) = shown[0].axes
    assert axis.get_title() == "wave: best from 0.5, kept from 0.5" and max(axis.lines[0].get_ydata()) == 1
