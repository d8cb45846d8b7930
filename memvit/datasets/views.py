"""Which frames of a video a sample consists of, as the published models were trained and tested.

The sampling equals PySlowFast's. Frame k of a video is the one nearest to `k / frames_per_second` seconds.
"""

from __future__ import annotations

import itertools
import math
import random

import torch

from memvit.video.clips.sampler import TRAINED_FRAMES_PER_SECOND


def view_indices(
    total_frames: int, frames_per_second: float, num_frames: int, frame_interval: int, view: int, views: int
) -> list[int]:
    """The frames of temporal view number `view` (from 0) of `views`, as in tests on Kinetics.

    The published accuracies were measured with offset sampling: the views start at whole multiples of one distance, the
    first with the video, the last as late as possible. A single view lies in the middle. ValueError if there is no such
    view.
    """
    if not 0 <= view < views:
        raise ValueError(f"view={view} is not one of {views} views, which count from 0")
    clip_frames = _clip_frames(frames_per_second, num_frames, frame_interval)
    spare_frames = max(total_frames - clip_frames, 0.0)
    start = math.floor(spare_frames / 2) if views == 1 else view * math.floor(spare_frames / (views - 1))
    return _spread(start, clip_frames, num_frames, total_frames)


def dense_indices(
    total_frames: int, frames_per_second: float, num_frames: int, frame_interval: int, position: float
) -> list[int]:
    """The frames of a clip that begins at `position`, 0 (earliest) to 1 (latest), as in training on Kinetics."""
    clip_frames = _clip_frames(frames_per_second, num_frames, frame_interval)
    start = max(total_frames - clip_frames, 0.0) * position
    return _spread(start, clip_frames, num_frames, total_frames)


def _clip_frames(frames_per_second: float, num_frames: int, frame_interval: int) -> float:
    """How many frames of the video a clip covers; at 30 frames per second `num_frames × frame_interval`."""
    return num_frames * frame_interval / TRAINED_FRAMES_PER_SECOND * frames_per_second


def _spread(start: float, clip_frames: float, num_frames: int, total_frames: int) -> list[int]:
    """T indices from the first to the last frame of a clip, so their spacing is a little more than the interval.

    Positions are computed in float32 and truncated, as in the reference, because rounding decides the frame if a
    position is almost whole. Indices outside the video become its first or last.
    """
    places = torch.linspace(start, start + clip_frames - 1, num_frames, dtype=torch.float32)
    return [int(place) for place in places.clamp(0, total_frames - 1)]


def uniform_indices(total_frames: int, num_frames: int, generator: random.Random | None = None) -> list[int]:
    """One frame of each of T equal segments, as for Something-Something: a random one, or the middle one without a
    generator."""
    segment = (total_frames - 1) / num_frames
    edges = [round(segment * i) for i in range(num_frames + 1)]
    return [generator.randint(a, b) if generator else (a + b) // 2 for a, b in itertools.pairwise(edges)]
