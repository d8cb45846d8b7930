"""Heads: the class of a clip, or the actions of each person in it.

Parameter names inside the heads are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MASK_VALUE
from .boxes import BoxBatch
from .config import Grid, HeadConfig
from .layers import Mlp, layer_norm

ROI_SIZE = 7


class ClassificationHead(nn.Module):
    """Classifies clips by the cls token or, without one, by the mean token."""

    def __init__(self, dim: int, config: HeadConfig, *, cls_token: bool) -> None:
        super().__init__()
        self.cls_token = cls_token
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(dim, config.num_classes)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, C) → logits (B, classes) and the features (B, C) that they are read from."""
        features = tokens[:, 0] if self.cls_token else tokens.mean(1)
        return self.projection(self.dropout(features)), features


class BoxAttention(nn.Module):
    """Attention of the boxes of a clip to each other and to the boxes of past clips; no pooling, no positions."""

    def __init__(self, dim: int, heads: int, config: HeadConfig) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = config.box_attention_dropout
        self.qkv_dropout = nn.Dropout(config.box_qkv_dropout)
        self.output_dropout = nn.Dropout(config.box_dropout)
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, slots: Tensor, queries: int, past: Tensor | None, past_mask: Tensor | None) -> Tensor:
        """(G, slots, C) → (G, queries, C): the first `queries` slots attend to all slots.

        `past` is (G, R, boxes, C), oldest first, and `past_mask` (G, R, boxes) bool says which of them are read.
        """
        q = self.qkv_dropout(self.q(slots[:, :queries]))
        source, mask = slots, None
        if past is not None and past_mask is not None:
            source = torch.cat((past.flatten(1, 2), slots), dim=1)
            of_boxes = torch.where(past_mask, 0.0, MASK_VALUE).to(slots.dtype).flatten(1)
            mask = F.pad(of_boxes, (0, slots.shape[1]))[:, None, None]
        k, v = self.qkv_dropout(self.k(source)), self.qkv_dropout(self.v(source))
        q_heads, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        rate = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q_heads, k, v, attn_mask=mask, dropout_p=rate)
        return self.output_dropout(self.proj(attended.transpose(1, 2).flatten(2) + q))


class BoxBlock(nn.Module):
    """Attention among boxes, and an MLP."""

    def __init__(self, dim: int, heads: int, config: HeadConfig) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim)
        self.attn = BoxAttention(dim, heads, config)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, 4 * dim, dim, config.box_dropout)

    def forward(
        self, slots: Tensor, queries: int, past: Tensor | None, past_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(G, slots, C) → the first `queries` of them, updated, and what may be remembered, (G, slots, C)."""
        normed = self.norm1(slots)
        x = slots[:, :queries] + self.attn(normed, queries, past, past_mask)
        return x + self.mlp(self.norm2(x)), normed


class RoIAlign(nn.Module):
    """Features of boxes: torchvision's operator. It has no parameters, and a runner may replace it."""

    def __init__(self, size: int, spatial_scale: float) -> None:
        super().__init__()
        self.size, self.spatial_scale = size, spatial_scale

    def forward(self, maps: Tensor, rois: Tensor) -> Tensor:
        """(B, C, H, W) and rows (M, 5) of clip and box, xyxy in input pixels → (M, C, size, size).

        Samples lie between pixels (`aligned`), as many as a box has pixels.
        """
        from torchvision.ops import roi_align  # its import takes seconds, and runners do without it

        return roi_align(maps, rois, self.size, self.spatial_scale, sampling_ratio=0, aligned=True)


class ActionHead(nn.Module):
    """The actions of each person: RoIAlign of the time average, boxes attend to boxes, a linear layer.

    Boxes lie in groups of `box_slots`; empty slots are zeros and are attended to (the official weights expect it). A
    clip with more boxes gets further groups, which the reference does not have: boxes attend within their group only,
    every group reads the same past, and the first group is what later clips remember of this one.
    """

    def __init__(self, dim: int, config: HeadConfig, *, heads: int, spatial_stride: int) -> None:
        super().__init__()
        self.slots = config.box_slots
        self.roi_align = RoIAlign(ROI_SIZE, 1 / spatial_stride)
        self.box_blocks = nn.ModuleList(BoxBlock(dim, heads, config) for _ in range(config.box_blocks))
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(dim, config.num_classes)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid,
        boxes: BoxBatch,
        pasts: Sequence[Tensor] | None = None,
        past_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Tokens (B, T·H·W, C) without cls and the boxes of the B clips → logits (M, classes).

        `pasts` holds, for each box block, (B, R, boxes, C); `past_mask` is (B, R, boxes), or (B, R) where all boxes of
        a clip are read. Also returns the features (M, C) that the logits are read from, and what each block may
        remember, (B, slots, C).
        """
        maps = tokens.unflatten(1, grid).mean(1).permute(0, 3, 1, 2)
        # RoIAlign does not take bfloat16 on a CPU, and box coordinates need more precision than it has.
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        features = self.roi_align(maps, boxes.rois.to(maps.dtype)).amax(dim=(2, 3)).to(tokens.dtype)
        pooled: list[Tensor] = []
        if len(self.box_blocks):
            features, pooled = self._among_boxes(features, boxes, pasts, past_mask)
        return self.projection(self.dropout(features)), features, pooled

    def _among_boxes(
        self, features: Tensor, boxes: BoxBatch, pasts: Sequence[Tensor] | None, past_mask: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        x = features.new_zeros(len(boxes.clip_of_group), self.slots, features.shape[1])
        x = x.index_put((boxes.group, boxes.slot), features)
        mask = None
        if pasts and past_mask is not None:
            mask = past_mask[boxes.clip_of_group]
            mask = mask if mask.ndim == 3 else mask[:, :, None].expand(-1, -1, pasts[0].shape[2])
        pooled = []
        for index, block in enumerate(self.box_blocks):
            # The outputs of empty slots of the last block are not used.
            queries = boxes.queries if index == len(self.box_blocks) - 1 else self.slots
            past = None if pasts is None else pasts[index][boxes.clip_of_group]
            x, of_groups = block(x, queries, past, mask)
            pooled.append(of_groups[boxes.first_group])
        return x[boxes.group, boxes.slot], pooled
