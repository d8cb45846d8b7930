"""What viewers see of the streams: the news as it happens, the last of it for those who come later, and latencies."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memvit.boxes.match import PersonMatcher
from memvit.labels import Labels
from memvit.results.jsonl import latency_record, to_record
from memvit.streams.events import SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import Clip

KEPT_EVENTS = 120
"""Of a stream, for viewers that come late or lost their connection."""
KEPT_LATENCIES = 256
VIEWER_QUEUE = 4096
RATE_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """Something to tell viewers."""

    number: int
    stream_id: str
    kind: str
    """`result`, or what happened: opened, stalled, lost, session, ended, failed, removed."""
    data: str
    """JSON."""


GOOD_BYE = Event(0, "", "", "")
"""After it nothing comes."""


@dataclass
class Subscriber:
    """Somebody who listens, to one stream or to all; one that does not keep up loses the oldest events."""

    loop: asyncio.AbstractEventLoop
    stream_id: str | None
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(VIEWER_QUEUE))
    lost_events: int = 0

    def put(self, event: Event) -> None:
        """Called in the viewer's loop."""
        if self.queue.full():
            self.queue.get_nowait()
            self.lost_events += 1
        self.queue.put_nowait(event)

    async def events(self, every_seconds: float) -> AsyncIterator[Event | None]:
        """Events as they come, until the server ends; None when there was none for so long."""
        while True:
            try:
                event = await asyncio.wait_for(self.queue.get(), every_seconds)
            except TimeoutError:
                yield None
                continue
            if event is GOOD_BYE:
                return
            yield event


@dataclass
class Shown:
    """What is kept of one stream for viewers."""

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    latencies: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    """(all, decode, queue, boxes, model) seconds of the last results."""
    answered_at: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    matcher: PersonMatcher = field(default_factory=PersonMatcher)
    last: tuple[ClipResult, list[int]] | None = None
    """The last clip, and the numbers of its people."""


class EventHub:
    """Filled by the thread that watches, read by the server's event loop."""

    def __init__(self, labels: Labels, *, top_k: int, hop_seconds: float) -> None:
        self._labels, self._top_k, self._hop_seconds = labels, top_k, hop_seconds
        self._lock = threading.Lock()
        self._shown: dict[str, Shown] = {}
        self._viewers: list[Subscriber] = []
        # Larger than those of an earlier run: a viewer that comes back names the last number it saw.
        self._numbers = itertools.count(int(time.time() * 1000))
        self.is_closed = False

    def post(self, news: StreamEvent) -> None:
        """Tell everybody."""
        with self._lock:
            shown = self._shown.setdefault(news.stream_id, Shown())
            if isinstance(news, ClipResult):
                self._tell(news.stream_id, "result", self._result(shown, news))
            elif not isinstance(news, Clip):
                self._tell(news.stream_id, *_told(news))

    def close(self) -> None:
        """Send all viewers home."""
        self.is_closed = True
        with self._lock:
            for viewer in self._viewers:
                viewer.loop.call_soon_threadsafe(viewer.put, GOOD_BYE)

    def remove(self, stream_id: str) -> None:
        """A stream is no more."""
        with self._lock:
            self._tell(stream_id, "removed", {})
            self._shown.pop(stream_id, None)

    def listen(self, stream_id: str | None, after: int | None = None) -> Subscriber:
        """A new viewer of one stream, or of all; it first gets what is kept from after event number `after` on, or the
        last of it.
        """
        viewer = Subscriber(asyncio.get_running_loop(), stream_id)
        with self._lock:
            kept = [
                event
                for name, shown in self._shown.items()
                if stream_id in (None, name)
                for event in shown.events
                if after is None or event.number > after
            ]
            for event in sorted(kept, key=lambda event: event.number):
                viewer.put(event)
            self._viewers.append(viewer)
        return viewer

    def leave(self, viewer: Subscriber) -> None:
        """A viewer is gone."""
        with self._lock:
            self._viewers.remove(viewer)

    @property
    def viewers(self) -> int:
        """How many listen."""
        return len(self._viewers)

    def last(self, stream_id: str) -> tuple[ClipResult, list[int]] | None:
        """The last clip with its result, and the numbers of its people."""
        shown = self._shown.get(stream_id)
        return None if shown is None else shown.last

    def figures(self, stream_id: str) -> dict[str, Any]:
        """Latency and pace of a stream's last results."""
        with self._lock:
            shown = self._shown.get(stream_id, Shown())
            latencies = np.array(shown.latencies)
            now = time.monotonic()
            recent = sum(now - at <= RATE_SECONDS for at in shown.answered_at)
            began = shown.answered_at[0] if shown.answered_at else now
        if not len(latencies):
            return {"latency_seconds": None, "real_time_factor": 0.0}
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

    def _result(self, shown: Shown, answered: ClipResult) -> dict[str, Any]:
        result, numbers = answered.result, list[int]()
        shown.answered_at.append(time.monotonic())
        record = to_record(result, self._labels, top_k=self._top_k)
        if result.latency is not None:
            record["latency"] = latency_record(result.latency)
            shown.latencies.append(tuple(record["latency"].values()))
        if result.boxes is not None:
            numbers = shown.matcher.number(result.boxes.xyxy)
            for person, number in zip(record["people"], numbers, strict=True):
                person["person"] = number
        # At once: others read it without the lock. And light: it stays for as long as the stream is listed.
        shown.last = answered.without_images(), numbers
        return record

    def _tell(self, stream_id: str, kind: str, data: dict[str, Any]) -> None:
        text = json.dumps(
            {"stream": stream_id, "time_unix": round(time.time(), 3), **data}, ensure_ascii=False, allow_nan=False
        )
        event = Event(next(self._numbers), stream_id, kind, text)
        if stream_id in self._shown:
            self._shown[stream_id].events.append(event)
        for viewer in self._viewers:
            if viewer.stream_id in (None, stream_id):
                viewer.loop.call_soon_threadsafe(viewer.put, event)


def _told(
    news: StreamOpened | StreamStalled | StreamLost | SessionBegan | StreamEnded | StreamFailed,
) -> tuple[str, dict[str, Any]]:
    """(kind, data) of an event."""
    match news:
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
