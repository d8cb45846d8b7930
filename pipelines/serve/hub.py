"""Events of all streams for clients: as they happen, the last of them for new clients, and latencies."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from memvit.events.event import Event
from memvit.labels import Labels
from memvit.results.jsonl import live_record, to_record
from memvit.results.result import Result
from memvit.streams.events import SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.streams.watcher import ClipResult
from memvit.types import Clip, PreviewFrame
from pipelines.record.recording import RecorderStatus, Recording

from .handle import WorkerEvent

MAX_REPLAYED_EVENTS = 120
"""Bound of the events of a stream in a `StreamHistory`: a new client, or one that lost its connection, gets them."""
MAX_LATENCIES = 256
"""Bound of the latencies of a stream in a `StreamHistory`."""
LATENCY_SECONDS = 60.0
"""Percentiles are those of the results of the last so many seconds, so that those of the start are soon forgotten."""
MAX_QUEUED_EVENTS = 4096
"""Bound of the events that wait in a `Subscriber`: a client that does not read them loses the oldest."""
RATE_SECONDS = 30.0
"""The real-time factor is that of the last so many seconds."""


@dataclass(frozen=True)
class PublishedEvent:
    """An event as clients get it."""

    number: int
    stream_id: str
    kind: str
    """`result`, `event` of a rule, its `recording` once it is ready, or what happened: opened, stalled, lost, session,
    ended, failed, removed."""
    data: str
    """JSON."""


END_OF_EVENTS = PublishedEvent(0, "", "", "")
"""Ends the events of a subscriber, when the server stops."""


@dataclass
class Subscriber:
    """A client that reads the events of one stream, or of all; if it does not keep up, it loses the oldest events."""

    loop: asyncio.AbstractEventLoop
    stream_id: str | None
    queue: asyncio.Queue[PublishedEvent] = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED_EVENTS))
    lost_events: int = 0

    def put(self, event: PublishedEvent) -> None:
        """Add an event; to be called in the subscriber's event loop."""
        if self.queue.full():
            self.queue.get_nowait()
            self.lost_events += 1
        self.queue.put_nowait(event)

    async def events(self, every_seconds: float) -> AsyncIterator[PublishedEvent | None]:
        """Events as they come, until the server stops; None where there was no event for `every_seconds`."""
        while True:
            try:
                event = await asyncio.wait_for(self.queue.get(), every_seconds)
            except TimeoutError:
                yield None
                continue
            if event is END_OF_EVENTS:
                return
            yield event


@dataclass
class StreamHistory:
    """The last events, latencies and result of one stream."""

    events: deque[PublishedEvent] = field(default_factory=lambda: deque(maxlen=MAX_REPLAYED_EVENTS))
    latencies: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))
    """(monotonic time of the result, total, decode, queue, boxes, model) of the last results, in seconds."""
    answered_at: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))
    last: ClipResult | None = None
    """The last answered clip, whose people have numbers."""
    before_last: ClipResult | None = None


class EventHub:
    """Gets events from the workers' threads, and hands them to subscribers in the server's event loop."""

    def __init__(self, labels: Labels, *, top_k: int, hop_seconds: float) -> None:
        self._labels, self._top_k, self._hop_seconds = labels, top_k, hop_seconds
        self._lock = threading.Lock()
        self._histories: dict[str, StreamHistory] = {}
        self._subscribers: list[Subscriber] = []
        # Larger than those of an earlier run: a client that connects again names the last number it got.
        self._numbers = itertools.count(int(time.time() * 1000))
        self.is_closed = False

    def publish(self, event: WorkerEvent) -> None:
        """Send an event of a stream to its subscribers."""
        if isinstance(event, RecorderStatus):
            return
        with self._lock:
            if isinstance(event, Recording):
                self._send(event.stream_id, "recording", {"id": event.event_id, "recording": event.to_record()})
                return
            history = self._histories.setdefault(event.stream_id, StreamHistory())
            if isinstance(event, ClipResult):
                self._send(event.stream_id, "result", self._record(history, event))
            elif isinstance(event, Event):
                self._send(event.stream_id, "event", event.to_record())
            elif not isinstance(event, Clip):
                self._send(event.stream_id, *_kind_and_data(event))

    def close(self) -> None:
        """End the events of all subscribers."""
        self.is_closed = True
        with self._lock:
            for subscriber in self._subscribers:
                subscriber.loop.call_soon_threadsafe(subscriber.put, END_OF_EVENTS)

    def remove(self, stream_id: str) -> None:
        """Tell subscribers that a stream was removed, and forget it."""
        with self._lock:
            self._send(stream_id, "removed", {})
            self._histories.pop(stream_id, None)

    def subscribe(self, stream_id: str | None, after: int | None = None) -> Subscriber:
        """A new subscriber to one stream, or to all. It first gets the last events of these streams; with `after`, only
        those whose number is larger.
        """
        subscriber = Subscriber(asyncio.get_running_loop(), stream_id)
        with self._lock:
            replayed = [
                event
                for name, history in self._histories.items()
                if stream_id in (None, name)
                for event in history.events
                if after is None or event.number > after
            ]
            for event in sorted(replayed, key=lambda event: event.number):
                subscriber.put(event)
            self._subscribers.append(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Send a subscriber nothing more."""
        with self._lock:
            self._subscribers.remove(subscriber)

    @property
    def subscriber_count(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    def last(self, stream_id: str) -> ClipResult | None:
        """The last answered clip of a stream, whose people have numbers; None before the first."""
        history = self._histories.get(stream_id)
        return None if history is None else history.last

    def drawable(self, stream_id: str) -> tuple[ClipResult, Result | None] | None:
        """The last clip whose boxes can move with people, and the result after it if that is needed; None before that.

        Where people were looked for in keyframes only, their way after a keyframe is known with the next one.
        """
        history = self._histories.get(stream_id)
        if history is None or history.last is None:
            return None
        last, before = history.last, history.before_last
        if last.result.trail or not last.result.boxes or (before is not None and not before.clip.preview):
            return last, None
        return None if before is None else (before, last.result)

    def performance(self, stream_id: str) -> dict[str, Any]:
        """Latency and real-time factor of a stream's last results, as in `StreamStatus`."""
        with self._lock:
            history = self._histories.get(stream_id, StreamHistory())
            latencies = np.array(history.latencies)
            now = time.monotonic()
            recent = sum(now - at <= RATE_SECONDS for at in history.answered_at)
            began = history.answered_at[0] if history.answered_at else now
        if not len(latencies):
            return {"latency_seconds": None, "real_time_factor": 0.0}
        latencies = latencies[latencies[:, 0] >= latencies[-1, 0] - LATENCY_SECONDS, 1:]
        parts = dict(zip(("decode", "queue", "boxes", "model"), np.median(latencies[:, 1:], axis=0), strict=True))
        over = min(RATE_SECONDS, max(now - began, self._hop_seconds))
        return {
            "latency_seconds": {
                "p50": round(float(np.percentile(latencies[:, 0], 50)), 4),
                "p99": round(float(np.percentile(latencies[:, 0], 99)), 4),
                **{name: round(float(value), 4) for name, value in parts.items()},
            },
            "real_time_factor": round(recent * self._hop_seconds / over, 3),
        }

    def _record(self, history: StreamHistory, answered: ClipResult) -> dict[str, Any]:
        now = time.monotonic()
        result = answered.result
        history.answered_at.append(now)
        record = to_record(result, self._labels, top_k=self._top_k) | live_record(result)
        if result.latency is not None:
            history.latencies.append((now, *record["latency"].values()))
        # In one assignment, since others read it without the lock; without most images, since it stays until the
        # stream is removed.
        history.before_last = history.last
        history.last = replace(answered, clip=_with_picture(answered.clip)).without_images()
        return record

    def _send(self, stream_id: str, kind: str, data: dict[str, Any]) -> None:
        text = json.dumps(
            {"stream": stream_id, "time_unix": round(time.time(), 3), **data}, ensure_ascii=False, allow_nan=False
        )
        event = PublishedEvent(next(self._numbers), stream_id, kind, text)
        if stream_id in self._histories:
            self._histories[stream_id].events.append(event)
        for subscriber in self._subscribers:
            if subscriber.stream_id in (None, stream_id):
                subscriber.loop.call_soon_threadsafe(subscriber.put, event)


def _with_picture(clip: Clip) -> Clip:
    """The clip with at least one preview frame: where nobody looks, that is the middle one of the model's frames."""
    if clip.preview or not len(clip.frames) or clip.source_size is None:
        return clip
    return replace(clip, preview=(PreviewFrame(clip.centre_seconds, clip.frames[len(clip.frames) // 2].copy()),))


def _kind_and_data(
    event: StreamOpened | StreamStalled | StreamLost | SessionBegan | StreamEnded | StreamFailed,
) -> tuple[str, dict[str, Any]]:
    """(kind, data) of a `PublishedEvent` for an event that is no result."""
    match event:
        case StreamOpened(info=info):
            return "opened", {"width": info.width, "height": info.height, "is_live": info.is_live}
        case StreamStalled(silent_seconds=seconds):
            return "stalled", {"reason": f"nothing has come for {seconds:.0f} s"}
        case StreamLost(reason=reason, kind=kind, retry_seconds=seconds):
            return "lost", {"reason": reason, "class": kind, "retry_seconds": round(seconds, 1)}
        case SessionBegan(session=session, reason=reason):
            return "session", {"session": session, "reason": reason}
        case StreamEnded(counts=counts):
            return "ended", {"reason": str(counts) or "the source is over"}
        case StreamFailed(reason=reason):
            return "failed", {"reason": reason}
