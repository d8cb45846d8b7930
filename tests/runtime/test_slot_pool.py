"""The pool of memories in slots equals the explicit memory; the engine and its snapshots carry it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from memvit.engine.engine import Engine
from memvit.engine.snapshot import StreamSnapshot
from memvit.models import Memory, MeMViT, Preprocessing
from memvit.models.box_rows import memory_numbers
from memvit.models.zoo import ARCHITECTURES
from memvit.results.result import Result
from memvit.runtime.pools import memory_pool
from memvit.types import Clip, PersonBoxes
from tests.models.test_slot_memory import SIDE, clips

PREPROCESSING = Preprocessing(8, 4, short_side=SIDE, crop="none")


@pytest.fixture(scope="module")
def model() -> MeMViT:
    config = ARCHITECTURES["memvit_tiny_8x4"]
    assert config.memory is not None
    torch.manual_seed(0)
    memory = replace(config.memory, reads=(), kind="slots", slots=6)
    return MeMViT(replace(config, crop=SIDE, memory=memory)).eval()


@torch.inference_mode()
def test_the_pool_is_the_explicit_memory(model: MeMViT) -> None:
    assert model.config.memory is not None
    pool, memory = memory_pool(model.config.memory, capacity=1), None
    for images, boxes, persons in clips(20):
        output, update = model.step(images, boxes, pool.view(["a", "b"]))
        expected, memory = model(images, boxes, memory, persons=persons)
        torch.testing.assert_close(output.logits, expected, atol=1e-5, rtol=1e-5)
        assert update is not None
        pool.write(["a", "b"], update, [memory_numbers(len(of_clip), of_clip) for of_clip in persons])
    assert memory is not None
    kept = Memory.stack([pool.memory("a"), pool.memory("b")])
    assert kept.rows is not None and memory.rows is not None and kept.rows.people == memory.rows.people
    other = memory_pool(model.config.memory)
    other.restore("c", kept.select([1]))
    images, boxes, persons = clips(21)[-1]
    alone, _ = model.step(images[1:], boxes[1:], other.view(["c"]))
    together, _ = model.step(images, boxes, pool.view(["a", "b"]))
    torch.testing.assert_close(alone.logits, together.logits[len(boxes[0]) :], atol=1e-5, rtol=1e-5)


def run(engine: Engine, first: int, last: int) -> list[Result]:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 255, (last, 8, SIDE, SIDE, 3), np.uint8)
    boxes = PersonBoxes(np.array([[0.1, 0.1, 0.5, 0.9], [0.5, 0.1, 0.9, 0.9]], np.float32), np.ones(2, np.float32))
    found = []
    for index in range(first, last):
        people = replace(boxes, persons=np.array([3, 1 + index // 5]))
        clip = Clip("a", index, float(index), index - 0.5, index + 0.5, frames[index])
        found += engine.step([clip], [people])
    return found


def test_an_engine_goes_on_from_a_snapshot_and_says_how_far_it_reads(model: MeMViT) -> None:
    whole, first = Engine(model, PREPROCESSING), Engine(model, PREPROCESSING)
    expected = run(whole, 0, 16)
    run(first, 0, 9)
    second = Engine(model, PREPROCESSING)
    second.restore("a", StreamSnapshot.from_bytes(first.snapshot("a").to_bytes()))
    for found, wanted in zip(run(second, 9, 16), expected[9:], strict=True):
        assert np.array_equal(found.scores, wanted.scores)
        assert found.memory_offsets_seconds == wanted.memory_offsets_seconds
    last = expected[-1]
    assert last.memory_clips == 15 and last.memory_reach_seconds == 15.0
    assert last.memory_offsets_seconds == (1.0, 2.0, 4.0, 8.0), "15 clips lie in slots of 1, 2, 4 and the 8 oldest"
    assert whole.reach_clips is None
