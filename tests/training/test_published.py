"""The recipes of `configs/` against the published ones, key by key.

Published: MeMViT configs/AVA (facebookresearch/MeMViT), configs/Kinetics and configs/SSv2 (facebookresearch/SlowFast),
configs (facebookresearch/mvit), each with the defaults of its repository. A value that is for one node (shard) there is
for all nodes here, since learning rates are not scaled behind the user's back.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from memvit.models import model_entry
from memvit.training.recipe import Recipe
from memvit.training.recipe_file import load_recipe

CONFIGS = Path(__file__).parents[2] / "configs"

Row = tuple[str, Any, str]
"""Our key, the value, and the official key with what was done to its value. `input.…` is what the model's entry in the
zoo says of its input, `network.…` what it says of its architecture."""


def sgd(learning_rate: float, decay: float, clip: float | None, nodes: int = 1) -> list[Row]:
    return [
        ("optimizer.kind", "sgd", "SOLVER.OPTIMIZING_METHOD"),
        ("optimizer.learning_rate", learning_rate * nodes, f"SOLVER.BASE_LR × {nodes} NUM_SHARDS"),
        ("optimizer.momentum", 0.9, "SOLVER.MOMENTUM, with SOLVER.NESTEROV"),
        ("optimizer.weight_decay", decay, "SOLVER.WEIGHT_DECAY"),
        ("optimizer.decay_positions", True, "not MVIT.ZERO_DECAY_POS_CLS"),
        ("optimizer.clip_norm", clip, "SOLVER.CLIP_GRAD_L2NORM"),
    ]


def adamw(learning_rate: float, nodes: int = 1) -> list[Row]:
    return [
        ("optimizer.kind", "adamw", "SOLVER.OPTIMIZING_METHOD"),
        ("optimizer.learning_rate", learning_rate * nodes, f"SOLVER.BASE_LR × {nodes} NUM_SHARDS"),
        ("optimizer.betas", (0.9, 0.999), "AdamW's own"),
        ("optimizer.weight_decay", 0.05, "SOLVER.WEIGHT_DECAY"),
        ("optimizer.decay_positions", True, "not MVIT.ZERO_DECAY_POS_CLS"),
        ("optimizer.clip_norm", 1.0, "SOLVER.CLIP_GRAD_L2NORM"),
    ]


def schedule(epochs: int, warmup: float, start: float, end: float, nodes: int = 1) -> list[Row]:
    return [
        ("schedule.epochs", epochs, "SOLVER.MAX_EPOCH"),
        ("schedule.warmup_epochs", warmup, "SOLVER.WARMUP_EPOCHS, with SOLVER.COSINE_AFTER_WARMUP"),
        ("schedule.warmup_start", start * nodes, f"SOLVER.WARMUP_START_LR × {nodes} NUM_SHARDS"),
        ("schedule.end", end * nodes, f"SOLVER.COSINE_END_LR × {nodes} NUM_SHARDS"),
    ]


def rand_augment(operations: int, magnitude: int) -> list[Row]:
    return [
        ("augment.rand_augment_ops", operations, "AUG.AA_TYPE, n"),
        ("augment.rand_augment_magnitude", magnitude, "AUG.AA_TYPE, m"),
        ("augment.rand_augment_noise", 0.5, "AUG.AA_TYPE, mstd"),
        ("augment.color_jitter", 0.0, "AUG.COLOR_JITTER is not used with AUG.AA_TYPE"),
        ("augment.erasing", 0.25, "AUG.RE_PROB, with AUG.RE_MODE pixel"),
        ("augment.label_smoothing", 0.1, "MIXUP.LABEL_SMOOTH_VALUE"),
    ]


def mixing(*, happens: bool = True) -> list[Row]:
    chance = "MIXUP.PROB 1, MIXUP.SWITCH_PROB 0.5" if happens else "MIXUP.PROB 0"
    return [
        ("augment.mixup", 0.8 if happens else 0.0, f"MIXUP.ALPHA, {chance}"),
        ("augment.cutmix", 1.0 if happens else 0.0, f"MIXUP.CUTMIX_ALPHA, {chance}"),
    ]


def crop_by_area(flip: float = 0.5) -> list[Row]:
    return [
        ("augment.short_side", None, "DATA.TRAIN_JITTER_SCALES is not used with DATA.TRAIN_JITTER_SCALES_RELATIVE"),
        ("augment.area", (0.08, 1.0), "DATA.TRAIN_JITTER_SCALES_RELATIVE"),
        ("augment.aspect", pytest.approx((0.75, 1.3333), abs=1e-4), "DATA.TRAIN_JITTER_ASPECT_RELATIVE"),
        ("augment.flip", flip, "DATA.RANDOM_FLIP"),
    ]


def video(frames: int, interval: int, side: int, *, grey: bool = True, reversed_channels: bool = False) -> list[Row]:
    return [
        ("input.num_frames", frames, "DATA.NUM_FRAMES"),
        ("input.frame_interval", interval, "DATA.SAMPLING_RATE"),
        ("input.short_side", side, "DATA.TRAIN_CROP_SIZE, DATA.TEST_CROP_SIZE"),
        ("input.mean", (0.45, 0.45, 0.45) if grey else (0.485, 0.456, 0.406), "DATA.MEAN"),
        ("input.std", (0.225, 0.225, 0.225) if grey else (0.229, 0.224, 0.225), "DATA.STD"),
        ("input.channels", "bgr" if reversed_channels else "rgb", "DATA.REVERSE_INPUT_CHANNEL"),
    ]


def network(drop_path: float, dropout: float) -> list[Row]:
    return [
        ("model.drop_path", drop_path, "MVIT.DROPPATH_RATE"),
        ("network.head.dropout", dropout, "MODEL.DROPOUT_RATE"),
        ("network.cls_token", dropout > 0, "MVIT.CLS_EMBED_ON"),
    ]


def views_in_the_test(temporal: int, crops: int, crop_ratio: float) -> list[Row]:
    from_scale = "TEST.NUM_SPATIAL_CROPS 1: DATA.TEST_CROP_SIZE of the first of DATA.TRAIN_JITTER_SCALES"
    return [
        ("data.temporal_views", temporal, "TEST.NUM_ENSEMBLE_VIEWS"),
        ("data.spatial_crops", crops, "TEST.NUM_SPATIAL_CROPS"),
        ("data.eval_crop_ratio", crop_ratio, from_scale if crops == 1 else "DATA.TEST_CROP_SIZE of itself"),
    ]


def run(batch: int, evaluate_every: int, *, checkpointing: bool = False) -> list[Row]:
    return [
        ("run.batch_size", batch, "TRAIN.BATCH_SIZE × NUM_SHARDS × AUG.NUM_SAMPLE"),
        ("run.evaluate_every_epochs", evaluate_every, "TRAIN.EVAL_PERIOD"),
        *([("run.activation_checkpointing", True, "MODEL.ACT_CHECKPOINT")] if checkpointing else []),
    ]


def memvit(drop_path: float, reads: tuple[int, ...], frames: int, interval: int) -> list[Row]:
    return [
        *network(drop_path, 0.5),
        *video(frames, interval, 224),
        ("model.num_classes", 80, "MODEL.NUM_CLASSES"),
        ("network.memory.reads", reads, "MEMVIT.SAMPLER, MEMVIT.ATTN_MAX_LEN 3"),
        ("network.memory.kernel", (7, 3, 3), "MEMVIT.COMPRESS.POOL_KERNEL"),
        ("network.memory.stride", (4, 2, 2), "MEMVIT.COMPRESS.POOL_STRIDE"),
        ("network.head.box_blocks", 1, "MVIT.BOX_DEPTH"),
        ("model.dropout", 0.5, "MODEL.DROPOUT_RATE"),
        ("model.box_attention_dropout", 0.5, "MVIT.BOX_DROP_ATTN_RATE"),
        ("model.box_qkv_dropout", 0.3, "MVIT.BOX_DROP_QKV_RATE"),
        ("model.box_dropout", 0.3, "MVIT.BOX_DROPOUT_RATE"),
        ("data.score_threshold", 0.9, "AVA.DETECTION_SCORE_THRESH"),
        ("augment.short_side", (256, 320), "DATA.TRAIN_JITTER_SCALES"),
        ("augment.flip", 0.5, "DATA.RANDOM_FLIP"),
        ("augment.color_jitter", 0.4, "AVA.TRAIN_USE_COLOR_AUGMENTATION"),
        ("augment.color_noise", 0.1, "AVA.TRAIN_USE_COLOR_AUGMENTATION, with DATA.TRAIN_PCA_EIGVAL and _EIGVEC"),
        ("augment.perturb_frames", True, "DATA.PERTURB_AVA_FRAMES"),
    ]


def kinetics(drop_path: float, frames: int, interval: int) -> list[Row]:
    return [
        *network(drop_path, 0.5),
        *video(frames, interval, 224),
        ("data.sampling", "dense", "DATA.USE_OFFSET_SAMPLING in the test"),
        ("data.decode_short_side", 256, "the first of DATA.TRAIN_JITTER_SCALES"),
        *views_in_the_test(5, 1, 224 / 256),
        *crop_by_area(),
        *rand_augment(4, 7),
        *mixing(),
        ("augment.repeats", 2, "AUG.NUM_SAMPLE"),
        *adamw(1e-4),
        *schedule(200, 30, 1e-6, 1e-6),
        *run(16 * 2, 10),
    ]


def something(drop_path: float, frames: int, interval: int, learning_rate: float) -> list[Row]:
    return [
        *network(drop_path, 0.5),
        *video(frames, interval, 224, reversed_channels=True),
        *something_data((256, 320)),
        *mixing(),
        *sgd(learning_rate, 1e-4, None),
        *schedule(100, 3, 1e-4, 1e-6),
        *run(16, 2),
    ]


def something_data(short_side: tuple[int, int]) -> list[Row]:
    return [
        ("model.num_classes", 174, "MODEL.NUM_CLASSES"),
        ("data.sampling", "uniform", "TRAIN.DATASET ssv2"),
        ("data.decode_short_side", short_side[1], "frames are not resized before DATA.TRAIN_JITTER_SCALES"),
        *views_in_the_test(1, 3, 1.0),
        ("augment.short_side", short_side, "DATA.TRAIN_JITTER_SCALES, with DATA.INV_UNIFORM_SAMPLE"),
        ("augment.flip", 0.0, "DATA.RANDOM_FLIP"),
        *rand_augment(4, 7),
        ("augment.repeats", 1, "AUG.NUM_SAMPLE"),
    ]


def imagenet(drop_path: float) -> list[Row]:
    return [
        *network(drop_path, 0.0),
        ("input.short_side", 224, "DATA.TRAIN_CROP_SIZE, DATA.TEST_CROP_SIZE"),
        ("input.mean", (0.485, 0.456, 0.406), "DATA.MEAN"),
        ("input.std", (0.229, 0.224, 0.225), "DATA.STD"),
        ("data.eval_crop_ratio", 0.875, "DATA.VAL_CROP_RATIO"),
        ("augment.short_side", None, "not there"),
        ("augment.area", (0.08, 1.0), "the default of its transform"),
        ("augment.flip", 0.5, "the default of its transform"),
        *rand_augment(6, 9),
        *mixing(),
        ("augment.repeats", 1, "AUG.NUM_SAMPLE"),
        *adamw(2.5e-4, nodes=8),
        *schedule(300, 70, 1e-8, 1e-6, nodes=8),
        *run(256 * 8, 10),
    ]


PUBLISHED: dict[str, list[Row]] = {
    "ava/memvit_16.yaml": [
        *memvit(0.4, (2, 4), 16, 4),
        *sgd(0.075, 1e-8, None),
        *schedule(30, 5, 1e-6, 1e-6),
        *run(16, 2),
    ],
    "ava/memvit_24.yaml": [
        *memvit(0.4, (3, 6), 32, 3),
        *sgd(0.075, 1e-8, 5.0, nodes=16),
        *schedule(40, 6, 1e-6, 1e-6, nodes=16),
        *run(16 * 16, 2),
    ],
    "kinetics/mvitv2_s_16x4.yaml": kinetics(0.2, 16, 4),
    "kinetics/mvitv2_b_32x3.yaml": kinetics(0.3, 32, 3),
    # Only the test and what goes with it was published; it names model and augmentation, but no optimizer.
    "kinetics/mvitv2_l_40x3.yaml": [
        *network(0.75, 0.5),
        *video(40, 3, 312, grey=False),
        ("data.decode_short_side", 356, "the first of DATA.TRAIN_JITTER_SCALES"),
        *views_in_the_test(5, 3, 1.0),
        *crop_by_area(),
        *rand_augment(4, 7),
        *mixing(happens=False),
        ("augment.repeats", 1, "AUG.NUM_SAMPLE"),
        ("optimizer.decay_positions", True, "not MVIT.ZERO_DECAY_POS_CLS"),
        ("run.activation_checkpointing", True, "MODEL.ACT_CHECKPOINT"),
    ],
    "ssv2/mvitv2_s_16x4.yaml": something(0.4, 16, 4, 2.5e-3),
    "ssv2/mvitv2_b_32x3.yaml": something(0.4, 32, 3, 1.5e-3),
    "ssv2/mvitv2_l_40x3.yaml": [
        *network(0.75, 0.5),
        *video(40, 3, 312, grey=False, reversed_channels=True),
        *something_data((356, 446)),
        *mixing(happens=False),
        *sgd(1.25e-3, 1e-4, 2.0),
        *schedule(40, 3, 1e-6, 1e-6),
        *run(8, 2, checkpointing=True),
    ],
    "imagenet/mvitv2_t.yaml": imagenet(0.1),
    "imagenet/mvitv2_s.yaml": imagenet(0.1),
    "imagenet/mvitv2_b.yaml": imagenet(0.3),
    # Only its test was published; the rest is that of T, S and B.
    "imagenet/mvitv2_l.yaml": imagenet(0.5),
}

OURS = {"ava/memvit_16_slots.yaml"}
"""Recipes that nobody has published."""
DIFFERENT = {
    "ava": {"augment.once": "video", "run.precision": "bfloat16"},
    "kinetics": {"run.precision": "bfloat16"},
    "ssv2": {"run.precision": "bfloat16"},
    "imagenet": {"run.precision": "bfloat16"},
}
"""What we choose otherwise on purpose, in every recipe of a folder. The line of the recipe says so."""


@lru_cache
def recipe_of(name: str) -> Recipe:
    return load_recipe(CONFIGS / name)


def value_of(name: str, key: str) -> Any:
    recipe = recipe_of(name)
    entry = model_entry(recipe.model.name)
    first, *rest = key.split(".")
    value: Any = {"input": entry.preprocessing, "network": entry.config}.get(first) or getattr(recipe, first)
    for part in rest:
        value = getattr(value, part)
    return value


def test_every_published_recipe_is_here() -> None:
    files = {str(path.relative_to(CONFIGS)) for folder in DIFFERENT for path in (CONFIGS / folder).glob("*.yaml")}
    assert files == PUBLISHED.keys() | OURS


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_published_ones(name: str) -> None:
    wrong = []
    for key, value, official in PUBLISHED[name]:
        found = value_of(name, key)
        expected = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        if found != expected:
            wrong.append(f"{key} is {found!r}, but {official} is {value!r}")
    assert wrong == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_says_what_is_different_on_purpose(name: str) -> None:
    lines = (CONFIGS / name).read_text().splitlines()
    for key, value in DIFFERENT[name.split("/")[0]].items():
        assert value_of(name, key) == value
        (line,) = [line for line in lines if line.strip().startswith(key.rsplit(".", 1)[1] + ":")]
        assert "on purpose" in line
