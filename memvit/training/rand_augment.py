"""RandAugment as published recipes write it, for example `rand-m7-n4-mstd0.5-inc1`.

m is the magnitude, 0 to 10; n the number of operations; mstd the standard deviation of noise on the magnitude; inc1
says that every operation distorts more with a larger magnitude. Each operation drawn happens with a probability of one
half. Source: RandAugment, arXiv 1909.13719, in the form that PyTorch Image Models made common. Randomness is torch's
global generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as images

MAX_MAGNITUDE = 10.0
PROBABILITY = 0.5
"""Probability that a chosen operation is applied."""
FILL = 128.0
"""Grey level of the area outside the frame."""
ROTATION_DEGREES, SHEAR, TRANSLATION, ENHANCEMENT = 30.0, 0.3, 0.45, 0.9
"""The largest effect of each operation, at magnitude 10. Translation is in parts of the frame's side."""
MAX_ADDED, BRIGHTEST_ADDED = 110, 127
"""For the operation that brightens dark pixels: the largest increase, and the brightest pixel that is changed."""

Operation = Callable[[Tensor, float], Tensor]
"""(T, 3, H, W) uint8 and a strength of 0 to 1 → the same shape, with the same change to all frames."""


class RandAugment:
    """(T, 3, H, W) uint8 → the same shape, with the same changes to all frames."""

    def __init__(self, operations: int, magnitude: float, noise: float) -> None:
        self.operations, self.magnitude, self.noise = operations, magnitude, noise

    def strength(self) -> float:
        """The strength of one operation, 0 to 1: the magnitude plus random noise."""
        drawn = self.magnitude + self.noise * float(torch.randn(()))
        return min(max(drawn, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE

    def __call__(self, clip: Tensor) -> Tensor:
        """Apply `operations` randomly chosen operations; one may be chosen twice."""
        for place in torch.randint(len(OPERATIONS), (self.operations,)).tolist():
            if float(torch.rand(())) < PROBABILITY:
                clip = OPERATIONS[place](clip, self.strength())
        return clip


def _signed(value: float) -> float:
    return value if float(torch.rand(())) < 0.5 else -value


def _auto_contrast(clip: Tensor, strength: float) -> Tensor:
    return images.autocontrast(clip)


def _equalize(clip: Tensor, strength: float) -> Tensor:
    return images.equalize(clip)


def _invert(clip: Tensor, strength: float) -> Tensor:
    return images.invert(clip)


def _posterize(clip: Tensor, strength: float) -> Tensor:
    return images.posterize(clip, 4 - int(strength * 4))


def _solarize(clip: Tensor, strength: float) -> Tensor:
    threshold = 256 - int(strength * 256)
    return images.solarize(clip, threshold) if threshold < 256 else clip


def _solarize_add(clip: Tensor, strength: float) -> Tensor:
    return torch.where(clip <= BRIGHTEST_ADDED, clip + int(strength * MAX_ADDED), clip)


def _color(clip: Tensor, strength: float) -> Tensor:
    return images.adjust_saturation(clip, 1 + _signed(strength * ENHANCEMENT))


def _contrast(clip: Tensor, strength: float) -> Tensor:
    return images.adjust_contrast(clip, 1 + _signed(strength * ENHANCEMENT))


def _brightness(clip: Tensor, strength: float) -> Tensor:
    return images.adjust_brightness(clip, 1 + _signed(strength * ENHANCEMENT))


def _sharpness(clip: Tensor, strength: float) -> Tensor:
    return images.adjust_sharpness(clip, 1 + _signed(strength * ENHANCEMENT))


def _rotate(clip: Tensor, strength: float) -> Tensor:
    return images.rotate(clip, _signed(strength * ROTATION_DEGREES), InterpolationMode.BILINEAR, fill=[FILL] * 3)


def _shear_x(clip: Tensor, strength: float) -> Tensor:
    return _affine(clip, shear_x=_signed(strength * SHEAR))


def _shear_y(clip: Tensor, strength: float) -> Tensor:
    return _affine(clip, shear_y=_signed(strength * SHEAR))


def _translate_x(clip: Tensor, strength: float) -> Tensor:
    return _affine(clip, right=_signed(strength * TRANSLATION) * clip.shape[-1])


def _translate_y(clip: Tensor, strength: float) -> Tensor:
    return _affine(clip, down=_signed(strength * TRANSLATION) * clip.shape[-2])


def _affine(
    clip: Tensor, *, right: float = 0.0, down: float = 0.0, shear_x: float = 0.0, shear_y: float = 0.0
) -> Tensor:
    return images.affine(
        clip,
        angle=0.0,
        translate=[right, down],
        scale=1.0,
        shear=[math.degrees(math.atan(shear_x)), math.degrees(math.atan(shear_y))],
        interpolation=InterpolationMode.BILINEAR,
        fill=[FILL] * 3,
        center=[0.0, 0.0],
    )


OPERATIONS: list[Operation] = [
    _auto_contrast,
    _equalize,
    _invert,
    _rotate,
    _posterize,
    _solarize,
    _solarize_add,
    _color,
    _contrast,
    _brightness,
    _sharpness,
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
]
