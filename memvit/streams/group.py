"""Reads several sources at once: one thread and one short queue for each, whose events are taken as they become ready.

If a stream cannot be opened, breaks or ends, that is an event like any other; the other streams go on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from memvit.types import MemvitError
from memvit.video.sources.source import ReadCounts, SourceInfo

CLOSE_SECONDS = 1.0
"""`ReaderGroup.close` waits at most so long for the threads of all readers."""


@dataclass(frozen=True)
class StreamOpened:
    """The source of a stream was opened."""

    stream_id: str
    info: SourceInfo


@dataclass(frozen=True)
class StreamEnded:
    """The source of a stream has ended, and all its clips were taken before this event."""

    stream_id: str
    counts: ReadCounts


@dataclass(frozen=True)
class StreamFailed:
    """The source of a stream cannot be read any further; the results so far remain valid."""

    stream_id: str
    reason: str
    """One sentence: what, where, what to do."""


Event = TypeVar("Event")
EventOut = TypeVar("EventOut", covariant=True)


class StreamReader(Generic[Event]):
    """Runs a generator of events in a thread, which waits while `queue_clips` events are in the queue.

    The last event is `StreamEnded` or `StreamFailed`. If the generator raises an error, the stream has failed.
    """

    def __init__(self, stream_id: str, read: Callable[[], Iterator[Event]], *, queue_clips: int = 2) -> None:
        self.stream_id = stream_id
        self._read_events, self._queue_clips = read, queue_clips
        self.changed = threading.Condition()
        self._ready: deque[tuple[Event | StreamFailed, float]] = deque()
        self._stopping = self.finished = False
        self._thread = threading.Thread(target=self._read, name=f"read {stream_id}", daemon=True)

    def start(self, changed: threading.Condition) -> None:
        """Start the thread; `changed` is notified of every event."""
        self.changed = changed
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its present event; queued events are discarded."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread of a stopped reader; whether it has ended."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def take(self) -> Event | StreamFailed | None:
        """The next event, if one is ready. The caller holds `changed`."""
        if not self._ready:
            return None
        event, _ = self._ready.popleft()
        self.finished = isinstance(event, StreamEnded | StreamFailed)
        self.changed.notify_all()
        return event

    def poll(self) -> None:
        """Do nothing: this reader neither reconnects nor watches for silence."""

    @property
    def waiting_since(self) -> float | None:
        """`time.monotonic()` when the next event became ready; None if there is none."""
        return self._ready[0][1] if self._ready else None

    def _put(self, event: Event | StreamFailed) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self._stopping or len(self._ready) < self._queue_clips)
            if not self._stopping:
                self._ready.append((event, time.monotonic()))
                self.changed.notify_all()
            return not self._stopping

    def _read(self) -> None:
        try:
            with closing(self._read_events()) as events:  # type: ignore[type-var]
                for event in events:
                    if not self._put(event):
                        return
        except MemvitError as error:
            self._put(StreamFailed(self.stream_id, str(error)))
        except Exception as error:  # without an event, the main thread would wait for ever
            self._put(StreamFailed(self.stream_id, f"{self.stream_id}: reading failed unexpectedly ({error!r})"))


class Reader(Protocol[EventOut]):
    """What a group needs of a reader. `take` and `poll` are called with the condition held."""

    stream_id: str
    finished: bool
    """Whether its last event was taken."""

    def start(self, changed: threading.Condition) -> None:
        """Begin to read; `changed` is notified of every event."""

    def stop(self) -> None:
        """Stop reading, without waiting."""

    def join(self, timeout_seconds: float) -> bool:
        """Wait until a stopped reader runs no more; whether it has come to that."""

    def take(self) -> EventOut | StreamFailed | None:
        """The next event, if one is ready."""

    def poll(self) -> None:
        """Reconnect or report silence if it is time to; called several times per second."""

    @property
    def waiting_since(self) -> float | None:
        """`time.monotonic()` when the next event became ready; None if there is none."""


class ReaderGroup(Generic[Event]):
    """Readers that can be added and removed at any time, each with its own thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: dict[str, Reader[Event]] = {}
        self._stopped: list[Reader[Event]] = []
        self._served_at: dict[str, float] = {}
        self._is_woken = False

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: Reader[Event]) -> None:
        """Add a reader and start it."""
        with self._changed:
            self._readers[reader.stream_id] = reader
        reader.start(self._changed)

    def remove(self, stream_id: str) -> None:
        """Stop a reader and remove it; nothing happens if there is no such reader."""
        with self._changed:
            reader = self._readers.pop(stream_id, None)
            self._served_at.pop(stream_id, None)
        if reader is not None:
            reader.stop()
            self._stopped = [stopped for stopped in (*self._stopped, reader) if not stopped.join(0.0)]

    def wake(self) -> None:
        """Let the present or next call of `ready` return at once, even if no event is ready."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def ready(self, timeout_seconds: float, max_events: int | None = None) -> list[Event | StreamFailed]:
        """At most one event of each reader, as soon as any is ready; empty after the time-out.

        Where more than `max_events` are ready, those come first that have waited longest since their stream's last
        turn: a stream with many events never holds up another. A reader whose last event was taken is forgotten.
        """
        events: list[Event | StreamFailed] = []

        def collect() -> bool:
            for reader in self._readers.values():
                reader.poll()
            turns = [
                (max(since, self._served_at.get(name, 0.0)), name)
                for name, reader in self._readers.items()
                if (since := reader.waiting_since) is not None
            ]
            for _, name in sorted(turns)[:max_events]:
                if (event := self._readers[name].take()) is not None:
                    self._served_at[name] = time.monotonic()
                    events.append(event)
            return bool(events) or self._is_woken

        with self._changed:
            self._changed.wait_for(collect, timeout=timeout_seconds)
            self._is_woken = False
            for name in [name for name, reader in self._readers.items() if reader.finished]:
                del self._readers[name]
                self._served_at.pop(name, None)
        return events

    def close(self) -> None:
        """Stop all readers, and wait a while for their threads.

        A thread that still computes when Python ends makes the whole process abort. One that waits in FFmpeg does not.
        """
        for stream_id in list(self._readers):
            self.remove(stream_id)
        deadline = time.monotonic() + CLOSE_SECONDS
        for reader in self._stopped:
            reader.join(max(0.0, deadline - time.monotonic()))
        self._stopped.clear()
