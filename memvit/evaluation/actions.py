"""Testing a model of people's actions as it would run: each video once, in order, with its memory, whole frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from memvit.datasets.ava import AnnotatedVideo, Footage
from memvit.datasets.ava_files import AvaTable
from memvit.datasets.lanes import read_lane, share_out, span_seconds, walk
from memvit.engine import Engine
from memvit.models import MeMViT, Preprocessing
from memvit.results import Result
from memvit.video.sampler import ClipSampler


def detect(
    model: MeMViT,
    preprocessing: Preprocessing,
    videos: Sequence[AnnotatedVideo],
    footage: Footage,
    hop_seconds: float,
    lanes: int,
    *,
    remember: bool = True,
    device: torch.device | None = None,
    on_progress: Callable[[int], None] = lambda keyframes: None,
) -> AvaTable:
    """Scores of every action for the boxes of every keyframe, as rows of AVA's detection format.

    As in the reference, a video's keyframes are those that have boxes, and memory counts these. `lanes` videos run side
    by side in one batch. Order of rows: by video, then by time.
    """
    device = device or next(model.parameters()).device
    engine = Engine(model, preprocessing, device=device, remember=remember)
    span = span_seconds(preprocessing.num_frames, preprocessing.frame_interval)

    def sampler(video: AnnotatedVideo) -> ClipSampler:
        return ClipSampler.for_model(video.name, preprocessing, hop_seconds=hop_seconds)

    plan = share_out(videos, min(lanes, len(videos)), seed=None)
    last = {video.name: video.keyframes[-1] for video in videos}
    answers: dict[tuple[str, int], Result] = {}
    for row in walk([read_lane(lane, footage, sampler, hop_seconds, span) for lane in plan]):
        steps = [step for step in row if step is not None]
        results = engine.step([step.clip for step in steps], [step.keyframe.boxes for step in steps])
        for step, result in zip(steps, results, strict=True):
            answers[step.video, step.keyframe.second] = result
            if step.keyframe is last[step.video]:
                engine.forget(step.video)
        on_progress(len(answers))
    return as_table([(video, second, answers[video, second]) for video, second in sorted(answers)])


def as_table(answers: Sequence[tuple[str, int, Result]]) -> AvaTable:
    """One row for every box and action."""
    parts = []
    for video, second, result in answers:
        assert result.boxes is not None
        people, classes = result.scores.shape
        rows = people * classes
        parts.append(
            AvaTable(
                np.full(rows, video),
                np.full(rows, second),
                np.repeat(result.boxes.xyxy.astype(np.float64), classes, axis=0),
                np.tile(np.arange(1, classes + 1), people),
                result.scores.astype(np.float64).reshape(-1),
            )
        )
    return AvaTable.join(parts)
