"""A network prepared for inference on a CPU: packed weights, chunked attention, MLPs in place.

Norms and heads stay as they are, and share their tensors with the original, which is not changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from memvit.models.attention import PoolingAttention
from memvit.models.layers import Mlp, SplitLinear
from memvit.models.mvit import Backbone, Block
from memvit.models.pooling import PoolConv
from memvit.runtime.twin import Network, inference_twin

from .attention import ChunkedAttention
from .blocks import CpuBlock, MicrobatchedBlock
from .onednn import Int8Linear, PackedConv, PackedLinear, PackedMlp, PackedSplitLinear, can_pack

MakeLinear: TypeAlias = Callable[[Tensor, Tensor], PackedLinear | Int8Linear]


def prepack(network: Network, *, dtype: torch.dtype = torch.float32, int8: bool = False) -> Network:
    """A twin of the network for inference on this CPU, computing in `dtype`, or with linear layers in 8 bits.

    Its weights are those of now: prepack again after they have changed. ValueError if this machine does not have
    8-bit products (`can_pack`); other types run on any machine, with plain layers where nothing can be packed.
    """
    if int8 and not can_pack(int8=True):
        raise ValueError("8-bit products are for CPUs that oneDNN knows; use float32 or bfloat16")
    twin = inference_twin(network, torch.device("cpu"), dtype)
    for backbone in (module for module in twin.modules() if isinstance(module, Backbone)):
        for attention in [module for module in backbone.modules() if isinstance(module, PoolingAttention)]:
            attention.attention = ChunkedAttention(attention.attention, bf16_matmul=int8)
        if can_pack(dtype, int8=int8):
            _pack_layers(backbone, Int8Linear if int8 else PackedLinear)
        for index, block in enumerate(backbone.blocks):
            prepared = CpuBlock(block) if isinstance(block, Block) else block
            is_plain = backbone.config.memory is None
            backbone.blocks[index] = MicrobatchedBlock(prepared) if is_plain else prepared
    return twin


def _pack_layers(backbone: Backbone, make: MakeLinear) -> None:
    """Replace linear layers, MLPs and convolutions by packed ones."""
    for module in list(backbone.modules()):
        heads = module.attention.heads if isinstance(module, PoolingAttention) else 1
        for name, child in list(module.named_children()):
            if isinstance(child, Mlp):
                setattr(module, name, PackedMlp(_packed(child.fc1, make), _packed(child.fc2, make)))
            elif isinstance(child, SplitLinear):
                pairs = zip(child.weight.chunk(child.parts), child.bias.chunk(child.parts), strict=True)
                setattr(module, name, PackedSplitLinear([make(weight, bias) for weight, bias in pairs]))
            elif isinstance(child, nn.Linear):
                setattr(module, name, _packed(child, make))
            elif isinstance(child, PoolConv):
                setattr(module, name, PackedConv(child, heads if name.startswith("pool_") else 1))
            elif isinstance(child, nn.Conv3d):
                setattr(module, name, PackedConv(child))


def _packed(linear: nn.Linear, make: MakeLinear) -> PackedLinear | Int8Linear:
    return make(linear.weight, linear.bias)
