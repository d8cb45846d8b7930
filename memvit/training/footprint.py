"""How much memory training takes, without taking it: from the sizes of parameters and of what a forward pass keeps."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from memvit.models import MeMViT, MViT, Preprocessing
from memvit.training.recipe import Recipe

BOXES_A_CLIP = 3
"""Of the clips that stand for those of a data set of people's actions."""


@dataclass(frozen=True)
class Footprint:
    """Bytes in one process."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    """Of one clip: what its forward pass keeps for the backward pass, with all blocks in memory."""


def footprint(model: MeMViT | MViT, preprocessing: Preprocessing, side: int, recipe: Recipe) -> Footprint:
    """Of training by a recipe; activations are estimated on a processor, kernels of a GPU may keep somewhat less."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = sum(parameter.nbytes for parameter in trained)
    copies = 2 if recipe.optimizer.kind == "adamw" else 1
    is_low = recipe.run.precision == "bfloat16"
    return Footprint(size, size, copies * size, _activations(model, preprocessing, side, is_low=is_low))


def _activations(model: MeMViT | MViT, preprocessing: Preprocessing, side: int, *, is_low: bool) -> int:
    """Runs the model on tensors that have shapes and no values, and counts what autograd keeps."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    parameters: dict[str, Tensor] = {name: mode.from_tensor(tensor) for name, tensor in model.named_parameters()}
    of_model = {tensor.untyped_storage()._cdata for tensor in parameters.values()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in of_model:
            kept[storage._cdata] = storage
        return tensor

    model.train()
    low = torch.autocast("cpu", torch.bfloat16) if is_low else nullcontext()
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with mode, low:
        clips = torch.empty(1, 3, preprocessing.num_frames, side, side)
        if isinstance(model, MeMViT):
            boxes = [torch.empty(BOXES_A_CLIP, 4)] if model.config.head.kind == "action" else None
            _, memory = functional_call(model, parameters, (clips, boxes, None))
            with hooks:
                functional_call(model, parameters, (clips, boxes, memory.detach() if memory is not None else None))
        else:
            with hooks:
                functional_call(model, parameters, (clips,))
        return sum(storage.nbytes() for storage in kept.values())
