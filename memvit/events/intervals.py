"""What was really there: a table of actions with their begin and end, and the events that are compared with it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.labels import read_text
from memvit.types import MemvitError

from .event import Event
from .files import read_json_lines

COLUMNS = ("stream", "action", "start_seconds", "end_seconds")
_SHORT_NAMES = {"rule": "action", "start": "start_seconds", "end": "end_seconds"}


@dataclass(frozen=True)
class Interval:
    """From when to when something was done in a stream."""

    stream_id: str
    labels: tuple[str, ...]
    """What was done, in lower case: of the truth one name; of an event its rule, and its action."""
    start_seconds: float
    end_seconds: float
    told_seconds: float | None = None
    """Of an event: centre of the clip with which it was told first; None if that is not known."""


@dataclass(frozen=True)
class Truth:
    """What somebody has noted of some streams."""

    intervals: tuple[Interval, ...]
    stream_ids: frozenset[str]
    """The streams that were looked at, also those in which nothing happened."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what was noted, in alphabetical order."""
        return tuple(sorted({interval.labels[0] for interval in self.intervals}))


def read_truth(path: str | Path) -> Truth:
    """A CSV file with the columns `stream,action,start_seconds,end_seconds`; a first line with these names may give
    another order. A row with nothing but a stream says that nothing happened there. MemvitError with the line if a row
    is malformed.
    """
    rows = list(csv.reader(io.StringIO(read_text(Path(path), "the truth"))))
    order, first = list(COLUMNS), 0
    if rows and not _is_number(rows[0][2:3]):
        names = [_SHORT_NAMES.get(name, name) for name in (cell.strip().lower() for cell in rows[0])]
        if set(COLUMNS) <= set(names):
            order, first = names, 1
        elif len(rows[0]) > 1 and any(rows[0][1:]):
            raise MemvitError(
                f"{path}:1: the columns must be {','.join(COLUMNS)}, with or without a line of their names"
            )
    intervals, streams = [], set()
    for line, row in enumerate(rows[first:], first + 1):
        cells = dict(zip(order, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        if not cells.get("stream"):
            raise MemvitError(f"{path}:{line}: this row names no stream")
        streams.add(cells["stream"])
        if not any(cells.get(name) for name in COLUMNS[1:]):
            continue
        start, end = (_seconds(cells.get(name), f"{path}:{line}", name) for name in COLUMNS[2:])
        if not cells["action"] or end < start:
            raise MemvitError(f"{path}:{line}: a row needs an action, and an end that is not before its start")
        intervals.append(Interval(cells["stream"], (cells["action"].casefold(),), start, end))
    if not streams:
        raise MemvitError(f"{path}: there are no rows in it; the columns are {','.join(COLUMNS)}")
    return Truth(tuple(intervals), frozenset(streams))


def read_events(paths: Sequence[str | Path]) -> list[Interval]:
    """The events of files that `memvit events` wrote, each as it was told last. MemvitError with the line if one is
    malformed.
    """
    records: dict[str, dict[str, Any]] = {}
    told: dict[str, float] = {}
    for path in paths:
        for line, record in read_json_lines(path):
            problem = _problem_of(record)
            if problem:
                raise MemvitError(f"{path}:{line}: {problem}; is it a file of `memvit events`?")
            if record.get("state") == "new":
                told[record["id"]] = float(record["end_seconds"])
            records[record["id"]] = record
    return [
        Interval(
            record["stream"],
            _labels(record["rule"], record.get("action")),
            float(record["start_seconds"]),
            float(record["end_seconds"]),
            told.get(name),
        )
        for name, record in records.items()
    ]


def intervals_of(events: Iterable[Event]) -> list[Interval]:
    """Events as they were told last."""
    last: dict[str, Event] = {}
    told: dict[str, float] = {}
    for event in events:
        last[event.id] = event
        told.setdefault(event.id, event.end_seconds)
    return [
        Interval(one.stream_id, _labels(one.rule, one.action), one.start_seconds, one.end_seconds, told[name])
        for name, one in last.items()
    ]


def _labels(rule: str, action: str | None) -> tuple[str, ...]:
    return tuple(name.casefold() for name in (rule, action) if name is not None)


def _problem_of(record: Any) -> str | None:
    if not isinstance(record, dict):
        return "an object is expected"
    for name in ("id", "rule", "stream"):
        if not isinstance(record.get(name), str):
            return f"`{name}` must be a text"
    if not isinstance(record.get("action"), str | None):
        return "`action` must be a text or null"
    for name in ("start_seconds", "end_seconds"):
        if isinstance(record.get(name), bool) or not isinstance(record.get(name), int | float):
            return f"`{name}` must be a number"
        if not math.isfinite(record[name]):
            return f"`{name}` must be a number"
    return None


def _is_number(cells: Sequence[str]) -> bool:
    try:
        return bool(cells) and math.isfinite(float(cells[0]))
    except ValueError:
        return False


def _seconds(text: str | None, where: str, name: str) -> float:
    if text is None or not _is_number([text]):
        raise MemvitError(f"{where}: {name} must be a number of seconds, found {text or 'nothing'}")
    return float(text)
