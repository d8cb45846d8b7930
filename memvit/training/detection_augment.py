"""Changes a picture at random, with its boxes and masks. Everything follows from a seed.

Sources: multi-scale training with crops, DETR, arXiv 2005.12872; large-scale jitter, arXiv 2012.07177.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from memvit.datasets.coco import Objects
from memvit.detection.boxes import clipped, is_nonempty
from memvit.detection.images import Size, resized, resized_size
from memvit.detection.learning.targets import Mask, Targets, drawn_polygons, masks_in_boxes
from memvit.training.detection_recipe import DetectionAugmentation

GREY = 128
"""What fills up the square of large-scale jitter."""
MASK_SIDE = 28
"""A mask of which nothing is left in so many pixels of its box is learned no longer."""


@dataclass
class Canvas:
    """A picture in the making, and where its points have gone: x → scale · x + offset."""

    pixels: Tensor
    """(3, H, W) uint8"""
    masks: list[Tensor]
    """(H, W) uint8: the masks that are given as pixels."""
    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    @property
    def size(self) -> Size:
        """(height, width)"""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def resize(self, size: Size) -> None:
        """Bring the picture to (height, width)."""
        height, width = self.size
        factor = np.array([size[1] / width, size[0] / height])
        self.pixels = resized(self.pixels, size)
        self.masks = [F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0] for mask in self.masks]
        self.scale, self.offset = self.scale * factor, self.offset * factor

    def crop(self, x: int, y: int, size: Size) -> None:
        """Keep (height, width) pixels from (x, y) on."""
        self.pixels = self.pixels[:, y : y + size[0], x : x + size[1]]
        self.masks = [mask[y : y + size[0], x : x + size[1]] for mask in self.masks]
        self.offset = self.offset - (x, y)

    def flip(self) -> None:
        """Mirror left and right."""
        self.pixels = self.pixels.flip(2)
        self.masks = [mask.flip(1) for mask in self.masks]
        mirror = np.array([-1.0, 1.0])
        self.scale, self.offset = self.scale * mirror, self.offset * mirror + (self.size[1], 0)

    def fill_up(self, side: int) -> None:
        """Make the picture a square, with grey at the bottom and on the right."""
        height, width = self.size
        room = (0, side - width, 0, side - height)
        self.pixels = F.pad(self.pixels, room, value=GREY)
        self.masks = [F.pad(mask, room) for mask in self.masks]

    def points(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where x, y, x, y … have gone."""
        moved: NDArray[np.float64] = (flat.reshape(-1, 2) * self.scale + self.offset).reshape(-1)
        return moved


class PictureAugmentation:
    """Applies the `augment` section of a recipe."""

    def __init__(self, config: DetectionAugmentation) -> None:
        self.config = config

    def __call__(self, pixels: Tensor, objects: Objects, seed: int) -> tuple[Tensor, Targets]:
        """(3, H, W) uint8 and its objects → the changed picture and those of its objects that are still in it."""
        random = np.random.default_rng(seed)
        masks = objects.masks or ()
        canvas = Canvas(pixels, [mask.to(torch.uint8) for mask in masks if isinstance(mask, Tensor)])
        is_jitter = self.config.kind == "large_scale_jitter"
        (self._jitter if is_jitter else self._multi_scale)(canvas, random)
        boxes = _moved_boxes(canvas, objects.boxes)
        moved = _moved_masks(canvas, masks) if objects.masks is not None else None
        if is_jitter and moved is not None:
            moved = [mask if isinstance(mask, Tensor) else drawn_polygons(mask, canvas.size) for mask in moved]
            boxes = torch.stack([_box_of(mask) for mask in moved if isinstance(mask, Tensor)]) if moved else boxes
        boxes = clipped(boxes, canvas.size)
        kept = is_nonempty(boxes)
        if moved is not None and len(boxes):
            kept &= masks_in_boxes(moved, boxes, MASK_SIDE).flatten(1).any(dim=1)
        chosen = kept.nonzero()[:, 0]
        rest = tuple(moved[index] for index in chosen.tolist()) if moved is not None else None
        return canvas.pixels.contiguous(), Targets(boxes[chosen], objects.labels[chosen], rest, seed)

    def _multi_scale(self, canvas: Canvas, random: np.random.Generator) -> None:
        config = self.config
        if random.random() < config.crop:
            canvas.resize(resized_size(*canvas.size, int(random.choice(config.crop_short_sides)), 10**9))
            low, high = config.crop_sides
            height, width = (int(random.integers(min(side, low), min(side, high) + 1)) for side in canvas.size)
            y, x = (
                int(random.integers(0, side - part + 1))
                for side, part in zip(canvas.size, (height, width), strict=True)
            )
            canvas.crop(x, y, (height, width))
        canvas.resize(resized_size(*canvas.size, int(random.choice(config.short_sides)), config.long_side))
        if random.random() < config.flip:
            canvas.flip()

    def _jitter(self, canvas: Canvas, random: np.random.Generator) -> None:
        config = self.config
        if random.random() < config.flip:
            canvas.flip()
        fit = min(config.side / side for side in canvas.size)
        scale = fit * random.uniform(*config.jitter)
        height, width = (max(1, round(side * scale)) for side in canvas.size)
        canvas.resize((height, width))
        part = random.random()
        y, x = (round(part * max(side - config.side, 0)) for side in canvas.size)
        canvas.crop(x, y, (min(height, config.side), min(width, config.side)))
        canvas.fill_up(config.side)


def _moved_boxes(canvas: Canvas, boxes: Tensor) -> Tensor:
    corners = torch.from_numpy(canvas.points(boxes.double().numpy().reshape(-1))).view(-1, 2, 2).float()
    return torch.cat((corners.amin(dim=1), corners.amax(dim=1)), dim=1)


def _moved_masks(canvas: Canvas, masks: tuple[Mask, ...]) -> list[Mask]:
    pixels = iter(canvas.masks)
    return [
        next(pixels).bool() if isinstance(mask, Tensor) else tuple(canvas.points(polygon) for polygon in mask)
        for mask in masks
    ]


def _box_of(mask: Tensor) -> Tensor:
    """(4,) xyxy about the set pixels; zeros where there are none."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return torch.zeros(4)
    return torch.stack((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).float()
