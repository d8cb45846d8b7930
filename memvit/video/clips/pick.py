"""Picks the frames of a video at given instants, decoding no more than needed."""

from __future__ import annotations

from collections.abc import Sequence

from memvit.types import SourceError
from memvit.video.sources.source import Frame, Source

LEAD_SECONDS = 0.5
"""Decoding starts this long before the first instant, because the frame nearest to it may be an earlier one."""


def pick_frames(source: Source, instants_seconds: Sequence[float]) -> list[Frame]:
    """The frame nearest to each instant, the earlier of two equally near ones. Reading stops after the last.

    `instants_seconds` must ascend. SourceError if the source has no frame at all.
    """
    picked: list[Frame] = []
    previous: Frame | None = None
    for frame in source:
        while len(picked) < len(instants_seconds) and frame.pts_seconds >= instants_seconds[len(picked)]:
            instant = instants_seconds[len(picked)]
            is_before_nearer = previous is not None and instant - previous.pts_seconds <= frame.pts_seconds - instant
            picked.append(previous if previous is not None and is_before_nearer else frame)
        if len(picked) == len(instants_seconds):
            return picked
        previous = frame
    if previous is None:
        raise SourceError(f"{source.info.name}: there are no frames in it")
    return picked + [previous] * (len(instants_seconds) - len(picked))
