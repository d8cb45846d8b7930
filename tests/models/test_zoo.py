"""Sizes of the zoo against the published figures, counted on the built models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memvit.models import MODELS, MeMViT, create_model, list_models
from memvit.runtime.flops import Repeats, count_clip_macs, count_macs, count_parameters
from pipelines.listing import model_rows
from tools.list_models import counted


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mvitv2_t.in1k", 24_173_320),
        ("mvitv2_s.in1k", 34_870_216),
        ("mvitv2_b.in1k", 51_472_744),
        ("mvitv2_l.in1k", 217_992_952),
        ("mvitv2_b.in21k", 65_444_032),
        ("mvitv2_l.in21k", 234_583_216),
        ("mvitv2_h.in21k", 694_804_128),
        ("mvitv2_s_16x4.k400", 34_537_744),
        ("mvitv2_b_32x3.k400", 51_230_128),
        ("mvitv2_l_40x3.k400", 213_390_112),
        ("mvitv2_s_16x4.ssv2", 34_363_950),
        ("mvitv2_b_32x3.ssv2", 51_056_334),
        ("mvitv2_l_40x3.ssv2", 213_129_534),
        ("memvit_16_16x4.ava_k400", 42_230_624),
        ("memvit_24_32x3.ava_k600", 59_443_136),
        ("memvit_24_32x3.ava_k700", 59_443_136),
    ],
)
def test_parameters_are_exact(name: str, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(create_model(name)) == parameters


def test_published_memvit_size_is_with_memory_and_400_classes() -> None:
    with torch.device("meta"):
        assert round(count_parameters(create_model("memvit_16_16x4.k400")) / 1e6, 1) == 35.4
        assert round(count_parameters(create_model("memvit_24_32x3.k600", num_classes=400)) / 1e6, 1) == 52.6


def steady_state(name: str) -> tuple[nn.Module, list[object]]:
    """A model on the meta device (shapes only) and inputs to call it on, with memory where it has one."""
    with torch.device("meta"), torch.no_grad():
        model = create_model(name)
        config = model.config
        inputs: list[object] = [torch.empty(1, 3, *([config.frames] * (config.frames > 1)), config.crop, config.crop)]
        if isinstance(model, MeMViT):
            inputs.append([torch.empty(1, 4)] if config.head.kind == "action" else None)
            inputs.append(model(*inputs)[1])
    return model, inputs


@pytest.mark.parametrize(
    ("name", "published_gmacs", "tolerance"),
    [
        ("mvitv2_t.in1k", 4.7, 0.01),
        ("mvitv2_s.in1k", 7.0, 0.01),
        ("mvitv2_b.in1k", 10.2, 0.01),
        ("mvitv2_l.in1k", 43.87, 0.005),  # OpenMMLab's; 42.1 in the official table is of the variant with a cls token
        ("mvitv2_l.in21k", 42.1, 0.005),
        ("mvitv2_h.in21k", 120.6, 0.005),
        ("mvitv2_s_16x4.k400", 64.224, 1e-4),  # torchvision's count of the same model
        ("mvitv2_b_32x3.k400", 225, 0.003),
        ("mvitv2_l_40x3.k400", 2828, 0.003),
        ("memvit_16_16x4.k400", 58.7, 0.005),
        ("memvit_24_32x3.k600", 211.7, 0.005),
    ],
)
def test_multiply_accumulates_match_the_published(name: str, published_gmacs: float, tolerance: float) -> None:
    """Papers count LayerNorm and the unread layers' compression too, a few tenths of a per cent."""
    with torch.device("meta"):
        model = create_model(name)
    assert count_clip_macs(model) / 1e9 == pytest.approx(published_gmacs, rel=tolerance)


def test_memory_costs_a_few_per_cent() -> None:
    model, inputs = steady_state("memvit_16_16x4.ava_k400")
    ratio = count_macs(model, *inputs) / count_macs(model, *inputs[:2], remember=False)
    assert 1.02 < ratio < 1.045


def test_counting_on_a_real_device_gives_the_same() -> None:
    model = create_model("memvit_tiny_8x4")
    clip, boxes = torch.zeros(1, 3, 8, 64, 64), [torch.zeros(1, 4)]
    with torch.no_grad():
        memory = model(clip, boxes)[1]
    shapes_only, inputs = steady_state("memvit_tiny_8x4")
    assert count_macs(model, clip, boxes, memory) == count_macs(shapes_only, *inputs) == count_clip_macs(model) > 0


def test_blocks_that_are_alike_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = steady_state("memvit_16_16x4.ava_k400")
    spared = count_macs(model, *inputs)
    monkeypatch.setattr(Repeats, "spare", lambda self, model: None)
    assert count_macs(model, *inputs) == spared


@pytest.mark.parametrize("name", ["memvit_tiny_8x4", "mvitv2_t.in1k", "memvit_16_16x4.k400"])
def test_what_the_list_of_models_stores_is_as_counted(name: str) -> None:
    (row,) = model_rows(name)
    assert {"parameters": row["parameters"], "macs": row["macs"]} == counted(name)


def test_receptive_fields() -> None:
    with torch.device("meta"):
        assert create_model("memvit_16_16x4.ava_k400").receptive_field == 36
        assert create_model("memvit_24_32x3.ava_k700").receptive_field == 78


def test_names() -> None:
    assert list_models("memvit_16*") == ["memvit_16_16x4.ava_k400", "memvit_16_16x4.k400"]
    assert {"memvit_24_32x3.ava_k600", "memvit_24_32x3.k700", "mvitv2_l_40x3.ssv2", "memvit_tiny_8x4"} <= set(MODELS)
    with pytest.raises(ValueError, match=r"no model 'memvit_16_16x4.ava'; did you mean memvit_16_16x4.ava_k400"):
        create_model("memvit_16_16x4.ava")
    with pytest.raises(ValueError, match="names a detector"):
        create_model("mask_rcnn_mvitv2_t.coco")
    with pytest.raises(ValueError, match="exclude each other"):
        create_model("memvit_tiny_8x4", pretrained=True, checkpoint="x")
    with pytest.raises(ValueError, match="no weights are published for memvit_tiny_8x4"):
        create_model("memvit_tiny_8x4", pretrained=True)


@torch.inference_mode()
def test_every_small_model_of_the_zoo_runs_as_its_entry_says() -> None:
    """Shapes only: its numbers are those of the golden files."""
    with torch.device("meta"):
        for name, entry in MODELS.items():
            if entry.config.depth > 16:
                continue
            model = create_model(name, num_classes=5)
            assert not model.training
            steps, side = entry.preprocessing.num_frames, entry.preprocessing.short_side
            clip = torch.zeros(1, 3, side, side) if steps == 1 else torch.zeros(1, 3, steps, side, side)
            if not isinstance(model, MeMViT):
                assert model(clip).shape == (1, 5)
            elif entry.head.kind == "action":
                assert model(clip, [torch.tensor([[0.0, 0, 20, 20]] * 3)])[0].shape == (3, 5)
            else:
                assert model(clip)[0].shape == (1, 5)
