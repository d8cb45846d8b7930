"""LongCue: synthetic videos of moving actors who show a cue that matters long after it is gone.

Every actor is a shape that wanders over a textured ground. Once in every period it shows one of the cue colours for
a second; what it is said to do `cue_age_seconds` later depends on that colour, which is then no longer visible. Boxes
and labels are written in AVA's format. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.types import Image
from memvit.video.writer import VideoWriter

CUE_COLOURS = ((230, 60, 60), (60, 200, 90), (70, 110, 240), (240, 200, 50))
CUE_SECONDS = 1.0
BODY_COLOUR = (205, 205, 205)


@dataclass(frozen=True)
class Scene:
    """One video, described completely."""

    seed: int = 0
    actors: int = 3
    seconds: float = 24.0
    width: int = 320
    height: int = 240
    frames_per_second: float = 25.0
    cue_age_seconds: float = 8.0
    """How long before a keyframe the cue was shown that its label depends on."""

    def cues(self) -> NDArray[np.int64]:
        """(actors, seconds): the cue each actor would show in each second; it is shown every `period` seconds."""
        generator = np.random.default_rng((self.seed, 1))
        return generator.integers(len(CUE_COLOURS), size=(self.actors, int(np.ceil(self.seconds)) + 1))

    def centres(self, pts_seconds: float) -> NDArray[np.float64]:
        """(actors, 2) x, y in pixels at an instant: slow sums of sines that stay inside the frame."""
        generator = np.random.default_rng((self.seed, 2))
        phase = generator.uniform(0, 2 * np.pi, size=(self.actors, 2, 2))
        speed = generator.uniform(0.05, 0.25, size=(self.actors, 2, 2))
        path = np.sin(phase + speed * pts_seconds) @ np.array([0.6, 0.4])
        margin = self.radius + 2
        room = np.array([self.width, self.height]) / 2 - margin
        return np.array([self.width, self.height]) / 2 + path * room

    @property
    def radius(self) -> float:
        """Half the side of an actor, pixels."""
        return self.height / 9

    def cue_shown(self, actor: int, pts_seconds: float) -> int | None:
        """The cue an actor shows at an instant, or None: each in the first second of its period."""
        period = 2 * self.cue_age_seconds
        began = pts_seconds // period * period
        return int(self.cues()[actor, int(began)]) if pts_seconds - began < CUE_SECONDS else None

    def boxes(self, pts_seconds: float) -> NDArray[np.float32]:
        """(actors, 4) xyxy, normalised 0..1."""
        centres = self.centres(pts_seconds)
        corners = np.concatenate((centres - self.radius, centres + self.radius), axis=1)
        return (corners / np.tile([self.width, self.height], 2)).clip(0, 1).astype(np.float32)


def render(scene: Scene, pts_seconds: float) -> Image:
    """The frame at an instant."""
    image = _ground(scene).copy()
    for actor, (x, y) in enumerate(scene.centres(pts_seconds)):
        reach = int(scene.radius) + 2
        rows = slice(max(int(y) - reach, 0), int(y) + reach)
        columns = slice(max(int(x) - reach, 0), int(x) + reach)
        around = image[rows, columns]
        down = np.abs(np.arange(rows.start, rows.start + around.shape[0]) - y)[:, None]
        across = np.abs(np.arange(columns.start, columns.start + around.shape[1]) - x)[None]
        square, disc, diamond = np.maximum(across, down), np.hypot(across, down), across + down
        around[(square, disc, diamond)[actor % 3] < scene.radius] = BODY_COLOUR
        cue = scene.cue_shown(actor, pts_seconds)
        if cue is not None:
            around[disc < 0.55 * scene.radius] = CUE_COLOURS[cue]
    return image


@lru_cache(maxsize=4)
def _ground(scene: Scene) -> Image:
    """A dim texture that stays the same through the video, so that motion is the actors' alone."""
    generator = np.random.default_rng((scene.seed, 3))
    coarse = generator.integers(30, 80, size=(scene.height // 20 + 1, scene.width // 20 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), dtype=np.uint8))[: scene.height, : scene.width]


def write_video(scene: Scene, path: Path) -> None:
    """Encode the scene as H.264."""
    with VideoWriter(path, frames_per_second=scene.frames_per_second) as video:
        for index in range(round(scene.seconds * scene.frames_per_second)):
            pts_seconds = index / scene.frames_per_second
            video.write(render(scene, pts_seconds), pts_seconds)


def write_boxes(scene: Scene, video: str, path: Path) -> None:
    """Ground-truth boxes at every whole second, AVA format: video, second, x1, y1, x2, y2, action, person.

    The action is 1 + the cue that the person showed last, in the whole seconds from which it is no longer visible.
    """
    rows = []
    for second in range(int(np.ceil(scene.seconds))):
        period = 2 * scene.cue_age_seconds
        began = int(second // period * period)
        for actor, box in enumerate(scene.boxes(second)):
            action = 1 + int(scene.cues()[actor, began])
            rows.append(f"{video},{second:04d},{','.join(f'{value:.3f}' for value in box)},{action},{actor}")
    path.write_text("\n".join(rows) + "\n")
