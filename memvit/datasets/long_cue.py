"""LongCue: synthetic videos in AVA's format whose labels depend on what was shown long before, and only on that.

Each video has a few actors, of different body colours, that move around each other. Once, early on, each shows a cue: a
disc of one of four colours, for two seconds; its action is then "shows COLOUR". From two seconds later to the end of
the video it is "saw COLOUR", and nothing in the picture tells that any more. To be right, a model must remember who
showed what; without memory nothing is better than guessing, which gives an average precision of the action's share.
Everything follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.types import Image
from memvit.video.writer import VideoWriter

CUES = {"red": (235, 50, 50), "green": (50, 205, 80), "blue": (60, 100, 245), "yellow": (245, 215, 40)}
SHOWS = tuple(f"shows {name}" for name in CUES)
SAW = tuple(f"saw {name}" for name in CUES)
BODIES = ((225, 225, 225), (150, 90, 200), (240, 140, 40), (60, 190, 190), (140, 100, 60), (245, 150, 190))
CUE_SECONDS = 2.0
HIDDEN_AFTER_SECONDS = 2
"""From this many seconds after the cue on, no frame of a clip of about a second shows it."""
LAST_CUE_SECOND = 5
"""The largest value of `Scene.cue_seconds`."""


@dataclass(frozen=True)
class Scene:
    """The complete description of one video."""

    seed: int = 0
    actors: int = 3
    seconds: float = 36.0
    width: int = 128
    height: int = 128
    frames_per_second: float = 15.0

    @cached_property
    def cues(self) -> NDArray[np.int64]:
        """(actors,): the number of the cue that each actor shows."""
        return np.random.default_rng((self.seed, 1)).integers(len(CUES), size=self.actors)

    @cached_property
    def cue_seconds(self) -> NDArray[np.int64]:
        """(actors,): the second of the last keyframe whose clip shows the actor's cue. Its age counts from there."""
        return np.random.default_rng((self.seed, 2)).integers(2, LAST_CUE_SECOND + 1, size=self.actors)

    @cached_property
    def bodies(self) -> NDArray[np.int64]:
        """(actors,): the number of each actor's colour; no two are alike."""
        return np.random.default_rng((self.seed, 3)).permutation(len(BODIES))[: self.actors]

    @property
    def side(self) -> int:
        """Side in pixels of the square in the middle of the frame in which the actors move."""
        return min(self.width, self.height)

    @property
    def size(self) -> NDArray[np.float64]:
        """(width, height) of the frame in pixels."""
        return np.array([self.width, self.height], dtype=np.float64)

    @property
    def radius(self) -> float:
        """Radius of an actor in pixels."""
        return self.side / 8

    def centres(self, pts_seconds: float) -> NDArray[np.float64]:
        """(actors, 2) x, y in pixels at an instant. They lie on a ring that turns back and forth, widens and drifts."""
        generator = np.random.default_rng((self.seed, 4))
        phase, pace = generator.uniform(0, 2 * np.pi, 6), generator.uniform(0.15, 0.5, 6)
        swing = np.sin(phase + pace * pts_seconds)
        angle = phase[5] + 2.5 * swing[0] + 1.5 * swing[1] + 2 * np.pi * np.arange(self.actors) / self.actors
        ring = self.side * (0.28 + 0.03 * swing[2])
        drift = self.side * 0.05 * swing[3:5]
        return self.size / 2 + drift + ring * np.stack((np.cos(angle), np.sin(angle)), axis=1)

    def cue_shown(self, actor: int, pts_seconds: float) -> int | None:
        """The cue an actor shows at an instant, or None."""
        over = self.cue_seconds[actor] + 0.5
        is_shown = over - CUE_SECONDS <= pts_seconds < over
        return int(self.cues[actor]) if is_shown else None

    def action(self, actor: int, second: int) -> int | None:
        """The action of an actor at a keyframe: 1 to 4 for "shows", 5 to 8 for "saw", None before and between them."""
        age, cue = second - self.cue_seconds[actor], int(self.cues[actor])
        if age in (-1, 0):
            return 1 + cue
        return 1 + len(SHOWS) + cue if age >= HIDDEN_AFTER_SECONDS else None

    def boxes(self, pts_seconds: float) -> NDArray[np.float32]:
        """(actors, 4) xyxy, normalised 0..1."""
        centres = self.centres(pts_seconds)
        corners = np.concatenate((centres - self.radius, centres + self.radius), axis=1)
        return (corners / np.tile(self.size, 2)).clip(0, 1).astype(np.float32)

    @property
    def keyframes(self) -> range:
        """Whole seconds whose clips lie within the video."""
        return range(1, int(self.seconds))


def render(scene: Scene, pts_seconds: float) -> Image:
    """The frame at an instant."""
    image = _ground(scene.seed, scene.width, scene.height).copy()
    rows, columns = np.ogrid[: scene.height, : scene.width]
    for actor, (x, y) in enumerate(scene.centres(pts_seconds)):
        distance = np.sqrt((columns - x) ** 2 + (rows - y) ** 2)
        image[distance < scene.radius] = BODIES[scene.bodies[actor]]
        cue = scene.cue_shown(actor, pts_seconds)
        if cue is not None:
            image[distance < 0.65 * scene.radius] = list(CUES.values())[cue]
    return image


@lru_cache(maxsize=4)
def _ground(seed: int, width: int, height: int) -> Image:
    """The background: a dim texture that stays the same throughout the video."""
    generator = np.random.default_rng((seed, 5))
    coarse = generator.integers(30, 80, size=(-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), dtype=np.uint8))[:height, :width]


def write_video(scene: Scene, path: Path) -> None:
    """Encode the scene as H.264."""
    with VideoWriter(path, frames_per_second=scene.frames_per_second) as video:
        for index in range(round(scene.seconds * scene.frames_per_second)):
            pts_seconds = index / scene.frames_per_second
            video.write(render(scene, pts_seconds), pts_seconds)


def annotation_rows(scene: Scene, video: str, seconds: Iterable[int], first_person: int = 0) -> list[str]:
    """AVA rows of these seconds: video, second, x1, y1, x2, y2, action (empty if there is none), person.

    Persons are numbered from `first_person`, which is 0 in AVA's files.
    """
    rows = []
    for second in seconds:
        for actor, box in enumerate(scene.boxes(second)):
            place = ",".join(f"{side:.3f}" for side in box)
            rows.append(f"{video},{second:04d},{place},{scene.action(actor, second) or ''},{first_person + actor}")
    return rows


def write_boxes(scene: Scene, video: str, path: Path, first_person: int = 0) -> None:
    """Write the annotations of one video at every whole second, beginning with 0."""
    rows = annotation_rows(scene, video, range(int(np.ceil(scene.seconds))), first_person)
    path.write_text("\n".join(rows) + "\n")


def write_long_cue(folder: Path, scenes: Mapping[str, Sequence[Scene]]) -> None:
    """Write a data set: `videos/`, the boxes of each part (train, val, …), and the label map, all in AVA's formats.

    `saw.pbtxt` contains only the actions that need memory. `PART_cues.csv` contains what a model must not see: video,
    person, second of the cue, action. `PART_scenes.json` contains the scene of each video, from which all follows.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for part, of_part in scenes.items():
        rows, cues = [], []
        for number, scene in enumerate(of_part):
            video = f"{part}{number:04d}"
            write_video(scene, folder / "videos" / f"{video}.mp4")
            rows += annotation_rows(scene, video, scene.keyframes)
            cues += [
                f"{video},{a},{scene.cue_seconds[a]},{scene.cues[a] + 1 + len(SHOWS)}" for a in range(scene.actors)
            ]
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
        (folder / f"{part}_cues.csv").write_text("\n".join(cues) + "\n")
        known = {f"{part}{number:04d}": asdict(scene) for number, scene in enumerate(of_part)}
        (folder / f"{part}_scenes.json").write_text(json.dumps(known) + "\n")
    items = [f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in enumerate(SHOWS + SAW, 1)]
    (folder / "actions.pbtxt").write_text("".join(items))
    (folder / "saw.pbtxt").write_text("".join(items[len(SHOWS) :]))
