"""The classifiers: other resolutions, multiscale maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from memvit.models import MODELS, create_model
from memvit.models.build import build
from tests.golden import fill


@pytest.mark.parametrize(("name", "widths"), [("mvitv2_t.in1k", (96, 192, 384, 768))])
@torch.inference_mode()
def test_image_features_are_maps_of_four_strides(name: str, widths: tuple[int, ...]) -> None:
    model = create_model(name)
    maps = model.forward_features(fill.clip("maps", (2, 3, 224, 320)))
    assert [tuple(found.shape) for found in maps] == [
        (2, width, 224 // stride, 320 // stride) for width, stride in zip(widths, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("pixels", [96, pytest.param(224, marks=pytest.mark.slow)])
@torch.inference_mode()
def test_the_last_map_is_what_the_head_sees(pixels: int) -> None:
    model = create_model("mvitv2_s_16x4.k400", num_classes=5)
    clip = fill.clip("maps", (1, 3, 16, pixels, pixels))
    last = model.forward_features(clip)[-1]
    tokens, grid, _ = model.backbone(clip)
    assert last.shape == (1, 768, *grid)
    torch.testing.assert_close(model.backbone.norm(last.flatten(2).transpose(1, 2)), tokens[:, 1:])


@torch.inference_mode()
def test_other_resolutions_interpolate_positions() -> None:
    model = create_model("mvitv2_t.in1k")
    assert model(fill.clip("large", (1, 3, 384, 384))).shape == (1, 1000)
    assert model(fill.clip("portrait", (1, 3, 256, 160))).shape == (1, 1000)


@pytest.mark.parametrize(("name", "pixels"), [("mvitv2_l.in1k", 384), ("mvitv2_h.in21k", 512)])
def test_large_models_take_large_images(name: str, pixels: int) -> None:
    """On the meta device: shapes only, no memory, no arithmetic."""
    with torch.device("meta"), torch.no_grad():
        model = create_model(name)
        assert model(torch.empty(1, 3, pixels, pixels)).shape == (1, model.config.head.num_classes)


@pytest.mark.parametrize("wants_gradient", [True, False])
@pytest.mark.parametrize("changes", [{}, {"cls_token": False}, {"dim_mul_in_attention": False}])
def test_autocast_leaves_the_residual_stream_in_float32(changes: dict[str, object], wants_gradient: bool) -> None:
    """Only the branches are computed in a shorter type; sixteen sums in bfloat16 would lose what is small."""
    model = build(replace(MODELS["mvitv2_tiny_8x4"].config, **changes)).train(wants_gradient)
    types = []
    for block in model.backbone.blocks:
        block.register_forward_hook(lambda _, arguments, result: types.append((arguments[0].dtype, result[0].dtype)))
    with torch.set_grad_enabled(wants_gradient), torch.autocast("cpu", torch.bfloat16):
        model(torch.zeros(1, 3, 8, 64, 64))
    assert types == [(torch.float32, torch.float32)] * len(model.backbone.blocks)
