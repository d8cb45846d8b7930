"""Linear layers in 8-bit integers, for inference on a CPU: weights a scale a row, activations a scale a call.

Most of a clip's arithmetic is in linear layers, and processors with VNNI do four 8-bit products for one of 32 bits.
Everything else stays as it is: attention, pooling, norms, and the classifier.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .mvit import Backbone

LEVELS = 127
"""Of a weight on each side of zero."""


class Int8Linear(nn.Module):
    """A linear layer whose products are of 8-bit integers; made of a trained one."""

    weight: Tensor
    """(out, in) int8."""
    scale: Tensor
    """(out,): what a weight of 1 stands for."""
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp_min(1e-12) / LEVELS
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", linear.bias.detach().float())
        self._packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        self._zero_points = torch.zeros(self.out_features, dtype=torch.long)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out), both in x's type."""
        least, most = (float(value) for value in torch.aminmax(x))
        least, most = min(least, 0.0), max(most, 0.0)
        step = (most - least) / 255 or 1.0
        zero = round(-least / step)
        levels = x.mul(1 / step).add_(zero).round_().clamp_(0, 255).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            levels,
            step,
            zero,
            self._packed,
            self.scale,
            self._zero_points,
            self.bias,
            1.0,
            0,
            x.dtype,
            "none",
            [],
            "",
        )


def is_int8_supported() -> bool:
    """Whether this build of torch has these products."""
    return hasattr(torch.ops.onednn, "qlinear_pointwise") and torch.backends.mkldnn.is_available()


def quantise(model: nn.Module) -> nn.Module:
    """Replace the linear layers of a model's backbone, in place. RuntimeError if this build of torch cannot do it."""
    if not is_int8_supported():
        raise RuntimeError("this build of torch has no 8-bit linear layers for its CPU")
    backbones = [module for module in model.modules() if isinstance(module, Backbone)]
    for backbone in backbones:
        for module in list(backbone.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, Int8Linear(child))
    return model
