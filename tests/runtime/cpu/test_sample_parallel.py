"""Samples of a batch on cores of their own: the same numbers, every sample once, threads set as before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from memvit.models import MeMViT, create_model, mvit
from memvit.runtime.cpu.prepack import prepack
from memvit.runtime.cpu.sample_parallel import sample_parallel
from tests.conftest import filled


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def crews_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for samples so small that they are not worth it."""
    monkeypatch.setattr(mvit, "CREW_VALUES", 0)


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
def test_all_samples_are_shared_out_with_all_threads(samples: int, expected: list[tuple[tuple[int, int], int]]) -> None:
    found = sample_parallel(lambda rows: ((rows.start, rows.stop), torch.get_num_threads()), samples)
    assert found == expected


def test_what_is_asked_of_crews_runs_at_the_same_time() -> None:
    all_there = threading.Barrier(4, timeout=20)
    sample_parallel(lambda rows: all_there.wait(), 4)  # raises if one of them does not come


def test_threads_that_start_later_compute_as_before() -> None:
    sample_parallel(lambda rows: None, 4)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(torch.get_num_threads).result() == 4
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("inference", [True, False])
def test_the_callers_inference_mode_holds(inference: bool) -> None:
    with torch.no_grad(), torch.inference_mode(inference), torch.no_grad():
        made = sample_parallel(lambda rows: torch.ones(1) + 1, 4)
    assert [part.is_inference() for part in made] == [inference] * 4
    assert not any(part.requires_grad for part in made)


def test_an_error_of_one_crew_is_the_callers() -> None:
    def fail(rows: slice) -> None:
        if rows.start == 2:
            raise ValueError("sample 2")

    with pytest.raises(ValueError, match="sample 2"):
        sample_parallel(fail, 4)


def crews_that_ran(model: nn.Module) -> set[str]:
    """Filled with names of threads while the model runs."""
    names: set[str] = set()
    model.backbone.blocks[0].register_forward_hook(lambda *_: names.add(threading.current_thread().name))
    return names


@pytest.mark.usefixtures("crews_for_all")
def test_images_side_by_side_equal_each_alone() -> None:
    model = prepack(filled(create_model("mvitv2_t.in1k")))
    names = crews_that_ran(model)
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = model(images)
        assert len(names) == 5, "four crews and the caller"
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)


@pytest.mark.usefixtures("crews_for_all")
def test_streams_side_by_side_remember_what_each_alone_remembers(tiny: MeMViT) -> None:
    """Two streams of different age and a new one; every memory goes with its stream."""
    model = prepack(tiny)
    names = crews_that_ran(model)
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.tensor([[4.0, 4, 60, 50]]), torch.tensor([[0.0, 0, 30, 60], [9, 9, 50, 40]]), torch.zeros(0, 4)]
    memories = []
    with torch.inference_mode():
        for stream, age in enumerate((5, 2, 1)):
            memory = None
            for _ in range(age):
                _, memory = model(torch.randn(1, 3, 8, 64, 64, generator=generator), [boxes[stream]], memory)
            memories.append(memory)
        names.clear()
        clips = torch.randn(3, 3, 8, 64, 64, generator=generator)
        together, kept = model(clips, boxes, type(memories[0]).stack(memories))
        assert len(names) == 3, "two crews, then the caller"
        alone = [model(clips[i : i + 1], boxes[i : i + 1], memories[i]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat([logits for logits, _ in alone]), atol=1e-4, rtol=1e-4)
    for stream, (_, memory) in enumerate(alone):
        own = kept.select([stream]).state_dict()
        for name, value in memory.state_dict().items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(own[name], value, atol=1e-4, rtol=1e-4)


def test_gradients_need_no_crews() -> None:
    model = filled(create_model("mvitv2_t.in1k"))
    names = crews_that_ran(model)
    model(torch.randn(4, 3, 96, 96)).sum().backward()
    assert names == {threading.current_thread().name}
    assert all(parameter.grad is not None for parameter in model.parameters())
