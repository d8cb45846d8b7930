"""Where people were seen in the frames that were looked at, more often than once a clip, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memvit.types import PersonBoxes

Column = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A frame in which a detector looked for people."""

    pts_seconds: float
    boxes: PersonBoxes
    """All that were found, also those with a low score."""
    appearance: NDArray[np.float32]
    """(N, D) what each box looks like."""
    is_detection: NDArray[np.bool_]
    """(N,) whether each box is a row of `people`: a box of the clip's keyframe with a score that is high enough."""

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        arrays = self.boxes.xyxy, self.boxes.scores, self.appearance, self.is_detection
        return sum(array.nbytes for array in arrays)


def sighting_columns(
    clips: Sequence[Sequence[LookedAt]],
) -> tuple[NDArray[np.int64], dict[str, Column], dict[str, Column]]:
    """Return the number of frames of each clip, the columns of these frames, and those of the boxes in them.

    Of frames: `seconds` (F) and `sightings` (F), the number of boxes. Of boxes: `boxes` (S, 4), `scores` (S),
    `appearance` (S, D) float16 and `is_detection` (S).
    """
    counts = np.array([len(frames) for frames in clips], dtype=np.int64)
    looked_at = [frame for frames in clips for frame in frames]
    frames: dict[str, Column] = {
        "seconds": np.array([frame.pts_seconds for frame in looked_at], dtype=np.float64),
        "sightings": np.array([len(frame.boxes) for frame in looked_at], dtype=np.int64),
    }
    sightings: dict[str, Column] = {
        "boxes": np.concatenate([frame.boxes.xyxy for frame in looked_at]).astype(np.float32),
        "scores": np.concatenate([frame.boxes.scores for frame in looked_at]).astype(np.float32),
        "appearance": np.concatenate([frame.appearance for frame in looked_at]).astype(np.float16),
        "is_detection": np.concatenate([frame.is_detection for frame in looked_at]),
    }
    return counts, frames, sightings
