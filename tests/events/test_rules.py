"""Rules from YAML, errors with lines, zones."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.events.rules import Zone, foot_point
from memvit.events.rules_file import load_rules, parse_rules
from memvit.types import MemvitError

WHOLE = """\
rules:
  - name: waving
    actions: [wave, hand wave, 14]
    start_score: 0.6
    keep_score: 0.4
    min_seconds: 2
    merge_seconds: 3
    streams: ["cam-*"]
    zones: [entrance]
    min_people: 1
    dwell_seconds: 0
zones:
  entrance: {streams: ["cam-1"], polygon: [[0.1, 0.2], [0.5, 0.2], [0.5, 1], [0.1, 1]]}
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(WHOLE)
    (rule,), (zone,) = (load_rules(path).rules, load_rules(path).zones)
    assert rule.actions == ("wave", "hand wave", 14) and rule.zones == (zone,)
    assert (rule.start_score, rule.keep_score, rule.min_seconds, rule.merge_seconds) == (0.6, 0.4, 2, 3)
    assert rule.applies_to("cam-7") and not rule.applies_to("door")
    assert zone.applies_to("cam-1") and rule.zones_of("cam-7") == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("start_score: 0.6", "start_scor: 0.6", 4, "do you mean `start_score`?"),
        ("start_score: 0.6", "start_score: high", 4, "from 0 to 1"),
        ("start_score: 0.6", "start_score: 1.5", 4, "from 0 to 1"),
        ("start_score: 0.6", "start_score: .nan", 4, "from 0 to 1"),
        ("start_score: 0.6", "start_score: '0.6'", 4, "from 0 to 1"),
        ("keep_score: 0.4", "keep_score: 0.7", 5, "must not be above start_score"),
        ("min_seconds: 2", "min_seconds: -1", 6, "of 0 or more"),
        ("min_people: 1", "min_people: 1.5", 10, "whole number"),
        ("min_people: 1", "min_people: 0", 10, "of 1 or more"),
        ("zones: [entrance]", "zones: [exit]", 9, "there is no zone exit; the zones are: entrance"),
        ("    actions: [wave, hand wave, 14]\n", "", 2, "needs `actions`, or `dwell_seconds`"),
        ("  - name: waving\n    a", "  - a", 2, "has no `name`"),
        ("[0.1, 0.2], [0.5, 0.2], [0.5, 1], [0.1, 1]", "[0.1, 0.2], [0.5, 2], [0, 0]", 13, "from 0 to 1"),
        ("[0.1, 0.2], [0.5, 0.2], [0.5, 1], [0.1, 1]", "[0.1, 0.2]", 13, "3 to 1000 corners"),
        ("[0.1, 0.2], [0.5, 0.2], [0.5, 1], [0.1, 1]", "[0.1, 0.2, 1]", 13, "must be [x, y]"),
        ("zones:\n  e", "zones:\n  entrance: {}\n  e", 14, "is there twice"),
        ("zones:\n  e", "zones:\n  exit: {}\n  e", 13, "has no `polygon`"),
        ("min_people: 1", "min_people: 1\n    min_people: 2", 11, "is there twice"),
        ("dwell_seconds: 0", "dwell_seconds: [", 13, "not valid YAML"),
        ("zones:\n", "colours: {}\nzones:\n", 12, "has no key `colours`"),
        ("  - name: waving", "  - waving\n  - name: waving", 2, "must be keys with values"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in WHOLE
    with pytest.raises(MemvitError) as error:
        parse_rules(WHOLE.replace(old, new, 1), "rules.yaml")
    assert str(error.value).startswith(f"rules.yaml:{line}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "rules: []", "rules:", "- a", "zones: {}", "[" * 5000, "\x00", "a: b: c", "&a [*a]"]
)
def test_what_is_no_file_of_rules_gets_one_sentence(text: str) -> None:
    with pytest.raises(MemvitError) as error:
        parse_rules(text, "rules.yaml")
    assert str(error.value).startswith("rules.yaml") and "\n" not in str(error.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(MemvitError, match=r":3: there are two rules with the name a"):
        parse_rules("rules:\n- {name: a, actions: x}\n- {name: a, actions: y}\n", "rules.yaml")


def test_missing_and_huge_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"none\.yaml: the rules cannot be read"):
        load_rules(tmp_path / "none.yaml")
    path = tmp_path / "huge.yaml"
    path.write_text(" " * 1_000_001)
    with pytest.raises(MemvitError, match="larger than"):
        load_rules(path)


def test_points_on_an_edge_and_a_corner_are_inside() -> None:
    zone = Zone("arrow", ((0.1, 0.1), (0.9, 0.1), (0.5, 0.3), (0.9, 1.0), (0.1, 1.0)))  # concave
    assert all(zone.contains(*point) for point in [(0.1, 0.5), (0.5, 1.0), (0.9, 0.1), (0.5, 0.3), (0.3, 0.5)])
    assert not any(zone.contains(*point) for point in [(0.05, 0.5), (0.8, 0.3), (0.95, 1.0), (0.5, 0.05)])


def test_the_foot_point_is_the_middle_of_the_lower_edge_inside_the_frame() -> None:
    assert foot_point((0.2, 0.1, 0.4, 0.9)) == pytest.approx((0.3, 0.9))
    assert foot_point((0.2, 0.1, 0.4, 1.02)) == pytest.approx((0.3, 1.0))
