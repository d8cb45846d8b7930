"""Any number of boxes: none, one, and more than a group of slots holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from memvit.models import HeadConfig, MeMViT
from memvit.models.heads import BoxAttention, BoxBlock
from tests.models.test_memory import boxes, clip, watch


@torch.inference_mode()
def test_no_box_is_legal_and_time_goes_on(tiny: nn.Module) -> None:
    _, history = watch(tiny, "a", 3)
    logits, memory = tiny(clip("a", 3), [boxes(0)], history[-1])
    assert logits.shape == (0, 80)
    assert memory.ages.tolist() == [4]
    after_nobody, _ = tiny(clip("a", 4), [boxes(2)], memory)
    _, with_people = tiny(clip("a", 3), [boxes(2)], history[-1])
    after_people, _ = tiny(clip("a", 4), [boxes(2)], with_people)
    assert after_nobody.shape == after_people.shape == (2, 80)


@torch.inference_mode()
def test_more_boxes_than_slots_go_into_groups(tiny: nn.Module) -> None:
    """Each group answers as if it were the clip's only one; later clips remember the first."""
    _, history = watch(tiny, "a", 5)
    slots = tiny.config.head.box_slots
    crowd = boxes(2 * slots + 3)
    logits, memory = tiny(clip("a", 5), [crowd], history[-1])
    assert logits.shape == (2 * slots + 3, 80)
    for start in (0, slots, 2 * slots):
        alone, remembered = tiny(clip("a", 5), [crowd[start : start + slots]], history[-1])
        torch.testing.assert_close(logits[start : start + slots], alone, atol=1e-5, rtol=0)
        assert torch.allclose(memory.boxes[0][:, -1], remembered.boxes[0][:, -1], atol=1e-5) == (start == 0)


@torch.inference_mode()
def test_a_crowd_and_a_lone_person_share_a_batch(tiny: nn.Module) -> None:
    clips = torch.cat([clip("a", 0), clip("b", 0), clip("c", 0)])
    people = [boxes(130), boxes(0), boxes(1)]
    logits, _ = tiny(clips, people)
    alone = torch.cat([tiny(clips[row : row + 1], [people[row]])[0] for row in range(3)])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_people_of_a_clip_see_each_other(tiny: nn.Module) -> None:
    pair = boxes(2)
    together, _ = tiny(clip("a", 0), [pair])
    alone, _ = tiny(clip("a", 0), [pair[:1]])
    assert (together[:1] - alone).abs().max() > 1e-4


def box_attention(**rates: float) -> BoxAttention:
    torch.manual_seed(0)
    attention = BoxAttention(16, 2, HeadConfig("action", 4, **rates))
    nn.init.normal_(attention.proj.bias)
    return attention


SLOTS = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(1))


def test_dropout_of_queries_keys_and_values_comes_after_their_projections() -> None:
    attention = box_attention(box_qkv_dropout=1.0)
    out = attention(SLOTS, 6, None, None)
    assert torch.equal(out, attention.proj.bias.expand_as(out)), "nothing is left but the output's bias"


def test_dropout_of_attention_is_of_its_probabilities() -> None:
    """The output is linear in them: its mean is that without dropout, and the queries that are added stay."""
    attention, still = box_attention(box_attention_dropout=0.5), box_attention()
    with torch.no_grad():
        drawn = torch.stack([attention(SLOTS, 6, None, None) for _ in range(2000)])
        expected = still(SLOTS, 6, None, None)
    assert drawn.std(0).min() > 0
    torch.testing.assert_close(drawn.mean(0), expected, atol=0.05, rtol=0)


def test_dropout_of_the_box_block_s_outputs_leaves_the_skip_path() -> None:
    block = BoxBlock(16, 2, HeadConfig("action", 4, box_dropout=1.0))
    x, _ = block(SLOTS, 6, None, None)
    assert torch.equal(x, SLOTS)


def test_dropout_of_the_hidden_layer_of_the_box_block_s_mlp() -> None:
    mlp = BoxBlock(16, 2, HeadConfig("action", 4, box_dropout=0.3)).mlp
    hidden: list[torch.Tensor] = []
    mlp.fc2.register_forward_hook(lambda module, inputs, output: hidden.append(inputs[0]))
    mlp(SLOTS)
    assert float((hidden[0] == 0).float().mean()) == pytest.approx(0.3, abs=0.05)


@torch.inference_mode()
def test_box_dropout_does_not_touch_inference(tiny: nn.Module) -> None:
    rates = {"box_attention_dropout": 0.5, "box_qkv_dropout": 0.3, "box_dropout": 0.3}
    other = MeMViT(replace(tiny.config, head=replace(tiny.config.head, **rates))).eval()
    other.load_state_dict(tiny.state_dict())
    assert torch.equal(other(clip("a", 0), [boxes(3)])[0], tiny(clip("a", 0), [boxes(3)])[0])
    other.train()
    assert not torch.equal(other(clip("a", 0), [boxes(3)])[0], tiny(clip("a", 0), [boxes(3)])[0])
