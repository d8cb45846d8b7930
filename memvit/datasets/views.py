"""Which frames of a video a sample is made of: the sampling that the published models were trained and tested with.

As PySlowFast's, in indices of the video's own frames; frame k of a video is the one nearest to `k / frames_per_second`.
"""

from __future__ import annotations

import itertools
import math
import random

from memvit.video.sampler import TRAINED_FRAMES_PER_SECOND


def dense_indices(
    total_frames: int, frames_per_second: float, num_frames: int, frame_interval: int, position: float
) -> list[int]:
    """Kinetics: T frames spread over a clip of `num_frames × frame_interval / 30` seconds.

    `position` is where the clip begins, 0 (as early as possible) to 1 (as late as possible). The last of the T frames
    is the last of the clip, so their spacing is a little more than the interval. Indices are clamped to the video.
    """
    clip_frames = num_frames * frame_interval / TRAINED_FRAMES_PER_SECOND * frames_per_second
    start = max(total_frames - clip_frames, 0.0) * position
    step = (clip_frames - 1) / (num_frames - 1) if num_frames > 1 else 0.0
    return [min(max(math.floor(start + step * i), 0), total_frames - 1) for i in range(num_frames)]


def dense_positions(views: int) -> list[float]:
    """Where the clips of multi-view testing begin: view k of N begins at k / N of what is possible."""
    return [view / views for view in range(views)]


def uniform_indices(total_frames: int, num_frames: int, generator: random.Random | None = None) -> list[int]:
    """Something-Something: one frame of each of T equal segments, at random, or the middle one without a generator."""
    segment = (total_frames - 1) / num_frames
    edges = [round(segment * i) for i in range(num_frames + 1)]
    return [generator.randint(a, b) if generator else (a + b) // 2 for a, b in itertools.pairwise(edges)]
