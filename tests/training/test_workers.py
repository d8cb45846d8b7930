"""A run of two processes learns and measures what a run of one does, and either goes on where the other ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models import Memory
from memvit.training import actions
from memvit.training.loop import StepDone
from memvit.training.recipe import ActionRecipe
from memvit.training.recipe_file import load_recipe
from memvit.training.world import World
from memvit.types import MemvitError
from pipelines.train.run import build_task, train

from .runs import losses, weights
from .worlds import in_processes

CONFIG = Path(__file__).parents[2] / "configs" / "long_cue" / "tiny.yaml"
STOP_AFTER = 4


def recipe_of(data: Path, out: Path, *more: str) -> ActionRecipe:
    recipe = load_recipe(
        CONFIG,
        [
            f"data.videos={data}/videos",
            f"data.train_boxes=[{data}/train.csv]",
            f"data.val_groundtruth={data}/val.csv",
            f"data.label_map={data}/saw.pbtxt",
            f"data.labels={data}/actions.pbtxt",
            f"run.out={out}",
            "run.batch_size=3",  # two lanes for one process and one for the other
            "run.evaluate_every_epochs=0",
            "schedule.epochs=1",
            "schedule.warmup_epochs=0.5",
            "model.reads=[1,3]",
            "model.dropout=0",
            *more,
        ],
    )
    assert isinstance(recipe, ActionRecipe)
    return recipe


@dataclass(frozen=True)
class Ran:
    """What became of a run, in one process."""

    metrics: dict[str, float]
    tested: list[str]
    """Videos that this process tested."""


def run(recipe: ActionRecipe, stop_after: int | None = None) -> Ran:
    """`train`, with a stop after some steps."""
    tested: list[str] = []
    steps: list[StepDone] = []
    score = actions.score_keyframes

    def scored(model: Any, preprocessing: Any, videos: Any, *rest: Any) -> Any:
        tested.extend(video.name for video in videos)
        return score(model, preprocessing, videos, *rest)

    actions.score_keyframes = scored
    try:
        state, _ = train(
            recipe,
            lambda event: steps.append(event) if isinstance(event, StepDone) else None,
            lambda note: None,
            lambda: len(steps) == stop_after,
        )
    finally:
        actions.score_keyframes = score
    return Ran(state.metrics, tested)


def both(data: Path, folder: Path) -> list[Ran]:
    """In each of two processes: a whole run, one that stops, and the rest of one that one process began."""
    return [
        run(recipe_of(data, folder / "two")),
        run(recipe_of(data, folder / "two then one"), STOP_AFTER),
        run(recipe_of(data, folder / "one then two")),
    ]


@dataclass(frozen=True)
class Runs:
    """All runs of this file."""

    folder: Path
    one: Ran
    by_rank: list[list[Ran]]
    second_half_alone: Ran


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    scenes = [Scene(seed, actors=2, seconds=5 + seed % 3, width=64, height=64) for seed in range(4)]
    write_long_cue(folder, {"train": scenes, "val": scenes[:3]})
    return folder


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    one = run(recipe_of(data, folder / "one"))
    run(recipe_of(data, folder / "one then two"), STOP_AFTER)
    by_rank = in_processes(2, folder / "world", both, data, folder)
    return Runs(folder, one, by_rank, run(recipe_of(data, folder / "two then one")))


@pytest.mark.parametrize("name", ["two", "two then one", "one then two"])
def test_any_number_of_processes_learns_the_same(name: str, runs: Runs) -> None:
    expected, found = losses(runs.folder / "one"), losses(runs.folder / name)
    assert len(expected) > STOP_AFTER + 2
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected], rel=1e-4)
    one, other = weights(runs.folder / "one"), weights(runs.folder / name)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-4


def test_every_process_tests_its_share_and_all_know_the_result(runs: Runs) -> None:
    first, second = (runs_of_rank[0] for runs_of_rank in runs.by_rank)
    assert sorted(first.tested + second.tested) == sorted(runs.one.tested) and len(runs.one.tested) == 3
    assert {len(first.tested), len(second.tested)} == {1, 2}
    assert first.metrics == second.metrics
    assert first.metrics["mAP"] == pytest.approx(runs.one.metrics["mAP"], abs=0.01)
    assert runs.second_half_alone.metrics["mAP"] == pytest.approx(runs.one.metrics["mAP"], abs=0.01)


def test_memory_leaves_a_process_on_the_cpu(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA tensor that is pickled for another process names a device which that process may not use."""
    task, _ = build_task(recipe_of(data, tmp_path), World())
    assert isinstance(task, actions.ActionTask)
    with torch.no_grad():
        task.loss(task.model, next(task.batches(0, 0)))
    moved: list[str] = []
    move = Memory.to
    monkeypatch.setattr(Memory, "to", lambda memory, device: moved.append(str(device)) or move(memory, device))
    state = task.state_dict()
    assert moved == ["cpu"]
    task.load_state_dicts([state])
    assert task.memory is not None and task.memory.batch_size == 3


def test_lanes_of_other_shapes_cannot_change_processes(data: Path, tmp_path: Path) -> None:
    task, _ = build_task(recipe_of(data, tmp_path), World())
    assert isinstance(task, actions.ActionTask)
    with torch.no_grad():
        task.loss(task.model, next(task.batches(0, 0)))
    state = task.state_dict()["memory"]
    other = {**state, "boxes.0": state["boxes.0"][:, :, :1]}
    with pytest.raises(MemvitError, match="go on with 2 processes"):
        task.load_state_dicts([{"memory": state}, {"memory": other}])
