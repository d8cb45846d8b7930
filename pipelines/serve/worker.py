"""One engine with its streams, in a thread of its own; others ask it for things between two batches."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.snapshot import StreamSnapshot
from memvit.streams.events import ReaderStatus
from memvit.streams.group import StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.reader import LiveReader
from memvit.streams.session import Resumption
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import MemvitError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.location import is_always_live, is_url

from .sources import open_checked

log = logging.getLogger("memvit.serve")
Returned = TypeVar("Returned")
OnNews = Callable[[Sequence[StreamEvent]], None]
HUNG_SECONDS = 120.0
"""A batch may be slow on a CPU; a thread that says nothing for longer is not well."""


class EngineDown(MemvitError):
    """The engine hangs, or has ended: nothing can be added, removed or saved."""


@dataclass(frozen=True)
class WorkerSettings:
    """How a desk works."""

    hop_seconds: float = 1.0
    limits: VideoLimits = DEFAULT_LIMITS
    preview_width: int = 640
    preview_frames_per_second: float = 10.0


@dataclass(frozen=True)
class ResumeState:
    """A stream between two clips: what is needed to go on with it, here or elsewhere."""

    session: int = 0
    last_centre_seconds: float | None = None
    """Of its last answered clip; None before the first."""
    ahead_seconds: float = 0.0
    """How much further its frames had come."""
    heard_unix: float = 0.0
    """When the last of them came."""
    size: tuple[int, int] | None = None
    """Of the images, as `ReaderStatus` has it."""
    snapshot: StreamSnapshot | None = None

    def without_memory(self) -> ResumeState:
        """The same place in time, for a new session."""
        return replace(self, snapshot=None)

    def resumption(self) -> Resumption | None:
        """Where to go on now; None if there is nothing to go on with. The reader finds out if it was away too long."""
        if self.last_centre_seconds is None:
            return None
        return Resumption(
            next_index=self.snapshot.next_index if self.snapshot else 0,
            session=self.session + (self.snapshot is None),
            last_centre_seconds=self.last_centre_seconds,
            passed_seconds=self.ahead_seconds + max(0.0, time.time() - self.heard_unix),
            size=self.size if self.snapshot else None,
        )


@dataclass(frozen=True)
class WatchRequest:
    """A stream to watch."""

    stream_id: str
    location: str
    policy: LivePolicy
    pace: bool = False
    standing: ResumeState | None = None
    """Of an earlier run."""


class WorkerHandle(Protocol):
    """A desk here or in another process."""

    @property
    def is_well(self) -> bool:
        """Whether it gets on with its work."""

    @property
    def failure(self) -> str | None:
        """Why it has ended by itself, for good; None if it has not."""

    def start(self, on_event: OnNews) -> None:
        """Begin; `on_event` is called from a thread of the desk."""

    def close(self) -> dict[str, ResumeState]:
        """End; returns where every stream stood."""

    def add(self, order: WatchRequest) -> None:
        """Watch a stream; its name is new. This and what follows: EngineDown if the engine does not answer."""

    def remove(self, stream_id: str) -> None:
        """Stop watching."""

    def look(self, stream_id: str, wanted: bool) -> None:
        """Whether its pictures are wanted."""

    def status(self, stream_id: str) -> ReaderStatus:
        """How a stream is; KeyError if it is not here."""

    def standing(self, stream_id: str) -> ResumeState:
        """What is needed to go on with a stream; KeyError if it is not here."""


@dataclass(frozen=True)
class _Command:
    """Something to do between two batches."""

    call: Callable[[], Any]
    done: Future[Any]

    def run(self) -> None:
        """Do it, unless whoever asked has given up."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.call())
        except BaseException as error:
            self.done.set_exception(error)

    def refuse(self, reason: str) -> None:
        """It will never be done."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_exception(EngineDown(reason))


class EngineWorker:
    """See `WorkerHandle`: in this process."""

    def __init__(self, engine: Engine, boxes: BoxSource | None, settings: WorkerSettings) -> None:
        self._engine, self._settings = engine, settings
        self._watcher = Watcher(
            engine,
            boxes,
            hop_seconds=settings.hop_seconds,
            limits=settings.limits,
            preview_width=settings.preview_width,
            preview_frames_per_second=settings.preview_frames_per_second,
        )
        self._readers: dict[str, LiveReader] = {}
        self._last: dict[str, tuple[int, float]] = {}
        """Session and centre of the last answered clip."""
        self._standings: dict[str, ResumeState] = {}
        """Of streams that were taken up, from an earlier run."""
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self._thread: threading.Thread | None = None
        self.failure: str | None = None
        """See `WorkerHandle`."""

    @property
    def is_well(self) -> bool:
        """See `WorkerHandle`."""
        return self._thread is not None and self._thread.is_alive() and time.monotonic() - self._beat < HUNG_SECONDS

    def start(self, on_event: OnNews) -> None:
        """See `WorkerHandle`."""
        self._watcher.warm_up()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(on_event,), name="watch", daemon=True)
        self._thread.start()

    def close(self) -> dict[str, ResumeState]:
        """See `WorkerHandle`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            if self._thread.is_alive():  # it hangs in a batch
                return {}
        if self.failure is not None:  # memory cannot be read from a device that has failed; what was saved stands
            return {}
        standings = {stream_id: self._standing(stream_id) for stream_id in self._readers}
        self._watcher.close()
        return standings

    def add(self, order: WatchRequest) -> None:
        """See `WorkerHandle`."""
        self._do(partial(self._add, order))

    def remove(self, stream_id: str) -> None:
        """See `WorkerHandle`."""
        self._do(partial(self._remove, stream_id))

    def look(self, stream_id: str, wanted: bool) -> None:
        """See `WorkerHandle`."""
        with suppress(KeyError):
            self._readers[stream_id].wants_preview = wanted

    def status(self, stream_id: str) -> ReaderStatus:
        """See `WorkerHandle`."""
        return self._readers[stream_id].status()

    def standing(self, stream_id: str) -> ResumeState:
        """See `WorkerHandle`."""
        return self._do(partial(self._standing, stream_id))

    # What follows is done by the watching thread.

    def _do(self, command: Callable[[], Returned]) -> Returned:
        """Have the watching thread do something between two batches."""
        if not self.is_well:
            raise EngineDown(self.failure or "the engine hangs; start the server again")
        done: Future[Returned] = Future()
        self._commands.put(_Command(command, done))
        self._watcher.wake()
        if self.failure is not None:  # it ended meanwhile
            self._refuse_commands()
        try:
            return done.result(timeout=HUNG_SECONDS)
        except TimeoutError:
            if not done.cancel():  # it is being done just now
                return done.result(timeout=HUNG_SECONDS)
            raise EngineDown("the engine hangs; start the server again") from None

    def _run(self, on_event: OnNews) -> None:
        try:
            while not self._stopping.is_set():
                self._do_commands()
                news = self._watcher.step()
                for item in news:
                    if isinstance(item, ClipResult):
                        self._last[item.stream_id] = item.result.session, item.result.centre_seconds
                if news:
                    on_event(news)
                self._beat = time.monotonic()
            self._do_commands()
        except Exception as error:
            self._end(error, on_event)

    def _end(self, error: Exception, on_event: OnNews) -> None:
        """The engine is no more: say so everywhere, stop reading, and refuse what is asked."""
        self.failure = str(error) if isinstance(error, MemvitError) else f"the engine has ended ({error!r})"
        log.error("%s", self.failure, exc_info=None if isinstance(error, MemvitError) else error)
        failed = list(self._watcher.streams)
        self._watcher.close()
        for stream_id in failed:
            self._readers[stream_id].fail(self.failure)
        on_event([StreamFailed(stream_id, self.failure) for stream_id in failed])
        self._refuse_commands()

    def _do_commands(self) -> None:
        while not self._commands.empty():
            self._commands.get().run()

    def _refuse_commands(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._commands.get_nowait().refuse(self.failure or "")

    def _add(self, order: WatchRequest) -> None:
        stream_id, standing = order.stream_id, order.standing
        resumption = standing.resumption() if standing else None
        from_seconds = 0.0
        if standing is not None and resumption is not None:
            self._standings[stream_id] = standing
            if not order.pace:
                # Early enough for the clip that follows, and for one clip that is known: a file is never without one.
                centre = resumption.last_centre_seconds
                first = centre + self._settings.hop_seconds - self._watcher.lead_seconds
                from_seconds = max(0.0, min(first, centre))
            if standing.snapshot is not None:
                self._engine.forget(stream_id)
                self._engine.restore(stream_id, standing.snapshot)
        reader = self._watcher.add(
            stream_id,
            order.location,
            policy=order.policy,
            connect=partial(
                open_checked,
                order.location,
                order.policy,
                pace=order.pace,
                from_seconds=from_seconds,
                limits=self._settings.limits,
            ),
            is_live=is_always_live(order.location),
            retry_initial=is_url(order.location) or is_always_live(order.location),
            resumption=resumption,
        )
        reader.wants_preview = False
        self._readers[stream_id] = reader

    def _remove(self, stream_id: str) -> None:
        self._watcher.remove(stream_id)
        self._readers.pop(stream_id, None)
        self._last.pop(stream_id, None)
        self._standings.pop(stream_id, None)

    def _standing(self, stream_id: str) -> ResumeState:
        status = self._readers[stream_id].status()
        known = self._standings.get(stream_id)
        if status.position_seconds is None and known is not None:
            return known  # nothing has come since it was taken up
        session, centre_seconds = self._last.get(stream_id, (0, None))
        if centre_seconds is None and known is not None:
            session, centre_seconds = known.session, known.last_centre_seconds
        snapshot = None
        if self._engine.plan is not None:  # without, what was remembered before would seem to be of now
            with suppress(KeyError):
                snapshot = self._engine.snapshot(stream_id)
        return ResumeState(
            session=session,
            last_centre_seconds=centre_seconds,
            ahead_seconds=max(0.0, (status.position_seconds or 0.0) - (centre_seconds or 0.0)),
            heard_unix=time.time() - status.silent_seconds,
            size=status.size,
            snapshot=snapshot,
        )
