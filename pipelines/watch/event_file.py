"""The events of all sources that are watched: found as results come, and written to one file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from memvit.events.detect import EventRules
from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.events.scores import clip_of_result
from memvit.labels import Labels
from memvit.results.text_file import TextFileWriter
from memvit.streams.events import SessionBegan
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import MemvitError

NAME = "events"
"""Stem of the file's name; no source may have it."""


class EventFile:
    """Pass it all that happens to the streams; a line is on disk as soon as an event is told."""

    def __init__(
        self,
        folder: Path,
        rules: Rules,
        labels: Labels,
        hop_seconds: float,
        *,
        is_live: bool,
        on_told: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """MemvitError if the file cannot be created. `is_live`: another run sees other things, so its events must not
        have the same ids.
        """
        self._writer = TextFileWriter(folder / f"{NAME}.jsonl")
        self._events = EventRules(rules, hop_seconds, run=f"{time.time():.3f}" if is_live else "")
        self._labels, self._on_told = labels, on_told

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    def add(self, event: StreamEvent) -> None:
        """MemvitError if the file cannot be written."""
        if isinstance(event, ClipResult):
            clip = clip_of_result(event.result, self._labels)
            self._tell(self._events.stream(event.stream_id).add(clip))
        elif isinstance(event, SessionBegan | StreamEnded | StreamFailed):
            self._tell(self._events.end(event.stream_id))

    def close(self) -> None:
        """End the events that go on, and finish the file. MemvitError if it cannot be written."""
        try:
            self._tell(self._events.end_all())
        finally:
            self._writer.close()

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._writer.line(event.to_json())
            self._on_told(event)


def check_names(stream_ids: list[str]) -> None:
    """MemvitError if the results of a stream would be written to the file of events."""
    if NAME in stream_ids:
        raise MemvitError(f"a source called {NAME} would be written to {NAME}.jsonl, the file of events; rename it")
