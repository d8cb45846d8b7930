"""What is asked of the tokens: the class of a clip, or the actions of each person in it.

Parameter names inside the heads are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attend import MASK_VALUE
from .config import Grid, HeadConfig
from .layers import Mlp, layer_norm
from .roi_align import roi_align
from .transfer import sent

ROI_SIZE = 7


class ClassificationHead(nn.Module):
    """One answer a clip, from the cls token or, without one, the mean token."""

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

    def forward(self, slots: Tensor, queries: int, past: Tensor | None, readable: Tensor | None) -> Tensor:
        """(G, slots, C), of which the first `queries` ask → (G, queries, C).

        `past` is (G, R, slots, C), oldest first, and `readable` (G, R) bool.
        """
        q = self.qkv_dropout(self.q(slots[:, :queries]))
        source, mask = slots, None
        if past is not None and readable is not None:
            source = torch.cat((past.flatten(1, 2), slots), dim=1)
            unreadable = torch.where(readable, 0.0, MASK_VALUE).to(slots.dtype).repeat_interleave(past.shape[2], 1)
            mask = F.pad(unreadable, (0, slots.shape[1]))[:, None, None]
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
        self, slots: Tensor, queries: int, past: Tensor | None, readable: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(G, slots, C) → the first `queries` of them, updated, and what may be remembered, (G, slots, C)."""
        normed = self.norm1(slots)
        x = slots[:, :queries] + self.attn(normed, queries, past, readable)
        return x + self.mlp(self.norm2(x)), normed


class ActionHead(nn.Module):
    """The actions of each person: RoIAlign of the time average, boxes attend to boxes, a linear layer.

    Boxes sit in groups of `box_slots`; empty slots are zeros and are attended to (the official weights expect it). A
    clip with more boxes gets further groups, which the reference has not: boxes attend within their group only, every
    group reads the same past, and the first group is what later clips remember of this one.
    """

    def __init__(self, dim: int, config: HeadConfig, *, heads: int, spatial_stride: int) -> None:
        super().__init__()
        self.slots = config.box_slots
        self.spatial_stride = spatial_stride
        self.box_blocks = nn.ModuleList(BoxBlock(dim, heads, config) for _ in range(config.box_blocks))
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(dim, config.num_classes)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid,
        boxes: Sequence[Tensor],
        pasts: Sequence[Tensor] | None = None,
        readable: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Tokens (B, T·H·W, C) without cls and B tensors (N_i, 4), xyxy in input pixels → logits (sum N_i, classes).

        `pasts` holds, a box block, (B, R, slots, C); `readable` is (B, R). Also returns the features (sum N_i, C) that
        the logits are read from, and the fresh (B, slots, C) of each block.
        """
        maps = tokens.unflatten(1, grid).mean(1).permute(0, 3, 1, 2)
        # RoIAlign knows no bfloat16 on a CPU, and box coordinates want the precision anyhow.
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        aligned = roi_align(maps, boxes, size=ROI_SIZE, spatial_scale=1 / self.spatial_stride)
        features = aligned.amax(dim=(2, 3)).to(tokens.dtype)
        fresh: list[Tensor] = []
        if len(self.box_blocks):
            features, fresh = self._among_boxes(features, [len(box) for box in boxes], pasts, readable)
        return self.projection(self.dropout(features)), features, fresh

    def _among_boxes(
        self, features: Tensor, counts: list[int], pasts: Sequence[Tensor] | None, readable: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        places = [(stream, box) for stream, count in enumerate(counts) for box in range(count)]
        groups = [max(1, -(-count // self.slots)) for count in counts]
        first = [sum(groups[:stream]) for stream in range(len(groups))]
        streams = [stream for stream, count in enumerate(groups) for _ in range(count)]
        parts = (
            [first[stream] + box // self.slots for stream, box in places],
            [box % self.slots for _, box in places],
            streams,
            first,
        )
        indices = torch.tensor([index for part in parts for index in part], dtype=torch.long)
        group, slot, stream_of_group, first_group = sent(indices, features.device).split([len(part) for part in parts])

        x = features.new_zeros(sum(groups), self.slots, features.shape[1]).index_put((group, slot), features)
        asking = min(self.slots, max(counts, default=0))
        fresh = []
        for index, block in enumerate(self.box_blocks):
            # Nobody reads what empty slots answer in the last block.
            queries = asking if index == len(self.box_blocks) - 1 else self.slots
            past = None if pasts is None else pasts[index][stream_of_group]
            x, left_behind = block(x, queries, past, None if readable is None else readable[stream_of_group])
            fresh.append(left_behind[first_group])
        return x[group, slot], fresh
