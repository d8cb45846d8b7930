"""Counting the multiply-accumulates of a model, as papers do, by running it on the meta device, which computes nothing.

Shapes alone decide, so blocks that are alike are run once.

Attention is counted at the width of a head: columns that carry relative positions into the attention kernel are an
implementation of the products already counted, and padding is nothing. Norms and activations are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from memvit.models.attention import MemoryKV, PooledKV
from memvit.models.config import Grid, MViTConfig
from memvit.models.memory import Memory
from memvit.models.memvit import MeMViT
from memvit.models.mvit import Block


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


class Repeats:
    """Runs each kind of block once, and gives its result for blocks that are alike."""

    def __init__(self, so_far: Callable[[], int]) -> None:
        self.macs = 0
        """The multiply-accumulates of blocks that were not run."""
        self._so_far = so_far
        self._known: dict[object, tuple[int, tuple[Tensor, Grid, PooledKV]]] = {}

    def spare(self, model: nn.Module) -> None:
        """Replace the forward of all blocks, so that blocks that are alike run once."""
        for module in model.modules():
            if isinstance(module, Block):
                module.forward = self._once(module)  # type: ignore[method-assign]

    def _once(self, block: Block) -> Callable[..., tuple[Tensor, Grid, PooledKV]]:
        run, config = block.forward, replace(block.config, drop_path=0.0)

        def forward(x: Tensor, grid: Grid, past: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
            kind = (config, x.shape, grid, past and (past.keys.shape, past.grid))
            if kind in self._known:
                macs, found = self._known[kind]
                self.macs += macs
                return found
            before = self._so_far()
            found = run(x, grid, past)
            self._known[kind] = (self._so_far() - before, found)
            return found

        return forward


def count_macs(model: nn.Module, *inputs: Any, **keywords: Any) -> int:
    """Multiply-accumulates of one call, of our models or any other; ours are counted without computing anything."""
    config = getattr(model, "config", None)
    attention = AttentionCounter(None)
    products = FlopCounterMode(display=False)

    def so_far() -> int:
        return int(products.get_total_flops()) // 2 + attention.macs

    repeats = Repeats(so_far)
    if isinstance(config, MViTConfig):
        attention = AttentionCounter(config.embed_dim // config.heads)
        model = _shapes_of(model)
        repeats.spare(model)
        inputs, keywords = _to_meta(inputs), {name: _to_meta(value) for name, value in keywords.items()}
    with torch.no_grad(), products, attention:
        model(*inputs, **keywords)
    return so_far() + repeats.macs


def count_clip_macs(model: nn.Module) -> int:
    """Multiply-accumulates of one image or clip of the size that a model is made for, with memory if it has one."""
    config = model.config
    assert isinstance(config, MViTConfig)
    frames = (config.frames,) if config.frames > 1 else ()
    inputs: list[Any] = [torch.empty(1, 3, *frames, config.crop, config.crop, device="meta")]
    if isinstance(model, MeMViT):
        inputs.append([torch.empty(1, 4, device="meta")] if config.head.kind == "action" else None)
        shapes = _shapes_of(model)
        Repeats(lambda: 0).spare(shapes)
        with torch.no_grad():
            inputs.append(shapes(*inputs)[1])
    return count_macs(model, *inputs)


def _shapes_of(model: nn.Module) -> nn.Module:
    """A copy of the model on the meta device: shapes without values."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor.to("meta") for tensor in tensors})


def _to_meta(value: Any) -> Any:
    if isinstance(value, Tensor | Memory):
        return value.to("meta")
    return type(value)(_to_meta(item) for item in value) if isinstance(value, list | tuple) else value


def count_parameters(model: nn.Module) -> int:
    """All parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
