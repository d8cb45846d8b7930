"""How a model of LongCue is told who is who: the numbers of the people in the boxes of a data set, in several ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.datasets.ava import AvaVideo, Keyframe
from memvit.datasets.long_cue import Scene
from memvit.tracking import Tracker, TrackerSettings
from memvit.types import PersonBoxes

TRACK_RATE = 8
"""In how many frames a second the tracker sees the boxes, as `memvit watch` shows them to it."""
Numbers = Callable[[PersonBoxes, int], PersonBoxes]
"""(boxes of a keyframe, its second) → the same boxes as a model gets them; called for one second after the other."""


def in_mode(mode: str, videos: Sequence[AvaVideo], scenes: Path) -> list[AvaVideo]:
    """The videos with the boxes of a mode: given, tracker, without or shuffled.

    `scenes` is the file of the scenes of these videos, which the tracker needs for the boxes between keyframes.
    """
    if mode == "given":
        return list(videos)
    if mode == "without":
        return [_changed(video, lambda boxes, second: replace(boxes, persons=None)) for video in videos]
    if mode == "shuffled":
        return [_changed(video, _shuffled(number)) for number, video in enumerate(videos)]
    if mode != "tracker":
        raise ValueError(f"there is no mode {mode!r}")
    known = read_scenes(scenes)
    return [_changed(video, _tracked(known[video.name])) for video in videos]


def read_scenes(path: Path) -> dict[str, Scene]:
    """Video → its scene, as `write_long_cue` wrote them."""
    return {video: Scene(**scene) for video, scene in json.loads(path.read_text()).items()}


def _changed(video: AvaVideo, change: Numbers) -> AvaVideo:
    """The video with other boxes. The labels stay as they are: no model sees them."""

    def keyframe(found: Keyframe) -> Keyframe:
        return replace(found, boxes=change(found.boxes, found.second))

    return replace(video, keyframes=tuple(keyframe(found) for found in video.keyframes))


def _shuffled(seed: int) -> Numbers:
    generator = np.random.default_rng(seed)

    def change(boxes: PersonBoxes, second: int) -> PersonBoxes:
        order = generator.permutation(len(boxes))
        return PersonBoxes(boxes.xyxy[order], boxes.scores[order])

    return change


def _tracked(scene: Scene) -> Numbers:
    """The numbers of the project's own tracker, which sees the boxes of the scene and nothing else."""
    tracker = Tracker(replace(TrackerSettings(), low_score=1e-3))
    scores = np.ones(scene.actors, np.float32)

    def change(boxes: PersonBoxes, second: int) -> PersonBoxes:
        numbers = boxes.persons
        for frame in range((second - 1) * TRACK_RATE + 1, second * TRACK_RATE + 1):
            seconds = frame / TRACK_RATE
            if seconds > tracker.pts_seconds:
                numbers = tracker.update(seconds, PersonBoxes(scene.boxes(seconds), scores))
        assert numbers is not None
        return replace(boxes, persons=_in_order(boxes, scene.boxes(second), numbers))

    return change


def _in_order(boxes: PersonBoxes, found: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The numbers of the found boxes, in the order of `boxes`, which are the same but for rounding."""
    distance = np.abs(boxes.xyxy[:, None] - found[None]).sum(axis=2)
    return np.asarray(numbers[distance.argmin(axis=1)], dtype=np.int64)
