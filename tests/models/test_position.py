"""Frames that are not square, and the look-up caches."""

from __future__ import annotations

import pickle

import torch
from torch import nn

from memvit.models import create_model
from memvit.models.position import axis_lookup, memory_time_lookup
from tests.conftest import filled
from tests.golden import fill


def transposed(model: nn.Module) -> nn.Module:
    """The model that sees height as width: every kernel and table with its two spatial axes swapped."""
    state = model.state_dict()
    swapped = {}
    for name, value in state.items():
        if "rel_pos" in name and name[-1] in "hw":
            name = name[:-1] + {"h": "w", "w": "h"}[name[-1]]
        swapped[name] = value.transpose(3, 4) if value.ndim == 5 else value
    twin = create_model("memvit_tiny_8x4")
    twin.load_state_dict(swapped)
    return twin


@torch.inference_mode()
def test_portrait_frames_are_wide_frames_turned(tiny: nn.Module) -> None:
    twin = transposed(tiny)
    box = torch.tensor([[4.0, 8, 40, 50], [20, 4, 90, 60]])
    memory = twin_memory = None
    for index in range(4):
        wide = fill.clip(f"wide/{index}", (1, 3, 8, 64, 112))
        logits, memory = tiny(wide, [box], memory)
        turned, twin_memory = twin(wide.transpose(3, 4), [box[:, [1, 0, 3, 2]]], twin_memory)
        torch.testing.assert_close(turned, logits, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_sizes_that_are_no_multiple_of_the_patch_run(tiny: nn.Module) -> None:
    for size in ((64, 113), (87, 64), (50, 50)):
        logits, memory = tiny(fill.clip("odd", (1, 3, 8, *size)), [torch.tensor([[1.0, 1, 40, 40]])])
        assert torch.isfinite(logits).all()
        tiny(fill.clip("odd2", (1, 3, 8, *size)), [torch.tensor([[1.0, 1, 40, 40]])], memory)


def test_lookups_by_hand() -> None:
    table = torch.arange(7.0)[:, None]
    assert axis_lookup(table, 4, 4)[..., 0].tolist() == [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]
    # Keys twice as coarse as queries: a key counts double.
    assert axis_lookup(table, 4, 2)[..., 0].tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]
    # An axis of 6 measured like one of 4, clamped to its range.
    assert axis_lookup(table, 6, 6, guide=(4, 4))[0, :, 0].tolist() == [3, 2, 1, 0, 0, 0]
    # Two past clips of two frames, each frame four apart; the newest is at distance 0 of the first query.
    ages = memory_time_lookup(torch.arange(23.0)[:, None], 8, 4, 4)[..., 0]
    assert ages[0].tolist() == [12, 8, 4, 0]
    assert ages[7].tolist() == [19, 15, 11, 7]


@torch.no_grad()
def test_cached_lookups_follow_the_weights() -> None:
    model = filled(create_model("memvit_tiny_8x4"))
    images, box = fill.clip("cache", (1, 3, 8, 64, 64)), [torch.tensor([[1.0, 1, 40, 40]])]
    before, _ = model(images, box)
    for name, parameter in model.named_parameters():
        if name.endswith("rel_pos_w"):
            parameter.mul_(-1)
    after, _ = model(images, box)
    fresh = create_model("memvit_tiny_8x4")
    fresh.load_state_dict(model.state_dict())
    assert (before - after).abs().max() > 1e-3
    assert torch.equal(after, fresh(images, box)[0])
    model.load_state_dict(filled(create_model("memvit_tiny_8x4")).state_dict(), assign=True)
    assert torch.equal(model(images, box)[0], before)
    rounded = model.to(torch.bfloat16).float()
    fresh.load_state_dict(rounded.state_dict())
    assert torch.equal(rounded(images, box)[0], fresh(images, box)[0])


@torch.inference_mode()
def test_a_model_can_be_pickled_after_a_call(tiny: nn.Module) -> None:
    images, box = fill.clip("pickle", (1, 3, 8, 64, 64)), [torch.tensor([[1.0, 1, 40, 40]])]
    before, _ = tiny(images, box)
    assert torch.equal(pickle.loads(pickle.dumps(tiny))(images, box)[0], before)
