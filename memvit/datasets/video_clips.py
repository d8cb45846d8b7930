"""Clips of labelled videos, sampled as the published models need them, not yet augmented."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as images

from memvit.datasets.video_lists import LabelledVideo
from memvit.datasets.views import dense_indices, uniform_indices, view_indices
from memvit.models import Preprocessing
from memvit.types import SourceError
from memvit.video.clips.pick import LEAD_SECONDS, pick_frames
from memvit.video.clips.sampler import short_side_size
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Frame, SourceInfo

FALLBACK_FRAMES_PER_SECOND = 30.0


@dataclass(frozen=True)
class VideoClips:
    """Clips of labelled videos as uint8 tensors (T, 3, height, width)."""

    videos: Sequence[LabelledVideo]
    preprocessing: Preprocessing
    sampling: Literal["dense", "uniform"] = "dense"

    def __len__(self) -> int:
        return len(self.videos)

    def training_clip(self, index: int, seed: int, short_side: int) -> Tensor:
        """One clip at a random place, its short side at most `short_side` pixels. SourceError if it is unreadable."""
        generator = random.Random(seed)
        path = self.videos[index].path
        info = _info(path)
        if self.sampling == "uniform":
            wanted = uniform_indices(_total_frames(info), self.preprocessing.num_frames, generator)
        else:
            wanted = dense_indices(*self._span(info), generator.random())
        return _resized(_frames(path, info, wanted), short_side, enlarge=False)

    def views(self, index: int, temporal_views: int, spatial_crops: Literal[1, 3], crop_ratio: float = 1.0) -> Tensor:
        """All views of a video for testing: (temporal × spatial, T, 3, side, side). SourceError if it cannot be read.

        The short side is the model's side / `crop_ratio`; crops are the centre, or the two ends and the centre of the
        longer side. With uniform sampling all temporal views are the same clip: the published tests take one.
        """
        path, side = self.videos[index].path, self.preprocessing.short_side
        info = _info(path)
        if self.sampling == "uniform":
            clips = [uniform_indices(_total_frames(info), self.preprocessing.num_frames)] * temporal_views
        else:
            clips = [view_indices(*self._span(info), view, temporal_views) for view in range(temporal_views)]
        wanted = sorted({frame for clip in clips for frame in clip})
        decoded = _resized(_frames(path, info, wanted), round(side / crop_ratio), enlarge=True)
        place = {frame: row for row, frame in enumerate(wanted)}
        rows = [[place[frame] for frame in clip] for clip in clips]
        return torch.stack([crop for clip in rows for crop in spatial_views(decoded[clip], side, spatial_crops)])

    def _span(self, info: SourceInfo) -> tuple[int, float, int, int]:
        """Arguments of dense sampling: total frames and rate of a video, frames and interval of a clip."""
        rate = info.frames_per_second or FALLBACK_FRAMES_PER_SECOND
        return _total_frames(info), rate, self.preprocessing.num_frames, self.preprocessing.frame_interval


def spatial_views(clip: Tensor, side: int, crops: Literal[1, 3]) -> list[Tensor]:
    """(T, 3, H, W) → squares of that side: the centre, or the first end, the centre and the last end of the longer
    side."""
    height, width = clip.shape[-2:]
    top, left = math.ceil((height - side) / 2), math.ceil((width - side) / 2)
    corners = [(top, left)]
    if crops == 3:
        ends = ((0, left), (height - side, left)) if height > width else ((top, 0), (top, width - side))
        corners = [ends[0], (top, left), ends[1]]
    return [images.crop(clip, row, column, side, side) for row, column in corners]


def _frames(path: Path, info: SourceInfo, indices: Sequence[int]) -> list[Frame]:
    rate = info.frames_per_second or FALLBACK_FRAMES_PER_SECOND
    instants = [index / rate for index in indices]
    with open_source(path, from_seconds=max(instants[0] - LEAD_SECONDS, 0.0)) as source:
        return pick_frames(source, instants)


def _resized(frames: Sequence[Frame], short_side: int, *, enlarge: bool) -> Tensor:
    width, height = frames[0].width, frames[0].height
    if enlarge or min(width, height) > short_side:
        width, height = short_side_size(width, height, short_side)
    return torch.from_numpy(np.stack([frame.rgb(width, height) for frame in frames])).permute(0, 3, 1, 2)


@lru_cache(maxsize=65536)  # a training run needs it in every epoch
def _info(path: Path) -> SourceInfo:
    with open_source(path) as source:
        return source.info


def _total_frames(info: SourceInfo) -> int:
    if info.total_frames is None:
        raise SourceError(f"{info.name}: its length is unknown; write it again with a proper header")
    return info.total_frames
