"""What a model is, as data: frozen dataclasses, from which every block's shape is derived once.

A variant states only its differences (see `zoo.py`); there are no subclasses. Images are videos of one frame.
Sources: MViTv2, arXiv 2112.01526; MeMViT, arXiv 2201.08383.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Grid = tuple[int, int, int]
"""(time, height, width), counted in tokens."""


@dataclass(frozen=True)
class MemoryConfig:
    """Which blocks read memory, what they read of the past, and how a past clip is compressed.

    There are two kinds. With `reads`, a block attends to the clips at fixed offsets, as the official models do. With
    `slots`, every past clip lies in one of a fixed number of slots, which grow with age (see `slots.py`).
    """

    layers: tuple[int, ...]
    """Blocks that read memory."""
    reads: tuple[int, ...] = ()
    """Offsets, in clips, of the past clips that a layer attends to, ascending: 1 is the last clip, 2 the one before."""
    kernel: Grid = (7, 3, 3)
    stride: Grid = (4, 2, 2)
    kind: Literal["reads", "slots"] = "reads"
    slots: int = 0
    """The number of slots, two for each size 1, 2, 4, … clips. The oldest slot holds all clips that are older."""
    train_horizon: int = 64
    """With slots: how many past clips a stream in training remembers."""
    box_queries: int = 4
    """With slots: in how many ways the boxes of people without a number are pooled."""

    def __post_init__(self) -> None:
        if self.kind == "slots":
            if self.reads or self.slots < 2 or self.slots % 2:
                raise ValueError(f"memory in slots has no reads and an even number of slots, got {self.slots}")
        elif not self.reads or min(self.reads) < 1 or list(self.reads) != sorted(set(self.reads)):
            raise ValueError(f"reads must be ascending, distinct offsets of at least 1 clip, got {self.reads}")

    @property
    def read_count(self) -> int:
        """R: how many past clips, or slots, a layer attends to."""
        return self.slots or len(self.reads)

    @property
    def steps(self) -> int:
        """How many past clips, or slots, a stream must remember."""
        return self.slots or max(self.reads)

    @property
    def training_steps(self) -> int:
        """How many past clips a stream in training must remember."""
        return self.train_horizon if self.kind == "slots" else max(self.reads)

    @property
    def uncompressed_steps(self) -> int:
        """How many of these are not compressed: those that were not read yet."""
        return 1 if self.kind == "slots" else self.reads[0]


@dataclass(frozen=True)
class HeadConfig:
    """The head: it classifies whole clips, or the boxes of people."""

    kind: Literal["classification", "action"]
    num_classes: int
    dropout: float = 0.5
    box_blocks: int = 0
    """Attention blocks among the boxes of a clip, and those of past clips where there is memory (action head)."""
    box_slots: int = 100
    """Boxes attend to each other in groups of this many slots, empty ones included: official weights expect it."""
    box_attention_dropout: float = 0.0
    """Dropout of the attention probabilities among boxes, while training."""
    box_qkv_dropout: float = 0.0
    """Dropout of the projected queries, keys and values of boxes, while training."""
    box_dropout: float = 0.0
    """Dropout after the output projection and after both layers of the MLP of boxes, while training."""

    @property
    def activation(self) -> Literal["softmax", "sigmoid"]:
        """What turns logits into scores: a clip has one class, a person does several things at once."""
        return "sigmoid" if self.kind == "action" else "softmax"


@dataclass(frozen=True)
class MViTConfig:
    """A multiscale vision transformer; the defaults are MViTv2-S for video (16x4)."""

    frames: int = 16
    """Frames of a clip; 1 for images."""
    crop: int = 224
    """Side, in pixels, of the square input that the position tables are made for; other sizes are interpolated."""
    embed_dim: int = 96
    heads: int = 1
    depth: int = 16
    stage_starts: tuple[int, ...] = (1, 3, 14)
    """Blocks at which queries are pooled by 2 and heads double; the width doubles with them, or one block earlier."""
    patch_kernel: Grid = (3, 7, 7)
    patch_stride: Grid = (2, 4, 4)
    pool_kernel: Grid = (3, 3, 3)
    kv_stride: Grid = (1, 8, 8)
    """Stride of key and value pooling in the first stage; halved with every stage, so their grid stays the same."""
    pool_first: bool = False
    """Pool before the projection (MeMViT) instead of after it (MViTv2)."""
    cls_token: bool = True
    dim_mul_in_attention: bool = True
    """Whether the width grows in attention of a stage's first block, or in the MLP of the block before."""
    rel_pos_temporal: bool = True
    non_square: Literal["independent", "clamped"] = "independent"
    """Relative positions of frames that are not square: each axis its own, or (MeMViT) the longer axis measured like
    the shorter one and clamped to its range."""
    mlp_ratio: int = 4
    drop_path: float = 0.0
    init_std: float = 0.02
    """Standard deviation of new linear weights. The published 0.02 suits widths of several hundred channels; narrow
    models need more."""
    window: int = 0
    """Side, in tokens, of the windows that the first stage attends within; it halves with every stage. The last block
    of each later stage attends to the whole map. 0: every block does."""
    stage_norms: bool = False
    """Normalise the maps of all stages, which a detector reads, and not the tokens of the last."""
    memory: MemoryConfig | None = None
    head: HeadConfig = HeadConfig("classification", 400)

    def __post_init__(self) -> None:
        if self.window and (self.cls_token or self.memory):
            raise ValueError("windows have no place for a cls token or for memory")
        if self.window % self.kv_stride[1] or self.window % 2 ** len(self.stage_starts):
            raise ValueError(f"window {self.window} must be a multiple of kv_stride and of 2 for every stage")
        if self.memory and not all(0 <= layer < self.depth for layer in self.memory.layers):
            raise ValueError(f"memory layers {self.memory.layers} are not all among the {self.depth} blocks")
        if self.memory and not self.pool_first:
            raise ValueError("memory needs pool_first: what is remembered are pooled, not yet projected tokens")

    def plain(self) -> dict[str, Any]:
        """All fields as plain values. Fields that were added after the first release are left out where they have their
        default, so that what was written before, as the provenance of an archive, is still equal.
        """
        values = without_defaults(self, ADDED_FIELDS)
        if self.memory is not None:
            values["memory"] = without_defaults(self.memory, ADDED_MEMORY_FIELDS)
        return values

    @property
    def input_grid(self) -> Grid:
        """Tokens of a square clip of `frames` × `crop` × `crop` after patch embedding."""
        t, h, w = self.patch_stride
        return self.frames // t, self.crop // h, self.crop // w

    @property
    def spatial_stride(self) -> int:
        """Pixels of the input per token of the last stage."""
        stride: int = self.patch_stride[1] * 2 ** len(self.stage_starts)
        return stride

    @property
    def out_dim(self) -> int:
        """Channels of the last stage."""
        return int(self.embed_dim * 2 ** len(self.stage_starts))

    def blocks(self) -> Iterator[BlockConfig]:
        """Derive the shape of every block, in order."""
        dim, heads, kv_stride, grid = self.embed_dim, self.heads, self.kv_stride, self.input_grid
        growing = self.stage_starts if self.dim_mul_in_attention else tuple(i - 1 for i in self.stage_starts)
        ends = {start - 1 for start in (*self.stage_starts, self.depth)}
        stage = 0
        for index in range(self.depth):
            q_stride: Grid = (1, 1, 1)
            # NOTE: windows shrink one block after the map does: a stage's first block has those of the stage before.
            window = self.window >> stage
            if index in self.stage_starts:
                stage += 1
                heads, q_stride = heads * 2, (1, 2, 2)
                kv_stride = (kv_stride[0], max(kv_stride[1] // 2, 1), max(kv_stride[2] // 2, 1))
            dim_out = dim * 2 if index in growing else dim
            is_global = index in ends and stage > 0
            # NOTE: a block that attends to the whole map among windows pools keys twice as much, but in the last stage.
            factor = 2 if window and is_global and stage < len(self.stage_starts) else 1
            yield BlockConfig(
                dim=dim,
                dim_out=dim_out,
                attention_dim=dim_out if self.dim_mul_in_attention else dim,
                heads=heads,
                q_stride=q_stride,
                kv_stride=(kv_stride[0], kv_stride[1] * factor, kv_stride[2] * factor),
                grid=grid,
                window=0 if is_global else window,
                drop_path=self.drop_path * index / max(self.depth - 1, 1),
            )
            dim = dim_out
            grid = (grid[0], grid[1] // q_stride[1], grid[2] // q_stride[2])


@dataclass(frozen=True)
class BlockConfig:
    """One block, derived from its model's config."""

    dim: int
    dim_out: int
    attention_dim: int
    heads: int
    q_stride: Grid
    kv_stride: Grid
    grid: Grid
    """Tokens that enter the block for a square input of the configured size."""
    window: int
    """Side of the windows in tokens that enter the block; 0 where it attends to the whole map."""
    drop_path: float

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.attention_dim // self.heads


ADDED_FIELDS = ("window", "stage_norms")
ADDED_MEMORY_FIELDS = ("kind", "slots", "train_horizon", "box_queries")


def without_defaults(settings: MViTConfig | MemoryConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """All fields as plain values, without those of `names` that have their default."""
    defaults = {field.name: field.default for field in fields(settings)}
    values = asdict(settings).items()
    return {name: value for name, value in values if name not in names or value != defaults[name]}
