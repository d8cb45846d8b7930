"""A small network is run by one thread, unless the user has chosen a number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from memvit.engine.engine import Engine
from memvit.models import MODELS
from memvit.runtime import for_device, threads
from memvit.runtime.threads import default_counts, share_threads
from tests.engine.test_engine import clip, people

PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing
BOXES = [torch.tensor([[4.0, 4, 60, 50]])]


@pytest.fixture
def counted(tiny: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many threads each call of the network's backbone found, on a machine of three cores."""
    found: list[int] = []
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "default_counts", lambda: {3})
    monkeypatch.setattr(threads, "_shares", set[int]())
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    handle = tiny.backbone.register_forward_pre_hook(lambda *_: found.append(torch.get_num_threads()))
    yield found
    handle.remove()
    torch.set_num_threads(before)


def run(network: nn.Module) -> None:
    for_device(network, preprocessing=PREPROCESSING)(torch.zeros(1, 3, 8, 64, 64), BOXES)  # type: ignore[arg-type]


def test_a_small_network_takes_one_thread_and_restores_the_number(tiny: nn.Module, counted: list[int]) -> None:
    run(tiny)
    Engine(tiny, PREPROCESSING).step([clip("a", 0)], [people(1)])  # type: ignore[arg-type]
    assert counted == [1, 1] and torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="takes clips of shape"):
        for_device(tiny, preprocessing=PREPROCESSING)(torch.zeros(1, 3, 9, 64, 64), BOXES)  # type: ignore[arg-type]
    assert torch.get_num_threads() == 3, "after an error, too"


def test_a_larger_network_takes_all_threads(
    tiny: nn.Module, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "SMALL_PARAMETERS", 0)
    run(tiny)
    assert counted == [3]


@pytest.mark.parametrize("name", threads.VARIABLES)
def test_environment_variables_choose_the_number_of_threads(
    name: str, tiny: nn.Module, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "3")
    run(tiny)
    assert counted == [3]


def test_set_num_threads_chooses_the_number_of_threads(tiny: nn.Module, counted: list[int]) -> None:
    torch.set_num_threads(2)
    run(tiny)
    assert counted == [2]


def test_a_share_of_the_machine_is_not_a_choice_of_the_user(tiny: nn.Module, counted: list[int]) -> None:
    share_threads(2)
    run(tiny)
    assert counted == [1] and torch.get_num_threads() == 2


def test_torch_begins_with_the_processors_or_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors that are the threads of two cores."""
    for processor in range(4):
        path = tmp_path / f"cpu{processor}" / "topology" / "thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{processor % 2},{processor % 2 + 2}\n")
    monkeypatch.setattr(threads, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert default_counts() == {4, 2}
