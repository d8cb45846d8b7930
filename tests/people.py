"""A detector of the actors of LongCue videos, whose bodies differ in colour, and a scene in which one of them hides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memvit.datasets.long_cue import BODIES, Scene
from memvit.types import Clip, DetectionSize, Image, PersonBoxes

MAX_DIFFERENCE = 20
"""By how much a codec may change each of red, green and blue."""
MIN_PIXELS = 12


class HidingScene(Scene):
    """Actor 1 cannot be seen from 4 s to 7 s."""

    def centres(self, pts_seconds: float) -> NDArray[np.float64]:
        """As of any scene, or far outside."""
        found = super().centres(pts_seconds)
        if 4 <= pts_seconds < 7:
            found[1] = -10 * self.side
        return found


class ColourDetector:
    """Finds an actor wherever its colour is, and gives the boxes from left to right, whoever they are of."""

    detection_size = DetectionSize(96, 1000)
    score_threshold = 0.5

    def __init__(self) -> None:
        self.batches: list[int] = []
        """Number of images of each call."""

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        raise AssertionError("the frames of a clip are looked at together")

    def detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        self.batches.append(len(images))
        return [self._people(image) for image in images]

    @staticmethod
    def _people(image: Image) -> PersonBoxes:
        found = []
        for colour in BODIES:
            rows, columns = np.nonzero((abs(image.astype(int) - colour) <= MAX_DIFFERENCE).all(axis=2))
            if len(rows) >= MIN_PIXELS:
                found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        size = np.tile([image.shape[1], image.shape[0]], 2)
        xyxy = (np.array(sorted(found), np.float64).reshape(-1, 4) / size).astype(np.float32)
        return PersonBoxes(xyxy, np.full(len(xyxy), 0.9, np.float32))
