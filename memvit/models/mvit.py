"""The multiscale vision transformer: patch embedding, blocks, backbone, and the classifier of images and clips.

Shapes: images (B, 3, H, W), clips (B, 3, T, H, W); tokens (B, N, C), the cls token first where there is one.
Source: MViTv2, arXiv 2112.01526. Configurations of the reference that no released model uses are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from memvit.runtime.cpu.sample_parallel import sample_parallel, worker_count

from .attend import takes_parts
from .attention import MemoryKV, PooledKV, PoolingAttention
from .config import BlockConfig, Grid, MViTConfig
from .heads import ClassificationHead
from .layers import Mlp, drop_path, layer_norm
from .output import ModelOutput
from .pooling import as_volume, max_pool

HIDDEN_VALUES = 2**20
"""A thread, of an MLP's hidden layer at a time (4 MB in float32), at inference on a CPU."""

BLOCK_VALUES = 2**19
"""A thread, of a block's input at a time, where a batch has several samples, at inference on a CPU."""

CREW_VALUES = 2**17
"""Of a sample's patches, from which samples of a batch are computed side by side, at inference on a CPU."""


class PatchEmbed(nn.Module):
    """Overlapping patches of a clip: (B, 3, T, H, W) → (B, N, C) and the grid they lie on."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        kernel = config.patch_kernel
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.proj = nn.Conv3d(3, config.embed_dim, kernel, config.patch_stride, padding)

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """Embed the patches; any height and width."""
        volume = self.proj(clips)
        return volume.flatten(2).transpose(1, 2), (volume.shape[2], volume.shape[3], volume.shape[4])


class Block(nn.Module):
    """Pooling attention and an MLP, each with a skip path that follows the pooling and the change of width."""

    def __init__(self, config: MViTConfig, block: BlockConfig) -> None:
        super().__init__()
        self.config = block
        self.cls_token = config.cls_token
        self.norm1 = layer_norm(block.dim)
        self.attn = PoolingAttention(config, block)
        self.norm2 = layer_norm(block.attention_dim)
        self.mlp = Mlp(block.attention_dim, block.attention_dim * config.mlp_ratio, block.dim_out)
        self.proj = nn.Linear(block.dim, block.dim_out) if block.dim != block.dim_out else None

    def forward(self, x: Tensor, grid: Grid, past: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
        """(B, N, dim) on `grid` → (B, N', dim_out) on the pooled grid, and what may be remembered."""
        block = self.config
        dtype = x.dtype
        normed = self.norm1(x)
        attended, pooled_grid, fresh = self.attn(normed, grid, past)
        grows_in_attention = block.attention_dim != block.dim
        # NOTE: where the width grows, the skip path starts from the normalised input, as in the reference.
        skip = self.proj(normed) if self.proj is not None and grows_in_attention else x
        skip = max_pool(skip.to(dtype), grid, block.q_stride, cls_token=self.cls_token)
        x = _add(drop_path(attended, block.drop_path, self.training), skip)
        grows_in_mlp = self.proj is not None and not grows_in_attention
        if takes_parts(x) and not grows_in_mlp:
            self._add_mlp_in_parts(x)
            return x, pooled_grid, fresh
        normed = self.norm2(x)
        skip = self.proj(normed).to(dtype) if self.proj is not None and grows_in_mlp else x
        return _add(drop_path(self.mlp(normed), block.drop_path, self.training), skip), pooled_grid, fresh

    def _add_mlp_in_parts(self, x: Tensor) -> None:
        """The second half of the block in place, a part of the tokens at a time, for inference on a CPU.

        A hidden layer of all tokens would be mapped and page-faulted anew at every call, which costs more than the
        arithmetic, and what passes between norm and sum stays in the cache.
        """
        tokens = x.flatten(0, 1)
        room = HIDDEN_VALUES * torch.get_num_threads()
        parts = math.ceil(len(tokens) * self.mlp.fc1.out_features / room)
        for part in tokens.split(math.ceil(len(tokens) / parts)):
            part += self.mlp(self.norm2(part))


def _add(branch: Tensor, skip: Tensor) -> Tensor:
    """The sum in the type of the skip path, which stays float32 where autocast computes the branch in a shorter type.

    In place on the branch where the types are equal: no backward pass needs it, and it saves a buffer of all tokens.
    """
    return branch.add_(skip) if branch.dtype == skip.dtype else skip + branch


def microbatched(block: nn.Module, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """A block that nothing is remembered of, over as many samples at a time as the cache holds."""
    room = BLOCK_VALUES * torch.get_num_threads()
    parts = [block(part, grid) for part in x.split(max(1, room // x[0].numel()))]
    return torch.cat([tokens for tokens, _, _ in parts]) if len(parts) > 1 else parts[0][0], parts[0][1]


class Backbone(nn.Module):
    """Clips in, normalised tokens out; a block listed in `pasts` also reads earlier clips."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.cls_token = (
            nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, config.embed_dim), std=0.02))
            if config.cls_token
            else None
        )
        self.blocks = nn.ModuleList(Block(config, block) for block in config.blocks())
        self.norm = layer_norm(config.out_dim)
        self.checkpoint_blocks = False
        """Keep no activations inside blocks while training, and compute them anew in the backward pass."""

    def forward(self, clips: Tensor, pasts: Sequence[MemoryKV | None] = ()) -> tuple[Tensor, Grid, list[PooledKV]]:
        """(B, 3, T, H, W) → tokens (B, N, C) of the last stage, their grid, and each block's fresh tokens
        (of a model without memory maybe none).

        `pasts` has one entry a block, or none at all.
        """
        pasts = pasts or [None] * len(self.blocks)
        if not (takes_parts(clips) and self._is_worth_a_core(clips) and worker_count(len(clips)) > 1):
            return self._run(clips, pasts)

        def run(samples: slice) -> tuple[Tensor, Grid, list[PooledKV]]:
            return self._run(clips[samples], [past and past.select(samples) for past in pasts])

        tokens, grids, fresh = zip(*sample_parallel(run, len(clips)), strict=True)
        return torch.cat(tokens), grids[0], [PooledKV.stack(parts) for parts in zip(*fresh, strict=True)]

    def _is_worth_a_core(self, clips: Tensor) -> bool:
        """Whether a sample is so large that Python, which serves one core at a time, holds nobody up."""
        patches = math.prod(clips.shape[2:]) // math.prod(self.config.patch_stride)
        return patches * self.config.embed_dim >= CREW_VALUES

    def _run(self, clips: Tensor, pasts: Sequence[MemoryKV | None]) -> tuple[Tensor, Grid, list[PooledKV]]:
        x, grid = self._embed(clips)
        fresh = []
        for block, past in zip(self.blocks, pasts, strict=True):
            if self.checkpoint_blocks and self.training:
                x, grid, left_behind = checkpoint(block, x, grid, past, use_reentrant=False)
            elif self.config.memory is None and takes_parts(x):
                x, grid = microbatched(block, x, grid)
                continue
            else:
                x, grid, left_behind = block(x, grid, past)
            fresh.append(left_behind)
        return self.norm(x), grid, fresh

    def _embed(self, clips: Tensor) -> tuple[Tensor, Grid]:
        x, grid = self.patch_embed(clips)
        x = x.to(self.norm.weight.dtype)  # autocast makes it shorter
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        return x, grid

    def stage_maps(self, clips: Tensor) -> list[Tensor]:
        """(B, 3, T, H, W) → the last tokens of each stage as maps (B, C, T', H', W'), not normalised.

        Strides are 4, 8, 16 and 32 pixels for the released models, widths 1, 2, 4 and 8 times the first; where the
        width grows in the MLP (mvitv2_l.in1k) the last block of a stage has the width of the next.
        """
        x, grid = self._embed(clips)
        ends = {start - 1 for start in (*self.config.stage_starts, self.config.depth)}
        maps = []
        for index, block in enumerate(self.blocks):
            x, grid, _ = block(x, grid)
            if index in ends:
                maps.append(as_volume(x[:, int(self.cls_token is not None) :], grid))
        return maps


class MViT(nn.Module):
    """A classifier of images or of single clips, without memory."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = ClassificationHead(config.out_dim, config.head, cls_token=config.cls_token)
        initialise(self, config.init_std)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) or (B, 3, T, H, W), normalised → logits (B, classes)."""
        return self.answer(x).logits

    def answer(self, x: Tensor) -> ModelOutput:
        """As `forward`, with the features that the classes are read from."""
        tokens, _, _ = self.backbone(x.unsqueeze(2) if x.ndim == 4 else x)
        return ModelOutput(*self.head(tokens))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Multiscale maps for a detector's FPN: images → [(B, C, H', W')], clips → [(B, C, T', H', W')].

        See `Backbone.stage_maps` for strides and widths.
        """
        maps = self.backbone.stage_maps(x.unsqueeze(2) if x.ndim == 4 else x)
        return [volume.squeeze(2) for volume in maps] if x.ndim == 4 else maps


def initialise(model: nn.Module, std: float) -> None:
    """Truncated normal weights and zero biases for linear layers; the rest as its own module says."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)
