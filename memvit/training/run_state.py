"""The checkpoints of a run, written atomically, from which the run continues as if it had not been interrupted.

A checkpoint holds weights, optimizer, place in the schedule and the task's state. Random generators need no state,
because every step is seeded from the run's seed and its own number. `create_model(…, checkpoint=FILE)` reads them, too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from memvit.models import CheckpointError
from memvit.models.weights.torch_files import load_torch_file
from memvit.training.recipe import Recipe
from memvit.types import MemvitError

NAME = re.compile(r"checkpoint-(\d+)\.pt")
FREE_TO_CHANGE = (
    "out",
    "device",
    "loader_workers",
    "compile",
    "activation_checkpointing",
    "evaluate_every_epochs",
    "checkpoint_every_steps",
    "keep_checkpoints",
)
"""Keys of `run` that may be changed when a run continues."""


@dataclass
class RunState:
    """How far a run has come."""

    epoch: int = 0
    step: int = 0
    """Steps done in this epoch."""
    total_steps: int = 0
    """Steps done in all epochs."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics of the last evaluation."""


def save_run(
    folder: Path, state: RunState, recipe_text: str, model: dict[str, Any], rest: dict[str, Any], keep: int
) -> Path:
    """Write a checkpoint, then remove all but the newest `keep` checkpoints."""
    path = folder / f"checkpoint-{state.total_steps:08d}.pt"
    content = {"memvit_run": 1, "recipe": recipe_text, "state": vars(state), "model": model, **rest}
    write_whole(path, content)
    for old in run_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """`torch.save` through a temporary file: `path` always has the whole old or the whole new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MemvitError(
            f"{path}: the checkpoint cannot be written ({error.strerror}); the earlier ones are untouched"
        ) from error


def run_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.pt") if NAME.fullmatch(path.name))


def last_run(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint, or None if there are no checkpoints. MemvitError if none of them is readable."""
    paths = run_checkpoints(folder)
    for path in reversed(paths):
        try:
            content = load_torch_file(path)
        except (OSError, CheckpointError):
            continue
        if isinstance(content, dict) and content.get("memvit_run") == 1:
            return content
    if paths:
        raise MemvitError(f"{folder}: none of its {len(paths)} checkpoints can be read; remove them to start again")
    return None


def check_same_recipe(written: str, recipe: Recipe, folder: Path) -> None:
    """MemvitError with the keys that differ, if the run in `folder` was started with another recipe."""
    from omegaconf import OmegaConf

    from memvit.training.recipe_file import recipe_yaml

    before, now = _flat(OmegaConf.create(written)), _flat(OmegaConf.create(recipe_yaml(recipe)))
    for key in FREE_TO_CHANGE:
        before.pop(f"run.{key}", None)
        now.pop(f"run.{key}", None)
    differing = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if differing:
        key = differing[0]
        raise MemvitError(
            f"{folder}: a run of another recipe is in this folder ({key} was {before.get(key)!r}, is {now.get(key)!r}"
            f"{f', and {len(differing) - 1} more' if len(differing) > 1 else ''}); choose another folder with run.out=…"
        )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(node) if not isinstance(node, dict) else node
    assert isinstance(plain, dict)
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        name = prefix + str(key)
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
