"""Zones in the text of a file: what is changed is read as meant, and everything else stays as it was written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.events.rules import Zone
from memvit.events.rules_file import parse_rules
from memvit.events.zone_text import ZoneInUse, check_zone, rounded, with_zone, without_zone
from memvit.types import MemvitError

TRIANGLE = ((0.0, 0.0), (1.0, 0.25), (0.5, 1.0))
RULE = "rules: [{name: there, dwell_seconds: 1}]\n"
IN_LINES = """\
# What the cameras look for
rules:
  - {name: there, dwell_seconds: 1, zones: [door]}  # at the door
zones:
  # the door of the house
  door: {streams: ["cam-1"], polygon: [[0.1, 0.2], [0.5, 0.2], [0.5, 1]]}  # measured in May
  yard:
    streams: cam-2   # the one on the roof
    polygon:
    - [0, 0]
    - [1, 0]
    - [1, 1]

# the end
"""


def parsed(text: str) -> dict[str, Zone]:
    return {zone.name: zone for zone in parse_rules(text).zones}


def test_a_new_zone_is_one_line_more() -> None:
    text = with_zone(IN_LINES, Zone("gate", TRIANGLE, ("cam-*",)), parse_rules)
    (line,) = set(text.splitlines()) - set(IN_LINES.splitlines())
    assert line == '  gate: {streams: ["cam-*"], polygon: [[0, 0], [1, 0.25], [0.5, 1]]}'
    assert text.replace(line + "\n", "") == IN_LINES


def test_a_changed_zone_keeps_the_comments_and_its_other_parts() -> None:
    text = with_zone(IN_LINES, replace(parsed(IN_LINES)["door"], polygon=TRIANGLE), parse_rules)
    assert text == IN_LINES.replace("[[0.1, 0.2], [0.5, 0.2], [0.5, 1]]", "[[0, 0], [1, 0.25], [0.5, 1]]")
    text = with_zone(IN_LINES, Zone("yard", TRIANGLE, ("cam-2",)), parse_rules)
    assert "cam-2   # the one on the roof\n    polygon:\n      [[0, 0], [1, 0.25], [0.5, 1]]\n\n# the end" in text
    text = with_zone(IN_LINES, replace(parsed(IN_LINES)["yard"], streams=("a", "b")), parse_rules)
    assert text == IN_LINES.replace("streams: cam-2 ", 'streams: ["a", "b"] ')
    assert with_zone(IN_LINES, parsed(IN_LINES)["yard"], parse_rules) == IN_LINES


def test_a_zone_that_is_removed_leaves_no_trace() -> None:
    text = without_zone(IN_LINES, "yard", parse_rules)
    assert text == IN_LINES[: IN_LINES.index("  yard:")] + "\n# the end\n"
    one = RULE + "zones:\n  door: {polygon: [[0, 0], [1, 0], [1, 1]]}  # the last one\n"
    assert without_zone(one, "door", parse_rules) == RULE + "zones: {}  # the last one\n"


FORMS = [
    RULE,
    RULE.rstrip("\n"),
    RULE + "zones: {}",
    RULE + "zones: {}  # none yet\n",
    "{rules: [{name: there, dwell_seconds: 1}]}",
    "{rules: [{name: there, dwell_seconds: 1}], zones: {}}",
    '{"rules": [{"name": "there", "dwell_seconds": 1}], "zones": {"a": {"polygon": [[0, 0], [1, 0], [1, 1]]}}}',
    "zones: {a: {polygon: [[0, 0], [1, 0], [1, 1]]}, b: {streams: x, polygon: [[0, 0], [1, 0], [1, 1]]},}\n" + RULE,
    "zones:\n  a:\n    polygon: [[0, 0], [1, 0], [1, 1]]\n" + RULE,
    "\ufeff" + RULE + "...\n",
    "---\r\n" + RULE.replace("\n", "\r\n") + "zones:\r\n  a: {polygon: [[0, 0], [1, 0], [1, 1]]}\r\n",
    "  rules: [{name: there, dwell_seconds: 1}]\n  zones:\n    a: {polygon: [[0, 0], [1, 0], [1, 1]]}",
]
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8) | st.sampled_from(
    ["a", "b", "yes", "12", "a b", "#a", "- a", "a: b", '"', "null", "straße", "出口"]
)
SIDES = st.floats(0, 1).map(lambda value: round(value, 4))
ZONES = st.builds(
    Zone,
    NAMES,
    st.lists(st.tuples(SIDES, SIDES), min_size=3, max_size=5).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
)


@settings(max_examples=40, deadline=None)
@given(form=st.sampled_from(FORMS), steps=st.lists(ZONES, min_size=1, max_size=3))
def test_whatever_the_form_the_text_says_what_was_asked(form: str, steps: list[Zone]) -> None:
    """Zones are added and changed one after the other, and taken out again."""
    text, wanted = form, parsed(form)
    for zone in steps:
        text = with_zone(text, zone, parse_rules)
        wanted[zone.name] = zone
        assert parsed(text) == wanted
    for name in list(wanted):
        text = without_zone(text, name, parse_rules)
        del wanted[name]
        assert parsed(text) == wanted
    assert parse_rules(text).rules == parse_rules(form).rules
    assert text.count("\r\n") in (0, text.count("\n")), "every line ends as the others"


def test_what_would_change_more_is_refused() -> None:
    shared = RULE + "zones:\n  a: {polygon: &p [[0, 0], [1, 0], [1, 1]]}\n  b: {polygon: *p}\n"
    for name in "ab":
        with pytest.raises(MemvitError, match=f"zone {name} cannot be changed .* by hand"):
            with_zone(shared, Zone(name, TRIANGLE), parse_rules)


def test_a_zone_that_a_rule_needs_stays() -> None:
    with pytest.raises(ZoneInUse, match=r"^rule there needs zone door; take it out there first$"):
        without_zone(IN_LINES, "door", parse_rules)
    two = IN_LINES.replace("zones:\n", "  - {name: long, dwell_seconds: 9, zones: [yard, door]}\nzones:\n", 1)
    with pytest.raises(ZoneInUse, match=r"^the rules there, long need zone door"):
        without_zone(two, "door", parse_rules)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (Zone("a", TRIANGLE[:2]), "zone a: a polygon has 3 to 1000 corners, this one 2"),
        (Zone("a", ((0, 0), (1, 0), (1, 1.5))), "zone a: a side of a corner must be a number from 0 to 1"),
        (Zone(" ", TRIANGLE), "a key must be a text"),
        (Zone("a\nb\x85", TRIANGLE), "characters that cannot be written|not valid YAML"),
        (Zone("a", TRIANGLE, ("",)), "a name must be a text"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(zone: Zone, words: str) -> None:
    with pytest.raises(MemvitError, match=words):
        check_zone(zone)


def test_corners_are_finer_than_a_pixel() -> None:
    assert rounded(Zone("a", ((1 / 3, 0.99999), (1, 0), (0, 0)))).polygon == ((0.3333, 1.0), (1, 0), (0, 0))
