"""One time axis for a stream, however often its connection breaks: seconds since its first frame came."""

from __future__ import annotations

from dataclasses import dataclass

from memvit.types import Image
from memvit.video.sources.source import Frame

JUMP_SECONDS = 10.0
"""Frames that claim to be this much later than the one before, without that time having passed, have a wrong clock."""
MIN_STEP_SECONDS = 1 / 30


@dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame at its time of the stream."""

    pts_seconds: float
    frame: Frame

    @property
    def index(self) -> int:
        """Of its connection."""
        return self.frame.index

    @property
    def width(self) -> int:
        """Pixels, upright."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Pixels, upright."""
        return self.frame.height

    @property
    def received_at(self) -> float:
        """See `Frame`."""
        return self.frame.received_at

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """See `Frame`."""
        return self.frame.rgb(width, height)


class StreamClock:
    """Places the frames of one connection after the other.

    Within a connection the source's own times count; a new connection is placed by the time that has passed, so that a
    gap has its true length. A file keeps its own times.
    """

    def __init__(self, *, start_seconds: float = 0.0, now: float | None = None) -> None:
        """A stream that is resumed was at `start_seconds` when the clock showed `now`, and went on since."""
        self._start_seconds = start_seconds
        self._began_at = None if now is None else now - start_seconds
        self._offset_seconds: float | None = None
        self._last_received_at = 0.0
        self.last_seconds: float | None = None
        """Of the last frame that was placed."""
        self.jumps = 0

    def new_connection(self) -> None:
        """The next frame is the first of another connection."""
        self._offset_seconds = None

    def assign_time(self, frame: Frame, *, is_live: bool) -> TimedFrame:
        """The frame at its time of the stream, later than all before it."""
        pts, received_at = frame.pts_seconds, frame.received_at
        if not is_live:
            self._offset_seconds = 0.0
        if self._began_at is None:
            self._began_at = received_at - self._start_seconds
        if self._offset_seconds is None:
            self._offset_seconds = self._not_before(received_at - self._began_at) - pts
        seconds = pts + self._offset_seconds
        if self.last_seconds is not None and is_live:
            passed = max(received_at - self._last_received_at, MIN_STEP_SECONDS)
            if seconds - self.last_seconds > passed + JUMP_SECONDS:
                self.jumps += 1
                self._offset_seconds += self.last_seconds + passed - seconds
                seconds = pts + self._offset_seconds
        self.last_seconds, self._last_received_at = seconds, received_at
        return TimedFrame(seconds, frame)

    def _not_before(self, seconds: float) -> float:
        return seconds if self.last_seconds is None else max(seconds, self.last_seconds + MIN_STEP_SECONDS)
