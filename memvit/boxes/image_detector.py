"""What every detector does: the people in the images of clips, in batches of images of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from memvit.types import Clip, DetectionSize, Image, PersonBoxes

SCORE_THRESHOLD = 0.8


class ImageDetector(ABC):
    """Finds the people in images. It is a `PersonDetector`."""

    def __init__(
        self,
        device: torch.device,
        detection_size: DetectionSize,
        *,
        batch_images: int,
        score_threshold: float | None = None,
    ) -> None:
        """`batch_images`: the largest number of images that are detected at once."""
        self.device, self.detection_size = device, detection_size
        self.score_threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        self._batch_images = batch_images

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        """The people in the centre frame of each clip, ordered by descending score."""
        images = [clip.centre_image for clip in clips if clip.centre_image is not None]
        if len(images) < len(clips):
            raise ValueError("a detector needs clips with their centre image")
        return [found.select(found.scores >= self.score_threshold) for found in self.detect(images)]

    def detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        """The people in each image with at least half the threshold's score, ordered by descending score.

        Only images of one size share a batch: in a larger frame, an image would have other borders and other scores.
        """
        found: dict[int, PersonBoxes] = {}
        for size in sorted({image.shape for image in images}):
            places = [place for place, image in enumerate(images) if image.shape == size]
            for first in range(0, len(places), self._batch_images):
                batch = places[first : first + self._batch_images]
                found |= zip(batch, self._detect([images[place] for place in batch]), strict=True)
        return [found[place] for place in range(len(images))]

    @abstractmethod
    def _detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        """The people in a batch of images of one size."""
