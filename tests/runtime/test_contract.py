"""What every runner does: the network's numbers, alone and in batches, whatever the ages of the streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from memvit.models import MODELS, Memory, MeMViT, create_model
from memvit.models.clip_memory import view_of
from memvit.models.memory import MemoryUpdate
from memvit.models.preprocessing import model_input
from memvit.runtime import MemoryPool, Runner, for_device, threads
from memvit.runtime.cpu.onednn import can_pack
from memvit.runtime.cuda.runner import CudaRunner
from memvit.runtime.export.program import export_step
from memvit.runtime.export.runner import ExportedRunner
from memvit.runtime.plain import PlainRunner
from tests.conftest import filled
from tests.runtime.stand_ins import call_at_every_replay

PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing
CPU = torch.device("cpu")
BOXES = [torch.tensor([[4.0, 4, 60, 50]]), torch.tensor([[10.0, 20, 40, 64]])]


def exported(network: MeMViT, folder: Path) -> Runner:
    export_step(network, folder / "step.pt2", height=64, width=64)
    return ExportedRunner(network, folder / "step.pt2", PREPROCESSING, height=64, width=64)


def captured(network: nn.Module, device: torch.device = CPU) -> Runner:
    return CudaRunner(network, PREPROCESSING, device=device, precision="float32", capture=call_at_every_replay)


RUNNERS: dict[str, Callable[[MeMViT, Path], Runner]] = {
    "cpu float32": lambda network, _: for_device(network, preprocessing=PREPROCESSING),
    "cpu bfloat16": lambda network, _: for_device(network, "cpu", "bfloat16", preprocessing=PREPROCESSING),
    "cpu int8": lambda network, _: for_device(network, "cpu", "int8", preprocessing=PREPROCESSING),
    "plain": lambda network, _: PlainRunner(network, PREPROCESSING, device=CPU, precision="float32"),
    "captured steps": lambda network, _: captured(network),
    "exported": exported,
    "cuda float32": lambda network, _: for_device(network, "cuda", "float32", preprocessing=PREPROCESSING),
    "cuda bfloat16": lambda network, _: for_device(network, "cuda", "bfloat16", preprocessing=PREPROCESSING),
}
TOLERANCE = {"cpu bfloat16": 0.06, "cpu int8": 0.06, "cuda bfloat16": 0.06, "cuda float32": 1e-3}


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=pytest.mark.needs_cuda) if "cuda" in name else name for name in RUNNERS
])  # fmt: skip
def made(
    request: pytest.FixtureRequest, tiny: MeMViT, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runner, float]:
    """A runner of the tiny network, and how near its scores are to the network's."""
    if request.param == "cpu int8" and not can_pack(int8=True):
        pytest.skip("this processor has no 8-bit products")
    runner = RUNNERS[request.param](tiny, tmp_path_factory.mktemp("runner"))
    return runner, TOLERANCE.get(request.param, 1e-5)


def clips(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 8, 64, 64, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def history(
    call: Callable[..., tuple[Tensor, Memory | None]], steps: int, seed: int = 0
) -> tuple[Tensor, Memory | None]:
    """Scores of a stream, clip by clip, and its memory."""
    memory, found = None, []
    for clip in clips(steps, seed).split(1):
        logits, memory = call(clip, BOXES[:1], memory)
        found.append(logits.float().cpu().sigmoid())
    return torch.cat(found), memory


def test_a_call_gives_the_numbers_of_the_network(made: tuple[Runner, float], tiny: MeMViT) -> None:
    runner, tolerance = made
    expected, _ = history(tiny, 6)
    found, _ = history(runner, 6)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@torch.inference_mode()
def test_steps_with_a_pool_give_the_numbers_of_calls_with_memories(made: tuple[Runner, float], tiny: MeMViT) -> None:
    """Three streams of different age, in batches of all that have a clip left."""
    runner, tolerance = made
    assert tiny.config.memory is not None
    pool = MemoryPool(tiny.config.memory)
    lengths = {"a": 6, "b": 3, "c": 5}
    found: dict[str, list[Tensor]] = {name: [] for name in lengths}
    for step in range(6):
        names = [name for name, length in lengths.items() if step >= 6 - length]
        images = torch.cat([clips(6, seed=ord(name))[step - 6 + lengths[name]][None] for name in names])
        output, update = runner.step(images, BOXES[:1] * len(names), pool.view(names))
        assert update is not None and output.features.shape == (len(names), tiny.config.out_dim)
        pool.write(names, update)
        for name, logits in zip(names, output.logits.float().cpu().sigmoid(), strict=True):
            found[name].append(logits)
    for name, length in lengths.items():
        expected, _ = history(tiny, 6, seed=ord(name))
        torch.testing.assert_close(torch.stack(found[name]), expected[:length], atol=tolerance, rtol=0)


@torch.inference_mode()
def test_frames_are_normalised_by_the_runner(made: tuple[Runner, float]) -> None:
    runner, tolerance = made
    frames = torch.randint(0, 256, (2, 8, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected, _ = runner.step(model_input(frames, PREPROCESSING), BOXES)
    found, _ = runner.step(frames, BOXES)
    torch.testing.assert_close(found.logits.sigmoid(), expected.logits.sigmoid(), atol=tolerance, rtol=0)


def test_nothing_is_remembered_with_remember_false(made: tuple[Runner, float]) -> None:
    runner, _ = made
    output, update = runner.step(clips(1), BOXES[:1], remember=False)
    assert update is None and output.memory is None
    logits, memory = runner(clips(1), BOXES[:1], remember=False)
    assert memory is None and torch.equal(logits, output.logits)


def test_results_have_no_gradients_and_the_network_is_as_before(made: tuple[Runner, float], tiny: MeMViT) -> None:
    runner, _ = made
    output, _ = runner.step(clips(1), BOXES[:1])
    assert not output.logits.requires_grad
    assert all(value.requires_grad for value in tiny.parameters())
    assert runner.network is tiny


def test_values_come_to_the_host_as_arrays(made: tuple[Runner, float]) -> None:
    runner, _ = made
    output, _ = runner.step(clips(2), BOXES)
    logits, features = runner.to_host([output.logits, output.features])
    assert logits.dtype == features.dtype == "float32"
    torch.testing.assert_close(torch.from_numpy(logits), output.logits.float().cpu(), atol=0, rtol=0)
    assert features.shape == tuple(output.features.shape)


def test_values_of_no_people_come_to_the_host_as_empty_arrays(made: tuple[Runner, float]) -> None:
    runner, _ = made
    output, _ = runner.step(clips(2), BOXES)
    assert output.box_features is not None
    logits, features, box_features = runner.to_host([output.logits[:0], output.features, output.box_features[:0]])
    assert (logits.shape, box_features.shape) == ((0, 80), (0, output.box_features.shape[1]))
    torch.testing.assert_close(torch.from_numpy(features), output.features.float().cpu(), atol=0, rtol=0)
    assert runner.to_host([]) == []


def test_arrays_on_the_host_are_the_callers(made: tuple[Runner, float]) -> None:
    """The next step, and the next copy, leave them as they are."""
    runner, _ = made
    output, _ = runner.step(clips(1), BOXES[:1])
    first, *_ = runner.to_host([output.logits])
    before = first.copy()
    other, _ = runner.step(clips(1, seed=1), BOXES[:1])
    runner.to_host([other.logits])
    assert (first == before).all()


def test_autocast_around_a_call_changes_nothing(made: tuple[Runner, float], tiny: MeMViT) -> None:
    runner, tolerance = made
    with torch.inference_mode():
        _, memory = history(tiny, 3)
        assert memory is not None and tiny.config.memory is not None
        view = view_of(memory.to(runner.device, runner.dtype), tiny.config.memory)
    expected, expected_update = runner.step(clips(1), BOXES[:1], view)
    with torch.autocast(runner.device.type, torch.bfloat16):
        found, update = runner.step(clips(1), BOXES[:1], view)
    assert update is not None and expected_update is not None
    assert found.logits.dtype == expected.logits.dtype == runner.dtype
    torch.testing.assert_close(found.logits.sigmoid(), expected.logits.sigmoid(), atol=tolerance, rtol=0)
    for layer, expected_layer in zip(update.layers, expected_update.layers, strict=True):
        assert layer.keys.dtype == runner.dtype
        torch.testing.assert_close(layer.keys, expected_layer.keys, atol=max(tolerance, 1e-4), rtol=tolerance)


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chosen by the user for this process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_threads_that_the_user_chose_holds(made: tuple[Runner, float]) -> None:
    runner, _ = made
    with runner.threads():
        assert torch.get_num_threads() == 3
        runner.step(clips(2), BOXES)
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_are_as_before_after_a_step_and_after_an_error(
    made: tuple[Runner, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody chose the number here: the runner takes what it wants, and gives it back."""
    runner, _ = made
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "default_counts", lambda: {3})
    with runner.threads():
        inside = torch.get_num_threads()
        runner.step(clips(1), BOXES[:1])
        assert torch.get_num_threads() == inside, "a step within is run with the same"
    assert inside in (1, 3) and torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="takes clips of shape"):
        runner.step(clips(1)[:, :, :4], BOXES[:1])
    with pytest.raises(RuntimeError, match="in between"), runner.threads():
        raise RuntimeError("in between")
    assert torch.get_num_threads() == 3


@torch.inference_mode()
def test_an_error_leaves_the_pool_as_it_was(made: tuple[Runner, float], tiny: MeMViT) -> None:
    """Whether the step fails, or what it returned is never written."""
    runner, _ = made
    assert tiny.config.memory is not None
    pool = MemoryPool(tiny.config.memory, capacity=1)
    update: MemoryUpdate | None = None
    for seed in range(3):
        _, update = runner.step(clips(1, seed), BOXES[:1], pool.view("a"))
        assert update is not None
        pool.write("a", update)
    assert update is not None
    before, view = pool.memory("a").state_dict(), pool.view("a")
    expected, _ = runner.step(clips(1), BOXES[:1], view)
    with pytest.raises(ValueError, match="need a list of 1 box tensors"):
        runner.step(clips(1), [*BOXES], pool.view("a"))
    pool.prepare("b", update)
    with pytest.raises(ValueError, match="an update of 1 clips is not one of 2 streams"):
        pool.prepare("ab", update)()
    after = pool.memory("a").state_dict()
    assert "b" not in pool and len(pool) == 1
    assert all(torch.equal(value, after[name]) for name, value in before.items() if isinstance(value, Tensor))
    found, _ = runner.step(clips(1), BOXES[:1], pool.view("a"))
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("arguments", "match"), [
    ((clips(1), None), "need a list of 1 box tensors"),
    ((clips(2), BOXES[:1]), "2 clips need a list of 2 box tensors"),
    ((clips(1)[:, :, :4], BOXES[:1]), "takes clips of shape"),
])  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(
    made: tuple[Runner, float], arguments: tuple[Tensor, list[Tensor] | None], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        made[0].step(*arguments)


def test_memory_of_another_size_is_refused(made: tuple[Runner, float], tiny: MeMViT) -> None:
    runner, _ = made
    with torch.inference_mode():
        _, memory = tiny(clips(1), BOXES[:1])
    wide = torch.randn(1, 3, 8, 64, 96)
    with pytest.raises(ValueError, match="another model or input size"):
        runner(wide, BOXES[:1], memory)


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (3, 0), (1, 2), (7, 3)])
@pytest.mark.parametrize("name", ["cpu float32", "plain", "captured steps"])
@torch.inference_mode()
def test_any_number_of_people_gives_the_numbers_of_the_network(
    name: str, counts: tuple[int, ...], tiny: MeMViT, tmp_path: Path
) -> None:
    """Twice: the second step of a shape is a captured one."""
    runner = RUNNERS[name](tiny, tmp_path)
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.rand(count, 4, generator=generator) * 30 + torch.tensor([0.0, 0, 30, 30]) for count in counts]
    for seed in range(3):
        images = clips(2, seed)
        expected, expected_update = tiny.step(images, boxes)
        output, update = runner.step(images, boxes)
        assert update is not None and expected_update is not None
        torch.testing.assert_close(output.logits, expected.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(update.boxes[0], expected_update.boxes[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [
    lambda network: for_device(network, preprocessing=MODELS["mvitv2_t.in1k"].preprocessing),
    lambda network: PlainRunner(network, MODELS["mvitv2_t.in1k"].preprocessing, device=CPU, precision="float32"),
    captured,
])  # fmt: skip
def test_image_classifiers_give_the_numbers_of_the_network(make: Callable[[nn.Module], Runner]) -> None:
    network = filled(create_model("mvitv2_t.in1k"))
    runner = make(network)
    for seed in range(3):
        images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            expected = network(images)
        logits, memory = runner(images)
        assert memory is None
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)
    for given in (images, torch.zeros(3, 1, 64, 64, 3, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="neither boxes nor a memory"):
            runner.step(given, [torch.zeros(0, 4)] * 3)
