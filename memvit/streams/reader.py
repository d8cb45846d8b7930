"""Reads a stream whose connection may break: it reconnects, and the clips go on.

Each connection is read in a thread of its own. If the thread hangs in FFmpeg, `poll` abandons it: what it does later
has no effect. The state of a reader is consistent for the holder of `changed`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from memvit.streams.events import ReaderEvent, ReaderStatus, SessionBegan, State, StreamLost, StreamStalled, StreamStats
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.queue import EventQueue
from memvit.streams.session import Resumption, SessionSampler
from memvit.types import Clip, MemvitError, SourceError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.packets import PacketRing
from memvit.video.sources.source import Frame, ReadCounts, Source, SourceInfo

SETTLED_SECONDS = 10.0
"""After a connection that has lasted this long, the time between attempts starts from its smallest value again."""
COUNTED = ("corrupt_packets", "non_monotonic_pts", "missing_pts")
"""Counts of sources that are added to the stream's own."""
MAX_HUNG_READERS = 3
"""No new connection is made while this many threads of the stream hang."""


@dataclass(eq=False)
class _Connection:
    """One connection to the source, or one attempt to make it."""

    thread: threading.Thread
    heard_at: float
    opened_at: float = 0.0
    counts: ReadCounts = field(default_factory=ReadCounts)
    counted: dict[str, int] = field(default_factory=dict)
    """The part of the counts that was already added to the stream's counts."""
    is_open: bool = False
    is_waiting_for_room: bool = False


class LiveReader:
    """The events of one stream, for a `ReaderGroup`."""

    def __init__(
        self,
        stream_id: str,
        connect: Callable[[], Source],
        make_sampler: Callable[[], ClipSampler],
        *,
        policy: LivePolicy,
        is_live: bool = False,
        retry_initial: bool | None = None,
        until_seconds: float | None = None,
        resumption: Resumption | None = None,
        packets: PacketRing | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`connect` opens the source and may block. If `is_live` is False, the source says whether it is live once it
        is open. `retry_initial`: whether a source that cannot be opened at first is tried again, or has failed; by
        default only a live one is tried again. `until_seconds` ends the stream at that time of its own. `packets`
        are told their times; `connect` gives them to the source. `clock` and `rng` are for tests.
        """
        self.stream_id, self.policy = stream_id, policy
        self._connect, self._packets = connect, packets
        self._until_seconds, self._clock, self._rng = until_seconds, clock, rng or random.Random()
        self.is_live, self._retry_initial = is_live, is_live if retry_initial is None else retry_initial
        self.changed = threading.Condition()
        self._sampler_lock = threading.Lock()
        self._connection: _Connection | None = None
        self._thread: threading.Thread | None = None
        self._hung, self._failed_attempts = list[threading.Thread](), 0
        self.retry_at = self._heard_at = clock()
        self.finished = False
        self.state: State = "connecting"
        self.info: SourceInfo | None = None
        self.last_failure: str | None = None
        self.stats = StreamStats()
        self._sessions = SessionSampler(
            stream_id,
            make_sampler,
            self.stats,
            memory_timeout_seconds=policy.memory_timeout_seconds,
            clock=clock,
            resumption=resumption,
        )
        self._offered_seconds = resumption.last_centre_seconds if resumption else None
        self._queue = EventQueue(
            policy,
            self.stats,
            hop_seconds=self._sessions.hop_seconds,
            next_index=resumption.next_index if resumption else 0,
            delivered_seconds=self._offered_seconds,
        )

    def start(self, changed: threading.Condition) -> None:
        """Start the first connection; `changed` is notified of every event."""
        self.changed = changed
        with changed:
            self._begin_connection()

    def stop(self) -> None:
        """Stop reading without waiting for the thread; queued events are not needed any more."""
        with self.changed:
            self.state = "stopped"
            self._connection = None
            self.changed.notify_all()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread of a stopped reader, unless it has hung before; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return self._thread is None or not self._thread.is_alive()

    def fail(self, reason: str) -> None:
        """Stop reading because of an error outside the source, such as one of the model."""
        self.stop()
        self.state, self.last_failure = "failed", reason

    def take(self) -> ReaderEvent | None:
        """The next event, if one is ready. The caller holds `changed`."""
        event = self._queue.take(self._clock())
        if isinstance(event, StreamEnded | StreamFailed):  # all earlier events have been taken by now
            self.finished, self.state = True, "ended" if isinstance(event, StreamEnded) else "failed"
        if event is not None:
            self.changed.notify_all()
        return event

    def poll(self) -> None:
        """Reconnect if it is time to, and report a silent connection. The caller holds `changed`."""
        now, connection = self._clock(), self._connection
        if self.state == "waiting" and now >= self.retry_at:
            self._hung = [thread for thread in self._hung if thread.is_alive()]
            if len(self._hung) < MAX_HUNG_READERS:
                self._begin_connection()
        is_timed = self.is_live or (self._retry_initial and not self.stats.connections)
        if connection is None or connection.is_waiting_for_room or not is_timed:
            return
        silent_seconds = now - connection.heard_at
        timeout = self.policy.read_timeout_seconds if connection.is_open else self.policy.open_timeout_seconds
        if silent_seconds > timeout + self.policy.hang_seconds:
            self._abandon(connection, silent_seconds)
        elif self.state == "live" and silent_seconds > self.policy.stall_seconds:
            self.state = "stalled"
            self.stats.stalls += 1
            self._queue.put(StreamStalled(self.stream_id, silent_seconds))

    def status(self) -> ReaderStatus:
        """The present state of the stream."""
        return ReaderStatus(
            self.state,
            self.is_live,
            self.info,
            self._sessions.session,
            self.last_failure,
            self._sessions.position_seconds,
            self._clock() - self._heard_at,
            self._sessions.size,
            replace(self.stats),
        )

    @property
    def drops_clips(self) -> bool:
        """Whether late clips are dropped; otherwise the source waits."""
        return self._queue.drops

    @property
    def wants_preview(self) -> bool:
        """Whether clips carry preview frames, if the sampler makes them."""
        return self._sessions.wants_preview

    @wants_preview.setter
    def wants_preview(self, wanted: bool) -> None:
        self._sessions.wants_preview = wanted

    @property
    def waiting_since(self) -> float | None:
        """When the next event became ready, 0 for an event that is not a clip; None if there is no event."""
        return self._queue.waiting_since

    # The methods from here to `_read` are called while `changed` is held.

    def _begin_connection(self) -> None:
        self.state = "connecting"
        connection = _Connection(threading.Thread(daemon=True), self._clock())
        connection.thread = threading.Thread(
            target=self._read, args=(connection,), name=f"read {self.stream_id}", daemon=True
        )
        self._connection, self._thread = connection, connection.thread
        connection.thread.start()

    def _abandon(self, connection: _Connection, silent_seconds: float) -> None:
        self.stats.abandoned_readers += 1
        self._hung.append(connection.thread)
        self._thread = None
        self._lose(f"{self.stream_id}: the reader has hung for {silent_seconds:.0f} s and was left behind", "timeout")

    def _lose(self, reason: str, kind: str) -> None:
        """End the connection. Another one follows, or the stream has failed."""
        now, policy = self._clock(), self.policy
        if not self.stats.connections and not self._retry_initial:
            self._end_failed(reason)
            return
        self._connection, self.last_failure = None, reason
        self.stats.lost += 1
        if policy.fail_after_seconds is not None and now - self._heard_at > policy.fail_after_seconds:
            self._end_failed(reason)
            return
        seconds = policy.retry_after(self._failed_attempts, self._rng)
        if kind in ("access", "not_found"):  # this kind of error does not go away within a second
            seconds = max(seconds, min(10.0, policy.max_retry_seconds))
        self._failed_attempts += 1
        self.retry_at, self.state = now + seconds, "waiting"
        self._queue.put(StreamLost(self.stream_id, reason, kind, seconds))
        self.changed.notify_all()

    def _end_failed(self, reason: str) -> None:
        self._connection, self.last_failure = None, reason
        self._queue.put(StreamFailed(self.stream_id, reason))
        self.changed.notify_all()

    # The methods from here on run in the connection's own thread.

    def _read(self, connection: _Connection) -> None:
        try:
            with self._connect() as source:
                if not self._opened(connection, source):
                    return
                for frame in source:
                    if not self._take_frame(connection, frame):
                        return
                counts = source.counts
            self._connection_over(connection, counts)
            return
        # Keep the text, not the error: its traceback would keep the source alive until garbage is collected.
        except SourceError as error:
            reason, kind = str(error), error.kind
        except MemvitError as error:
            reason, kind = str(error), "broken"
        except Exception as error:  # without an event, the stream would stay in its state for ever
            reason, kind = f"{self.stream_id}: reading failed unexpectedly ({error!r})", "broken"
        self._connection_over(connection, None, reason, kind)

    def _opened(self, connection: _Connection, source: Source) -> bool:
        with self.changed:
            if self._connection is not connection:
                return False
            self.info = source.info
            self.is_live = self.is_live or source.info.is_live
            self._queue.drops = self._queue.drops or (self.policy.overflow == "auto" and self.is_live)
            self.state, self.last_failure = "live", None
            self.stats.connections += 1
            connection.is_open, connection.counts = True, source.counts
            connection.opened_at = connection.heard_at = self._clock()
            self._sessions.new_connection()
            self._queue.put(StreamOpened(self.stream_id, source.info))
            self.changed.notify_all()
            return True

    def _take_frame(self, connection: _Connection, frame: Frame) -> bool:
        """Make clips of a frame; False if no more frames are wanted."""
        now = self._clock()
        with self.changed:
            if self._connection is not connection:
                return False
            connection.heard_at, self._heard_at, self.state = now, now, "live"
            self.stats.frames += 1
            self._count(connection)
            if now - connection.opened_at > SETTLED_SECONDS:
                self._failed_attempts = 0
        with self._sampler_lock:
            if self._connection is not connection:
                return False
            events = self._sessions.take(frame, is_live=self.is_live)
            if self._packets is not None:
                self._packets.place(frame.container_seconds, self._sessions.position_seconds)
        return all(self._offer(connection, event) for event in events)

    def _offer(self, connection: _Connection, event: Clip | SessionBegan) -> bool:
        """Queue an event; a clip waits for room or drops an older one, by the policy. False if no more are wanted."""
        with self.changed:
            if self._connection is not connection:
                return False
            if isinstance(event, Clip):
                if self._offered_seconds is not None and event.centre_seconds <= self._offered_seconds:
                    return True  # a change of the picture's shape gives one clip on each side at this time
                if self._until_seconds is not None and event.centre_seconds >= self._until_seconds:
                    self._end_normally(connection.counts)
                    return False
                self._offered_seconds = event.centre_seconds
                if not self._make_room(connection):
                    return False
                self.stats.frozen_clips += event.quality == "frozen"
                self.stats.black_clips += event.quality == "black"
            self._queue.put(event)
            self.changed.notify_all()
            return True

    def _make_room(self, connection: _Connection) -> bool:
        """False if the connection was ended while it waited."""
        connection.is_waiting_for_room = True
        while self._connection is connection and self._queue.is_full:
            if self._queue.drops:
                self._queue.drop_oldest_clip()
            else:
                self.changed.wait()
        connection.is_waiting_for_room, connection.heard_at = False, self._clock()
        return self._connection is connection

    def _connection_over(
        self, connection: _Connection, counts: ReadCounts | None, reason: str = "", kind: str = "broken"
    ) -> None:
        """Handle the end of the source (`counts`) or an error of the connection (`reason`)."""
        with self._sampler_lock:
            if self._connection is not connection:
                return
            is_whole = counts is not None and not self.is_live
            clips = self._sessions.finish(self._clock()) if is_whole else []
        if not all(self._offer(connection, clip) for clip in clips):
            return
        with self.changed:
            if self._connection is not connection:
                return
            self._count(connection)
            if counts is not None and not self.is_live:
                self._end_normally(counts)
            elif counts is not None:
                self._lose(f"{self.stream_id}: the other side ended the stream", "ended")
            elif self.is_live or (self._retry_initial and not self.stats.connections):
                self._lose(reason, kind)
            else:
                self._end_failed(reason)

    def _end_normally(self, counts: ReadCounts) -> None:
        self._connection = None
        self._queue.put(StreamEnded(self.stream_id, counts))
        self.changed.notify_all()

    def _count(self, connection: _Connection) -> None:
        """Add what the source has counted since the last call to the stream's counts."""
        for name in COUNTED:
            now = getattr(connection.counts, name)
            setattr(self.stats, name, getattr(self.stats, name) + now - connection.counted.get(name, 0))
            connection.counted[name] = now
