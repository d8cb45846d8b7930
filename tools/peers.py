"""The same models in other people's code: torchvision, timm and pytorchvideo, where installed."""

from __future__ import annotations

import sys

from torch import nn

from memvit.models import MViTConfig, model_entry

TIMM_NAMES = {
    "mvitv2_t.in1k": "mvitv2_tiny",
    "mvitv2_s.in1k": "mvitv2_small",
    "mvitv2_b.in1k": "mvitv2_base",
    "mvitv2_l.in1k": "mvitv2_large",
    "mvitv2_b.in21k": "mvitv2_base_cls",
    "mvitv2_l.in21k": "mvitv2_large_cls",
    "mvitv2_h.in21k": "mvitv2_huge_cls",
}
VIDEO_NAMES = ("mvitv2_s_16x4.k400", "mvitv2_b_32x3.k400", "mvitv2_l_40x3.k400")
FAMILIES = {"images": tuple(TIMM_NAMES), "video": VIDEO_NAMES}


def peer_of(name: str) -> tuple[str, nn.Module] | None:
    """Name and model of the same size in timm (images) or torchvision (video); None where there is none."""
    if name in TIMM_NAMES:
        try:
            import timm
        except ImportError as error:
            print(f"timm is left out: {error}", file=sys.stderr)
            return None
        return f"timm {TIMM_NAMES[name]}", timm.create_model(TIMM_NAMES[name])
    if name in VIDEO_NAMES:
        return f"torchvision MViT as {name.partition('.')[0]}", torchvision_video(model_entry(name).config)
    return None


def torchvision_video(config: MViTConfig) -> nn.Module:
    """torchvision's MViT with the blocks of one of our configs; for S it is its own `mvit_v2_s`."""
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    blocks = [
        MSBlockConfig(
            num_heads=block.heads,
            input_channels=block.dim,
            output_channels=block.dim_out,
            kernel_q=list(config.pool_kernel),
            kernel_kv=list(config.pool_kernel),
            stride_q=list(block.q_stride),
            stride_kv=list(block.kv_stride),
        )
        for block in config.blocks()
    ]
    return MViT(
        spatial_size=(config.crop, config.crop),
        temporal_size=config.frames,
        block_setting=blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=config.head.num_classes,
    )


def pytorchvideo_mvit() -> nn.Module | None:
    """pytorchvideo's MViT-B 16x4 with the strides of MViTv2-S (it has no relative positions)."""
    try:
        from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
    except ImportError as error:
        print(f"pytorchvideo is left out: {error}", file=sys.stderr)
        return None
    model: nn.Module = create_multiscale_vision_transformers(
        spatial_size=224,
        temporal_size=16,
        embed_dim_mul=[[1, 2.0], [3, 2.0], [14, 2.0]],
        atten_head_mul=[[1, 2.0], [3, 2.0], [14, 2.0]],
        pool_q_stride_size=[[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 8, 8],
        pool_kvq_kernel=[3, 3, 3],
    )
    return model
