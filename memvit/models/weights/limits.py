"""Limits of what a checkpoint file may ask for, all in one place.

A file from elsewhere is input like any other: its sizes are compared with these limits before memory is taken for them.
The largest published model (`mvitv2_l_40x3`, or `mvitv2_h` in weights) is well below every limit. They hold for files
alone: a config that is written in Python may be of any size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memvit.models.config import BlockConfig, Grid, MViTConfig
    from memvit.models.preprocessing import Preprocessing

MAX_FILE_BYTES = 2**36
"""Of a checkpoint file, 64 GiB; with optimizer states the largest model takes 8 GB."""
MAX_HEADER_BYTES = 2**23
"""Of a safetensors header, which names all tensors."""
MAX_DESCRIPTION_BYTES = 2**22
"""Of our own description within that header; 20,000 class names take 1 MB."""
MAX_DESCRIPTION_NESTING = 16
"""Lists and objects within each other in that description."""
MAX_PICKLE_BYTES = 2**22
"""Of the pickled part of a PyTorch file, which names all tensors; the largest model with its optimizer needs 1 MB."""
MAX_ZIP_ENTRIES = 100_000
MAX_UNPACKED_RATIO = 4
"""Unpacked size of a PyTorch file over its own size. PyTorch does not compress; weights hardly can be compressed."""
MAX_NAME_LENGTH = 200
"""Characters of the name of a model or class."""

CONFIG_RANGES: dict[str, tuple[float, float]] = {
    "frames": (1, 256),
    "crop": (16, 2048),
    "embed_dim": (1, 1024),
    "heads": (1, 64),
    "depth": (1, 128),
    "stage_starts": (1, 127),
    "patch_kernel": (1, 31),
    "patch_stride": (1, 32),
    "pool_kernel": (1, 15),
    "kv_stride": (1, 32),
    "mlp_ratio": (1, 16),
    "window": (0, 1024),
    "drop_path": (0, 0.99),
    "init_std": (0, 10),
    "memory.layers": (0, 127),
    "memory.reads": (1, 256),
    "memory.slots": (0, 64),
    "memory.train_horizon": (1, 1024),
    "memory.box_queries": (0, 64),
    "memory.kernel": (1, 31),
    "memory.stride": (1, 32),
    "head.num_classes": (1, 100_000),
    "head.dropout": (0, 0.99),
    "head.box_attention_dropout": (0, 0.99),
    "head.box_qkv_dropout": (0, 0.99),
    "head.box_dropout": (0, 0.99),
    "head.box_blocks": (0, 16),
    "head.box_slots": (1, 1000),
}
"""Lowest and highest value of each number of a config, and of each entry where it is a list."""
PREPROCESSING_RANGES: dict[str, tuple[float, float]] = {
    "num_frames": (1, 256),
    "frame_interval": (1, 1000),
    "short_side": (16, 2048),
    "mean": (-1000, 1000),
    "std": (1e-3, 1000),
}
MAX_WIDTH = 2**13
"""Channels of the last stage."""
MAX_CLIP_PIXELS = 2**25
"""Frames × side × side of a clip; the largest published model reads 3.9 million."""
MAX_TOKENS = 2**18
"""Of a clip after patch embedding; the largest published model has 121,680."""
MAX_PAIRS = 2**32
"""Queries × keys of a block and clip; the largest published model has 0.25 thousand million."""
MAX_MEMORY_BYTES = 2**31
"""Of what one stream remembers, in float32; MeMViT-24 keeps 0.1 GB."""


def check_config(config: MViTConfig) -> None:
    """ValueError with one sentence if a config is out of all proportion, or its parts do not fit each other."""
    _check_ranges(config, CONFIG_RANGES, "config.")
    starts = config.stage_starts
    if list(starts) != sorted(set(starts)) or (starts and starts[-1] >= config.depth):
        raise ValueError(f"config.stage_starts {starts} should be ascending numbers below the depth of {config.depth}")
    _at_most("the channels of the last stage", config.embed_dim * 2 ** len(starts), MAX_WIDTH)
    if config.embed_dim % config.heads:
        raise ValueError(f"config.embed_dim {config.embed_dim} should be a multiple of the {config.heads} heads")
    smallest = min(config.input_grid[0], *(side >> len(starts) for side in config.input_grid[1:]))
    if smallest < 1:
        raise ValueError(f"config.crop {config.crop} and frames {config.frames} leave no token in the last stage")
    _at_most("the tokens of a clip", math.prod(config.input_grid), MAX_TOKENS)
    blocks = list(config.blocks())
    for block in blocks:
        queries, keys = (
            math.prod(_strided(block.grid, block.q_stride)),
            math.prod(_strided(block.grid, block.kv_stride)),
        )
        _at_most("the query-key pairs of a block", queries * keys, MAX_PAIRS)
    _at_most("the bytes of a stream's memory", _memory_bytes(config, blocks), MAX_MEMORY_BYTES)


def check_preprocessing(preprocessing: Preprocessing, config: MViTConfig) -> None:
    """ValueError with one sentence if clips were to be out of all proportion, or of another length than the model's."""
    _check_ranges(preprocessing, PREPROCESSING_RANGES, "preprocessing.")
    if preprocessing.num_frames != config.frames:
        raise ValueError(
            f"preprocessing.num_frames is {preprocessing.num_frames} and config.frames is {config.frames}: "
            "they should be equal"
        )
    _at_most("the pixels of a clip", preprocessing.num_frames * preprocessing.short_side**2, MAX_CLIP_PIXELS)


def _check_ranges(settings: Any, ranges: dict[str, tuple[float, float]], prefix: str) -> None:
    for name, (low, high) in ranges.items():
        owner = settings
        *parts, last = name.split(".")
        for part in parts:
            owner = getattr(owner, part)
        if owner is None:  # a model without memory
            continue
        value = getattr(owner, last)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                raise ValueError(f"{prefix}{name} is {_short(number)}, allowed is {low:,} to {high:,}")


def _memory_bytes(config: MViTConfig, blocks: list[BlockConfig]) -> int:
    memory, head = config.memory, config.head
    if memory is None:
        return 0
    rows = head.box_slots + (memory.box_queries if memory.kind == "slots" else 0)
    numbers = head.box_blocks * rows * config.out_dim
    for layer in memory.layers:
        keys = _strided(_strided(blocks[layer].grid, blocks[layer].kv_stride), memory.stride)
        numbers += 2 * (math.prod(keys) + config.cls_token) * blocks[layer].dim
    return 4 * memory.steps * numbers


def _strided(grid: Grid, stride: Grid) -> Grid:
    t, h, w = (-(-size // step) for size, step in zip(grid, stride, strict=True))
    return t, h, w


def _at_most(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise ValueError(f"its config makes {what} {_short(found)}, allowed is at most {limit:,}")


def _short(number: float) -> str:
    text = f"{number:,}" if abs(number) < 1e18 else f"a number above {10**18:,}"
    return text
