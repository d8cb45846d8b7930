"""The estimate of training's memory, against what a real forward pass keeps."""

from __future__ import annotations

import pytest
import torch

from memvit.models import create_model, model_entry
from memvit.training.footprint import footprint
from memvit.training.recipe import ClassificationRecipe, OptimizerConfig


@pytest.mark.parametrize(("kind", "copies"), [("adamw", 2), ("sgd", 1)])
def test_activations_are_those_of_a_real_forward_pass(kind: str, copies: int) -> None:
    model = create_model("mvitv2_tiny_8x4", num_classes=4).train()
    recipe = ClassificationRecipe(optimizer=OptimizerConfig(kind=kind))
    found = footprint(model, model_entry("mvitv2_tiny_8x4").preprocessing, 64, recipe)
    assert found.parameters == found.gradients == sum(parameter.nbytes for parameter in model.parameters())
    assert found.optimizer == copies * found.parameters
    of_model = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in of_model:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(1, 3, 8, 64, 64))
    assert found.activations == pytest.approx(sum(storage.nbytes() for storage in kept.values()), rel=0.02)
