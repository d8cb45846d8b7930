"""Sequential training on a real data set in AVA's format: memory, resume, several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.training.actions import ActionTask
from memvit.training.loop import StepDone
from memvit.training.recipe import ActionRecipe, load_recipe
from memvit.training.run_state import last_run, run_checkpoints
from memvit.training.world import World
from pipelines.train import build_task
from tests.processes import Command, wait_for

from .runs import losses, trainer_of, weights

CONFIG = Path(__file__).parents[2] / "configs" / "long_cue" / "tiny.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    scenes = [Scene(seed, actors=2 + seed % 2, seconds=6 + seed % 3, width=64, height=64) for seed in range(5)]
    write_long_cue(folder, {"train": scenes, "val": scenes[:2]})
    return folder


def overrides(data: Path, out: Path) -> list[str]:
    return [
        f"data.videos={data}/videos",
        f"data.train_boxes=[{data}/train.csv]",
        f"data.val_groundtruth={data}/val.csv",
        f"data.label_map={data}/saw.pbtxt",
        f"data.labels={data}/actions.pbtxt",
        f"run.out={out}",
        "run.batch_size=2",
        "schedule.epochs=2",
        "schedule.warmup_epochs=1",
        "model.reads=[1,3]",
    ]


def recipe_of(data: Path, out: Path, *more: str) -> ActionRecipe:
    recipe = load_recipe(CONFIG, overrides(data, out) + list(more))
    assert isinstance(recipe, ActionRecipe)
    return recipe


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    state = trainer_of(recipe_of(data, out)).run()
    assert state.epoch == 2 and 0 <= state.metrics["mAP"] <= 1
    return out


@pytest.mark.parametrize("stop_after", [3, 20])
def test_resumed_with_its_memory_is_uninterrupted(
    stop_after: int, data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(data, tmp_path / "run")
    steps: list[StepDone] = []
    trainer_of(recipe).run(
        lambda event: steps.append(event) if isinstance(event, StepDone) else None, lambda: len(steps) >= stop_after
    )
    content = last_run(tmp_path / "run")
    assert content is not None and content["tasks"][0]["memory"] is not None
    trainer_of(recipe).run()
    assert losses(tmp_path / "run") == losses(uninterrupted)
    before, after = weights(uninterrupted), weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_killed_and_resumed_is_uninterrupted(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", CONFIG, *overrides(data, out), "run.checkpoint_every_steps=2"]
    command = Command(words)
    wait_for(lambda: run_checkpoints(out))
    command.kill()
    assert run_checkpoints(out) and len(losses(out)) < len(losses(uninterrupted))
    code, output = Command(words).finish(300)
    assert code == 0, output
    assert losses(out) == losses(uninterrupted)
    before, after = weights(uninterrupted), weights(out)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("reads", ["[1]", "[2,4]", "[1,2,4]"])
def test_compression_learns_whatever_is_read(reads: str, data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(data, tmp_path, f"model.reads={reads}")
    task, _ = build_task(recipe, World())
    batches = task.batches(0, 0)
    task.model.train()
    for _ in range(6):
        task.model.zero_grad()
        loss, _ = task.loss(task.model, next(batches))
        loss.backward()
    reading = [f"blocks.{layer}." for layer in task.model.config.memory.layers]  # the others own theirs but use none
    gradients = {
        name: p.grad
        for name, p in task.model.named_parameters()
        if "compress" in name and any(block in name for block in reading)
    }
    assert len(gradients) == 6 * len(reading)
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())


def test_a_lane_forgets_at_the_end_of_its_video(data: Path, tmp_path: Path) -> None:
    task, _ = build_task(recipe_of(data, tmp_path, "run.batch_size=1"), World())
    assert isinstance(task, ActionTask)
    batches = task.batches(0, 0)
    seen: dict[str, float] = {}
    with torch.no_grad():
        for _ in range(task.batches_per_epoch):
            batch = next(batches)
            loss, _ = task.loss(task.model, batch)
            if batch.begins[0]:
                seen[batch.names[0]] = float(loss)
        for name, loss_after_others in seen.items():
            task.memory = None
            place = next(step for step, batch in enumerate(task.batches(0, 0)) if batch.names[0] == name)
            alone, _ = task.loss(task.model, next(task.batches(0, place)))
            assert float(alone) == pytest.approx(loss_after_others, abs=1e-6)
    assert len(seen) == 5


def test_crop_and_flip_are_the_same_all_through_a_video(data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(data, tmp_path, "augment.short_side=[80,100]", "run.batch_size=1", "augment.perturb_frames=true")
    task, _ = build_task(recipe, World())
    batches = task.batches(0, 0)
    first = [next(batches) for _ in range(5)]
    again = task.batches(0, 0)
    for batch in first:
        repeated = next(again)
        assert torch.equal(batch.frames, repeated.frames) and torch.equal(batch.boxes[0], repeated.boxes[0])
        assert batch.frames.shape[2:4] == (64, 64)
        assert all(((box >= 0) & (box <= 64)).all() for box in batch.boxes)
    # The ground does not move: a pixel that no actor passes is the same in every clip of the video.
    stack = torch.stack([batch.frames.float() for batch in first])
    assert (stack.std(dim=(0, 2)).mean(-1) < 6).float().mean() > 0.3


def test_two_workers_learn_what_one_learns(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    plain = ["model.dropout=0", "model.drop_path=0", "run.evaluate_every_epochs=0", "schedule.epochs=1"]
    trainer_of(recipe_of(data, tmp_path / "one", *plain)).run()
    # Relative paths, which mean the folder of the command, not that of a worker.
    words = [word.replace(f"{tmp_path}/", "") for word in overrides(data, tmp_path / "two")]
    words = [word.replace(str(data), os.path.relpath(data, tmp_path)) for word in words]
    command = [sys.executable, "-m", "pipelines.cli", "train", str(CONFIG), *words, *plain, "--workers", "2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONFIG.parents[2])}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout).keys() == {"mAP"}
    said = [line.split(":")[0] for line in done.stderr.splitlines() if not line.startswith("step ")]
    assert said == ["starting 2 workers", "weights are new", "epoch 1/1", "the model", "done"], done.stderr
    assert not (tmp_path / "two" / "ray").exists()
    assert [loss for _, loss in losses(tmp_path / "two")] == pytest.approx(
        [loss for _, loss in losses(tmp_path / "one")], rel=1e-3
    )
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert apart < 1e-3
