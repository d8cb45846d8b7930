"""LongCount: synthetic videos in AVA's format whose labels count what was shown over minutes.

The actors are those of LongCue, but each shows the same yellow disc from one to four times, at least some seconds
apart. From two seconds after a disc to the next one the actor's action is "has shown 1", "has shown 2", … The picture
does not tell how often, and the latest disc alone does not either: all of an actor's discs must be remembered apart.
Everything follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.datasets.long_cue import CUE_SECONDS, CUES, HIDDEN_AFTER_SECONDS, Scene, annotation_rows, write_video

MOST = 4
"""The largest number of discs that an actor shows."""
SHOWS = "shows a disc"
COUNTS = tuple(f"has shown {number}" for number in range(1, MOST + 1))
DISC = list(CUES).index("yellow")
EARLIEST_SECOND = 2
SHORTEST_PAUSE_SECONDS = 4


@dataclass(frozen=True)
class CountScene(Scene):
    """The complete description of one video."""

    pause_seconds: int = 20
    """The longest time from one disc of an actor to the next."""

    @cached_property
    def disc_seconds(self) -> tuple[NDArray[np.int64], ...]:
        """Of each actor the seconds of the last keyframes whose clips show a disc, ascending."""
        generator = np.random.default_rng((self.seed, 6))
        found = []
        for _ in range(self.actors):
            count = int(generator.integers(1, MOST + 1))
            first = generator.integers(EARLIEST_SECOND, EARLIEST_SECOND + 4)
            pauses = generator.integers(SHORTEST_PAUSE_SECONDS, self.pause_seconds + 1, size=count - 1)
            found.append(first + np.concatenate(([0], pauses.cumsum())).astype(np.int64))
        return tuple(found)

    def cue_shown(self, actor: int, pts_seconds: float) -> int | None:
        """The disc that an actor shows at an instant, or None."""
        over = self.disc_seconds[actor] + 0.5
        return DISC if bool(((over - CUE_SECONDS <= pts_seconds) & (pts_seconds < over)).any()) else None

    def action(self, actor: int, second: int) -> int | None:
        """The action of an actor at a keyframe: 1 for showing a disc, 2 to 5 for having shown 1 to 4; else None."""
        ages = second - self.disc_seconds[actor]
        if np.isin(ages, (-1, 0)).any():
            return 1
        shown = int((ages >= HIDDEN_AFTER_SECONDS).sum())
        return 1 + shown if shown and shown == int((ages >= -HIDDEN_AFTER_SECONDS).sum()) else None


def write_long_count(folder: Path, scenes: Mapping[str, Sequence[CountScene]]) -> None:
    """Write a data set with the files of `write_long_cue`; `counts.pbtxt` has only the actions that need memory."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for part, of_part in scenes.items():
        rows: list[str] = []
        for number, scene in enumerate(of_part):
            video = f"{part}{number:04d}"
            write_video(scene, folder / "videos" / f"{video}.mp4")
            rows += annotation_rows(scene, video, scene.keyframes)
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
        known = {f"{part}{number:04d}": asdict(scene) for number, scene in enumerate(of_part)}
        (folder / f"{part}_scenes.json").write_text(json.dumps(known) + "\n")
    items = [f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in enumerate((SHOWS, *COUNTS), 1)]
    (folder / "actions.pbtxt").write_text("".join(items))
    (folder / "counts.pbtxt").write_text("".join(items[1:]))
