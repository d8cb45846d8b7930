"""Models with deterministic weights, and checkpoints in the official layouts."""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from memvit.models import MeMViT, create_model
from tests import shared
from tests.golden import fill
from tests.processes import Command

GOLDEN = Path(__file__).parent / "golden"
LONG_FILES = (
    "pipelines/serve/test_serve.py",
    "pipelines/extract/test_faults.py",
    "pipelines/extract/test_extract.py",
    "models/test_golden.py",
    "pipelines/train/test_train.py",
    "training/test_actions.py",
    "pipelines/watch/test_watch.py",
    "training/test_loop.py",
    "runtime/export/test_program.py",
    "pipelines/serve/test_page.py",
    "runtime/test_contract.py",
    "pipelines/test_fuzz.py",
    "detection/test_golden.py",
    "models/weights/test_layouts.py",
    "streams/test_connections.py",
    "training/test_detection.py",
    "training/test_workers.py",
)


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all tests are imported: what imports make stays, and looking through it takes seconds
    if not hasattr(config, "workerinput"):  # the processes of pytest-xdist inherit the environment
        os.environ[shared.FOLDER] = tempfile.mkdtemp(prefix="memvit-tests-")
        os.environ[shared.PROCESS] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(shared.FOLDER), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: processes that share the files out then end at about the same time."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("needs_cuda"):
                item.add_marker(pytest.mark.skip(reason="torch finds no CUDA device here"))


def pytest_collection_finish() -> None:
    gc.enable()


def filled(model: nn.Module) -> nn.Module:
    """The model with golden-style weights: large enough that every path moves the result."""
    model.load_state_dict(fill.state_dict({name: list(value.shape) for name, value in model.state_dict().items()}))
    return model


def official_file(stem: str) -> Path:
    """A full checkpoint of golden weights in an official layout. Hundreds of megabytes: made once a run."""

    def make(path: Path) -> None:
        state = fill.state_dict(json.loads((GOLDEN / f"{stem}.shapes.json").read_text()))
        torch.save({"model_state": state, "cfg": "MODEL: MViT\n", "epoch": 29}, path)

    return shared.made_once(f"{stem}.pyth", make)


def official_state(stem: str) -> dict[str, torch.Tensor]:
    """A full state dict of golden weights in an official layout."""
    return torch.load(official_file(stem), weights_only=True, mmap=True)["model_state"]


@pytest.fixture(scope="session", autouse=True)
def no_command_outlives_the_tests() -> Iterator[None]:
    """A server that a failed test left would keep pytest from ending, and its actors would be found by the next run."""
    yield
    Command.kill_all()


@pytest.fixture(autouse=True)
def _usual_scheduling() -> Iterator[None]:
    """A test that leaves a real-time thread would make all tests after it, and the machine, many times slower."""
    yield
    if hasattr(os, "sched_getscheduler"):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


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
def memvit_16_file() -> Path:
    """MeMViT-16 for AVA as a file in the official layout."""
    return official_file("memvit_16_ava")


@pytest.fixture(scope="session")
def memvit_16(memvit_16_file: Path) -> MeMViT:
    """MeMViT-16 for AVA with golden weights."""
    model = create_model("memvit_16_16x4.ava_k400", checkpoint=memvit_16_file)
    assert isinstance(model, MeMViT)
    return model
