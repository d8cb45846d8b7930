"""What was seen in a stream, as one line for each person: "person 2: walk 0:02–0:08, stand 0:09"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from memvit.labels import Labels
from memvit.results.persons import person_name
from memvit.results.result import Result
from memvit.types import NO_PERSON

MIN_SCORE = 0.5
"""An action counts as seen in a clip if its score is at least this."""
MAX_PEOPLE = 8
"""The largest number of lines for a stream: the people who were seen longest."""
MAX_REMEMBERED_PEOPLE = 256
"""If there are more than twice as many people, those seen shortest are forgotten."""
MAX_SPANS = 64
"""The largest number of spans of one action of one person; the oldest are dropped, so that memory stays bounded."""


@dataclass
class Span:
    """Consecutive clips, from the centre of the first to the centre of the last, in seconds."""

    first_seconds: float
    last_seconds: float
    clips: int = 1


@dataclass
class _Person:
    session: int
    """The session of the stream: the next one begins with person 1 again."""
    number: int
    clips: int = 0
    last_clip: int = -1
    """The number of the clip in which the person was last seen, counted from 1, with missing clips."""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    """Spans of each class."""
    latest: dict[int, int] = field(default_factory=dict)
    """For each class, the number of the clip with which its last span ends."""
    best: tuple[float, int, float] = (-1.0, 0, 0.0)
    """Highest score, its class and its time in seconds; shown if no action reaches the minimum score."""


class Seen:
    """Collects the results of one stream, in order. Boxes that are no person are left out."""

    def __init__(self, min_score: float = MIN_SCORE) -> None:
        self._min_score = min_score
        self._people: dict[tuple[int, int], _Person] = {}
        self._count = 0
        self._clips = 0
        self._has_people = True

    def add(self, result: Result) -> None:
        """Add one result."""
        self._clips += 1 + result.missed_clips
        self._has_people = result.boxes is not None
        for number, scores in zip(_numbers(result), result.scores, strict=True):
            if number == NO_PERSON:
                continue
            if (key := (result.session, number)) not in self._people:
                self._people[key] = _Person(*key)
                self._count += 1
            person = self._people[key]
            person.clips += 1
            person.last_clip = self._clips
            best = int(scores.argmax())
            person.best = max(person.best, (float(scores[best]), best, result.centre_seconds))
            for action in (scores >= self._min_score).nonzero()[0].tolist():
                self._extend(person, action, result.centre_seconds)
        if len(self._people) > 2 * MAX_REMEMBERED_PEOPLE:
            longest = sorted(self._people.values(), key=lambda one: (-(one.last_clip == self._clips), -one.clips))
            self._people = {(one.session, one.number): one for one in longest[:MAX_REMEMBERED_PEOPLE]}

    def _extend(self, person: _Person, action: int, seconds: float) -> None:
        spans = person.spans.setdefault(action, [])
        if spans and person.latest[action] == self._clips - 1:
            spans[-1].last_seconds = seconds
            spans[-1].clips += 1
        else:
            spans.append(Span(seconds, seconds))
            del spans[:-MAX_SPANS]
        person.latest[action] = self._clips

    def lines(self, labels: Labels, width: int = 80) -> list[str]:
        """One line for each of the people seen longest, of at most `width` characters where one action fits."""
        if not self._people:
            return ["nobody was seen"] if self._clips else []
        longest = sorted(self._people.values(), key=lambda person: (-person.clips, person.session, person.number))
        shown = sorted(longest[:MAX_PEOPLE], key=lambda person: (person.session, person.number))
        lines = []
        for person in shown:
            title = person_name(person.number, person.session) if self._has_people else "the whole picture"
            lines.append(_joined(f"{title}: ", self._actions(person, labels), width))
        if len(longest) > MAX_PEOPLE:
            lines.append(f"and {self._count - MAX_PEOPLE} more people, seen for shorter")
        return lines

    def _actions(self, person: _Person, labels: Labels) -> Iterable[str]:
        if not person.spans:
            score, action, seconds = person.best
            name, at = labels.names[action], short_clock(seconds)
            return [f"no action scored {self._min_score:g} (highest: {name} {score:.2f} at {at})"]
        order = sorted(person.spans, key=lambda action: (-sum(span.clips for span in person.spans[action]), action))
        return [
            f"{labels.names[action] if not place else ''} {_times(span)}".lstrip()
            for action in order
            for place, span in enumerate(sorted(person.spans[action], key=lambda span: span.first_seconds))
        ]


def _numbers(result: Result) -> list[int]:
    """The number of each row of scores: that of a person, or 0 for the whole picture."""
    if result.boxes is None:
        return [0]
    if result.boxes.persons is None:
        return [NO_PERSON] * len(result.boxes)
    return result.boxes.persons.tolist()


def short_clock(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _times(span: Span) -> str:
    first, last = short_clock(span.first_seconds), short_clock(span.last_seconds)
    return first if first == last else f"{first}–{last}"


def _joined(title: str, parts: Iterable[str], width: int) -> str:
    """The title and as many parts as fit, but at least one; an ellipsis shows that there are more."""
    parts = list(parts)
    text = title + parts[0]
    for place, part in enumerate(parts[1:], 2):
        longer = f"{text}, {part}"
        if len(longer) + (len(", …") if place < len(parts) else 0) > width:
            return text + ", …"
        text = longer
    return text
