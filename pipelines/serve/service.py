"""What the server does: streams by name, on one desk or several, shown on a board, kept over a restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from memvit.labels import Labels
from memvit.streams.events import ReaderStatus, SessionBegan
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import MemvitError
from memvit.video.sources.location import is_camera, is_url, redact, source_name

from .hub import EventHub
from .ids import free_id, is_id
from .metrics import Metrics
from .requests import ServerInfo, StreamRequest, StreamStatus
from .saving import Saver
from .sources import SourceRules
from .state import SavedStream, StateFolder
from .stream_log import log_event
from .worker import ResumeState, WatchRequest, WorkerHandle, WorkerSettings

log = logging.getLogger("memvit.serve")
MAX_WAITING = 16
"""Changes that may wait for their turn."""


@dataclass(frozen=True)
class ServeOptions:
    """What the server offers, and its limits."""

    info: ServerInfo
    rules: SourceRules = field(default_factory=SourceRules)
    desk: WorkerSettings = field(default_factory=WorkerSettings)
    top_k: int = 5
    state: Path | None = None
    """Folder that keeps the streams over a restart."""
    save_every_seconds: float = 10.0
    """A stream that is killed with the server goes on with a memory that is at most so old."""
    policy: LivePolicy = field(default_factory=LivePolicy)
    """Of streams that say nothing else."""


class TooManyStreams(MemvitError):
    """The server is full."""


class UnknownStream(MemvitError):
    """There is no such stream."""


class TooBusy(MemvitError):
    """Others are being added and removed; try again."""


class StateNotSaved(MemvitError):
    """What was asked for would not survive a crash, and is not done."""


class StreamExists(MemvitError):
    """The name is taken."""


@dataclass
class Entry:
    """A stream of the server; it stays listed after it ended, until it is removed."""

    request: StreamRequest
    desk: WorkerHandle
    lookers: int = 0


class Service:
    """Streams that clients add. Its methods may be called from any thread."""

    def __init__(self, desks: Sequence[WorkerHandle], labels: Labels, options: ServeOptions) -> None:
        """MemvitError if the folder of the state cannot be used."""
        self.labels, self.options = labels, options
        self.board = EventHub(labels, top_k=options.top_k, hop_seconds=options.desk.hop_seconds)
        self.metrics = Metrics(self._statuses)
        self._desks = desks
        folder = StateFolder(options.state) if options.state else None
        self._saver = Saver(folder, options.info.model, options.save_every_seconds)
        self._entries: dict[str, Entry] = {}
        self._first: list[StreamRequest] = []
        self._changing = threading.Lock()
        """Held while a stream is added or removed."""
        self._turns = threading.BoundedSemaphore(MAX_WAITING)
        self._stopping = threading.Event()
        self._is_started = False

    def begin_with(self, sources: Sequence[str], *, pace: bool) -> None:
        """Before `start`: the streams that the server itself was asked for. What clients may not name, it may.

        MemvitError if one is a file that does not exist.
        """
        for source in sources:
            if not is_url(source) and not is_camera(source) and not Path(source).exists():
                raise MemvitError(f"{source}: no such file or folder; check the path")
        self._first += [StreamRequest(source=source, pace=pace and not is_url(source)) for source in sources]

    def start(self) -> None:
        """Take up the streams of the last run, and begin. Nothing happens the second time."""
        if self._is_started:
            return
        self._is_started = True
        for desk in self._desks:
            desk.start(self._post)
        for stream in self._saver.load():
            try:
                self._take_up(stream)
            except (MemvitError, ValueError, TypeError) as error:
                log.warning("stream %s of the last run is not taken up: %s", stream.stream_id, error)
        known = {entry.request.source for entry in self._entries.values()}
        for request in self._first:
            if request.source not in known:
                self._add(request, request.source)
        self._saver.start()

    def close(self) -> None:
        """Save the streams and stop. Nothing happens the second time."""
        if self._stopping.is_set() or not self._is_started:
            return
        self._stopping.set()
        self._saver.stop()
        for desk in self._desks:
            self._saver.save_last(desk.close())

    @property
    def is_well(self) -> bool:
        """Whether all that watches lives and gets on."""
        return all(desk.is_well for desk in self._desks)

    @property
    def trouble(self) -> str:
        """Why it is not well."""
        failures = [desk.failure for desk in self._desks if desk.failure is not None]
        return failures[0] if failures else "an engine hangs; start the server again"

    @property
    def is_ready(self) -> bool:
        """Whether new streams are welcome: the engines work, and what is added can be saved."""
        return self.is_well and self._saver.is_well and not self._stopping.is_set()

    @property
    def stream_ids(self) -> list[str]:
        """In the order of their coming."""
        return list(self._entries)

    def add(self, request: StreamRequest) -> str:
        """Begin to watch; returns the stream's id once the stream is saved. A MemvitError says why not."""
        location = self.options.rules.check(request.source)
        with self._waiting_turn():
            return self._add(request, location, is_promised=True)

    def remove(self, stream_id: str) -> None:
        """Stop watching, and forget. UnknownStream if there is none."""
        with self._waiting_turn(), self._changing:
            self._entry(stream_id).desk.remove(stream_id)
            del self._entries[stream_id]
            self.board.remove(stream_id)
            self._saver.remove(stream_id)

    def status(self, stream_id: str) -> StreamStatus:
        """How a stream is. UnknownStream if there is none."""
        entry = self._entry(stream_id)
        try:
            reader = entry.desk.status(stream_id)
        except KeyError:
            raise UnknownStream(f"there is no stream {stream_id}") from None
        last = self.board.last(stream_id)
        return StreamStatus(
            id=stream_id,
            name=source_name(entry.request.source),
            source=redact(entry.request.source),
            state=reader.state,
            is_live=reader.is_live,
            width=reader.info.width if reader.info else None,
            height=reader.info.height if reader.info else None,
            session=reader.session,
            last_failure=reader.last_failure,
            stats=asdict(reader.stats),
            condition=last[0].result.quality if last else "ok",
            seconds=last[0].result.centre_seconds if last else None,
            memory_reach_seconds=last[0].result.memory_reach_seconds if last else 0.0,
            **self.board.figures(stream_id),
        )

    @contextmanager
    def looking(self, stream_id: str) -> Iterator[Callable[[], bool]]:
        """While somebody looks at a stream's pictures: without anybody, none are made. Gives a question: is it still
        this stream, and not another of the same name? UnknownStream if there is none.
        """
        entry = self._entry(stream_id)

        def is_there() -> bool:
            return self._entries.get(stream_id) is entry and not self.board.is_closed

        entry.lookers += 1
        entry.desk.look(stream_id, True)
        try:
            yield is_there
        finally:
            entry.lookers -= 1
            if is_there():
                entry.desk.look(stream_id, entry.lookers > 0)

    @contextmanager
    def _waiting_turn(self) -> Iterator[None]:
        """Each change waits for a batch: more than a few waiting would take all of the server's threads."""
        if not self._turns.acquire(blocking=False):
            raise TooBusy(f"{MAX_WAITING} changes are waiting already; try again in a moment")
        try:
            yield
        finally:
            self._turns.release()

    def _entry(self, stream_id: str) -> Entry:
        try:
            return self._entries[stream_id]
        except KeyError:
            raise UnknownStream(f"there is no stream {stream_id}") from None

    def _post(self, news: Sequence[StreamEvent]) -> None:
        """Called by a desk's thread."""
        for item in news:
            if item.stream_id in self._entries:  # what comes after its removal is nobody's
                self.board.post(item)
                log_event(item)
                if isinstance(item, SessionBegan | StreamEnded | StreamFailed):
                    self._saver.note_change(item.stream_id)
        latencies = [item.result.latency for item in news if isinstance(item, ClipResult)]
        if any(latencies):
            self.metrics.answered([latency for latency in latencies if latency is not None])

    def _statuses(self) -> dict[str, ReaderStatus]:
        found = {}
        for stream_id, entry in list(self._entries.items()):
            try:
                found[stream_id] = entry.desk.status(stream_id)
            except KeyError:  # removed meanwhile
                continue
        return found

    def _add(
        self, request: StreamRequest, location: str, standing: ResumeState | None = None, *, is_promised: bool = False
    ) -> str:
        """`is_promised`: somebody will be told that the stream is there, so it must survive a crash from then on."""
        with self._changing:
            if len(self._entries) >= self.options.info.max_streams:
                raise TooManyStreams(f"{self.options.info.max_streams} streams are the most; remove one first")
            stream_id = request.id or free_id(source_name(location), self._entries)
            if stream_id in self._entries:
                raise StreamExists(f"there is a stream {stream_id} already; remove it first, or choose another id")
            request = request.model_copy(update={"id": stream_id})
            loads = [sum(entry.desk is desk for entry in self._entries.values()) for desk in self._desks]
            desk = self._desks[loads.index(min(loads))]
            if not self._saver.add(stream_id, request, desk, standing) and is_promised:
                self._saver.remove(stream_id)
                raise StateNotSaved("the state folder takes no more: free some space there, and try again")
            self._entries[stream_id] = Entry(request, desk)
            try:
                desk.add(WatchRequest(stream_id, location, self._policy(request), request.pace, standing))
            except BaseException:
                del self._entries[stream_id]
                if is_promised:
                    self._saver.remove(stream_id)
                raise
            return stream_id

    def _policy(self, request: StreamRequest) -> LivePolicy:
        """The server's, but for what the request says."""
        policy, age, memory = self.options.policy, request.max_age_seconds, request.keep_memory_seconds
        return replace(
            policy,
            overflow=request.late or policy.overflow,
            max_age_seconds=policy.max_age_seconds if age is None else age,
            memory_timeout_seconds=policy.memory_timeout_seconds if memory is None else memory,
        )

    def _take_up(self, saved: SavedStream) -> None:
        """Go on with a stream of the last run; its memory is of use only to the same weights."""
        request = StreamRequest(**saved.request | {"id": saved.stream_id if is_id(saved.stream_id) else None})
        is_own = any(request.source == first.source for first in self._first)
        location = request.source if is_own else self.options.rules.check(request.source)
        standing = saved.standing
        if saved.model != self.options.info.model:
            log.warning("stream %s was remembered by other weights and starts afresh", saved.stream_id)
            standing = standing.without_memory()
        self._add(request, location, standing)
        if request.id is None:  # an earlier version gave out ids that no path can hold
            self._saver.remove(saved.stream_id)
