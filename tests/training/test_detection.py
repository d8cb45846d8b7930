"""Detectors in the loop: a run that goes on is a whole run, and two processes learn what one does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memvit.datasets.shapes import write_shapes
from memvit.detection.checkpoints import load_weights, read_categories
from memvit.detection.create import load_detector, open_detector
from memvit.models import CheckpointError
from memvit.training.loop import StepDone
from memvit.training.recipe import DetectionRecipe
from memvit.training.recipe_file import load_recipe
from memvit.training.run_state import run_checkpoints
from memvit.training.world import World
from memvit.types import MemvitError
from pipelines.train.run import build_task, train
from tests.processes import Command, wait_for

from .runs import losses, trainer_of, weights
from .worlds import in_processes

CONFIG = Path(__file__).parents[2] / "configs" / "shapes.yaml"
NAMES = ("disc", "square", "triangle", "ring")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder / "train", 8, seed=0)
    write_shapes(folder / "val", 3, seed=100)
    return folder


def overrides(shapes: Path, out: Path) -> list[str]:
    return [
        f"data.train={shapes}/train/instances.json",
        f"data.train_pictures={shapes}/train/pictures",
        f"data.val={shapes}/val/instances.json",
        f"data.val_pictures={shapes}/val/pictures",
        "data.short_side=64",
        "augment.short_sides=[64]",
        f"run.out={out}",
        "run.batch_size=4",
        "model.boxes=16",
        "model.proposals=20",
        "model.proposals_per_level=50",
        "model.drop_path=0.1",
        "schedule.epochs=2",
    ]


def recipe_of(shapes: Path, out: Path, *more: str) -> DetectionRecipe:
    recipe = load_recipe(CONFIG, overrides(shapes, out) + list(more))
    assert isinstance(recipe, DetectionRecipe)
    return recipe


@pytest.fixture(scope="module")
def uninterrupted(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    state, interrupted = train(recipe_of(shapes, out), lambda event: None, lambda note: None)
    assert (state.epoch, state.total_steps, interrupted) == (2, 4, False)
    assert set(state.metrics) == {"box_ap", "mask_ap"}
    return out


def same_run(one: Path, other: Path) -> bool:
    before, after = weights(one), weights(other)
    return losses(one) == losses(other) and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_interrupted_and_resumed_is_uninterrupted(
    stop_after: int, shapes: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    recipe, steps = recipe_of(shapes, tmp_path / "run"), list[StepDone]()
    trainer_of(recipe).run(
        lambda event: steps.append(event) if isinstance(event, StepDone) else None, lambda: len(steps) >= stop_after
    )
    assert len(steps) == stop_after
    trainer_of(recipe).run()
    assert same_run(uninterrupted, tmp_path / "run")


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted(shapes: Path, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", CONFIG, *overrides(shapes, out), "run.checkpoint_every_steps=1"]
    command = Command(words)
    wait_for(lambda: run_checkpoints(out))
    command.kill()
    assert not (out / "checkpoint-00000004.pt").exists()
    code, output = Command([*words, "--json"]).finish(300)
    assert code == 0 and "going on from epoch" in output, output
    assert same_run(uninterrupted, out)


def in_two(shapes: Path, folder: Path) -> dict[str, float]:
    recipe = recipe_of(shapes, folder, "model.name=cascade_mask_rcnn_mvitv2_tiny", "model.drop_path=0")
    return train(recipe, lambda event: None, lambda note: None)[0].metrics


@pytest.mark.slow
def test_two_processes_learn_and_measure_what_one_does(shapes: Path, tmp_path: Path) -> None:
    """With a cascade, whose batch norms see the boxes of both processes."""
    alone = in_two(shapes, tmp_path / "one")
    first, second = in_processes(2, tmp_path / "world", in_two, shapes, tmp_path / "two")
    assert first == second == pytest.approx(alone, abs=1.0)
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected], rel=2e-3)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    name = "box_heads.0.convs.0.norm.running_var"
    torch.testing.assert_close(one[name], two[name], rtol=1e-2, atol=1e-4)


def test_what_is_trained_names_its_classes(uninterrupted: Path) -> None:
    path = uninterrupted / "model.safetensors"
    categories = read_categories(path)
    assert categories is not None and (categories.ids, categories.names) == ((1, 2, 3, 4), NAMES)
    detector = open_detector("mask_rcnn_mvitv2_tiny", path)
    assert detector.network.config.num_classes == 4 and detector.categories == categories
    assert torch.equal(
        detector.network.state_dict()["fpn.lateral.0.bias"], weights(uninterrupted)["fpn.lateral.0.bias"]
    )


def test_weights_of_other_classes_stay_new_where_that_is_asked_for(uninterrupted: Path, shapes: Path) -> None:
    path = uninterrupted / "model.safetensors"
    detector, report = load_detector("mask_rcnn_mvitv2_tiny", checkpoint=path, num_classes=7)
    assert report is not None and len(report.new) == 6 and detector.network.config.num_classes == 7
    fresh, _ = load_detector("mask_rcnn_mvitv2_tiny")
    with pytest.raises(CheckpointError, match="box_heads"):
        load_weights(fresh.network, path)


def test_a_damaged_description_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    content = (uninterrupted / "model.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(content.replace(b"[1, 2, 3, 4]", b"[1, 2, 3   ]"))
    with pytest.raises(CheckpointError, match="what it says of its classes is damaged"):
        open_detector("mask_rcnn_mvitv2_tiny", path)


def test_a_broken_picture_is_replaced(shapes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = shapes / "train" / "pictures" / "000003.png"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    try:
        trainer_of(recipe_of(shapes, tmp_path / "run", "schedule.epochs=1")).run()
    finally:
        path.write_bytes(content)
    assert "000003.png" in caplog.text and "stands in" in caplog.text


def test_data_without_masks_train_boxes(shapes: Path, tmp_path: Path) -> None:
    content = json.loads((shapes / "train" / "instances.json").read_text())
    for row in content["annotations"]:
        del row["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    recipe = recipe_of(shapes, tmp_path / "run", f"data.train={tmp_path}/boxes.json", "schedule.epochs=1")
    recipe = replace(recipe, data=replace(recipe.data, val=""))
    before = build_task(recipe, World())[0].model.state_dict()
    assert set(trainer_of(recipe).run().metrics) == {"box_ap"}
    after = weights(tmp_path / "run")
    assert torch.equal(before["mask_head.predictor.weight"], after["mask_head.predictor.weight"])
    assert not torch.equal(before["fpn.lateral.0.weight"], after["fpn.lateral.0.weight"])


def test_the_wrong_number_of_classes_is_said(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"pass model\.num_classes=4"):
        trainer_of(recipe_of(shapes, tmp_path, "model.num_classes=null"))


def test_large_scale_jitter_trains(shapes: Path, tmp_path: Path) -> None:
    jitter = ["augment.kind=large_scale_jitter", "augment.side=64", "schedule.epochs=1", "run.precision=bfloat16"]
    state = trainer_of(recipe_of(shapes, tmp_path / "run", *jitter)).run()
    assert state.total_steps == 2 and all(value.dtype != torch.bfloat16 for value in weights(tmp_path / "run").values())
