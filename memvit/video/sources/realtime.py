"""Plays a recording as if it were a camera: each frame is delivered at its presentation time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from memvit.types import Image
from memvit.video.sources.source import Frame, Source

LAST_FRAME_SECONDS = 1 / 30
"""How long a recording's last frame is shown before the recording starts again."""


class RealtimeFrame:
    """A frame of a recording, with its time in the endless stream."""

    def __init__(self, frame: Frame, pts_seconds: float, index: int) -> None:
        self._frame = frame
        self.pts_seconds, self.index = pts_seconds, index
        self.width, self.height = frame.width, frame.height
        self.received_at = time.monotonic()
        self.container_seconds, self.captured_unix = frame.container_seconds, None

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """The upright image, as `Frame.rgb` describes it."""
        return self._frame.rgb(width, height)


class RealtimeSource(Source):
    """Plays a source at its own speed.

    When the source is over, `reopen` opens it again, without end; with None it is played once. A reader that is too
    slow gets frames late, as from a camera whose connection buffers them; no frame is dropped here.
    """

    def __init__(self, source: Source, reopen: Callable[[], Source] | None = None) -> None:
        self._source, self._reopen = source, reopen
        self.info = replace(source.info, is_live=True, duration_seconds=None, total_frames=None)
        self.counts = source.counts
        self._started_at = time.monotonic()
        self._offset_seconds: float | None = None
        self._last_seconds = -LAST_FRAME_SECONDS
        self._index = 0
        self._is_closed = False

    def __next__(self) -> Frame:
        """Wait until the time of the next frame, then return it."""
        frame = next(self._source, None)
        if frame is None:
            frame = self._first_of_next_pass()
        if self._offset_seconds is None:  # each pass begins where the last one ended, whatever its own first time is
            self._offset_seconds = self._last_seconds + LAST_FRAME_SECONDS - frame.pts_seconds
        self._last_seconds = frame.pts_seconds + self._offset_seconds
        wait_seconds = self._started_at + self._last_seconds - time.monotonic()
        if wait_seconds > 0:
            time.sleep(wait_seconds)
        self._index += 1
        return RealtimeFrame(frame, self._last_seconds, self._index - 1)

    def _first_of_next_pass(self) -> Frame:
        if self._reopen is None or self._is_closed:
            raise StopIteration
        self._source.close()
        self._source = self._reopen()
        self._offset_seconds = None
        return next(self._source)

    def close(self) -> None:
        """Release the source. A second call does nothing."""
        self._is_closed = True
        self._source.close()
