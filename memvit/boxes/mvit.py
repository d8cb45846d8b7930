"""Detects people with an MViTv2 detector trained on COCO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from memvit.detection.coco import PERSON
from memvit.detection.create import open_detector
from memvit.detection.images import resized, resized_size
from memvit.models import CheckpointError
from memvit.types import DetectionSize, Image, MemvitError, PersonBoxes

from .image_detector import ImageDetector

BATCH_IMAGES = {"cpu": 1, "cuda": 8}
"""The largest number of images that are detected at once: on a CPU one fills all cores and takes 1.6 GB."""


class MViTDetector(ImageDetector):
    """A detector by its name in `memvit models`, with published or local weights. It looks for people alone."""

    def __init__(
        self,
        name: str,
        *,
        weights: str | Path | None = None,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        score_threshold: float | None = None,
    ) -> None:
        """Build the detector. MemvitError if its weights cannot be downloaded or read, or are of another detector."""
        device = torch.device(device)
        checkpoint = None if weights is None else Path(weights)
        try:
            self.detector = open_detector(name, checkpoint, device=device, precision=precision)
        except CheckpointError as error:
            raise MemvitError(str(error)) from error
        entry = self.detector.entry
        size = DetectionSize(entry.short_side, entry.long_side)
        batch_images = BATCH_IMAGES.get(device.type, 1)
        super().__init__(device, size, batch_images=batch_images, score_threshold=score_threshold)
        self._rule = replace(self.detector.rule, min_score=self.score_threshold / 2, label=PERSON)

    def _detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        """The people in a batch of images of one size."""
        pixels = [self._in_size(torch.from_numpy(image).permute(2, 0, 1)) for image in images]
        height, width = pixels[0].shape[1:]
        found = self.detector.runner()(pixels, self._rule, masks=False)
        size = np.array([width, height, width, height], np.float32)
        return [PersonBoxes((each.boxes.cpu().numpy() / size).clip(0, 1), each.scores.cpu().numpy()) for each in found]

    def _in_size(self, image: torch.Tensor) -> torch.Tensor:
        """Smaller images are enlarged, as the detector was trained; one of the right size, to a pixel, stays."""
        height, width = image.shape[1:]
        wanted = resized_size(height, width, self.detection_size.short_side, self.detection_size.long_side)
        if max(abs(wanted[0] - height), abs(wanted[1] - width)) <= 1:
            return image
        return resized(image, wanted)
