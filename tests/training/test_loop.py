"""The loop on real videos: it learns, goes on exactly after an interruption, and stops when the loss breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memvit.datasets.motion import DIRECTIONS, write_motion_set
from memvit.training.loop import Resumed, Started, StepDone
from memvit.training.recipe import ClassificationRecipe
from memvit.training.recipe_file import load_recipe
from memvit.training.run_state import run_checkpoints
from memvit.types import MemvitError
from pipelines.train.run import train
from tests.processes import Command, wait_for

from .runs import losses, trainer_of, weights

CONFIG = Path(__file__).parents[2] / "configs" / "motion.yaml"


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    write_motion_set(folder / "train", 16, seed=0)
    write_motion_set(folder / "val", 8, seed=1000)
    (folder / "labels.txt").write_text("\n".join(DIRECTIONS))
    return folder


def overrides(motion: Path, out: Path) -> list[str]:
    return [
        f"data.train={motion}/train/list.txt",
        f"data.val={motion}/val/list.txt",
        f"data.labels={motion}/labels.txt",
        f"run.out={out}",
        "run.batch_size=4",
        "run.loader_workers=0",
        "schedule.epochs=2",
        "schedule.warmup_epochs=1",
        "model.drop_path=0.1",
        "model.dropout=0.1",
        "augment.mixup=0.5",
    ]


def recipe_of(motion: Path, out: Path, *more: str) -> ClassificationRecipe:
    recipe = load_recipe(CONFIG, overrides(motion, out) + list(more))
    assert isinstance(recipe, ClassificationRecipe)
    return recipe


@pytest.fixture(scope="module")
def uninterrupted(motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    state = trainer_of(recipe_of(motion, out)).run()
    assert (state.epoch, state.total_steps) == (2, 8)
    assert set(state.metrics) == {"top1", "top5"}
    return out


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_interrupted_and_resumed_is_uninterrupted(
    stop_after: int, motion: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(motion, tmp_path / "run")
    steps: list[StepDone] = []
    trainer_of(recipe).run(
        lambda event: steps.append(event) if isinstance(event, StepDone) else None, lambda: len(steps) >= stop_after
    )
    assert len(steps) == stop_after
    trainer_of(recipe).run()
    assert losses(tmp_path / "run") == losses(uninterrupted)
    before, after = weights(uninterrupted), weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_killed_and_resumed_is_uninterrupted(motion: Path, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", CONFIG, *overrides(motion, out), "run.checkpoint_every_steps=1"]
    command = Command(words)
    wait_for(lambda: run_checkpoints(out))
    command.kill()
    assert run_checkpoints(out), "killed before its end, after a checkpoint"
    assert not (out / "checkpoint-00000008.pt").exists()
    code, output = Command([*words, "--json"]).finish(300)
    assert code == 0 and "going on from epoch" in output, output
    assert set(json.loads(output[output.rindex("{") : output.rindex("}") + 1])) == {"top1", "top5"}
    assert losses(out) == losses(uninterrupted)
    before, after = weights(uninterrupted), weights(out)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_cut_off_checkpoint_is_passed_over(motion: Path, uninterrupted: Path, tmp_path: Path) -> None:
    recipe = recipe_of(motion, tmp_path / "run", "run.checkpoint_every_steps=1")
    steps: list[StepDone] = []
    trainer_of(recipe).run(
        lambda event: steps.append(event) if isinstance(event, StepDone) else None, lambda: len(steps) >= 3
    )
    newest = run_checkpoints(tmp_path / "run")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    trainer_of(recipe).run()
    assert losses(tmp_path / "run") == losses(uninterrupted)


def test_another_recipe_in_the_same_folder_is_refused(motion: Path, uninterrupted: Path) -> None:
    recipe = recipe_of(motion, uninterrupted, "optimizer.learning_rate=0.5")
    with pytest.raises(MemvitError, match=r"optimizer.learning_rate was 0.001, is 0.5"):
        trainer_of(recipe).run()


def test_a_loss_that_is_not_finite_stops_the_run(motion: Path, tmp_path: Path) -> None:
    trainer = trainer_of(recipe_of(motion, tmp_path / "run"))
    with torch.no_grad():
        trainer.task.model.head.projection.bias.fill_(float("nan"))
    with pytest.raises(MemvitError, match=r"not finite in epoch 0, step 0.*not-finite-rank0\.json"):
        trainer.run()
    saved = json.loads((tmp_path / "run" / "not-finite-rank0.json").read_text())
    assert len(saved["samples"]) == 4 and all(name.endswith(".mp4") for name in saved["samples"])


def test_accumulated_batches_are_one_larger_batch(motion: Path, tmp_path: Path) -> None:
    plain = ["augment.mixup=0", "model.drop_path=0", "model.dropout=0", "schedule.epochs=1"]
    trainer_of(recipe_of(motion, tmp_path / "one", *plain, "run.batch_size=8")).run()
    trainer_of(recipe_of(motion, tmp_path / "two", *plain, "run.batch_size=4", "run.accumulate=2")).run()
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-5, rtol=1e-3)


def test_more_accumulated_batches_than_an_epoch_has_are_refused(motion: Path, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"run.accumulate=9 is more than the 4 batches of an epoch"):
        trainer_of(recipe_of(motion, tmp_path / "run", "run.accumulate=9"))


def test_what_a_run_says_of_its_beginning(motion: Path, uninterrupted: Path, tmp_path: Path) -> None:
    new, again = list[object](), list[object]()
    train(recipe_of(motion, tmp_path / "run"), new.append, new.append, lambda: True)
    train(recipe_of(motion, uninterrupted), again.append, again.append)
    assert new[:2] == ["weights are new", Started()], "and one step, after which it stops"
    assert again[0] == Resumed(epoch=2, step=0, steps_per_epoch=4, total_steps=8)
    assert "weights are new" not in again


@pytest.mark.parametrize("change", ["run.activation_checkpointing=true", "run.loader_workers=2"])
def test_what_only_changes_how_a_run_happens(change: str, motion: Path, uninterrupted: Path, tmp_path: Path) -> None:
    trainer_of(recipe_of(motion, tmp_path / "run", change)).run()
    assert [loss for _, loss in losses(tmp_path / "run")] == pytest.approx([loss for _, loss in losses(uninterrupted)])


def test_bfloat16_trains(motion: Path, tmp_path: Path) -> None:
    recipe = recipe_of(motion, tmp_path / "run", "run.precision=bfloat16", "schedule.epochs=1")
    trainer_of(recipe).run()
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "run").values())


def test_a_broken_video_is_replaced_and_a_broken_checkpoint_folder_is_said(
    motion: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listing = motion / "train" / "broken.txt"
    (motion / "train" / "broken.mp4").write_bytes(b"no video")
    listing.write_text("broken.mp4 0\n" + (motion / "train" / "list.txt").read_text())
    recipe = replace(recipe_of(motion, tmp_path / "run", f"data.train={listing}", "schedule.epochs=1"))
    trainer_of(recipe).run()
    assert "broken.mp4" in caplog.text and "stands in" in caplog.text
    for path in run_checkpoints(tmp_path / "run"):
        path.write_bytes(b"")
    with pytest.raises(MemvitError, match="can be read; remove them to start again"):
        trainer_of(recipe).run()
