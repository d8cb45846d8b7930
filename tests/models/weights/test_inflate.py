"""Image weights in a video model: a video of one image repeated says what the image says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memvit.models import CheckpointError, MViT, create_model, load_image_weights
from memvit.models.weights.layouts import SLOWFAST, from_ours
from memvit.models.zoo import ARCHITECTURES
from tests.conftest import filled
from tests.golden import fill

SMALL = {"embed_dim": 24, "depth": 4, "stage_starts": (1, 2, 3), "crop": 64}


def test_a_still_video_is_its_image(tmp_path: Path) -> None:
    # The image's adaptive stride is 4 and the video's 8; equal here, so that both pool the same.
    image_model = filled(MViT(replace(ARCHITECTURES["mvitv2_s"], **SMALL)).eval())
    torch.save(from_ours(image_model.state_dict(), SLOWFAST, image_model.config), tmp_path / "image.pyth")
    video_config = replace(
        ARCHITECTURES["mvitv2_s_16x4"],
        **SMALL,
        frames=8,
        cls_token=False,
        kv_stride=(1, 4, 4),
        head=image_model.config.head,
    )
    video_model = MViT(video_config).eval()
    report = load_image_weights(video_model, tmp_path / "image.pyth")
    assert report.new == ()
    image = fill.clip("still", (2, 3, 64, 64))
    with torch.inference_mode():
        still = video_model(image.unsqueeze(2).expand(-1, -1, 8, -1, -1))
        torch.testing.assert_close(still, image_model(image), atol=1e-4, rtol=1e-4)


def test_kinetics_training_begins_from_imagenet(tmp_path: Path) -> None:
    image_model = filled(create_model("mvitv2_s.in1k"))
    torch.save({"model_state": from_ours(image_model.state_dict(), SLOWFAST, image_model.config)}, tmp_path / "s.pyth")
    model = create_model("mvitv2_s_16x4.k400")
    report = load_image_weights(model, tmp_path / "s.pyth")
    assert set(report.new) == {"backbone.cls_token", "head.projection.weight", "head.projection.bias"}
    kernel = model.backbone.patch_embed.proj.weight
    assert torch.equal(kernel[:, :, 1], image_model.backbone.patch_embed.proj.weight[:, :, 0])
    assert not kernel[:, :, (0, 2)].any()
    assert not model.backbone.blocks[3].attn.rel_pos_t.any()


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    image_model = create_model("mvitv2_t.in1k")
    torch.save(image_model.state_dict(), tmp_path / "t.pth")
    with pytest.raises(CheckpointError, match=r"t\.pth: not image weights for this model"):
        load_image_weights(create_model("mvitv2_s_16x4.k400"), tmp_path / "t.pth")
