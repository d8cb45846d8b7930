"""Augmentation through torchvision's transforms: of one sample, then of a batch.

The papers' RandAugment adds noise to its magnitude (mstd 0.5) and always distorts more with a larger one ("inc1");
torchvision's has the same operations without the noise. Everything random follows torch's generator, which the caller
seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from memvit.training.recipe import Augmentation

MAGNITUDE_BINS = 31
"""torchvision counts magnitudes 0 to 30, the papers 0 to 10."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's CPU generator start from `seed` inside, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class ClipAugmentation:
    """(T, 3, H, W) uint8 → (T, 3, side, side) uint8, all frames alike."""

    def __init__(self, config: Augmentation, side: int) -> None:
        steps: list[torch.nn.Module] = [
            v2.RandomResizedCrop(side, config.area, config.aspect, v2.InterpolationMode.BICUBIC, antialias=True)
        ]
        if config.flip:
            steps.append(v2.RandomHorizontalFlip(config.flip))
        if config.rand_augment_ops:
            magnitude = round(config.rand_augment_magnitude / 10 * (MAGNITUDE_BINS - 1))
            steps.append(v2.RandAugment(config.rand_augment_ops, magnitude, MAGNITUDE_BINS))
        elif config.color_jitter:
            steps.append(v2.ColorJitter(*[config.color_jitter] * 3))
        self.transform = v2.Compose(steps)

    def __call__(self, clip: Tensor, seed: int) -> Tensor:
        """Augment one sample."""
        with seeded(seed):
            out: Tensor = self.transform(tv_tensors.Video(clip))
        return out.as_subclass(Tensor)


class BatchAugmentation:
    """Normalised clips (B, 3, T, H, W) and labels (B,) → clips and soft targets (B, classes)."""

    def __init__(self, config: Augmentation, num_classes: int) -> None:
        self.num_classes, self.smoothing = num_classes, config.label_smoothing
        self.erase = v2.RandomErasing(config.erasing, value="random") if config.erasing else None
        mixes: list[torch.nn.Module] = []
        if config.mixup:
            mixes.append(v2.MixUp(alpha=config.mixup, num_classes=num_classes))
        if config.cutmix:
            mixes.append(v2.CutMix(alpha=config.cutmix, num_classes=num_classes))
        self.mix = v2.RandomChoice(mixes) if mixes else None

    def __call__(self, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the samples of a batch; randomness is torch's global generator."""
        if self.erase is not None:
            erase = self.erase
            clips = torch.stack([erase(clip.transpose(0, 1)).transpose(0, 1) for clip in clips])
        if self.mix is not None and len(clips) > 1:
            video = tv_tensors.Video(clips.transpose(1, 2))
            mixed, targets = self.mix(video, labels)
            clips = mixed.as_subclass(Tensor).transpose(1, 2)
        else:
            targets = F.one_hot(labels, self.num_classes).to(clips.dtype)
        return clips, targets * (1 - self.smoothing) + self.smoothing / self.num_classes
