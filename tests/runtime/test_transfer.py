"""What goes to a GPU at a step, counted on a stand-in: every copy there would wait for all that the GPU has to do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memvit.engine import engine as engine_module
from memvit.engine.engine import Engine
from memvit.models import MODELS, create_model
from memvit.models.position import one_hot_columns
from memvit.runtime import MemoryPool, Runner, for_device
from memvit.runtime.cuda.runner import CudaRunner
from memvit.runtime.transfer import sent
from memvit.training.actions import ActionTask, LaneBatch
from memvit.training.pauses import Pause
from tests.engine.test_engine import clip, people
from tests.runtime.stand_ins import call_at_every_replay

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


def plain(network: Any) -> Runner:
    return for_device(network, "meta", preprocessing=PREPROCESSING)


def cuda(network: Any) -> Runner:
    return CudaRunner(
        network, PREPROCESSING, device=torch.device("meta"), precision="float32", capture=call_at_every_replay
    )


@pytest.mark.parametrize(("make", "where", "expected"), [
    (plain, "meta", 4),
    (plain, "cpu", 5),
    (cuda, "meta", 3),
    (cuda, "cpu", 3),
])  # fmt: skip
def test_a_step_of_a_runner_sends_few_tensors(
    on_device: nn.Module, make: Callable[[nn.Module], Runner], where: str, expected: int
) -> None:
    """Where memories are, boxes, which box belongs where, where memories go; and the frames, if they are not there.

    The runner of CUDA devices sends frames and all of the boxes at once. Constants were sent when it was made, or with
    the first step.
    """
    runner, pool = make(on_device), MemoryPool(on_device.config.memory)
    for _ in range(3):
        frames = torch.zeros(2, 8, 64, 64, 3, dtype=torch.uint8, device=where)
        with Copies() as copies:
            _, update = runner.step(frames, BOXES, pool.view("ab"))
            assert update is not None
            pool.write("ab", update)
    assert copies.found == ["to"] * expected


@pytest.mark.parametrize(("make", "expected"), [(plain, 5), (cuda, 3)])
def test_a_step_of_the_engine_sends_what_its_runner_sends(
    on_device: nn.Module, make: Callable[[nn.Module], Runner], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "for_device", lambda network, *_, **__: make(network))
    engine = Engine(on_device, PREPROCESSING, device="meta")  # type: ignore[arg-type]
    monkeypatch.setattr(engine.runner, "to_host", lambda tensors: [np.zeros(tensor.shape) for tensor in tensors])
    for index in range(3):
        with Copies() as copies:
            engine.step([clip("a", index), clip("b", index)], [people(2), people(1)])
    assert copies.found == ["to"] * expected


def test_a_network_sends_the_boxes_in_two_tensors(on_device: nn.Module) -> None:
    """Boxes, and which box belongs where; nothing a layer."""
    on_device.train()
    memory = None
    for _ in range(3):
        with Copies() as copies:
            _, memory = on_device(torch.empty(2, 3, 8, 64, 64, device="meta"), BOXES, memory)
    assert copies.found == ["to"] * 2


def test_a_step_of_training_sends_each_part_of_the_batch_once(on_device: nn.Module) -> None:
    """Frames, which lanes begin, boxes, which box belongs where, labels; nothing a layer."""
    task = object.__new__(ActionTask)
    task.model, task.preprocessing, task.memory = on_device.train(), PREPROCESSING, None
    task._box_slots = on_device.config.head.box_slots
    frames = torch.zeros(2, 8, 64, 64, 3, dtype=torch.uint8)
    persons = [[-1] * len(box) for box in BOXES]
    begins = torch.tensor([False, True])
    batch = LaneBatch(frames, BOXES, torch.zeros(3, 80), begins, persons, [Pause(), Pause()], ["a", "b"])
    for _ in range(3):
        with Copies() as copies:
            task.loss(on_device, batch)
    assert copies.found == ["to"] * 5


def test_a_step_of_the_engine_fetches_one_tensor(tiny: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    cpu = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda tensor: (fetched.append(tensor.numel()), cpu(tensor))[1])
    engine = Engine(tiny, PREPROCESSING)  # type: ignore[arg-type]
    (result,) = engine.step([clip("a", 0)], [people(2)])
    assert len(fetched) == 1 and result.scores.shape == (2, 80)
    assert fetched == [result.scores.size + result.features.size + result.box_features.size]


def test_a_gpu_copies_from_pinned_memory() -> None:
    asked: list[object] = []
    pinned = SimpleNamespace(to=lambda *place, **how: asked.append((*place, how)))
    tensor = SimpleNamespace(device=torch.device("cpu"), pin_memory=lambda: pinned)
    sent(tensor, torch.device("cuda:0"))  # type: ignore[arg-type]
    assert asked == [(torch.device("cuda:0"), {"non_blocking": True})]
    here = torch.zeros(2)
    assert sent(here, here.device) is here


def test_layers_and_steps_share_tensors_that_depend_on_shapes_alone() -> None:
    like = torch.zeros(1, requires_grad=True)
    with torch.inference_mode():
        first = one_hot_columns((0, 1, 2), (2, 3, 3), ((1, 2, 2), 2), 1, like)
    second = one_hot_columns((0, 1, 2), (2, 3, 3), ((1, 2, 2), 2), 1, like)
    assert first is second and not first.is_inference()
    assert one_hot_columns((0, 1, 2), (2, 3, 3), None, 1, like).shape == (19, 8)
