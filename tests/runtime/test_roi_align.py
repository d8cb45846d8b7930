"""RoIAlign at inference is torchvision's operator, without the import of torchvision."""

from __future__ import annotations

import sys

import pytest
import torch
from torchvision.ops import roi_align as torchvisions

from memvit.models.boxes import BoxBatch
from memvit.models.heads import RoIAlign
from memvit.runtime.roi_align import OperatorRoIAlign, operator_loads
from tests.forks import run_script

STEP = """
import sys, torch
assert "memvit" not in sys.modules
from memvit.models import MODELS, create_model
from memvit.runtime import for_device
network = create_model("memvit_tiny_8x4")
for precision in ("float32", "bfloat16"):
    runner = for_device(network, "cpu", precision, preprocessing=MODELS["memvit_tiny_8x4"].preprocessing)
    assert runner(torch.zeros(1, 3, 8, 64, 64), [torch.tensor([[4.0, 4, 60, 50]])])[0].isfinite().all()
assert "torchvision" not in sys.modules and "torch._dynamo" not in sys.modules
with torch.device("meta"), torch.no_grad():
    create_model("memvit_tiny_8x4")(torch.empty(1, 3, 8, 64, 64), [torch.empty(2, 4)])
assert "torchvision" in sys.modules
"""


def test_the_operator_gives_the_numbers_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert operator_loads()
    maps = torch.randn(3, 5, 14, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    boxes = [
        torch.tensor([[4.0, 4, 60, 50], [10, 20, 300, 200]]),
        torch.zeros(0, 4),
        torch.tensor([[0.0, 0, 320, 224]]),
    ]
    rois = BoxBatch.of(boxes, 100).rois
    expected = torchvisions(maps, boxes, 7, 1 / 16, sampling_ratio=0, aligned=True)
    gradient = torch.autograd.grad(expected.square().sum(), maps)[0]
    of_network = RoIAlign(7, 1 / 16)(maps, rois)
    assert torch.equal(of_network, expected)
    assert torch.equal(torch.autograd.grad(of_network.square().sum(), maps)[0], gradient)
    monkeypatch.delitem(sys.modules, "torchvision")
    operator = OperatorRoIAlign(7, 1 / 16)
    with torch.inference_mode():
        assert torch.equal(operator(maps.detach(), rois), expected)
        assert operator(maps.detach(), torch.zeros(0, 5)).shape == (0, 5, 7, 7)
    assert "torchvision" not in sys.modules


def test_torchvision_serves_where_the_operator_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, rois = torch.rand(1, 5, 14, 20), torch.tensor([[0.0, 4, 4, 60, 50]])
    expected = OperatorRoIAlign(7, 1 / 16)(maps, rois)
    monkeypatch.setattr("memvit.runtime.roi_align.operator_loads", lambda: False)
    assert torch.equal(OperatorRoIAlign(7, 1 / 16)(maps, rois), expected)


def test_a_step_of_a_runner_does_not_import_torchvision() -> None:
    """Its import takes longer than all others together; on shapes alone it is needed."""
    run_script(STEP)
