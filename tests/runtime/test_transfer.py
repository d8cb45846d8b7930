"""What goes to a GPU at a step, counted on a stand-in: every copy there would wait for all that the GPU has to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memvit.engine.engine import Engine
from memvit.models import MODELS, create_model, transfer
from memvit.models.position import one_hot_columns
from memvit.models.preprocessing import model_input
from memvit.runtime.memory_pool import MemoryPool
from memvit.runtime.transfer import sent
from tests.engine.test_engine import clip, people

PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing
BOXES = [torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]]), torch.tensor([[0.0, 0, 64, 64]])]
MAKERS = (torch.tensor, torch.as_tensor)


class Copies(TorchFunctionMode):
    """Counts what is copied from the CPU to the device `meta`: tensors, lists, and lists that are used as an index."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Any = None) -> Any:
        result = function(*arguments, **(named or {}))
        on_device = isinstance(result, Tensor) and result.is_meta
        first = arguments[0] if arguments else None
        came = isinstance(first, Tensor) and not first.is_meta and function is not Tensor.new_zeros
        index = arguments[1] if len(arguments) > 1 else None
        is_index = isinstance(first, Tensor) and first.is_meta and function in (Tensor.__getitem__, Tensor.__setitem__)
        if on_device and (came or function in MAKERS):
            self.found.append(function.__name__)
        elif is_index and any(isinstance(part, list) for part in (index if isinstance(index, tuple) else (index,))):
            self.found.append("index")
        return result


@pytest.fixture
def on_device() -> nn.Module:
    with torch.device("meta"):
        return create_model("memvit_tiny_8x4")


def test_a_step_of_the_engine_sends_four_tensors(on_device: nn.Module) -> None:
    """Where memories are, boxes, which box belongs where, and what is kept where; the frames come before."""
    pool = MemoryPool(on_device.config.memory)
    for _ in range(3):
        frames = torch.empty(2, 8, 64, 64, 3, dtype=torch.uint8, device="meta")
        with Copies() as copies, torch.no_grad():
            _, kept = on_device.step(model_input(frames, PREPROCESSING), BOXES, pool.recall("ab"))
            pool.keep("ab", kept)
    assert copies.found == ["to"] * 4, "constants were sent with the first"


def test_a_step_of_training_sends_two(on_device: nn.Module) -> None:
    """Boxes, and which box belongs where; nothing a layer."""
    on_device.train()
    memory = None
    for _ in range(3):
        with Copies() as copies:
            _, memory = on_device(torch.empty(2, 3, 8, 64, 64, device="meta"), BOXES, memory)
    assert copies.found == ["to"] * 2


def test_a_step_of_the_engine_fetches_one_tensor(tiny: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    cpu = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda tensor: (fetched.append(tensor.numel()), cpu(tensor))[1])
    engine = Engine(tiny, PREPROCESSING)  # type: ignore[arg-type]
    (result,) = engine.step([clip("a", 0)], [people(2)])
    assert len(fetched) == 1 and result.scores.shape == (2, 80)
    assert fetched == [result.scores.size + result.features.size + result.box_features.size]


def test_a_gpu_fetches_from_pinned_memory() -> None:
    asked: list[object] = []
    pinned = SimpleNamespace(to=lambda *place, **how: asked.append((*place, how)))
    tensor = SimpleNamespace(device=torch.device("cpu"), pin_memory=lambda: pinned)
    sent(tensor, torch.device("cuda:0"))  # type: ignore[arg-type]
    assert asked == [(torch.device("cuda:0"), {"non_blocking": True})]
    here = torch.zeros(2)
    assert transfer.sent(here, here.device) is here


def test_layers_and_steps_share_what_depends_on_shapes_alone() -> None:
    like = torch.zeros(1, requires_grad=True)
    with torch.inference_mode():
        first = one_hot_columns((0, 1, 2), (2, 3, 3), ((1, 2, 2), 2), 1, like)
    second = one_hot_columns((0, 1, 2), (2, 3, 3), ((1, 2, 2), 2), 1, like)
    assert first is second and not first.is_inference()
    assert one_hot_columns((0, 1, 2), (2, 3, 3), None, 1, like).shape == (19, 8)
