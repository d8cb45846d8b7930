"""The multiscale vision transformer: patch embedding, blocks, backbone, and the classifier of images and clips.

Shapes: images (B, 3, H, W), clips (B, 3, T, H, W); tokens (B, N, C), the cls token first where there is one.
Source: MViTv2, arXiv 2112.01526. Configurations of the reference that no released model uses are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import MemoryKV, PooledKV, PoolingAttention
from .boxes import BoxBatch
from .config import BlockConfig, Grid, MViTConfig
from .heads import ClassificationHead
from .layers import Mlp, drop_path, layer_norm
from .memory import MemoryUpdate, MemoryView
from .output import ModelOutput
from .pooling import as_volume, max_pool


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
        self.hidden_dim = block.attention_dim * config.mlp_ratio
        self.mlp = Mlp(block.attention_dim, self.hidden_dim, block.dim_out)
        self.proj = nn.Linear(block.dim, block.dim_out) if block.dim != block.dim_out else None

    def forward(self, x: Tensor, grid: Grid, memory: MemoryKV | None = None) -> tuple[Tensor, Grid, PooledKV]:
        """(B, N, dim) on `grid` → (B, N', dim_out) on the pooled grid, and what may be remembered."""
        x, pooled_grid, pooled = self.attend(x, grid, memory)
        normed = self.norm2(x)
        grows_here = self.proj is not None and not self.grows_in_attention
        skip = self.proj(normed).to(x.dtype) if self.proj is not None and grows_here else x
        return _add(drop_path(self.mlp(normed), self.config.drop_path, self.training), skip), pooled_grid, pooled

    def attend(self, x: Tensor, grid: Grid, memory: MemoryKV | None) -> tuple[Tensor, Grid, PooledKV]:
        """The first half of the block: attention and its skip path."""
        dtype = x.dtype
        normed = self.norm1(x)
        attended, pooled_grid, pooled = self.attn(normed, grid, memory)
        # NOTE: where the width grows, the skip path starts from the normalised input, as in the reference.
        skip = self.proj(normed) if self.proj is not None and self.grows_in_attention else x
        skip = max_pool(skip.to(dtype), grid, self.config.q_stride, cls_token=self.cls_token)
        return _add(drop_path(attended, self.config.drop_path, self.training), skip), pooled_grid, pooled

    @property
    def grows_in_attention(self) -> bool:
        """Whether attention changes the width; where it does not, the MLP may."""
        return self.config.attention_dim != self.config.dim


def _add(branch: Tensor, skip: Tensor) -> Tensor:
    """The sum in the type of the skip path, which stays float32 where autocast computes the branch in a shorter type.

    In place on the branch where the types are equal: no backward pass needs it, and it saves a buffer of all tokens.
    """
    return branch.add_(skip) if branch.dtype == skip.dtype else skip + branch


class Backbone(nn.Module):
    """Clips in, normalised tokens out; memory layers also read earlier clips."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config = config
        self.memory_layers = config.memory.layers if config.memory else ()
        self.patch_embed = PatchEmbed(config)
        self.cls_token = (
            nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, config.embed_dim), std=0.02))
            if config.cls_token
            else None
        )
        self.blocks = nn.ModuleList(Block(config, block) for block in config.blocks())
        self.norm = None if config.stage_norms else layer_norm(config.out_dim)
        self.stage_norms: nn.ModuleList | None = None
        if config.stage_norms:
            stages = range(len(config.stage_starts) + 1)
            self.stage_norms = nn.ModuleList(layer_norm(config.embed_dim * 2**stage) for stage in stages)
        self.checkpoint_blocks = False
        """While training, keep no activations inside blocks, and compute them again in the backward pass."""

    def forward(self, clips: Tensor, memory: Sequence[MemoryKV] | None = None) -> tuple[Tensor, Grid, list[PooledKV]]:
        """(B, 3, T, H, W) → tokens (B, N, C) of the last stage, their grid, and what memory layers may remember.

        `memory` has one entry a memory layer; None where nothing is read. ValueError for a backbone with `stage_norms`.
        """
        if self.norm is None:
            raise ValueError("this backbone is a detector's: it gives the maps of its stages (stage_maps)")
        reads = dict(zip(self.memory_layers, memory, strict=True)) if memory is not None else {}
        x, grid = self._embed(clips)
        remembered = []
        for index, block in enumerate(self.blocks):
            x, grid, pooled = self._run(block, x, grid, reads.get(index))
            if index in self.memory_layers:
                remembered.append(pooled)
        return self.norm(x), grid, remembered

    def _run(self, block: nn.Module, x: Tensor, grid: Grid, memory: MemoryKV | None) -> tuple[Tensor, Grid, PooledKV]:
        if self.checkpoint_blocks and self.training:
            ran: tuple[Tensor, Grid, PooledKV] = checkpoint(block, x, grid, memory, use_reentrant=False)
            return ran
        return block(x, grid, memory)

    def _embed(self, clips: Tensor) -> tuple[Tensor, Grid]:
        x, grid = self.patch_embed(clips)
        norm = self.norm or cast(nn.ModuleList, self.stage_norms)[0]
        x = x.to(cast(nn.LayerNorm, norm).weight.dtype)  # autocast makes it shorter
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        return x, grid

    def stage_maps(self, clips: Tensor) -> list[Tensor]:
        """(B, 3, T, H, W) → the last tokens of each stage as maps (B, C, T', H', W').

        They are normalised only if the config says `stage_norms`.

        Strides are 4, 8, 16 and 32 pixels for the released models, widths 1, 2, 4 and 8 times the first; where the
        width grows in the MLP (mvitv2_l.in1k) the last block of a stage has the width of the next.
        """
        x, grid = self._embed(clips)
        ends = {start - 1 for start in (*self.config.stage_starts, self.config.depth)}
        maps: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x, grid, _ = self._run(block, x, grid, None)
            if index in ends:
                tokens = x if self.stage_norms is None else self.stage_norms[len(maps)](x)
                maps.append(as_volume(tokens[:, int(self.cls_token is not None) :], grid))
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
        return self.step(x)[0].logits

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | BoxBatch | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """As `forward`, with the features that the classes are read from; arguments and results of `MeMViT.step`.

        ValueError if there are boxes or a memory.
        """
        if boxes is not None or memory is not None:
            raise ValueError("this network classifies single clips: it takes neither boxes nor a memory")
        tokens, _, _ = self.backbone(images.unsqueeze(2) if images.ndim == 4 else images)
        return ModelOutput(*self.head(tokens)), None

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
