"""RoIAlign is torchvision's, whichever way it is called."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torchvision.ops import roi_align as torchvisions

from memvit.models.roi_align import _operator_loads, roi_align

STEP = """
import sys, torch
from memvit.models import create_model
model = create_model("memvit_tiny_8x4")
with torch.inference_mode():
    assert model(torch.zeros(1, 3, 8, 64, 64), [torch.tensor([[4.0, 4, 60, 50]])])[0].isfinite().all()
assert "torchvision" not in sys.modules and "torch._dynamo" not in sys.modules
with torch.device("meta"), torch.no_grad():
    create_model("memvit_tiny_8x4")(torch.empty(1, 3, 8, 64, 64), [torch.empty(2, 4)])
assert "torchvision" in sys.modules
"""

TRAINING = """
import sys, torch
from memvit.models import create_model
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
assert "torchvision" not in sys.modules
"""


def test_the_backbone_learns_though_nobody_imported_torchvision() -> None:
    """In a process of its own: torchvision's Python registers the gradient for all that come after it."""
    subprocess.run([sys.executable, "-c", TRAINING], check=True)


def test_the_operator_alone_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _operator_loads()
    maps = torch.randn(3, 5, 14, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    boxes = [
        torch.tensor([[4.0, 4, 60, 50], [10, 20, 300, 200]]),
        torch.zeros(0, 4),
        torch.tensor([[0.0, 0, 320, 224]]),
    ]
    expected = torchvisions(maps, boxes, 7, 1 / 16, sampling_ratio=0, aligned=True)
    slopes = torch.autograd.grad(expected.square().sum(), maps)[0]
    monkeypatch.delitem(sys.modules, "torchvision")
    found = roi_align(maps, boxes, size=7, spatial_scale=1 / 16)
    assert torch.equal(found, expected)
    assert torch.equal(torch.autograd.grad(found.square().sum(), maps)[0], slopes)
    assert "torchvision" not in sys.modules
    assert roi_align(maps, [torch.zeros(0, 4)] * 3, size=7, spatial_scale=1 / 16).shape == (0, 5, 7, 7)


def test_a_step_does_without_the_rest_of_torchvision() -> None:
    """Its import takes longer than all others together; on shapes alone it is needed."""
    subprocess.run([sys.executable, "-c", STEP], check=True)
