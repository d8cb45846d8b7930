"""Counting the multiply-accumulates of a model, as papers do, by running it.

Attention is counted at the width of a head: columns that carry relative positions into the attention kernel are an
implementation of the products already counted, and padding is nothing. Norms and activations are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .config import MViTConfig

aten = torch.ops.aten
ATTENTION_OPS = [
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_cudnn_attention,
]


def count_macs(model: nn.Module, *inputs: Any, **keywords: Any) -> int:
    """Multiply-accumulates of one call; for our models and, without the correction, any other."""
    config = getattr(model, "config", None)
    mapping: dict[Any, Any] = {}
    if isinstance(config, MViTConfig):
        head_dim = config.embed_dim // config.heads

        def attention(q_shape: torch.Size, k_shape: torch.Size, *_: Any, **__: Any) -> int:
            batch, heads, queries, _width = q_shape
            return 4 * batch * heads * queries * k_shape[2] * head_dim

        mapping = dict.fromkeys(ATTENTION_OPS, attention)
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with torch.no_grad(), counter:
        model(*inputs, **keywords)
    return int(counter.get_total_flops()) // 2


def count_parameters(model: nn.Module) -> int:
    """All parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
