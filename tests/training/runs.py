"""Runs for tests: a trainer from a recipe, and what a run left behind."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from memvit.training.loop import Trainer
from memvit.training.recipe import Recipe
from memvit.training.run_state import last_run
from memvit.training.world import World
from pipelines.train.run import build_task


def trainer_of(recipe: Recipe) -> Trainer:
    task, _ = build_task(recipe, World())
    return Trainer(task, recipe, device=torch.device("cpu"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the last checkpoint."""
    content = last_run(folder)
    assert content is not None
    return content["model"]


def losses(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) as logged."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["total_steps"], line["loss"]) for line in lines if "loss" in line]
