"""Events of an actor's streams that wait until the server fetches them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from memvit.streams.watcher import ClipResult

from .handle import WorkerEvent

MAX_BUFFERED_EVENTS = 4096
"""Bound of an `EventBuffer`: a minute of 64 streams with a result a second, when the server does not fetch them."""


class EventBuffer:
    """A bounded buffer: a server that is slow or gone costs an actor a few MB, not all of its memory.

    Of each stream only the newest result holds preview frames, since the server shows no others. Where the buffer is
    full, the oldest result is dropped; an event that is no result is dropped only where there are no results.
    """

    def __init__(self, max_events: int = MAX_BUFFERED_EVENTS) -> None:
        self._max_events = max_events
        self._events: deque[WorkerEvent] = deque()
        self._changed = threading.Condition()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, events: Iterable[WorkerEvent]) -> None:
        """Add events, without the images that only the model needed."""
        with self._changed:
            for event in events:
                if isinstance(event, ClipResult):
                    event = event.without_images()
                    if event.clip.preview:
                        self._drop_preview(event.stream_id)
                self._events.append(event)
                if len(self._events) > self._max_events:
                    results = (index for index, one in enumerate(self._events) if isinstance(one, ClipResult))
                    del self._events[next(results, 0)]
                    self._dropped += 1
            self._changed.notify_all()

    def take(self, timeout_seconds: float) -> tuple[list[WorkerEvent], int]:
        """All events, and how many were dropped since the last call; waits for the first event at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._events, timeout_seconds)
            taken, dropped = list(self._events), self._dropped
            self._events.clear()
            self._dropped = 0
        return taken, dropped

    def discard(self, stream_id: str) -> None:
        """Forget the events of a stream that was removed: the next stream may have the same id."""
        with self._changed:
            self._events = deque(event for event in self._events if event.stream_id != stream_id)

    def _drop_preview(self, stream_id: str) -> None:
        for index in range(len(self._events) - 1, -1, -1):
            event = self._events[index]
            if event.stream_id == stream_id and isinstance(event, ClipResult):
                self._events[index] = replace(event, clip=replace(event.clip, preview=()))
                return
