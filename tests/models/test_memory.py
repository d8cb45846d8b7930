"""Memory is a value: what goes in decides what comes out, alone or in a batch, before or after a save."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from memvit.models import Memory, MemoryConfig, MeMViT, create_model
from tests.conftest import filled
from tests.golden import fill

PIXELS = 64


def clip(stream: str, index: int) -> Tensor:
    return fill.clip(f"tiny/{stream}/{index}", (1, 3, 8, PIXELS, PIXELS))


def boxes(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    corner = torch.rand(count, 2, generator=generator) * PIXELS / 2
    return torch.cat((corner, corner + 8 + torch.rand(count, 2, generator=generator) * PIXELS / 3), dim=1)


@torch.inference_mode()
def watch(model: nn.Module, stream: str, clips: int, people: int = 2) -> tuple[list[Tensor], list[Memory]]:
    """Logits and memory after each clip of one stream run alone."""
    memory, logits, memories = None, [], []
    for index in range(clips):
        answer, memory = model(clip(stream, index), [boxes(people)], memory)
        logits.append(answer)
        memories.append(memory)
    return logits, memories


def test_a_call_changes_nothing_but_its_result(tiny: nn.Module) -> None:
    _, memories = watch(tiny, "a", 5)
    before = {name: value.clone() for name, value in memories[-1].state_dict().items() if isinstance(value, Tensor)}
    with torch.inference_mode():
        first, _ = tiny(clip("a", 5), [boxes(2)], memories[-1])
        second, _ = tiny(clip("a", 5), [boxes(2)], memories[-1])
    assert torch.equal(first, second)
    after = memories[-1].state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_batched_equals_single_with_streams_of_different_age_and_people(tiny: nn.Module) -> None:
    ages, people = {"a": 0, "b": 1, "c": 3, "d": 7}, {"a": 1, "b": 0, "c": 4, "d": 2}
    blank = watch(tiny, "blank", 1)[1][0].blank(1)
    memories, alone = [], []
    for stream, age in ages.items():
        logits, history = watch(tiny, stream, age + 1, people[stream])
        alone.append(logits[-1])
        memories.append(history[age - 1] if age else blank)
    with torch.inference_mode():
        together, memory = tiny(
            torch.cat([clip(stream, age) for stream, age in ages.items()]),
            [boxes(people[stream]) for stream in ages],
            Memory.stack(memories),
        )
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert memory.ages.tolist() == [1, 2, 4, 8]


def test_joining_a_batch_does_not_change_what_is_remembered(tiny: nn.Module) -> None:
    histories = {stream: watch(tiny, stream, 6)[1] for stream in "ab"}
    with torch.inference_mode():
        _, joint = tiny(
            torch.cat([clip("a", 5), clip("b", 3)]),
            [boxes(2), boxes(2)],
            Memory.stack([histories["a"][4], histories["b"][2]]),
        )
    for row, alone in enumerate((histories["a"][5], histories["b"][3])):
        found, expected = joint.select([row]).state_dict(), alone.state_dict()
        for name, value in expected.items():
            if isinstance(value, Tensor):
                torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0)


def test_a_memory_too_young_to_be_read_is_no_memory(tiny: nn.Module) -> None:
    _, history = watch(tiny, "a", 1)
    with torch.inference_mode():
        with_memory, _ = tiny(clip("a", 1), [boxes(2)], history[0])
        without, _ = tiny(clip("a", 1), [boxes(2)], None)
    torch.testing.assert_close(with_memory, without, atol=1e-5, rtol=0)


def test_saved_and_restored_equals_uninterrupted(tiny: nn.Module) -> None:
    logits, history = watch(tiny, "a", 7)
    file = io.BytesIO()
    torch.save(history[4].state_dict(), file)
    file.seek(0)
    memory = Memory.from_state_dict(torch.load(file, weights_only=True))
    for index in (5, 6):
        with torch.inference_mode():
            answer, memory = tiny(clip("a", index), [boxes(2)], memory)
        assert torch.equal(answer, logits[index])


def test_select_stack_and_to(tiny: nn.Module) -> None:
    parts = [watch(tiny, stream, age)[1][-1] for stream, age in (("a", 1), ("b", 2), ("c", 3))]
    stacked = Memory.stack(parts)
    assert stacked.batch_size == 3
    assert stacked.ages.tolist() == [1, 2, 3]
    again = Memory.stack([stacked.select([2]), stacked.select([0])])
    for name, value in again.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(value, torch.cat([parts[2].state_dict()[name], parts[0].state_dict()[name]]))
    moved = stacked.to("cpu", torch.bfloat16)
    assert moved.ages.dtype == torch.int64
    assert moved.layers[0].compressed.keys.dtype == torch.bfloat16
    assert 0 < moved.nbytes < stacked.nbytes


def test_memory_of_another_shape_is_refused(tiny: nn.Module) -> None:
    _, history = watch(tiny, "a", 1)
    with pytest.raises(ValueError, match="2 clips need the memory of 2 streams, got 1"):
        tiny(torch.cat([clip("a", 1)] * 2), [boxes(1)] * 2, history[0])
    wide = fill.clip("wide", (1, 3, 8, PIXELS, 2 * PIXELS))
    with pytest.raises(ValueError, match=r"another model or input size.*start the stream with memory=None"):
        tiny(wide, [boxes(1)], history[0])
    other = filled(MeMViT(replace(tiny.config, memory=MemoryConfig(layers=(0, 1), reads=(1, 2)))).eval())
    with pytest.raises(ValueError, match="another model or input size"):
        other(clip("a", 1), [boxes(1)], history[0])
    with torch.inference_mode():
        _, wide_memory = tiny(wide, [boxes(1)])
    with pytest.raises(ValueError, match="cannot share a batch"):
        Memory.stack([history[0], wide_memory])
    with pytest.raises(ValueError, match="not the state of a Memory"):
        Memory.from_state_dict({"layers.0.compressed.keys": torch.zeros(1)})


def test_arguments_that_do_not_fit_are_refused(tiny: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"clips of shape \(B, 3, 8, H, W\), got \(1, 3, 16, 64, 64\)"):
        tiny(torch.zeros(1, 3, 16, 64, 64), [boxes(1)])
    with pytest.raises(ValueError, match="1 clips need a list of 1 box tensors, got none"):
        tiny(clip("a", 0))
    with pytest.raises(ValueError, match=r"boxes of clip 0 must be \(N, 4\)"):
        tiny(clip("a", 0), [torch.zeros(4)])
    with pytest.raises(ValueError, match="takes no boxes"):
        create_model("memvit_16_16x4.k400")(torch.zeros(1, 3, 16, 224, 224), [boxes(1)])


@pytest.mark.parametrize("reads", [(1, 2), (2, 4), (3,)])
def test_receptive_field_is_exact(reads: tuple[int, ...]) -> None:
    """Clip t sees clip t - receptive_field and nothing before it."""
    plan = MemoryConfig(layers=(0, 2), reads=reads)
    model = filled(MeMViT(replace(create_model("memvit_tiny_8x4").config, memory=plan)).eval()).double()
    reach = model.receptive_field
    assert reach == 3 * max(reads)
    last = reach + 1

    @torch.inference_mode()
    def answer(changed: int | None) -> Tensor:
        memory = None
        for index in range(last + 1):
            images = clip("changed" if index == changed else "a", index).double()
            logits, memory = model(images, [boxes(2).double()], memory)
        return logits

    unchanged = answer(None)
    assert torch.equal(answer(0), unchanged), "changed by a clip before the receptive field"
    assert (answer(1) - unchanged).abs().max() > 1e-9, "not changed by the first clip of the receptive field"


@pytest.mark.parametrize("reads", [(1,), (2, 4), (3, 6), (1, 2, 3), (1, 2, 4, 8)])
def test_compression_is_trained_and_training_computes_the_same(reads: tuple[int, ...]) -> None:
    """While training, clips are compressed inside the graph of the step that first reads them."""
    plan = MemoryConfig(layers=(0, 2), reads=reads)
    model = filled(MeMViT(replace(create_model("memvit_tiny_8x4").config, memory=plan)))
    trained, streamed = None, None
    for index in range(max(reads) + 2):
        model.train()
        model.zero_grad()
        logits, trained = model(clip("a", index), [boxes(2)], trained)
        logits.square().sum().backward()
        for layer in plan.layers:
            for name, parameter in model.backbone.blocks[layer].attn.named_parameters():
                if "compress" in name:
                    has_gradient = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
                    assert has_gradient == (index >= reads[0]), (index, layer, name)
        model.eval()
        with torch.inference_mode():
            expected, streamed = model(clip("a", index), [boxes(2)], streamed)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert not any(value.requires_grad for value in trained.state_dict().values() if isinstance(value, Tensor))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_keeps_its_memory_in_it(tiny: nn.Module, dtype: torch.dtype) -> None:
    expected, _ = watch(tiny, "a", 5)
    model = filled(create_model("memvit_tiny_8x4")).to(dtype)
    memory = None
    with torch.inference_mode():
        for index in range(5):
            logits, memory = model(clip("a", index).to(dtype), [boxes(2)], memory)
    assert memory.layers[0].compressed.keys.dtype == logits.dtype == dtype
    assert (logits.float().sigmoid() - expected[-1].sigmoid()).abs().max() < 0.05


def test_clip_classifier_with_memory_carries_it() -> None:
    plan = create_model("memvit_tiny_8x4").config
    model = filled(MeMViT(replace(plan, head=replace(plan.head, kind="classification", box_blocks=0))).eval())
    with torch.inference_mode():
        memory = None
        for index in range(3):
            logits, memory = model(clip("a", index), None, memory)
        alone, _ = model(clip("a", 2))
    assert logits.shape == (1, 80)
    assert (logits - alone).abs().max() > 1e-3
