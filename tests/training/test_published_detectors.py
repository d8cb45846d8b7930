"""The recipes of `configs/coco/` against the published ones, key by key.

Published: projects/MViTv2/configs (facebookresearch/detectron2), with the defaults of its models and loaders.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from memvit.detection import DETECTORS
from memvit.detection.learning import LearningNetwork
from memvit.detection.learning.network import OVERLAPS
from memvit.training.optimizer import build_optimizer, learning_rate
from memvit.training.recipe import DetectionRecipe
from memvit.training.recipe_file import load_recipe

CONFIGS = Path(__file__).parents[2] / "configs" / "coco"
EPOCH_STEPS = 117_266 // 64
"""Steps of an epoch: pictures of train2017 with objects, 64 at a time."""
Row = tuple[str, Any, str]
"""Our key, the value, and the official key with what was done to its value."""


def model(name: str, drop_path: float) -> list[Row]:
    return [
        ("model.name", name, "the file's name"),
        ("model.pretrained_backbone", True, "train.init_checkpoint"),
        ("network.backbone.drop_path", drop_path, "model.backbone.bottom_up.drop_path_rate"),
        ("model.proposals_per_level", 2000, "proposal_generator.pre_nms_topk"),
        ("model.proposals", 1000, "proposal_generator.post_nms_topk"),
        ("model.boxes", 512, "roi_heads.batch_size_per_image"),
    ]


MULTI_SCALE: list[Row] = [
    ("augment.kind", "multi_scale", "T.ResizeShortestEdge"),
    ("augment.short_sides", tuple(range(480, 801, 32)), "short_edge_length"),
    ("augment.long_side", 1333, "max_size"),
    ("augment.crop", 0.5, "T.RandomApply, prob"),
    ("augment.crop_short_sides", (400, 500, 600), "short_edge_length of the first resize"),
    ("augment.crop_sides", (384, 600), "T.RandomCrop, absolute_range"),
    ("augment.flip", 0.5, "T.RandomFlip"),
]
JITTER: list[Row] = [
    ("augment.kind", "large_scale_jitter", "T.ResizeScale, T.FixedSizeCrop"),
    ("augment.side", 1024, "target_height, target_width, crop_size"),
    ("augment.jitter", (0.1, 2.0), "min_scale, max_scale"),
    ("augment.flip", 0.5, "T.RandomFlip"),
]


def run(rate: float, epochs: int, drops: tuple[int, int], last: int) -> list[Row]:
    return [
        ("optimizer.kind", "adamw", "optimizer"),
        ("optimizer.betas", (0.9, 0.999), "optimizer.betas"),
        ("optimizer.learning_rate", rate, "optimizer.lr"),
        ("optimizer.weight_decay", 0.1, "optimizer.weight_decay"),
        ("optimizer.decay_biases", True, "no override for biases"),
        ("optimizer.decay_positions", False, "optimizer.params.overrides, rel_pos"),
        ("optimizer.clip_norm", None, "train.clip_grad is not used"),
        ("schedule.kind", "steps", "MultiStepParamScheduler"),
        ("schedule.epochs", epochs, f"train.max_iter {last}"),
        ("schedule.steps", pytest.approx([drop / last for drop in drops], abs=1e-6), "milestones / num_updates"),
        ("schedule.warmup_epochs", pytest.approx(250 / EPOCH_STEPS, rel=5e-3), "warmup_length × num_updates"),
        ("schedule.warmup_start", rate * 0.001, "warmup_factor × lr"),
        ("run.batch_size", 64, "dataloader.train.total_batch_size"),
    ]


LONG = run(1.6e-4, 36, (52_500, 62_500), 67_500)
PUBLISHED: dict[str, list[Row]] = {
    "mask_rcnn_mvitv2_t": [*model("mask_rcnn_mvitv2_t.coco", 0.2), *MULTI_SCALE, *LONG],
    "cascade_mask_rcnn_mvitv2_t": [*model("cascade_mask_rcnn_mvitv2_t.coco", 0.2), *MULTI_SCALE, *LONG],
    "cascade_mask_rcnn_mvitv2_s": [*model("cascade_mask_rcnn_mvitv2_s.coco", 0.2), *MULTI_SCALE, *LONG],
    "cascade_mask_rcnn_mvitv2_b": [*model("cascade_mask_rcnn_mvitv2_b.coco", 0.4), *MULTI_SCALE, *LONG],
    "cascade_mask_rcnn_mvitv2_b_in21k": [*model("cascade_mask_rcnn_mvitv2_b.coco_in21k", 0.4), *MULTI_SCALE, *LONG],
    "cascade_mask_rcnn_mvitv2_l_in21k": [
        *model("cascade_mask_rcnn_mvitv2_l.coco_in21k", 0.5),
        *JITTER,
        *run(1e-4, 50, (81_944, 88_773), 92_187),
    ],
    "cascade_mask_rcnn_mvitv2_h_in21k": [*model("cascade_mask_rcnn_mvitv2_h.coco_in21k", 0.6), *JITTER, *LONG],
}


@lru_cache
def recipe_of(name: str) -> DetectionRecipe:
    recipe = load_recipe(CONFIGS / f"{name}.yaml")
    assert isinstance(recipe, DetectionRecipe)
    return recipe


def test_every_recipe_is_here() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_published_ones(name: str) -> None:
    recipe, wrong = recipe_of(name), []
    for key, value, official in PUBLISHED[name]:
        first, *rest = key.split(".")
        found: Any = DETECTORS[recipe.model.name].config if first == "network" else getattr(recipe, first)
        for part in rest:
            found = getattr(found, part)
        if found != (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value):
            wrong.append(f"{key} is {found!r}, but {official} is {value!r}")
    assert wrong == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_says_what_is_different_on_purpose(name: str) -> None:
    assert recipe_of(name).run.precision == "bfloat16"
    (line,) = [
        line for line in (CONFIGS / f"{name}.yaml").read_text().splitlines() if line.strip().startswith("precision:")
    ]
    assert "on purpose" in line


def test_norms_and_positions_have_no_decay() -> None:
    with torch.device("meta"):
        network = LearningNetwork(DETECTORS["mask_rcnn_mvitv2_t.coco"].config)
    decayed, free = build_optimizer(network, recipe_of("mask_rcnn_mvitv2_t").optimizer).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert (len(free["params"]), sum(each.numel() for each in free["params"])) == (128, 104_448)
    assert sum(each.numel() for each in decayed["params"]) == 43_679_568 - 104_448


def test_the_rate_falls_to_a_tenth_twice() -> None:
    schedule = recipe_of("mask_rcnn_mvitv2_t").schedule
    parts = {0.0: 1.6e-7, 0.5: 1.6e-4, 0.78: 1.6e-5, 0.93: 1.6e-6}
    for part, rate in parts.items():
        assert learning_rate(part * schedule.epochs, 1.6e-4, schedule) == pytest.approx(rate)
    assert OVERLAPS == (0.5, 0.6, 0.7)
