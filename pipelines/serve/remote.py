"""Engine workers in processes of their own, on Ray: one engine each, on one machine with several GPUs or on a cluster.

An actor holds an `EngineWorker` and buffers its events; the server fetches them. An actor that dies is replaced: its
streams go on from their last known resume state, with their memory if that is not too old, in a new session otherwise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from memvit.engine.settings import ModelSettings
from memvit.runtime.threads import share_threads
from memvit.streams.events import ReaderStatus, StreamStats
from memvit.types import MemvitError
from pipelines.cluster import Cluster

from .event_buffer import EventBuffer
from .handle import HUNG_SECONDS, EngineDown, OnEvents, WatchRequest, WorkerEvent, WorkerHandle, WorkerSettings
from .resume import ResumeState
from .worker import EngineWorker
from .worker_events import EventSettings

log = logging.getLogger("memvit.serve")
POLL_SECONDS = 0.5
"""How long an actor waits for events before it reports without any."""
MAX_RESUME_STATE_AGE_SECONDS = 15.0
"""How old the known resume state of a stream may be when its actor dies."""
CALL_SECONDS = 120.0
RETRY_SECONDS = 5.0
CONNECTING = ReaderStatus("connecting", False, None, 0, None, None, 0.0, None, StreamStats())
"""Status of a stream of which the actor has not reported yet."""


@dataclass(frozen=True)
class Report:
    """What has happened in an actor since its last report."""

    events: list[WorkerEvent]
    statuses: dict[str, ReaderStatus]
    is_healthy: bool
    failure: str | None = None
    """Why the engine has ended for good; None while it has not."""
    dropped_events: int = 0
    """Events that were dropped since the last report, because they were not fetched in time."""


class EngineActor:
    """A thin wrapper of an `EngineWorker` whose events wait in a bounded buffer."""

    def __init__(self, settings: ModelSettings, worker_settings: WorkerSettings, threads: int) -> None:
        share_threads(threads)
        engine, _, boxes = settings.build()
        self._worker = EngineWorker(engine, boxes, worker_settings)
        self._events = EventBuffer()
        self._stream_ids: list[str] = []
        self._worker.start(self._events.put)

    def report(self, timeout_seconds: float) -> Report:
        """The events, as soon as there are any, and all statuses; without events after `timeout_seconds`."""
        events, dropped = self._events.take(timeout_seconds)
        statuses = {}
        for stream_id in list(self._stream_ids):
            with suppress(KeyError):
                statuses[stream_id] = self._worker.status(stream_id)
        return Report(events, statuses, self._worker.is_healthy, self._worker.failure, dropped)

    def add(self, request: WatchRequest) -> ReaderStatus:
        """Watch a stream."""
        self._worker.add(request)
        self._stream_ids.append(request.stream_id)
        return self._worker.status(request.stream_id)

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream, and forget its events that were not fetched."""
        self._stream_ids = [one for one in self._stream_ids if one != stream_id]
        self._worker.remove(stream_id)
        self._events.discard(stream_id)

    def change_rules(self, settings: EventSettings) -> None:
        """Other rules of events."""
        self._worker.change_rules(settings)

    def set_preview_wanted(self, stream_id: str, is_wanted: bool) -> None:
        """Make preview frames of a stream, or stop making them."""
        self._worker.set_preview_wanted(stream_id, is_wanted)

    def resume_state(self, stream_id: str) -> ResumeState:
        """What is needed to go on with a stream."""
        return self._worker.resume_state(stream_id)

    def close(self) -> dict[str, ResumeState]:
        """Stop the engine; returns the resume state of every stream."""
        return self._worker.close()


@dataclass
class _RemoteStream:
    """What the server knows of a stream of an actor."""

    request: WatchRequest
    resume_state: ResumeState | None = None
    resume_state_at: float = field(default_factory=time.monotonic)
    """`time.monotonic()` when the actor was last asked for the resume state."""
    is_preview_wanted: bool = False


class RemoteEngineWorker:
    """A `WorkerHandle` in an actor; a thread of this process fetches the actor's reports."""

    def __init__(self, actor_class: Any, arguments: tuple[Any, ...]) -> None:
        self._actor_class, self._arguments = actor_class, arguments
        self._actor = actor_class.remote(*arguments)
        self._streams: dict[str, _RemoteStream] = {}
        self._statuses: dict[str, ReaderStatus] = {}
        self._changing = threading.Lock()
        """Held while streams are added or removed, and while the actor is replaced."""
        self._stopping = threading.Event()
        self._reported_at = time.monotonic()
        self._reports_healthy = True
        self._thread: threading.Thread | None = None
        self.failure: str | None = None
        """Always None: an engine that has ended is replaced."""

    @property
    def is_healthy(self) -> bool:
        """Whether the actor has reported lately that its engine is healthy."""
        return self._reports_healthy and time.monotonic() - self._reported_at < HUNG_SECONDS

    def start(self, on_events: OnEvents) -> None:
        """Wait until the actor has loaded its model, and start the thread. MemvitError if it cannot be loaded."""
        try:
            ray.get(self._actor.report.remote(0.0))
        except (RayActorError, RayTaskError) as error:
            raise MemvitError(f"an engine could not be started ({str(error).strip().splitlines()[-1]})") from error
        self._reported_at = time.monotonic()
        self._thread = threading.Thread(target=self._fetch_reports, args=(on_events,), name="reports", daemon=True)
        self._thread.start()

    def close(self) -> dict[str, ResumeState]:
        """Stop the actor; returns the resume state of every stream, or nothing if the actor does not answer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        resume_states: dict[str, ResumeState] = {}
        with suppress(Exception):  # what was saved earlier stands
            resume_states = ray.get(self._actor.close.remote(), timeout=60)
        ray.kill(self._actor)
        return resume_states

    def add(self, request: WatchRequest) -> None:
        """Watch a stream."""
        stream_id = request.stream_id
        with self._changing:
            self._streams[stream_id] = _RemoteStream(request, request.resume_state)
            self._statuses[stream_id] = CONNECTING
            try:
                self._statuses[stream_id] = self._call("add", request)
            except RayActorError:  # the actor that replaces this one gets the request
                pass
            except BaseException:
                self._forget(stream_id)
                raise

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream."""
        with self._changing:
            self._forget(stream_id)
            with suppress(RayActorError):
                self._call("remove", stream_id)

    def _forget(self, stream_id: str) -> None:
        self._streams.pop(stream_id, None)
        self._statuses.pop(stream_id, None)

    def change_rules(self, settings: EventSettings) -> None:
        """Other rules of events, also for the actor that may replace this one."""
        with self._changing:
            model_settings, worker_settings, threads = self._arguments
            self._arguments = model_settings, replace(worker_settings, events=settings), threads
            with suppress(RayActorError):
                self._call("change_rules", settings)

    def set_preview_wanted(self, stream_id: str, is_wanted: bool) -> None:
        """Make preview frames of a stream, or stop making them; an unknown stream is ignored."""
        if stream_id in self._streams:
            self._streams[stream_id].is_preview_wanted = is_wanted
            self._actor.set_preview_wanted.remote(stream_id, is_wanted)

    def status(self, stream_id: str) -> ReaderStatus:
        """The last reported status of a stream; KeyError if this worker does not watch it."""
        return self._statuses[stream_id]

    def resume_state(self, stream_id: str) -> ResumeState:
        """What is needed to go on with a stream, or the last that was known of it if the actor has died."""
        stream = self._streams[stream_id]
        try:
            stream.resume_state = self._call("resume_state", stream_id)
            stream.resume_state_at = time.monotonic()
        except RayActorError:
            if stream.resume_state is None:
                raise KeyError(stream_id) from None
        return stream.resume_state

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=CALL_SECONDS)
        except GetTimeoutError:
            raise EngineDown(f"an engine has not answered for {CALL_SECONDS:.0f} s") from None

    def _fetch_reports(self, on_events: OnEvents) -> None:
        while not self._stopping.is_set():
            try:
                self._handle(ray.get(self._actor.report.remote(POLL_SECONDS)), on_events)
            except RayActorError as error:
                if not self._stopping.is_set():
                    log.warning("an engine died (%s) and is replaced", str(error).strip().splitlines()[0])
                    self._replace()
            except Exception as error:  # nobody else fetches reports, so this thread must go on
                log.warning("the report of an engine could not be read (%r)", error)
                self._stopping.wait(POLL_SECONDS)

    def _handle(self, report: Report, on_events: OnEvents) -> None:
        self._reported_at, self._reports_healthy = time.monotonic(), report.is_healthy
        self._statuses |= {name: status for name, status in report.statuses.items() if name in self._streams}
        if report.dropped_events:
            log.warning("%d events of an engine were dropped: the server is too slow", report.dropped_events)
        if report.events:
            on_events(report.events)
        if report.failure is not None:
            log.warning("an engine has ended (%s) and is replaced", report.failure)
            ray.kill(self._actor)
            self._replace()
        else:
            self._refresh_one_resume_state()

    def _refresh_one_resume_state(self) -> None:
        """Ask for one resume state that is too old: one a report, so that reports do not wait for many."""
        due_at = time.monotonic() - MAX_RESUME_STATE_AGE_SECONDS
        for stream_id, stream in list(self._streams.items()):
            if stream.resume_state_at < due_at:
                with suppress(KeyError, RayTaskError, EngineDown):
                    self.resume_state(stream_id)
                return

    def _replace(self) -> None:
        """Start another actor, again and again until one works, and have it watch the streams of the lost one."""
        self._reports_healthy = False
        while not self._stopping.is_set():
            try:
                with self._changing:
                    self._actor = self._actor_class.remote(*self._arguments)
                    for stream_id, stream in list(self._streams.items()):
                        request = replace(stream.request, resume_state=stream.resume_state)
                        self._statuses[stream_id] = self._call("add", request)
                        self._actor.set_preview_wanted.remote(stream_id, stream.is_preview_wanted)
                self._reported_at, self._reports_healthy = time.monotonic(), True
                return
            except Exception as error:  # this actor has died as well, or could not load the model in time
                log.warning("an engine could not be replaced (%r); another attempt follows", error)
                with suppress(Exception):
                    ray.kill(self._actor)
                self._stopping.wait(RETRY_SECONDS)


def remote_workers(
    settings: ModelSettings, worker_settings: WorkerSettings, count: int, address: str | None
) -> Sequence[WorkerHandle]:
    """`count` workers on this machine, or on the cluster at an address. MemvitError if it cannot be reached."""
    settings = Cluster.join(address).settled(settings)
    on_gpu = settings.device != "cpu"
    cores = ray.cluster_resources().get("CPU", 1.0)
    share = min(1.0, max(0.01, int(100 * cores / count) / 100))
    # Calls of an actor must not wait for the report that is being waited for.
    options = {"num_cpus": share, "num_gpus": 1 if on_gpu else 0, "max_concurrency": 4}
    actor_class = ray.remote(EngineActor).options(**options)
    threads = 1 if on_gpu else max(1, int(cores) // count)
    return [RemoteEngineWorker(actor_class, (settings, worker_settings, threads)) for _ in range(count)]
