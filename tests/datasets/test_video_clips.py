"""Samples of real files: the right frames, sizes and crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from memvit.datasets.video_clips import VideoClips, spatial_views
from memvit.datasets.video_lists import LabelledVideo
from memvit.datasets.views import view_indices
from memvit.models import Preprocessing
from memvit.types import SourceError
from tests.video.make import counted, number_of, write

PLAN = Preprocessing(num_frames=4, frame_interval=2, short_side=32)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> LabelledVideo:
    path = write(tmp_path_factory.mktemp("clips") / "counted.mp4", counted(50), g="10")
    return LabelledVideo(path, 2)


def numbers(clip: torch.Tensor) -> list[int]:
    return [number_of(frame.permute(1, 2, 0).numpy()) for frame in clip]


def test_dense_views_are_the_frames_of_the_plan(video: LabelledVideo) -> None:
    views = VideoClips([video], PLAN).views(0, temporal_views=3, spatial_crops=1)
    assert views.shape == (3, 4, 3, 32, 32)
    assert [numbers(view) for view in views] == [view_indices(50, 30, 4, 2, k, 3) for k in range(3)]


def test_a_crop_ratio_leaves_the_rim_out(tmp_path: Path) -> None:
    """A square slope from dark to light: of a short side of 40 pixels, the centre of 32 has four fifths of it."""
    slope = np.broadcast_to(np.linspace(20, 230, 64, dtype=np.uint8)[None, :, None], (64, 64, 3))
    path = write(tmp_path / "slope.mp4", [slope.copy()] * 8)
    clips = VideoClips([LabelledVideo(path, 0)], PLAN)
    heights = []
    for ratio in (1.0, 0.8):
        view = clips.views(0, 1, 1, ratio)[0].float()
        assert view.shape == (4, 3, 32, 32)
        heights.append(float(view[..., -1].mean() - view[..., 0].mean()))
    assert heights[1] / heights[0] == pytest.approx(0.8, abs=0.03)


def test_uniform_view(video: LabelledVideo) -> None:
    views = VideoClips([video], PLAN, "uniform").views(0, 1, 3)
    assert views.shape == (3, 4, 3, 32, 32)
    assert numbers(views[0]) == [6, 18, 30, 43]


def test_training_clips_follow_their_seed(video: LabelledVideo) -> None:
    clips = VideoClips([video], PLAN)
    assert torch.equal(clips.training_clip(0, 7, 24), clips.training_clip(0, 7, 24))
    starts = {numbers(clips.training_clip(0, seed, 24))[0] for seed in range(12)}
    assert len(starts) > 5
    assert clips.training_clip(0, 7, 24).shape == (4, 3, 24, 32)
    assert clips.training_clip(0, 7, 500).shape == (4, 3, 48, 64), "never enlarged"


@pytest.mark.parametrize(("height", "width"), [(32, 57), (57, 32), (32, 32)])
def test_three_crops_are_the_ends_and_the_centre(height: int, width: int) -> None:
    clip = torch.arange(height * width).reshape(1, 1, height, width).expand(2, 3, -1, -1)
    first, centre, last = spatial_views(clip, 32, 3)
    assert first.shape == centre.shape == last.shape == (2, 3, 32, 32)
    assert first[0, 0, 0, 0] == 0 and last[0, 0, -1, -1] == height * width - 1
    (alone,) = spatial_views(clip, 32, 1)
    assert torch.equal(alone, centre)


def test_a_broken_video_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"x\.mp4"):
        VideoClips([LabelledVideo(tmp_path / "x.mp4", 0)], PLAN).views(0, 1, 1)
