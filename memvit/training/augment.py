"""Augmentation of single samples and of batches.

All random choices use torch's global generator, which the caller seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as images

from memvit.training.mixing import mix
from memvit.training.rand_augment import RandAugment
from memvit.training.recipe import Augmentation
from memvit.types import MemvitError
from memvit.video.clips.sampler import short_side_size

Step = Callable[[Tensor], Tensor]

PRINCIPAL_DEVIATIONS = torch.tensor([0.225, 0.224, 0.229])
PRINCIPAL_COLORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
"""Eigenvalues and eigenvectors of the reference (`DATA.TRAIN_PCA_EIGVAL`, `EIGVEC`): rows are red, green and blue,
columns are components."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator inside the context, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def jittered_side(low: int, high: int, drawn: float) -> int:
    """A side of `low` to `high` pixels for a random number of 0 to 1.

    Its inverse is uniform, so short sides are more likely, as in the reference for videos (`INV_UNIFORM_SAMPLE`).
    """
    return round(1 / (1 / high + (1 / low - 1 / high) * drawn))


def with_color_noise(frames: Tensor, along: Sequence[float]) -> Tensor:
    """(…, 3) uint8 RGB with one colour added to all pixels; `along` is its coefficient of each principal component."""
    shift = PRINCIPAL_COLORS @ (PRINCIPAL_DEVIATIONS * torch.tensor(along))
    return (frames.float() + 255 * shift).round_().clamp_(0, 255).to(torch.uint8)


class ShortSideCrop:
    """(T, 3, H, W) → (T, 3, side, side): resizes the short side to a random length and cuts out a random square.

    The resize is bilinear without antialiasing, as in the reference.
    """

    def __init__(self, short_side: tuple[int, int], side: int) -> None:
        if min(short_side) < side:
            raise MemvitError(f"augment.short_side={list(short_side)} is smaller than the crop of {side} pixels")
        self.short_side, self.side = short_side, side

    def __call__(self, clip: Tensor) -> Tensor:
        """Crop all frames at the same place."""
        low, high = self.short_side
        width, height = short_side_size(clip.shape[-1], clip.shape[-2], jittered_side(low, high, float(torch.rand(()))))
        clip = images.resize(clip, [height, width], v2.InterpolationMode.BILINEAR, antialias=False)
        top = int(torch.randint(height - self.side + 1, ()))
        left = int(torch.randint(width - self.side + 1, ()))
        return images.crop(clip, top, left, self.side, self.side)


class ClipAugmentation:
    """(T, 3, H, W) uint8 → (T, 3, side, side) uint8, with the same changes to all frames.

    As published, whole frames of a video are distorted and then cropped with bilinear interpolation, but an image is
    cropped first, with bicubic interpolation.
    """

    def __init__(self, config: Augmentation, side: int, *, of_images: bool) -> None:
        crop: list[Step] = [_crop(config, side, of_images=of_images)]
        if config.flip:
            crop.append(v2.RandomHorizontalFlip(config.flip))
        distort: list[Step] = []
        if config.rand_augment_ops:
            distort.append(
                RandAugment(config.rand_augment_ops, config.rand_augment_magnitude, config.rand_augment_noise)
            )
        elif config.color_jitter:
            distort.append(v2.ColorJitter(*[config.color_jitter] * 3))
        self.steps = [*crop, *distort] if of_images else [*distort, *crop]

    def __call__(self, clip: Tensor, seed: int) -> Tensor:
        """Augment one sample; `seed` decides all random choices."""
        with seeded(seed):
            for step in self.steps:
                clip = step(clip)
        return clip


def _crop(config: Augmentation, side: int, *, of_images: bool) -> Step:
    if config.short_side is not None:
        return ShortSideCrop(config.short_side, side)
    mode = v2.InterpolationMode.BICUBIC if of_images else v2.InterpolationMode.BILINEAR
    crop: Step = v2.RandomResizedCrop(side, config.area, config.aspect, mode, antialias=of_images)
    return crop


class BatchAugmentation:
    """Normalised clips (B, 3, T, H, W) and labels (B,) → clips and soft targets (B, classes)."""

    def __init__(self, config: Augmentation, num_classes: int) -> None:
        self.config, self.num_classes = config, num_classes
        self.erase = v2.RandomErasing(config.erasing, value="random") if config.erasing else None

    def __call__(self, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the samples of a batch. Random choices use torch's global generator."""
        if self.erase is not None:
            erase = self.erase
            clips = torch.stack([erase(clip.transpose(0, 1)).transpose(0, 1) for clip in clips])
        smoothing = self.config.label_smoothing
        targets = F.one_hot(labels, self.num_classes).to(clips.dtype) * (1 - smoothing) + smoothing / self.num_classes
        return mix(clips, targets, self.config.mixup, self.config.cutmix)
