"""RoIAlign in networks is torchvision's own, with its gradient."""

from __future__ import annotations

from tests.forks import run_script

TRAINING = """
import sys, torch
from memvit.models import create_model
assert "torchvision" not in sys.modules
model = create_model("memvit_tiny_8x4").train()
without_memory = [f"blocks.{block}." for block in range(4) if block not in model.config.memory.layers]
for is_mixed in (False, True):
    memory = None
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
        for clip in range(3):  # the third reads the first
            logits, memory = model(torch.randn(1, 3, 8, 64, 64), [torch.tensor([[4.0, 4, 60, 50]])], memory)
    model.zero_grad()
    logits.float().square().sum().backward()
    for name, value in model.backbone.named_parameters():
        is_unused = any(part in name for part in ("compress", "rel_pos_mem")) and name.startswith(tuple(without_memory))
        assert is_unused or (value.grad is not None and value.grad.any()), (name, is_mixed)
"""


def test_all_backbone_parameters_get_a_gradient_in_a_new_process() -> None:
    """In a process of its own: torchvision's Python side registers the gradient for all that come after it."""
    run_script(TRAINING)
