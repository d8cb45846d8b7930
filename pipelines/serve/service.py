"""What the server does: it watches streams on one engine or several, publishes their events, and saves their state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.labels import Labels
from memvit.streams.events import ReaderStatus, SessionBegan
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult
from memvit.types import MemvitError
from memvit.video.sources.location import is_camera, is_url, redact, source_name
from pipelines.record.recording import Recording

from .addresses import AddressRules
from .errors import StateNotSaved, StreamExists, TooBusy, TooManyStreams, UnknownStream, nothing_to_reload
from .event_options import EventOptions
from .handle import WatchRequest, WorkerEvent, WorkerHandle
from .hub import EventHub
from .ids import free_id, is_id
from .metrics import Metrics
from .requests import StreamRequest, StreamStatus
from .resume import ResumeState
from .saving import Saver
from .serve_options import ServeOptions
from .server_config import StreamConfig
from .state import SavedStream, StateFolder
from .stream_log import log_event
from .told_events import ToldEvents
from .worker_events import EventSettings
from .zones import ZoneFile, zone_file

log = logging.getLogger("memvit.serve")
MAX_PENDING_CHANGES = 16
"""Bound of the additions and removals that wait for an engine at the same time; each of them holds a thread."""


@dataclass
class Entry:
    """A stream of the server; it is listed until it is removed, also after it has ended."""

    request: StreamRequest
    worker: WorkerHandle
    preview_viewers: int = 0
    """How many clients read its pictures."""


class Service:
    """The streams of the server. All methods may be called from any thread."""

    def __init__(self, workers: Sequence[WorkerHandle], labels: Labels, options: ServeOptions) -> None:
        """MemvitError if the state folder cannot be used."""
        self.labels, self.options = labels, options
        self.hub = EventHub(labels, top_k=options.top_k, hop_seconds=options.worker.hop_seconds)
        self.metrics = Metrics(self._statuses)
        self.told = ToldEvents(options.events, labels, self.metrics)
        self._workers = workers
        folder = StateFolder(options.state) if options.state else None
        self._saver = Saver(folder, options.info.model, options.save_every_seconds)
        self._entries: dict[str, Entry] = {}
        self._initial_requests: list[StreamRequest] = []
        self._changing = threading.Lock()
        """Held while a stream is added or removed."""
        self._pending_changes = threading.BoundedSemaphore(MAX_PENDING_CHANGES)
        self._stopping = threading.Event()
        self._is_started = False
        self.reload: Callable[[], str] = nothing_to_reload
        """Reads the configuration again and takes it over; returns what has changed, in words. MemvitError if the
        configuration is wrong; nothing has changed then."""
        self.zone_file: ZoneFile = zone_file(None, None, self.reload)

    def change_events(self, options: EventOptions) -> None:
        """Other rules and sinks; streams, their memory and the events of rules that stay are not disturbed."""
        rules = options.rules or Rules()
        self.told.change(options)
        for worker in self._workers:
            worker.change_rules(EventSettings(rules, self.labels, options.record))
        info = self.options.info.model_copy(update={"rules": [rule.name for rule in rules.rules]})
        self.options = replace(self.options, events=options, info=info)

    def add_configured(self, stream: StreamConfig) -> None:
        """Watch a stream of the configuration; the rules for clients do not hold. MemvitError if it cannot be."""
        with self._pending_change():
            request = StreamRequest(source=stream.source, id=stream.id, realtime=stream.realtime)
            self._add(request, request.source)

    def reload_and_log(self) -> None:
        """Read the configuration again; the log says what came of it."""
        try:
            log.warning("the configuration is taken over: %s", self.reload())
        except MemvitError as error:
            log.error("the configuration is not taken over: %s", error)

    def add_initial_streams(
        self, sources: Sequence[str], *, realtime: bool, configured: Sequence[StreamConfig] = ()
    ) -> None:
        """Streams to watch from the start, to be named before `start`, on the command line or in the configuration. The
        rules for clients do not hold for them.

        MemvitError if one is a file that does not exist.
        """
        for source in [*sources, *(stream.source for stream in configured)]:
            if not is_url(source) and not is_camera(source) and not Path(source).exists():
                raise MemvitError(f"{source}: no such file or folder; check the path")
        self._initial_requests += [
            StreamRequest(source=source, realtime=realtime and not is_url(source)) for source in sources
        ]
        self._initial_requests += [
            StreamRequest(source=stream.source, id=stream.id, realtime=stream.realtime) for stream in configured
        ]

    def start(self) -> None:
        """Start the engines, resume the streams of the last run, add the initial ones. A second call does nothing."""
        if self._is_started:
            return
        self._is_started = True
        self.told.start()
        for worker in self._workers:
            worker.start(self._publish)
        for stream in self._saver.load():
            try:
                self._resume(stream)
            except (MemvitError, ValueError, TypeError) as error:
                log.warning("stream %s of the last run is not resumed: %s", stream.stream_id, error)
        known = {entry.request.source for entry in self._entries.values()}
        for request in self._initial_requests:
            if request.source not in known:
                self._add(request, request.source)
        self._saver.start()
        self.told.finish_leftovers(self.stream_ids, self.options.worker.limits, lambda news: self._publish([news]))

    def close(self) -> None:
        """Save the streams and stop. A second call does nothing."""
        if self._stopping.is_set() or not self._is_started:
            return
        self._stopping.set()
        self._saver.stop()
        for worker in self._workers:
            self._saver.save_last(worker.close())
        self.told.close()

    @property
    def is_healthy(self) -> bool:
        """Whether every engine runs and has finished a step lately."""
        return all(worker.is_healthy for worker in self._workers)

    @property
    def failure(self) -> str:
        """Why the server is not healthy."""
        failures = [worker.failure for worker in self._workers if worker.failure is not None]
        return failures[0] if failures else "an engine hangs; start the server again"

    @property
    def is_ready(self) -> bool:
        """Whether streams can be added: the engines are healthy, and streams can be saved."""
        return self.is_healthy and self._saver.is_healthy and not self._stopping.is_set()

    @property
    def stream_ids(self) -> list[str]:
        """Ids of all streams, in the order in which they were added."""
        return list(self._entries)

    def add(self, request: StreamRequest) -> str:
        """Watch a stream that a client names; returns its id once it is saved. MemvitError if it is not added."""
        location = self.options.rules.check(request.source)
        with self._pending_change():
            return self._add(request, location, addresses=self.options.rules.addresses, must_be_saved=True)

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream, and delete its saved state. UnknownStream if there is none."""
        with self._pending_change(), self._changing:
            self._entry(stream_id).worker.remove(stream_id)
            del self._entries[stream_id]
            self.hub.remove(stream_id)
            self._saver.remove(stream_id)

    def ids_of(self, source: str, stream_id: str | None) -> list[str]:
        """The ids of the streams of a source; with an id, of that stream only."""
        entries = list(self._entries.items())
        return [name for name, entry in entries if entry.request.source == source and stream_id in (None, name)]

    def status(self, stream_id: str) -> StreamStatus:
        """The status of a stream. UnknownStream if there is none."""
        entry = self._entry(stream_id)
        try:
            reader = entry.worker.status(stream_id)
        except KeyError:
            raise UnknownStream(f"there is no stream {stream_id}") from None
        last = self.hub.last(stream_id)
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
            condition=last.result.quality if last else "ok",
            seconds=last.result.centre_seconds if last else None,
            has_picture=last is not None and bool(last.clip.preview),
            memory_reach_seconds=last.result.memory_reach_seconds if last else 0.0,
            **self.hub.performance(stream_id),
        )

    @contextmanager
    def previewing(self, stream_id: str) -> Iterator[Callable[[], bool]]:
        """While a client reads a stream's pictures; without any client, none are made. Gives a function that tells
        whether the stream is still watched, and no other one has its id. UnknownStream if there is none.
        """
        entry = self._entry(stream_id)

        def is_there() -> bool:
            return self._entries.get(stream_id) is entry and not self.hub.is_closed

        entry.preview_viewers += 1
        entry.worker.set_preview_wanted(stream_id, True)
        try:
            yield is_there
        finally:
            entry.preview_viewers -= 1
            if is_there():
                entry.worker.set_preview_wanted(stream_id, entry.preview_viewers > 0)

    @contextmanager
    def _pending_change(self) -> Iterator[None]:
        """A change waits for the batch at hand, and holds a thread meanwhile: only a few may wait at a time."""
        if not self._pending_changes.acquire(blocking=False):
            raise TooBusy(f"{MAX_PENDING_CHANGES} streams are being added or removed already; try again in a moment")
        try:
            yield
        finally:
            self._pending_changes.release()

    def _entry(self, stream_id: str) -> Entry:
        try:
            return self._entries[stream_id]
        except KeyError:
            raise UnknownStream(f"there is no stream {stream_id}") from None

    def _publish(self, events: Sequence[WorkerEvent]) -> None:
        """Called by the threads of a worker."""
        self.told.add_recordings(events)
        self.told.add([event for event in events if isinstance(event, Event) and event.stream_id in self._entries])
        for event in events:
            # Otherwise the stream was removed meanwhile; its last recording may be ready some time later.
            if event.stream_id in self._entries or isinstance(event, Recording):
                self.hub.publish(event)
                log_event(event)
                if isinstance(event, SessionBegan | StreamEnded | StreamFailed):
                    self._saver.note_change(event.stream_id)
        self.told.add_results([event.result for event in events if isinstance(event, ClipResult)])

    def _statuses(self) -> dict[str, ReaderStatus]:
        found = {}
        for stream_id, entry in list(self._entries.items()):
            try:
                found[stream_id] = entry.worker.status(stream_id)
            except KeyError:  # removed meanwhile
                continue
        return found

    def _add(
        self,
        request: StreamRequest,
        location: str,
        resume_state: ResumeState | None = None,
        *,
        addresses: AddressRules | None = None,
        must_be_saved: bool = False,
    ) -> str:
        """`addresses` limit where a client's source leads. `must_be_saved`: a client will be told that the stream is
        added, so it must survive a crash from then on.
        """
        with self._changing:
            if len(self._entries) >= self.options.info.max_streams:
                raise TooManyStreams(f"{self.options.info.max_streams} streams are the most; remove one first")
            stream_id = request.id or free_id(source_name(location), self._entries)
            if stream_id in self._entries:
                raise StreamExists(f"there is a stream {stream_id} already; remove it first, or choose another id")
            request = request.model_copy(update={"id": stream_id})
            resume_state = resume_state or ResumeState(run=f"{time.time():.6f}")
            loads = [sum(entry.worker is worker for entry in self._entries.values()) for worker in self._workers]
            worker = self._workers[loads.index(min(loads))]
            if not self._saver.add(stream_id, request, worker, resume_state) and must_be_saved:
                self._saver.remove(stream_id)
                raise StateNotSaved("the state folder takes no more: free some space there, and try again")
            self._entries[stream_id] = Entry(request, worker)
            try:
                policy = self._policy(request)
                worker.add(WatchRequest(stream_id, location, policy, request.realtime, resume_state, addresses))
            except BaseException:
                del self._entries[stream_id]
                if must_be_saved:
                    self._saver.remove(stream_id)
                raise
            return stream_id

    def _policy(self, request: StreamRequest) -> LivePolicy:
        """The server's policy, with what the request says instead."""
        policy, age, memory = self.options.policy, request.max_age_seconds, request.memory_timeout_seconds
        return replace(
            policy,
            overflow=request.overflow or policy.overflow,
            max_age_seconds=policy.max_age_seconds if age is None else age,
            memory_timeout_seconds=policy.memory_timeout_seconds if memory is None else memory,
        )

    def _resume(self, saved: SavedStream) -> None:
        """Go on with a stream of the last run. Its memory can only be used with the same weights."""
        request = StreamRequest(**saved.request | {"id": saved.stream_id if is_id(saved.stream_id) else None})
        is_own = any(request.source == initial.source for initial in self._initial_requests)
        rules = self.options.rules
        location = request.source if is_own else rules.check(request.source)
        resume_state = saved.resume_state
        if saved.model != self.options.info.model:
            log.warning("stream %s was saved with other weights and starts with empty memory", saved.stream_id)
            resume_state = resume_state.without_memory()
        self._add(request, location, resume_state, addresses=None if is_own else rules.addresses)
        if request.id is None:  # an earlier version made ids that cannot stand in a path
            self._saver.remove(saved.stream_id)
