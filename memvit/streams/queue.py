"""The events of one stream that wait for the model: in order, bounded, and never older than the policy allows."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from memvit.streams.events import ReaderEvent, SessionBegan, StreamLost, StreamStalled, StreamStats
from memvit.streams.group import StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.thinning import NO_TRACK_FRAMES, thinned
from memvit.types import Clip

MAX_OTHER_EVENTS = 64
"""The largest number of events besides clips that wait. A stream that breaks again and again while the model is busy
must not fill the memory."""
WAITING_CLIPS = 2
"""The largest number of clips that wait if the source is made to wait."""


class EventQueue:
    """Events in their order. A clip gets its index when it is taken, so that dropped clips leave no gap in the indices.

    The queue has no lock of its own: every caller holds the reader's condition.
    """

    def __init__(
        self,
        policy: LivePolicy,
        stats: StreamStats,
        *,
        hop_seconds: float,
        next_index: int = 0,
        delivered_seconds: float | None = None,
    ) -> None:
        self._policy, self._stats, self._hop_seconds = policy, stats, hop_seconds
        self._events: deque[ReaderEvent] = deque()
        self._next_index, self._delivered_seconds = next_index, delivered_seconds
        self.drops = policy.overflow == "drop"
        """Whether late clips are dropped; otherwise the source waits."""

    def put(self, event: ReaderEvent) -> None:
        """Append an event."""
        if isinstance(event, Clip):
            self._free_track_frames(event.ready_at)
        if isinstance(event, Clip) and self._delivered_seconds is None:
            self._delivered_seconds = event.centre_seconds - self._hop_seconds
        self._events.append(event)
        if sum(not isinstance(event, Clip) for event in self._events) > MAX_OTHER_EVENTS:
            self._drop_oldest_event()

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another clip."""
        room = self._policy.queue_clips if self.drops else WAITING_CLIPS
        return sum(isinstance(event, Clip) for event in self._events) >= room

    def drop_oldest_clip(self) -> None:
        """Drop the oldest clip and count it as late."""
        place = next(place for place, event in enumerate(self._events) if isinstance(event, Clip))
        del self._events[place]
        self._stats.late_clips += 1

    def take(self, now: float) -> ReaderEvent | None:
        """The next event, if there is one. With `drops`, late clips of its session are dropped before it is taken."""
        if self.drops and self._is_late(now):
            while len(self._events) > 1 and isinstance(self._events[0], Clip) and isinstance(self._events[1], Clip):
                self.drop_oldest_clip()
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, SessionBegan):
            self._next_index = 0
        return self._numbered(self._thinned(event, now)) if isinstance(event, Clip) else event

    @property
    def waiting_since(self) -> float | None:
        """When the next event became ready, 0 for an event that is not a clip; None if there is no event."""
        if not self._events:
            return None
        first = self._events[0]
        return first.ready_at if isinstance(first, Clip) else 0.0

    def _drop_oldest_event(self) -> None:
        """Drop the oldest event on which no later event depends.

        The first `StreamOpened` comes before the clips of its stream, so it stays. A `SessionBegan` stays if a clip of
        its session waits; if the next session begins before any clip, the older of the two events
        is not needed.
        """
        is_first_opening = True
        for place, event in enumerate(self._events):
            if isinstance(event, StreamOpened) and is_first_opening:
                is_first_opening = False
            elif isinstance(event, StreamOpened | StreamLost | StreamStalled) or self._is_empty_session(place):
                del self._events[place]
                return

    def _is_empty_session(self, place: int) -> bool:
        """Whether the event at `place` begins a session that ends without a clip."""
        if not isinstance(self._events[place], SessionBegan):
            return False
        later = list(self._events)[place + 1 :]
        following = next((event for event in later if isinstance(event, Clip | SessionBegan)), None)
        return isinstance(following, SessionBegan)

    def _is_late(self, now: float) -> bool:
        first = self._events[0] if self._events else None
        return isinstance(first, Clip) and now - first.received_at > self._policy.max_age_seconds

    def _free_track_frames(self, now: float) -> None:
        """Drop the track frames of clips that have waited too long to need any: they hold most of the memory."""
        for place, event in enumerate(self._events):
            if isinstance(event, Clip) and self._lateness(event, now) >= NO_TRACK_FRAMES:
                self._events[place] = self._thinned(event, now)

    def _thinned(self, clip: Clip, now: float) -> Clip:
        """The clip with fewer track frames the longer it has waited."""
        return thinned(clip, min(self._lateness(clip, now), NO_TRACK_FRAMES), self._stats)

    def _lateness(self, clip: Clip, now: float) -> int:
        """How many quarters of the time after which clips are dropped this one has waited; 0 where none are dropped."""
        if not self.drops or not clip.track_frames:
            return 0
        return int((NO_TRACK_FRAMES + 1) * max(0.0, now - clip.received_at) / max(self._policy.max_age_seconds, 1e-3))

    def _numbered(self, clip: Clip) -> Clip:
        """The clip with the index that follows the stream's last, and the number of clips missing before it."""
        missed = 0
        if self._delivered_seconds is not None:
            missed = max(0, round((clip.centre_seconds - self._delivered_seconds) / self._hop_seconds) - 1)
        self._delivered_seconds = clip.centre_seconds
        index, self._next_index = self._next_index, self._next_index + 1
        self._stats.clips += 1
        self._stats.missed_clips += missed
        return replace(clip, index=index, missed_clips=missed)
