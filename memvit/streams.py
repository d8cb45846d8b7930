"""Reading several sources at once: a thread a source, a short queue each, clips handed out as they become ready.

A stream that cannot be opened, or breaks, or ends is an event like any other; the other streams go on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from memvit.types import Clip, MemvitError
from memvit.video.sampler import ClipSampler
from memvit.video.source import ReadCounts, Source, SourceInfo


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


StreamEvent: TypeAlias = StreamOpened | Clip | StreamEnded | StreamFailed


class StreamReader:
    """Decodes one source in a thread and keeps at most `queue_clips` clips ready; a full queue makes it wait."""

    def __init__(
        self,
        stream_id: str,
        open_source: Callable[[], Source],
        sampler: ClipSampler,
        *,
        changed: threading.Condition,
        queue_clips: int = 2,
        until_seconds: float | None = None,
    ) -> None:
        self.stream_id, self._until_seconds = stream_id, until_seconds
        self._open_source, self._sampler = open_source, sampler
        self._changed, self._queue_clips = changed, queue_clips
        self._ready: deque[StreamEvent] = deque()
        self._stopping = self.finished = False
        self._thread = threading.Thread(target=self._read, name=f"read {stream_id}", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the frame at hand; what is queued is given up."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def take(self) -> StreamEvent | None:
        """The next event, if one is ready. The caller holds `changed`."""
        if not self._ready:
            return None
        event = self._ready.popleft()
        self.finished = isinstance(event, StreamEnded | StreamFailed)
        self._changed.notify_all()
        return event

    def _put(self, event: StreamEvent) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or len(self._ready) < self._queue_clips)
            if not self._stopping:
                self._ready.append(event)
                self._changed.notify_all()
            return not self._stopping

    def _read(self) -> None:
        try:
            with self._open_source() as source:
                self._put(StreamOpened(self.stream_id, source.info))
                for clip in self._sampler.clips(source):
                    if self._until_seconds is not None and clip.centre_seconds >= self._until_seconds:
                        break
                    if not self._put(clip):
                        return
                self._put(StreamEnded(self.stream_id, source.counts))
        except MemvitError as error:
            self._put(StreamFailed(self.stream_id, str(error)))
        except Exception as error:  # a reader must never die in silence: the main thread would wait for ever
            self._put(StreamFailed(self.stream_id, f"{self.stream_id}: reading failed unexpectedly ({error!r})"))


def ready_events(
    readers: Sequence[StreamReader], changed: threading.Condition, stopping: threading.Event
) -> Iterator[list[StreamEvent]]:
    """Batches of at most one event a stream, as soon as any is ready, until all have ended or `stopping` is set."""
    for reader in readers:
        reader.start()
    try:
        open_readers = list(readers)
        while open_readers and not stopping.is_set():
            events: list[StreamEvent] = []

            def collect(into: list[StreamEvent] = events, of: Sequence[StreamReader] = open_readers) -> bool:
                into.extend(event for reader in of if (event := reader.take()) is not None)
                return bool(into) or stopping.is_set()

            with changed:
                # A time-out, so that a stop asked for by a signal is seen while nothing is ready.
                changed.wait_for(collect, timeout=0.2)
            open_readers = [reader for reader in open_readers if not reader.finished]
            if events:
                yield events
    finally:
        for reader in readers:
            reader.stop()
