"""An engine and its streams in this process, in a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar, cast

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.events.event import Event
from memvit.streams.events import ReaderStatus
from memvit.streams.group import StreamFailed
from memvit.streams.reader import LiveReader
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import MemvitError
from memvit.video.packets import PacketRing
from memvit.video.sources.location import is_always_live, is_url
from pipelines.record.recorder import Recorder

from .commands import CommandQueue
from .handle import HUNG_SECONDS, EngineDown, OnEvents, WatchRequest, WorkerSettings
from .proxy import CheckingProxy, proxy_for
from .resume import ResumeState
from .sources import open_checked
from .worker_events import EventSettings, WorkerEvents

log = logging.getLogger("memvit.serve")
Returned = TypeVar("Returned")
HUNG = "the engine hangs; start the server again"


class EngineWorker:
    """A `WorkerHandle` in this process.

    One thread reads ready clips, answers them in batches, and runs the commands of other threads between two batches,
    so that only this thread touches the engine and the watcher.
    """

    def __init__(self, engine: Engine, boxes: BoxSource | None, settings: WorkerSettings) -> None:
        self._engine, self._settings = engine, settings
        self._watcher = Watcher(
            engine,
            boxes,
            hop_seconds=settings.hop_seconds,
            track_rate=settings.track_rate,
            limits=settings.limits,
            preview_width=settings.preview_width,
            preview_frames_per_second=settings.preview_frames_per_second,
        )
        self._readers: dict[str, LiveReader] = {}
        """Reader of each stream; it is still here, with its last status, after the stream has ended."""
        self._proxies: dict[str, CheckingProxy] = {}
        """Proxy of each http(s) source that a client named."""
        self._last_answered: dict[str, tuple[int, float]] = {}
        """Session, and centre in seconds, of the last answered clip of each stream."""
        self._resumed_from: dict[str, ResumeState] = {}
        """Where an earlier run left each resumed stream."""
        self._events = WorkerEvents(settings.events, settings.hop_seconds)
        self._recorder = self._new_recorder()
        self._on_events: OnEvents = lambda events: None
        self._commands = CommandQueue()
        self._stopping = threading.Event()
        self._last_step_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self.failure: str | None = None
        """Why the engine has ended for good; None while it has not."""

    @property
    def is_healthy(self) -> bool:
        """Whether the thread lives and has finished a step lately."""
        is_alive = self._thread is not None and self._thread.is_alive()
        return is_alive and time.monotonic() - self._last_step_at < HUNG_SECONDS

    def start(self, on_events: OnEvents) -> None:
        """Warm the model up, and start the thread."""
        self._on_events = on_events
        self._watcher.warm_up()
        if self._recorder is not None:
            self._recorder.start()
        self._last_step_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> dict[str, ResumeState]:
        """Stop the thread; returns the resume state of every stream, or nothing if the engine hangs or has failed."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            if self._thread.is_alive():  # it hangs in a batch
                return {}
        if self._recorder is not None:
            self._recorder.close()
        if self.failure is not None:  # memory cannot be read from a failed device; what was saved earlier stands
            return {}
        resume_states = {stream_id: self._resume_state(stream_id) for stream_id in self._readers}
        self._watcher.close()
        self._close_proxies()
        return resume_states

    def add(self, request: WatchRequest) -> None:
        """Watch a stream."""
        self._call(partial(self._add, request))

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream."""
        self._call(partial(self._remove, stream_id))

    def change_rules(self, settings: EventSettings) -> None:
        """Other rules of events."""
        self._call(partial(self._change_rules, settings))

    def set_preview_wanted(self, stream_id: str, is_wanted: bool) -> None:
        """Make preview frames of a stream, or stop making them; an unknown stream is ignored."""
        with suppress(KeyError):
            self._readers[stream_id].wants_preview = is_wanted

    def status(self, stream_id: str) -> ReaderStatus:
        """The status of a stream; KeyError if this worker does not watch it."""
        return self._readers[stream_id].status()

    def resume_state(self, stream_id: str) -> ResumeState:
        """What is needed to go on with a stream; KeyError if this worker does not watch it."""
        return self._call(partial(self._resume_state, stream_id))

    def _call(self, call: Callable[[], Returned]) -> Returned:
        """Have the thread of the engine call something between two batches. EngineDown if it does not."""
        if not self.is_healthy:
            raise EngineDown(self.failure or HUNG)
        done = self._commands.put(call)
        self._watcher.wake()
        if self.failure is not None:  # the engine has ended since it was asked whether it is healthy
            self._commands.refuse_all(EngineDown(self.failure))
        try:
            return cast("Returned", done.result(timeout=HUNG_SECONDS))
        except TimeoutError:
            if not done.cancel():  # the call has begun
                return cast("Returned", done.result(timeout=HUNG_SECONDS))
            raise EngineDown(HUNG) from None

    def _new_recorder(self) -> Recorder | None:
        events = self._settings.events
        if events is None or events.record is None:
            return None
        return Recorder(
            events.record,
            lambda news: self._on_events([news]),
            rules=events.rules,
            hop_seconds=self._settings.hop_seconds,
            limits=self._settings.limits,
        )

    # The thread of the engine calls what follows.

    def _tell(self, told: Sequence[StreamEvent | Event]) -> None:
        self._on_events(told)
        if self._recorder is not None:
            self._recorder.tell(told)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._commands.run_all()
                events = self._watcher.step()
                for event in events:
                    if isinstance(event, ClipResult):
                        self._last_answered[event.stream_id] = event.result.session, event.result.centre_seconds
                if events:
                    self._tell(self._events.with_consequences(events, self.status))
                self._last_step_at = time.monotonic()
            self._commands.run_all()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The engine has ended for good: say so of every stream, stop reading, and refuse what is asked."""
        self.failure = str(error) if isinstance(error, MemvitError) else f"the engine has ended ({error!r})"
        log.error("%s", self.failure, exc_info=None if isinstance(error, MemvitError) else error)
        failed = list(self._watcher.streams)
        self._watcher.close()
        self._close_proxies()
        for stream_id in failed:
            self._readers[stream_id].fail(self.failure)
        self._tell([StreamFailed(stream_id, self.failure) for stream_id in failed])
        self._commands.refuse_all(EngineDown(self.failure))

    def _add(self, request: WatchRequest) -> None:
        stream_id, location, policy = request.stream_id, request.location, request.policy
        self._events.begin(stream_id, request.resume_state)
        from_seconds = self._restore(request)
        packets = self._packets(request)
        proxy = None
        if request.addresses is not None:
            proxy = proxy_for(location, request.addresses, policy.open_timeout_seconds)
        connect = partial(
            open_checked,
            location,
            policy,
            realtime=request.realtime,
            from_seconds=from_seconds,
            limits=self._settings.limits,
            addresses=request.addresses,
            proxy=proxy,
            packets=packets,
        )
        reader = self._watcher.add(
            stream_id,
            location,
            policy=policy,
            connect=connect,
            is_live=is_always_live(location),
            retry_initial=is_url(location) or is_always_live(location),
            resumption=request.resume_state.resumption() if request.resume_state is not None else None,
            packets=packets,
        )
        reader.wants_preview = False
        self._readers[stream_id] = reader
        if proxy is not None:
            self._proxies[stream_id] = proxy

    def _packets(self, request: WatchRequest) -> PacketRing | None:
        """Where the packets of a stream go; None without recordings."""
        if self._recorder is None:
            return None
        resume_state = request.resume_state
        goes_on = resume_state is not None and resume_state.last_centre_seconds is not None
        open_ids = self._events.open_ids(request.stream_id)
        return self._recorder.add(request.stream_id, open_ids, goes_on=goes_on)

    def _restore(self, request: WatchRequest) -> float:
        """Give a resumed stream its memory back; returns from which second of a file its clips are to be read."""
        resume_state = request.resume_state
        if resume_state is None or resume_state.last_centre_seconds is None:
            return 0.0
        self._resumed_from[request.stream_id] = resume_state
        if resume_state.snapshot is not None:
            self._watcher.restore(request.stream_id, resume_state.snapshot)
        if request.realtime:
            return 0.0
        # Early enough for the next clip, and for one that was answered already: a file must not be without any clip.
        centre = resume_state.last_centre_seconds
        first = min(centre + self._settings.hop_seconds - self._watcher.lead_seconds, centre)
        # Recordings also need the packets from before the events, as if the stream had not been interrupted.
        return max(0.0, first - (self._recorder.held_seconds if self._recorder is not None else 0.0))

    def _remove(self, stream_id: str) -> None:
        if ended := self._events.end(stream_id):
            self._tell(ended)
        self._watcher.remove(stream_id)
        if self._recorder is not None:
            self._recorder.remove(stream_id)
        self._readers.pop(stream_id, None)
        self._last_answered.pop(stream_id, None)
        self._resumed_from.pop(stream_id, None)
        if (proxy := self._proxies.pop(stream_id, None)) is not None:
            proxy.close()

    def _change_rules(self, settings: EventSettings) -> None:
        if ended := self._events.change(settings):
            self._tell(ended)
        if self._recorder is not None and settings.record is not None:
            self._recorder.change(settings.record, settings.rules)

    def _close_proxies(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()

    def _resume_state(self, stream_id: str) -> ResumeState:
        status = self._readers[stream_id].status()
        earlier = self._resumed_from.get(stream_id)
        if status.position_seconds is None and earlier is not None:
            return earlier  # no frame has come since the stream was resumed
        session, centre_seconds = self._last_answered.get(stream_id, (0, None))
        if centre_seconds is None and earlier is not None:
            session, centre_seconds = earlier.session, earlier.last_centre_seconds
        snapshot = None
        if self._engine.plan is not None:  # without memory, an old snapshot would be taken for the present one
            with suppress(KeyError):
                snapshot = self._watcher.snapshot(stream_id)
        run, event_state = self._events.saved(stream_id)
        return ResumeState(
            session=session,
            last_centre_seconds=centre_seconds,
            ahead_seconds=max(0.0, (status.position_seconds or 0.0) - (centre_seconds or 0.0)),
            last_frame_unix=time.time() - status.silent_seconds,
            size=status.size,
            snapshot=snapshot,
            run=run,
            events=event_state,
        )
