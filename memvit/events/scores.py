"""What the rules of events read of a clip: who was where, and the score of each action.

Results of a running model and lines of a file of results give equal values, since both are rounded in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from memvit.labels import Labels
from memvit.results.result import Result
from memvit.results.wall_clock import unix_of

Box: TypeAlias = tuple[float, float, float, float]
"""(x1, y1, x2, y2), normalised to 0..1 of the upright frame."""
MAX_PEOPLE = 10_000
"""A line of results with more people than this is refused."""


class Action(NamedTuple):
    """A class of the model, by the id and the name that outputs give it."""

    id: int
    name: str


@dataclass(frozen=True)
class PersonScores:
    """One person of a clip, or the whole clip of a clip classifier."""

    number: int | None
    """The person's number in the stream; None for a box that is no person yet, or if nobody tracks."""
    box: Box | None
    """None for the whole clip of a clip classifier."""
    scores: Mapping[Action, float]
    """Score of each action; an action that is missing has score 0."""


@dataclass(frozen=True)
class ClipScores:
    """One clip of one stream."""

    stream_id: str
    clip_index: int
    seconds: float
    """Centre of the clip, in seconds of the source."""
    people: tuple[PersonScores, ...] = ()
    session: int = 0
    """Person numbers begin again with each session of a stream."""
    unix_seconds: float | None = None
    """Unix time of the centre; None where the wall-clock time is not known."""


@lru_cache(maxsize=16)
def actions_of(labels: Labels) -> tuple[Action, ...]:
    """The actions of a model, in the order of its scores."""
    return tuple(Action(index + labels.first_id, name) for index, name in enumerate(labels.names))


def clip_of_result(result: Result, labels: Labels) -> ClipScores:
    """A result as the rules read it, rounded as JSON Lines are."""
    actions = actions_of(labels)
    rows = [dict(zip(actions, [round(score, 4) for score in row.tolist()], strict=True)) for row in result.scores]
    if result.boxes is None:
        people = [PersonScores(None, None, row) for row in rows]
    else:
        persons = [None] * len(rows) if result.boxes.persons is None else result.boxes.persons.tolist()
        people = [
            PersonScores(_number(person), _box(box.tolist()), row)
            for person, box, row in zip(persons, result.boxes.xyxy, rows, strict=True)
        ]
    return ClipScores(
        result.stream_id,
        result.clip_index,
        round(result.centre_seconds, 3),
        tuple(people),
        result.session,
        result.centre_unix,
    )


def clip_of_record(record: Any) -> ClipScores:
    """A line of JSON Lines, read by `json.loads`, as the rules read it. ValueError that says what is wrong with it."""
    if not isinstance(record, dict) or not isinstance(record.get("stream"), str):
        raise ValueError("an object with a `stream` is expected, as `memvit watch` writes it")
    if "people" in record:
        people = record["people"]
        if not isinstance(people, list) or len(people) > MAX_PEOPLE:
            raise ValueError(f"`people` must be a list of at most {MAX_PEOPLE} people")
        found = [_person(person) for person in people]
    elif "actions" in record:
        found = [PersonScores(None, None, _scores(record["actions"]))]
    else:
        raise ValueError("there are neither `people` nor `actions`")
    time = record.get("time")
    if time is not None and not isinstance(time, str):
        raise ValueError("`time` must be a time such as 2026-05-01T12:00:00.000Z")
    return ClipScores(
        record["stream"],
        int(_finite(record.get("clip", 0), "clip")),
        _finite(record.get("seconds"), "seconds"),
        tuple(found),
        int(_finite(record.get("session", 0), "session")),
        unix_of(time) if time is not None else None,
    )


def _number(person: int | None) -> int | None:
    return person if person is not None and person >= 0 else None


def _box(sides: list[float]) -> Box:
    left, top, right, bottom = (round(float(side), 4) for side in sides)
    return left, top, right, bottom


def _person(person: Any) -> PersonScores:
    if not isinstance(person, dict):
        raise ValueError("each of `people` must be an object")
    number = person.get("person")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise ValueError("`person` must be a whole number or null")
    box = person.get("box")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("`box` must be a list of four numbers")
    return PersonScores(_number(number), _box([_finite(side, "box") for side in box]), _scores(person.get("actions")))


def _scores(actions: Any) -> dict[Action, float]:
    if not isinstance(actions, list):
        raise ValueError("`actions` must be a list")
    found = {}
    for action in actions:
        if not isinstance(action, dict) or not isinstance(action.get("name"), str):
            raise ValueError("each of `actions` must be an object with `id`, `name` and `score`")
        found[Action(int(_finite(action.get("id"), "id")), action["name"])] = _finite(action.get("score"), "score")
    return found


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a number")
    return float(value)
