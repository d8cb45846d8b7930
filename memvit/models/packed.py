"""A model as a CPU likes it for inference: linear layers with weights packed once, pools without work on their weights.

Attention, norms and the heads stay as they are. The original model is not changed; of what is not packed, both share
the tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from .attention import PoolingAttention
from .linear import Int8Linear, PackedLinear, Parts, can_pack
from .mvit import Backbone

Model = TypeVar("Model", bound=nn.Module)


def packed(model: Model, *, int8: bool = False) -> Model:
    """A model on a CPU with the linear layers of its backbone packed, for inference only.

    Its weights are those of now: pack again after they have changed. RuntimeError if this machine cannot (`can_pack`).
    """
    if not can_pack(next(model.parameters()).dtype, int8=int8):
        raise RuntimeError(f"this build of torch has no {'8-bit' if int8 else 'packed'} linear layers for this CPU")
    tensors = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()
    make: Callable[[Tensor, Tensor], nn.Module] = Int8Linear if int8 else PackedLinear
    for backbone in (module for module in twin.modules() if isinstance(module, Backbone)):
        for module in list(backbone.modules()):
            if isinstance(module, PoolingAttention):
                module.half_products = int8
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, _packed_linear(child, make, parts=3 if name == "qkv" else 1))
                elif isinstance(module, PoolingAttention) and name.startswith("pool_"):
                    setattr(module, name, _repeated(child, module.heads))
    return twin


def _packed_linear(linear: nn.Linear, make: Callable[[Tensor, Tensor], nn.Module], parts: int) -> nn.Module:
    pairs = zip(linear.weight.chunk(parts), linear.bias.chunk(parts), strict=True)
    made = [make(weight, bias) for weight, bias in pairs]
    return Parts(made) if parts > 1 else made[0]


def _repeated(conv: nn.Module, heads: int) -> nn.Conv3d:
    """A pool that heads share, with its weights once a head."""
    assert isinstance(conv, nn.Conv3d)
    twin = copy.copy(conv)
    twin._parameters = {"weight": nn.Parameter(conv.weight.detach().repeat(heads, 1, 1, 1, 1)), "bias": None}
    return twin
