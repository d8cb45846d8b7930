"""The events of a worker's streams: found where results are made, so that their state fits the memory that is saved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memvit.events.detect import EventRules
from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.events.scores import clip_of_result
from memvit.labels import Labels
from memvit.streams.events import ReaderStatus, SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.streams.watcher import ClipResult, StreamEvent
from pipelines.record.options import RecordOptions

from .resume import ResumeState

log = logging.getLogger("memvit.serve")


@dataclass(frozen=True)
class EventSettings:
    """Rules, and the names of the classes that they are about."""

    rules: Rules
    labels: Labels
    record: RecordOptions | None = None
    """How events are recorded; None records nothing."""


class WorkerEvents:
    """Only the thread of the engine calls it. Without settings there are no events."""

    def __init__(self, settings: EventSettings | None, hop_seconds: float) -> None:
        self._settings = settings
        self._events = EventRules(settings.rules, hop_seconds) if settings is not None else None

    def begin(self, stream_id: str, resume_state: ResumeState | None) -> None:
        """A stream begins, or goes on from where an earlier run left it."""
        if self._events is None or resume_state is None:
            return
        stream = self._events.stream(stream_id)
        stream.run = resume_state.run
        if resume_state.events is not None:
            try:
                stream.restore(resume_state.events)
            except ValueError as error:
                log.warning("the events of stream %s begin anew: %s", stream_id, error)

    def with_consequences(
        self, events: Sequence[StreamEvent], status: Callable[[str], ReaderStatus]
    ) -> list[StreamEvent | Event]:
        """What has happened, each time followed by the events of the rules that follow from it. `status` gives the
        present status of a stream.
        """
        told: list[StreamEvent | Event] = []
        for event in events:
            told.append(event)
            if self._events is not None:
                told += self._after(event, status)
        return told

    def _after(self, event: StreamEvent, status: Callable[[str], ReaderStatus]) -> list[Event]:
        assert self._events is not None and self._settings is not None
        stream = self._events.stream(event.stream_id)
        if isinstance(event, ClipResult) and self._settings.rules.rules:
            return stream.add(clip_of_result(event.result, self._settings.labels))
        if isinstance(event, StreamStalled | StreamLost):
            now = status(event.stream_id)
            return stream.advance(now.position_seconds + now.silent_seconds) if now.position_seconds is not None else []
        if isinstance(event, SessionBegan | StreamEnded | StreamFailed):
            return stream.finish()
        return []

    def change(self, settings: EventSettings) -> list[Event]:
        """Other rules. Without settings from the start, there are no events for good."""
        if self._events is None:
            return []
        self._settings = settings
        return self._events.change_rules(settings.rules)

    def open_ids(self, stream_id: str) -> list[str]:
        """Ids of the events of a stream that go on."""
        return self._events.stream(stream_id).open_ids if self._events is not None else []

    def end(self, stream_id: str) -> list[Event]:
        """A stream is removed: its events end, and it is forgotten."""
        return self._events.end(stream_id) if self._events is not None else []

    def saved(self, stream_id: str) -> tuple[str, dict[str, object] | None]:
        """`run` and `events` of a stream's resume state."""
        if self._events is None:
            return "", None
        stream = self._events.stream(stream_id)
        return stream.run, stream.state()
