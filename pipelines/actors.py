"""Extraction on Ray: thin wrappers around the plain classes of `pipelines.extract`, and a pool of these actors.

Decode actors read segments a few clips ahead; inference actors ask them for the next clip. An actor that dies is
replaced, and its segments continue from their last commit; no call of an actor is ever retried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.settings import ModelSettings
from memvit.runtime.threads import share_threads
from memvit.store import Archive, Provenance
from memvit.types import MemvitError
from pipelines.extract.extractor import Extractor, read_settings
from pipelines.extract.reading import ClipRead, Decoder, ReaderLost, ReadEvent, ReadSettings
from pipelines.extract.tasks import ClipRange, ExtractOptions, ExtractTask, Progressed, SegmentLost, TaskEvent, Timings

from .cluster import first_line

TURN_SECONDS = 1.0
"""An inference actor works so long between two reports."""
CLOSE_SECONDS = 60.0
"""Inference actors have so long to commit their results when the pool is closed."""


class RemoteReading:
    """Reads each segment through a decode actor, which always has one request for the next event pending."""

    def __init__(self) -> None:
        self._decoders: dict[str, Any] = {}
        self._requests: dict[Any, str] = {}

    def begin(self, key: str, location: str, clip_range: ClipRange, decoder: Any) -> None:
        """Start to read a segment with the decode actor `decoder`."""
        self._forget(key)
        self._decoders[key] = decoder
        decoder.begin.remote(key, location, clip_range)
        self._requests[decoder.next.remote()] = key

    def ready(self, timeout_seconds: float) -> list[ReadEvent]:
        """Wait for the first event, and return at most one event of each segment; empty after the time-out."""
        first, others = ray.wait(list(self._requests), num_returns=1, timeout=max(timeout_seconds, 0.0))
        if first and others:
            first += ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [event for request in first for event in self._collect(request)]

    def end(self, key: str) -> None:
        """Stop reading a segment."""
        decoder = self._decoders.get(key)
        self._forget(key)
        if decoder is not None:
            decoder.end.remote()

    def close(self) -> None:
        """Stop reading all segments."""
        for key in list(self._decoders):
            self.end(key)

    def _collect(self, request: Any) -> list[ReadEvent]:
        key = self._requests.pop(request)
        try:
            events: list[ReadEvent] = ray.get(request)
        except RayActorError as error:
            self._forget(key)
            return [ReaderLost(key, f"its decoder died: {first_line(error)}")]
        if not events or isinstance(events[0], ClipRead):
            self._requests[self._decoders[key].next.remote()] = key
        return events

    def _forget(self, key: str) -> None:
        self._decoders.pop(key, None)
        self._requests = {request: segment for request, segment in self._requests.items() if segment != key}


class Worker:
    """The inference actor: an `Extractor` with its own copy of the model."""

    def __init__(
        self, settings: ModelSettings, options: ExtractOptions, location: str, provenance: Provenance, threads: int
    ) -> None:
        share_threads(threads)
        engine, _, boxes = settings.build()
        self._extractor = Extractor(engine, boxes, Archive.create(location, provenance), RemoteReading(), options)

    def begin(self, task: ExtractTask, decoder: Any) -> None:
        """Open a segment, which the decode actor `decoder` reads."""
        self._extractor.begin(task, decoder)

    def drop(self, key: str) -> None:
        """Close a segment without a commit."""
        self._extractor.drop(key)

    def advance(self) -> tuple[list[TaskEvent], Timings]:
        """Work for TURN_SECONDS; return what happened and how the worker spent its time so far."""
        return self._extractor.advance(TURN_SECONDS), self._extractor.timings

    def close(self) -> None:
        """Commit the results that are there."""
        self._extractor.close()


@dataclass
class _WorkerHandle:
    """An inference actor with its decode actors and its segments."""

    actor: Any
    idle_decoders: deque[Any]
    """Decode actors without a segment."""
    running: dict[str, tuple[ExtractTask, Any]] = field(default_factory=dict)
    """Key of each open segment → its task and its decode actor; None instead of a decode actor that died."""
    turn: Any = None
    """The pending call of `Worker.advance`; None if there is none."""
    timings: Timings = field(default_factory=Timings)
    """How the worker spent its time, as of its last report."""


class RayPool:
    """A pool of inference actors, each with its own decode actors; actors that die are replaced."""

    def __init__(
        self,
        location: str,
        provenance: Provenance,
        settings: ModelSettings,
        options: ExtractOptions,
        reading: ReadSettings,
        workers: int,
    ) -> None:
        resources = ray.cluster_resources()
        cpus = resources.get("CPU", 1.0)
        on_gpu = settings.device != "cpu"
        # With fewer cores than actors, each actor asks for a part of a core; otherwise some would never be scheduled.
        share = min(1.0, max(0.01, int(100 * cpus / (workers * (options.slots + 1))) / 100))
        threads = 1 if on_gpu else max(1, int(cpus) // workers)
        self._settings = (settings, options, location, provenance, threads)
        self._reading = reading
        self._worker_class = ray.remote(num_cpus=share, num_gpus=1 if on_gpu else 0)(Worker)
        self._decoder_class = ray.remote(num_cpus=share)(Decoder)
        self._requests: list[Any] = []
        self._handles = [self._start_worker(options.slots) for _ in range(workers)]

    def _start_worker(self, decoders: int) -> _WorkerHandle:
        idle_decoders = deque(self._decoder_class.remote(self._reading) for _ in range(decoders))
        return _WorkerHandle(self._worker_class.remote(*self._settings), idle_decoders)

    def free(self) -> int:
        """Return how many more segments can be started now: one for each idle decode actor."""
        return sum(len(handle.idle_decoders) for handle in self._handles)

    def begin(self, task: ExtractTask) -> None:
        """Start a segment on the worker with the most idle decode actors."""
        handle = max(self._handles, key=lambda handle: len(handle.idle_decoders))
        decoder = handle.idle_decoders.popleft()
        handle.running[task.key] = task, decoder
        self._requests.append(handle.actor.begin.remote(task, decoder))

    def drop(self, key: str) -> None:
        """Stop a segment and discard its uncommitted results."""
        for handle in self._handles:
            if key in handle.running:
                self._requests.append(handle.actor.drop.remote(key))
                self._release(handle, key)

    def events(self, seconds: float) -> list[TaskEvent]:
        """Wait at most about so long, and return what happened.

        Raises MemvitError if a worker failed with an error, because another worker would fail in the same way.
        """
        for handle in self._handles:
            if handle.turn is None and handle.running:
                handle.turn = handle.actor.advance.remote()
        turns = {handle.turn: handle for handle in self._handles if handle.turn is not None}
        waiting = [*turns, *self._requests]
        if not waiting:
            return []
        if not ray.wait(waiting, num_returns=1, timeout=seconds)[0]:
            return []
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        events: list[TaskEvent] = []
        for ref in ready:
            if ref in turns:
                events += self._collect(turns[ref])
            else:
                self._requests.remove(ref)
                self._check(ref)
        return events

    def timings(self) -> Timings:
        """Return how all workers together spent their time, as of their last reports."""
        return sum((handle.timings for handle in self._handles), Timings())

    def close(self) -> None:
        """Commit the results that are there, and disconnect from Ray, which ends the actors."""
        closing = [handle.actor.close.remote() for handle in self._handles]
        ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        ray.shutdown()

    def _collect(self, handle: _WorkerHandle) -> list[TaskEvent]:
        turn, handle.turn = handle.turn, None
        try:
            events, handle.timings = ray.get(turn)
        except RayActorError as error:
            return self._replace(handle, f"its worker died: {first_line(error)}")
        except RayTaskError as error:
            raise _cause(error) from error
        for event in events:
            if isinstance(event, SegmentLost) and event.key in handle.running:
                handle.running[event.key] = handle.running[event.key][0], None
            if not isinstance(event, Progressed):
                self._release(handle, event.key)
        return list(events)

    def _release(self, handle: _WorkerHandle, key: str) -> None:
        """Make the decode actor of a segment idle, or replace it if it died."""
        if key in handle.running:
            _, decoder = handle.running.pop(key)
            handle.idle_decoders.append(decoder or self._decoder_class.remote(self._reading))

    def _replace(self, handle: _WorkerHandle, reason: str) -> list[TaskEvent]:
        lost = [SegmentLost(key, reason) for key in handle.running]
        for key in list(handle.running):
            self._release(handle, key)
        handle.actor = self._worker_class.remote(*self._settings)
        return list(lost)

    def _check(self, ref: Any) -> None:
        try:
            ray.get(ref)
        except RayActorError:
            return  # The pending call of `advance` fails as well, and `_collect` replaces the worker.
        except RayTaskError as error:
            raise _cause(error) from error


def ray_pool(
    settings: ModelSettings, options: ExtractOptions, workers: int
) -> Callable[[Archive, Engine, BoxSource | None], RayPool]:
    """Return the function with which `extract` makes its workers, once a cluster was joined."""

    def make(archive: Archive, engine: Engine, boxes: BoxSource | None) -> RayPool:
        reading = read_settings(engine.preprocessing, boxes, options)
        return RayPool(archive.location, archive.provenance, settings, options, reading, workers)

    return make


def _cause(error: RayTaskError) -> BaseException:
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, MemvitError) else MemvitError(f"a worker failed: {first_line(cause or error)}")
