"""From clips to events: what a stream has done so far, and what another clip of it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from .event import Event, EventState, event_id
from .rules import Rule, Rules, Zone, foot_point
from .scores import Action, Box, ClipScores, PersonScores

TIME_TOLERANCE_SECONDS = 0.0015
"""Times in files of results are rounded to milliseconds, so a difference of two may be wrong by one."""
STATE_FORMAT = 1


class _Key(NamedTuple):
    """What an event is of: at most one event of a key is open at a time."""

    rule: str
    zone: str | None
    kind: Literal["action", "dwell"]
    person: int | None


class _Score(NamedTuple):
    """How a person does in one clip by one rule."""

    score: float | None
    """None where being there is enough."""
    action: str | None
    box: Box | None


@dataclass
class _Open:
    """An event that has begun and not ended; it has not been told yet while it is too short."""

    id: str
    start_seconds: float
    start_unix: float | None
    last_seconds: float
    last_unix: float | None
    clips: int
    total_score: float
    peak_score: float | None
    peak_action: str | None
    peak_seconds: float
    peak_box: Box | None
    told: int = 0
    """How often it was told."""

    def add(self, clip: ClipScores, found: _Score) -> None:
        """Another clip that counts."""
        self.last_seconds, self.last_unix = clip.seconds, clip.unix_seconds
        self.clips += 1
        self.total_score += found.score or 0.0
        if found.score is not None and (self.peak_score is None or found.score > self.peak_score):
            self.peak_score, self.peak_action = found.score, found.action
            self.peak_seconds, self.peak_box = clip.seconds, found.box


class StreamEvents:
    """The events of one stream. Pass it every clip in order; the same clips always give the same events."""

    def __init__(self, rules: Rules, stream_id: str, hop_seconds: float, run: str = "") -> None:
        """`hop_seconds`: from clip to clip. `run` is part of every id: give another one where the same stream begins
        again, so that its events are not taken for those of before.
        """
        self.stream_id, self.hop_seconds, self.run = stream_id, hop_seconds, run
        self._session, self._last_seconds = 0, float("-inf")
        self._open: dict[_Key, _Open] = {}
        self._use(rules)

    def change_rules(self, rules: Rules) -> list[Event]:
        """Other rules from the next clip on. The events whose rule or zone is gone end; the others go on."""
        self._use(rules)
        return self.advance(float("-inf"))

    def _use(self, rules: Rules) -> None:
        self._places: list[tuple[Rule, Zone | None]] = []
        for rule in rules.of_stream(self.stream_id):
            self._places += [(rule, zone) for zone in rule.zones_of(self.stream_id)]
        self._rules = {rule.name: rule for rule, _ in self._places}
        self._matching: dict[str, set[Action]] = {name: set() for name in self._rules}
        self._known: set[Action] = set()

    def add(self, clip: ClipScores) -> list[Event]:
        """What a clip changes: events that end, begin, or go on, in this order. A new session, or a time that does not
        come after the last one, ends every event first: person numbers begin again there.
        """
        events = []
        if clip.session != self._session or clip.seconds <= self._last_seconds:
            events += self.finish()
        self._session, self._last_seconds = clip.session, clip.seconds
        events += self.advance(clip.seconds)
        for key, found in self._scored(clip):
            events += self._count(key, clip, found)
        return events

    def advance(self, seconds: float) -> list[Event]:
        """The events that end because this time has come, of which nothing that counts was seen for too long."""
        due = [key for key, event in self._open.items() if self._is_over(key, event, seconds)]
        return [ended for key in due for ended in self._end(key)]

    def finish(self) -> list[Event]:
        """End every event, because the stream has ended."""
        return [ended for key in list(self._open) for ended in self._end(key)]

    @property
    def open_ids(self) -> list[str]:
        """Ids of the events that have begun and not ended."""
        return [event.id for event in self._open.values()]

    def state(self) -> dict[str, Any]:
        """All that must be kept over a restart, as a value that can be written as JSON."""
        events = [{"key": list(key), **asdict(event)} for key, event in self._open.items()]
        return {
            "format": STATE_FORMAT,
            "run": self.run,
            "session": self._session,
            "last_seconds": None if self._last_seconds == float("-inf") else self._last_seconds,
            "open": events,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state. ValueError if it is not one of `state`."""
        try:
            if state["format"] != STATE_FORMAT:
                raise ValueError("it was written by another version")
            opened = {}
            for saved in state["open"]:
                values = dict(saved)
                rule, zone, kind, person = values.pop("key")
                values["peak_box"] = None if values["peak_box"] is None else tuple(values["peak_box"])
                opened[_Key(rule, zone, kind, person)] = _Open(**values)
            last = state["last_seconds"]
            run, session = str(state["run"]), int(state["session"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no state of events ({error})") from error
        self.run, self._session, self._open = run, session, opened
        self._last_seconds = float("-inf") if last is None else float(last)

    def _is_over(self, key: _Key, event: _Open, seconds: float) -> bool:
        rule = self._rules.get(key.rule)
        if rule is None or key.zone not in [zone and zone.name for place, zone in self._places if place is rule]:
            return True
        return seconds - event.last_seconds > rule.merge_seconds + self.hop_seconds + TIME_TOLERANCE_SECONDS

    def _scored(self, clip: ClipScores) -> Iterator[tuple[_Key, _Score]]:
        """How each person of the clip does by each rule, where the rule may count the clip at all."""
        self._learn(clip)
        for rule, zone in self._places:
            inside = [person for person in clip.people if _is_inside(person, zone)]
            if len(inside) < rule.min_people:
                continue
            best: dict[_Key, _Score] = {}
            for person in inside:
                zone_name = None if zone is None else zone.name
                if rule.dwell_seconds:
                    best.setdefault(_Key(rule.name, zone_name, "dwell", person.number), _Score(None, None, person.box))
                if rule.actions:
                    key = _Key(rule.name, zone_name, "action", person.number)
                    found = self._action_score(rule, person)
                    if key not in best or found.score > best[key].score:  # type: ignore[operator]  # both have scores
                        best[key] = found
            yield from best.items()

    def _learn(self, clip: ClipScores) -> None:
        """Find out which rules are about actions that were not seen before."""
        for person in clip.people:
            for action in person.scores.keys() - self._known:
                self._known.add(action)
                for name, rule in self._rules.items():
                    if rule.names(action):
                        self._matching[name].add(action)

    def _action_score(self, rule: Rule, person: PersonScores) -> _Score:
        """The largest score of the rule's actions; of equal scores that of the smallest id."""
        found = [
            (person.scores[action], -action.id, action.name)
            for action in self._matching[rule.name]
            if action in person.scores
        ]
        if not found:
            return _Score(0.0, None, person.box)
        score, _, name = max(found)
        return _Score(score, name, person.box)

    def _count(self, key: _Key, clip: ClipScores, found: _Score) -> list[Event]:
        """Let a clip count for an event, or begin one, if its score is high enough."""
        rule, event = self._rules[key.rule], self._open.get(key)
        needed = rule.start_score if event is None else rule.lowest_score
        if found.score is not None and found.score < needed:
            return []
        if event is None:
            event = self._open[key] = _Open(
                event_id(self.run, self.stream_id, self._session, *key, clip.seconds),
                clip.seconds,
                clip.unix_seconds,
                clip.seconds,
                clip.unix_seconds,
                clips=0,
                total_score=0.0,
                peak_score=None,
                peak_action=None,
                peak_seconds=clip.seconds,
                peak_box=found.box,
            )
        event.add(clip, found)
        least = max(rule.min_seconds, rule.dwell_seconds if key.kind == "dwell" else 0.0)
        if event.last_seconds - event.start_seconds < least - TIME_TOLERANCE_SECONDS:
            return []
        return [self._tell(key, event, "update" if event.told else "new")]

    def _end(self, key: _Key) -> list[Event]:
        event = self._open.pop(key)
        return [self._tell(key, event, "end")] if event.told else []

    def _tell(self, key: _Key, event: _Open, state: EventState) -> Event:
        event.told += 1
        return Event(
            event.id,
            key.rule,
            self.stream_id,
            key.person,
            event.peak_action,
            state,
            event.start_seconds,
            event.last_seconds,
            event.start_unix,
            event.last_unix,
            event.peak_score,
            None if event.peak_score is None else event.total_score / event.clips,
            key.zone,
            event.told,
            event.peak_seconds,
            event.peak_box,
        )


class EventRules:
    """The events of many streams by the same rules, for a program that watches them."""

    def __init__(self, rules: Rules, hop_seconds: float, run: str = "") -> None:
        """`run` as in `StreamEvents`, for streams that begin."""
        self.rules, self._hop_seconds, self._run = rules, hop_seconds, run
        self._streams: dict[str, StreamEvents] = {}

    def stream(self, stream_id: str) -> StreamEvents:
        """The events of a stream, which begin when it is named first."""
        if stream_id not in self._streams:
            self._streams[stream_id] = StreamEvents(self.rules, stream_id, self._hop_seconds, self._run)
        return self._streams[stream_id]

    def end(self, stream_id: str) -> list[Event]:
        """End every event of a stream and forget it."""
        found = self._streams.pop(stream_id, None)
        return found.finish() if found is not None else []

    def end_all(self) -> list[Event]:
        """End every event of every stream."""
        return [event for stream_id in list(self._streams) for event in self.end(stream_id)]

    def change_rules(self, rules: Rules) -> list[Event]:
        """Other rules for every stream, from its next clip on; the events whose rule or zone is gone end."""
        self.rules = rules
        return [event for stream in self._streams.values() for event in stream.change_rules(rules)]


def _is_inside(person: PersonScores, zone: Zone | None) -> bool:
    if zone is None:
        return True
    return person.box is not None and zone.contains(*foot_point(person.box))
