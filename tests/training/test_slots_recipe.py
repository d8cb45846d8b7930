"""MeMViT-16 with slots is trained on from the published layout of a model that reads clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models import MeMViT, load_model
from memvit.models.zoo import ARCHITECTURES
from memvit.training.recipe import ActionRecipe
from memvit.training.recipe_file import load_recipe

from .runs import losses, trainer_of, weights

CONFIG = Path(__file__).parents[2] / "configs" / "ava" / "memvit_16_slots.yaml"


def in_slots(file: Path) -> MeMViT:
    """The tiny model with slots, from a file of one that reads clips."""
    plan = ARCHITECTURES["memvit_tiny_8x4"].memory
    assert plan is not None
    memory = replace(plan, kind="slots", reads=(), slots=4)
    model, report = load_model(
        "memvit_tiny_8x4", checkpoint=file, num_classes=80, change=lambda config: replace(config, memory=memory)
    )
    assert isinstance(model, MeMViT) and report is not None
    assert {name.split(".")[0] for name in report.new} == {"layer_scores", "box_scores"}
    return model.eval()


def test_new_scores_make_means(tiny_file: Path) -> None:
    """The oldest slot after six clips holds the first two of them, and a row of it both boxes of a person."""
    model, memory = in_slots(tiny_file), None
    kept = []
    for index in range(6):
        clip = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(index))
        boxes = [torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]])]
        _, memory = model(clip, boxes, memory, persons=[[1, 2]])
        kept.append((memory.layers[0].compressed.keys[:, -1].clone(), memory.boxes[0][:, -1].clone()))
    assert memory is not None
    torch.testing.assert_close(memory.layers[0].compressed.keys[:, 0], (kept[0][0] + kept[1][0]) / 2)
    torch.testing.assert_close(memory.boxes[0][:, 0, :2], (kept[0][1] + kept[1][1])[:, :2] / 2)
    queries = model.box_scores[0].weight[1:]
    assert queries.unique(dim=0).shape == queries.shape  # equal ones could never become different


@pytest.mark.slow
def test_a_few_steps_from_official_weights(memvit_16_file: Path, tmp_path: Path) -> None:
    scenes = [Scene(seed, seconds=6, width=96, height=64) for seed in range(2)]
    write_long_cue(tmp_path / "data", {"train": scenes, "val": scenes[:1]})
    data = tmp_path / "data"
    more = [
        f"model.checkpoint={memvit_16_file}", f"data.videos={data}/videos", "data.frames=null", "data.frame_lists=[]",
        f"data.train_boxes=[{data}/train.csv]", "data.train_predicted=[]", f"data.val_groundtruth={data}/val.csv",
        "data.val_boxes=null", "data.val_exclusions=null", "augment.short_side=[64,64]", "augment.crop=64",
        "schedule.epochs=1", "schedule.warmup_epochs=0.5", "run.batch_size=2", "run.precision=float32",
        "run.evaluate_every_epochs=0", f"run.out={tmp_path / 'run'}",
    ]  # fmt: skip
    recipe = load_recipe(CONFIG, more)
    assert isinstance(recipe, ActionRecipe)
    state = trainer_of(recipe).run()
    found = losses(tmp_path / "run")
    assert state.epoch == 1 and len(found) == 5 and all(0 < loss < 5 for _, loss in found)
    trained = weights(tmp_path / "run")
    assert all(trained[f"layer_scores.{place}.weight"].abs().max() > 0 for place in range(8))
    assert trained["box_scores.0.weight"][0].abs().max() > 0
