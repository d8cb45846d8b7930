"""The peers' own models, their weights in ours: the same numbers, and back again bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models.video import mvit_v2_s

from memvit.models import create_model
from memvit.models.weights.layouts import OPENMMLAB, TIMM, TORCHVISION, from_ours
from tests.conftest import filled, official_state
from tests.golden import fill


def with_weights_of(peer: nn.Module, name: str, folder: Path) -> nn.Module:
    path = folder / "peer.pth"
    torch.save(peer.state_dict(), path)
    return create_model(name, checkpoint=path)


@torch.inference_mode()
@pytest.mark.slow
def test_torchvision_video(tmp_path: Path) -> None:
    peer = filled(mvit_v2_s().eval())
    ours = with_weights_of(peer, "mvitv2_s_16x4.k400", tmp_path)
    clip = fill.clip("torchvision", (1, 3, 16, 224, 224))
    torch.testing.assert_close(ours(clip).log_softmax(-1), peer(clip).log_softmax(-1), atol=1e-4, rtol=0)
    written = from_ours(ours.state_dict(), TORCHVISION, ours.config)
    assert written.keys() == peer.state_dict().keys()
    assert all(torch.equal(written[key], value) for key, value in peer.state_dict().items())


@pytest.mark.parametrize(
    ("peer_name", "name"),
    [
        ("mvitv2_tiny", "mvitv2_t.in1k"),
        ("mvitv2_small", "mvitv2_s.in1k"),
        pytest.param("mvitv2_base", "mvitv2_b.in1k", marks=pytest.mark.slow),
        pytest.param("mvitv2_large", "mvitv2_l.in1k", marks=pytest.mark.slow),
    ],
)
@torch.inference_mode()
def test_timm_images(peer_name: str, name: str, tmp_path: Path) -> None:
    peer = filled(timm.create_model(peer_name).eval())
    ours = with_weights_of(peer, name, tmp_path)
    image = fill.clip(peer_name, (1, 3, 224, 224))
    torch.testing.assert_close(ours(image).log_softmax(-1), peer(image).log_softmax(-1), atol=1e-4, rtol=0)
    written = from_ours(ours.state_dict(), TIMM, ours.config)
    assert written.keys() == peer.state_dict().keys()
    assert all(torch.equal(written[key], value) for key, value in peer.state_dict().items())


@torch.inference_mode()
def test_timm_adds_queries_to_the_cls_token_and_the_reference_does_not(tmp_path: Path) -> None:
    peer = filled(timm.create_model("mvitv2_base_cls").eval())
    image = fill.clip("cls", (1, 3, 224, 224))
    ours = with_weights_of(peer, "mvitv2_b.in21k", tmp_path)
    assert (ours(image).log_softmax(-1) - peer(image).log_softmax(-1)).abs().max() > 1e-2
    for name, parameter in peer.named_parameters():
        if ".norm_q." in name:
            parameter.zero_()  # all queries are zero, so adding them changes nothing
    ours = with_weights_of(peer, "mvitv2_b.in21k", tmp_path)
    torch.testing.assert_close(ours(image).log_softmax(-1), peer(image).log_softmax(-1), atol=1e-4, rtol=0)


def openmmlab(state: dict[str, torch.Tensor], head: str) -> dict[str, torch.Tensor]:
    """The official names as mmpretrain (`head.fc`) or mmaction2 (`cls_head.fc_cls`) writes them."""
    renamed = {}
    for name, value in state.items():
        if name.startswith("head.projection."):
            name = name.replace("head.projection.", head)
        else:
            name = "backbone." + name.replace("patch_embed.proj.", "patch_embed.projection.")
            name = "backbone.norm3." + name.removeprefix("backbone.norm.") if ".norm." in name[:15] else name
        renamed[name] = value
    return renamed


@pytest.mark.parametrize(
    ("name", "stem", "head"),
    [
        ("mvitv2_t.in1k", "mvitv2_t_in1k", "head.fc."),
        ("mvitv2_s_16x4.k400", "mvitv2_s_16x4_k400", "cls_head.fc_cls."),
    ],
)
def test_openmmlab_files(name: str, stem: str, head: str, tmp_path: Path) -> None:
    official = official_state(stem)
    state = openmmlab(official, head)
    assert "backbone.norm3.weight" in state
    if "backbone.cls_token" not in state:
        state["backbone.cls_token"] = torch.zeros(1, 1, 96)  # written also for models without one
    path = tmp_path / "mm.pth"
    torch.save({"state_dict": state, "meta": {"epoch": 200}}, path)
    model = create_model(name, checkpoint=path)
    weight = model.backbone.blocks[1].proj.weight
    assert torch.equal(weight, official["blocks.1.proj.weight"])
    with pytest.raises(ValueError, match="can be read but not written"):
        from_ours(model.state_dict(), OPENMMLAB, model.config)


def test_a_layout_without_a_place_for_the_model_says_so() -> None:
    model = create_model("memvit_tiny_8x4")
    with pytest.raises(ValueError, match="no place for MeMViT"):
        from_ours(model.state_dict(), TIMM, model.config)
    video = create_model("mvitv2_s_16x4.k400")
    with pytest.raises(ValueError, match="images only"):
        from_ours(video.state_dict(), TIMM, video.config)
