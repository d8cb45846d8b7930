"""One engine with its streams, in a thread of its own; others ask it for things between two batches."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from memvit.boxes import BoxSource
from memvit.engine import Engine
from memvit.live.cutting import Resumption
from memvit.live.events import ReaderStatus
from memvit.live.policy import LivePolicy
from memvit.live.reader import LiveReader
from memvit.live.watcher import Answered, News, Watcher
from memvit.snapshot import StreamSnapshot
from memvit.video.location import is_always_live, is_url

from .sources import open_checked

Returned = TypeVar("Returned")
OnNews = Callable[[Sequence[News]], None]
HUNG_SECONDS = 120.0
"""A batch may be slow on a CPU; a thread that says nothing for longer is not well."""


@dataclass(frozen=True)
class DeskSettings:
    """How a desk works."""

    hop_seconds: float = 1.0
    preview_width: int = 640
    preview_frames_per_second: float = 10.0


@dataclass(frozen=True)
class Standing:
    """A stream between two clips: what is needed to go on with it, here or elsewhere."""

    session: int = 0
    last_centre_seconds: float | None = None
    """Of its last answered clip; None before the first."""
    ahead_seconds: float = 0.0
    """How much further its frames had come."""
    taken_unix: float = 0.0
    snapshot: StreamSnapshot | None = None

    def resumption(self, *, keeps_memory: bool) -> Resumption | None:
        """Where to go on now: with the memory, or in a new session without; None if there is nothing to go on with."""
        if self.last_centre_seconds is None:
            return None
        snapshot = self.snapshot if keeps_memory else None
        return Resumption(
            next_index=snapshot.next_index if snapshot else 0,
            session=self.session + (snapshot is None),
            last_centre_seconds=self.last_centre_seconds,
            passed_seconds=self.ahead_seconds + max(0.0, time.time() - self.taken_unix),
        )

    def without_memory(self) -> Standing:
        """The same place in time, for a new session."""
        return replace(self, snapshot=None)

    def keeps_memory(self, order: Order) -> bool:
        """Whether the stream was away for so short a time that its memory goes on."""
        return not order.is_live or time.time() - self.taken_unix <= order.policy.keep_memory_seconds


@dataclass(frozen=True)
class Order:
    """A stream to watch."""

    stream_id: str
    location: str
    policy: LivePolicy
    pace: bool = False
    standing: Standing | None = None
    """Of an earlier run, whose memory is used as long as it is not too old."""

    @property
    def is_live(self) -> bool:
        """Whether it is known to be, before it was opened."""
        return self.pace or is_always_live(self.location)


class DeskLike(Protocol):
    """A desk here or in another process."""

    @property
    def is_well(self) -> bool:
        """Whether it gets on with its work."""

    def start(self, on_news: OnNews) -> None:
        """Begin; `on_news` is called from a thread of the desk."""

    def close(self) -> None:
        """End."""

    def add(self, order: Order) -> None:
        """Watch a stream; its name is new."""

    def remove(self, stream_id: str) -> None:
        """Stop watching."""

    def look(self, stream_id: str, wanted: bool) -> None:
        """Whether its pictures are wanted."""

    def status(self, stream_id: str) -> ReaderStatus:
        """How a stream is; KeyError if it is not here."""

    def standing(self, stream_id: str) -> Standing:
        """What is needed to go on with a stream; KeyError if it is not here."""


class Desk:
    """See `DeskLike`: in this process."""

    def __init__(self, engine: Engine, boxes: BoxSource | None, settings: DeskSettings) -> None:
        self._engine, self._settings = engine, settings
        self._watcher = Watcher(
            engine,
            boxes,
            hop_seconds=settings.hop_seconds,
            preview_width=settings.preview_width,
            preview_frames_per_second=settings.preview_frames_per_second,
        )
        self._readers: dict[str, LiveReader] = {}
        self._last: dict[str, tuple[int, float]] = {}
        """Session and centre of the last answered clip."""
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def is_well(self) -> bool:
        """See `DeskLike`."""
        return self._thread is not None and self._thread.is_alive() and time.monotonic() - self._beat < HUNG_SECONDS

    def start(self, on_news: OnNews) -> None:
        """See `DeskLike`."""
        self._watcher.warm_up()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(on_news,), name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """See `DeskLike`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def add(self, order: Order) -> None:
        """See `DeskLike`."""
        self._do(partial(self._add, order))

    def remove(self, stream_id: str) -> None:
        """See `DeskLike`."""
        self._do(partial(self._remove, stream_id))

    def look(self, stream_id: str, wanted: bool) -> None:
        """See `DeskLike`."""
        with suppress(KeyError):
            self._readers[stream_id].wants_preview = wanted

    def status(self, stream_id: str) -> ReaderStatus:
        """See `DeskLike`."""
        return self._readers[stream_id].status()

    def standing(self, stream_id: str) -> Standing:
        """See `DeskLike`."""
        return self._do(partial(self._standing, stream_id))

    # What follows is done by the watching thread.

    def _do(self, command: Callable[[], Returned]) -> Returned:
        """Have the watching thread do something between two batches."""
        done: Future[Returned] = Future()

        def run() -> None:
            try:
                done.set_result(command())
            except BaseException as error:
                done.set_exception(error)

        self._commands.put(run)
        return done.result(timeout=HUNG_SECONDS)

    def _run(self, on_news: OnNews) -> None:
        while not self._stopping.is_set():
            while not self._commands.empty():
                self._commands.get()()
            news = self._watcher.step()
            for item in news:
                if isinstance(item, Answered):
                    self._last[item.stream_id] = item.result.session, item.result.centre_seconds
            if news:
                on_news(news)
            self._beat = time.monotonic()
        while not self._commands.empty():
            self._commands.get()()
        self._watcher.close()

    def _add(self, order: Order) -> None:
        stream_id, standing = order.stream_id, order.standing
        resumption, from_seconds = None, 0.0
        if standing is not None:
            keeps_memory = standing.keeps_memory(order)
            resumption = standing.resumption(keeps_memory=keeps_memory)
            if resumption is not None:
                self._last[stream_id] = resumption.session, resumption.last_centre_seconds
                if not order.is_live:
                    first = resumption.last_centre_seconds + self._settings.hop_seconds
                    from_seconds = max(0.0, first - self._watcher.lead_seconds)
                if keeps_memory and standing.snapshot is not None:
                    self._engine.forget(stream_id)
                    self._engine.restore(stream_id, standing.snapshot)
        reader = self._watcher.add(
            stream_id,
            order.location,
            policy=order.policy,
            connect=partial(open_checked, order.location, order.policy, pace=order.pace, from_seconds=from_seconds),
            is_live=order.is_live,
            is_patient=is_url(order.location),
            resumption=resumption,
        )
        reader.wants_preview = False
        self._readers[stream_id] = reader

    def _remove(self, stream_id: str) -> None:
        self._watcher.remove(stream_id)
        self._readers.pop(stream_id, None)
        self._last.pop(stream_id, None)

    def _standing(self, stream_id: str) -> Standing:
        position_seconds = self._readers[stream_id].status().position_seconds
        session, centre_seconds = self._last.get(stream_id, (0, None))
        snapshot = None
        with suppress(KeyError):
            snapshot = self._engine.snapshot(stream_id)
        return Standing(
            session=session,
            last_centre_seconds=centre_seconds,
            ahead_seconds=max(0.0, (position_seconds or 0.0) - (centre_seconds or 0.0)),
            taken_unix=time.time(),
            snapshot=snapshot,
        )
