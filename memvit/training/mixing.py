"""Mixup and cutmix: each sample of a batch is mixed with a partner, and their targets are mixed likewise.

The partner of sample i is the one at the same place from the end, as in the reference. Copies of one video (repeated
augmentation) lie side by side in a batch, so a copy's partner is another video; only in the middle of a batch with an
odd number of videos copies meet. Sources: arXiv 1710.09412 and 1905.04899. Randomness is torch's global generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

CUTMIX_PROBABILITY = 0.5
"""Probability of cutmix for a batch if a recipe uses both mixup and cutmix."""


def mix(clips: Tensor, targets: Tensor, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """Clips (B, …, H, W) and soft targets (B, classes) → mixed ones; `mixup` and `cutmix` are alphas, 0 is off."""
    if not (mixup or cutmix) or len(clips) < 2:
        return clips, targets
    with_cutmix = cutmix > 0 and (not mixup or float(torch.rand(())) < CUTMIX_PROBABILITY)
    share = float(Beta(cutmix, cutmix).sample()) if with_cutmix else float(Beta(mixup, mixup).sample())
    if with_cutmix:
        clips, share = _with_rectangle(clips, share)
    else:
        clips = share * clips + (1 - share) * clips.flip(0)
    return clips, share * targets + (1 - share) * targets.flip(0)


def _with_rectangle(clips: Tensor, share: float) -> tuple[Tensor, float]:
    """Replace a rectangle, about 1 - `share` of each clip, by its partner's. Returns the clips and the share left."""
    height, width = clips.shape[-2:]
    side = (1 - share) ** 0.5
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    rows = slice(max(row - half_height, 0), min(row + half_height, height))
    columns = slice(max(column - half_width, 0), min(column + half_width, width))
    mixed = clips.clone()
    mixed[..., rows, columns] = clips.flip(0)[..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)
