"""A model with memory in slots: training and streaming are one function, and people keep rows of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memvit.models import Memory, MeMViT, model_entry
from memvit.models.box_rows import NO_NUMBER, NOBODY, ClipBoxes, PersonRows, clip_rows, memory_numbers
from memvit.models.slot_memory import slot_view
from memvit.models.zoo import ARCHITECTURES
from memvit.runtime.cpu.runner import CpuRunner

SIDE = 32


@pytest.fixture(scope="module")
def model() -> MeMViT:
    config = ARCHITECTURES["memvit_tiny_8x4"]
    assert config.memory is not None
    memory = replace(config.memory, reads=(), kind="slots", slots=8, train_horizon=48)
    torch.manual_seed(0)
    model = MeMViT(replace(config, crop=SIDE, memory=memory))
    for scores in (model.layer_scores, model.box_scores):
        for parameter in scores.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # far from a mean
    return model


def clips(count: int, streams: int = 2) -> list[tuple[Tensor, list[Tensor], list[list[int]]]]:
    """Clips of streams with up to four people in random order: some without a number, and more people than rows."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for number in range(count):
        counts = torch.randint(0, 5, (streams,), generator=generator).tolist()
        boxes = [torch.tensor([[2.0, 2, 20, 30]]) + 4 * torch.rand(people, 4, generator=generator) for people in counts]
        who = [0, 1, 2, 3, -1, 9 + number // 8]
        persons = [[who[place] for place in torch.randperm(6, generator=generator)[:people]] for people in counts]
        made.append((torch.randn(streams, 3, 8, SIDE, SIDE, generator=generator), boxes, persons))
    return made


@torch.no_grad()
def test_training_and_streaming_are_the_same_function(model: MeMViT) -> None:
    in_training: Memory | None = None
    streamed: Memory | None = None
    sizes = set()
    for images, boxes, persons in clips(40):
        trained, in_training = model.train()(images, boxes, in_training, persons=persons)
        found, streamed = model.eval()(images, boxes, streamed, persons=persons)
        torch.testing.assert_close(found, trained, atol=1e-5, rtol=1e-5)
        assert streamed is not None
        sizes.add(streamed.nbytes)
    assert len(sizes) == 1, "memory takes the same space at every age"


@torch.no_grad()
def test_slots_that_no_stream_fills_can_be_left_out(model: MeMViT) -> None:
    plan, memory, numbers = model.eval().config.memory, None, []
    assert plan is not None
    runner = CpuRunner(model, model_entry("memvit_tiny_8x4").preprocessing)
    for images, boxes, persons in clips(14):
        if memory is not None:
            view = slot_view(memory, plan)
            filled = view.without_empty()
            assert filled is not None
            numbers.append(filled.layers[0].keys.shape[1])
            whole, _ = model.step(images, boxes, view)
            torch.testing.assert_close(model.step(images, boxes, filled)[0].logits, whole.logits, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(runner.step(images, boxes, view)[0].logits, whole.logits, atol=1e-4, rtol=1e-4)
        _, memory = model(images, boxes, memory, persons=persons)
    assert numbers == [1, 2, 2, 3, 3, 4, 3, 4, 4, 5, 4, 5, 5]
    assert memory is not None
    nobody = memory.restarted([True, True], torch.tensor([True, True]))
    assert slot_view(nobody, plan).without_empty() is None


@torch.no_grad()
def test_streams_of_any_age_share_a_batch(model: MeMViT) -> None:
    model.eval()
    alone: list[Memory | None] = [None, None]
    for number, (images, boxes, persons) in enumerate(clips(11)):
        if number < 5:  # the second stream begins later
            _, alone[0] = model(images[:1], boxes[:1], alone[0], persons=persons[:1])
            continue
        parts = []
        for stream in range(2):
            of_stream = slice(stream, stream + 1)
            logits, memory = model(images[of_stream], boxes[of_stream], alone[stream], persons=persons[of_stream])
            parts.append((logits, memory))
        if alone[1] is not None and alone[0] is not None:
            together, memory = model(images, boxes, Memory.stack([alone[0], alone[1]]), persons=persons)
            torch.testing.assert_close(together, torch.cat([logits for logits, _ in parts]), atol=1e-5, rtol=1e-5)
            assert memory is not None
            assert memory.rows is not None
            assert memory.select([1]).rows.people == parts[1][1].rows.people  # type: ignore[union-attr]
        alone = [memory for _, memory in parts]


@torch.no_grad()
def test_the_order_of_boxes_means_nothing(model: MeMViT) -> None:
    model.eval()
    ordered: Memory | None = None
    shuffled: Memory | None = None
    for images, boxes, persons in clips(12, streams=1):
        order = torch.randperm(len(boxes[0]))
        mixed = [[persons[0][place] for place in order]]
        first, ordered = model(images, boxes, ordered, persons=persons)
        second, shuffled = model(images, [boxes[0][order]], shuffled, persons=mixed)
        torch.testing.assert_close(second, first[order], atol=1e-5, rtol=1e-5)


def test_scores_and_compression_learn_from_clips_of_the_past(model: MeMViT) -> None:
    model.train()
    model.zero_grad()
    memory: Memory | None = None
    for images, boxes, persons in clips(6):
        logits, memory = model(images, boxes, memory, persons=persons)
    assert memory is not None
    logits.square().sum().backward()
    learned = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.abs().sum()}
    assert {"layer_scores.0.weight", "layer_scores.1.weight", "box_scores.0.weight"} <= learned
    assert "backbone.blocks.0.attn.compress_k.weight" in learned
    model.eval()


def test_a_stream_that_begins_again_reads_nothing_of_its_past(model: MeMViT) -> None:
    memory: Memory | None = None
    with torch.no_grad():
        for images, boxes, persons in clips(5):
            _, memory = model.train()(images, boxes, memory, persons=persons)
        assert memory is not None
        images, boxes, persons = clips(6)[-1]
        again, after = model(images, boxes, memory.restarted([True, True], torch.tensor([True, True])), persons=persons)
        first, fresh = model(images, boxes, None, persons=persons)
    torch.testing.assert_close(again, first)
    assert after is not None and after.rows is not None and fresh is not None and fresh.rows is not None
    assert after.rows.people == fresh.rows.people
    model.eval()


@torch.no_grad()
def test_a_memory_survives_being_written_and_read(model: MeMViT) -> None:
    model.eval()
    made = clips(8)
    memory: Memory | None = None
    for images, boxes, persons in made[:7]:
        _, memory = model(images, boxes, memory, persons=persons)
    assert memory is not None
    again = Memory.from_state_dict(memory.to("cpu", torch.float32).state_dict())
    images, boxes, persons = made[7]
    assert torch.equal(
        model(images, boxes, memory, persons=persons)[0], model(images, boxes, again, persons=persons)[0]
    )


def test_newcomers_get_free_rows_and_then_those_of_the_longest_absent() -> None:
    rows = PersonRows.free(2).after([5]).after([6])
    assert rows.persons == (5, 6) and rows.after([5, 6]).persons == (5, 6)
    later = rows.after([6]).after([7, NO_NUMBER])
    assert later.persons == (7, 6) and rows.given_up(later) == [0] and later.since == (4, 2)
    assert rows.after([8, 9, 10]).persons == (8, 9), "people of one clip do not take each other's rows"


def test_boxes_without_a_number_are_pooled_and_those_with_one_are_not_mixed() -> None:
    boxes = ClipBoxes(torch.eye(4)[None], torch.zeros(1, 4, 2))
    found = clip_rows(boxes, torch.tensor([[7, NO_NUMBER, NO_NUMBER, NOBODY]]), torch.tensor([[9, 7]]))
    (features,) = found.contents
    torch.testing.assert_close(features[0, 1], torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(features[0, 2], torch.tensor([0, 0.5, 0.5, 0]))
    assert found.log_weights[0, 0] < -5e4 < found.log_weights[0, 1]


def test_memory_counts_people_from_one() -> None:
    assert memory_numbers(3, [0, 4, -1]) == [1, 5, NO_NUMBER] and memory_numbers(2, None) == [NO_NUMBER] * 2
    with pytest.raises(ValueError, match="1 boxes and 2 numbers"):
        memory_numbers(1, [1, 2])
