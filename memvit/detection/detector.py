"""A detector for pictures of any sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .coco import Categories, numbered
from .config import Selection
from .detections import Detections, in_picture
from .images import Size, check_images, resized, resized_size
from .network import DetectionNetwork
from .runner import DetectionRunner
from .zoo import DetectorEntry


class Detector(nn.Module):
    """Finds objects in pictures, with their classes and masks. `network` is what is trained.

    A call runs a copy of the network that is prepared for the device where the weights are, in their type. The copy is
    made at the first call, and again after weights have changed.
    """

    def __init__(
        self,
        network: DetectionNetwork,
        entry: DetectorEntry,
        rule: Selection | None = None,
        categories: Categories | None = None,
    ) -> None:
        super().__init__()
        self.network, self.entry = network, entry
        self.rule = rule or Selection()
        """Which of the detections are kept."""
        self.categories = categories or numbered(network.config.num_classes)
        """What the classes are called in files."""
        self._runner: DetectionRunner | None = None
        self._made_of: list[tuple[int, torch.dtype, int]] = []

    def __getstate__(self) -> dict[str, Any]:
        """A detector is copied and pickled without its prepared network, which cannot be."""
        return {**super().__getstate__(), "_runner": None}

    def forward(
        self, images: Sequence[Tensor], *, short_side: int | None = 800, long_side: int = 1333, masks: bool = True
    ) -> list[Detections]:
        """The objects in (3, H, W) uint8 RGB pictures of any sizes, in pixels of the pictures as given.

        Pictures are resized to a short side of `short_side` pixels, or less where the long side would be above
        `long_side`; with None they are left as they are. All pictures are computed as one batch, filled up to the
        largest: as with the reference, a picture's results are exactly its own only in a batch of equal sizes. Without
        `masks` there are boxes alone, and masks are empty. ValueError if something is no picture.
        """
        images = list(images)
        check_images(images)
        if not images:
            return []
        pictures: list[Size] = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        if short_side is not None:
            images = [
                resized(image, resized_size(*size, short_side, long_side))
                for image, size in zip(images, pictures, strict=True)
            ]
        found = self.runner()(images, self.rule, masks=masks)
        sizes: list[Size] = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        return [in_picture(*each) for each in zip(found, sizes, pictures, strict=True)]

    def runner(self) -> DetectionRunner:
        """The prepared copy of the network, with the weights of now."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        made_of = [
            (tensor.data_ptr(), tensor.dtype, -1 if tensor.is_inference() else tensor._version) for tensor in tensors
        ]
        if self._runner is None or made_of != self._made_of:
            weight = self.network.rpn.objectness.weight
            self._runner = None  # its memory is free before the next one is made
            self._runner = DetectionRunner(self.network, weight.device, weight.dtype)
            self._made_of = made_of
        return self._runner
