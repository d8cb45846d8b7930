"""Sequential training on a real data set in AVA's format: memory, resume, several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from memvit.datasets.ava import Keyframe
from memvit.datasets.lanes import LaneStep
from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models.zoo import VIDEO
from memvit.training.actions import ActionTask
from memvit.training.lane_augment import LaneAugmentation
from memvit.training.loop import StepDone
from memvit.training.recipe import ActionAugmentation, ActionRecipe, ModelChoice
from memvit.training.recipe_file import load_recipe
from memvit.training.run_state import last_run, run_checkpoints
from memvit.training.world import World
from memvit.types import Clip, MemvitError, PersonBoxes
from pipelines.train.run import adjusted, build_task
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


@pytest.mark.parametrize("stop_after", [pytest.param(3, marks=pytest.mark.slow), 20])
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


@pytest.mark.slow  # Ray and its workers take most of a minute; test_workers.py compares processes without Ray
@pytest.mark.timeout(600)
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


def test_box_dropout_of_a_recipe_reaches_the_model(data: Path, tmp_path: Path) -> None:
    rates = ["model.box_attention_dropout=0.5", "model.box_qkv_dropout=0.3", "model.box_dropout=0.2"]
    task, _ = build_task(recipe_of(data, tmp_path, *rates), World())
    block = task.model.head.box_blocks[0]
    assert (block.attn.attention_dropout, block.attn.qkv_dropout.p) == (0.5, 0.3)
    assert (block.attn.output_dropout.p, block.mlp.dropout) == (0.2, 0.2)


def test_box_dropout_of_a_model_without_boxes_is_refused() -> None:
    with pytest.raises(MemvitError, match=r"model\.box_dropout=0\.3: mvitv2_s_16x4\.k400 has no attention among boxes"):
        adjusted(VIDEO, ModelChoice(box_dropout=0.3))


def lane_step(width: int, height: int, xyxy: list[list[float]]) -> LaneStep:
    """A clip of two frames with people at these parts of the frame."""
    boxes = PersonBoxes(np.array(xyxy, dtype=np.float32), np.ones(len(xyxy), dtype=np.float32))
    frames = np.full((2, height, width, 3), 200, dtype=np.uint8)
    return LaneStep(
        "a", Keyframe(1, boxes, np.eye(len(xyxy), 8, dtype=np.float32)), Clip("a", 0, 1.0, 0.0, 2.0, frames)
    )


def test_people_of_whom_the_crop_shows_little_stay() -> None:
    """A box that the crop leaves 0.4 pixels of, and one outside of it, as in the reference."""
    step = lane_step(100, 64, [[0.2, 0.1, 0.9, 0.9], [0.5, 0.2, 0.504, 0.8], [0.0, 0.0, 0.01, 1.0]])
    for seed in range(8):
        augment = LaneAugmentation(ActionAugmentation(flip=0.5), 64, seed, 0)
        frames, boxes, labels = augment(step)
        assert frames.shape == (2, 64, 64, 3)
        assert boxes.shape == (3, 4) and torch.equal(labels, torch.eye(3, 8))
        assert ((boxes >= 0) & (boxes <= 63)).all() and (boxes[:, 2:] >= boxes[:, :2]).all()


def test_boxes_of_a_mirror_image_are_mirrored_between_first_and_last_pixel() -> None:
    step = lane_step(64, 64, [[0.25, 0.5, 0.5, 1.0]])
    (plain, mirrored) = (LaneAugmentation(ActionAugmentation(flip=flip), 64, 0, 0)(step)[1] for flip in (0.0, 1.0))
    assert plain.tolist() == [[16, 32, 32, 63]]
    assert mirrored.tolist() == [[63 - 32, 32, 63 - 16, 63]]


def test_color_noise_is_one_colour_a_clip() -> None:
    step = lane_step(64, 64, [[0.25, 0.5, 0.5, 1.0]])
    grey = ActionAugmentation(color_noise=0.1)
    first, again, other = (LaneAugmentation(grey, 64, seed, 0)(step)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    colour = first[0, 0, 0]
    assert (first == colour).all() and not (colour == 200).all()


@pytest.mark.parametrize(("interval", "expected"), [(4, {-2, -1, 0, 1}), (3, {-2, -1, 0}), (2, {-1, 0}), (1, {0})])
def test_frames_are_moved_by_whole_frames(interval: int, expected: set[int]) -> None:
    augment = LaneAugmentation(ActionAugmentation(perturb_frames=True), 64, 0, 0)
    moves = [[move * 30 for move in augment.perturb("a", 6, interval, number)] for number in range(200)]
    assert {round(move) for of_clip in moves for move in of_clip[1:-1]} == expected
    assert all(move == pytest.approx(round(move), abs=1e-9) for of_clip in moves for move in of_clip)
    assert {round(of_clip[0]) for of_clip in moves} == {move for move in expected if move >= 0}
    assert {round(of_clip[-1]) for of_clip in moves} == ({move for move in expected if move < 0} or {0})


@pytest.fixture(scope="module")
def wide_and_narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    sizes = [(64, 64), (96, 64), (64, 80)]
    scenes = [Scene(place, actors=2, seconds=5, width=w, height=h) for place, (w, h) in enumerate(sizes)]
    write_long_cue(folder, {"train": scenes, "val": scenes[:1]})
    return folder


@pytest.mark.parametrize("lanes", [1, 2])
def test_whole_frames_of_different_sizes_are_padded_to_one(lanes: int, wide_and_narrow: Path, tmp_path: Path) -> None:
    recipe = recipe_of(wide_and_narrow, tmp_path, "augment.crop=0", f"run.batch_size={lanes}")
    task, _ = build_task(recipe, World())
    assert isinstance(task, ActionTask)
    batches = task.batches(0, 0)
    seen = set()
    with torch.no_grad():
        for _ in range(task.batches_per_epoch):
            batch = next(batches)
            assert batch.frames.shape[2:4] == (80, 96)
            assert torch.isfinite(task.loss(task.model, batch)[0])
            for frames in batch.frames:
                lit = frames.float().mean((0, 3)) > 20
                seen.add((int(lit.any(1).sum()), int(lit.any(0).sum())))
    assert {(64, 64), (64, 96), (80, 64)} <= seen, seen
