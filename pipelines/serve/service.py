"""The thread that watches, and what the server asks of it."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from memvit.boxes import BoxSource
from memvit.engine import Engine
from memvit.labels import Labels
from memvit.live.policy import LivePolicy
from memvit.live.reader import LiveReader, Resumption
from memvit.live.watcher import Answered, Watcher
from memvit.types import MemvitError
from memvit.video.location import is_always_live, is_url, redact, source_name

from .board import Board
from .metrics import Metrics
from .requests import StreamRequest, StreamStatus
from .sources import SourceRules, open_checked
from .state import SavedStream, StateFolder

log = logging.getLogger("memvit.serve")
Returned = TypeVar("Returned")
HUNG_SECONDS = 120.0
"""A batch may be slow on a CPU; a thread that says nothing for longer is not well."""


@dataclass(frozen=True)
class ServeOptions:
    """What the server offers, and its limits."""

    model: str
    """Name and hash, as states on disk are marked with."""
    rules: SourceRules = field(default_factory=SourceRules)
    hop_seconds: float = 1.0
    top_k: int = 5
    max_streams: int = 64
    preview_width: int = 640
    preview_frames_per_second: float = 10.0
    state: Path | None = None
    """Folder that keeps the streams over a restart."""
    save_every_seconds: float = 60.0


class TooManyStreams(MemvitError):
    """The server is full."""


class UnknownStream(MemvitError):
    """There is no such stream."""


class StreamExists(MemvitError):
    """The name is taken."""


@dataclass
class Entry:
    """A stream of the server; it stays listed after it ended, until it is removed."""

    request: StreamRequest
    reader: LiveReader
    saved_at: float = 0.0


class Service:
    """Watches the streams that clients add. Its methods may be called from any thread but its own."""

    def __init__(self, engine: Engine, boxes: BoxSource | None, labels: Labels, options: ServeOptions) -> None:
        """MemvitError if the folder of the state cannot be used."""
        self.engine, self.labels, self.options = engine, labels, options
        self.board = Board(labels, top_k=options.top_k, hop_seconds=options.hop_seconds)
        self.metrics = Metrics(lambda: {name: entry.reader for name, entry in list(self._entries.items())})
        self._watcher = Watcher(
            engine,
            boxes,
            hop_seconds=options.hop_seconds,
            preview_width=options.preview_width,
            preview_frames_per_second=options.preview_frames_per_second,
        )
        self._state = StateFolder(options.state) if options.state else None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._writing: Future[None] | None = None
        self._entries: dict[str, Entry] = {}
        self._first: list[StreamRequest] = []
        self._lookers: dict[str, int] = {}
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Take up the streams of the last run, and begin."""
        if self._state is not None:
            saved, bad = self._state.load()
            for sentence in bad:
                log.warning("%s", sentence)
            for stream in saved:
                try:
                    self._take_up(stream)
                except (MemvitError, ValueError) as error:
                    log.warning("stream %s of the last run is not taken up: %s", stream.stream_id, error)
        self._watcher.warm_up()
        known = {entry.request.source for entry in self._entries.values()}
        for request in self._first:
            if request.source not in known:
                self._add(request, request.source)
        self._thread.start()

    def begin_with(self, sources: Sequence[str], *, pace: bool) -> None:
        """Before `start`: the streams that the server itself was asked for. What clients may not name, it may."""
        self._first += [StreamRequest(source=source, pace=pace and not is_url(source)) for source in sources]

    def close(self) -> None:
        """Save the streams and stop."""
        self._stopping.set()
        self._thread.join(timeout=30)
        self._writer.shutdown(wait=True)

    @property
    def is_well(self) -> bool:
        """Whether the watching thread lives and gets on."""
        return self._thread.is_alive() and time.monotonic() - self._beat < HUNG_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether new streams are welcome."""
        return self.is_well and not self._stopping.is_set()

    @property
    def stream_ids(self) -> list[str]:
        """In the order of their coming."""
        return list(self._entries)

    def add(self, request: StreamRequest) -> str:
        """Begin to watch; returns the stream's name. A MemvitError says why not."""
        location = self.options.rules.check(request.source)
        return self._do(partial(self._add, request, location))

    def remove(self, stream_id: str) -> None:
        """Stop watching, and forget. UnknownStream if there is none."""
        self._do(partial(self._remove, stream_id))

    def status(self, stream_id: str) -> StreamStatus:
        """How a stream is. UnknownStream if there is none."""
        entry = self._entries.get(stream_id)
        if entry is None:
            raise UnknownStream(f"there is no stream {stream_id}")
        reader, last = entry.reader, self.board.last(stream_id)
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

    def look(self, stream_id: str, step: int) -> None:
        """One more viewer (`step` 1) of a stream's pictures, or one less (-1): without any, none are made."""
        entry = self._entries.get(stream_id)
        self._lookers[stream_id] = self._lookers.get(stream_id, 0) + step
        if entry is not None:
            entry.reader.wants_preview = self._lookers[stream_id] > 0

    # What follows is done by the watching thread (or before it starts).

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

    def _run(self) -> None:
        while not self._stopping.is_set():
            while not self._commands.empty():
                self._commands.get()()
            news = self._watcher.step()
            for item in news:
                self.board.post(item)
            answered = [item for item in news if isinstance(item, Answered)]
            if answered:
                self.metrics.answered([item.result.latency for item in answered if item.result.latency])
            self._beat = time.monotonic()
            self._save_one()
        self._save_all()
        self._watcher.close()

    def _add(self, request: StreamRequest, location: str, resumption: Resumption | None = None) -> str:
        if len(self._entries) >= self.options.max_streams:
            raise TooManyStreams(f"{self.options.max_streams} streams are the most; remove one first")
        stream_id = request.id or self._free_name(location)
        if stream_id in self._entries:
            raise StreamExists(f"there is a stream {stream_id} already; remove it first, or choose another id")
        policy = LivePolicy(
            late=request.late,
            max_age_seconds=request.max_age_seconds,
            keep_memory_seconds=request.keep_memory_seconds,
        )
        is_live = request.pace or is_always_live(location)
        from_seconds = 0.0
        if resumption is not None and not is_live:
            lead_seconds = self._watcher.lead_seconds
            from_seconds = max(0.0, resumption.last_centre_seconds + self.options.hop_seconds - lead_seconds)
        reader = self._watcher.add(
            stream_id,
            location,
            policy=policy,
            connect=partial(open_checked, location, policy, pace=request.pace, from_seconds=from_seconds),
            is_live=is_live,
            is_patient=is_url(location),
            resumption=resumption,
        )
        reader.wants_preview = self._lookers.get(stream_id, 0) > 0
        self._entries[stream_id] = Entry(request.model_copy(update={"id": stream_id}), reader, time.monotonic())
        return stream_id

    def _free_name(self, location: str) -> str:
        stem = "".join(letter if letter.isascii() else "_" for letter in source_name(location))[:56].lstrip("_.-")
        names = itertools.chain([stem or "stream"], (f"{stem or 'stream'}-{number}" for number in itertools.count(2)))
        return next(name for name in names if name not in self._entries)

    def _remove(self, stream_id: str) -> None:
        if stream_id not in self._entries:
            raise UnknownStream(f"there is no stream {stream_id}")
        self._watcher.remove(stream_id)
        del self._entries[stream_id]
        self.board.remove(stream_id)
        if self._state is not None:
            self._writer.submit(self._state.remove, stream_id)

    def _take_up(self, saved: SavedStream) -> None:
        """Go on with a stream of the last run: with its memory, if it has not been away for too long."""
        request = StreamRequest(**saved.request)
        is_own = any(request.source == first.source for first in self._first)
        location = request.source if is_own else self.options.rules.check(request.source)
        away_seconds = max(0.0, time.time() - saved.saved_unix)
        is_live = request.pace or is_always_live(location)
        resumption = None
        if saved.last_centre_seconds is not None:
            is_kept = saved.model == self.options.model and (not is_live or away_seconds <= request.keep_memory_seconds)
            snapshot = saved.snapshot if is_kept else None
            resumption = Resumption(
                next_index=snapshot.next_index if snapshot else 0,
                session=saved.session + (snapshot is None),
                last_centre_seconds=saved.last_centre_seconds,
                passed_seconds=saved.ahead_seconds + away_seconds,
            )
            if snapshot is not None:
                self.engine.restore(saved.stream_id, snapshot)
        self._add(request, location, resumption)

    def _save_one(self) -> None:
        """Save the stream whose turn it is, unless the last one is still being written."""
        if self._state is None or (self._writing is not None and not self._writing.done()):
            return
        due_at = time.monotonic() - self.options.save_every_seconds
        for stream_id, entry in self._entries.items():
            if entry.saved_at < due_at:
                entry.saved_at = time.monotonic()
                self._writing = self._writer.submit(self._write, self._saved(stream_id, entry))
                return

    def _save_all(self) -> None:
        if self._state is not None:
            for stream_id, entry in self._entries.items():
                self._writer.submit(self._write, self._saved(stream_id, entry))

    def _saved(self, stream_id: str, entry: Entry) -> SavedStream:
        snapshot = None
        with suppress(KeyError):
            snapshot = self.engine.snapshot(stream_id)
        last = self.board.last(stream_id)
        centre_seconds = last[0].result.centre_seconds if last else entry.reader.resumed_seconds
        return SavedStream(
            stream_id=stream_id,
            model=self.options.model,
            request=entry.request.model_dump(),
            saved_unix=time.time(),
            session=last[0].result.session if last else entry.reader.session,
            last_centre_seconds=centre_seconds,
            ahead_seconds=max(0.0, (entry.reader.position_seconds or 0.0) - (centre_seconds or 0.0)),
            snapshot=snapshot,
        )

    def _write(self, stream: SavedStream) -> None:
        assert self._state is not None
        try:
            self._state.save(stream)
        except OSError as error:
            log.warning("the state of stream %s cannot be saved (%s); what was saved stands", stream.stream_id, error)
