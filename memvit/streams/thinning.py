"""Leaves out track frames where the model does not keep up: people are followed less closely before clips are lost."""

from __future__ import annotations

from dataclasses import replace

from memvit.streams.events import StreamStats
from memvit.types import Clip, TrackFrame

NO_TRACK_FRAMES = 3
"""The largest level: people are looked for in the keyframe only."""
USED_SHARE = 0.8
"""The share of all time that detection and model may take together; the rest is for what was not foreseen."""
NEWEST_SHARE = 0.2
"""The weight of the newest measurement in a running mean."""


def thinned(clip: Clip, level: int, stats: StreamStats) -> Clip:
    """The clip with every frame (level 0), every second, every fourth, or none of its track frames.

    Frames are counted from the keyframe, in which people are looked for in any case. Those left out are counted.
    """
    if not level or not clip.track_frames:
        return clip
    kept: list[TrackFrame] = []
    if level < NO_TRACK_FRAMES:
        step = 2**level
        before = [frame for frame in clip.track_frames if frame.pts_seconds < clip.centre_seconds]
        kept = [*before[-step::-step][::-1], *clip.track_frames[len(before) :][step - 1 :: step]]
    stats.thinned_track_frames += len(clip.track_frames) - len(kept)
    return replace(clip, track_frames=tuple(kept))


class DetectionBudget:
    """How many track frames there is time for, from what detection and model took so far."""

    def __init__(self, hop_seconds: float) -> None:
        self._hop_seconds = hop_seconds
        self._image_seconds: float | None = None
        self._clip_seconds = 0.0

    def measured(self, *, images: int, detection_seconds: float, clips: int, model_seconds: float) -> None:
        """Take note of how long a batch took. The first one counts wholly."""
        image, clip = detection_seconds / max(images, 1), model_seconds / max(clips, 1)
        if self._image_seconds is None:
            self._image_seconds, self._clip_seconds = image, clip
        self._image_seconds += NEWEST_SHARE * (image - self._image_seconds)
        self._clip_seconds += NEWEST_SHARE * (clip - self._clip_seconds)

    def level(self, track_frames: int, streams: int) -> int:
        """The level for `thinned` at which clips with so many track frames, one a hop of each stream, can be answered.

        0 before anything was measured.
        """
        if self._image_seconds is None:
            return 0
        left_seconds = USED_SHARE * self._hop_seconds / max(streams, 1) - self._clip_seconds - self._image_seconds
        wanted_seconds = self._image_seconds * track_frames
        for level in range(NO_TRACK_FRAMES):
            if wanted_seconds / 2**level <= left_seconds:
                return level
        return NO_TRACK_FRAMES
