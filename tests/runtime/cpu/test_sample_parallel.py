"""Samples of a batch in parallel: the same numbers, every sample once, thread settings as before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from memvit.models import MODELS, Memory, MeMViT, MViT, create_model
from memvit.runtime.cpu import runner as cpu_runner
from memvit.runtime.cpu.runner import CpuRunner
from memvit.runtime.cpu.sample_parallel import sample_parallel
from tests.conftest import filled


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chosen by the user, so that a small network has four threads, too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def parallel_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are computed in parallel also where they are too small to gain from it."""
    monkeypatch.setattr(cpu_runner, "PARALLEL_VALUES", 0)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [((0, 1), 4)]),
        (2, [((0, 1), 2), ((1, 2), 2)]),
        (3, [((0, 1), 2), ((1, 2), 2), ((2, 3), 4)]),
        (4, [((0, 1), 1), ((1, 2), 1), ((2, 3), 1), ((3, 4), 1)]),
        (11, [((0, 2), 1), ((2, 4), 1), ((4, 6), 1), ((6, 8), 1), ((8, 9), 2), ((9, 10), 2), ((10, 11), 4)]),
    ],
)
def test_all_samples_and_all_threads_are_shared_out(samples: int, expected: list[tuple[tuple[int, int], int]]) -> None:
    found = sample_parallel(lambda rows: ((rows.start, rows.stop), torch.get_num_threads()), samples)
    assert found == expected


def test_workers_run_at_the_same_time() -> None:
    all_there = threading.Barrier(4, timeout=20)
    sample_parallel(lambda rows: all_there.wait(), 4)  # raises if one of them does not come


def test_threads_that_start_later_have_the_usual_number_of_threads() -> None:
    sample_parallel(lambda rows: None, 4)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(torch.get_num_threads).result() == 4
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("inference", [True, False])
def test_workers_have_the_inference_mode_of_the_caller(inference: bool) -> None:
    with torch.no_grad(), torch.inference_mode(inference), torch.no_grad():
        made = sample_parallel(lambda rows: torch.ones(1) + 1, 4)
    assert [part.is_inference() for part in made] == [inference] * 4
    assert not any(part.requires_grad for part in made)


def test_an_error_of_one_worker_reaches_the_caller() -> None:
    def fail(rows: slice) -> None:
        if rows.start == 2:
            raise ValueError("sample 2")

    with pytest.raises(ValueError, match="sample 2"):
        sample_parallel(fail, 4)


def threads_that_ran(network: nn.Module) -> set[str]:
    """Filled with names of threads while the network runs."""
    names: set[str] = set()
    network.backbone.blocks[0].register_forward_hook(lambda *_: names.add(threading.current_thread().name))
    return names


def cpu_runner_of(network: MeMViT | MViT, name: str) -> CpuRunner:
    return CpuRunner(network, MODELS[name].preprocessing)


@pytest.mark.usefixtures("parallel_at_any_size")
def test_images_in_parallel_equal_each_alone() -> None:
    runner = cpu_runner_of(filled(create_model("mvitv2_t.in1k")), "mvitv2_t.in1k")  # type: ignore[arg-type]
    names = threads_that_ran(runner._twin)
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    together, _ = runner(images)
    assert len(names) == 5, "four workers and the caller"
    alone = torch.cat([runner(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)


@pytest.mark.usefixtures("parallel_at_any_size")
def test_streams_in_parallel_remember_what_each_alone_remembers(tiny: MeMViT) -> None:
    """Two streams of different age and a new one; every memory goes with its stream."""
    runner = cpu_runner_of(tiny, "memvit_tiny_8x4")
    names = threads_that_ran(runner._twin)
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.tensor([[4.0, 4, 60, 50]]), torch.tensor([[0.0, 0, 30, 60], [9, 9, 50, 40]]), torch.zeros(0, 4)]
    memories = []
    for stream, age in enumerate((5, 2, 1)):
        memory = None
        for _ in range(age):
            _, memory = runner(torch.randn(1, 3, 8, 64, 64, generator=generator), [boxes[stream]], memory)
        assert memory is not None
        memories.append(memory)
    names.clear()
    clips = torch.randn(3, 3, 8, 64, 64, generator=generator)
    together, joint = runner(clips, boxes, Memory.stack(memories))
    assert joint is not None
    assert len(names) == 3, "two workers, then the caller"
    alone = [runner(clips[i : i + 1], boxes[i : i + 1], memories[i]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat([logits for logits, _ in alone]), atol=1e-4, rtol=1e-4)
    for stream, (_, memory) in enumerate(alone):
        assert memory is not None
        own = joint.select([stream]).state_dict()
        for name, value in memory.state_dict().items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(own[name], value, atol=1e-4, rtol=1e-4)


def test_training_runs_in_the_thread_of_the_caller() -> None:
    model = filled(create_model("mvitv2_t.in1k"))
    names = threads_that_ran(model)
    model(torch.randn(4, 3, 96, 96)).sum().backward()
    assert names == {threading.current_thread().name}
    assert all(parameter.grad is not None for parameter in model.parameters())
