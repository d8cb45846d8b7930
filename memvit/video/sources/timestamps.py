"""Strictly increasing times from whatever timestamps a stream has."""

from __future__ import annotations

from memvit.video.sources.source import ReadCounts

LATE_SECONDS = 0.5
"""A frame further back than this is not late: the clock has been set back or has begun anew."""
MAX_LATE_FRAMES = 3
"""More late or repeated frames in a row than this are not glitches: the clock stands still or was set back a little."""


class Timeline:
    """Places frames, given in presentation order, on a time axis that only ever goes forward.

    * A missing time continues from the last frame by one frame duration.
    * A repeated time, or one a little back, is a glitch: the frame is dropped, so that no drift builds up.
    * A time far back (camera clock, looped file, wrapped counter), or a run of times that do not increase (a webcam
      that sends zeros): the frame continues from the last one by a frame duration, and what follows keeps that offset.
    * A jump forward is taken at its word.
    """

    def __init__(self, *, frame_seconds: float, origin_seconds: float | None, counts: ReadCounts) -> None:
        """`origin_seconds` is the time that becomes 0; None means that of the first frame."""
        self._frame_seconds = frame_seconds
        self._offset_seconds = None if origin_seconds is None else -origin_seconds
        self._last_seconds: float | None = None
        self._late_in_a_row = 0
        self._dropped_since_last = 0
        self._counts = counts

    def place(self, raw_seconds: float | None) -> float | None:
        """The time of the next frame in seconds, or None if the frame is to be dropped."""
        if raw_seconds is None:
            self._counts.missing_pts += 1
            return self._deliver(self._continued())
        if self._offset_seconds is None:
            self._offset_seconds = self._continued() - raw_seconds
        pts_seconds = raw_seconds + self._offset_seconds
        if self._last_seconds is None or pts_seconds > self._last_seconds:
            self._late_in_a_row = 0
            return self._deliver(pts_seconds)
        self._counts.non_monotonic_pts += 1
        if self._last_seconds - pts_seconds < LATE_SECONDS and self._late_in_a_row < MAX_LATE_FRAMES:
            self._late_in_a_row += 1
            self._dropped_since_last += 1
            self._counts.dropped_frames += 1
            return None
        pts_seconds = self._continued()
        self._offset_seconds = pts_seconds - raw_seconds
        return self._deliver(pts_seconds)

    def _continued(self) -> float:
        """Where the next frame belongs if the stream runs on at its frame rate."""
        if self._last_seconds is None:
            return 0.0
        return self._last_seconds + self._frame_seconds * (1 + self._dropped_since_last)

    def _deliver(self, pts_seconds: float) -> float:
        self._last_seconds, self._dropped_since_last = pts_seconds, 0
        return pts_seconds
