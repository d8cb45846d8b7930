"""The learning rate over a run, and what is decayed."""

from __future__ import annotations

import pytest

from memvit.models import create_model
from memvit.training.optimizer import build_optimizer, learning_rate
from memvit.training.recipe import OptimizerConfig, ScheduleConfig


def test_warm_up_then_half_a_cosine() -> None:
    plan = ScheduleConfig(epochs=110, warmup_epochs=10, warmup_start=0.1, end=0.2)
    rates = [learning_rate(epoch, 1.0, plan) for epoch in (0, 5, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 0.55, 1.0, 0.6, 0.2])


@pytest.mark.parametrize("decay_positions", [True, False])
def test_biases_and_norms_do_not_decay_and_positions_as_asked(decay_positions: bool) -> None:
    model = create_model("memvit_tiny_8x4")
    config = OptimizerConfig(weight_decay=0.1, decay_positions=decay_positions)
    decayed, free = build_optimizer(model, config).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} | {names[id(p)] for p in free["params"]} == set(names.values())
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    free_names = {names[id(p)] for p in free["params"]}
    positions = {name for name in names.values() if "rel_pos" in name or name.endswith("cls_token")}
    assert {"backbone.cls_token", "backbone.blocks.0.attn.rel_pos_mem_t"} <= positions
    assert positions & free_names == (set() if decay_positions else positions)
    assert "backbone.blocks.0.attn.q.weight" not in free_names
    assert "backbone.blocks.0.norm1.weight" in free_names
    assert not any(names[id(p)].endswith("bias") for p in decayed["params"])
