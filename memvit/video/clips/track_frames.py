"""Chooses the frames between keyframes in which people are looked for, by presentation time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from memvit.types import TrackFrame
from memvit.video.clips.open_clip import SharedFrame, nearest
from memvit.video.sources.source import SAME_SECONDS

DEFAULT_TRACK_RATE = 8.0
"""Frames a second in which people are looked for: enough to tell those apart who cross, for a third of the work that
all frames of a camera would need."""
MAX_FRAMES_OF_A_HOP = 64
"""The largest number of frames from keyframe to keyframe: with a long hop, the rate is lower than asked for, so that
the images of the clips that wait stay few."""


class TrackFramePicker:
    """The frames nearest to instants at a given rate before and after each multiple of the hop.

    The instants do not depend on where reading began, so that any part of a video has the frames of the whole.
    """

    def __init__(self, hop_seconds: float, frames_per_second: float) -> None:
        self._hop_seconds = hop_seconds
        step_seconds = max(1 / frames_per_second, hop_seconds / MAX_FRAMES_OF_A_HOP)
        around = range(-MAX_FRAMES_OF_A_HOP, MAX_FRAMES_OF_A_HOP + 1)
        offsets = [number * step_seconds for number in around]
        half = hop_seconds / 2
        self._offsets_seconds = [seconds for seconds in offsets if -half + SAME_SECONDS < seconds < half + SAME_SECONDS]
        self._next_seconds: float | None = None
        self._last_seconds = -math.inf
        self._waiting: list[TrackFrame] = []

    def take(self, previous: SharedFrame | None, current: SharedFrame) -> None:
        """Choose among two consecutive frames for the instants up to the second."""
        if previous is None:
            self._next_seconds = self._instant_after(current.pts_seconds - SAME_SECONDS)
        if self._next_seconds is None or self._next_seconds > current.pts_seconds + SAME_SECONDS:
            return
        first_seconds, self._next_seconds = self._next_seconds, self._instant_after(current.pts_seconds + SAME_SECONDS)
        # Of all these instants, only the first and the last matter: there is no third frame.
        for instant in (first_seconds, self._instant_before(self._next_seconds)):
            frame = nearest(instant, previous, current)
            if frame.pts_seconds > self._last_seconds:
                self._last_seconds = frame.pts_seconds
                self._waiting.append(TrackFrame(frame.pts_seconds, frame.detector_image))

    def give(self, before_seconds: float, except_seconds: float | None) -> tuple[TrackFrame, ...]:
        """The frames chosen so far that are earlier than a time, each once, without the one that is the keyframe."""
        given = [frame for frame in self._waiting if frame.pts_seconds < before_seconds]
        del self._waiting[: len(given)]
        return tuple(frame for frame in given if frame.pts_seconds != except_seconds)

    def _instant_after(self, seconds: float) -> float:
        """The first instant later than a time."""
        hop = math.floor(seconds / self._hop_seconds)
        return next(instant for instant in self._instants(hop, hop + 1, hop + 2) if instant > seconds)

    def _instant_before(self, instant_seconds: float) -> float:
        """The last instant earlier than this one."""
        hop = math.floor(instant_seconds / self._hop_seconds)
        earlier = [seconds for seconds in self._instants(hop - 1, hop, hop + 1) if seconds < instant_seconds]
        return earlier[-1]

    def _instants(self, *numbers: int) -> Iterator[float]:
        """The instants around the centres with these numbers, ascending."""
        for number in numbers:
            for offset in self._offsets_seconds:
                yield number * self._hop_seconds + offset
