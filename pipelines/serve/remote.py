"""Desks in processes of their own, on Ray: one engine each, on one machine with several GPUs or on a cluster.

The actor is a desk with a box for its news; this side empties the box. An actor that dies is replaced: its streams go
on from what was last known of them, with their memory if that is not too old, in a new session otherwise.
"""

from __future__ import annotations

import logging
import queue
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
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import MemvitError
from pipelines.cluster import Cluster

from .worker import (
    HUNG_SECONDS,
    EngineDown,
    EngineWorker,
    OnNews,
    ResumeState,
    WatchRequest,
    WorkerHandle,
    WorkerSettings,
)

log = logging.getLogger("memvit.serve")
POLL_SECONDS = 0.5
STANDING_EVERY_SECONDS = 15.0
"""How old what is known of a stream may be when its actor dies."""
CALL_SECONDS = 120.0
RETRY_SECONDS = 5.0
CONNECTING = ReaderStatus("connecting", False, None, 0, None, None, 0.0, None, StreamStats())
"""Of a stream whose actor has not said anything yet."""


@dataclass(frozen=True)
class Report:
    """What an actor says each time it is asked."""

    news: list[StreamEvent]
    statuses: dict[str, ReaderStatus]
    is_well: bool
    failure: str | None = None
    """Why the engine has ended, if it has."""


class EngineActor:
    """A desk whose news wait in a box; a thin wrapper, see `EngineWorker`."""

    def __init__(self, settings: ModelSettings, desk_settings: WorkerSettings, threads: int) -> None:
        share_threads(threads)
        engine, _, boxes = settings.build()
        self._desk = EngineWorker(engine, boxes, desk_settings)
        self._news: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
        self._names: list[str] = []
        self._desk.start(self._keep)

    def _keep(self, news: Sequence[StreamEvent]) -> None:
        for item in news:
            self._news.put(item.without_images() if isinstance(item, ClipResult) else item)

    def report(self, seconds: float) -> Report:
        """The news, as soon as there are any, but after `seconds` in any case."""
        news: list[StreamEvent] = []
        with suppress(queue.Empty):
            news.append(self._news.get(timeout=seconds))
            while True:
                news.append(self._news.get_nowait())
        statuses = {}
        for name in list(self._names):
            with suppress(KeyError):
                statuses[name] = self._desk.status(name)
        return Report(news, statuses, self._desk.is_well, self._desk.failure)

    def add(self, order: WatchRequest) -> ReaderStatus:
        """Watch a stream."""
        self._desk.add(order)
        self._names.append(order.stream_id)
        return self._desk.status(order.stream_id)

    def remove(self, stream_id: str) -> None:
        """Stop watching; what it has said and nobody heard is nobody's news: another may have its name next."""
        self._names = [name for name in self._names if name != stream_id]
        self._desk.remove(stream_id)
        for _ in range(self._news.qsize()):
            with suppress(queue.Empty):
                item = self._news.get_nowait()
                if item.stream_id != stream_id:
                    self._news.put(item)

    def look(self, stream_id: str, wanted: bool) -> None:
        """Whether pictures are wanted."""
        self._desk.look(stream_id, wanted)

    def standing(self, stream_id: str) -> ResumeState:
        """What is needed to go on."""
        return self._desk.standing(stream_id)

    def close(self) -> dict[str, ResumeState]:
        """End; returns where every stream stood."""
        return self._desk.close()


@dataclass
class _Known:
    """What this side knows of a stream."""

    order: WatchRequest
    standing: ResumeState | None = None
    asked_at: float = field(default_factory=time.monotonic)
    is_looked_at: bool = False


class RemoteEngineWorker:
    """See `WorkerHandle`: an actor, and the thread that hears it."""

    def __init__(self, actor_class: Any, arguments: tuple[Any, ...]) -> None:
        self._actor_class, self._arguments = actor_class, arguments
        self._actor = actor_class.remote(*arguments)
        self._streams: dict[str, _Known] = {}
        self._statuses: dict[str, ReaderStatus] = {}
        self._changing = threading.Lock()
        """Held while streams are added and removed, here or with a successor."""
        self._stopping = threading.Event()
        self._heard_at = time.monotonic()
        self._says_it_is_well = True
        self._thread: threading.Thread | None = None
        self.failure: str | None = None
        """See `WorkerHandle`: never, as an engine that ends is replaced."""

    @property
    def is_well(self) -> bool:
        """See `WorkerHandle`."""
        return self._says_it_is_well and time.monotonic() - self._heard_at < HUNG_SECONDS

    def start(self, on_event: OnNews) -> None:
        """See `WorkerHandle`; returns once the model is there. MemvitError if it is not to be had."""
        try:
            ray.get(self._actor.report.remote(0.0))
        except (RayActorError, RayTaskError) as error:
            raise MemvitError(f"an engine could not be started ({str(error).strip().splitlines()[-1]})") from error
        self._heard_at = time.monotonic()
        self._thread = threading.Thread(target=self._hear, args=(on_event,), name="hear", daemon=True)
        self._thread.start()

    def close(self) -> dict[str, ResumeState]:
        """See `WorkerHandle`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        standings: dict[str, ResumeState] = {}
        with suppress(Exception):  # an actor that is gone says nothing; what was saved stands
            standings = ray.get(self._actor.close.remote(), timeout=60)
        ray.kill(self._actor)
        return standings

    def add(self, order: WatchRequest) -> None:
        """See `WorkerHandle`."""
        with self._changing:
            self._streams[order.stream_id] = _Known(order, order.standing)
            self._statuses[order.stream_id] = CONNECTING
            try:
                self._statuses[order.stream_id] = self._ask("add", order)
            except RayActorError:  # its successor gets the order
                pass
            except BaseException:
                self._forget(order.stream_id)
                raise

    def remove(self, stream_id: str) -> None:
        """See `WorkerHandle`."""
        with self._changing:
            self._forget(stream_id)
            with suppress(RayActorError):
                self._ask("remove", stream_id)

    def _forget(self, stream_id: str) -> None:
        self._streams.pop(stream_id, None)
        self._statuses.pop(stream_id, None)

    def look(self, stream_id: str, wanted: bool) -> None:
        """See `WorkerHandle`."""
        if stream_id in self._streams:
            self._streams[stream_id].is_looked_at = wanted
            self._actor.look.remote(stream_id, wanted)

    def status(self, stream_id: str) -> ReaderStatus:
        """See `WorkerHandle`."""
        return self._statuses[stream_id]

    def standing(self, stream_id: str) -> ResumeState:
        """See `WorkerHandle`."""
        known = self._streams[stream_id]
        try:
            known.standing = self._ask("standing", stream_id)
            known.asked_at = time.monotonic()
        except RayActorError:
            if known.standing is None:
                raise KeyError(stream_id) from None
        return known.standing

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=CALL_SECONDS)
        except GetTimeoutError:
            raise EngineDown(f"an engine has not answered for {CALL_SECONDS:.0f} s") from None

    def _hear(self, on_event: OnNews) -> None:
        while not self._stopping.is_set():
            try:
                report: Report = ray.get(self._actor.report.remote(POLL_SECONDS))
                self._heard_at, self._says_it_is_well = time.monotonic(), report.is_well
                self._statuses |= {name: status for name, status in report.statuses.items() if name in self._streams}
                if report.news:
                    on_event(report.news)
                if report.failure is not None:
                    log.warning("an engine has ended (%s) and is replaced", report.failure)
                    ray.kill(self._actor)
                    self._replace()
                    continue
                self._ask_one_standing()
            except RayActorError as error:
                if not self._stopping.is_set():
                    log.warning("an engine died (%s) and is replaced", str(error).strip().splitlines()[0])
                    self._replace()
            except Exception as error:  # this thread is all that hears the actor
                log.warning("an engine's news could not be read (%r)", error)
                self._stopping.wait(POLL_SECONDS)

    def _ask_one_standing(self) -> None:
        due_at = time.monotonic() - STANDING_EVERY_SECONDS
        for name, known in list(self._streams.items()):
            if known.asked_at < due_at:
                with suppress(KeyError, RayTaskError, EngineDown):
                    self.standing(name)
                return

    def _replace(self) -> None:
        """Another actor takes over, as often as it takes; what the lost one was told it is told, too."""
        self._says_it_is_well = False
        while not self._stopping.is_set():
            try:
                with self._changing:
                    self._actor = self._actor_class.remote(*self._arguments)
                    for name, known in list(self._streams.items()):
                        order = replace(known.order, standing=known.standing)
                        self._statuses[name] = self._ask("add", order)
                        self._actor.look.remote(name, known.is_looked_at)
                self._heard_at, self._says_it_is_well = time.monotonic(), True
                return
            except Exception as error:  # it died as well, or could not load the model in time
                log.warning("an engine could not be replaced (%r); another attempt follows", error)
                with suppress(Exception):
                    ray.kill(self._actor)
                self._stopping.wait(RETRY_SECONDS)


def remote_workers(
    settings: ModelSettings, desk_settings: WorkerSettings, count: int, address: str | None
) -> Sequence[WorkerHandle]:
    """So many desks on this machine, or on the cluster at an address. MemvitError if it cannot be reached."""
    settings = Cluster.join(address).settled(settings)
    on_gpu = settings.device != "cpu"
    cores = ray.cluster_resources().get("CPU", 1.0)
    share = min(1.0, max(0.01, int(100 * cores / count) / 100))
    # Calls of an actor must not wait for the report that is being waited for.
    options = {"num_cpus": share, "num_gpus": 1 if on_gpu else 0, "max_concurrency": 4}
    actor_class = ray.remote(EngineActor).options(**options)
    threads = 1 if on_gpu else max(1, int(cores) // count)
    return [RemoteEngineWorker(actor_class, (settings, desk_settings, threads)) for _ in range(count)]
