"""A model as a CPU likes it for inference: linear layers and convolutions with weights packed once.

Norms and the heads stay as they are. The original model is not changed; of what is not packed, both share
the tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from memvit.models.attention import PoolingAttention
from memvit.models.mvit import Backbone

from .onednn import Int8Linear, PackedConv, PackedLinear, SplitLinear, can_pack

Model = TypeVar("Model", bound=nn.Module)


def prepack(model: Model, *, int8: bool = False) -> Model:
    """A model on a CPU with the layers of its backbone packed, for inference only.

    Its weights are those of now: pack again after they have changed. RuntimeError if this machine cannot (`can_pack`).
    """
    if not can_pack(next(model.parameters()).dtype, int8=int8):
        raise RuntimeError(f"this build of torch has no {'8-bit' if int8 else 'packed'} linear layers for this CPU")
    tensors = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()
    make: Callable[[Tensor, Tensor], nn.Module] = Int8Linear if int8 else PackedLinear
    for backbone in (module for module in twin.modules() if isinstance(module, Backbone)):
        for module in list(backbone.modules()):
            heads = 1
            if isinstance(module, PoolingAttention):
                module.bf16_matmul, heads = int8, module.heads
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, _packed_linear(child, make, parts=3 if name == "qkv" else 1))
                elif isinstance(child, nn.Conv3d):
                    setattr(module, name, PackedConv(child, heads if name.startswith("pool_") else 1))
    return twin


def _packed_linear(linear: nn.Linear, make: Callable[[Tensor, Tensor], nn.Module], parts: int) -> nn.Module:
    pairs = zip(linear.weight.chunk(parts), linear.bias.chunk(parts), strict=True)
    made = [make(weight, bias) for weight, bias in pairs]
    return SplitLinear(made) if parts > 1 else made[0]
