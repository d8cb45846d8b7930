"""An event, and its form in JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from memvit.results.wall_clock import utc_text

from .scores import Box

EventState = Literal["new", "update", "end"]


@dataclass(frozen=True)
class Event:
    """What is known of an event at one of its clips. The same event is told again with each clip that counts."""

    id: str
    """The same over updates and restarts."""
    rule: str
    stream_id: str
    person: int | None
    """None where the person has no number, or the whole picture is meant."""
    action: str | None
    """Name of the action with the highest score; None for an event that needed none."""
    state: EventState
    """`new` once it is long enough, `update` with each further clip that counts, `end` once."""
    start_seconds: float
    """Centre of the first clip that counted."""
    end_seconds: float
    """Centre of the last clip that counted so far."""
    start_unix: float | None
    """Unix time of `start_seconds`; None where it is not known."""
    end_unix: float | None
    peak_score: float | None
    """Highest score; None for an event that needed no action."""
    mean_score: float | None
    """Mean score of the clips that counted."""
    zone: str | None
    number: int
    """1, 2, 3, … for each time that the event is told: with the id, a key to recognise what was told before."""
    peak_seconds: float
    """Centre of the clip with the highest score."""
    peak_box: Box | None
    """Where the person was then."""

    def to_record(self) -> dict[str, Any]:
        """The object that is written as JSON, with times of day in UTC."""
        return {
            "id": self.id,
            "rule": self.rule,
            "stream": self.stream_id,
            "person": self.person,
            "action": self.action,
            "state": self.state,
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "start_time": None if self.start_unix is None else utc_text(self.start_unix),
            "end_time": None if self.end_unix is None else utc_text(self.end_unix),
            "peak_score": None if self.peak_score is None else round(self.peak_score, 4),
            "mean_score": None if self.mean_score is None else round(self.mean_score, 4),
            "zone": self.zone,
            "number": self.number,
            "peak_seconds": round(self.peak_seconds, 3),
            "peak_box": None if self.peak_box is None else list(self.peak_box),
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_record(), ensure_ascii=False, allow_nan=False)


def event_id(*parts: str | float | None) -> str:
    """16 hexadecimal digits that depend on the parts alone, so that the same event always has the same id."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
