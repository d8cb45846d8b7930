"""Rules: which clips count for an event, for how long they must, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .scores import Action, Box

EDGE = 1e-9
"""A point so near to an edge of a polygon lies on it, and so inside."""


@dataclass(frozen=True)
class Zone:
    """A part of the picture of some streams."""

    name: str
    polygon: tuple[tuple[float, float], ...]
    """Corners (x, y) in 0..1 of the upright frame; the last is joined to the first."""
    streams: tuple[str, ...] = ()
    """Shell patterns of stream names; empty for all streams."""

    def applies_to(self, stream_id: str) -> bool:
        """Whether the stream has this zone."""
        return not self.streams or any(fnmatchcase(stream_id, pattern) for pattern in self.streams)

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies inside, by the even-odd rule; a point on an edge does."""
        is_inside = False
        for (x1, y1), (x2, y2) in zip(self.polygon, (*self.polygon[1:], self.polygon[0]), strict=True):
            cross = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
            is_between = min(x1, x2) - EDGE <= x <= max(x1, x2) + EDGE and min(y1, y2) - EDGE <= y <= max(y1, y2) + EDGE
            if abs(cross) <= EDGE and is_between:
                return True
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                is_inside = not is_inside
        return is_inside


@dataclass(frozen=True)
class Rule:
    """What makes an event; the fields are the keys of the rules file."""

    name: str
    actions: tuple[str | int, ...] = ()
    """Names, in any letter case, or ids; the largest score of these counts."""
    start_score: float = 0.5
    """An event begins with the first clip at or above this score."""
    keep_score: float | None = None
    """It goes on while clips are at or above this score; None for `start_score`."""
    min_seconds: float = 0.0
    """Shorter ones never become events; from the centre of the first clip that counts to that of the last."""
    merge_seconds: float = 0.0
    """An event ends when the last clip that counts is more than this and one hop ago."""
    streams: tuple[str, ...] = ()
    """Shell patterns of stream names; empty for all streams."""
    zones: tuple[Zone, ...] = ()
    """Clips count only while the person's foot point is in one of these; each zone has its own events. Empty for the
    whole picture."""
    min_people: int = 1
    """Clips count only while so many people, whatever they do, are in the zone at once."""
    dwell_seconds: float = 0.0
    """To be there for so long is an event too, without any action; 0 for never."""

    @property
    def lowest_score(self) -> float:
        """The score from which clips count once the event has begun."""
        return self.start_score if self.keep_score is None else self.keep_score

    def applies_to(self, stream_id: str) -> bool:
        """Whether the rule holds for a stream."""
        return not self.streams or any(fnmatchcase(stream_id, pattern) for pattern in self.streams)

    def names(self, action: Action) -> bool:
        """Whether the rule is about this action."""
        return any(
            action.id == wanted if isinstance(wanted, int) else action.name.casefold() == wanted.casefold()
            for wanted in self.actions
        )

    def zones_of(self, stream_id: str) -> list[Zone | None]:
        """The zones in which to look for events of a stream; None is the whole picture."""
        return [zone for zone in self.zones if zone.applies_to(stream_id)] if self.zones else [None]


@dataclass(frozen=True)
class Rules:
    """All rules of a file."""

    rules: tuple[Rule, ...] = ()
    zones: tuple[Zone, ...] = field(default=())
    """All zones of the file, in its order, also those that no rule uses."""

    def of_stream(self, stream_id: str) -> list[Rule]:
        """The rules that hold for a stream."""
        return [rule for rule in self.rules if rule.applies_to(stream_id)]


def foot_point(box: Box) -> tuple[float, float]:
    """The middle of the box's lower edge, where a person stands, inside the frame."""
    x, y = (box[0] + box[2]) / 2, box[3]
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
