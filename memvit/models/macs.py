"""Counting the multiply-accumulates of a model, as papers do, by running it (on the meta device, for nothing).

Attention is counted at the width of a head: columns that carry relative positions into the attention kernel are an
implementation of the products already counted, and padding is nothing. Norms and activations are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from .config import MViTConfig
from .memory import Memory


class AttentionCounter(TorchFunctionMode):
    """Counts scaled dot-product attention from its shapes, and leaves the arithmetic out."""

    def __init__(self, head_dim: int | None) -> None:
        super().__init__()
        self._head_dim = head_dim
        self.macs = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every torch function comes by here; only attention is stopped."""
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args
        *batch, queries, width = query.shape
        pairs = queries * key.shape[-2]
        self.macs += 2 * torch.Size(batch).numel() * pairs * (self._head_dim or width)
        result: Tensor = query.new_empty(*batch, queries, value.shape[-1])
        return result


def count_macs(model: nn.Module, *inputs: Any, **keywords: Any) -> int:
    """Multiply-accumulates of one call, of our models or any other; ours are counted without computing anything."""
    config = getattr(model, "config", None)
    attention = AttentionCounter(None)
    if isinstance(config, MViTConfig):
        attention = AttentionCounter(config.embed_dim // config.heads)
        model = _shapes_of(model)
        inputs, keywords = _to_meta(inputs), {name: _to_meta(value) for name, value in keywords.items()}
    products = FlopCounterMode(display=False)
    with torch.no_grad(), products, attention:
        model(*inputs, **keywords)
    return int(products.get_total_flops()) // 2 + attention.macs


def _shapes_of(model: nn.Module) -> nn.Module:
    """The model on the meta device, where attention takes the way that is counted."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor.to("meta") for tensor in tensors})


def _to_meta(value: Any) -> Any:
    if isinstance(value, Tensor | Memory):
        return value.to("meta")
    return type(value)(_to_meta(item) for item in value) if isinstance(value, list | tuple) else value


def count_parameters(model: nn.Module) -> int:
    """All parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
