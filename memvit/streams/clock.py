"""The time axis of a stream: seconds since its first frame arrived, however often its connection breaks."""

from __future__ import annotations

from dataclasses import dataclass

from memvit.types import Image
from memvit.video.sources.source import Frame

JUMP_SECONDS = 10.0
"""If a source's time advances by this much more than the time that has really passed, its clock has jumped."""
MIN_STEP_SECONDS = 1 / 30
"""The first frame of a new connection is placed at least this long after the last frame of the old one."""


@dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame and its time on the time axis of the stream."""

    pts_seconds: float
    frame: Frame

    @property
    def index(self) -> int:
        """The number of the frame within its connection: 0, 1, 2, …"""
        return self.frame.index

    @property
    def width(self) -> int:
        """Width in pixels, after the frame was rotated upright."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Height in pixels, after the frame was rotated upright."""
        return self.frame.height

    @property
    def received_at(self) -> float:
        """`time.monotonic()` when the frame arrived."""
        return self.frame.received_at

    @property
    def container_seconds(self) -> float | None:
        """The time that the frame's packet has in its container."""
        return self.frame.container_seconds

    @property
    def captured_unix(self) -> float | None:
        """Unix time at which the frame was taken, where the container tells it."""
        return self.frame.captured_unix

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """(height, width, 3) RGB, resized if a size is given."""
        return self.frame.rgb(width, height)


class StreamClock:
    """Gives the frames of consecutive connections their times on one axis.

    Within a connection, the differences between the source's own times are used. A new connection starts at the time
    that has passed since the first frame, so that a gap has its true length. A file keeps its own times.
    """

    def __init__(self, *, start_seconds: float = 0.0, now: float | None = None) -> None:
        """A resumed stream was at `start_seconds` when the clock showed `now`, and has gone on since."""
        self._start_seconds = start_seconds
        self._began_at = None if now is None else now - start_seconds
        self._offset_seconds: float | None = None
        self._last_received_at = 0.0
        self.last_seconds: float | None = None
        """Time of the last frame; None before the first one."""
        self.jumps = 0
        """How often a clock that had jumped was corrected."""

    def new_connection(self) -> None:
        """The next frame is the first of another connection."""
        self._offset_seconds = None

    def assign_time(self, frame: Frame, *, is_live: bool) -> TimedFrame:
        """The frame with its time on the stream's axis."""
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
