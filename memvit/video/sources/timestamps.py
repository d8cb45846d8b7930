"""Strictly increasing frame times from whatever timestamps a stream has."""

from __future__ import annotations

from memvit.video.sources.source import ReadCounts

LATE_SECONDS = 0.5
"""A frame that lies further back than this is not a late frame: the clock was set back or started again."""
MAX_LATE_FRAMES = 3
"""More late or repeated frames in a row than this are not single errors: the clock stands still or was set back a
little."""


class Timeline:
    """Gives frames, which come in presentation order, times that strictly increase.

    * A frame without a time is placed one frame duration after the last frame.
    * A frame with a repeated time, or a time a little earlier, is dropped, so that no drift builds up.
    * A time far back (camera clock, looped file, wrapped counter), or a run of times that do not increase (a webcam
      that sends zeros): the frame is placed one frame duration after the last one, and later frames keep that offset.
    * A jump forward is accepted as it is.
    """

    def __init__(self, *, frame_seconds: float, origin_seconds: float | None, counts: ReadCounts) -> None:
        """`origin_seconds` is the stream's time that becomes 0; with None, the first frame's time becomes 0."""
        self._frame_seconds = frame_seconds
        self._offset_seconds = None if origin_seconds is None else -origin_seconds
        self._last_seconds: float | None = None
        self._late_in_a_row = 0
        self._dropped_since_last = 0
        self._counts = counts

    def place(self, raw_seconds: float | None) -> float | None:
        """The time in seconds of the next frame, or None if the frame must be dropped.

        `raw_seconds` is the frame's time in the stream, or None if it has none.
        """
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
        """The time of the next frame if the stream continues at its frame rate."""
        if self._last_seconds is None:
            return 0.0
        return self._last_seconds + self._frame_seconds * (1 + self._dropped_since_last)

    def _deliver(self, pts_seconds: float) -> float:
        self._last_seconds, self._dropped_since_last = pts_seconds, 0
        return pts_seconds


class AviTimestamps:
    """Presentation times of an AVI's frames, in frames.

    An AVI stores decoding times only, and FFmpeg's guess of the presentation times is out of order with B-frames. But
    frames leave the decoder in presentation order, and so do the decoding times that come with them.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def next(self, dts: int | None) -> int | None:
        """The presentation time of the next decoded frame.

        `dts` is the decoding time that came with it; the last frames, which the decoder had held back, come without.
        """
        if dts is None and self._last is not None:
            dts = self._last + 1
        self._last = dts
        return dts
