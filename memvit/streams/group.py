"""Reading several sources at once: a thread a source, a short queue each, clips handed out as they become ready.

A stream that cannot be opened, or breaks, or ends is an event like any other; the other streams go on.
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


@dataclass(frozen=True)
class StreamOpened:
    """A source was opened."""

    stream_id: str
    info: SourceInfo


@dataclass(frozen=True)
class StreamEnded:
    """A source came to its end; nothing of it is outstanding."""

    stream_id: str
    counts: ReadCounts


@dataclass(frozen=True)
class StreamFailed:
    """A source cannot be read any further; what came before it stands."""

    stream_id: str
    reason: str
    """One sentence: what, where, what to do."""


Event = TypeVar("Event")
Given = TypeVar("Given", covariant=True)


class StreamReader(Generic[Event]):
    """Runs a generator of events in a thread and keeps at most `queue_clips` ready; a full queue makes it wait.

    The last event says that the stream ended or failed; a generator that raises has failed.
    """

    def __init__(self, stream_id: str, read: Callable[[], Iterator[Event]], *, queue_clips: int = 2) -> None:
        self.stream_id = stream_id
        self._read_events, self._queue_clips = read, queue_clips
        self.changed = threading.Condition()
        self._ready: deque[tuple[Event | StreamFailed, float]] = deque()
        self._stopping = self.finished = False
        self._thread = threading.Thread(target=self._read, name=f"read {stream_id}", daemon=True)

    def start(self, changed: threading.Condition) -> None:
        """Begin to read; `changed` is notified of every event."""
        self.changed = changed
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the event at hand; what is queued is given up."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()

    def take(self) -> Event | StreamFailed | None:
        """The next event, if one is ready. The caller holds `changed`."""
        if not self._ready:
            return None
        event, _ = self._ready.popleft()
        self.finished = isinstance(event, StreamEnded | StreamFailed)
        self.changed.notify_all()
        return event

    def poll(self) -> None:
        """Nothing to look after: this reader reads once."""

    @property
    def waiting_since(self) -> float | None:
        """When the event at hand became ready; None if there is none."""
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
        except Exception as error:  # a reader must never die in silence: the main thread would wait for ever
            self._put(StreamFailed(self.stream_id, f"{self.stream_id}: reading failed unexpectedly ({error!r})"))


class Reader(Protocol[Given]):
    """What a group needs of a reader. All but `start` and `stop` is called by the holder of the group's condition."""

    stream_id: str
    finished: bool
    """Its last event was taken."""

    def start(self, changed: threading.Condition) -> None:
        """Begin to read; `changed` is notified of every event."""

    def stop(self) -> None:
        """Read no more."""

    def take(self) -> Given | StreamFailed | None:
        """The next event, if one is ready."""

    def poll(self) -> None:
        """Do what is due: called a few times a second."""

    @property
    def waiting_since(self) -> float | None:
        """When the event at hand became ready; None if there is none."""


class ReaderGroup(Generic[Event]):
    """Readers that come and go, each in its thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: dict[str, Reader[Event]] = {}
        self._served_at: dict[str, float] = {}
        self._is_woken = False

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: Reader[Event]) -> None:
        """Start a reader."""
        with self._changed:
            self._readers[reader.stream_id] = reader
        reader.start(self._changed)

    def remove(self, stream_id: str) -> None:
        """Stop a reader and forget it; nothing happens if it is not there."""
        with self._changed:
            reader = self._readers.pop(stream_id, None)
            self._served_at.pop(stream_id, None)
        if reader is not None:
            reader.stop()

    def wake(self) -> None:
        """Let `ready` return at once, this time, though nothing may be ready."""
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
        """Stop all readers."""
        for stream_id in list(self._readers):
            self.remove(stream_id)
