"""What the server does: streams by name, on one desk or several, shown on a board, kept over a restart."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from memvit.labels import Labels
from memvit.live.events import ReaderStatus
from memvit.live.policy import LivePolicy
from memvit.live.watcher import Answered, News
from memvit.types import MemvitError
from memvit.video.location import is_url, redact, source_name

from .board import Board
from .desk import DeskLike, DeskSettings, EngineDown, Order, Standing
from .metrics import Metrics
from .requests import ServerInfo, StreamRequest, StreamStatus
from .sources import SourceRules
from .state import SavedStream, StateFolder

log = logging.getLogger("memvit.serve")
SAVER_STEP_SECONDS = 0.05
MAX_WAITING = 16
"""Changes that may wait for their turn."""


@dataclass(frozen=True)
class ServeOptions:
    """What the server offers, and its limits."""

    info: ServerInfo
    rules: SourceRules = field(default_factory=SourceRules)
    desk: DeskSettings = field(default_factory=DeskSettings)
    top_k: int = 5
    state: Path | None = None
    """Folder that keeps the streams over a restart."""
    save_every_seconds: float = 60.0


class TooManyStreams(MemvitError):
    """The server is full."""


class UnknownStream(MemvitError):
    """There is no such stream."""


class TooBusy(MemvitError):
    """Others are being added and removed; try again."""


class StreamExists(MemvitError):
    """The name is taken."""


@dataclass
class Entry:
    """A stream of the server; it stays listed after it ended, until it is removed."""

    request: StreamRequest
    desk: DeskLike
    saved_at: float
    lookers: int = 0


class Service:
    """Streams that clients add. Its methods may be called from any thread."""

    def __init__(self, desks: Sequence[DeskLike], labels: Labels, options: ServeOptions) -> None:
        """MemvitError if the folder of the state cannot be used."""
        self.labels, self.options = labels, options
        self.board = Board(labels, top_k=options.top_k, hop_seconds=options.desk.hop_seconds)
        self.metrics = Metrics(self._statuses)
        self._desks = desks
        self._state = StateFolder(options.state) if options.state else None
        self._entries: dict[str, Entry] = {}
        self._first: list[StreamRequest] = []
        self._changing = threading.Lock()
        """Held while a stream is added, removed or saved: a removed stream's state must not come back."""
        self._turns = threading.BoundedSemaphore(MAX_WAITING)
        self._stopping = threading.Event()
        self._is_started = False
        self._saver = threading.Thread(target=self._save_on, name="save", daemon=True)

    def begin_with(self, sources: Sequence[str], *, pace: bool) -> None:
        """Before `start`: the streams that the server itself was asked for. What clients may not name, it may."""
        self._first += [StreamRequest(source=source, pace=pace and not is_url(source)) for source in sources]

    def start(self) -> None:
        """Take up the streams of the last run, and begin. Nothing happens the second time."""
        if self._is_started:
            return
        self._is_started = True
        for desk in self._desks:
            desk.start(self._post)
        saved, bad = self._state.load() if self._state is not None else ([], [])
        for sentence in bad:
            log.warning("%s", sentence)
        for stream in saved:
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
        if self._saver.is_alive():
            self._saver.join(timeout=30)
        for desk in self._desks:
            for stream_id, standing in desk.close().items():
                if stream_id in self._entries:
                    self._write(stream_id, self._entries[stream_id], standing)

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
        """Whether new streams are welcome."""
        return self.is_well and self._saver.is_alive() and not self._stopping.is_set()

    @property
    def stream_ids(self) -> list[str]:
        """In the order of their coming."""
        return list(self._entries)

    def add(self, request: StreamRequest) -> str:
        """Begin to watch; returns the stream's name. A MemvitError says why not."""
        location = self.options.rules.check(request.source)
        with self._waiting_turn():
            return self._add(request, location)

    def remove(self, stream_id: str) -> None:
        """Stop watching, and forget. UnknownStream if there is none."""
        with self._waiting_turn(), self._changing:
            self._entry(stream_id).desk.remove(stream_id)
            del self._entries[stream_id]
            self.board.remove(stream_id)
            if self._state is not None:
                self._state.remove(stream_id)

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
            source=redact(entry.request.source),
            state=reader.state,
            is_live=reader.is_live,
            width=reader.info.width if reader.info else None,
            height=reader.info.height if reader.info else None,
            session=reader.session,
            last_failure=reader.last_failure,
            tally=asdict(reader.tally),
            condition=last[0].result.condition if last else "ok",
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

    def _post(self, news: Sequence[News]) -> None:
        """Called by a desk's thread."""
        for item in news:
            if item.stream_id in self._entries:  # what comes after its removal is nobody's
                self.board.post(item)
        latencies = [item.result.latency for item in news if isinstance(item, Answered)]
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

    def _add(self, request: StreamRequest, location: str, standing: Standing | None = None) -> str:
        with self._changing:
            if len(self._entries) >= self.options.info.max_streams:
                raise TooManyStreams(f"{self.options.info.max_streams} streams are the most; remove one first")
            stream_id = request.id or self._free_name(location)
            if stream_id in self._entries:
                raise StreamExists(f"there is a stream {stream_id} already; remove it first, or choose another id")
            policy = LivePolicy(
                late=request.late,
                max_age_seconds=request.max_age_seconds,
                keep_memory_seconds=request.keep_memory_seconds,
            )
            loads = [sum(entry.desk is desk for entry in self._entries.values()) for desk in self._desks]
            desk = self._desks[loads.index(min(loads))]
            self._entries[stream_id] = Entry(request.model_copy(update={"id": stream_id}), desk, time.monotonic())
            try:
                desk.add(Order(stream_id, location, policy, request.pace, standing))
            except BaseException:
                del self._entries[stream_id]
                raise
            return stream_id

    def _free_name(self, location: str) -> str:
        stem = "".join(letter if letter.isascii() else "_" for letter in source_name(location))[:56].lstrip("_.-")
        names = itertools.chain([stem or "stream"], (f"{stem or 'stream'}-{number}" for number in itertools.count(2)))
        return next(name for name in names if name not in self._entries)

    def _take_up(self, saved: SavedStream) -> None:
        """Go on with a stream of the last run; its memory is of use only to the same weights."""
        request = StreamRequest(**saved.request)
        is_own = any(request.source == first.source for first in self._first)
        location = request.source if is_own else self.options.rules.check(request.source)
        standing = saved.standing
        if saved.model != self.options.info.model:
            log.warning("stream %s was remembered by other weights and starts afresh", saved.stream_id)
            standing = standing.without_memory()
        self._add(request, location, standing)

    def _save_on(self) -> None:
        """Save one stream after the other, each when it is due."""
        while not self._stopping.wait(SAVER_STEP_SECONDS):
            due_at = time.monotonic() - self.options.save_every_seconds
            due = [name for name, entry in list(self._entries.items()) if entry.saved_at < due_at]
            if due and self._state is not None:
                self._save(due[0])

    def _save(self, stream_id: str) -> None:
        with self._changing:
            entry = self._entries.get(stream_id)
            if entry is None or self._state is None:
                return
            entry.saved_at = time.monotonic()
            try:
                standing = entry.desk.standing(stream_id)
            except (KeyError, EngineDown):
                return
            self._write(stream_id, entry, standing)

    def _write(self, stream_id: str, entry: Entry, standing: Standing) -> None:
        if self._state is None:
            return
        try:
            self._state.save(SavedStream(stream_id, self.options.info.model, entry.request.model_dump(), standing))
        except OSError as error:
            log.warning("the state of stream %s cannot be saved (%s); what was saved stands", stream_id, error)
