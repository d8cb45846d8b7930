"""Estimates how much memory training needs, from the sizes of parameters and of the saved activations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from memvit.detection.network import DetectionNetwork
from memvit.models import MeMViT, MViT, Preprocessing
from memvit.training.recipe import Recipe

Hooks: TypeAlias = AbstractContextManager[Any]
"""While it is entered, what autograd saves is counted."""
BOXES_A_CLIP = 3
"""Number of boxes that each clip is assumed to have, for a model of people's actions."""


@dataclass(frozen=True)
class Footprint:
    """Memory in bytes of one training process."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    """Bytes that the forward pass of one clip saves for the backward pass, without activation checkpointing."""


def footprint(model: MeMViT | MViT, preprocessing: Preprocessing, side: int, recipe: Recipe) -> Footprint:
    """The footprint of training by a recipe. Activations are those of CPU kernels; GPU kernels may save less."""

    def run(parameters: dict[str, Tensor], hooks: Hooks) -> None:
        clips = torch.empty(1, 3, preprocessing.num_frames, side, side)
        if isinstance(model, MeMViT):
            boxes = [torch.empty(BOXES_A_CLIP, 4)] if model.config.head.kind == "action" else None
            _, memory = functional_call(model, parameters, (clips, boxes, None))
            with hooks:
                functional_call(model, parameters, (clips, boxes, memory.detach() if memory is not None else None))
        else:
            with hooks:
                functional_call(model, parameters, (clips,))

    return _footprint(model, recipe, run)


def detector_footprint(network: DetectionNetwork, size: tuple[int, int], recipe: Recipe) -> Footprint:
    """The footprint of training a detector on pictures of (height, width); activations are those of its maps."""
    maps = _Maps(network)

    def run(parameters: dict[str, Tensor], hooks: Hooks) -> None:
        with hooks:
            named = {f"network.{name}": value for name, value in parameters.items()}
            functional_call(maps, named, torch.empty(1, 3, *size))

    return _footprint(network, recipe, run)


class _Maps(nn.Module):
    """Backbone, pyramid and proposals: what most activations are of."""

    def __init__(self, network: DetectionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> object:
        return self.network.rpn(self.network.maps(pixels))


def _footprint(model: nn.Module, recipe: Recipe, run: Callable[[dict[str, Tensor], Hooks], None]) -> Footprint:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = sum(parameter.nbytes for parameter in trained)
    copies = 2 if recipe.optimizer.kind == "adamw" else 1
    is_low = recipe.run.precision == "bfloat16"
    return Footprint(size, size, copies * size, _activations(model, run, is_low=is_low))


def _activations(model: nn.Module, run: Callable[[dict[str, Tensor], Hooks], None], *, is_low: bool) -> int:
    """Run the model on fake tensors, which have shapes but no values, and add up what autograd saves."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    parameters: dict[str, Tensor] = {name: mode.from_tensor(tensor) for name, tensor in model.named_parameters()}
    of_model = {tensor.untyped_storage()._cdata for tensor in parameters.values()}
    saved: dict[int, torch.UntypedStorage] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in of_model:
            saved[storage._cdata] = storage
        return tensor

    model.train()
    low = torch.autocast("cpu", torch.bfloat16) if is_low else nullcontext()
    with mode, low:
        run(parameters, torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor))
        return sum(storage.nbytes() for storage in saved.values())
