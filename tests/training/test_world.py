"""Several processes that train together: what travels between them, on which devices, and what it changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train.torch
import torch
from torch import distributed as dist
from torch import nn

import pipelines.train.run
from memvit.training import loop
from memvit.training.loop import Trainer
from memvit.training.recipe import ClassificationRecipe, RunConfig
from memvit.training.world import World
from memvit.types import MemvitError
from pipelines.train import ray_workers as train_ray

from .worlds import CUDA_ONLY, in_processes


def exchange() -> tuple[Any, ...]:
    world = World.join()
    world.barrier()
    gathered = world.gather({"rank": world.rank})
    told = world.broadcast("from the first" if world.is_first else None)
    try:
        dist.all_reduce(torch.zeros(1))
        default_takes_cpu = True
    except RuntimeError:
        default_takes_cpu = False
    return world.sum_floats(world.rank + 1, 0.25), gathered, told, default_takes_cpu


@pytest.mark.parametrize("backend", ["gloo", CUDA_ONLY])
def test_values_travel_whatever_the_backend_of_gradients_takes(backend: str, tmp_path: Path) -> None:
    first, second = in_processes(2, tmp_path, exchange, backend=backend)
    takes_cpu = backend == "gloo"
    assert first == ([3.0, 0.5], [{"rank": 0}, {"rank": 1}], "from the first", takes_cpu)
    assert second == ([3.0, 0.5], None, "from the first", takes_cpu)


def test_one_process_is_a_world_of_its_own() -> None:
    world = World.join()
    assert (world.rank, world.size, world.is_first) == (0, 1, True)
    assert world.sum_floats(1, 2) == [1.0, 2.0]
    assert world.gather("a") == ["a"] and world.broadcast("b") == "b"
    assert world.shard(3) == range(3)


@pytest.mark.parametrize(("total", "size"), [(16, 8), (3, 2), (7, 3)])
def test_a_batch_is_shared_out_whole(total: int, size: int) -> None:
    shares = [list(World(rank, size).shard(total)) for rank in range(size)]
    assert [place for share in shares for place in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_smaller_than_the_world_is_refused() -> None:
    with pytest.raises(MemvitError, match="a batch of 2 cannot be shared out over 3 processes"):
        World(0, 3).shard(2)


@pytest.mark.parametrize(
    ("chosen", "size", "local_rank", "gpus", "expected"),
    [
        ("cpu", 2, 1, 0, "cpu"),
        ("cuda", 1, 0, 8, "cuda"),
        ("cuda:3", 1, 0, 8, "cuda:3"),
        ("cuda", 16, 5, 8, "cuda:5"),
        ("cuda", 2, 1, 1, "cuda:0"),  # each process sees its own GPU only
    ],
)
def test_every_process_has_a_gpu_of_its_own(
    chosen: str, size: int, local_rank: int, gpus: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    assert World(size - 1, size).device(torch.device(chosen)) == torch.device(expected)


@pytest.mark.parametrize(("chosen", "message"), [("cuda:0", "names one GPU"), ("cuda", "finds 2 GPUs")])
def test_a_gpu_for_two_processes_is_refused(chosen: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(MemvitError, match=message):
        World(2, 3).device(torch.device(chosen))


class Elsewhere(nn.Module):
    """A model that says where it was sent, and stays."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.sent_to: list[torch.device] = []

    def to(self, device: torch.device) -> Elsewhere:  # type: ignore[override]
        self.sent_to.append(device)
        return self


@pytest.mark.parametrize(("device", "ids"), [("cuda:1", [torch.device("cuda:1")]), ("cpu", None)])
def test_gradients_are_averaged_on_the_device_of_the_process(
    device: str, ids: list[torch.device] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(loop, "DistributedDataParallel", lambda network, **options: given.update(options) or network)
    task: Any = SimpleNamespace(model=Elsewhere(), batches_per_epoch=4)
    Trainer(task, ClassificationRecipe(), device=torch.device(device), world=World(1, 2))
    assert task.model.sent_to == [torch.device(device)]
    assert given["device_ids"] == ids


@pytest.mark.parametrize(
    ("device", "gpus", "expected"), [("auto", 4, True), ("auto", 0, False), ("cuda", 1, True), ("cpu", 4, False)]
)
def test_workers_on_ray_get_gpus_where_there_are_some(device: str, gpus: int, expected: bool) -> None:
    assert train_ray.uses_gpus(device, gpus) is expected


@pytest.mark.parametrize(("device", "message"), [("cuda", "finds no GPU"), ("cuda:1", "Ray deals GPUs out")])
def test_gpus_that_ray_cannot_give_are_refused(device: str, message: str) -> None:
    with pytest.raises(MemvitError, match=message):
        train_ray.uses_gpus(device, 0)


@pytest.mark.parametrize(("use_gpu", "expected"), [(True, "cuda:5"), (False, "cpu")])
def test_a_worker_on_ray_trains_on_the_device_that_ray_assigned(
    use_gpu: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 1))
    monkeypatch.setattr(ray.train.torch, "get_device", lambda: torch.device("cuda:5"))
    monkeypatch.setattr(pipelines.train.run, "train", lambda *given: used.append(given[-1]) or (None, False))
    monkeypatch.chdir(tmp_path)
    train_ray.worker({"recipe": None, "folder": str(tmp_path), "channel": None, "use_gpu": use_gpu})
    assert used == [torch.device(expected)]


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_one_process_trains_on_the_gpu_that_is_chosen(device: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` has no number, and torch takes only numbers for the current device."""
    current = [0]
    monkeypatch.setattr(torch._C, "_cuda_setDevice", current.append, raising=False)
    monkeypatch.setattr(torch.cuda, "_check_stray_context", lambda index: None, raising=False)
    monkeypatch.setattr(pipelines.train.run, "choose_device", torch.device)

    def build(recipe: object, world: World) -> None:
        raise MemvitError("far enough")

    monkeypatch.setattr(pipelines.train.run, "build_task", build)
    recipe = ClassificationRecipe(run=RunConfig(device=device))
    with pytest.raises(MemvitError, match="far enough"):
        pipelines.train.run.train(recipe, lambda event: None, lambda note: None)
    assert current[-1] == index


def test_of_failed_workers_the_one_that_explains_itself_is_quoted() -> None:
    closed, explained, wrapped, failed = (
        RuntimeError("Connection closed"),
        MemvitError("no frames"),
        OSError(),
        OSError(),
    )
    wrapped.__cause__ = explained
    failed.worker_failures = {1: closed, 0: wrapped}  # type: ignore[attr-defined]
    assert train_ray._innermost(failed) == "no frames"
