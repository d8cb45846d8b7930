"""Detects people with a torchvision detector trained on COCO."""

from __future__ import annotations

import logging
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection, get_model, get_model_weights, list_models

from memvit.models import CheckpointError
from memvit.models.weights.torch_files import load_torch_file
from memvit.types import DetectionSize, Image, MemvitError, PersonBoxes

from .image_detector import ImageDetector

logger = logging.getLogger(__name__)
PERSON = 1
"""COCO's class number of a person."""
ANY_SIDE = 1 << 16
"""More pixels than the longer side of any frame has."""
BATCH_IMAGES = {"cpu": 4, "cuda": 16}
"""The largest number of images that are detected at once: more need more memory and gain nothing."""


def detector_names() -> list[str]:
    """Names of torchvision's detectors."""
    return list(list_models(module=detection))


class TorchvisionDetector(ImageDetector):
    """A detector by its torchvision name, with published or local weights."""

    def __init__(
        self,
        name: str,
        *,
        weights: str | Path | None = None,
        device: torch.device | str = "cpu",
        score_threshold: float | None = None,
        max_boxes: int = 100,
    ) -> None:
        """Build the detector. MemvitError if its weights cannot be downloaded or read, or are of another detector."""
        device = torch.device(device)
        self.max_boxes = max_boxes
        model = _published(name) if weights is None else _local(name, Path(weights))
        self.model = model.to(device).eval()
        batch_images = BATCH_IMAGES.get(device.type, 1)
        super().__init__(device, _size_of(model), batch_images=batch_images, score_threshold=score_threshold)

    @torch.inference_mode()
    def _detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        """The people in a batch of images of one size."""
        pixels = [torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255 for image in images]
        return [
            self._people(found, image.shape[2], image.shape[1])
            for found, image in zip(self.model(pixels), pixels, strict=True)
        ]

    def _people(self, found: dict[str, Tensor], width: int, height: int) -> PersonBoxes:
        chosen = (found["labels"] == PERSON) & (found["scores"] >= self.score_threshold / 2)
        scores, order = found["scores"][chosen].sort(descending=True, stable=True)
        order = order[: self.max_boxes]
        size = torch.tensor([width, height, width, height], device=self.device)
        boxes = (found["boxes"][chosen][order] / size).clamp(0, 1)
        return PersonBoxes(
            boxes.cpu().numpy().astype(np.float32), scores[: self.max_boxes].cpu().numpy().astype(np.float32)
        )


def _size_of(model: nn.Module) -> DetectionSize:
    """The size to which a detector reduces images. Those that stretch every image to a square need its full height."""
    transform: Any = model.transform
    if transform.fixed_size is not None:
        return DetectionSize(max(transform.fixed_size), ANY_SIDE)
    return DetectionSize(transform.min_size[-1], transform.max_size)


def _published(name: str) -> nn.Module:
    weights = get_model_weights(name).DEFAULT
    cache = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if not cache.exists():
        logger.warning("downloading the person detector %s to %s", weights.url, cache)
    try:
        model: nn.Module = get_model(name, weights=weights)
    except (urllib.error.URLError, OSError) as error:
        raise MemvitError(
            f"{name}: its weights could not be downloaded ({getattr(error, 'reason', error)}); fetch {weights.url} by "
            f"hand and put it at {cache} or pass it as --boxes-weights; or use --boxes full or an AVA-format CSV"
        ) from error
    return model


def _local(name: str, path: Path) -> nn.Module:
    model: nn.Module = get_model(name, weights=None, weights_backbone=None)
    if not path.is_file():
        raise MemvitError(f"{path}: there is no such file of detector weights")
    try:
        state = load_torch_file(path)
    except CheckpointError as error:
        raise MemvitError(str(error)) from error
    if not isinstance(state, dict):
        raise MemvitError(f"{path}: a state dict of {name} was expected, found a {type(state).__name__}")
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        found = ", ".join(list(map(str, state))[:2])
        raise MemvitError(
            f"{path}: the weights are not of {name}: found parameters like {found}, "
            f"expected {next(iter(model.state_dict()))}; name the detector that they are of in --boxes"
        ) from error
    return model
