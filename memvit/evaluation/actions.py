"""Tests a model of people's actions as it runs in use: whole frames of each video once, in order, with memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from memvit.datasets.ava import AvaVideo, Footage
from memvit.datasets.ava_files import AvaTable
from memvit.datasets.lanes import assign_lanes, iterate_lanes, read_lane, span_seconds
from memvit.engine.engine import Engine
from memvit.models import MeMViT, Preprocessing
from memvit.video.clips.sampler import ClipSampler


@dataclass(frozen=True, eq=False)
class KeyframeScores:
    """A model's scores for the people of a keyframe."""

    video: str
    second: int
    boxes: NDArray[np.float32]
    """(N, 4) xyxy, normalised to 0..1."""
    scores: NDArray[np.float32]
    """(N, classes), the score of each action, 0..1."""


def score_keyframes(
    model: MeMViT,
    preprocessing: Preprocessing,
    videos: Sequence[AvaVideo],
    footage: Footage,
    hop_seconds: float,
    lanes: int,
    *,
    remember: bool = True,
    device: torch.device | None = None,
    on_progress: Callable[[int], None] = lambda keyframes: None,
) -> list[KeyframeScores]:
    """Scores of every action for the boxes of every keyframe, in no particular order.

    As in the reference, a video's keyframes are those that have boxes, and a memory step is one of these. A batch
    contains clips of up to `lanes` videos.
    """
    device = device or next(model.parameters()).device
    engine = Engine(model, preprocessing, device=device, remember=remember)
    span = span_seconds(preprocessing.num_frames, preprocessing.frame_interval)

    def sampler(video: AvaVideo) -> ClipSampler:
        return ClipSampler.for_model(video.name, preprocessing, hop_seconds=hop_seconds)

    plan = assign_lanes(videos, min(lanes, len(videos)), seed=None)
    last = {video.name: video.keyframes[-1] for video in videos}
    found: list[KeyframeScores] = []
    for row in iterate_lanes([read_lane(lane, footage, sampler, hop_seconds, span) for lane in plan]):
        steps = [step for step in row if step is not None]
        results = engine.step([step.clip for step in steps], [step.keyframe.boxes for step in steps])
        for step, result in zip(steps, results, strict=True):
            assert result.boxes is not None
            found.append(KeyframeScores(step.video, step.keyframe.second, result.boxes.xyxy, result.scores))
            if step.keyframe is last[step.video]:
                engine.forget(step.video)
        on_progress(len(found))
    return found


def detections_table(found: Sequence[KeyframeScores]) -> AvaTable:
    """The scores as AVA detections: a row for every box and action, ordered by video and time."""
    parts = []
    for keyframe in sorted(found, key=lambda keyframe: (keyframe.video, keyframe.second)):
        people, classes = keyframe.scores.shape
        rows = people * classes
        parts.append(
            AvaTable(
                np.full(rows, keyframe.video),
                np.full(rows, keyframe.second),
                np.repeat(keyframe.boxes.astype(np.float64), classes, axis=0),
                np.tile(np.arange(1, classes + 1), people),
                keyframe.scores.astype(np.float64).reshape(-1),
            )
        )
    return AvaTable.join(parts)
