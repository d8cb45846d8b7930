"""Models with deterministic weights, and checkpoints in the official layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from memvit.models import create_model
from tests.golden import fill
from tests.processes import Command

GOLDEN = Path(__file__).parent / "golden"
LONG_FILES = (
    "pipelines/extract/test_faults.py",
    "training/test_actions.py",
    "pipelines/train/test_train.py",
    "models/test_golden.py",
    "pipelines/serve/test_serve.py",
    "pipelines/extract/test_extract.py",
    "pipelines/watch/test_watch.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: processes that share the files out then end at about the same time."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("needs_cuda"):
                item.add_marker(pytest.mark.skip(reason="torch finds no CUDA device here"))


def filled(model: nn.Module) -> nn.Module:
    """The model with golden-style weights: large enough that every path moves the result."""
    model.load_state_dict(fill.state_dict({name: list(value.shape) for name, value in model.state_dict().items()}))
    return model


def official_state(stem: str) -> dict[str, torch.Tensor]:
    """A full state dict in an official layout."""
    return fill.state_dict(json.loads((GOLDEN / f"{stem}.shapes.json").read_text()))


@pytest.fixture(scope="session", autouse=True)
def no_command_outlives_the_tests() -> Iterator[None]:
    """A server that a failed test left would keep pytest from ending, and its actors would be found by the next run."""
    yield
    Command.kill_all()


@pytest.fixture(scope="session")
def tiny() -> nn.Module:
    """`memvit_tiny_8x4`: two memory layers, one box block, reads (2, 4)."""
    return filled(create_model("memvit_tiny_8x4"))


@pytest.fixture(scope="session")
def tiny_file(tiny: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` as a file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save(tiny.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def memvit_16_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MeMViT-16 for AVA as a file in the official layout."""
    path = tmp_path_factory.mktemp("official") / "MeMViT_16L_16x4_K400pt.pyth"
    torch.save({"model_state": official_state("memvit_16_ava"), "cfg": "MODEL: MViT\n", "epoch": 29}, path)
    return path
